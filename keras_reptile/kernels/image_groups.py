"""A convolution of some images after the others, where a core's caches are too small for all.

The patches of a convolution by 3 x 3 are up to nine times as large as its images. Those of many
images go to memory and back at every step, which then takes twice as long as the products; those of
a few stay in the cache of the core.
"""

import math
from collections.abc import Callable, Sequence

import tensorflow as tf

# Bytes of patches. Above SHARED_CACHE_BYTES groups are faster; groups of CORE_CACHE_BYTES are the
# fastest. Measured on an EPYC (Zen 4): a core has 1 MB of cache, and all cores share 32 MB.
CORE_CACHE_BYTES, SHARED_CACHE_BYTES = 5 << 18, 3 << 21


def group_size(images: int, bytes_of_each: int, bytes_of_kernel: int) -> int:
    """All images where they fit in the caches, else the most that fit in a core's own.

    They divide all; where hardly any do, or the kernel fills the cache, all are taken at once.

    Example:

    >>> group_size(40, 100_000, 0), group_size(200, 100_000, 0), group_size(211, 100_000, 0)
    (40, 10, 211)
    """
    if images * bytes_of_each <= SHARED_CACHE_BYTES:
        return images
    most = (CORE_CACHE_BYTES - bytes_of_kernel) // bytes_of_each
    divisors = [n for n in range(max(1, most // 2), most + 1) if images % n == 0]
    return max(divisors, default=images)


def in_groups(
    function: Callable, size: int, shape: Sequence, x: tf.Tensor, kernel: tf.Tensor
) -> tf.Tensor:
    """`function(x, kernel)` and its gradient, of `size` images at a time.

    Its gradient computes each group anew, so that nothing of it need be kept meanwhile.

    Args:
        function: Maps `(size, ...)` and the kernel to a tensor `(size, *shape)`, each image by
            itself.
        size: Integer, a divisor of the number of images.
        shape: Sequence of integers.
        x: Tensor `(images, ...)`, of known shape.
        kernel: Tensor of the same dtype.

    Returns:
        Tensor `(images, *shape)`. It can be derived once.

    Example:

    >>> y = in_groups(lambda x, kernel: x @ kernel, 2, (1,), tf.ones((6, 3)), tf.ones((3, 1)))
    >>> tuple(y.shape), float(y[5, 0])
    ((6, 1), 3.0)
    """
    precise = tf.float64 if x.dtype == tf.float64 else tf.float32

    @tf.custom_gradient
    def grouped(x, kernel):
        groups = _split(x, size)

        def forward(x, nothing):
            return function(x, kernel), nothing

        y, _ = _one_after_another(forward, (size, *shape), (0,), precise, groups)

        def gradient(dy):
            def of_group(x, dy, dw):
                with tf.GradientTape() as tape:
                    tape.watch([x, kernel])
                    y = function(x, kernel)
                dx, more = tape.gradient(y, [x, kernel], dy)
                return dx, dw + tf.cast(more, precise)

            both = groups, _split(dy, size)
            dx, dw = _one_after_another(of_group, groups.shape[1:], kernel.shape, precise, *both)
            return tf.reshape(dx, x.shape), tf.cast(dw, kernel.dtype)

        return tf.reshape(y, (-1, *shape)), gradient

    return grouped(x, kernel)


def _split(t, size):
    return tf.reshape(t, (t.shape[0] // size, size, *t.shape[1:]))


def _one_after_another(function, shape, shape_of_sum, dtype, *groups) -> tuple:
    """What `function` makes of the groups, each of this shape, stacked; and what it adds up.

    XLA hands work to other threads where many pieces of it are ready at once, as constants all are
    when a program starts. So the places to fill, the count and the sum wait for the images.
    """
    number, first = groups[0].shape[0], tf.reshape(groups[0], (-1,))[0]
    never = first < -math.inf  # False of any number, which XLA does not know.
    places = tf.TensorArray(first.dtype, number).unstack(tf.fill((number, *shape), first))
    zeros = tf.fill(shape_of_sum, tf.cast(never, dtype))

    def body(i, filled, total):
        found, total = function(*(group[i] for group in groups), total)
        return i + 1, filled.write(i, found), total

    start = (tf.cast(never, tf.int32), places, zeros)
    _, filled, total = tf.while_loop(lambda i, *_: i < number, body, start)
    return filled.stack(), total
