// The network and its gradient, as keras_reptile computes them: images in rows, channels last.
// Each layer is a pair of functions: forward(x, weights, layer) gives the output and what the
// gradient needs; backward(dy, kept, layer, wanted) gives the gradient of the input, if it is
// wanted, and those of the weights.

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
