"""How all pictures look: colours that the colour-blind tell apart, and sizes that shrink well."""

import contextlib
from collections.abc import Iterator
from typing import Any

# Okabe and Ito (2008), without black and yellow.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
RIGHT, WRONG = COLOURS[:2]
# Each curve has its own line style too, for printers without colours.
LINES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)), (0, (1, 1)))
# Pages show pictures at half their size: letters are then as high as those of the text.
STYLE: Any = {
    "font.size": 13,
    "axes.titlesize": 13,
    "figure.titlesize": 15,
    "legend.fontsize": 11,
    "lines.linewidth": 2,
    "axes.grid": False,
    "grid.alpha": 0.3,
}
DPI = 120


@contextlib.contextmanager
def styled() -> Iterator[None]:
    """Whatever is drawn while this is open has the same sizes."""
    # Imported here: it takes half a second, and most programs draw nothing.
    import matplotlib

    with matplotlib.rc_context(STYLE):
        yield
