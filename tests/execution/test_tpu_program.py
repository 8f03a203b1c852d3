"""What a TPU would be given: the whole training step as one XLA program, here for lack of one."""

import dataclasses
import re
import warnings

import numpy as np
import pytest
import tensorflow as tf
from helpers import small_episodes, small_model

import keras_reptile as kr
from keras_reptile.episodes.streams import stream_of
from keras_reptile.execution import on_device
from keras_reptile.recipes import building, named
from keras_reptile.recipes.recipe import NOTES, OF_IMAGES

pytestmark = pytest.mark.slow

# Fields that change neither the arithmetic of a training step nor its shapes but for a size.
ELSEWHERE = {
    *NOTES,
    *OF_IMAGES,
    "dataset",
    "ways",
    "shots",
    "queries",
    "inner_batch_size",
    "inner_learning_rate",
    "meta_step_size",
    "meta_iterations",
    "checkpoint_every",
    "curve_tasks",
    "test_tasks",
    "validation_tasks",
    "eval_classes",
    "eval_inner_batch_size",
    "eval_inner_steps",
    "transductive",
}


def distinct_programs():
    """A recipe's name for each training step that differs from the others."""
    found = {}
    for name, recipe in named.RECIPES.items():
        fields = dataclasses.asdict(recipe)
        fields["inner_steps"] = min(fields["inner_steps"], 2)
        fields |= {"ways": recipe.ways_in_training, "train_ways": 0}
        found.setdefault(tuple(v for k, v in fields.items() if k not in ELSEWHERE), name)
    return sorted(found.values())


def one_episode(recipe):
    pool = building.load_pools(recipe, None).train if recipe.dataset == "sinusoid" else None
    if pool is None:
        each, ways = recipe.train_shots + recipe.queries, recipe.ways_in_training
        shape = (ways * each, recipe.image_size, recipe.image_size, recipe.channels)
        pool = kr.ClassPool(np.zeros(shape, np.uint8), [each] * ways)
    return next(iter(building.training_episodes(recipe, pool))), pool.image_shape


def parameters(text):
    """How many values a program takes; not those that it was compiled for."""
    _, entry = text.split("ENTRY ")
    return entry.count(" parameter(")


def check_needs_no_host(text):
    """A program of static shapes, without float64, that asks the host for nothing."""
    assert "f32[" in text and "f64[" not in text
    assert not re.search(r"\[[^\]]*(<=|\?)", text)
    assert not re.findall(r" (custom-call|infeed|outfeed|send|recv|[\w-]*dynamic-reshape)\(", text)


@pytest.mark.of_a_cpu
@pytest.mark.parametrize("name", distinct_programs())
def test_a_training_step_is_a_program_of_static_shapes_without_the_host(name):
    recipe = named.get(name)
    episode, image_shape = one_episode(recipe)
    model = building.build_model(recipe, image_shape)
    model.set_execution(task_parallelism="vectorized")
    with warnings.catch_warnings():
        # MAML says that it runs task by task.
        warnings.simplefilter("error" if recipe.method != "maml" else "ignore")
        step = tf.function(model.train_step, jit_compile=True, autograph=False)
        text = step.experimental_get_compiler_ir(episode)(stage="hlo")
    values = [t for t in step.get_concrete_function(episode).inputs if t.shape.num_elements() != 0]
    assert parameters(text) == len(values)
    check_needs_no_host(text)
    if recipe.method != "maml":
        assert " dot(" in text and " convolution(" not in text


def test_several_meta_steps_with_their_tasks_are_such_a_program():
    episodes, model = small_episodes(scale=False), small_model()
    model.set_execution(task_parallelism="vectorized")
    model.build_variables(episodes.element_spec)
    stream = stream_of(episodes)
    steps = lambda data: [model.train_step(*data)]  # noqa: E731
    results = [model.task_metrics.container.result]
    run = on_device.program(
        steps, results, stream.meta_batches, stream.meta_batch_size, 3, compiled=True
    )
    number = (tf.constant(0, tf.int64),)
    given = stream.meta_batches.tensors(stream.pool), number, number
    text = run.experimental_get_compiler_ir(*given)(stage="hlo")
    check_needs_no_host(text)
    assert parameters(text) == len(run.get_concrete_function(*given).inputs)
