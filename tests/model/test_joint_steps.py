"""Meta-steps of several models in one program, against those of each model by itself."""

import keras
import numpy as np
import pytest
from helpers import small_dense, small_episodes, small_model

import keras_reptile as kr
from keras_reptile.execution.batched_models import are_one_batch
from keras_reptile.model.joint_steps import JointSteps, joint_step

SEEDS = (0, 1)
STEPS = 3
SGD = keras.optimizers.SGD(0.1, momentum=0.5)
# Every method, both states and both orders.
WAYS = {
    "reptile, carried": {},
    "reptile, in series": {"task_order": "serial"},
    "fomaml, reset": {"method": "fomaml", "inner_state": "reset"},
    "maml, carried": {"method": "maml", "inner_optimizer": SGD},
}


def episodes_of(seed, **arguments):
    return small_episodes(seed=seed, queries=2, **arguments)


def one_layer(seed):
    kernels = kr.networks.glorot_uniform(seed)
    layers = keras.layers.Flatten(), keras.layers.Dense(3, kernel_initializer=next(kernels))
    return keras.Sequential([keras.Input((8, 8, 1)), *layers])


def model_of(seed, make=one_layer, **arguments):
    model = small_model(make(seed=seed), **arguments)
    # As in a run that resumes.
    model.build_variables(episodes_of(seed).element_spec)
    return model


def values_of(model):
    return [v.numpy() for v in (*model.variables, *model.optimizer.variables)]


def set_values(model, values):
    variables = (*model.variables, *model.optimizer.variables)
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)


def together_and_alone(data=episodes_of, **arguments):
    """For each seed: its values and logs after joint steps, and after steps of its own."""
    models, steps = [model_of(seed, **arguments) for seed in SEEDS], JointSteps()
    begin = [values_of(model) for model in models]
    streams = zip(*(data(seed).take(STEPS) for seed in SEEDS), strict=True)
    logs = [steps.run(models, meta_batches) for meta_batches in streams]
    # One model, and so one trace, for all seeds alone.
    model = model_of(0, **arguments)
    for seed, start, joint, *own in zip(SEEDS, begin, models, *logs, strict=True):
        set_values(model, start)
        expected, found = [], [{k: float(v) for k, v in each.items()} for each in own]
        record = lambda _, logs, to=expected: to.append(logs)  # noqa: E731
        callbacks = [keras.callbacks.LambdaCallback(on_train_batch_end=record)]
        model.fit(data(seed), steps_per_epoch=STEPS, callbacks=callbacks, verbose=0)
        yield (values_of(joint), found), (values_of(model), expected)


def largest_difference(found, expected):
    return max(np.abs(a - b).max() for a, b in zip(found, expected, strict=True))


@pytest.mark.of_a_cpu
@pytest.mark.slow
@pytest.mark.parametrize("way", WAYS)
def test_on_a_cpu_weights_and_logs_are_those_of_each_seed_alone_bit_for_bit(way, float64):
    finals = []
    for (values, logs), (own_values, own_logs) in together_and_alone(**WAYS[way]):
        assert largest_difference(values, own_values) == 0
        assert logs == own_logs and len(logs) == STEPS
        finals.append(logs[-1]["loss"])
    assert len(set(finals)) == len(SEEDS)


AS_ONE_BATCH = {
    "fomaml, reset, the head moves": {
        "method": "fomaml",
        "inner_state": "reset",
        "inner_trainable": "head",
    },
    "reptile, carried, clipping": {"inner_optimizer": keras.optimizers.Adam(0.01, clipnorm=0.5)},
}


@pytest.mark.slow
@pytest.mark.parametrize("way", AS_ONE_BATCH)
def test_as_one_batch_they_are_so_up_to_rounding(way, float64):
    arguments = dict(make=small_dense, task_parallelism="vectorized", **AS_ONE_BATCH[way])
    for (values, logs), (own_values, own_logs) in together_and_alone(**arguments):
        assert largest_difference(values, own_values) < 1e-12
        assert logs == [pytest.approx(own, abs=1e-12) for own in own_logs]


def products(seeds):
    """The number of matrix products in the program of joint steps."""
    models = [model_of(seed, small_dense, task_parallelism="vectorized") for seed in seeds]
    data = tuple(next(iter(episodes_of(seed))) for seed in seeds)
    graph = joint_step(models).get_concrete_function(data).graph.as_graph_def()
    nodes = [*graph.node, *(node for f in graph.library.function for node in f.node_def)]
    return sum("MatMul" in node.op for node in nodes)


@pytest.mark.of_a_cpu
@pytest.mark.slow
def test_as_one_batch_more_seeds_need_no_more_matrix_products():
    assert products(SEEDS) == products(SEEDS[1:]) > 0


@pytest.mark.of_a_cpu
@pytest.mark.parametrize(
    ("expected", "extra", "arguments"),
    [
        (True, [], {"task_parallelism": "vectorized"}),
        (False, [], {}),
        (False, [], {"task_parallelism": "vectorized", "method": "maml"}),
        (False, [keras.layers.Dropout(0.5)], {"task_parallelism": "vectorized"}),
    ],
)
def test_the_plan_and_the_network_decide_whether_they_are_one_batch(expected, extra, arguments):
    model = small_model(small_dense(extra), **arguments)
    images = next(iter(episodes_of(0)))["support"][0]
    found = are_one_batch(model._inner_loop, model._plan(training=True), images)
    assert found == expected
