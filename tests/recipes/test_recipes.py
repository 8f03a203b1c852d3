import dataclasses
import json
import re
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

import keras_reptile as kr
from keras_reptile.algorithm import losses
from keras_reptile.algorithm.inner_optimizers import InnerAdam, InnerSGD, InnerState
from keras_reptile.algorithm.keras_optimizers import from_keras
from keras_reptile.datasets.published_split import PUBLISHED
from keras_reptile.episodes.class_pool import Pools
from keras_reptile.errors import RunError
from keras_reptile.recipes import building, named
from keras_reptile.recipes.data_options import data_options
from keras_reptile.recipes.recipe import NOTES, own_fields
from keras_reptile.runs.run_checks import check_checkpoint

# Recipes that a search found.
BEST = ("omniglot_5way_best", "omniglot_20way_best", "mini_imagenet_fast")


def weights(model):
    return sum(int(np.prod(w.shape)) for w in model.network.trainable_weights)


def test_mini_imagenet_recipes_are_the_papers_and_differ_in_evaluation_only():
    one = named.get("mini_imagenet_5way_1shot")
    five = named.get("mini_imagenet_5way_5shot")
    a, b = dataclasses.asdict(one), dataclasses.asdict(five)
    assert {k for k in a if a[k] != b[k]} == {"shots", "eval_inner_batch_size", "expected"}
    training = (one.train_shots, one.inner_batch_size, one.inner_steps, one.inner_learning_rate)
    assert training == (15, 10, 8, 1e-3)
    assert (one.meta_iterations, one.meta_batch_size) == (100_000, 5)
    assert (one.eval_inner_batch_size, five.eval_inner_batch_size) == (5, 15)
    assert (one.shots, five.shots, one.eval_inner_steps) == (1, 5, 50)


def test_the_recipe_chooses_the_network_and_the_data_its_size():
    mini = named.get("mini_imagenet_5way_1shot")
    model = building.build_model(mini, (84, 84, 3))
    assert model.network.name == "mini_imagenet_convnet"
    assert weights(model) == 34_661
    assert weights(building.build_model(named.get("omniglot_5way"), (28, 28, 1))) == 113_221
    small = building.build_model(named.get("images_5way", network=mini.network), (32, 32, 3))
    assert small.network.input_shape == (None, 32, 32, 3)


def test_every_recipe_says_where_it_comes_from_and_what_to_expect():
    assert all(r.source and r.expected for r in named.RECIPES.values())


@pytest.mark.parametrize("name", named.RECIPES)
def test_every_recipe_is_made_of_its_own_fields(name):
    recipe = named.RECIPES[name]
    made = named.get(**{field: getattr(recipe, field) for field in own_fields(recipe)})
    notes = {note: getattr(recipe, note) for note in NOTES}
    others = {f.name for f in dataclasses.fields(recipe)} - {*own_fields(recipe), *notes}
    assert dataclasses.replace(made, **notes) == recipe
    for field in others:
        with pytest.raises(ValueError, match=f"not use `{field}`"):
            named.get(name, **{field: getattr(recipe, field)})


def test_every_recipe_has_the_cost_that_was_measured():
    folder = Path(__file__).parents[2] / "docs" / "results"
    # The second has measured two of them with more steps.
    files = (folder / f"{name}.json" for name in ("meta_steps", "fast_and_full"))
    rows = (row for file in files for row in json.loads(file.read_text())["recipes"])
    measured = {row["recipe"]: row["meta_step_in_fit_ms"] for row in rows}
    assert set(named.MILLISECONDS) == set(measured)
    not_measured = {*BEST, *(f"{name}_5way" for name in PUBLISHED)}
    assert set(named.RECIPES) - set(measured) == not_measured
    for name, milliseconds in measured.items():
        assert named.MILLISECONDS[name] == pytest.approx(milliseconds, rel=0.1)
        assert named.cost(name)


