"""The loss by which Keras continues the inner loop of a learner."""

from typing import Any

import keras
import tensorflow as tf

from keras_reptile.algorithm.known_layers import is_keras_own
from keras_reptile.algorithm.losses import values_of_examples


def of_learner(loss: Any) -> Any:
    """Returns a tasks' loss, or in its place one that is the same under Keras.

    Keras casts the integer labels of a function to floats, and sums a loss without a reduction over
    the batch.

    Args:
        loss: The loss, from `losses.get_loss`.
    """
    if isinstance(loss, keras.losses.Loss):
        return LearnerLoss(loss) if loss.reduction in (None, "none") else loss
    return loss if is_keras_own(loss) else LearnerLoss(loss)


@keras.saving.register_keras_serializable(package="keras_reptile")
class LearnerLoss(keras.losses.Loss):
    """The mean of a loss whose targets are those of `losses.batch_loss`.

    Args:
        loss: A `keras.losses.Loss`, or a function `(y_true, y_pred)`.
        name: String. Defaults to `None`.
    """

    def __init__(self, loss: Any, name: str | None = None):
        super().__init__(name=name)
        self.loss = loss

    def __call__(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> Any:
        # Computed here: Keras converts what it passes to `call` to floats.
        values = values_of_examples(self.loss, y_true, tf.cast(y_pred, self.dtype))
        return super().__call__(values, y_pred, sample_weight)

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Returns its first argument, the values of the loss."""
        return y_true

    def get_config(self) -> dict[str, Any]:
        return {"loss": keras.saving.serialize_keras_object(self.loss), "name": self.name}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "LearnerLoss":
        loss = keras.saving.deserialize_keras_object(config["loss"])
        return cls(loss, config["name"])
