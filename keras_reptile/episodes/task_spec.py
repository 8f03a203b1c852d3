"""The sizes of a task, and the check that they fit together."""

import dataclasses

import numpy as np

from keras_reptile.checks import INT32, check_integer, check_positive, counted
from keras_reptile.episodes.class_groups import large_groups
from keras_reptile.episodes.class_pool import ClassPool

# Positions of images are integers of 32 bits.
POSITIONS = INT32


@dataclasses.dataclass(frozen=True)
class TaskSpec:
    """The sizes of a task.

    Args:
        ways: Integer, classes in a task.
        shots: Integer, support images of each class. The inner loop learns from them.
        queries: Integer, further images of each class. The adapted weights are evaluated on them.
            Defaults to `1`.
        inner_batch_size: Integer, images in a minibatch of the inner loop. Defaults to `10`.
        inner_steps: Integer, optimizer steps in the inner loop. Each takes one minibatch. Defaults
            to `5`.
        minibatches: String, how minibatches are drawn from the support set. `"cycling"`: the
            support set is shuffled again and again, and the stream of its images is cut into
            minibatches, so that a minibatch can span two passes. `"replacement"`: each minibatch
            is drawn from the whole support set, without an image twice in it. Defaults to
            `"cycling"`.
        tail_shots: Integer, support images of each class that only the last inner step sees. All
            of them are its minibatch. The earlier minibatches are drawn from the other images.
            `None` for a shared tail: the last minibatch is drawn like the others. Defaults to
            `None`.

    Raises:
        ValueError: If a size is not an integer or out of range, `minibatches` is unknown, a
            minibatch with replacement is larger than the set from which it is drawn, or the tail
            takes all images or all steps.
    """

    ways: int
    shots: int
    queries: int = 1
    inner_batch_size: int = 10
    inner_steps: int = 5
    minibatches: str = "cycling"
    tail_shots: int | None = None

    def __post_init__(self):
        for name in ("ways", "shots", "inner_batch_size", "inner_steps"):
            self._set(name, check_positive(name, getattr(self, name)))
        self._set("queries", check_integer("queries", self.queries, 0))
        if self.minibatches not in ("cycling", "replacement"):
            raise ValueError(
                "`minibatches` must be 'cycling' or 'replacement'. "
                f"Received: minibatches={self.minibatches!r}."
            )
        self._check_tail()
        if self.minibatches == "replacement" and self.inner_batch_size > self.drawn_size:
            raise ValueError(
                f"A minibatch with replacement must not exceed {self._drawn_from()}. "
                f"Received: inner_batch_size={self.inner_batch_size}, ways={self.ways}, "
                f"shots={self.shots}{self._and_tail()}. "
                "Lower `inner_batch_size` or use minibatches='cycling'."
            )
        self._check_order()

    def _set(self, name: str, number: int) -> None:
        object.__setattr__(self, name, number)

    def _check_order(self):
        images = self.ways * (self.shots + self.queries)
        if max(images, self.passes * self.drawn_size) > POSITIONS:
            raise ValueError(
                f"A task and its minibatches must not hold more than {POSITIONS:,} images each. "
                f"Received: inner_steps={self.inner_steps}, "
                f"inner_batch_size={self.inner_batch_size}, ways={self.ways}, shots={self.shots}, "
                f"queries={self.queries}. Lower one of them."
            )

    def _check_tail(self):
        if self.tail_shots is None:
            return
        self._set("tail_shots", check_integer("tail_shots", self.tail_shots, -POSITIONS))
        if not 0 < self.tail_shots < self.shots:
            raise ValueError(
                "`tail_shots` must be at least 1 and less than `shots`. Received: "
                f"tail_shots={self.tail_shots}, shots={self.shots}. Raise `shots`, or leave "
                "`tail_shots` out for a last minibatch like the others."
            )
        if self.inner_steps < 2:
            raise ValueError(
                "`tail_shots` needs `inner_steps` of at least 2, because the tail is the last "
                f"step's minibatch. Received: tail_shots={self.tail_shots}, "
                f"inner_steps={self.inner_steps}. Raise `inner_steps` or leave `tail_shots` out."
            )

    def _drawn_from(self):
        if self.tail_shots is None:
            return "the support set of ways * shots images"
        return "the ways * (shots - tail_shots) images outside the tail"

    def _and_tail(self):
        return "" if self.tail_shots is None else f", tail_shots={self.tail_shots}"

    @property
    def drawn_shots(self) -> int:
        """Support images of each class outside the tail. Minibatches are drawn from them."""
        return self.shots - (self.tail_shots or 0)

    @property
    def drawn_size(self) -> int:
        return self.ways * self.drawn_shots

    @property
    def drawn_steps(self) -> int:
        """The number of minibatches without the tail."""
        return self.inner_steps - (self.tail_shots is not None)

    @property
    def passes(self) -> int:
        """The number of random permutations that a task's minibatches need."""
        if self.minibatches == "replacement":
            return self.drawn_steps
        return -(-self.drawn_steps * self.inner_batch_size // self.drawn_size)

    def check_against(self, pool: ClassPool, within_groups: bool = False) -> None:
        """Raises `ValueError` if a pool is too small for such tasks, or for them within groups."""
        if not isinstance(pool, ClassPool):
            raise ValueError(
                f"`pool` must be a ClassPool. Received: {type(pool).__name__}. Make one with "
                "`ClassPool.from_arrays(images, labels)`."
            )
        if self.ways > len(pool):
            raise ValueError(
                "`ways` must not exceed the number of classes in the pool. Received: "
                f"ways={self.ways}, with {counted(len(pool), 'class', 'classes')}. Lower `ways` or "
                "use a larger pool."
            )
        drawn = np.concatenate(large_groups(pool, self.ways)) if within_groups else slice(None)
        if self.shots + self.queries > (fewest := pool.counts[drawn].min()):
            raise ValueError(
                "`shots + queries` must not exceed the images of a class. Received: "
                f"shots={self.shots}, queries={self.queries}, with {fewest} images in "
                "the smallest class. Lower `shots` or `queries`."
            )