@pytest.mark.parametrize(
    ("given", "dataset", "name"),
    [
        ({}, "glyphs", "glyphs"),
        (dict(image_dir="some/Cats & dogs"), "folder", "folder_Cats_dogs"),
        (dict(dataset="tfds:cifar100"), "tfds:cifar100", "tfds_cifar100"),
        (dict(dataset="mini_imagenet"), "mini_imagenet", "mini_imagenet_5way_1shot"),
    ],
)
def test_a_data_set_brings_its_recipe(given, dataset, name):
    recipe = named.get(**given)
    assert recipe.dataset == dataset
    assert named.run_name(recipe) == name


def test_anyones_images_train_for_a_short_time():
    recipe = named.get(dataset="tfds:cifar100")
    assert (recipe.meta_iterations, recipe.image_size, recipe.channels) == (2000, 28, 1)
    assert (recipe.network, recipe.validation_classes) == ("omniglot_convnet", 0)


def test_what_a_data_set_is_told():
    assert data_options(named.get("mini_imagenet_5way_5shot", manual_dir="m"), "d") == {
        "validation_classes": 16,
        "image_size": 84,
        "channels": 3,
        "data_dir": "d",
        "manual_dir": "m",
    }
    omniglot = data_options(named.get("omniglot_5way", split_seed=2), None)
    assert (omniglot["split"], omniglot["split_seed"]) == ("authors", 2)
    assert data_options(named.get(dataset="tfds:cifar100", split_seed=2), None)["split_seed"] == 2
    folder = named.get(image_dir="x", test_classes=7, split_seed=3, shots=2, queries=4)
    assert data_options(folder, None) == {
        "validation_classes": 0,
        "image_size": 28,
        "channels": 1,
        "test_classes": 7,
        "split_seed": 3,
        "image_dir": "x",
        "training_images": 14,
        "evaluation_images": 6,
    }


@pytest.mark.parametrize(
    ("name", "changes", "text"),
    [
        ("glyphs", dict(channels=3), r"images of glyphs are grey. Received: channels=3"),
        (
            "omniglot_5way",
            dict(test_classes=9),
            r"test classes are fixed. Received: test_classes=9",
        ),
        ("images_5way", dict(test_classes=-1), r"must not be negative. .*test_classes=-1"),
        ("glyphs", dict(image_dir="x"), r"`image_dir` is for dataset='folder' only.*image_dir='x'"),
        ("glyphs", dict(manual_dir="x"), r"`manual_dir` is for dataset='mini_imagenet' only"),
        (
            "glyphs",
            dict(split_seed=1),
            r"`split_seed` is for dataset='folder' or 'omniglot' or 'tfds:NAME' only.*split_seed=1",
        ),
        (
            "images_5way",
            dict(dataset_split="background"),
            r"`dataset_split` is for dataset='omniglot' only. Received: dataset='folder'",
        ),
    ],
)
def test_what_a_data_set_has_no_choice_of_is_refused(name, changes, text):
    with pytest.raises(ValueError, match=text):
        data_options(named.get(name, **changes), None)


@pytest.mark.slow
def test_glyphs_of_another_number_and_size():
    pools = building.load_pools(named.get("glyphs", test_classes=600, image_size=20), None)
    assert [len(pool) for pool in pools] == [50, 50, 600]
    assert pools.train.image_shape == (20, 20, 1)


def test_a_pool_and_its_episodes_share_memory():
    images = np.zeros((12, 4, 4, 1), np.uint8)
    pool = kr.ClassPool.from_arrays(images, np.repeat(np.arange(3), 4))
    assert pool.images.base is images or pool.images is images
    tensor = pool.tensor
    assert pool.tensor is tensor
    pool.images[0] = 9
    assert tensor[0, 0, 0, 0].numpy() == 9


