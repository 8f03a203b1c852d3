"""Tasks whose classes are all of one group of a pool."""

import dataclasses

import numpy as np
import pytest

import keras_reptile as kr
from keras_reptile.episodes.class_pool import Pools
from keras_reptile.recipes import named
from keras_reptile.recipes.building import evaluation_episodes
from keras_reptile.recipes.data_options import data_options
from keras_reptile.runs.run_checks import check_pools

# Groups of 4, 3, 2 and 6 classes, whose classes are not side by side.
GROUPS = ["a", "d", "b", "d", "a", "c", "d", "b", "a", "d", "c", "d", "b", "a", "d"]


def numbered_pool(groups=GROUPS):
    """A pool whose image j of class c is the number 10 c + j."""
    numbers = [10 * c + j for c in range(len(GROUPS)) for j in range(3)]
    return kr.ClassPool(np.array(numbers, np.float32)[:, None], [3] * len(GROUPS), groups=groups)


def classes_of_tasks(pool, **arguments):
    episodes = kr.episode_dataset(pool, shots=1, meta_batch_size=50, **arguments)
    images = [e["support"][0].numpy()[..., 0] for e in episodes]
    return (np.concatenate(images) // 10).astype(int)


def test_all_classes_of_a_task_are_of_one_group_and_differ():
    tasks = classes_of_tasks(numbered_pool(), ways=3, tasks=600, within_groups=True)
    assert all(len({GROUPS[c] for c in task}) == 1 for task in tasks)
    assert all(len(set(task)) == 3 for task in tasks)


def test_groups_are_drawn_alike_whatever_their_size_and_small_ones_are_left_out():
    tasks = classes_of_tasks(numbered_pool(), ways=3, tasks=600, within_groups=True)
    drawn = [GROUPS[task[0]] for task in tasks]
    assert set(drawn) == {"a", "b", "d"}
    # 200 each; five standard deviations of 12 are 58.
    assert all(abs(drawn.count(group) - 200) < 58 for group in "abd")
    of_d = np.array([task for task in tasks if GROUPS[task[0]] == "d"]).ravel()
    counts = np.bincount(of_d)[[c for c, group in enumerate(GROUPS) if group == "d"]]
    assert (np.abs(counts - len(of_d) / 6) < 5 * np.sqrt(len(of_d) / 6)).all()


def test_the_labels_of_a_task_are_its_classes_and_queries_are_of_the_same():
    episode = next(
        iter(kr.episode_dataset(numbered_pool(), ways=3, shots=1, tasks=1, within_groups=True))
    )
    support, query = (episode[part][0].numpy()[0, :, 0] for part in ("support", "query"))
    assert (support // 10 == episode["classes"].numpy()[0]).all()
    assert (query // 10 == support // 10).all() and not set(query) & set(support)


def test_groups_follow_their_classes_into_parts_and_rotations():
    images = np.zeros((3, 2, 2, 1), np.uint8)
    pool = kr.ClassPool(images, [1, 1, 1], names="xyz", groups=["a", "b", "a"])
    assert pool.subset([2, 1]).groups == ("a", "b")
    assert [part.groups for part in pool.split(1, 2)] == [("a",), ("b", "a")]
    assert pool.select(["y"]).groups == ("b",)
    order = [int("xyz".index(name)) for name in pool.shuffled(1).names]
    assert pool.shuffled(1).groups == tuple("aba"[i] for i in order)
    rotated = pool.with_rotations()
    assert rotated.groups[:4] == (("a", 0), ("b", 0), ("a", 0), ("a", 90))
    assert kr.ClassPool(images, [1, 1, 1]).with_rotations().groups is None


def test_a_pool_without_groups_and_groups_that_are_too_small_are_refused():
    with pytest.raises(ValueError, match=r"Received: a pool without `groups`.*ClassPool\(..., gr"):
        kr.episode_dataset(numbered_pool(None), 2, 1, within_groups=True)
    with pytest.raises(ValueError, match=r"ways=7, with 6 classes in the largest of 4 groups. Low"):
        kr.episode_dataset(numbered_pool(), 7, 1, within_groups=True)
    with pytest.raises(
        ValueError, match=r"`groups` must be one group .*: 2 groups, with 15 classe"
    ):
        numbered_pool(["a", "b"])
    with pytest.raises(
        ValueError, match=r"`within_groups` must be True or False. Received: .*'yes'"
    ):
        kr.episode_dataset(numbered_pool(), 2, 1, within_groups="yes")


def test_only_classes_of_groups_that_are_large_enough_need_the_images_of_a_task():
    # The class of one image is alone in its group, so that no task has it.
    images, counts = np.arange(7, dtype=np.float32)[:, None], [3, 1, 3]
    pool = kr.ClassPool(images, counts, groups=["a", "b", "a"])
    episode = next(iter(kr.episode_dataset(pool, 2, 1, queries=2, tasks=1, within_groups=True)))
    assert set(episode["classes"].numpy()[0]) == {0, 2}
    with pytest.raises(ValueError, match=r"shots=1, queries=2, with 1 images in the smallest cl"):
        kr.episode_dataset(pool, 2, 1, queries=2)
    with pytest.raises(ValueError, match=r"shots=1, queries=3, with 3 images in the smallest cl"):
        kr.episode_dataset(pool, 2, 1, queries=3, within_groups=True)


@pytest.mark.parametrize("group", [["a"], {"a": 1}, np.array(["a"]), ("a", ["b"])])
def test_groups_that_are_no_names_are_refused(group):
    text = rf"`groups` must be names, such as strings. Received: {type(group).__name__} for class 1"
    with pytest.raises(ValueError, match=text):
        kr.ClassPool(np.zeros((2, 1)), [1, 1], groups=["a", group])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("part", "remedy"),
    [
        ("validation", r", or raise --validation_classes \(0 for no validation\)\."),
        ("test", r"\."),
    ],
)
def test_an_alphabet_must_have_the_classes_of_a_task_in_the_split_of_the_task(part, remedy):
    small = numbered_pool().select([1, 3, 6, 9, 2, 7])
    pools = Pools(*[small if n == part else numbered_pool() for n in Pools._fields])
    recipe = named.get("omniglot_5way", eval_classes="within_alphabet", train_shots=1)
    text = (
        rf"No alphabet has `ways` of the {part} classes\. Received: ways=5, with at most 4 of one "
        rf"alphabet\. Lower `ways`{remedy}$"
    )
    with pytest.raises(ValueError, match=text):
        check_pools(recipe, pools)
    check_pools(dataclasses.replace(recipe, ways=4), pools)
    check_pools(dataclasses.replace(recipe, eval_classes="any"), pools)


def test_a_recipe_evaluates_within_alphabets_and_trains_on_any_classes():
    recipe = named.get("omniglot_5way", ways=3, eval_classes="within_alphabet")
    episodes = evaluation_episodes(recipe, numbered_pool(), tasks=40)
    found = np.concatenate([e["classes"].numpy() for e in episodes])
    assert all(len({GROUPS[c] for c in task}) == 1 for task in found)
    usual = evaluation_episodes(named.get("omniglot_5way", ways=3), numbered_pool(), tasks=40)
    found = np.concatenate([e["classes"].numpy() for e in usual])
    assert any(len({GROUPS[c] for c in task}) > 1 for task in found)


@pytest.mark.parametrize("dataset", ["glyphs", "sinusoid", "tfds:cifar100"])
def test_only_omniglot_has_alphabets(dataset):
    recipe = named.get(dataset=dataset, eval_classes="within_alphabet")
    with pytest.raises(ValueError, match=r"`eval_classes` is for dataset='omniglot' only"):
        data_options(recipe, None)


def test_the_papers_accuracy_is_not_that_of_tasks_within_alphabets():
    assert named.paper_accuracy(named.get("omniglot_20way")) == 88.14
    within = named.get("omniglot_20way", eval_classes="within_alphabet")
    assert named.paper_accuracy(within) is None
