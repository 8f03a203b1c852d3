"""An operation on some images after the others, where a core's caches are too small for all.

The patches of a convolution are nine times as large as its images. Those of many images go to
memory and back at every step, which then takes twice as long as the products; those of a few stay
in the cache of the core.
"""

import math
from collections.abc import Callable, Sequence

import tensorflow as tf

# Bytes in a core's own cache, and in its share of the common one, of most servers' processors.
OWN, SHARE = 5 << 18, 3 << 21


def group_size(images: int, bytes_of_each: int) -> int:
    """All images where they fit in the caches, else the most that fit in a core's own.

    They divide all; where hardly any do, all are taken at once.

    Example:

    >>> group_size(40, 100_000), group_size(200, 100_000), group_size(211, 100_000)
    (40, 10, 211)
    """
    if images * bytes_of_each <= SHARE:
        return images
    most = OWN // bytes_of_each
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
        x: Tensor `(images, ...)`.
        kernel: Tensor.

    Returns:
        Tensor `(images, *shape)`. It can be derived once.

    Example:

    >>> y = in_groups(lambda x, kernel: x @ kernel, 2, (1,), tf.ones((6, 3)), tf.ones((3, 1)))
    >>> tuple(y.shape), float(y[5, 0])
    ((6, 1), 3.0)
    """

    @tf.custom_gradient
    def grouped(x, kernel):
        groups = _split(x, size)
        (y,) = _one_after_another(lambda x: [function(x, kernel)], [(size, *shape)], groups)

        def gradient(dy):
            def of_group(x, dy):
                with tf.GradientTape() as tape:
                    tape.watch([x, kernel])
                    y = function(x, kernel)
                return tape.gradient(y, [x, kernel], dy)

            shapes = [(size, *x.shape[1:]), kernel.shape]
            dx, dw = _one_after_another(of_group, shapes, groups, _split(dy, size))
            return tf.reshape(dx, x.shape), tf.reduce_sum(dw, axis=0)

        return tf.reshape(y, (-1, *shape)), gradient

    return grouped(x, kernel)


def _split(t, size):
    return tf.reshape(t, (t.shape[0] // size, size, *t.shape[1:]))


def _one_after_another(function, shapes, *groups) -> list:
    """What `function` makes of the groups, of these shapes, stacked.

    XLA hands work to other threads where many pieces of it are ready at once, as constants all are
    when a program starts. So places to fill, and the count, wait for the images.
    """
    number, first = groups[0].shape[0], tf.reshape(groups[0], (-1,))[0]
    zero = tf.cast(first < -math.inf, tf.int32)
    places = [tf.fill((number, *shape), first) for shape in shapes]
    arrays = [tf.TensorArray(p.dtype, number).unstack(p) for p in places]

    def body(i, *arrays):
        found = function(*(group[i] for group in groups))
        return i + 1, *(a.write(i, each) for a, each in zip(arrays, found, strict=True))

    _, *arrays = tf.while_loop(lambda i, *_: i < number, body, (zero, *arrays))
    return [a.stack() for a in arrays]