@pytest.mark.parametrize("dtype", ["float64", "float32", "int32", "bool", ">f4"])
def test_pools_of_any_dtype_become_tensors(dtype):
    pool = kr.ClassPool.from_arrays(np.arange(6).reshape(6, 1).astype(dtype), [0, 0, 1, 1, 2, 2])
    np.testing.assert_array_equal(
        pool.tensor.numpy(), pool.images.astype(pool.tensor.numpy().dtype)
    )


@pytest.mark.parametrize(("reduction", "reduce"), [("sum", np.sum), ("mean", np.mean)])
def test_a_minibatchs_loss_is_the_sum_or_the_mean_over_its_images(reduction, reduce):
    logits = np.random.RandomState(0).randn(5, 3).astype(np.float32)
    labels = np.array([0, 2, 1, 1, 0])
    by_hand = np.log(np.exp(logits).sum(1)) - logits[range(5), labels]
    loss = building.task_loss(named.get("glyphs", loss_reduction=reduction))
    found = losses.batch_loss(loss, labels, tf.constant(logits))
    np.testing.assert_allclose(found, reduce(by_hand), rtol=1e-6)
    waves = building.task_loss(named.get("sinusoid", loss_reduction=reduction))
    found = losses.batch_loss(waves, np.zeros((5, 1), np.float32), tf.constant(logits[:, :1]))
    np.testing.assert_allclose(found, reduce(logits[:, 0] ** 2), rtol=1e-6)


def test_the_papers_recipes_sum_as_the_authors_program_does():
    summed = {name for name, r in named.RECIPES.items() if r.loss_reduction == "sum"}
    paper = {"omniglot_5way", "omniglot_20way", "mini_imagenet_5way_1shot"}
    like_it = {"study", *BEST, *(f"{name}_5way" for name in PUBLISHED)}
    assert summed == paper | {"mini_imagenet_5way_5shot"} | like_it


@pytest.mark.parametrize(("reduction", "step"), [("sum", 0.5), ("mean", 1.0)])
def test_carried_moments_make_steps_on_half_as_many_images_half_as_long_if_losses_are_sums(
    reduction, step
):
    # Adam divides by the moments that minibatches of 10 left, and they change little in a task.
    recipe = named.get("glyphs", loss_reduction=reduction)
    loss, rule = building.task_loss(recipe), InnerAdam(1.0, beta_1=0.0, beta_2=1 - 1e-9)
    labels = np.zeros(10, np.int64)

    def gradient(images):
        w = tf.Variable([1.0, 0.0], dtype=tf.float64)
        with tf.GradientTape() as tape:
            value = losses.batch_loss(loss, labels[:images], tf.tile(w[None], (images, 1)))
        return [tape.gradient(value, w)]

    state = rule.init([tf.zeros(2, tf.float64)])
    many = InnerState(tf.constant(10**9, state.step.dtype), ([tf.square(g) for g in gradient(10)],))
    before = [tf.zeros(2, tf.float64)]
    moved = [rule.update(before, gradient(n), many, 0)[0][0] for n in (10, 5)]
    np.testing.assert_allclose(moved[1] / moved[0], [step, step], rtol=1e-6)


def tasks_of(**changes):
    """The specs of training and test tasks of a recipe."""
    pool = kr.ClassPool.from_arrays(np.zeros((30, 2, 2, 1), np.uint8), np.arange(30) % 3)
    recipe = named.get("glyphs", ways=3, shots=2, train_shots=4, queries=5, **changes)
    episodes = (
        building.training_episodes(recipe, pool),
        building.evaluation_episodes(recipe, pool, 7),
    )
    return [each.element_spec for each in episodes]


def test_a_recipes_numbers_reach_its_tasks():
    sizes = dict(inner_batch_size=6, inner_steps=7, eval_inner_batch_size=8, eval_inner_steps=9)
    train, test = tasks_of(meta_batch_size=11, **sizes)
    for spec, shots, order in ((train, 4, (11, 7, 6)), (test, 2, (7, 9, 8))):
        assert spec["order"].shape == order
        assert spec["support"][1].shape == (order[0], 3 * shots)
        assert spec["query"][1].shape == (order[0], 3 * 5)
    assert tasks_of(train_queries=False)[0]["query"][1].shape[1] == 0


