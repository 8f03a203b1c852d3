// The windows that a convolution or a pooling looks at: `layer` has a window, strides and padding.

// Where windows along one axis begin: TensorFlow's padding, half of it in front, rounded down.
function windows(size, window, stride, padding) {
  if (padding === "valid") return { number: Math.floor((size - window) / stride) + 1, before: 0 };
  const number = Math.ceil(size / stride), total = Math.max((number - 1) * stride + window - size, 0);
  return { number, before: Math.floor(total / 2) };
}

// Calls visit(row, place, pixel) for each pixel of each window: the window's number, the pixel's
// number in it, and its number among all pixels. Places in the padding are left out.
function eachPixel(shape, layer, visit) {
  const [images, height, width] = shape, [high, wide] = layer.window, [down, right] = layer.strides;
  const y = windows(height, high, down, layer.padding), x = windows(width, wide, right, layer.padding);
  let row = 0;
  for (let image = 0; image < images; image++)
    for (let i = 0; i < y.number; i++)
      for (let j = 0; j < x.number; j++, row++)
        for (let u = 0; u < high; u++) {
          const top = i * down - y.before + u;
          if (top < 0 || top >= height) continue;
          for (let v = 0; v < wide; v++) {
            const left = j * right - x.before + v;
            if (left < 0 || left >= width) continue;
            visit(row, u * wide + v, (image * height + top) * width + left);
          }
        }
}

function windowedShape(shape, layer) {
  const along = (axis) =>
    windows(shape[axis + 1], layer.window[axis], layer.strides[axis], layer.padding).number;
  return [shape[0], along(0), along(1)];
}

// The pixels of each window as a row of a matrix.
function patches(x, layer) {
  const c = channels(x), [n, h, w] = windowedShape(x.shape, layer);
  const p = zeros([n * h * w, layer.window[0] * layer.window[1] * c]), width = p.shape[1];
  eachPixel(x.shape, layer, (row, place, pixel) => {
    let to = row * width + place * c, from = pixel * c;
    for (let i = 0; i < c; i++) p.data[to++] = x.data[from++];
  });
  return p;
}

// The transpose of `patches`: each pixel gets the sum over its windows.
function sumOfPatches(p, shape, layer) {
  const x = zeros(shape), c = channels(x), width = p.shape[1];
  eachPixel(shape, layer, (row, place, pixel) => {
    let from = row * width + place * c, to = pixel * c;
    for (let i = 0; i < c; i++) x.data[to++] += p.data[from++];
  });
  return x;
}
