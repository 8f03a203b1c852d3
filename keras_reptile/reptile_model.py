"""`ReptileModel`: a `keras.Model` whose training step is a meta-iteration."""

import contextlib
import weakref
from collections.abc import Callable, Sequence
from typing import Any

import keras
import tensorflow as tf

from keras_reptile import distribution, learner
from keras_reptile.algorithm import (
    loss_scaling,
    losses,
    moved_layers,
    network_copy,
    shared_head,
)
from keras_reptile.algorithm.assignments import check_assignments
from keras_reptile.algorithm.carried_state import CarriedState
from keras_reptile.algorithm.inner_loop import InnerLoop
from keras_reptile.algorithm.inner_optimizers import (
    InnerState,
    check_dtypes,
    check_weight_decay,
    from_keras,
    optimizer_of,
)
from keras_reptile.algorithm.methods import METHODS
from keras_reptile.algorithm.network_checks import (
    check_network,
    check_trainable,
    ends,
    symbolic_inputs,
)
from keras_reptile.algorithm.network_function import NetworkFunction, mode
from keras_reptile.algorithm.partial_adaptation import Parts
from keras_reptile.checks import check_boolean, check_choice, check_integer
from keras_reptile.episodes import data_checks, input_ranges, network_inputs
from keras_reptile.episodes.episode_checks import (
    channels_explained,
    check_format,
    check_no_half_episode,
    episodes_of,
)
from keras_reptile.episodes.episode_dataset import executions_of
from keras_reptile.episodes.episode_format import (
    after,
    is_episode,
    labelled,
    symbolic_batch,
    symbolic_support,
    with_queries,
)
from keras_reptile.episodes.repeats import warn_of_repeated_tasks
from keras_reptile.execution import (
    evaluation_batch,
    meta_batch,
    on_device,
    outcome,
    replica_step,
    task_source,
)
from keras_reptile.execution.plan import Plan, check_jit_compile, check_order
from keras_reptile.execution.planning import plan_of
from keras_reptile.execution.task_source import TaskSource
from keras_reptile.execution.traces import Traces
from keras_reptile.metrics.task_metrics import TaskMetrics


