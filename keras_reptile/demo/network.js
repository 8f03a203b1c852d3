// The network and its gradient, as keras_reptile computes them: images in rows, channels last.
// A tensor is {data: Float32Array, shape}. Sums are in 64 bits. Each layer is a pair of functions:
// forward(x, weights, layer) gives the output and what the gradient needs; backward(dy, kept,
// weights, layer) gives the gradients of the weights, and that of the input if `wanted`.
const tensor = (data, shape) => ({ data, shape });
const zeros = (shape) => tensor(new Float32Array(shape.reduce((a, b) => a * b, 1)), shape);
const channels = (x) => x.shape[x.shape.length - 1];

// c[i, j] = sum over l of a[i, l] b[l, j]
function product(a, b) {
  const [m, k] = a.shape, n = b.shape[1], c = zeros([m, n]);
  const rows = m - (m % 4), columns = n - (n % 4);
  for (let i = 0; i < rows; i += 4)
    for (let j = 0; j < columns; j += 4) block(a.data, b.data, c.data, i, j, k, n);
  for (let i = 0; i < m; i++)
    for (let j = i < rows ? columns : 0; j < n; j++) c.data[i * n + j] = dot(a.data, b.data, i, j, k, n);
  return c;
}

function dot(a, b, i, j, k, n) {
  let sum = 0;
  for (let l = 0; l < k; l++) sum += a[i * k + l] * b[l * n + j];
  return sum;
}

// 4 x 4 elements of a product at once: each number that is read is used four times.
function block(a, b, c, i, j, k, n) {
  let c00 = 0, c01 = 0, c02 = 0, c03 = 0, c10 = 0, c11 = 0, c12 = 0, c13 = 0;
  let c20 = 0, c21 = 0, c22 = 0, c23 = 0, c30 = 0, c31 = 0, c32 = 0, c33 = 0;
  let p = i * k, q = p + k, r = q + k, s = r + k;
  for (let l = 0, t = j; l < k; l++, t += n) {
    const b0 = b[t], b1 = b[t + 1], b2 = b[t + 2], b3 = b[t + 3];
    let x = a[p++];
    c00 += x * b0; c01 += x * b1; c02 += x * b2; c03 += x * b3;
    x = a[q++];
    c10 += x * b0; c11 += x * b1; c12 += x * b2; c13 += x * b3;
    x = a[r++];
    c20 += x * b0; c21 += x * b1; c22 += x * b2; c23 += x * b3;
    x = a[s++];
    c30 += x * b0; c31 += x * b1; c32 += x * b2; c33 += x * b3;
  }
  let o = i * n + j;
  c[o] = c00; c[o + 1] = c01; c[o + 2] = c02; c[o + 3] = c03;
  o += n;
  c[o] = c10; c[o + 1] = c11; c[o + 2] = c12; c[o + 3] = c13;
  o += n;
  c[o] = c20; c[o + 1] = c21; c[o + 2] = c22; c[o + 3] = c23;
  o += n;
  c[o] = c30; c[o + 1] = c31; c[o + 2] = c32; c[o + 3] = c33;
}

function transposed(a) {
  const [m, n] = a.shape, t = zeros([n, m]);
  for (let i = 0; i < m; i++) for (let j = 0; j < n; j++) t.data[j * m + i] = a.data[i * n + j];
  return t;
}

function sumOfRows(a) {
  const n = channels(a), sums = new Float64Array(n);
  for (let i = 0; i < a.data.length; i += n) for (let j = 0; j < n; j++) sums[j] += a.data[i + j];
  return sums;
}

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

// y = patches(x) K
const convolution = {
  forward(x, [kernel], layer) {
    const p = patches(x, layer), matrix = tensor(kernel, [p.shape[1], layer.filters]);
    const y = tensor(product(p, matrix).data, [...windowedShape(x.shape, layer), layer.filters]);
    return [y, { p, matrix, shape: x.shape }];
  },
  // dK = patches(x)^T dy,   dx = sumOfPatches(dy K^T)
  backward(dy, { p, matrix, shape }, layer, wanted) {
    const rows = tensor(dy.data, [p.shape[0], layer.filters]);
    const dx = wanted && sumOfPatches(product(rows, transposed(matrix)), shape, layer);
    return [dx, [product(transposed(p), rows).data]];
  },
};

// y = x W
const dense = {
  forward(x, [kernel], layer) {
    const matrix = tensor(kernel, [channels(x), layer.units]);
    return [product(x, matrix), { x, matrix }];
  },
  // dW = x^T dy,   dx = dy W^T
  backward(dy, { x, matrix }, layer, wanted) {
    return [wanted && product(dy, transposed(matrix)), [product(transposed(x), dy).data]];
  },
};

// y = x + b
const bias = {
  forward(x, [b]) {
    return [tensor(x.data.map((value, i) => value + b[i % b.length]), x.shape), null];
  },
  backward: (dy) => [dy, [Float32Array.from(sumOfRows(dy))]],
};

