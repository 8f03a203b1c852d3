#!/usr/bin/env python3
"""Draws docs/demo.gif anew: a hand draws on the page of bin/demo --static in headless Chromium.

  bin/demo --static=page.html
  python docs/demo_gif.py page.html

It needs Chromium and chromedriver.
"""

import io
import itertools
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
sys.path.append(str(ROOT / "tests" / "support"))

from webdriver import Browser, wait  # noqa: E402

WIDTH, HEIGHT, SHOWN = 960, 900, 800
COLORS = 128
# Milliseconds that a picture stays.
PEN, PAUSE, END = 180, 1200, 4000
LOOPS = 3
# Below it stands the time, which depends on what else the machine does.
BOTTOM = "return Math.ceil(document.querySelector('.steps').getBoundingClientRect().bottom) + 6"

Points = list[tuple[float, float]]
# Strokes, through whose points a smooth line is drawn.
CHARACTERS: dict[str, list[Points]] = {
    "A": [
        [(0.3, 0.2), (0.34, 0.5), (0.3, 0.8)],
        [(0.3, 0.5), (0.55, 0.35), (0.72, 0.5), (0.7, 0.8)],
    ],
    "B": [
        [(0.7, 0.25), (0.45, 0.2), (0.25, 0.45), (0.4, 0.75), (0.68, 0.72), (0.7, 0.5), (0.5, 0.48)]
    ],
    "C": [
        [(0.2, 0.3), (0.5, 0.28), (0.8, 0.3)],
        [(0.5, 0.28), (0.52, 0.55), (0.42, 0.78), (0.25, 0.7)],
    ],
    "D": [
        [(0.25, 0.2), (0.3, 0.55), (0.5, 0.7), (0.7, 0.55), (0.75, 0.2)],
        [(0.5, 0.2), (0.5, 0.85)],
    ],
    "E": [[(0.3, 0.8), (0.3, 0.25), (0.6, 0.2), (0.7, 0.38), (0.5, 0.52), (0.32, 0.5)]],
}
# What is drawn again, how it leans, and how wide and high it is.
AGAIN = [("D", 0.12, 0.8, 1.1), ("B", -0.15, 1.1, 0.85)]


def smooth(points: Points, parts: int = 8) -> Points:
    """Points of a Catmull-Rom curve through the given ones."""
    p = np.array([points[0], *points, points[-1]])
    t = np.linspace(0, 1, parts, endpoint=False)[:, np.newaxis]
    pieces = [
        0.5
        * (2 * b + (c - a) * t + (2 * a - 5 * b + 4 * c - d) * t**2 + (3 * (b - c) + d - a) * t**3)
        for a, b, c, d in zip(p, p[1:], p[2:], p[3:], strict=False)
    ]
    return [(float(x), float(y)) for x, y in [*np.concatenate(pieces), points[-1]]]


def leaning(points: Points, lean: float, wide: float, high: float) -> Points:
    """The same stroke by another hand."""
    return [(0.5 + wide * (x - 0.5) - lean * (y - 0.5), 0.5 + high * (y - 0.5)) for x, y in points]


def strokes(browser: Browser, place: str, character: list[Points], parts: int) -> Iterator[None]:
    """Draws a character, and yields after each part of a stroke."""
    number = browser.count(f"{place} canvas") - 1
    for points in map(smooth, character):
        ends = np.linspace(0, len(points), parts + 1).astype(int)
        for first, last in itertools.pairwise(ends):
            kinds = dict(press=first == 0, release=last == len(points))
            browser.drag(f"{place} canvas", points[first:last], number=number, **kinds)
            yield


def settle(browser: Browser) -> None:
    """Waits until the page shows the answer to all that is drawn."""
    answered = """return KINDS.every((kind) => answers[kind]?.number === request.number)
      || characters() < 2;"""
    # While the pen draws, the page looks every 100 ms. Bars take 120 ms to move.
    time.sleep(0.15)
    wait(lambda: browser.run(answered), seconds=60)
    time.sleep(0.15)


def pictures(browser: Browser) -> Iterator[tuple[bytes, int]]:
    """Screenshots, and how long each stays."""

    def picture(milliseconds: int) -> tuple[bytes, int]:
        settle(browser)
        return browser.screenshot(), milliseconds

    yield picture(PAUSE)
    for name, character in CHARACTERS.items():
        for _ in strokes(browser, f'[data-row="{name}"]', character, 1):
            yield picture(2 * PEN)
    for name, *shape in AGAIN:
        again = [leaning(points, *shape) for points in CHARACTERS[name]]
        yield picture(PAUSE)
        for _ in strokes(browser, "#query", again, 4):
            yield picture(PEN)
        yield picture(END if (name, *shape) == AGAIN[-1] else 2 * PAUSE)
        if (name, *shape) != AGAIN[-1]:
            browser.click("#query [data-clear]")


def main(page: str) -> None:
    with tempfile.TemporaryDirectory() as profile:
        browser = Browser(profile)
        try:
            size = dict(width=WIDTH, height=HEIGHT, deviceScaleFactor=1, mobile=False)
            browser.devtools("Emulation.setDeviceMetricsOverride", **size)
            browser.get(Path(page).resolve().as_uri())
            shown = list(pictures(browser))
            bottom = browser.run(BOTTOM)
        finally:
            browser.quit()
    images = [Image.open(io.BytesIO(png)).crop((0, 0, WIDTH, bottom)) for png, _ in shown]
    write(images, [stay for _, stay in shown])


def write(shown: list[Image.Image], stays: list[int]) -> None:
    """Writes the GIF, with the colours of its last picture."""
    small = [each.convert("RGB").resize((SHOWN, SHOWN * each.height // WIDTH)) for each in shown]
    palette = small[-1].quantize(COLORS)
    frames = [each.quantize(palette=palette, dither=Image.Dither.NONE) for each in small]
    path = ROOT / "docs" / "demo.gif"
    frames[0].save(
        path, save_all=True, append_images=frames[1:], duration=stays, loop=LOOPS, optimize=True
    )
    print(f"Wrote {path}: {len(frames)} pictures, {path.stat().st_size / 1e3:.0f} kB.")


if __name__ == "__main__":
    if len(sys.argv) != 2 or not Path(sys.argv[1]).is_file():
        sys.exit("demo_gif.py: give the page that bin/demo --static=page.html has written.")
    main(sys.argv[1])
