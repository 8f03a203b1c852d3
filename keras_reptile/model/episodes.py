"""A model that reads episodes: which data the entry points of Keras take, after which checks."""

import contextlib
import functools
import weakref
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_reptile import distribution
from keras_reptile.algorithm import losses
from keras_reptile.algorithm.network_function import mode, seeds_of, set_seeds
from keras_reptile.distribution.model import argument_of
from keras_reptile.episodes import data_checks, input_ranges, label_checks, network_inputs
from keras_reptile.episodes.episode_checks import channels_explained
from keras_reptile.episodes.episode_dataset import executions_of
from keras_reptile.episodes.episode_format import (
    as_episodes,
    is_episode,
    symbolic_batch,
    symbolic_support,
)
from keras_reptile.episodes.repeats import warn_of_repeated_tasks
from keras_reptile.execution.settings import Settings
from keras_reptile.model.lora_files import WeightsOfLora, weights_of_lora
from keras_reptile.model.planned import PlannedModel

# The key of the random generators' states in a file of weights.
SEEDS = "random_seeds"
# Attributes from which moments, compiled steps and files follow, and the argument of two of them.
OF_CONSTRUCTOR = ("network", "inner_rule", "inner_optimizer_config")
INNER_OPTIMIZER = "inner_optimizer"


