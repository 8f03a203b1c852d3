"""A convolution in groups of images, for images whose patches do not fit in a core's caches.

The patches of a 3 x 3 convolution are up to nine times as large as its images. The patches of many
images are written to memory and read back at every step, which takes twice as long as the products.
The patches of a few images stay in the core's cache.
"""

import math
from collections.abc import Callable, Sequence

import tensorflow as tf

# Sizes of patches in bytes. Above SHARED_CACHE_BYTES, groups are faster. Groups of CORE_CACHE_BYTES
# are the fastest. Measured on an EPYC (Zen 4): a core has 1 MB of cache, and all cores share 32 MB.
CORE_CACHE_BYTES, SHARED_CACHE_BYTES = 5 << 18, 3 << 21


def group_size(images: int, bytes_of_each: int, bytes_of_kernel: int) -> int:
    """Returns the number of images in a group.

    If the patches of all images fit in the caches, it is all images. Otherwise it is the largest
    divisor of their number whose patches fit in a core's cache. If this would be less than half of
    the images that fit, or the kernel alone fills the cache, it is all images.

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
    """Computes `function(x, kernel)` and its gradient, for `size` images at a time.

    The gradient computes the function again for each group, so no intermediate values are kept.

    Args:
        function: Function from images `(size, ...)` and the kernel to a tensor `(size, *shape)`.
            Each output depends on one image only.
        size: Integer, a divisor of the number of images.
        shape: Sequence of integers.
        x: Tensor `(images, ...)`, of known shape.
        kernel: Tensor of the same dtype.

    Returns:
        Tensor `(images, *shape)`. It can be differentiated once.

    Example:

    >>> y = in_groups(lambda x, kernel: x @ kernel, 2, (1,), tf.ones((6, 3)), tf.ones((3, 1)))
    >>> tuple(y.shape), float(y[5, 0])
    ((6, 1), 3.0)
    """
    precise = tf.float64 if x.dtype == tf.float64 else tf.float32

    @tf.custom_gradient
    def grouped(x, kernel):
        groups = _split(x, size)

        def forward(x, no_sum):
            return function(x, kernel), no_sum

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
    """Returns the stacked results of the groups, and the sum that `function` accumulates.

    XLA uses several threads if many operations are ready at once. All constants are ready when a
    program starts. To keep the loop on one thread, its initial values depend on the images.
    """
    number, first = groups[0].shape[0], tf.reshape(groups[0], (-1,))[0]
    never = first < -math.inf  # Always false, but XLA cannot know this.
    results = tf.TensorArray(first.dtype, number).unstack(tf.fill((number, *shape), first))
    zeros = tf.fill(shape_of_sum, tf.cast(never, dtype))

    def body(i, results, total):
        result, total = function(*(group[i] for group in groups), total)
        return i + 1, results.write(i, result), total

    start = (tf.cast(never, tf.int32), results, zeros)
    _, results, total = tf.while_loop(lambda i, *_: i < number, body, start)
    return results.stack(), total