def test_tasks_of_one_class_are_refused_by_the_recipes_field():
    pools = Pools(*[kr.ClassPool(np.zeros((6, 2, 2, 1), np.uint8), [3, 3])] * 3)
    for name, in_training in (("ways", False), ("train_ways", True)):
        recipe = dataclasses.replace(named.get("glyphs", head="shared"), **{name: 1})
        with pytest.raises(ValueError, match=f"`{name}` must be at least 2. Received: {name}=1"):
            building.check_ways(recipe, pools, "train", "", in_training)


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        (dict(train_shots=0), "`train_shots` must be at least 1. Received: train_shots=0"),
        (dict(train_shots=6), "`train_shots + queries` must not exceed the images of a class. "),
        (dict(train_shots=6), "Received: train_shots=6, queries=1, with 6 images in the smallest "),
        (dict(train_shots=6), "Lower `train_shots` or `queries`"),
        (dict(shots=6), "Received: shots=6, queries=1, with 6 images in the smallest class"),
        (dict(tail_shots=5), "Received: tail_shots=5, train_shots=5. Raise `train_shots`, or"),
        (dict(inner_steps=0), "`inner_steps` must be at least 1. Received: inner_steps=0"),
        (dict(eval_inner_steps=0), "`eval_inner_steps` must be at least 1. Received: eval_inner_"),
        (dict(inner_batch_size=0), "`inner_batch_size` must be at least 1. Received: inner_batch"),
        (dict(eval_inner_batch_size=0), "`eval_inner_batch_size` must be at least 1. Received: e"),
        (dict(train_ways=9, head="shared"), "`train_ways` must not exceed the number of classes "),
    ],
)
def test_numbers_of_tasks_that_do_not_fit_are_refused_by_the_recipes_fields(fields, text):
    pool = kr.ClassPool(np.zeros((36, 2, 2, 1), np.uint8), [6] * 6)
    recipe = named.get("glyphs", **{"train_shots": 5, **fields})
    with pytest.raises(ValueError, match=re.escape(text)):
        (building.training_episodes(recipe, pool), building.evaluation_episodes(recipe, pool, 1))


@pytest.mark.parametrize("size", ["inner_batch_size", "eval_inner_batch_size"])
def test_a_recipes_minibatches_with_replacement_are_those_of_training_and_of_test_tasks(size):
    sizes = dict(inner_batch_size=1, eval_inner_batch_size=1)
    with pytest.raises(ValueError, match=r"minibatch with replacement must not exceed the support"):
        tasks_of(minibatches="replacement", **{**sizes, size: 13})


def test_a_recipes_numbers_reach_its_inner_optimizer():
    moments = dict(inner_beta_1=0.2, inner_beta_2=0.3, inner_epsilon=0.4)
    adam = named.get("glyphs", inner_optimizer="adam", inner_learning_rate=0.1, **moments)
    assert from_keras(building.inner_optimizer(adam)) == InnerAdam(0.1, 0.2, 0.3, 0.4)
    sgd = named.get("glyphs", inner_optimizer="sgd", inner_learning_rate=0.1, inner_momentum=0.5)
    assert from_keras(building.inner_optimizer(sgd)) == InnerSGD(0.1, 0.5)


def test_a_recipe_and_its_checkpoint_know_which_layers_the_inner_loop_moves():
    recipe = named.get("glyphs", inner_trainable="head")
    model = building.build_model(recipe, (28, 28, 1))
    assert model.inner_trainable == "head"
    check_checkpoint(recipe, model, "here")
    with pytest.raises(RunError, match=r"inner_trainable='head' \(run.json: 'all'\)"):
        check_checkpoint(named.get("glyphs"), model, "here")