class EpisodeModel(PlannedModel):
    """A model around a network, that trains and evaluates on episodes.

    Bytes among the inputs are scaled for the network. Data are checked as they are read: format,
    labels, positions, range of inputs, finite numbers.

    Args:
        network: A `keras.Model` with one output.
        settings: The `Settings`.
        **kwargs: Those of `keras.Model`.
    """

    # The loss of tasks; set by `compile`.
    task_loss: Any

    def __init__(self, network: keras.Model, settings: Settings, **kwargs):
        super().__init__(settings, **kwargs)
        self.network = network
        # The network converts its inputs. Its precision may be another than that of this model.
        self.autocast = False
        self.trained_on_bytes = False
        self._fitted: Callable = lambda: None

    def __setattr__(self, name: str, value: Any) -> None:
        """Sets an attribute. Those of the constructor are set once."""
        if (name in OF_CONSTRUCTOR and name in vars(self)) or name == INNER_OPTIMIZER:
            raise ValueError(
                f"`{name}` is set by the constructor: moments, compiled steps and files follow "
                f"from it. Received: another `{name}`, for a model that has one. Make a new model: "
                "`ReptileModel(network, inner_optimizer)`."
            )
        super().__setattr__(name, value)

    @property
    def _is_classifier(self) -> bool:
        """Whether queries have integer labels, so that tasks have an accuracy."""
        return self.compiled and losses.is_sparse(self.task_loss)

    def _check_compiled(self) -> None:
        """Raises `ValueError` for a model without a loss."""
        if not self.compiled:
            raise ValueError(
                "The inner loop needs a loss. Received: a model that is not compiled. Call "
                "`model.compile(optimizer=...)` first."
            )

    # The network

    def _build_network(self, input_shape: Any) -> None:
        """Builds the network for images or episodes of these shapes, if it is not built."""
        if not self.network.built:
            if input_shape is None:
                raise ValueError(
                    "A network without weights is built for a shape of inputs. Received: "
                    "input_shape=None. Call `model.build((None, 28, 28, 1))` with the shape of a "
                    "batch of inputs, or begin the network with `keras.Input(shape)`."
                )
            # A symbolic call builds any network, also one without a `build` method.
            episode = isinstance(input_shape, dict) and "support" in input_shape
            images = input_shape["support"][0] if episode else input_shape
            self.network(symbolic_batch(images, 2 if episode else 1))

    def _build_for(self, element_spec: Any) -> None:
        """Builds for episodes, or for their element spec."""
        if not self.network.built:
            with channels_explained(element_spec):
                self.network(symbolic_support(element_spec, self.network))
        self.build()

    def call(self, inputs: Any, training: bool = False) -> Any:
        """Calls the network at the initialization; for an episode, on its support images."""
        if is_episode(inputs):
            shape_of_one = lambda t: keras.ops.reshape(t, (-1, *t.shape[2:]))  # noqa: E731
            inputs = tf.nest.map_structure(shape_of_one, inputs["support"][0])
        return self.network(self._as_taken(inputs), **mode(self.network, training))

    def get_build_config(self) -> dict[str, Any] | None:
        """Returns the build config of the network. The rest follows from it.

        Keras takes a model with a build config for built. So there is none before it is built.
        """
        return {"network": self.network.get_build_config()} if self.network.built else None

    def build_from_config(self, config: dict[str, Any]) -> None:
        """Builds the network as the config says, if it is not built."""
        shapes = ((config or {}).get("network") or {}).get("input_shape")
        if not self.network.built and shapes:
            self.build(shapes)

    def save_own_variables(self, store: Any) -> None:
        super().save_own_variables(store)
        # Keras saves the seeds of no layer, and draws those that nobody gave.
        if seeds := seeds_of(self.network):
            store[SEEDS] = np.stack([keras.ops.convert_to_numpy(seed) for seed in seeds])

    def load_own_variables(self, store: Any) -> None:
        values = {name: store[name] for name in list(store.keys())}
        seeds = values.pop(SEEDS, None)
        super().load_own_variables(values)
        # Files of earlier versions have none, and another network may have more or fewer layers.
        if seeds is not None and len(seeds) == len(seeds_of(self.network)):
            set_seeds(self.network, list(np.asarray(seeds)))

    @property
    def network_lora(self) -> WeightsOfLora | None:
        """The weights of layers with LoRA, for files only.

        Keras reads attributes in the order of their names, and so this one after `network`.
        """
        return weights_of_lora(self.network)

    def load_weights(self, filepath: Any, *args, **kwargs) -> None:
        """`keras.Model.load_weights`, into a model whose network is built.

        Raises:
            ValueError: If the network is not built.
        """
        if not self.built:
            raise ValueError(
                "`load_weights` needs a network that is built. Received: a network that is not. "
                "Begin it with `keras.Input(shape)`, or first call `model.build(shape)` or "
                "`model.build_from_config(config)` with `get_build_config()` of the saved model."
            )
        try:
            super().load_weights(filepath, *args, **kwargs)
        except ValueError as error:
            error.add_note("Weights of the network alone: `model.network.load_weights(filepath)`.")
            raise

    # The entry points of Keras

    def fit(self, x: Any = None, *args, **kwargs) -> keras.callbacks.History:
        """`keras.Model.fit` on meta-batches, without shuffling.

        As everywhere in Keras, a second `fit` starts its dataset again. An endless stream of tasks
        then repeats its first tasks, with a warning: see `start` of `episode_dataset`. On a GPU,
        the tasks of a stream are drawn there: see `draw_on_device` of `compile`.

        Raises:
            ValueError: If the data are not episodes, contain a label without an output or a value
                that is not finite, if `class_weight` is given, or if `draw_on_device` is true and
                the tasks cannot be drawn there.
        """
        given = functools.partial(argument_of, keras.Model.fit, args=args, kwargs=kwargs)
        data_checks.check_class_weight(given("class_weight"))
        warn_of_repeated_tasks(self._fitted(), x, given("callbacks"))
        history = super().fit(x, *args, **kwargs)
        if isinstance(x, tf.data.Dataset):
            self._fitted = weakref.ref(x)
        return history

    def train_on_batch(self, x: Any, *args, **kwargs) -> Any:
        """`keras.Model.train_on_batch` on one meta-batch."""
        given = argument_of(keras.Model.train_on_batch, "class_weight", args, kwargs)
        data_checks.check_class_weight(given)
        return super().train_on_batch(x, *args, **kwargs)

    def predict(self, x: Any, *args, **kwargs) -> Any:
        """`keras.Model.predict` on meta-batches, whose queries need no labels, or plain inputs."""
        with self._explained():
            return super().predict(self._checked_inputs(x), *args, **kwargs)

    def predict_on_batch(self, x: Any) -> Any:
        """`keras.Model.predict_on_batch` on one meta-batch, or plain inputs."""
        with self._explained():
            return super().predict_on_batch(self._checked_inputs(x))

    # Checks

    def _checked(
        self, data: Any, parts: tuple[str, ...] = data_checks.BOTH, query_targets: bool = True
    ) -> Any:
        """Returns the data with the checks of `data_checks.checked`."""
        data_checks.check_form(data, self.network, parts)
        outputs = self._outputs_for(data) if self._is_classifier else 0
        return data_checks.checked(
            data, self.network, outputs, self._input_ranges, parts, query_targets
        )

    def _checked_inputs(self, data: Any) -> Any:
        """Returns the data of a prediction with their checks. Queries need no targets."""
        return self._checked(data, ("support",), query_targets=False)

    def _outputs_for(self, data: Any) -> int:
        """Builds the network for these data. Returns its number of outputs, or 0 if unknown."""
        episodes = as_episodes(data)
        if episodes is None:
            return label_checks.known_outputs(self.network)
        spec = episodes.element_spec
        if any(t.shape.rank is None for t in tf.nest.flatten(spec)):
            return 0
        self.build_weights(spec)
        return label_checks.outputs_of(self.network, spec)

    def _explained(self) -> contextlib.AbstractContextManager:
        return data_checks.explained()

    # Bytes

    @property
    def _byte_scale(self) -> float | None:
        return network_inputs.resolved(self.byte_scale, self.network)

    @property
    def _as_taken(self) -> Callable:
        """The function from images to the network's inputs, which scales bytes."""
        return functools.partial(
            network_inputs.as_taken, network=self.network, scale=self._byte_scale
        )

    @property
    def _input_ranges(self) -> input_ranges.InputRanges:
        key = "ranges", self._byte_scale, self.trained_on_bytes
        return self._made_once(key, lambda: input_ranges.InputRanges(*key[1:]))

    # Datasets in the parts that a step takes

    def _divided(self, data, steps, fill=False) -> tuple:
        stream = self._source.stream
        # Of the two datasets of `fit`, that of validation is the one to be filled up.
        if stream is not None and not fill:
            return self._parts_of(stream, data, steps), steps
        # Before the checks, which would hide the type of the data.
        self._check_divisible(data)
        data = self._checked(data)
        if fill:
            data_checks.check_queries(data)
        # Steps are counted in meta-batches of the dataset.
        return super()._divided(self._regrouped(data) if fill and not steps else data, steps, fill)

    def _parts_of(self, stream, dataset, steps) -> tf.data.Dataset:
        """Returns the parts of a stream that are one program each, after checks of its dataset."""
        # All tasks of a pool have the same format and labels, and a pool has finite numbers only.
        next(iter(self._checked(dataset)))
        self.build_variables(dataset.element_spec)
        self._input_ranges.watch_arrays(self.network, stream.pool.images)
        return executions_of(stream, self._source.steps, steps)

    def _regrouped(self, data: Any, copies: int = 1) -> Any:
        """Returns the tasks of an evaluation in meta-batches that the device computes at once.

        A CPU keeps the meta-batches. If each task is computed in several copies, it gets smaller
        meta-batches: their copies are no more than the tasks of a meta-batch before. Only finite
        datasets of episodes are regrouped. All other data are returned unchanged.
        """
        episodes = as_episodes(data)
        if episodes is None or not self.compiled or int(episodes.cardinality()) <= 0:
            return data
        batch = self._evaluation_batch(episodes.element_spec, copies)
        replicas = self._plan().replicas
        if batch is not None:
            return distribution.regrouped(episodes, batch.tasks * replicas)
        if copies == 1:
            return data
        tasks = distribution.largest_meta_batch(episodes)
        return distribution.regrouped(episodes, max(replicas, tasks // copies))

    def _shares_of_batch(self, x, fill=False):
        return super()._shares_of_batch(self._checked(x), fill)
