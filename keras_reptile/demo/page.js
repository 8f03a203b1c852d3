// The canvases of a block of rows. `props.value` is JSON: for each row, its drawings as PNG URLs.
// Given by the page: element, props, trigger. props.most: drawings in a row; props.live: whether
// to tell of a stroke while it is drawn.
// A drawing is a list of strokes, a stroke a list of points on a canvas of width and height 1. The
// first point of a stroke may have a third number, the stroke's width in place of the pen's.
const SIDE = 280, PEN = 13, PAUSE = 100, UNDOS = 100;
const rows = [...element.querySelectorAll("[data-row]")];
let drawings = rows.map(() => []), before = [], lastTold = 0, timer = null;

const arc = (x, y, rx, ry, from, to) =>
  Array.from({ length: 25 }, (_, i) => from + ((to - from) * i) / 24)
    .map((turn) => [x + rx * Math.cos(2 * Math.PI * turn), y + ry * Math.sin(2 * Math.PI * turn)]);
// Characters that are drawn at a click.
const CHARACTERS = [
  [[[0.5, 0.15], [0.5, 0.85]], [[0.2, 0.35], [0.8, 0.35]]],
  [arc(0.5, 0.5, 0.32, 0.34, 0, 1)],
  [[[0.2, 0.2], [0.8, 0.8]], [[0.8, 0.2], [0.2, 0.8]]],
  [[[0.2, 0.2], [0.8, 0.2], [0.25, 0.8], [0.8, 0.8]]],
  [[[0.25, 0.15], [0.25, 0.85]], arc(0.25, 0.35, 0.45, 0.2, -0.25, 0.25)],
  [[[0.2, 0.8], [0.5, 0.2], [0.8, 0.8]], [[0.32, 0.58], [0.68, 0.58]]],
  [arc(0.5, 0.32, 0.22, 0.17, 0, -0.75), arc(0.5, 0.66, 0.22, 0.17, -0.25, 0.5)],
  [[[0.2, 0.2], [0.5, 0.55], [0.8, 0.2]], [[0.5, 0.55], [0.5, 0.85]]],
];

// A screen reader says the text of these elements when it changes.
function announce() {
  for (const name of ["verdict", "status"]) {
    const region = document.getElementById(name);
    region?.setAttribute("role", "status");
    region?.setAttribute("aria-live", "polite");
  }
}

function tell() {
  announce();
  clearTimeout(timer);
  timer = null;
  lastTold = Date.now();
  element.querySelector("[data-message]").textContent = "";
  const urls = (row) => [...row.querySelectorAll("canvas[data-inked]")].map((c) => c.toDataURL());
  props.value = JSON.stringify(rows.map(urls));
  trigger("input");
}

function tellSoon() {
  if (!timer) timer = setTimeout(tell, Math.max(0, PAUSE - (Date.now() - lastTold)));
}

function remember() {
  before.push(JSON.stringify(drawings));
  before = before.slice(-UNDOS);
}

function change(next) {
  remember();
  show(next);
}

function show(next) {
  drawings = next;
  rows.forEach((row, number) => {
    row.querySelector(".pads").replaceChildren();
    drawings[number].forEach(() => addPad(row, number));
    addBlank(row, number);
  });
  showUndo();
  tell();
}

function showUndo() {
  element.querySelector("[data-undo]").disabled = !before.length;
}

function addBlank(row, number) {
  const pads = row.querySelectorAll("canvas").length;
  if (pads === drawings[number].length && pads < props.most) addPad(row, number);
}

function addPad(row, number) {
  const place = row.querySelectorAll("canvas").length, pad = document.createElement("div");
  const label = row.dataset.row ? `${row.dataset.row}, drawing ${place + 1}` : "the new drawing";
  pad.className = "pad";
  pad.innerHTML = `<canvas width="${SIDE}" height="${SIDE}" role="img" aria-label="${label}"></canvas>
    <button type="button" aria-label="Delete ${label}" title="Delete this drawing">×</button>`;
  const canvas = pad.querySelector("canvas");
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.fillStyle = "white";
  context.fillRect(0, 0, SIDE, SIDE);
  for (const stroke of drawings[number][place] ?? []) paint(canvas, stroke);
  pad.querySelector("button").addEventListener("click", () =>
    change(drawings.map((all, r) => all.filter((_, i) => r !== number || i !== place))));
  listen(canvas, row, number, place);
  row.querySelector(".pads").append(pad);
}

function paint(canvas, points) {
  const context = canvas.getContext("2d");
  canvas.dataset.inked = "";
  context.lineWidth = points[0].length > 2 ? points[0][2] * SIDE : PEN;
  context.lineCap = context.lineJoin = "round";
  context.beginPath();
  context.moveTo(points[0][0] * SIDE, points[0][1] * SIDE);
  for (const [x, y] of points) context.lineTo(x * SIDE, y * SIDE);
  context.stroke();
}

function listen(canvas, row, number, place) {
  let stroke = null;
  const point = (event) => {
    const box = canvas.getBoundingClientRect();
    return [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height];
  };
  canvas.addEventListener("pointerdown", (event) => {
    if (event.button !== 0 || stroke) return;
    canvas.setPointerCapture(event.pointerId);
    stroke = [point(event)];
    paint(canvas, stroke);
    event.preventDefault();
  });
  canvas.addEventListener("pointermove", (event) => {
    if (!stroke) return;
    stroke.push(point(event));
    paint(canvas, stroke.slice(-2));
    if (props.live) tellSoon();
  });
  const end = () => {
    if (!stroke) return;
    remember();
    drawings[number][place] = [...(drawings[number][place] ?? []), stroke];
    stroke = null;
    addBlank(row, number);
    showUndo();
    tell();
  };
  canvas.addEventListener("pointerup", end);
  canvas.addEventListener("pointercancel", end);
}

// The character as another person draws it: tilted, stretched and bent a little.
function redrawn(character) {
  const about = (size) => (2 * Math.random() - 1) * size;
  const tilt = about(0.12), wide = 0.85 + about(0.12), high = 0.85 + about(0.12), bend = about(0.08);
  return character.map((stroke) => stroke.map(([x, y]) => {
    const u = (x - 0.5) * wide, v = (y - 0.5) * high;
    return [0.5 + u - tilt * v + bend * (4 * v * v - 0.25), 0.5 + v + tilt * u];
  }));
}

function examples() {
  if (props.most > 1) return rows.map((_, row) => CHARACTERS.slice(row, row + 1).map(redrawn));
  const known = document.querySelectorAll("#examples [data-row]").length;
  const number = Math.floor(Math.random() * Math.min(known, CHARACTERS.length));
  return [[redrawn(CHARACTERS[number])]];
}

rows.forEach(addBlank);
showUndo();
element.querySelector("[data-examples]").addEventListener("click", () => change(examples()));
element.querySelector("[data-clear]").addEventListener("click", () => change(rows.map(() => [])));
element.querySelector("[data-undo]").addEventListener("click", () => show(JSON.parse(before.pop())));
