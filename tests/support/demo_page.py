"""What a person draws on the demo's page, served or by itself, and how its texts stand out."""

import base64
import math

from webdriver import wait

ANGLES = [2 * math.pi * i / 16 for i in range(17)]
# Strokes as points on a canvas of width and height 1.
LINE = [[(0.5, 0.15), (0.5, 0.85)]]
CIRCLE = [[(0.5 + 0.3 * math.cos(a), 0.5 + 0.3 * math.sin(a)) for a in ANGLES]]
CROSS = [[(0.2, 0.2), (0.8, 0.8)], [(0.8, 0.2), (0.2, 0.8)]]
CHARACTERS = {"A": LINE, "B": CIRCLE, "C": CROSS}


def draw(page, place, strokes, scale=1.0):
    """Draws with the mouse on the last canvas of a block or row, about its middle."""
    # The canvas stays the same one, although a further one is added after the first stroke.
    number = page.count(f"{place} canvas") - 1
    for stroke in strokes:
        points = [(0.5 + (x - 0.5) * scale, 0.5 + (y - 0.5) * scale) for x, y in stroke]
        page.drag(f"{place} canvas", points, number=number)


def learn(page, characters=CHARACTERS):
    for name, strokes in characters.items():
        draw(page, f'[data-row="{name}"]', strokes)
    learned = f"Learned {len(characters)} characters from {len(characters)} drawings: "
    wait(lambda: learned in page.text("#status"))


# Files from base64, as a user takes or drops them.
FILES = """const bytes = (text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
const transfer = new DataTransfer(), element = document.querySelector(arguments[0]);
const [, texts, name, zeros = 0] = arguments;
for (const text of texts) transfer.items.add(new File([bytes(text), new Uint8Array(zeros)], name));
"""
UPLOAD = FILES + "element.files = transfer.files; element.dispatchEvent(new Event('change'));"
DROP = (
    FILES
    + """const kept = { dataTransfer: transfer, bubbles: true, cancelable: true };
for (const kind of ["dragover", "drop"]) element.dispatchEvent(new DragEvent(kind, kept));
"""
)


def upload(page, place, data, name="picture.png", zeros=0):
    """Takes a file of these bytes, and then zeros, by the button of a row or a block."""
    page.run(UPLOAD, f"{place} [data-upload]", [base64.b64encode(data).decode()], name, zeros)


def drop(page, place, *pictures):
    """Drops files onto the first element of a CSS selector."""
    page.run(DROP, place, [base64.b64encode(data).decode() for data in pictures], "picture.png")


# The smallest contrast of a text and the paper that it stands on, by WCAG 2.2.
CONTRAST = """
const channels = (color) => color.match(/[\\d.]+/g).map(Number);
const light = (color) => channels(color).slice(0, 3).map((c) => c / 255)
  .map((c) => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4)
  .reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
const paper = (element) => {
  for (let e = element; e; e = e.parentElement) {
    const [r, g, b, a = 1] = channels(getComputedStyle(e).backgroundColor);
    if (a) return `rgb(${r}, ${g}, ${b})`;
  }
  return "rgb(255, 255, 255)";
};
const places = "#heading *, .board .name, .board h2, .board button:enabled, .answer th, " +
  ".percent, .verdict, .verdict *, .status, label, label *";
return [...document.querySelectorAll(places)].filter((e) => e.innerText?.trim()).map((e) => {
  const pair = [light(getComputedStyle(e).color), light(paper(e))].sort((a, b) => b - a);
  return [(pair[0] + 0.05) / (pair[1] + 0.05), e.className + " " + e.innerText.slice(0, 20)];
}).sort((a, b) => a[0] - b[0])[0];
"""

# The highest and lowest place of what a phone must show at once, and the width of all.
ON_A_PHONE = """
scrollTo(0, 0);
const box = (e) => document.querySelector(e).getBoundingClientRect();
return [box("#examples .row").top, box("#query canvas").bottom,
  document.documentElement.scrollWidth];
"""


def shown_on_a_phone(page):
    """What `ON_A_PHONE` returns on a screen of 390 x 844 pixels."""
    size = dict(width=390, height=844, deviceScaleFactor=1, mobile=True)
    page.devtools("Emulation.setDeviceMetricsOverride", **size)
    try:
        return page.run(ON_A_PHONE)
    finally:
        page.devtools("Emulation.clearDeviceMetricsOverride")
