"""The look of all pictures: colours that the colour-blind tell apart, and large letters.

Documents show pictures at about half their size. `styled` makes letters large enough for that.
"""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from keras_reptile.checks import shown

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Okabe and Ito (2008), without their yellow, which is pale on white.
COLOURS = (
    "#0072B2",
    "#D55E00",
    "#009E73",
    "#CC79A7",
    "#E69F00",
    "#56B4E9",
    "#000000",
    "#999999",
)
RIGHT, WRONG = COLOURS[:2]
# Lines and markers differ beside colours, for prints without colours.
LINES = ("-", "--", "-.", ":")
MARKERS = "os^vDPX*"
STYLE: Any = {
    "font.size": 13,
    "axes.titlesize": 13,
    "figure.titlesize": 15,
    "legend.fontsize": 12,
    "legend.frameon": False,
    "lines.linewidth": 2,
    "lines.markersize": 5,
    "grid.alpha": 0.3,
}


@contextlib.contextmanager
def styled() -> Iterator[None]:
    """Gives all pictures drawn in this context the same sizes. It is a decorator, too."""
    # Imported here because matplotlib takes half a second, and training does not need it.
    import matplotlib

    with matplotlib.rc_context(STYLE):
        yield


def as_written(name: Any) -> str:
    """Returns a name as text that matplotlib shows unchanged.

    It would read "$" as a formula. It cannot draw bytes of a file's name that are not UTF-8: these
    are shown as escapes.

    Example:

    >>> as_written("$5"), as_written("caf\\udce9")
    ('\\\\$5', 'caf\\\\udce9')
    """
    return shown(name).replace("$", r"\$")


def save(figure: "Figure", path: Path) -> None:
    """Writes a picture as a PNG file, which appears only once it is complete."""
    # Imported here because `import keras_reptile` needs no files of runs.
    from keras_reptile.files.atomic_file import replacing

    with replacing(path) as temporary, styled():
        figure.savefig(temporary, dpi=120, format="png")


def whole_percent(axes: Any) -> None:
    """Ends the axis of an accuracy in percent at 0 and at 100."""
    axes.set_ylim(0, 100)
    axes.set_yticks(range(0, 101, 20))


def thousands(axis: Any) -> None:
    """Writes the numbers of an axis with commas, and few enough that they do not overlap."""
    axis.set_major_locator(_locator())
    axis.set_major_formatter("{x:,.0f}")


def _locator() -> Any:
    from matplotlib.ticker import MaxNLocator

    return MaxNLocator(4, integer=True)
