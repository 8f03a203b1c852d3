// Turns a drawing on a canvas into an image like the training images, as drawings.py does.

// The ink of a canvas: paper 0, ink 1.
function inkOf(canvas) {
  const { width, height } = canvas;
  const { data } = canvas.getContext("2d").getImageData(0, 0, width, height);
  const ink = Float32Array.from({ length: width * height }, (_, i) => 1 - data[4 * i] / 255);
  return { ink, width, height };
}

// Crops to the drawing, centres it, and reduces it by area. Paper 1, ink 0. `null` if it is blank.
// The longer side of the drawing becomes `drawn` of the image's side; fainter ink than `faint` is
// ignored.
function prepare({ ink, width, height }, side, { faint, drawn }) {
  const box = boundingBox(ink, width, height, faint);
  if (!box) return null;
  const length = Math.max(box.bottom - box.top, box.right - box.left) / drawn;
  const rows = coverage((box.top + box.bottom - length) / 2, length, side, height);
  const columns = coverage((box.left + box.right - length) / 2, length, side, width);
  const image = new Float32Array(side * side);
  for (let i = 0; i < side; i++)
    for (let j = 0; j < side; j++) {
      let mean = 0;
      for (const [y, down] of rows[i])
        for (const [x, right] of columns[j]) mean += down * right * ink[y * width + x];
      image[i * side + j] = 1 - Math.min(Math.max(mean, 0), 1);
    }
  return image;
}

function boundingBox(ink, width, height, faint) {
  let top = height, bottom = 0, left = width, right = 0;
  for (let y = 0; y < height; y++)
    for (let x = 0; x < width; x++) {
      if (!(ink[y * width + x] > faint)) continue;
      top = Math.min(top, y);
      bottom = Math.max(bottom, y + 1);
      left = Math.min(left, x);
      right = Math.max(right, x + 1);
    }
  return bottom ? { top, bottom, left, right } : null;
}

// For each cell of a grid, the pixels that it covers with their weights in its mean. The space
// outside of the pixels is paper.
function coverage(start, length, cells, pixels) {
  return Array.from({ length: cells }, (_, cell) => {
    const from = start + (cell * length) / cells, to = start + ((cell + 1) * length) / cells;
    const covered = [];
    for (let pixel = Math.max(0, Math.floor(from)); pixel < Math.min(pixels, to); pixel++) {
      const share = Math.min(to, pixel + 1) - Math.max(from, pixel);
      covered.push([pixel, (share * cells) / length]);
    }
    return covered;
  });
}
