import numpy as np
import pytest
import tensorflow as tf

import keras_reptile as kr
from keras_reptile.episodes.sampling import distinct

# A pool whose images are their own numbers: image j of class c is 100 c + j.
COUNTS = [7, 9, 6, 12, 8, 10]


def numbered_pool():
    numbers = [100 * c + j for c, count in enumerate(COUNTS) for j in range(count)]
    return kr.ClassPool(np.array(numbers, np.float32)[:, None], COUNTS)


def episodes(**arguments):
    chosen = dict(ways=4, shots=3, queries=2, inner_batch_size=5, inner_steps=7, meta_batch_size=3)
    return kr.episode_dataset(numbered_pool(), **{**chosen, **arguments})


def drawn(dataset, elements):
    return [tf.nest.map_structure(lambda t: t.numpy(), e) for e in dataset.take(elements)]


def test_a_task_has_distinct_classes_distinct_images_and_no_query_in_its_support():
    for element in drawn(episodes(), 40):
        for task in range(3):
            support, query = element["support"][0][task, :, 0], element["query"][0][task, :, 0]
            images = np.concatenate([support, query])
            assert len(set(images)) == 4 * 5
            assert all(number % 100 < COUNTS[int(number) // 100] for number in images)
            for x, y, each in (
                (support, element["support"][1], 3),
                (query, element["query"][1], 2),
            ):
                labels = y[task]
                assert sorted(labels) == sorted(np.repeat(range(4), each))
                classes = {int(label): set(x[labels == label] // 100) for label in set(labels)}
                assert all(len(of_label) == 1 for of_label in classes.values())
            assert len({int(c) for c in support // 100}) == 4


def test_support_and_query_give_a_class_the_same_label():
    element = drawn(episodes(), 1)[0]
    for task in range(3):
        of_class = {}
        for part in ("support", "query"):
            for x, y in zip(element[part][0][task, :, 0], element[part][1][task], strict=True):
                assert of_class.setdefault(int(x) // 100, y) == y


def test_every_class_and_image_is_drawn_equally_often_under_every_label():
    counts, labels = np.zeros((6, 12)), np.zeros((6, 4))
    for element in drawn(episodes(meta_batch_size=10), 300):
        for x, y in zip(
            element["support"][0][..., 0].ravel(), element["support"][1].ravel(), strict=True
        ):
            counts[int(x) // 100, int(x) % 100] += 1
            labels[int(x) // 100, y] += 1
    # 3,000 tasks of 12 support images: 6,000 a class, within five standard deviations of 87.
    for c, of_class in enumerate(counts):
        assert abs(of_class.sum() - 6000) < 440
        expected = of_class.sum() / COUNTS[c]
        assert (np.abs(of_class[: COUNTS[c]] - expected) < 5 * np.sqrt(expected)).all()
    assert (np.abs(labels - 1500) < 5 * np.sqrt(1500) * np.sqrt(3)).all()


def test_cycling_passes_over_the_support_set_and_runs_on_across_passes():
    for element in drawn(episodes(), 10):
        for order in element["order"]:
            stream = order.ravel()
            assert order.shape == (7, 5)
            for start in range(0, 35 - 12 + 1, 12):
                assert sorted(stream[start : start + 12]) == list(range(12))
            # The rest, 35 = 2 * 12 + 11, is the beginning of a third pass.
            assert len(set(stream[24:])) == 11
            assert (stream[:12] != stream[12:24]).any()


def test_cycling_may_hold_an_image_twice_and_a_batch_beyond_the_support_set():
    element = drawn(episodes(shots=1, queries=1, inner_batch_size=6, inner_steps=2), 1)[0]
    for order in element["order"]:
        assert order.shape == (2, 6)
        assert (np.bincount(order.ravel()) == 3).all()


def test_replacement_draws_each_minibatch_anew_from_all_images():
    orders = np.concatenate(
        [e["order"] for e in drawn(episodes(minibatches="replacement", inner_steps=3), 200)]
    )
    assert all(len(set(batch)) == 5 for batch in orders.reshape(-1, 5))
    # In 3 draws of 5 out of 12 without memory, an image is missed with (7/12)^3 = 0.198.
    missed = np.mean([12 - len(set(task.ravel())) for task in orders]) / 12
    assert missed == pytest.approx((7 / 12) ** 3, abs=0.02)


def test_task_streams_without_a_tail_are_those_of_the_first_release():
    # A run of the past can be repeated only if its tasks can.
    first = drawn(episodes(seed=3), 2)[1]
    support = [201, 202, 204, 500, 506, 502, 5, 2, 6, 310, 305, 303]
    assert first["support"][0][0, :, 0].tolist() == support
    assert first["query"][0][0, :, 0].tolist() == [203, 200, 509, 505, 4, 0, 306, 300]
    assert first["order"][0, :2].tolist() == [[1, 7, 4, 9, 11], [10, 0, 3, 6, 8]]
    replaced = drawn(episodes(seed=3, minibatches="replacement"), 2)[1]
    assert replaced["support"][0][0, :, 0].tolist() == support
    assert replaced["order"][0, 5:].tolist() == [[9, 10, 3, 1, 6], [10, 6, 8, 9, 7]]


@pytest.mark.parametrize("minibatches", ["cycling", "replacement"])
def test_the_tail_is_kept_apart_from_the_minibatches_before_it(minibatches):
    for element in drawn(episodes(tail_shots=1, minibatches=minibatches), 10):
        assert set(element) == {"support", "order", "query", "tail"}
        assert element["order"].shape == (3, 6, 5)
        assert element["tail"].shape == (3, 4)
        assert element["tail"].dtype == np.int32
        for y, order, tail in zip(
            element["support"][1], element["order"], element["tail"], strict=True
        ):
            assert sorted(y[tail]) == [0, 1, 2, 3]
            assert set(order.ravel()) <= set(range(12)) - set(tail)
            if minibatches == "cycling":
                # Passes over the 8 other images: 30 = 3 * 8 + 6.
                passes = order.ravel()[:24].reshape(3, 8)
                assert all(len(set(one)) == 8 for one in passes)
            else:
                assert all(len(set(batch)) == 5 for batch in order)


def test_any_image_of_a_class_can_be_in_the_tail():
    counts = np.zeros((6, 12))
    for element in drawn(episodes(shots=4, tail_shots=2, meta_batch_size=10), 100):
        x = element["support"][0][..., 0]
        for number in np.take_along_axis(x, element["tail"], axis=1).ravel():
            counts[int(number) // 100, int(number) % 100] += 1
    for of_class, count in zip(counts, COUNTS, strict=True):
        expected = of_class.sum() / count
        assert (np.abs(of_class[:count] - expected) < 5 * np.sqrt(expected)).all()


def test_a_tail_changes_neither_the_images_nor_the_queries_of_a_task():
    shared, apart = (drawn(episodes(tail_shots=t), 3) for t in (None, 2))
    for a, b in zip(shared, apart, strict=True):
        for part in ("support", "query"):
            tf.nest.map_structure(np.testing.assert_array_equal, a[part], b[part])


def test_the_same_seed_gives_the_same_tasks_and_another_seed_others():
    first, again, other = (drawn(episodes(seed=s), 5) for s in (3, 3, 4))
    tf.nest.map_structure(np.testing.assert_array_equal, first, again)
    assert (first[0]["support"][0] != other[0]["support"][0]).any()


def test_a_stream_can_start_anywhere():
    whole, rest = drawn(episodes(), 8), drawn(episodes(start=5), 3)
    tf.nest.map_structure(np.testing.assert_array_equal, whole[5:], rest)


@pytest.mark.slow
@pytest.mark.parametrize("meta_batch_size", [1, 4, 5, 20])
def test_tasks_do_not_depend_on_how_many_are_drawn_together(meta_batch_size):
    def in_a_row(size):
        elements = drawn(episodes(meta_batch_size=size, tasks=20), 20)
        return tf.nest.map_structure(lambda *parts: np.concatenate(parts), *elements)

    tf.nest.map_structure(np.testing.assert_array_equal, in_a_row(meta_batch_size), in_a_row(3))


def test_a_fixed_number_of_tasks_drops_none():
    sizes = [len(e["order"]) for e in drawn(episodes(tasks=8), 99)]
    assert sizes == [3, 3, 2]
    assert [len(e["order"]) for e in drawn(episodes(tasks=2), 99)] == [2]


def test_uint8_images_stay_or_become_float32_in_0_to_1_and_others_stay():
    pool = kr.ClassPool.from_arrays(np.full((6, 2, 2, 1), 51, np.uint8), np.arange(6) % 3)
    assert next(iter(kr.episode_dataset(pool, ways=2, shots=1)))["query"][0].dtype == tf.uint8
    element = next(iter(kr.episode_dataset(pool, ways=2, shots=1, scale=True)))
    assert element["query"][0].dtype == tf.float32
    np.testing.assert_allclose(element["query"][0], 0.2)
    assert next(iter(episodes(scale=True)))["support"][0].numpy().max() > 100


def test_distinct_numbers_are_a_uniform_random_order():
    bits = np.random.RandomState(0).randint(0, 2**62, (24000, 2, 2))
    found = distinct(tf.constant(bits), tf.constant([4], tf.int64)).numpy()
    pairs = np.bincount(found[:, 0] * 4 + found[:, 1], minlength=16).reshape(4, 4)
    assert (np.diag(pairs) == 0).all()
    # Twelve ordered pairs, 2,000 each, five standard deviations of 43.
    assert (np.abs(pairs[~np.eye(4, dtype=bool)] - 2000) < 215).all()


def test_all_of_a_population_can_be_drawn():
    bits = np.random.RandomState(1).randint(0, 2**62, (50, 2, 5))
    found = distinct(tf.constant(bits), tf.constant([5], tf.int64)).numpy()
    assert all(sorted(row) == list(range(5)) for row in found)


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (dict(ways=7), "`ways` must not exceed the number of classes.*Received: ways=7, with 6 cl"),
        (
            dict(shots=5, queries=2),
            r"`shots \+ queries` must not exceed.*shots=5, queries=2, with 6",
        ),
        (dict(ways=0), "`ways` must be at least 2. Received: ways=0"),
        (dict(ways=1), "`ways` must be at least 2. Received: ways=1"),
        (dict(shots=0), "`shots` must be at least 1"),
        (dict(inner_steps=0), "`inner_steps` must be at least 1"),
        (dict(inner_batch_size=0), "`inner_batch_size` must be at least 1"),
        (dict(meta_batch_size=0), "`meta_batch_size` must be at least 1"),
        (dict(queries=-1), "`queries` must not be negative. Received: queries=-1"),
        (dict(minibatches="random"), "must be 'cycling' or 'replacement'. Received.*'random'"),
        (
            dict(minibatches="replacement", inner_batch_size=13),
            "must not exceed the support set.*inner_batch_size=13, ways=4, shots=3",
        ),
        (
            dict(minibatches="replacement", inner_batch_size=9, tail_shots=1),
            r"exceed the ways \* \(shots - tail_shots\) images outside the tail.*Received: "
            "inner_batch_size=9, ways=4, shots=3, tail_shots=1. Lower `inner_batch_size`",
        ),
        (
            dict(tail_shots=0),
            "`tail_shots` must be at least 1 and less.*tail_shots=0, shots=3. Raise `shots`",
        ),
        (dict(tail_shots=3), "less than `shots`. Received: tail_shots=3, shots=3"),
        (dict(tail_shots=-1), "Received: tail_shots=-1, shots=3"),
        (
            dict(tail_shots=1, inner_steps=1),
            "of at least 2, because.*tail_shots=1, inner_steps=1. Raise `inner_steps` or leave",
        ),
        (dict(start=-1), "`start` must not be negative.*Received: start=-1"),
        (dict(tasks=0), "`tasks` must be at least 1. Received: tasks=0"),
    ],
)
def test_impossible_tasks_are_refused_before_anything_is_drawn(arguments, text):
    with pytest.raises(ValueError, match=text):
        episodes(**arguments)
