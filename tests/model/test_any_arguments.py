"""Any arguments of the public functions: each works, or refuses them with a text that says why.

More than a thousand of them. A refusal is a `ValueError`, as the docstrings say, never another
error out of NumPy, TensorFlow or Keras.
"""

import functools
import math

import keras
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import keras_reptile as kr
from keras_reptile.recipes import named

INTEGERS = [0, -1, 1, 2, 3, 5, 2**63, 2**70, -(2**70)]
STRANGE = [None, True, 2.5, math.nan, math.inf, "5", "", b"5", [], [1], {}, np.int64(3)]
STRANGE += [np.float32(2), np.zeros(2), np.zeros((0, 2)), object, 1j, "maml", "sgd", (1, 2)]

anything = st.sampled_from(STRANGE)
small = st.integers(1, 4)
integer = st.one_of(small, small, small, st.sampled_from(INTEGERS), anything)
number = st.one_of(
    st.floats(0, 1), st.floats(0, 1), st.floats(), st.sampled_from(INTEGERS), anything
)
boolean = st.one_of(st.booleans(), st.booleans(), anything)


def choice(*values):
    return st.one_of(st.sampled_from(values), st.sampled_from(values), anything)


def some(**options):
    """Any part of some options, each with any of its values."""
    return st.fixed_dictionaries({}, optional=options)


def works_or_says_why(function, *errors):
    """Whether it works; if not, the error must be one of those documented, and say something."""
    try:
        function()
    except (ValueError, *errors) as error:
        assert type(error) in (ValueError, *errors), repr(error)
        assert len(str(error)) > 20, repr(error)
        return False
    return True


def many(examples, working=0.05, **arguments):
    """A test run on so many arguments, some of which work and some of which do not."""

    def decorated(test):
        worked = []
        plan = settings(
            max_examples=examples,
            derandomize=True,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
        )
        check = plan(given(**arguments)(lambda **found: worked.append(test(**found))))

        # Not `functools.wraps`, by which pytest would look for fixtures of these names.
        def whole():
            check()
            assert working * len(worked) < sum(worked) < len(worked), (sum(worked), len(worked))

        whole.__name__ = whole.__qualname__ = test.__name__
        return whole

    return decorated


@functools.cache
def pool():
    points = np.random.RandomState(0).rand(24, 2).astype(np.float32)
    return kr.ClassPool.from_arrays(points, np.arange(24) % 4)


def network():
    return keras.Sequential([keras.Input((2,)), keras.layers.Dense(3)])


@functools.cache
def model():
    made = kr.ReptileModel(network(), keras.optimizers.SGD(0.1))
    made.compile("sgd")
    return made


TASK = dict(
    shots=integer,
    queries=integer,
    inner_batch_size=integer,
    inner_steps=integer,
    minibatches=choice("cycling", "replacement"),
    tail_shots=st.one_of(st.none(), st.none(), integer),
)
STREAM = dict(
    meta_batch_size=integer,
    seed=integer,
    start=integer,
    tasks=st.one_of(st.none(), st.none(), integer),
)


@many(150, ways=integer, options=some(**{k: v for k, v in TASK.items() if k != "shots"}))
def test_task_spec(ways, options):
    return works_or_says_why(lambda: kr.TaskSpec(ways, 3, **options).passes)


@pytest.mark.slow
@many(150, ways=integer, options=some(scale=boolean, **{**TASK, **STREAM}))
def test_episode_dataset(ways, options):
    options = {"shots": 2, **options}
    return works_or_says_why(lambda: next(iter(kr.episode_dataset(pool(), ways, **options))))


@many(60, options=some(split=choice("train", "validation", "test"), **TASK, **STREAM))
def test_sinusoid_dataset(options):
    return works_or_says_why(lambda: next(iter(kr.sinusoid_dataset(**options))))


arrays = st.sampled_from([np.zeros((6, 2)), np.zeros((6, 3, 3, 1), np.uint8), [[1], [2]] * 3, []])
images = st.one_of(arrays, arrays, anything)
counts = st.one_of(st.just([2, 4]), st.lists(st.integers(-1, 6), max_size=4), anything)
labels = st.one_of(
    st.lists(st.sampled_from([0, 1, 2]), min_size=6, max_size=6),
    st.lists(st.sampled_from(["a", "b"]), min_size=6, max_size=6),
    st.lists(st.sampled_from([0, "a", None, 1.5, math.nan]), min_size=6, max_size=6),
    anything,
)


@many(100, images=images, counts=counts, names=st.one_of(st.none(), st.just("ab"), anything))
def test_class_pool(images, counts, names):
    return works_or_says_why(lambda: kr.ClassPool(images, counts, names))


@many(100, images=images, labels=labels)
def test_class_pool_from_arrays(images, labels):
    return works_or_says_why(lambda: kr.ClassPool.from_arrays(images, labels).tensor)


PARTS = {
    "subset": st.tuples(st.one_of(st.lists(integer, max_size=3), anything)),
    "split": st.lists(integer, max_size=3),
    "shuffled": st.tuples(integer),
    "class_images": st.tuples(integer),
    "with_rotations": st.just(()),
}


@many(120, call=st.one_of([st.tuples(st.just(n), a) for n, a in PARTS.items()]))
def test_parts_of_a_pool(call):
    name, arguments = call
    return works_or_says_why(lambda: getattr(pool(), name)(*arguments))


shapes = st.one_of(st.tuples(small, small, small), st.lists(integer, max_size=4), anything)


@pytest.mark.slow
@many(
    60,
    build=st.sampled_from([kr.networks.omniglot_convnet, kr.networks.mini_imagenet_convnet]),
    ways=integer,
    options=some(image_shape=shapes, filters=integer, seed=integer),
)
def test_networks_for_images(build, ways, options):
    return works_or_says_why(lambda: build(ways, **{"image_shape": (4, 4, 1), **options}))