@keras.saving.register_keras_serializable(package="keras_reptile")
class ReptileModel(distribution.DistributedModel):
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
            others (BOIL); or names of layers at any depth. For the other layers, Reptile's outer
            gradient is the inner optimizer's k steps as if it had moved them, with every loss where
            they are; FOMAML's is the last of these steps; MAML's is the exact derivative. With
            inner SGD(a), Reptile's is a times the sum of their k gradients. Defaults to `"all"`.

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
        super().__init__(**kwargs)
        check_choice("head", head, ("separate", "shared"))
        if head == "shared":
            shared_head.head_of(network)
        self._head, self._outputs_are_equal = head, False
        self._inner_trainable = moved_layers.checked(inner_trainable)
        check_choice("method", method, tuple(METHODS))
        check_network(method, network)
        check_choice("inner_state", inner_state, ("carried", "reset"))
        check_order(task_order, task_parallelism)
        check_boolean("transductive", transductive)
        network_inputs.check_byte_scale(byte_scale)
        check_weight_decay(inner_weight_decay_rate)
        if inner_optimizer is None:
            inner_optimizer = keras.optimizers.Adam(1e-3, beta_1=0.0, epsilon=1e-8)
        optimizer = optimizer_of("inner_optimizer", inner_optimizer)
        self.inner_rule = from_keras(optimizer)
        self.inner_optimizer_config = keras.optimizers.serialize(optimizer)
        self.network, self.method = network, method
        self.inner_state, self.task_order = inner_state, task_order
        self.task_parallelism = task_parallelism
        self.inner_weight_decay_rate = inner_weight_decay_rate
        self.transductive = transductive
        self.byte_scale, self.trained_on_bytes = byte_scale, False
        self.inner_variables: list[Any] = []
        self._carried = CarriedState(self.inner_rule)
        self.jit_inner_loops: bool | str = "auto"
        self.draw_on_device: bool | str = "auto"
        self.steps_on_device: int | None = None
        self._steps_of_keras = 1
        self._fitted: Callable = lambda: None
        # Set past Keras's attribute tracking, which would take the model inside for a layer.
        object.__setattr__(self, "_traces", Traces(self))
        object.__setattr__(self, "_source", TaskSource(None))
        # A plain TensorFlow variable: `tf.train.Checkpoint` finds it, and files of weights without
        # it can be loaded.
        self._iterations_before_compile = tf.Variable(0, trainable=False, dtype=tf.int64)
        if network.built:
            self.build()
            # The inputs of a subclassed network are not known before its first call.
            if ends(network, "inputs"):
                check_assignments(network, symbolic_inputs(network))

    # Settings that are checked when they change

    @property
    def head(self) -> str:
        """How the outputs of the last layer start: `"separate"` or `"shared"`."""
        return self._head

    @head.setter
    def head(self, head: str) -> None:
        check_choice("head", head, ("separate", "shared"))
        if (self._head, head) == ("separate", "shared"):
            raise ValueError(
                "A model with separate outputs cannot get a shared head, because their moments "
                "differ, too. Received: head='shared'. Make a new model: "
                "`ReptileModel(model.network, head='shared')`."
            )
        self._head = head

    @property
    def inner_trainable(self) -> str | tuple[str, ...]:
        """The layers that the inner loop moves: a group, or their names."""
        return self._inner_trainable

    @inner_trainable.setter
    def inner_trainable(self, inner_trainable: str | Sequence[str]) -> None:
        chosen = moved_layers.checked(inner_trainable)
        if self.network.built:
            self._positions_of(chosen)
        self._inner_trainable = chosen

    # Building, calling and saving

    def build(self, input_shape: Any = None) -> None:
        """Builds the network if it is not built, and the variables of the carried inner state.

        Args:
            input_shape: The shapes of an episode. Not needed if the network is built.
        """
        if not self.network.built:
            # A symbolic call builds any network, also one without a `build` method.
            episode = isinstance(input_shape, dict) and "support" in input_shape
            before = 2 if episode else 1
            images = input_shape["support"][0] if episode else input_shape
            self.network(symbolic_batch(images, before))
        check_dtypes(self.inner_rule, self.network.trainable_variables)
        self._moved  # noqa: B018
        if self.head == "shared" and not self._outputs_are_equal:
            shared_head.make_equal(self.network)
            self._outputs_are_equal = True
        if self.inner_state == "carried" and not self.inner_variables:
            self._carried.build(self.network.trainable_variables, self.add_weight)
            self.inner_variables = self._carried.variables
        self._track_for_checkpoints()
        self.built = True

    def _track_for_checkpoints(self) -> None:
        """Makes all variables known to `tf.train.Checkpoint`; Keras's lists hide some of them."""
        # Keras does not look into a `tf.Module`.
        self._all_variables = tf.Module()
        self._all_variables.network = list(self.network.variables)
        self._all_variables.inner = list(self.inner_variables)

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

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "network": keras.saving.serialize_keras_object(self.network),
            "inner_optimizer": self.inner_optimizer_config,
            "method": self.method,
            "inner_state": self.inner_state,
            "task_order": self.task_order,
            "task_parallelism": self.task_parallelism,
            "inner_weight_decay_rate": self.inner_weight_decay_rate,
            "transductive": self.transductive,
            "byte_scale": self._byte_scale if self.network.built else self.byte_scale,
            "head": self.head,
            "inner_trainable": self.inner_trainable,
            "trained_on_bytes": self.trained_on_bytes,
        }

    @classmethod
    def from_config(
        cls, config: dict[str, Any], custom_objects: dict | None = None
    ) -> "ReptileModel":
        network = keras.saving.deserialize_keras_object(
            config["network"], custom_objects=custom_objects
        )
        # Older files have neither: they divided bytes by 255.
        config = {"byte_scale": network_inputs.UNIT, **config, "network": network}
        trained_on_bytes = config.pop("trained_on_bytes", False)
        model = cls(**config)
        model.trained_on_bytes = trained_on_bytes
        return model

    def get_build_config(self) -> dict[str, Any]:
        """Returns the build config of the network. The rest follows from it."""
        return {"network": self.network.get_build_config()}

    def build_from_config(self, config: dict[str, Any]) -> None:
        """Builds the network as the config says, if it is not built."""
        shapes = ((config or {}).get("network") or {}).get("input_shape")
        if not self.network.built and shapes:
            self.build(shapes)

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
        super().load_weights(filepath, *args, **kwargs)

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
                With all other reductions it is the mean. These two differ if moments are carried to
                minibatches of another size. Defaults to `None`, the mean cross-entropy of integer
                labels and logits.
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
                out of range, the optimizer scales losses, or the loss ignores a class.
        """
        optimizer = optimizer_of("optimizer", optimizer)
        loss_scaling.check_outer(optimizer)
        check_boolean("run_eagerly", run_eagerly)
        check_integer("steps_per_execution", steps_per_execution, 1)
        check_jit_compile(jit_compile)
        task_source.check(draw_on_device)
        done = self.meta_iteration if self.compiled else None
        super().compile(
            optimizer=optimizer,
            run_eagerly=run_eagerly,
            steps_per_execution=steps_per_execution,
            jit_compile=False,  # Decided for each kind of step.
            # Loss scaling would divide the displacement by the scale.
            auto_scale_loss=False,
        )
        if done is not None:
            self._iterations_before_compile.assign_add(done - self.meta_iteration)
        # Not given to the base class: its symbolic build would call the network on whole episodes.
        self.task_loss = losses.get_loss(loss)
        self._traces.forget()
        self.set_execution(jit_compile=jit_compile, draw_on_device=draw_on_device)
        with self.distribute_strategy.scope():
            self.task_metrics = TaskMetrics(self.task_loss, metrics)
        arguments = dict(
            optimizer=optimizer,
            loss=loss,
            metrics=metrics,
            run_eagerly=run_eagerly,
            steps_per_execution=steps_per_execution,
            jit_compile=jit_compile,
            draw_on_device=draw_on_device,
        )
        # Set past Keras's attribute tracking, which refuses new metrics in a built model.
        object.__setattr__(self, "_compile_arguments", arguments)

    def set_execution(
        self,
        *,
        task_parallelism: str | None = None,
        jit_compile: bool | str | None = None,
        draw_on_device: bool | str | None = None,
        steps_on_device: int | None = None,
    ) -> None:
        """Sets how this process computes tasks. Results stay the same, up to rounding.

        Args:
            task_parallelism: String, as in the constructor. Defaults to `None`, unchanged.
            jit_compile, draw_on_device: Booleans or `"auto"`, as in `compile`. A saved model keeps
                the arguments of `compile`. Defaults to `None`, unchanged.
            steps_on_device: Integer, the meta-steps of a program if tasks are drawn on the device,
                in place of `steps_per_execution`. Evaluations keep that. Defaults to `None`,
                unchanged.

        Raises:
            ValueError: If an argument is not one of those listed, or tasks in series are to be one
                batch.
        """
        if task_parallelism is not None:
            check_order(self.task_order, task_parallelism)
            self.task_parallelism = task_parallelism
        if jit_compile is not None:
            check_jit_compile(jit_compile)
            self.jit_inner_loops = jit_compile
        if draw_on_device is not None:
            task_source.check(draw_on_device)
            self.draw_on_device = draw_on_device
        if steps_on_device is not None:
            check_integer("steps_on_device", steps_on_device, 1)
            self.steps_on_device = steps_on_device

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
        return [self.task_metrics.container] if self.compiled else []

    # The steps

    def make_train_function(self, force: bool = False) -> None:
        stale = self._prepare_trace("train")
        stream, _, device, steps = self._source
        if stream is None:
            super().make_train_function(stale or force)
            return
        compiled = self.jit_compile
        self.train_function = on_device.train_function(self, stream, device, steps, compiled)
        # Keras has begun to count steps. It evaluates as it always does.
        self.steps_per_execution = self._steps_of_keras

    def make_test_function(self, force: bool = False) -> None:
        super().make_test_function(self._prepare_trace("test") or force)

    def make_predict_function(self, force: bool = False) -> Any:
        return super().make_predict_function(self._prepare_trace("predict") or force)

    def _prepare_trace(self, name: str) -> bool:
        """Decides whether XLA compiles whole steps. Returns whether they must be traced again."""
        plan = self._plan(training=name == "train", eagerly=self.run_eagerly)
        self.jit_compile = task_source.compiles_whole_steps(self, plan)
        return self._traces.are_stale(name)

    def _plan(self, training: bool = False, eagerly: bool | None = None) -> Plan:
        return plan_of(self, training, eagerly)

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
        return self._positions_of(self.inner_trainable)

    def _positions_of(self, inner_trainable) -> tuple[int, ...] | None:
        moved = moved_layers.positions_of_moved(self.network, inner_trainable)
        if self.head == "shared" and moved is not None:
            shared_head.check_moved(self.network, moved)
        return moved

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
        data_checks.check_class_weight(kwargs.get("class_weight"))
        warn_of_repeated_tasks(self._fitted(), x, kwargs.get("callbacks"))
        with task_source.drawing_from(self, self._task_source(x)):
            history = super().fit(x, *args, **kwargs)
        if isinstance(x, tf.data.Dataset):
            self._fitted = weakref.ref(x)
        return history

    def _task_source(self, data: Any) -> TaskSource:
        """Returns the `TaskSource` of `fit` for these data."""
        step = getattr(self.train_step, "__func__", None)
        return task_source.source_of(self, data, step is ReptileModel.train_step)

    def train_step(self, data: Any) -> dict[str, Any]:
        """Runs one meta-iteration on a meta-batch of tasks."""
        episodes = episodes_of(data)
        with after(episodes):
            if self.has_strategy and distribution.has_copies():
                by_xla = replica_step.compiles_programs(self, self._plan(training=True))
                return replica_step.run(self._learn, self._take, episodes, by_xla)
            (gradient, slots, logs), step = self._learn(episodes)
            distribution.apply(self.optimizer, gradient, self.trainable_variables)
            slots, logs = distribution.mean_over_replicas((slots, logs))
            self._carry_on(InnerState(step, slots))
            return logs

    def _learn(self, episodes: dict) -> tuple:
        """Returns the gradient, the moments and the logs of a replica's tasks, and the step."""
        theta, loop, plan = self._theta(episodes), self._inner_loop, self._plan(training=True)
        tasks, state = self._numbered(loop, episodes), self._starting_state(theta)
        result = meta_batch.train_tasks(loop, plan, tasks, theta, state, self._made_once)
        if self.head == "shared":
            result = outcome.with_shared_head(result, shared_head.positions(self.network))
        result = outcome.with_nan_shown(result)
        self.trained_on_bytes |= network_inputs.scales_any(self.network, tasks["support"][0])
        logs = self.task_metrics.of_training(episodes, result.first_loss, result.predictions)
        return (result.gradient, result.state.slots, logs), result.state.step

    def _take(self, means: tuple, step: tf.Tensor) -> dict[str, Any]:
        """Makes the outer step, from the means over replicas of `_learn`. Returns the logs."""
        gradient, slots, logs = means
        distribution.apply_mean(self.optimizer, gradient, self.trainable_variables)
        self._carry_on(InnerState(step, slots))
        return logs

    def _carry_on(self, state: InnerState) -> None:
        if self.inner_state == "carried":
            self._carried.assign(state)

    def _numbered(self, loop, episodes, by_content: bool = False) -> dict:
        meta_iteration = self._meta_iteration_tensor()
        return meta_batch.numbered(loop, episodes, meta_iteration, by_content, self._made_once)

    def test_step(self, data: Any) -> dict[str, Any]:
        """Adapts to each task from the current weights, and predicts its queries."""
        episodes = with_queries(episodes_of(data))
        with after(episodes):
            first_loss, predictions = self.adapt_and_predict(episodes)
            return self.task_metrics.of_evaluation(episodes, first_loss, predictions)

    def predict(self, x: Any, *args, **kwargs) -> Any:
        """`keras.Model.predict` on meta-batches, whose queries need no labels, or plain inputs."""
        with self._explained():
            return super().predict(self._checked_inputs(x), *args, **kwargs)

    def train_on_batch(self, x: Any, *args, **kwargs) -> Any:
        """`keras.Model.train_on_batch` on one meta-batch."""
        data_checks.check_class_weight(kwargs.get("class_weight"))
        return super().train_on_batch(x, *args, **kwargs)

    def predict_on_batch(self, x: Any) -> Any:
        """`keras.Model.predict_on_batch` on one meta-batch, or plain inputs."""
        with self._explained():
            return super().predict_on_batch(self._checked_inputs(x))

    def predict_step(self, data: Any) -> tf.Tensor:
        """Predicts the queries of episodes after adaptation, or plain inputs without it."""
        x, _, _ = keras.utils.unpack_x_y_sample_weight(data)
        if not is_episode(x):
            check_no_half_episode(x)
            return self(x, training=False)
        learner.check_compiled(self)
        check_format(x, labelled=False)
        return self.adapt_and_predict(with_queries(labelled(x)))[1]

    @property
    def _is_classifier(self) -> bool:
        """Whether queries have integer labels, so that tasks have an accuracy."""
        return self.compiled and losses.is_sparse(self.task_loss)

    def adapt_and_predict(self, episodes: dict, transductive: bool | None = None) -> tuple:
        """Predicts each task's queries with its adapted weights. The model stays as it is.

        Args:
            episodes: An element of `episode_dataset`.
            transductive: Boolean. Defaults to `None`, the model's own setting.

        Returns:
            Tuple of the first minibatches' losses `(meta_batch_size,)` and the predictions
            `(meta_batch_size, ways * queries, outputs)`, both in the dtype of the weights.
        """
        transductive = self.transductive if transductive is None else transductive
        first_loss, (predictions,) = self._evaluate_tasks(episodes, (transductive,))
        return first_loss, predictions

    def adapt(
        self,
        support_x: Any,
        support_y: Any,
        steps: int = 50,
        inner_batch_size: int | None = None,
        seed: int = 0,
        head: str = "keep",
    ) -> keras.Model:
        """Returns a fine-tuned copy of the network, an ordinary compiled `keras.Model`.

        The copy starts from the initialization and the carried inner state, and the inner loop runs
        on the support set. Its optimizer is the inner optimizer with the state after these steps:
        `learner.fit` continues them. Its batch normalization has the support set's statistics,
        computed without dropout, so that `predict` treats each image independently. The model
        itself stays as it is.

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

        Raises:
            ValueError: If there are no images, another number of labels, a label without an
                output, a negative number of steps, no head to replace, or a network that Keras
                cannot make again from its configuration.
        """
        return learner.adapt(self, support_x, support_y, steps, inner_batch_size, seed, head)

    def with_head(self, ways: int, seed: int = 0) -> "ReptileModel":
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
        >>> model = ReptileModel(network)
        >>> model.with_head(7).network.output_shape
        (None, 7)
        """
        return learner.with_head(self, ways, seed)

    def export_learner(
        self,
        path: Any,
        *,
        class_names: Any = None,
        metadata: dict[str, Any] | None = None,
        overwrite: bool = False,
        steps: int = 50,
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
                optimizer's learning rate. Defaults to `50`.

        Raises:
            ValueError: If the model is not built and compiled, its network does not have one input
                of known shape, a name, the metadata or the steps are wrong, or the path exists.

        Example:

        >>> network = keras.Sequential([keras.Input((2,)), keras.layers.Dense(3)])
        >>> model = ReptileModel(network)
        >>> model.compile(keras.optimizers.SGD(1.0))
        >>> folder = __import__("tempfile").mkdtemp() + "/learner"
        >>> model.export_learner(folder, class_names=["a", "b", "c"])
        >>> tf.saved_model.load(folder).class_names().numpy()
        array([b'a', b'b', b'c'], dtype=object)
        """
        # Imported here: training needs neither locks nor files.
        from keras_reptile.export import saved_model

        saved_model.export(self, path, class_names, metadata, overwrite, steps)

    def export(self, *args, **kwargs) -> None:
        """Raises an error: an export by Keras would not adapt.

        Raises:
            ValueError: Always.
        """
        raise ValueError(
            "Keras's `export` would keep only the initialization. Use `export_learner(path)` for "
            "a SavedModel that adapts, or `network.export(path)` on this model's network."
        )

    # Plumbing

    def _before_fit(self) -> None:
        self._made_once("copyable", lambda: network_copy.warn_of_no_copy(self.network))

    @property
    def _byte_scale(self) -> float | None:
        return network_inputs.resolved(self.byte_scale, self.network)

    def _as_taken(self, images: Any) -> Any:
        """Images with their bytes as the network takes them."""
        return network_inputs.as_taken(images, self.network, self._byte_scale)

    @property
    def _input_ranges(self) -> input_ranges.InputRanges:
        key = "ranges", self._byte_scale, self.trained_on_bytes
        return self._made_once(key, lambda: input_ranges.InputRanges(*key[1:]))

    def _divided(self, data, steps, fill=False) -> tuple:
        stream = self._source.stream
        # Of the two datasets of `fit`, that of validation is the one to be filled up.
        if stream is not None and not fill:
            return self._parts_of(stream, data, steps), steps
        data = self._checked(data)
        # Steps are counted in meta-batches of the dataset.
        data = evaluation_batch.regrouped(self, data) if fill and not steps else data
        return super()._divided(data, steps, fill)

    def _parts_of(self, stream, dataset, steps) -> tf.data.Dataset:
        """Returns the parts of a stream that are one program each, after checks of its dataset."""
        # All tasks of a pool have the same format and labels, and a pool has finite numbers only.
        next(iter(self._checked(dataset)))
        self.build_variables(dataset.element_spec)
        self._input_ranges.watch_arrays(self.network, stream.pool.images)
        return executions_of(stream, self._source.steps, steps)

    def _checked(self, data: Any) -> Any:
        return data_checks.checked(self, data)

    def _checked_inputs(self, data: Any) -> Any:
        """Returns the data of a prediction with their checks. Queries need no targets."""
        return data_checks.checked(self, data, ("support",), query_targets=False)

    def _explained(self) -> contextlib.AbstractContextManager:
        return data_checks.explained()

    def _shares_of_batch(self, x, fill=False):
        return super()._shares_of_batch(self._checked(x), fill)

    def _theta(self, episodes):
        if not self.built:
            self._build_for(episodes)
        check_trainable(self.network)
        return [tf.convert_to_tensor(v) for v in self.network.trainable_variables]

    def _evaluate_tasks(self, episodes: dict, modes: tuple[bool, ...]) -> tuple:
        """Runs `adapt_and_predict` in several modes, with one adaptation to each task."""
        theta, loop = self._theta(episodes), self._inner_loop.for_evaluation()
        tasks = self._numbered(loop, episodes, by_content=True)
        state = self._starting_state(theta)
        return meta_batch.evaluate_tasks(
            loop, self._plan(), modes, tasks, theta, state, self._made_once
        )

    def _made_once(self, key, make) -> Any:
        """Returns the object of a key, made by the first call."""
        return self._traces.made_once(key, make)

    def _starting_state(self, theta) -> InnerState:
        """Returns the inner state that tasks start from: the carried one, or a new one."""
        if self.inner_state == "reset":
            return self.inner_rule.init(theta)
        return self._carried.value(self.network.trainable_variables)