// z = r (x - mean(x)),   r = 1 / sqrt(var(x) + epsilon),   y = gamma z + beta
// The mean and the variance are those of the batch at hand.
const normalization = {
  forward(x, [gamma, beta], layer) {
    const c = channels(x), n = x.data.length / c, z = zeros(x.shape), y = zeros(x.shape);
    const mean = sumOfRows(x).map((sum) => sum / n), r = new Float64Array(c);
    for (let i = 0; i < x.data.length; i++) r[i % c] += (x.data[i] - mean[i % c]) ** 2;
    for (let j = 0; j < c; j++) r[j] = 1 / Math.sqrt(r[j] / n + layer.epsilon);
    for (let i = 0; i < x.data.length; i++) {
      const j = i % c;
      z.data[i] = r[j] * (x.data[i] - mean[j]);
      y.data[i] = gamma[j] * z.data[i] + beta[j];
    }
    return [y, { z, r, gamma }];
  },
  // dbeta = sum(dy),   dgamma = sum(z dy),   dx = gamma r (dy - dbeta / n - z dgamma / n)
  backward(dy, { z, r, gamma }) {
    const c = channels(dy), n = dy.data.length / c, dx = zeros(dy.shape);
    const dbeta = sumOfRows(dy), dgamma = new Float64Array(c);
    for (let i = 0; i < dy.data.length; i++) dgamma[i % c] += z.data[i] * dy.data[i];
    for (let i = 0; i < dy.data.length; i++) {
      const j = i % c;
      dx.data[i] = gamma[j] * r[j] * (dy.data[i] - dbeta[j] / n - (z.data[i] * dgamma[j]) / n);
    }
    return [dx, [Float32Array.from(dgamma), Float32Array.from(dbeta)]];
  },
};

// y = max(x, 0)
const relu = {
  forward(x) {
    const y = tensor(x.data.map((value) => (value > 0 ? value : 0)), x.shape);
    return [y, y];
  },
  backward: (dy, y) => [tensor(dy.data.map((d, i) => (y.data[i] > 0 ? d : 0)), dy.shape), []],
};

// y = the largest x of each window; the first of equals gets the gradient.
const pooling = {
  forward(x, _, layer) {
    const c = channels(x), y = zeros([...windowedShape(x.shape, layer), c]);
    const chosen = new Int32Array(y.data.length).fill(-1);
    eachPixel(x.shape, layer, (row, _, pixel) => {
      for (let i = 0; i < c; i++) {
        const to = row * c + i, from = pixel * c + i;
        if (chosen[to] >= 0 && !(x.data[from] > y.data[to])) continue;
        chosen[to] = from;
        y.data[to] = x.data[from];
      }
    });
    return [y, { chosen, shape: x.shape }];
  },
  backward(dy, { chosen, shape }) {
    const dx = zeros(shape);
    for (let i = 0; i < chosen.length; i++) dx.data[chosen[i]] += dy.data[i];
    return [dx, []];
  },
};

const flatten = {
  forward: (x) => [tensor(x.data, [x.shape[0], x.data.length / x.shape[0]]), x.shape],
  backward: (dy, shape) => [tensor(dy.data, shape), []],
};

const LAYERS = { convolution, dense, bias, normalization, relu, pooling, flatten };

function forward(layers, weights, x) {
  const kept = [];
  for (const layer of layers) {
    const own = layer.weights.map((number) => weights[number]);
    const [y, needed] = LAYERS[layer.kind].forward(x, own, layer);
    kept.push(needed);
    x = y;
  }
  return { outputs: x, kept };
}

// The gradient of the loss with respect to each weight.
function gradientsOf(layers, weights, x, labels, reduction) {
  const { outputs, kept } = forward(layers, weights, x), gradients = [];
  let dy = crossEntropyGradient(outputs, labels, reduction);
  for (let i = layers.length - 1; i >= 0; i--) {
    const [dx, own] = LAYERS[layers[i].kind].backward(dy, kept[i], layers[i], i > 0);
    layers[i].weights.forEach((number, place) => (gradients[number] = own[place]));
    dy = dx;
  }
  return gradients;
}

// p = exp(z) / sum(exp(z))
function softmax(logits) {
  const most = Math.max(...logits), powers = Array.from(logits, (z) => Math.exp(z - most));
  const sum = powers.reduce((a, b) => a + b, 0);
  return powers.map((power) => power / sum);
}

// L = -log p[label], its mean or its sum over the images:   dL / dz = p - (1 at the label)
function crossEntropyGradient(logits, labels, reduction) {
  const n = channels(logits), dz = zeros(logits.shape);
  const share = reduction === "sum" ? 1 : 1 / labels.length;
  labels.forEach((label, i) => {
    softmax(logits.data.subarray(i * n, (i + 1) * n)).forEach((p, j) => {
      dz.data[i * n + j] = share * (p - (j === label ? 1 : 0));
    });
  });
  return dz;
}
