"""Convolutions of many sets of images as products of patches that lie within rows.

A patch is the part of a window in one row r, which is an element of the first spatial axis:

    z[p, q, r, f] = sum over (o, c) of x[p, q * stride + o * dilation, c] * kernel[r, o, c, f]
    y[p, q, f] = sum over r of z[p + r * dilation, q, r, f]

For a kernel of 3 x 3 patches have 3 elements for each element of the images, and not 9. They are
written and read once in each direction, and so is z, which is as large.
"""

import functools
from collections.abc import Callable, Sequence

import tensorflow as tf

from keras_reptile.keras_internals import pad_between
from keras_reptile.kernels.batched_dense import batched_matmul
from keras_reptile.kernels.window_axes import Axis, by_offset, sum_back


def row_convolution(x: tf.Tensor, kernel: tf.Tensor, axes: Sequence) -> tuple[tf.Tensor, Callable]:
    """Computes `batched_convolution` in this form.

    Args:
        x, kernel: See `batched_convolution`.
        axes: Sequence of `Axis`, the spatial axes. There are two or more. The first one has the
            stride 1.
    """
    rows, filters = axes[0], kernel.shape[-1]
    within = [Axis(rows.n, 1, 1, 1, "valid"), *axes[1:]]
    parts, (matrices, of_matrices) = by_offset(x, within), _matrices(kernel, len(axes))
    columns = tf.reshape(tf.concat(parts, axis=-1), (x.shape[0], -1, matrices.shape[-2]))
    z, of_product = batched_matmul(columns, matrices)
    places = (*x.shape[:2], *(axis.places for axis in within))

    def gradient(dy):
        # Otherwise XLA would compute dy again for each row of the kernel.
        dz = _to_rows(dy, rows)
        dcolumns, dmatrices = of_product(tf.reshape(dz, z.shape))
        dparts = tf.split(tf.reshape(dcolumns, (*places, -1)), len(parts), axis=-1)
        return sum_back(dparts, within), of_matrices(dmatrices)

    return _sum_of_rows(tf.reshape(z, (*places, rows.size, filters)), rows), gradient


def _matrices(kernel, rank) -> tuple:
    """Returns the kernel as the matrix of the product, and the function of its gradient."""
    leading = kernel.shape.rank - rank - 2
    size, *sizes, channels, filters = kernel.shape[leading:]
    order = [*range(leading + 1, leading + rank + 1), leading, leading + rank + 1]
    turned = tf.transpose(kernel, [*range(leading), *order])
    matrices = tf.reshape(turned, (*kernel.shape[:leading], -1, size * filters))

    def gradient(dmatrices):
        dturned = tf.reshape(dmatrices, (-1, *sizes, channels, size, filters))
        return tf.transpose(dturned, (0, rank + 1, *range(1, rank + 1), rank + 2))

    return matrices, gradient


def _sum_of_rows(z, rows) -> tf.Tensor:
    """Returns the sum over r of z for each output."""
    parts = enumerate(tf.unstack(z, axis=-2))
    moved = [_moved(part, rows.margin[0] - r * rows.dilation, rows.places) for r, part in parts]
    return functools.reduce(tf.add, moved)


def _to_rows(dy, rows) -> tf.Tensor:
    """Computes the adjoint of `_sum_of_rows`."""
    offsets = (r * rows.dilation - rows.margin[0] for r in range(rows.size))
    return tf.concat([_moved(dy, offset, rows.n) for offset in offsets], axis=-1)


def _moved(t, offset, length) -> tf.Tensor:
    """Returns `length` rows of t, moved down by `offset`, with zeros for rows that t lacks."""
    after = length - t.shape[2] - offset
    along = ([0, 0, value, *[0] * (t.shape.rank - 3)] for value in (offset, after, 0))
    return pad_between(t, *along)
