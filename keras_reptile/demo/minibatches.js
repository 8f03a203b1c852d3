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