hidden = st.one_of(st.lists(integer, max_size=2), st.tuples(small), anything)


@many(80, options=some(hidden=hidden, activation=choice("relu", "tanh", None), seed=integer))
def test_the_network_for_sine_waves(options):
    return works_or_says_why(lambda: kr.networks.sine_mlp(**options))


optimizers = st.sampled_from(["sgd", "adam", "adamw", "", "nope", {"class_name": "SGD"}])


@pytest.mark.slow
@many(
    100,
    inner_optimizer=st.one_of(optimizers, anything),
    options=some(
        method=choice("reptile", "fomaml", "maml"),
        inner_state=choice("carried", "reset"),
        task_order=choice("parallel", "serial"),
        task_parallelism=choice("auto", "separate", "vectorized"),
        inner_weight_decay_rate=number,
        transductive=boolean,
        byte_scale=st.one_of(choice("auto"), number),
    ),
)
def test_reptile_model(inner_optimizer, options):
    return works_or_says_why(lambda: kr.ReptileModel(network(), inner_optimizer, **options))


@many(60, working=0, make=st.one_of(st.just(network), st.sampled_from(STRANGE)))
def test_what_a_model_is_made_around(make):
    around = network() if make is network else make
    return works_or_says_why(lambda: kr.ReptileModel(around, "sgd"))


@pytest.mark.slow
@many(
    100,
    kind=st.sampled_from([keras.optimizers.SGD, keras.optimizers.Adam]),
    rate=number,
    options=some(momentum=number, beta_1=number, beta_2=number, epsilon=number),
)
def test_inner_hyper_parameters(kind, rate, options):
    known = ("momentum",) if kind is keras.optimizers.SGD else ("beta_1", "beta_2", "epsilon")
    try:
        optimizer = kind(rate, **{k: v for k, v in options.items() if k in known})
    except Exception:
        return False  # Keras's own refusal.
    return works_or_says_why(lambda: kr.ReptileModel(network(), optimizer))


@pytest.mark.slow
@many(
    100,
    optimizer=st.one_of(optimizers, anything),
    options=some(
        loss=choice(None, "mse", "nope"),
        metrics=choice(None, ["accuracy"], ["nope"], "accuracy"),
        run_eagerly=boolean,
        steps_per_execution=integer,
        jit_compile=choice("auto", True, False),
        draw_on_device=choice("auto", True, False, "nope"),
    ),
)
def test_compile(optimizer, options):
    return works_or_says_why(
        lambda: kr.ReptileModel(network(), "sgd").compile(optimizer, **options)
    )


support_x = st.sampled_from([np.zeros((4, 2), np.float32), np.zeros((4, 3)), np.zeros(4)])
support_y = st.sampled_from([np.arange(4) % 2, np.arange(4), np.zeros(3, int), np.zeros((4, 1))])


@pytest.mark.slow
@many(
    60,
    x=st.one_of(st.just(np.zeros((4, 2), np.float32)), support_x, anything),
    y=st.one_of(st.just(np.arange(4) % 3), support_y, anything),
    options=some(
        steps=choice(0, 2, -1),
        inner_batch_size=integer,
        seed=integer,
        head=choice("keep", "replace"),
    ),
)
def test_adapt(x, y, options):
    return works_or_says_why(lambda: model().adapt(x, y, **{"steps": 0, **options}))


episodes = kr.episode_dataset(pool(), 2, 1, tasks=2)


@pytest.mark.slow
@many(
    60,
    measure=st.sampled_from([kr.evaluate, kr.evaluate_loss]),
    make=st.one_of(st.just(model), st.just(model), st.just(network), anything),
    episodes=st.one_of(st.just(episodes), st.just(episodes), st.just(episodes.repeat()), anything),
    transductive=st.one_of(st.none(), boolean),
)
def test_evaluations(measure, make, episodes, transductive):
    measured = make() if any(make is maker for maker in (model, network)) else make
    return works_or_says_why(
        lambda: measure(measured, episodes, transductive=transductive, verbose=0)
    )


@many(150, initial=number, final=number, meta_iterations=integer)
def test_linear_meta_step(initial, final, meta_iterations):
    return works_or_says_why(lambda: float(kr.linear_meta_step(initial, final, meta_iterations)(1)))


FIELDS = {"ways": integer, "inner_learning_rate": number, "transductive": boolean}
FIELDS |= {"image_dir": anything, "method": choice("maml"), "seed": integer, "colour": small}


@many(
    150,
    name=choice(None, *named.RECIPES),
    dataset=choice(None, "glyphs", "sinusoid", "tfds:mnist", "tfds:"),
    overrides=some(**FIELDS),
)
def test_recipes(name, dataset, overrides):
    return works_or_says_why(lambda: named.get(name, dataset, **overrides))


GLYPHS = {"classes": integer, "validation_classes": integer, "test_classes": integer}
GLYPHS |= {"writers": integer, "image_size": st.one_of(st.just(8), anything), "seed": integer}


@many(60, name=choice("glyphs", "glyphs", "folder", "tfds:"), options=some(**GLYPHS))
def test_loading(name, options):
    few = {"classes": 12, "validation_classes": 1, "test_classes": 2, "image_size": 8}
    return works_or_says_why(
        lambda: kr.datasets.load(name, **({**few, **options} if name == "glyphs" else {})),
        TypeError,
    )


names = st.one_of(st.just("omniglot_5way"), st.text(max_size=5), st.just("x" * 300), anything)


@pytest.mark.slow
@many(60, working=0, name=names)
def test_pretrained(name):
    return works_or_says_why(lambda: kr.pretrained(name))
