"""Fine-tuned networks that take bytes (uint8) in the same way as the model that they come from.

Such a network is still an instance of its class, for example `keras.Sequential`, with `FineTuned`
as a mixin. A layer could not scale bytes: Keras converts them to floats before the first layer
receives them.
"""

import functools
from typing import Any

import keras

from keras_reptile.checks import check_whole_model_file
from keras_reptile.episodes.first_layers import declared_inputs
from keras_reptile.episodes.input_ranges import InputRanges, watched
from keras_reptile.episodes.network_inputs import as_taken, taken_by
from keras_reptile.keras_internals import unpickled_model


@keras.saving.register_keras_serializable(package="keras_reptile")
class FineTuned:
    """The mixin with which a network's class takes bytes.

    A file of such a network has the network's original class and config. It can be loaded after
    `keras_reptile` is imported.
    """

    # These are attributes of the class, because `keras.models.clone_model` calls the class.
    byte_scale: float | None
    trained_on_bytes: bool
    _plain: Any

    @property
    def _ranges(self) -> InputRanges:
        ranges = InputRanges(self.byte_scale, self.trained_on_bytes)
        return vars(self).setdefault("_own_ranges", ranges)

    def fit(self, x: Any = None, *args, **kwargs) -> Any:
        x = watched(x, self, self._ranges)
        return super().fit(x, *args, **kwargs)  # type: ignore[misc]

    def evaluate(self, x: Any = None, *args, **kwargs) -> Any:
        x = watched(x, self, self._ranges)
        return super().evaluate(x, *args, **kwargs)  # type: ignore[misc]

    def predict(self, x: Any, *args, **kwargs) -> Any:
        x = watched(x, self, self._ranges)
        return super().predict(x, *args, **kwargs)  # type: ignore[misc]

    def save(self, filepath: Any, *args, **kwargs) -> None:
        check_whole_model_file(filepath)
        super().save(filepath, *args, **kwargs)  # type: ignore[misc]

    def get_config(self) -> dict[str, Any]:
        # The same object as an instance of its original class.
        plain = object.__new__(self._plain)
        object.__setattr__(plain, "__dict__", vars(self))
        network = keras.saving.serialize_keras_object(plain)
        network.pop("compile_config", None)
        return {
            "network": network,
            "byte_scale": self.byte_scale,
            "trained_on_bytes": self.trained_on_bytes,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: dict | None = None) -> Any:
        network = keras.saving.deserialize_keras_object(
            config["network"], custom_objects=custom_objects
        )
        return with_bytes(network, config["byte_scale"], config["trained_on_bytes"])

    def __reduce__(self) -> tuple:
        # Pickle cannot find classes that are created at run time.
        return unpickled_model(), super().__reduce__()[1]


def taking_bytes(network: keras.Model, scale: float | None, trained_on_bytes: bool) -> keras.Model:
    """Adds the mixin `FineTuned` to a network if it would take bytes differently without it.

    Args:
        network: A `keras.Model`.
        scale: Float or None, see `network_inputs.resolved`.
        trained_on_bytes: Boolean, whether the model that it comes from was trained on bytes.

    Returns:
        The same network.
    """
    inputs = declared_inputs(network)
    is_scaled = scale is not None and any(taken_by(network, i).is_scaled for i in inputs)
    if inputs and not is_scaled and not isinstance(network, FineTuned):
        return network
    return with_bytes(network, scale, trained_on_bytes)


def with_bytes(network: keras.Model, scale: float | None, trained_on_bytes: bool) -> keras.Model:
    """Adds the mixin `FineTuned` to a network, in place of an earlier one, and returns it."""
    plain: Any = type(network)
    if isinstance(network, FineTuned):
        plain = network._plain
    object.__setattr__(network, "__class__", _mixed(plain, scale, trained_on_bytes))
    return network


@functools.cache
def _mixed(plain: Any, scale: float | None, trained_on_bytes: bool) -> type:
    """Returns a subclass of a network's class with the mixin `FineTuned`."""

    @functools.wraps(plain.call)
    def call(self, inputs, *args, **kwargs):
        return plain.call(self, as_taken(inputs, self, self.byte_scale), *args, **kwargs)

    scaling = {"byte_scale": scale, "trained_on_bytes": trained_on_bytes}
    own = {"call": call, "_plain": plain, "__module__": __name__, **scaling}
    kind = type("FineTuned", (FineTuned, plain), own)
    return keras.saving.register_keras_serializable(package="keras_reptile")(kind)
