// What the page says of an answer, as answers.py does.
const percent = (p) => `${(100 * p).toFixed(1)} %`;
const counted = (number, noun) => `${number} ${noun}${number === 1 ? "" : "s"}`;
const fill = (template, values) => template.replace(/\{(\w+)\}/g, (_, name) => values[name]);

// 0 for characters without a drawing.
function probabilities(logits) {
  return softmax(names.map((_, i) => (request.drawn[i] ? logits[i] : -Infinity)));
}

function verdict(known, fresh) {
  const image = thumbnail(request.query);
  if (!known.every(Number.isFinite)) return words.diverged + image;
  const p = Math.max(...known), best = fill(words.best, { name: names[known.indexOf(p)] });
  const said = fill(p >= PAGE.sure ? words.this_is : words.not_sure, { best, percent: percent(p) });
  const from_random = fill(words.from_random, { said: inShort(fresh) });
  return fill(html.said, { said, from_random, thumbnail: image });
}

function inShort(p) {
  if (!p.every(Number.isFinite)) return words.diverged_in_short;
  const most = Math.max(...p);
  return most >= PAGE.sure ? names[p.indexOf(most)] : words.not_sure_in_short;
}

function bars(both) {
  const rows = names.map((name, i) => {
    const [known, fresh] = KINDS.map((kind) => cell(kind, name, both[kind], i));
    return fill(html.row, { name, known, fresh });
  });
  return fill(html.bars, { rows: rows.join("") });
}

function cell(kind, name, values, i) {
  const p = values.map((value) => value || 0), most = Math.max(...p);
  const best = most > 0 && i === p.indexOf(most) ? "best " : "";
  return fill(html.cell, { kind, name, best, width: (100 * p[i]).toFixed(1), percent: percent(p[i]) });
}

// The image that the network sees, as an element of the page.
function thumbnail(image) {
  const canvas = document.createElement("canvas"), { side } = network;
  canvas.width = canvas.height = side;
  const context = canvas.getContext("2d"), pixels = context.createImageData(side, side);
  image.forEach((value, i) => pixels.data.fill(Math.round(255 * value), 4 * i, 4 * i + 3));
  image.forEach((_, i) => (pixels.data[4 * i + 3] = 255));
  context.putImageData(pixels, 0, 0);
  return fill(html.thumbnail, { url: canvas.toDataURL(), title: fill(words.thumbnail_title, { side }) });
}
