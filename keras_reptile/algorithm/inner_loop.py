"""`InnerLoop`: how a network adapts to a task, as one value."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf

from keras_reptile.algorithm import adaptation, loss_scaling, losses, prediction
from keras_reptile.algorithm.adaptation import Adaptation
from keras_reptile.algorithm.inner_optimizers import InnerState
from keras_reptile.algorithm.methods import METHODS, Method
from keras_reptile.algorithm.network_function import NetworkFunction
from keras_reptile.algorithm.partial_adaptation import ALL, Parts
from keras_reptile.kernels.forms import TWICE_DIFFERENTIABLE, Forms


@dataclasses.dataclass(frozen=True, eq=False)
class InnerLoop:
    """The operator U_k, which takes theta to a task's solution W_k, and prediction with W_k.

        W_k = U_k(theta):   k times   w <- U(rate * w, grad L_b(rate * w)),   b the next minibatch

    It contains everything that adaptation depends on, except for the task, theta and the inner
    state. All ways of execution use it, see `execution`.

    f: The `NetworkFunction`, f(W, x).
    loss: A `keras.losses.Loss`, or a function `(y_true, y_pred)`; L.
    optimizer: An `InnerSGD` or `InnerAdam`; U.
    method: String, a key of `METHODS`. It decides which values of the steps are kept for the outer
        loop. Defaults to `"reptile"`, W_k only, which is also right outside of training.
    weight_decay_rate: Float, multiplies the weights before each step. Defaults to `1.0`, no decay.
    as_taken: Function from a structure of images to the network's inputs; it scales bytes.
        Defaults to the identity.
    parts: The `Parts` of the network's weights: those that the loop moves, and the others.
        Defaults to all and none.

    A task is a dict: `"support"`, a pair of images `(images, ...)` and targets `(images, ...)`;
    `"order"`, int32 `(steps, inner_batch_size)`, the images of each minibatch; `"tail"`, int32
    `(images,)`, one more minibatch, or absent; `"number"`, a pair of int32 scalars, different for
    each task, from which random layers draw their numbers.
    """

    f: NetworkFunction
    loss: Any
    optimizer: Any
    method: str = "reptile"
    weight_decay_rate: float = 1.0
    as_taken: Callable = lambda images: images
    parts: Parts = ALL

    @property
    def rules(self) -> Method:
        """The equations of the method."""
        return METHODS[self.method]

    def for_evaluation(self) -> "InnerLoop":
        """Returns the loop with the same steps, which keeps only W_k."""
        parts = dataclasses.replace(self.parts, records=False)
        return dataclasses.replace(self, method="reptile", parts=parts)

    def with_forms(self, forms: Forms, non_trainable: Sequence | None = None) -> "InnerLoop":
        """Returns the loop with other forms of layers. Its results are the same.

        Args:
            forms, non_trainable: See `NetworkFunction`.
        """
        f = dataclasses.replace(self.f, forms=forms, non_trainable=non_trainable)
        return dataclasses.replace(self, f=f)

    def adapt(self, task: dict, theta: Sequence, state: InnerState) -> Adaptation:
        """Runs the inner loop on one task, by the method.

        Args:
            task: See above.
            theta: Sequence of tensors, the weights to start from.
            state: The `InnerState` to start from.

        Returns:
            An `Adaptation` of all weights. If the steps of phi are recorded, its weights are
            (phi_k, psi_k): see `partial_adaptation`. `Parts.solution` returns the weights for
            predictions.
        """
        parts, order, tail = self.parts, task["order"], task.get("tail")
        start = parts.carried_state(state)
        result = self.minimize(self.loss_of(task), theta, start, order, tail, parts)
        return result._replace(
            weights=parts.whole(theta, result.weights),
            state=parts.whole_state(state, result.state),
        )

    def minimize(
        self,
        loss_fn: Callable,
        theta: Sequence,
        state: InnerState,
        order: tf.Tensor,
        tail: tf.Tensor | None = None,
        parts: Parts = ALL,
    ) -> Adaptation:
        """Runs the inner loop on a loss `(weights, minibatch, step)`, of one task or of many.

        Args:
            loss_fn, order, tail: See `adaptation.adapt`.
            theta: Sequence of tensors, all weights if `parts` is given, else the carried weights
                only.
            state: The `InnerState` of the carried weights.
            parts: The `Parts` of theta. Defaults to all and none.
        """
        adapt = loss_scaling.where_needed(self.rules.adapt, self.f.network)
        optimizer = self.parts.optimizer(self.optimizer)
        return adapt(loss_fn, optimizer, theta, state, order, tail, self.weight_decay_rate, parts)

    def advance(
        self,
        loss_fn: Callable,
        so_far: Adaptation,
        order: tf.Tensor,
        first: Any,
        last: Any,
        base: Any,
    ) -> Adaptation:
        """Runs the steps from number `first` to before number `last`.

        Args:
            loss_fn: Function `(weights, minibatch, step)` to a scalar loss.
            so_far: The `Adaptation` after the earlier steps.
            order, first, last, base: See `adaptation.steps_between`.
        """
        run = loss_scaling.where_needed(adaptation.steps_between, self.f.network)
        keeps_last = "before_last" in self.rules.keeps
        rate = self.weight_decay_rate
        optimizer = self.parts.optimizer(self.optimizer)
        result = run(loss_fn, optimizer, so_far, order, first, last, rate, base, keeps_last)
        # `first_loss` of an earlier segment is already unscaled: keep it.
        first_loss = tf.where(first == 0, result.first_loss, so_far.first_loss)
        return result._replace(first_loss=first_loss)

    def loss_of(self, task: dict) -> Callable:
        """Returns the loss of a task's minibatches, a function `(weights, minibatch, step)`."""
        support = self.as_taken(task["support"][0]), task["support"][1]

        def loss_fn(weights, minibatch, step):
            call_id = tf.stack([*task["number"], step])
            x, y = tf.nest.map_structure(lambda t: tf.gather(t, minibatch), support)
            return self.minibatch_loss(weights, x, y, call_id)

        return loss_fn

    def minibatch_loss(self, weights: Sequence, x: Any, y: Any, call_id: tf.Tensor) -> tf.Tensor:
        """Returns the scalar that an inner step minimizes, in the dtype of the weights."""
        outputs, penalty = self._differentiable.train(weights, x, call_id)
        return losses.batch_loss(self.loss, y, tf.cast(outputs, weights[0].dtype)) + penalty

    def predict(
        self, weights: Sequence, support_x: Any, query_x: Any, *, transductive: bool
    ) -> tf.Tensor:
        """Predicts a task's queries, `(queries, outputs)`, see `prediction.predict`."""
        images = None if support_x is None else self.as_taken(support_x), self.as_taken(query_x)
        return prediction.predict(self.f, weights, *images, transductive)

    @property
    def _differentiable(self) -> NetworkFunction:
        if not self.rules.second_order:
            return self.f
        return dataclasses.replace(self.f, forms=(*self.f.forms, *TWICE_DIFFERENTIABLE))
