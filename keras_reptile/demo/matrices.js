// Tensors and matrices. A tensor is {data: Float32Array, shape}; sums are in 64 bits.
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
