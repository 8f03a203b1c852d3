"""What a meta-step costs on N replicas, on paper.

    t(N) = t_tasks(M / N) + t_reduce(N)
    t_reduce(N) = 2 (N - 1) / N * bytes / bandwidth + 2 (N - 1) * latency

The second line is a ring: every replica passes on 2 (N - 1) pieces of bytes / N each. What is
reduced is one displacement and one mean inner state, whatever M and the number of inner steps.
"""

from typing import Any


def reduced_bytes(model: Any) -> int:
    """Bytes that a meta-step of a built `ReptileModel` sums over replicas, figures left out.

    Example:

    >>> network = keras.Sequential([keras.Input((2,)), keras.layers.Dense(3)])
    >>> model = keras_reptile.ReptileModel(network, keras.optimizers.Adam(beta_1=0.0))
    >>> reduced_bytes(model)  # 9 weights and as many second moments, in float32
    72
    """
    # The inner state's first variable counts steps, which all replicas make alike.
    summed = [*model.network.trainable_variables, *model.inner_variables[1:]]
    return sum(v.value.dtype.size * int(v.shape.num_elements()) for v in summed)


def reduce_seconds(size: float, replicas: int, bandwidth: float, latency: float = 0.0) -> float:
    """Seconds that a ring all-reduce takes.

    Args:
        size: Float, bytes.
        replicas: Integer, N.
        bandwidth: Float, bytes a second from one replica to the next.
        latency: Float, seconds for each piece that is passed on. Defaults to `0.0`.

    Example:

    >>> reduce_seconds(1e6, replicas=1, bandwidth=1e9)
    0.0
    >>> reduce_seconds(1e6, replicas=2, bandwidth=1e9)
    0.001
    """
    pieces = 2 * (replicas - 1)
    return pieces / replicas * size / bandwidth + pieces * latency


def step_seconds(
    tasks: int, task_seconds: float, size: float, replicas: int, bandwidth: float, latency: float
) -> float:
    """Seconds of a meta-step of `tasks` tasks, each of which takes a replica `task_seconds`.

    Example:

    >>> step_seconds(256, 0.01, size=0, replicas=256, bandwidth=1e9, latency=0.0)
    0.01
    """
    share = -(-tasks // replicas)
    return share * task_seconds + reduce_seconds(size, replicas, bandwidth, latency)


def balanced_tasks(
    task_seconds: float, size: float, replicas: int, bandwidth: float, latency: float
) -> float:
    """Tasks a replica at which it computes as long as it reduces; with fewer, reducing dominates.

    Example:

    >>> balanced_tasks(0.001, 1e6, replicas=2, bandwidth=1e9, latency=0.0)
    1.0
    """
    return reduce_seconds(size, replicas, bandwidth, latency) / task_seconds
