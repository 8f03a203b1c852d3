"""A model whose initialization is adapted, given another head, or exported."""

from typing import Any

import keras
import tensorflow as tf

from keras_reptile import learner
from keras_reptile.algorithm import network_copy
from keras_reptile.algorithm.assignments import check_assignments
from keras_reptile.algorithm.inference_mode import check_normalizations
from keras_reptile.algorithm.inner_optimizers import InnerState
from keras_reptile.algorithm.network_checks import check_built, check_trainable
from keras_reptile.algorithm.network_function import values_of
from keras_reptile.algorithm.orientations import check_orientations, in_each_orientation
from keras_reptile.checks import INT32, check_boolean, check_integer, check_positive, check_seed
from keras_reptile.episodes.episode_checks import episodes_of
from keras_reptile.episodes.label_checks import known_outputs
from keras_reptile.episodes.sampling import INNER_BATCH_SIZE, support_order
from keras_reptile.learner import Initialization
from keras_reptile.model import new_head, support_set
from keras_reptile.model.episodes import EpisodeModel


class AdaptingModel(EpisodeModel):
    """A model with an initialization that users fine-tune and export. It stays as it is."""

    def _before_fit(self) -> None:
        self._made_once("copyable", lambda: network_copy.warn_of_no_copy(self.network))

    def adapt_and_predict(self, episodes: dict, transductive: bool | None = None) -> tuple:
        """Predicts each task's queries with its adapted weights. The model stays as it is.

        Args:
            episodes: An element of `episode_dataset`.
            transductive: Boolean. Defaults to `None`, the model's own setting.

        Returns:
            Tuple of the first minibatches' losses `(meta_batch_size,)` and the predictions
            `(meta_batch_size, ways * queries, outputs)`, both in the dtype of the weights.

        Raises:
            ValueError: If the model is not compiled, `episodes` are not a meta-batch, or
                `transductive` is not a boolean.
        """
        self._check_compiled()
        episodes = episodes_of(episodes)
        transductive = self.transductive if transductive is None else transductive
        check_boolean("transductive", transductive)
        first_loss, (predictions,) = self._evaluate_tasks(episodes, (transductive,))
        return first_loss, predictions

    # The parts that subclasses implement

    inner_optimizer_config: dict[str, Any]

    def _evaluate_tasks(self, episodes: dict, modes: tuple[bool, ...]) -> tuple:
        """Adapts to each task, and predicts its queries in each mode."""
        raise NotImplementedError

    def _starting_state(self, theta: list) -> InnerState:
        """Returns the inner state that tasks start from."""
        raise NotImplementedError

    # Learners

    def adapt(
        self,
        support_x: Any,
        support_y: Any,
        steps: int = 50,
        inner_batch_size: int | None = None,
        seed: int = 0,
        head: str = "keep",
        orientations: int = 1,
    ) -> keras.Model:
        """Returns a fine-tuned copy of the network, an ordinary compiled `keras.Model`.

        The copy starts from the initialization and the carried inner state, and the inner loop runs
        on the support set. Its optimizer is the inner optimizer with the state after these steps:
        `learner.fit` continues them, without the decay of `inner_weight_decay_rate`. Its batch
        normalization has the support set's statistics, computed without dropout, so that `predict`
        treats each image independently. The model itself stays as it is.

        With `orientations=R`, R copies of the network are fine-tuned, each on the support set in
        another orientation. The learner is the mean of their outputs,

            1/R sum_r f(r(x); W_r)

        and `fit` moves the weights of all copies by the loss of this mean. Use 4 and 8 for a
        network that was trained on turned classes, as on Omniglot.

        Args:
            support_x: Array `(images, ...)`, uint8 or inputs of the network.
            support_y: Array `(images,)`, integer labels from 0, or targets of the loss.
            steps: Integer, inner steps; 0 for none, to fine-tune with `fit`. Defaults to `50`.
            inner_batch_size: Integer, images in a minibatch, which cycle through the support set.
                Defaults to `None`: 10, or all images if there are fewer.
            seed: Integer, decides the order of the minibatches, and a new head's kernel.
                Defaults to `0`.
            head: String. `"keep"`: the network as it is. `"replace"`: a new last layer with as
                many outputs as the largest label needs, on the meta-learned body. `"shared"`: as
                many outputs, each of which starts from the meta-learned one, for a model with
                `head="shared"`. Defaults to `"keep"`.
            orientations: Integer, R: 1; 2 for the images and their mirror images; 4 for the images
                turned by 0, 90, 180 and 270 degrees; or 8 for the turned and the mirrored ones.
                The network must take images `(rows, columns, channels)`; with 4 and 8 they must be
                square. Defaults to `1`.

        Raises:
            ValueError: If there are no images, another number of labels, a label without an
                output, a negative number of steps, no head to replace, images that cannot be
                turned, or a network that Keras cannot make again from its configuration.
        """
        steps = check_integer("steps", steps, 0)
        orientations = check_orientations(orientations)
        seed = check_seed("seed", seed, 0, INT32)
        self._check_compiled()
        x, y, number = support_set.checked(self.network, support_x, support_y)
        self._input_ranges.watch_arrays(self.network, x)
        batch = min(number, INNER_BATCH_SIZE) if inner_batch_size is None else inner_batch_size
        batch = check_positive("inner_batch_size", batch)
        support_set.check_can_be_turned(
            self.network, x, y, orientations, has_labels=self._is_classifier
        )
        model, traced = new_head.for_labels(self, head, y, seed)
        order = support_order(number, batch, steps, seed)
        tasks = [
            {"support": (each, y), "order": order, "number": (tf.constant(seed), tf.constant(0))}
            for each in in_each_orientation(x, orientations)
        ]
        return model._fine_tuned(tasks, steps, traced)

    def _fine_tuned(self, tasks: list[dict], steps: int, traced: "AdaptingModel") -> keras.Model:
        """Returns the learner of a task, computed by the traces of a model of the same layers.

        Args:
            tasks: List of dicts, the task in each orientation.
            steps: See `adapt`.
            traced: The other model.
        """
        (x, y), network = tasks[0]["support"], self.network
        check_built(network)
        check_trainable(network)
        traced._made_once("assignments", lambda: check_assignments(network, x))
        traced._made_once("normalizations", lambda: check_normalizations(network, x))
        if self._is_classifier:
            outputs, places = known_outputs(network), support_set.places_of(network)
            support_set.check_labels(y.numpy(), outputs, places)
        make = lambda: learner.adaptation(traced._inner_loop.for_evaluation())  # noqa: E731
        adapt = traced._made_once("adapt", make)
        return learner.fine_tuned(self._initialization(), adapt, tasks, steps)

    def _initialization(self) -> Initialization:
        """Returns everything that a learner is made from, except for its task."""
        theta = values_of(self.network.trainable_variables)
        return Initialization(
            self._inner_loop.for_evaluation(),
            self._starting_state(theta),
            self.inner_optimizer_config,
            self._byte_scale,
            self.trained_on_bytes,
        )

    def with_head(self, ways: int, seed: int = 0) -> Any:
        """Returns a model for another number of classes: the same body under a new last layer.

        The body has the meta-learned weights and their carried inner state. If this model has
        `head="shared"`, each output of the new layer starts from the meta-learned one. Otherwise
        the new layer is not meta-learned, but drawn at random: the inner steps have to learn it.
        Loss, inner optimizer and outer optimizer are those of this model, the outer optimizer at
        its beginning. The model itself stays as it is.

        Args:
            ways: Integer, outputs of the new head.
            seed: Integer, decides a random kernel. Defaults to `0`.

        Returns:
            A `ReptileModel`, compiled if this one is. `keras_reptile.evaluate` evaluates it on
            tasks of this number of classes.

        Raises:
            ValueError: If a number is out of range, or the network is not built, or is not a
                functional or sequential one that ends in a `Dense` layer.

        Example:

        >>> network = keras.Sequential([keras.Input((2,)), keras.layers.Dense(3)])
        >>> model = keras_reptile.ReptileModel(network)
        >>> model.with_head(7).network.output_shape
        (None, 7)
        """
        return new_head.with_head(self, ways, seed)

    def export_learner(
        self,
        path: Any,
        *,
        class_names: Any = None,
        metadata: dict[str, Any] | None = None,
        overwrite: bool = False,
        steps: int = 50,
        orientations: int = 1,
    ) -> None:
        """Writes a SavedModel that TensorFlow alone can fine-tune on a support set and serve.

        See docs/how_to/export.md for its endpoints. Beside them lie the network as network.keras,
        this model as model.keras, and metadata.json. The model itself stays as it is.

        Args:
            path: String or path of a directory. It appears when it is complete.
            class_names: Sequence of strings, one for each output. Defaults to `None`, none.
            metadata: Dict that JSON can hold, added to metadata.json. Defaults to `None`.
            overwrite: Boolean, replace an earlier export. Defaults to `False`.
            steps: Integer, inner steps of a call that names none. Such a call has the inner
                optimizer's learning rate. If that is a schedule, calls must name both.
                Defaults to `50`.
            orientations: Integer, the orientations in which `adapt_and_predict` solves a task, as
                in `adapt`. Defaults to `1`.

        Raises:
            ValueError: If the model is not built and compiled, its network does not have one input
                of known shape, a name, the metadata, the steps or the orientations are wrong, or
                the path exists.

        Example:

        >>> network = keras.Sequential([keras.Input((2,)), keras.layers.Dense(3)])
        >>> model = keras_reptile.ReptileModel(network)
        >>> model.compile(keras.optimizers.SGD(1.0))
        >>> folder = __import__("tempfile").mkdtemp() + "/learner"
        >>> model.export_learner(folder, class_names=["a", "b", "c"])
        >>> tf.saved_model.load(folder).class_names().numpy()
        array([b'a', b'b', b'c'], dtype=object)
        """
        # Imported here: training needs neither locks nor files.
        from keras_reptile.export import saved_model

        saved_model.export(self, path, class_names, metadata, overwrite, steps, orientations)

    def export(self, *args, **kwargs) -> None:
        """Raises an error: an export by Keras would not adapt.

        Raises:
            ValueError: Always.
        """
        raise ValueError(
            "Keras's `export` would keep only the initialization. Use `export_learner(path)` for "
            "a SavedModel that adapts, or `network.export(path)` on this model's network."
        )
