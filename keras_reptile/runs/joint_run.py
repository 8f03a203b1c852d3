"""How a run makes its meta-steps: by itself, or in one program with other runs."""

import time
from collections.abc import Callable, Sequence
from typing import Any

from keras_reptile.episodes.class_pool import Pools
from keras_reptile.runs import run_classes
from keras_reptile.runs.run_directory import RunDirectory
from keras_reptile.runs.stop_on_signal import Flag
from keras_reptile.runs.turns import Turn


class SingleRun:
    """A run that makes its meta-steps by itself.

    Args:
        beside: Sequence of `RunDirectory`, runs whose results are compared with those of this one.
            Their data must be the same. Defaults to `()`, none.
    """

    # Set when a signal asks the run to stop. `None`: the run listens for signals itself.
    stopped: Flag | None = None

    def __init__(self, beside: Sequence[RunDirectory] = ()):
        self.beside = beside

    def clock(self) -> float:
        """Returns the seconds of this run. Only differences of its values have a meaning."""
        return time.perf_counter()

    def pools(self, load: Callable[[], Pools]) -> Pools:
        """Returns the data that a function loads.

        Raises:
            RunError: If a run in `beside` began with other classes.
        """
        pools = load()
        for directory in self.beside:
            run_classes.check_same(directory, pools)
        return pools

    def join(self, model: Any) -> None:
        """Sets who makes the steps of a model's `fit`. For a single run it is Keras."""


class JointRun(SingleRun):
    """A run that makes its meta-steps together with others.

    Its clock counts its own seconds, and its share of the seconds of steps that are made together.
    So the seconds of all runs add up to those that passed.

    Args:
        turn: The `Turn` in which the run trains. A request is a pair of a model and the next
            element of its data, see `JointSteps`. Its answer is a pair of the logs, and the run's
            share of the seconds.
        stopped: `Flag` that is set when a signal asks all runs to stop.
        loaded: List to which the first run adds its data. The others use them, too, because they do
            not depend on the seed.
        beside: As in `SingleRun`. Defaults to `()`.
    """

    def __init__(
        self,
        turn: Turn,
        stopped: Flag,
        loaded: list[Pools],
        beside: Sequence[RunDirectory] = (),
    ):
        super().__init__(beside)
        self.turn, self.stopped, self.loaded = turn, stopped, loaded
        self._of_others = 0.0

    def clock(self) -> float:
        return time.perf_counter() - self._of_others

    def pools(self, load: Callable[[], Pools]) -> Pools:
        if not self.loaded:
            self.loaded.append(super().pools(load))
        return self.loaded[0]

    def join(self, model: Any) -> None:
        def step(iterator):
            element = next(iterator)
            asked = time.perf_counter()
            logs, share = self.turn.ask((model, element))
            self._of_others += time.perf_counter() - asked - share
            return logs

        model._join(step)
