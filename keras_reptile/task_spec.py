"""What one task looks like: its numbers, and whether they fit together."""

import dataclasses

from keras_reptile.class_pool import ClassPool
from keras_reptile.networks import check_positive


@dataclasses.dataclass(frozen=True)
class TaskSpec:
    """What one task looks like.

    Args:
        ways: Integer, classes in a task.
        shots: Integer, support images of each class: those that the inner loop learns from.
        queries: Integer, further images of each class, on which the adapted weights are judged.
        inner_batch_size: Integer, images in a minibatch of the inner loop.
        inner_steps: Integer, minibatches, and so optimizer steps, in the inner loop.
        minibatches: String, `"cycling"` (pass after pass over the support set, each in a new
            order, minibatches running on across the passes) or `"replacement"` (each minibatch
            drawn anew from the whole support set, no image twice in it).

    Raises:
        ValueError: If a number is out of range, `minibatches` is unknown, or a minibatch drawn
            with replacement would be larger than the support set.
    """

    ways: int
    shots: int
    queries: int = 1
    inner_batch_size: int = 10
    inner_steps: int = 5
    minibatches: str = "cycling"

    def __post_init__(self):
        for name in ("ways", "shots", "inner_batch_size", "inner_steps"):
            check_positive(name, getattr(self, name))
        if self.queries < 0:
            raise ValueError(f"`queries` must not be negative. Received: queries={self.queries}.")
        if self.minibatches not in ("cycling", "replacement"):
            raise ValueError(
                "`minibatches` must be 'cycling' or 'replacement'. "
                f"Received: minibatches={self.minibatches!r}."
            )
        if self.minibatches == "replacement" and self.inner_batch_size > self.support_size:
            raise ValueError(
                "A minibatch with replacement must not exceed the support set of ways * shots "
                f"images. Received: inner_batch_size={self.inner_batch_size}, ways={self.ways}, "
                f"shots={self.shots}. Lower `inner_batch_size` or use minibatches='cycling'."
            )

    @property
    def support_size(self) -> int:
        return self.ways * self.shots

    @property
    def passes(self) -> int:
        """Random orders of the whole support set that a task's minibatches take."""
        if self.minibatches == "replacement":
            return self.inner_steps
        return -(-self.inner_steps * self.inner_batch_size // self.support_size)

    def check_against(self, pool: ClassPool) -> None:
        """Raises `ValueError` if a pool cannot give such tasks."""
        if self.ways > len(pool):
            raise ValueError(
                "`ways` must not exceed the number of classes in the pool. Received: "
                f"ways={self.ways}, with {len(pool)} classes. Lower `ways` or use a larger pool."
            )
        if self.shots + self.queries > pool.counts.min():
            raise ValueError(
                "`shots + queries` must not exceed the images of a class. Received: "
                f"shots={self.shots}, queries={self.queries}, with {pool.counts.min()} images in "
                "the smallest class. Lower `shots` or `queries`."
            )
