// The inner loop, as keras_reptile runs it: k optimizer steps on the drawings, then prediction.
// A network is {layers, loss, optimizer, moved, side, outputs, batch, scale, weights, step, slots};
// `moved` has the numbers of the weights that the inner loop moves.

// W_k = U_k(theta):   k times   w <- U(decay w, grad L_b(decay w)),   b the next minibatch.
// It rests at times, so that it can be told to stop: then `isStale()` is true, and it gives null.
async function adapt(network, { images, labels, steps }, isStale = () => false) {
  const { optimizer } = network, weights = network.weights.map((w) => w.slice());
  const movedOf = (arrays) => network.moved.map((number) => arrays[number]), moved = movedOf(weights);
  const slots = network.slots.map((slot) => movedOf(slot).map((s) => s.slice()));
  const state = { step: network.step, slots };
  const order = minibatches(images.length, network.batch, steps);
  let rested = performance.now();
  for (let k = 0; k < steps; k++) {
    if (performance.now() - rested > 30) {
      await rest();
      rested = performance.now();
    }
    if (isStale()) return null;
    if (optimizer.decay !== 1) for (const w of moved) w.forEach((value, i) => (w[i] = optimizer.decay * value));
    const x = batchOf(network, order[k].map((i) => images[i])), y = order[k].map((i) => labels[i]);
    const gradients = gradientsOf(network.layers, weights, x, y, network.loss);
    const rate = optimizer.rates[Math.min(k, optimizer.rates.length - 1)];
    OPTIMIZERS[optimizer.kind](optimizer, rate, state, moved, movedOf(gradients));
    state.step++;
  }
  return weights;
}

const rest = () => new Promise((resolve) => setTimeout(resolve));

function batchOf(network, images) {
  const x = zeros([images.length, network.side, network.side, 1]);
  images.forEach((image, i) => x.data.set(image, i * image.length));
  return network.scale === 1 ? x : tensor(x.data.map((value) => network.scale * value), x.shape);
}

// The outputs for a new image, inductively: it is in a batch with all drawings.
function predict(network, weights, images, query) {
  if (!weights.every((w) => w.every(Number.isFinite))) return new Float32Array(network.outputs).fill(NaN);
  const { outputs } = forward(network.layers, weights, batchOf(network, [...images, query]));
  return outputs.data.slice(-network.outputs);
}
