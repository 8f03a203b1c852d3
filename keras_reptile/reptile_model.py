"""`ReptileModel`: a `keras.Model` whose training step is a meta-iteration."""

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from keras_reptile import distribution
from keras_reptile.algorithm import loss_scaling, losses, moved_layers, shared_head
from keras_reptile.algorithm.assignments import check_assignments
from keras_reptile.algorithm.carried_state import CarriedState
from keras_reptile.algorithm.inner_loop import InnerLoop
from keras_reptile.algorithm.inner_optimizers import InnerState
from keras_reptile.algorithm.keras_optimizers import check_dtypes, from_keras, optimizer_of
from keras_reptile.algorithm.methods import METHODS
from keras_reptile.algorithm.network_checks import (
    check_network,
    check_trainable,
    ends,
    symbolic_inputs,
)
from keras_reptile.algorithm.network_function import NetworkFunction, values_of
from keras_reptile.algorithm.partial_adaptation import Parts
from keras_reptile.checks import check_boolean, check_integer, check_whole_model_file
from keras_reptile.episodes import network_inputs
from keras_reptile.episodes.episode_checks import (
    check_format,
    check_no_half_episode,
    episodes_of,
)
from keras_reptile.episodes.episode_format import (
    after,
    is_episode,
    labelled,
    with_queries,
)
from keras_reptile.execution import meta_batch, numbered_tasks, outcome, replica_step
from keras_reptile.execution.plan import THE_LOOP
from keras_reptile.execution.settings import Settings
from keras_reptile.keras_internals import metrics_of_attributes, unlock_state
from keras_reptile.metrics.task_metrics import TaskMetrics
from keras_reptile.model.adapting import AdaptingModel


