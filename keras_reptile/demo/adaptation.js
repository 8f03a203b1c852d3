// The inner loop, as keras_reptile runs it: k optimizer steps on the drawings, then prediction.
// A network is {layers, loss, optimizer, side, outputs, batch, scale, weights, step, slots}.

// U: w <- w - a sqrt(1 - b2^t) / (1 - b1^t) m / (sqrt(v) + epsilon)
// m <- b1 m + (1 - b1) g,   v <- b2 v + (1 - b2) g^2.   With b1 = 0, m is g itself.
function adam(rule, rate, state, weights, gradients) {
  const { beta_1, beta_2, epsilon } = rule, v = state.slots[state.slots.length - 1];
  const factor = (rate * Math.sqrt(correction(beta_2, state.step + 1)))
    / (beta_1 ? correction(beta_1, state.step + 1) : 1);
  weights.forEach((w, number) => {
    const g = gradients[number], square = v[number], m = beta_1 ? state.slots[0][number] : g;
    for (let i = 0; i < w.length; i++) {
      square[i] = beta_2 * square[i] + (1 - beta_2) * g[i] * g[i];
      if (beta_1) m[i] = beta_1 * m[i] + (1 - beta_1) * g[i];
      w[i] -= (factor * m[i]) / (Math.sqrt(square[i]) + epsilon);
    }
  });
}

// 1 - b^t in 32 bits, as the learner computes it.
const correction = (beta, t) => Math.fround(1 - Math.fround(Math.fround(beta) ** t));

// U: w <- w - a g;   with momentum u <- mu u - a g, w <- w + u;   Nesterov: w <- w + mu u - a g
function sgd(rule, rate, state, weights, gradients) {
  const { momentum, nesterov } = rule;
  weights.forEach((w, number) => {
    const g = gradients[number], u = momentum ? state.slots[0][number] : null;
    for (let i = 0; i < w.length; i++) {
      let move = -rate * g[i];
      if (momentum) {
        u[i] = momentum * u[i] + move;
        move = nesterov ? momentum * u[i] + move : u[i];
      }
      w[i] += move;
    }
  });
}

const OPTIMIZERS = { adam, sgd };

// W_k = U_k(theta):   k times   w <- U(decay w, grad L_b(decay w)),   b the next minibatch.
// It rests at times, so that it can be told to stop: then `isStale()` is true, and it gives null.
async function adapt(network, { images, labels, steps }, isStale = () => false) {
  const { optimizer } = network, weights = network.weights.map((w) => w.slice());
  const state = { step: network.step, slots: network.slots.map((slot) => slot.map((s) => s.slice())) };
  const order = minibatches(images.length, network.batch, steps);
  let rested = performance.now();
  for (let k = 0; k < steps; k++) {
    if (performance.now() - rested > 30) {
      await rest();
      rested = performance.now();
    }
    if (isStale()) return null;
    if (optimizer.decay !== 1) for (const w of weights) w.forEach((value, i) => (w[i] = optimizer.decay * value));
    const x = batchOf(network, order[k].map((i) => images[i])), y = order[k].map((i) => labels[i]);
    const gradients = gradientsOf(network.layers, weights, x, y, network.loss);
    const rate = optimizer.rates[Math.min(k, optimizer.rates.length - 1)];
    OPTIMIZERS[optimizer.kind](optimizer, rate, state, weights, gradients);
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

// The drawings of each step: passes over all of them, each in a random order, the same every time.
function minibatches(images, batch, steps) {
  const size = Math.min(images, batch), stream = [], random = randomIntegers();
  while (stream.length < size * steps) {
    const keys = Array.from({ length: images }, random);
    const pass = keys.map((_, i) => i).sort((i, j) => (keys[i] < keys[j] ? -1 : 1));
    stream.push(...pass);
  }
  return Array.from({ length: steps }, (_, k) => stream.slice(k * size, (k + 1) * size));
}

// Integers in [0, 2^62), those of numpy.random.RandomState(0).randint(0, 2**62): two words of 32
// bits of the Mersenne Twister (Matsumoto, Nishimura, 1998) with the seed 0, the higher one first.
function randomIntegers() {
  const word = mersenneTwister(0);
  return () => {
    const high = word() & 0x3fffffff;
    return (BigInt(high) << 32n) | BigInt(word());
  };
}

function mersenneTwister(seed) {
  const N = 624, M = 397, state = new Uint32Array(N);
  state[0] = seed;
  for (let i = 1; i < N; i++) state[i] = Math.imul(1812433253, state[i - 1] ^ (state[i - 1] >>> 30)) + i;
  let place = N;
  const renew = () => {
    for (let i = 0; i < N; i++) {
      const joined = (state[i] & 0x80000000) | (state[(i + 1) % N] & 0x7fffffff);
      state[i] = state[(i + M) % N] ^ (joined >>> 1) ^ (joined & 1 ? 0x9908b0df : 0);
    }
    place = 0;
  };
  return () => {
    if (place === N) renew();
    let y = state[place++];
    y ^= y >>> 11;
    y ^= (y << 7) & 0x9d2c5680;
    y ^= (y << 15) & 0xefc60000;
    return (y ^ (y >>> 18)) >>> 0;
  };
}

// Answers requests {task, images, labels, steps, query}, the newest one first. Requests with the
// same `task` have the same drawings, which are learned once. `query` may be null, and so `logits`.
function learner(network, reply) {
  let newest = null, running = false, solution = { task: null };
  const isStale = (request) => () => newest.task !== request.task;
  const solve = async (request) => {
    const start = performance.now(), weights = await adapt(network, request, isStale(request));
    if (weights) solution = { task: request.task, weights, milliseconds: performance.now() - start };
  };
  const run = async () => {
    for (let done = null; done !== newest; ) {
      if (solution.task !== newest.task) await solve(newest);
      if (solution.task !== newest.task) continue;
      done = newest;
      const { task, images, query } = done, { weights, milliseconds } = solution;
      const logits = query && predict(network, weights, images, query);
      reply({ task, number: done.number, milliseconds, logits });
    }
  };
  return async (request) => {
    newest = request;
    if (running) return;
    running = true;
    try {
      await run();
    } catch (error) {
      reply({ failed: String(error) });
    }
    running = false;
  };
}

// What a worker does: the first message is the network, the others are requests.
function serve() {
  let receive = null;
  self.onmessage = ({ data }) => {
    if (receive) receive(data);
    else receive = learner(data, (answer) => self.postMessage(answer));
  };
}
