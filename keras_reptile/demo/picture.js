// Turns a picture of a character into a drawing: a stroke along each run of ink in a row of cells.
// Pixels of the picture's longer side, at most; cells of its ink's longer side, at most; and the
// share of the canvas that this side takes.
const FINE = 512, CELLS = 49, SHARE = 0.7;
const MOST_MEGABYTES = 20;
// Ink and paper differ by this of 255 at least. A speck has less than this share of the largest
// piece's ink.
const CONTRAST = 30, SPECK = 0.02;

// `{ drawing }`, or `{ fault }`: the name of the words that say why there is none.
async function drawingOf(file) {
  if (file.size > MOST_MEGABYTES * 1e6) return { fault: "too_large" };
  const picture = await createImageBitmap(file).catch(() => null);
  if (!picture) return { fault: "no_picture" };
  const lit = evenlyLit(greysOf(picture)), ink = inkOn(lit);
  if (!ink) return { fault: "no_ink" };
  return { drawing: strokesOf(cellsOf(withoutSpecks(ink, lit.width), lit.width)) };
}

// The greys of a picture, 0 to 255. What is transparent is white.
function greysOf(picture) {
  const scale = Math.min(1, FINE / Math.max(picture.width, picture.height));
  const [width, height] = [picture.width, picture.height].map((side) => Math.max(1, Math.round(side * scale)));
  const canvas = Object.assign(document.createElement("canvas"), { width, height });
  const context = canvas.getContext("2d");
  context.fillStyle = "white";
  context.fillRect(0, 0, width, height);
  context.imageSmoothingQuality = "high";
  context.drawImage(picture, 0, 0, width, height);
  const { data } = context.getImageData(0, 0, width, height);
  const grey = (i) => 0.299 * data[i] + 0.587 * data[i + 1] + 0.114 * data[i + 2];
  return { greys: Uint8Array.from({ length: width * height }, (_, i) => grey(4 * i)), width, height };
}

// Takes out the light's slope from edge to edge. The paper's grey at an edge is the edge's median.
function evenlyLit({ greys, width, height }) {
  const median = (line) => line.sort()[line.length >> 1];
  const row = (y) => median(greys.slice(y * width, (y + 1) * width));
  const column = (x) => median(greys.filter((_, i) => i % width === x));
  const [left, right, top, bottom] = [column(0), column(width - 1), row(0), row(height - 1)];
  const share = (at, side) => at / Math.max(1, side - 1) - 0.5;
  const even = Uint8ClampedArray.from(greys, (grey, i) => grey - (right - left) * share(i % width, width) -
    (bottom - top) * share(Math.floor(i / width), height));
  return { greys: even, width, height, paper: (left + right + top + bottom) / 4 };
}

// 1 where the picture has ink, by Otsu's threshold. `null` if it has one colour.
function inkOn({ greys, paper }) {
  const { dark, light, threshold } = otsu(greys);
  if (!(light - dark >= CONTRAST)) return null;
  const inkIsDark = paper > threshold;
  return Uint8Array.from(greys, (grey) => (grey <= threshold) === inkIsDark);
}

// The threshold with the largest variance between the darker and the lighter greys, and their means.
function otsu(greys) {
  const counts = new Float64Array(256);
  for (const grey of greys) counts[grey]++;
  const total = counts.reduce((sum, count, grey) => sum + count * grey, 0);
  let best = { variance: 0 }, darker = 0, sum = 0;
  for (let threshold = 0; threshold < 255; threshold++) {
    darker += counts[threshold];
    sum += counts[threshold] * threshold;
    const lighter = greys.length - darker, dark = sum / darker, light = (total - sum) / lighter;
    const variance = darker * lighter * (light - dark) ** 2;
    if (variance > best.variance) best = { variance, threshold, dark, light };
  }
  return best;
}

// Without pieces of connected ink that are much smaller than the largest one.
function withoutSpecks(ink, width) {
  const pieces = new Int32Array(ink.length), sizes = [0];
  ink.forEach((inked, start) => {
    if (!inked || pieces[start]) return;
    const piece = sizes.push(0) - 1, open = [start];
    pieces[start] = piece;
    while (open.length) {
      const pixel = open.pop();
      sizes[piece]++;
      for (const next of neighbours(pixel, width)) {
        if (!ink[next] || pieces[next]) continue;
        pieces[next] = piece;
        open.push(next);
      }
    }
  });
  const least = SPECK * sizes.reduce((a, b) => Math.max(a, b));
  return ink.map((inked, pixel) => inked && sizes[pieces[pixel]] >= least);
}

function neighbours(pixel, width) {
  const x = pixel % width, aside = [-1, 0, 1].filter((dx) => x + dx >= 0 && x + dx < width);
  return [-width, 0, width].flatMap((dy) => aside.map((dx) => pixel + dy + dx));
}

// The box of the ink as cells: 1 where a line of a pixel's width crosses half of the cell, or more.
function cellsOf(ink, width) {
  const inked = [...ink.keys()].filter((i) => ink[i]);
  const xs = inked.map((i) => i % width), ys = inked.map((i) => Math.floor(i / width));
  const extent = (all) => all.reduce(([a, b], each) => [Math.min(a, each), Math.max(b, each)], [Infinity, 0]);
  const [left, right] = extent(xs), [top, bottom] = extent(ys);
  const size = Math.max(1, (Math.max(right - left, bottom - top) + 1) / CELLS);
  const cell = (from, to) => Math.floor((to - from) / size);
  const across = cell(left, right) + 1, down = cell(top, bottom) + 1, counts = new Float64Array(across * down);
  inked.forEach((_, i) => counts[cell(top, ys[i]) * across + cell(left, xs[i])]++);
  return { cells: Uint8Array.from(counts, (count) => count >= size / 2), across, down };
}

// Strokes in the middle of the canvas. Lines thinner than the pen get the pen's width.
function strokesOf({ cells, across, down }) {
  const cell = SHARE / Math.max(across, down);
  // At a whole pixel of the canvas edges are sharp.
  const [left, top] = [across, down].map((cells) => Math.floor((SIDE * (1 - cells * cell)) / 2) / SIDE);
  const runs = runsOf(cells, across), missing = PEN / SIDE / cell - lineWidth(cells, across, runs);
  const round = (number) => Math.round(1e5 * number) / 1e5;
  const pen = round(cell * Math.max(1, 1 + missing));
  return runs.map(({ row, start, end }) => {
    const y = round(top + (row + 0.5) * cell);
    return [[round(left + (start + 0.4) * cell), y, pen], [round(left + (end - 0.4) * cell), y]];
  });
}

// The runs of ink in the rows of cells.
function runsOf(cells, across) {
  const runs = [];
  cells.forEach((inked, i) => {
    const row = Math.floor(i / across), start = i % across;
    if (inked && start && cells[i - 1]) runs.at(-1).end++;
    else if (inked) runs.push({ row, start, end: start + 1 });
  });
  return runs;
}

// The mean width of lines in cells: twice their area by their outline, which has two sides of each
// run in a row, and two of each run in a column.
function lineWidth(cells, across, runs) {
  const area = cells.filter((inked) => inked).length;
  const tops = cells.filter((inked, i) => inked && !cells[i - across]).length;
  return Math.max(1, area / (runs.length + tops));
}
