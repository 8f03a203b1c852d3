// The canvases of a block of rows. `props.value` is JSON: for each row, its drawings as PNG URLs.
// Given by the page: element, props, trigger. props.most: canvases in a row; props.live: whether
// to tell of a stroke while it is drawn.
const SIDE = 280, PEN = 13, PAUSE = 100;
const rows = [...element.querySelectorAll("[data-row]")];
let lastTold = 0, timer = null;

function tell() {
  clearTimeout(timer);
  timer = null;
  lastTold = Date.now();
  const drawings = (row) => [...row.querySelectorAll("canvas[data-inked]")].map((c) => c.toDataURL());
  props.value = JSON.stringify(rows.map(drawings));
  trigger("input");
}

function tellSoon() {
  if (!timer) timer = setTimeout(tell, Math.max(0, PAUSE - (Date.now() - lastTold)));
}

function wipe(canvas) {
  const context = canvas.getContext("2d");
  context.fillStyle = "white";
  context.fillRect(0, 0, SIDE, SIDE);
  delete canvas.dataset.inked;
}

function addPad(row) {
  const pad = document.createElement("div");
  pad.className = "pad";
  pad.innerHTML = `<canvas width="${SIDE}" height="${SIDE}" aria-label="drawing of ${row.dataset.row}">
    </canvas><button type="button" title="Clear this drawing">×</button>`;
  const canvas = pad.querySelector("canvas");
  wipe(canvas);
  listen(canvas, row);
  pad.querySelector("button").addEventListener("click", () => clearPad(pad, row));
  row.querySelector(".pads").append(pad);
}

function clearPad(pad, row) {
  wipe(pad.querySelector("canvas"));
  if (row.querySelectorAll("canvas:not([data-inked])").length > 1) pad.remove();
  tell();
}

function listen(canvas, row) {
  const context = canvas.getContext("2d");
  const place = (event) => {
    const box = canvas.getBoundingClientRect();
    return [((event.clientX - box.left) * SIDE) / box.width, ((event.clientY - box.top) * SIDE) / box.height];
  };
  let from = null;
  const lineTo = (to) => {
    context.lineWidth = PEN;
    context.lineCap = "round";
    context.beginPath();
    context.moveTo(...from);
    context.lineTo(...to);
    context.stroke();
    from = to;
  };
  canvas.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    canvas.setPointerCapture(event.pointerId);
    canvas.dataset.inked = "";
    from = place(event);
    lineTo(from);
    event.preventDefault();
  });
  canvas.addEventListener("pointermove", (event) => {
    if (!from) return;
    lineTo(place(event));
    if (props.live) tellSoon();
  });
  const end = () => {
    if (!from) return;
    from = null;
    const blank = row.querySelectorAll("canvas:not([data-inked])").length;
    if (!blank && row.querySelectorAll("canvas").length < props.most) addPad(row);
    tell();
  };
  canvas.addEventListener("pointerup", end);
  canvas.addEventListener("pointercancel", end);
}

rows.forEach(addPad);
element.querySelector("[data-clear]").addEventListener("click", () => {
  rows.forEach((row) => {
    row.querySelector(".pads").replaceChildren();
    addPad(row);
  });
  tell();
});
