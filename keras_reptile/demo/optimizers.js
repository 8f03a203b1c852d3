// The inner optimizers, U. `state` is {step, slots}, the number of updates and the moments; weights and
// moments are changed in place.

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