@keras.saving.register_keras_serializable(package="keras_reptile")
class ReptileModel(AdaptingModel):
    """Meta-learns an initialization from which a network adapts to a new task in a few steps.

    Each training step takes a batch of tasks. It runs k steps of the inner optimizer on each task,
    from the current weights theta to the task's solution W_k. Then it gives the outer optimizer the
    distance to the mean of the solutions, as a gradient:

        W_k = U_k(theta) of task i,    theta <- outer optimizer(theta, theta - mean_i W_k)

    With `keras.optimizers.SGD(epsilon)` as the outer optimizer this is Reptile as published. The
    paper's other two methods have another gradient, and adapt in the same way:

        "reptile"   theta - mean_i W_k
        "fomaml"    mean_i (W_{k-1} - W_k)
        "maml"      mean_i d/dtheta L_k(U_{k-1}(theta)), L_k the last minibatch's loss

    `fit` logs four metrics. `loss_before` is the loss of each task's first minibatch at theta; it
    includes the penalties of regularizers and weight decay. `loss_after` and `accuracy` are those
    of the queries at W_k, predicted in one batch. `loss`, for callbacks such as `TerminateOnNaN`,
    is `loss_after`, or `loss_before` if tasks have no queries. `evaluate` adds `confidence_95`,
    half the width of the 95 % interval over tasks. It is the interval of the first accuracy among
    the metrics, or of the loss if there is no accuracy.

    Args:
        network: A `keras.Model` with one output: functional, sequential or subclassed. Weight
            constraints are applied after outer steps, not after inner steps.
        inner_optimizer: A `keras.optimizers.SGD` or `Adam`, its name or its config. Defaults to
            the paper's: `Adam(1e-3, beta_1=0.0, epsilon=1e-8)`. A `LearningRateSchedule` counts
            the steps of each task from 0, also if the inner state is carried. `clipnorm` and
            `global_clipnorm` clip the gradients of each inner step, as in Keras.
        method: String. `"reptile"`; `"fomaml"`, first-order MAML: the inner optimizer's last step;
            or `"maml"`, with second derivatives through the inner loop. MAML gives the outer
            optimizer the gradient of a loss, and so needs another meta-step size. Its gradient
            through inner Adam is large and noisy while the moments are near zero, as at the start:
            use SGD, or Adam with an epsilon such as 1e-4. With `episode_dataset(...,
            tail_shots=...)`, the last minibatch has other images than the minibatches before it.
            Defaults to `"reptile"`.
        inner_state: String. `"carried"`: the inner optimizer's moments and step count after a
            task's k steps are passed on to later tasks, as in the authors' program. `"reset"`:
            each task starts with new moments. Defaults to `"carried"`.
        task_order: String. `"parallel"`: all tasks of a meta-batch start from the same moments,
            and the mean of their moments is carried. `"serial"`: one task after another, each from
            the moments of the task before it, exactly as in the authors' program.
            Defaults to `"parallel"`.
        task_parallelism: String. `"separate"`: tasks are computed separately, as many at once as
            TensorFlow has inter-op threads, see `one_task_per_core`. `"vectorized"`: all tasks are
            one batch, which XLA compiles. The results are the same up to rounding. If a layer of
            the network has no batched form, tasks are computed one by one, with a warning.
            `"auto"`: vectorized on a GPU or TPU, separate on a CPU and in serial order. Defaults to
            `"auto"`.
        inner_weight_decay_rate: Float, multiplies the weights before each inner step, in training
            and adaptation. Defaults to `1.0`, no decay.
        transductive: Boolean, how `evaluate`, `predict` and validation predict. `False`: each
            query in a batch with the whole support set, so that batch statistics contain no other
            query. `True`: all queries of a task in one batch. Defaults to `False`.
        byte_scale: Float, multiplies inputs of dtype uint8, as float32, in the model, its learners
            and its exports. `None`: bytes keep their numbers. `"auto"`: 1/255, or `None` if the
            network's first layers expect numbers up to 255, as `Rescaling(1 / 255)` does. Integer
            inputs of the network, and inputs of an `Embedding`, are never scaled.
            Defaults to `"auto"`.
        head: String. `"separate"`: each output of the last layer has its own initialization.
            `"shared"`: all outputs start from one learned vector, see `with_head`. The mean over
            outputs replaces the weights of the given network. With inner Adam, use
            `inner_state="carried"`: at the start of a task, the gradient of the other layers is
            rounding only, and Adam without moments turns it into whole steps.
            Defaults to `"separate"`.
        inner_trainable: String or list of strings, the layers that the inner loop moves; the outer
            loop moves all. `"all"`; `"head"`, the last layer with weights (ANIL); `"body"`, all
            others (BOIL); or names of layers at any depth. The other layers stay at theta in every
            loss of a task. Their outer gradient is, with Reptile, minus the sum of the k steps that
            the inner optimizer would make with them: with inner SGD(a), a times the sum of their k
            gradients. With FOMAML it is minus the last of these steps, and with MAML the exact
            derivative. Defaults to `"all"`.

    Attributes:
        network: The `keras.Model` whose weights are theta. Like the next two, it is never changed.
        inner_rule: The inner optimizer as functions of values: `InnerSGD` or `InnerAdam`.
        inner_optimizer_config: Dict, the inner optimizer as a config of Keras.
        inner_variables: List of variables, the carried moments and their step count. Empty with
            `inner_state="reset"`, and before the model is built.
        task_loss: The `keras.losses.Loss` of tasks, which `compile` sets.
        task_metrics: The `TaskMetrics` of `fit` and `evaluate`, which `compile` sets.
        trained_on_bytes: Boolean, whether it was trained on inputs of dtype uint8. Then the model
            and its learners warn of floats far above the range of scaled bytes.
        has_strategy: Boolean, whether the model was made in the scope of a strategy.

    Input: the elements of `episode_dataset`, which documents their keys, shapes and dtypes.

    Raises:
        ValueError: If an argument is not one of those listed or is out of range; if the network
            contains layers whose second derivative is wrong, with MAML; layers that assign to
            variables in their `call`; trainable weights of several dtypes; or, with inner Adam,
            weights of 16 bits, whose steps are zero or not finite.

    Example:

    >>> network = keras.Sequential([keras.Input((2,)), keras.layers.Dense(3)])
    >>> model = ReptileModel(network, inner_optimizer=keras.optimizers.SGD(0.1))
    >>> model.compile(optimizer=keras.optimizers.SGD(0.5))
    >>> points = np.random.RandomState(0).rand(40, 2).astype("float32")
    >>> pool = keras_reptile.ClassPool.from_arrays(points, np.arange(40) % 4)
    >>> episodes = keras_reptile.episode_dataset(pool, ways=3, shots=5, meta_batch_size=2)
    >>> history = model.fit(episodes, steps_per_epoch=3, verbose=0)
    >>> sorted(history.history)
    ['accuracy', 'loss', 'loss_after', 'loss_before']

    Reference: [Nichol, Achiam, Schulman, 2018](https://arxiv.org/abs/1803.02999).
    """

    def __init__(
        self,
        network: keras.Model,
        inner_optimizer: Any = None,
        *,
        method: str = "reptile",
        inner_state: str = "carried",
        task_order: str = "parallel",
        task_parallelism: str = "auto",
        inner_weight_decay_rate: float = 1.0,
        transductive: bool = False,
        byte_scale: float | str | None = "auto",
        head: str = "separate",
        inner_trainable: str | Sequence[str] = moved_layers.ALL,
        **kwargs,
    ):
        settings = Settings(
            method=method,
            inner_state=inner_state,
            task_order=task_order,
            task_parallelism=task_parallelism,
            inner_weight_decay_rate=inner_weight_decay_rate,
            transductive=transductive,
            byte_scale=byte_scale,
            head=head,
            inner_trainable=inner_trainable,
        )
        if isinstance(network, ReptileModel):
            raise ValueError(
                "`network` must be a plain keras.Model. Received: a ReptileModel. Give its "
                "network: `ReptileModel(model.network, ...)`."
            )
        super().__init__(network, settings, **kwargs)
        if head == "shared":
            shared_head.head_of(network)
        check_network(method, network)
        if inner_optimizer is None:
            inner_optimizer = keras.optimizers.Adam(1e-3, beta_1=0.0, epsilon=1e-8)
        optimizer = optimizer_of("inner_optimizer", inner_optimizer)
        self.inner_rule = from_keras(optimizer)
        self.inner_optimizer_config = keras.optimizers.serialize(optimizer)
        self.inner_variables: list[Any] = []
        self._carried = CarriedState(self.inner_rule)
        self._outputs_are_equal = False
        if network.built:
            self.build()
            # A subclass may add metrics and layers in its own constructor.
            unlock_state(self)
            # The inputs of a subclassed network are not known before its first call.
            if ends(network, "inputs"):
                check_assignments(network, symbolic_inputs(network))

    # Building, calling and saving

    def build(self, input_shape: Any = None) -> None:
        """Builds the network if it is not built, and the variables of the carried inner state.

        Args:
            input_shape: The shapes of an episode. Not needed if the network is built.
        """
        self._build_network(input_shape)
        check_dtypes(self.inner_rule, self.network.trainable_variables)
        self._moved  # noqa: B018
        if self.head == "shared" and not self._outputs_are_equal:
            self._make_outputs_equal()
            self._outputs_are_equal = True
        if self.inner_state == "carried" and not self.inner_variables:
            self._carried.build(self.network.trainable_variables, self.add_weight)
            self.inner_variables = self._carried.variables
        self._track_for_checkpoints()
        self.built = True

    def _before_fit(self) -> None:
        super()._before_fit()
        # The network may have got other weights by itself.
        if self.built:
            self._make_outputs_equal()

    def _make_outputs_equal(self) -> None:
        """Gives all outputs of a shared head the mean of their weights, and of their moments."""
        if self.head == "shared":
            head = shared_head.positions(self.network)
            weights = [self.network.trainable_variables[i] for i in head]
            shared_head.make_equal([*weights, *self._carried.slots_of(head)])

    def load_weights(self, filepath: Any, *args, **kwargs) -> None:
        """`keras.Model.load_weights`, into a model whose network is built.

        A shared head gets the mean over outputs, if the weights are those of a separate one.
        """
        super().load_weights(filepath, *args, **kwargs)
        self._make_outputs_equal()

    def set_weights(self, weights: Any) -> None:
        """`keras.Model.set_weights`. A shared head gets the mean over outputs."""
        super().set_weights(weights)
        self._make_outputs_equal()

    def _track_for_checkpoints(self) -> None:
        """Makes all variables known to `tf.train.Checkpoint`; Keras's lists hide some of them."""
        # Keras does not look into a `tf.Module`.
        self._all_variables = tf.Module()
        self._all_variables.network = list(self.network.variables)
        self._all_variables.inner = list(self.inner_variables)

    def save(self, filepath: Any, *args, **kwargs) -> None:
        """`keras.Model.save` to a .keras file.

        Raises:
            ValueError: If it is an HDF5 file, or if layers were frozen or unfrozen after moments
                were carried for them. Keras could not load the model from such files.
        """
        check_whole_model_file(filepath)
        if self.inner_variables:
            self._carried.check(self.network.trainable_variables)
        super().save(filepath, *args, **kwargs)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "network": keras.saving.serialize_keras_object(self.network),
            "inner_optimizer": self.inner_optimizer_config,
            **self._settings.config(),
            "byte_scale": self._byte_scale if self.network.built else self.byte_scale,
            "trained_on_bytes": self.trained_on_bytes,
        }

    @classmethod
    def from_config(
        cls, config: dict[str, Any], custom_objects: dict | None = None
    ) -> "ReptileModel":
        network = keras.saving.deserialize_keras_object(
            config["network"], custom_objects=custom_objects
        )
        # Files of earlier versions have neither key. Their models divided bytes by 255.
        config = {"byte_scale": network_inputs.UNIT, **config, "network": network}
        trained_on_bytes = config.pop("trained_on_bytes", False)
        model = cls(**config)
        model.trained_on_bytes = trained_on_bytes
        return model

    # Compiling

    def compile(
        self,
        optimizer: Any,
        loss: Any = None,
        metrics: Any = None,
        *,
        run_eagerly: bool = False,
        steps_per_execution: int = 1,
        jit_compile: bool | str = "auto",
        draw_on_device: bool | str = "auto",
    ) -> None:
        """Sets the outer optimizer, the tasks' loss and the query metrics.

        Args:
            optimizer: Keras optimizer that moves the initialization. `SGD(epsilon)` is Reptile
                with meta-step size epsilon; see `linear_meta_step` for the paper's schedule.
            loss: Keras loss or function, which the inner loop minimizes. With the reduction "sum"
                it is the sum over a minibatch, as in the authors' program and the paper's recipes.
                With all other reductions it is the mean. With inner SGD, the sum makes steps larger
                by the number of examples. With inner Adam, the two differ if moments are carried to
                minibatches of another size. A cross-entropy of probabilities is warned of if the
                network ends in a linear layer. Defaults to `None`, the mean cross-entropy of
                integer labels and logits.
            metrics: List of Keras metrics of the query predictions. Defaults to `None`: accuracy
                if the loss is a cross-entropy.
            run_eagerly, steps_per_execution: As in `keras.Model.compile`.
            jit_compile: Boolean or `"auto"`, whether XLA compiles. On a GPU it compiles whole
                steps, or under a strategy the two programs of each replica and the loop over
                separate tasks. On a CPU it compiles the inner loop of each task, with convolutions
                as products of patches. This takes about ten seconds, and makes long runs faster,
                see `one_task_per_core`. `"auto"`: on a GPU, not on a CPU. Vectorized tasks, and all
                tasks on a TPU, are always compiled. Defaults to `"auto"`.
            draw_on_device: Boolean or `"auto"`, whether `fit` draws the tasks of a stream of
                `episode_dataset` on the device, from a copy of the pool. The tasks are the same.
                `steps_per_execution` meta-steps are then one program, and the last of an epoch has
                fewer steps if they do not divide evenly. `True`: an error where it cannot be done.
                `"auto"`: where XLA compiles whole steps, as on a GPU. Defaults to `"auto"`.

        Raises:
            ValueError: If Keras does not know the optimizer, the loss or a metric, an argument is
                out of range, the optimizer scales losses, or the loss ignores a class or has its
                classes along another axis than the last.
        """
        optimizer = optimizer_of("optimizer", optimizer)
        loss_scaling.check_outer(optimizer)
        check_boolean("run_eagerly", run_eagerly)
        steps_per_execution = check_integer("steps_per_execution", steps_per_execution, 1)
        # Made first, so that an error leaves the model as it was.
        task_loss = losses.get_loss(loss)
        losses.check_classes(task_loss, self.network)
        losses.warn_of_logits(task_loss, self.network)
        with self.distribute_strategy.scope():
            task_metrics = TaskMetrics(task_loss, metrics)
        self._change(jit_inner_loops=jit_compile, draw_on_device=draw_on_device)
        super().compile(
            optimizer=optimizer,
            run_eagerly=run_eagerly,
            steps_per_execution=steps_per_execution,
            jit_compile=False,  # Decided for each kind of step.
            # Loss scaling would divide the displacement by the scale.
            auto_scale_loss=False,
        )
        # Not given to the base class: its symbolic build would call the network on whole episodes.
        self.task_loss, self.task_metrics = task_loss, task_metrics
        self._traces.forget()
        arguments = dict(
            optimizer=optimizer,
            loss=loss,
            metrics=metrics,
            run_eagerly=run_eagerly,
            steps_per_execution=steps_per_execution,
            jit_compile=jit_compile,
            draw_on_device=draw_on_device,
        )
        # Set past Keras's attribute tracking, which would take the metrics for the model's own.
        object.__setattr__(self, "_compile_arguments", arguments)

    def get_compile_config(self) -> dict[str, Any]:
        if not self.compiled:
            return {}
        arguments = {**self._compile_arguments, "optimizer": self.optimizer}
        return keras.saving.serialize_keras_object(arguments)

    def compile_from_config(self, config: dict[str, Any]) -> None:
        self.compile(**keras.saving.deserialize_keras_object(config))
        if self.built:
            self.optimizer.build(self.trainable_variables)

    @property
    def metrics(self) -> list:
        own = metrics_of_attributes(self)
        return [self.task_metrics.container, *own] if self.compiled else own

    # The steps

    @property
    def _inner_loop(self) -> InnerLoop:
        """The inner loop with the model's current settings."""
        return InnerLoop(
            NetworkFunction(self.network),
            self.task_loss,
            self.inner_rule,
            self.method,
            self.inner_weight_decay_rate,
            self._as_taken,
            Parts(self._moved, records=not METHODS[self.method].second_order),
        )

    @property
    def _moved(self) -> tuple[int, ...] | None:
        """The positions of the weights that the inner loop moves; `None` if it moves all."""
        return moved_layers.positions_of_moved(self.network, self.inner_trainable, self.head)

    def _change(self, **changes: Any) -> None:
        new = self._settings.changed(**changes)
        check_network(new.method, self.network)
        if self.built and new.inner_state != self.inner_state:
            raise ValueError(
                "The carried moments are variables, which a model has or has not from when it is "
                f"built. Received: inner_state={new.inner_state!r}, for a model that was built "
                f"with {self.inner_state!r}. Make a new model: `ReptileModel(model.network, "
                f"inner_state={new.inner_state!r})`."
            )
        if self.network.built:
            moved_layers.positions_of_moved(self.network, new.inner_trainable, new.head)
        super()._change(**changes)

    @property
    def _has_usual_step(self) -> bool:
        return getattr(self.train_step, "__func__", None) is ReptileModel.train_step

    def train_step(self, data: Any) -> dict[str, Any]:
        """Runs one meta-iteration on a meta-batch of tasks."""
        episodes = episodes_of(data)
        with after(episodes):
            if self.has_strategy and distribution.has_copies():
                by_xla = self._compiles(self._plan(training=True), THE_LOOP)
                return replica_step.run(self._learn, self._step_on_means, episodes, by_xla)
            return self._step(*self._learn(episodes))

    def _learn(self, episodes: dict) -> tuple:
        """Returns a replica's gradient, moments and logs, and the number of inner steps."""
        given, loop, plan = self._given(episodes), self._inner_loop, self._plan(training=True)
        return self._learned(episodes, meta_batch.train_tasks(loop, plan, *given, self._made_once))

    def _check_trains(self) -> None:
        """Raises `ValueError` if the outer step would not move the network's weights."""
        if not self.trainable:
            raise ValueError(
                "The outer loop moves the weights of a trainable model. Received: a ReptileModel "
                "with trainable=False. Set `model.trainable = True`."
            )

    def _given(self, episodes: dict) -> tuple[dict, list, InnerState]:
        """Returns the tasks of a meta-step, theta, and the inner state."""
        self._check_trains()
        theta = self._theta(episodes)
        return self._numbered(self._inner_loop, episodes), theta, self._starting_state(theta)

    def _learned(self, episodes: dict, result: outcome.Outcome) -> tuple:
        """Returns the values of `_learn`, from the outcome of the tasks."""
        if self.head == "shared":
            result = outcome.with_shared_head(result, shared_head.positions(self.network))
        result = outcome.with_nan_shown(result)
        images = episodes["support"][0]
        self.trained_on_bytes |= network_inputs.scales_any(self.network, images)
        logs = self.task_metrics.of_training(episodes, result.first_loss, result.predictions)
        return (result.gradient, result.state.slots, logs), result.state.step

    def _step(self, learned: tuple, step: tf.Tensor) -> dict[str, Any]:
        """Makes the outer step, from what `_learn` returns on this replica. Returns the logs."""
        gradient, slots, logs = learned
        distribution.apply(self.optimizer, gradient, self.network.trainable_variables)
        slots, logs = distribution.mean_over_replicas((slots, logs))
        self._carry_on(InnerState(step, slots))
        return logs

    def _step_on_means(self, means: tuple, step: tf.Tensor) -> dict[str, Any]:
        """Makes the outer step, from the means over replicas of `_learn`. Returns the logs."""
        gradient, slots, logs = means
        distribution.apply_mean(self.optimizer, gradient, self.network.trainable_variables)
        self._carry_on(InnerState(step, slots))
        return logs

    def _carry_on(self, state: InnerState) -> None:
        if self.inner_state == "carried":
            self._carried.assign(state)

    def _numbered(self, loop, episodes, by_content: bool = False) -> dict:
        meta_iteration = self._meta_iteration_tensor()
        return numbered_tasks.numbered(loop, episodes, meta_iteration, by_content, self._made_once)

    def test_step(self, data: Any) -> dict[str, Any]:
        """Adapts to each task from the current weights, and predicts its queries."""
        episodes = with_queries(episodes_of(data))
        with after(episodes):
            first_loss, predictions = self.adapt_and_predict(episodes)
            return self.task_metrics.of_evaluation(episodes, first_loss, predictions)

    def predict_step(self, data: Any) -> tf.Tensor:
        """Predicts the queries of episodes after adaptation, or plain inputs without it."""
        x, _, _ = keras.utils.unpack_x_y_sample_weight(data)
        if not is_episode(x):
            check_no_half_episode(x)
            return self(x, training=False)
        self._check_compiled()
        check_format(x, labelled=False)
        return self.adapt_and_predict(with_queries(labelled(x)))[1]

    def _theta(self, episodes):
        if not self.built:
            self._build_for(episodes)
        check_trainable(self.network)
        return values_of(self.network.trainable_variables)

    def _evaluate_tasks(self, episodes: dict, modes: tuple[bool, ...]) -> tuple:
        """Runs `adapt_and_predict` in several modes, with one adaptation to each task."""
        theta, loop = self._theta(episodes), self._inner_loop.for_evaluation()
        tasks = self._numbered(loop, episodes, by_content=True)
        state = self._starting_state(theta)
        return meta_batch.evaluate_tasks(
            loop, self._plan(), modes, tasks, theta, state, self._made_once
        )

    def _starting_state(self, theta) -> InnerState:
        """Returns the inner state that tasks start from: the carried one, or a new one."""
        if self.inner_state == "reset":
            return self.inner_rule.init(theta)
        return self._carried.value(self.network.trainable_variables)
