"""Accuracy of each class, and what an evaluation prints."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from helpers import image_pool, scalar_episode, scalar_model, small_episodes, small_model

import keras_reptile as kr
from keras_reptile.metrics.class_accuracy import by_class, class_answers, confusion

RS = np.random.RandomState(0)
# Queries of classes 0 to 4, about a third of them wrong, some without a prediction.
ANSWERS = RS.randint(0, 5, (400, 2))
ANSWERS[:200, 1] = ANSWERS[:200, 0]
ANSWERS[::40, 1] = -1


def test_by_class_counts_as_a_loop_over_queries_does():
    found = {each.name: each for each in by_class(ANSWERS, "abcde")}
    for position, name in enumerate("abcde"):
        said = [b for a, b in ANSWERS if a == position]
        wrong = [b for b in said if b not in (position, -1)]
        assert found[name].queries == len(said)
        assert found[name].accuracy == said.count(position) / len(said)
        times = max(wrong.count(c) for c in wrong)
        assert wrong.count("abcde".index(found[name].mistaken_for)) == times
    accuracies = [each.accuracy for each in by_class(ANSWERS)]
    assert accuracies == sorted(accuracies)


def test_the_confusion_has_every_pair_of_classes_and_its_diagonal_is_correct():
    names, counts = confusion(ANSWERS, "abcde")
    assert names == tuple("abcde")
    for (row, column), count in np.ndenumerate(counts):
        assert count == np.sum(np.equal(ANSWERS, (row, column)).all(axis=1))
    correct = sum(each.accuracy * each.queries for each in by_class(ANSWERS))
    assert np.trace(counts) == pytest.approx(correct)


def test_an_output_without_a_class_or_a_number_is_no_class():
    outputs = np.eye(4)[[[0, 1, 3, 2]]]
    outputs[0, 3] = np.nan
    true, said = class_answers(tf.constant([[0, 0, 1, 2]]), outputs, tf.constant([[7, 5, 9]]))
    assert true.numpy().tolist() == [[7, 7, 5, 9]]
    assert said.numpy().tolist() == [[7, 5, -1, -1]]
    assert by_class(np.array([[5, -1]]))[0].mistaken_for is None


def class_of(pool, image):
    """The position of the class that an image is of, found by its pixels."""
    for position in range(len(pool)):
        if (pool.class_images(position) == image).all(axis=(1, 2, 3)).any():
            return position
    raise AssertionError("an image of no class")


def test_a_fixed_number_of_tasks_knows_the_class_of_each_label_and_an_endless_stream_does_not():
    pool = image_pool()
    (first, *_) = tests = list(small_episodes(tasks=5, meta_batch_size=3, scale=False))
    for element in tests:
        assert element["classes"].dtype == tf.int32
        for part in ("support", "query"):
            for task in range(len(element["classes"])):
                images, labels = (t.numpy()[task] for t in element[part])
                found = [class_of(pool, image) for image in images]
                assert found == element["classes"].numpy()[task][labels].tolist()
    endless = next(iter(small_episodes(meta_batch_size=3, scale=False)))
    assert set(endless) == {"support", "order", "query"}
    for key in endless:
        tf.nest.map_structure(np.testing.assert_array_equal, endless[key], first[key])


@pytest.fixture(scope="module")
def evaluated():
    """A model that has learned a little, its tests, and both evaluations of it."""
    model = small_model()
    model.fit(small_episodes(), steps_per_epoch=5, verbose=0)
    tests = small_episodes(tasks=7, meta_batch_size=3, seed=4)
    return model, tests, kr.evaluate_both(model, tests, verbose=0)


@pytest.mark.slow
def test_an_evaluations_answers_are_those_of_predict_task_by_task(evaluated):
    model, tests, (inductive, _) = evaluated
    said = model.predict(tests, verbose=0).argmax(axis=-1)
    classes = np.concatenate([element["classes"] for element in tests])
    true = np.concatenate([element["query"][1] for element in tests])
    expected = [np.take_along_axis(classes, labels, axis=1).ravel() for labels in (true, said)]
    np.testing.assert_array_equal(inductive.answers, np.stack(expected, axis=1))
    assert (inductive.answers[:, 0] != inductive.answers[:, 1]).any()


@pytest.mark.slow
def test_in_both_modes_the_classes_add_up_to_the_accuracy(evaluated):
    for found in evaluated[2]:
        rows = found.by_class()
        assert sum(row.queries for row in rows) == 7 * 3
        mean = sum(row.accuracy * row.queries for row in rows) / 21
        assert mean == pytest.approx(found.accuracy)
        assert np.trace(found.confusion().counts) / 21 == pytest.approx(found.accuracy)


@pytest.mark.slow
def test_an_evaluation_prints_as_a_result(evaluated):
    inductive, transductive = evaluated[2]
    percent, half = 100 * inductive.accuracy, 100 * inductive.confidence_95
    words = f"{percent:.2f} % ± {half:.2f} (7 tasks, 3-way 4-shot, inductive)"
    assert str(inductive) == words
    assert str(transductive).endswith("(7 tasks, 3-way 4-shot, transductive)")
    assert repr(inductive).startswith(f"Evaluation(accuracy={inductive.accuracy}, confidence_95=")
    assert "accuracies=<array (7,)>" in repr(inductive)


def test_one_task_prints_no_interval_and_many_print_with_commas():
    assert str(kr.Evaluation(0.5, float("nan"), np.zeros(1))) == "50.00 % (1 task)"
    many = kr.Evaluation(0.887, 0.0094, np.zeros(12345), 2, 5, None, True)
    words = "88.70 % ± 0.94 (12,345 tasks, 5-way, transductive, 2 of them not finite)"
    assert str(many) == words


def test_a_loss_prints_with_the_number_of_support_examples():
    model = scalar_model(keras.optimizers.SGD(0.25), keras.optimizers.SGD(1.0))
    episodes = tf.data.Dataset.from_tensors(scalar_episode([2.0, -6.0], batch=2))
    found = kr.evaluate_loss(model, episodes, verbose=0)
    assert str(found) == "5.0000 ± 50.8248 (2 tasks, 2 support examples, inductive)"
    assert found.ways is None


@pytest.mark.slow
def test_the_key_leaves_training_evaluation_prediction_and_saved_datasets_as_they_are(tmp_path):
    tests = small_episodes(tasks=4, seed=4)
    plain = tests.map(lambda e: {k: v for k, v in e.items() if k != "classes"})
    tests.save(str(tmp_path / "tasks"))
    saved = tf.data.Dataset.load(str(tmp_path / "tasks"))
    for read, element in zip(saved, tests, strict=True):
        tf.nest.map_structure(np.testing.assert_array_equal, read, element)
    results = []
    for data in (tests, plain):
        model = small_model()
        logs = [model.fit(data, verbose=0).history["loss"][0]]
        logs += model.evaluate(data, verbose=0)
        logs += [*kr.evaluate(model, data, verbose=0).accuracies]
        results.append([*logs, *model.predict(data, verbose=0).ravel()])
    np.testing.assert_array_equal(*results)


def test_classes_of_episodes_without_them_are_not_known():
    tests = small_episodes(tasks=2).map(lambda e: {k: v for k, v in e.items() if k != "classes"})
    found = kr.evaluate(small_model(), tests, verbose=0)
    assert (found.ways, found.shots, found.answers) == (3, 4, None)
    with pytest.raises(ValueError, match=r"classes of the tasks are not known.*add integers \(tas"):
        found.by_class()


def test_classes_that_are_no_integers_for_each_way_are_refused():
    model = small_model()
    for wrong in (tf.zeros((2, 3)), tf.zeros((2,), tf.int32)):
        tests = small_episodes(tasks=2).map(lambda e, wrong=wrong: {**e, "classes": wrong})
        with pytest.raises(
            ValueError, match=r"'classes' of an episode must be integers \(tasks, w"
        ):
            kr.evaluate(model, tests, verbose=0)


@pytest.mark.parametrize("number", [2**24, 2**32 + 5, -2])
def test_classes_whose_numbers_an_evaluation_would_change_are_refused(number):
    tests = small_episodes(tasks=2)
    one = tests.map(lambda e: {**e, "classes": tf.constant([[0, 1, 2], [0, 1, number]], tf.int64)})
    with pytest.raises(ValueError, match=r"`classes` must be numbers in 0 to 16,777,215, or -1"):
        kr.evaluate(small_model(), one, verbose=0)


def test_the_largest_numbers_of_classes_are_told_apart():
    numbers = tf.constant([[0, 2**24 - 1, 2**24 - 2], [-1, 5, 6]], tf.int64)
    tests = small_episodes(tasks=2).map(lambda e: {**e, "classes": numbers})
    true = kr.evaluate(small_model(), tests, verbose=0).answers[:, 0]
    assert true.tolist() == tf.reshape(numbers, -1).numpy().tolist()


def test_too_few_names_are_refused():
    with pytest.raises(ValueError, match=r"all classes of the pool, 5 or more. Received: 2 names"):
        by_class(ANSWERS, ["a", "b"])


@pytest.mark.parametrize("kind", [kr.Evaluation, kr.LossEvaluation])
def test_evaluations_of_equal_fields_are_equal(kind):
    one, same = (kind(0.5, float("nan"), np.array([0.5, np.nan])) for _ in range(2))
    assert one == same and one == same
    for other in (one._replace(confidence_95=0.1), one._replace(ways=5), tuple(one)):
        assert one != other and one != other
    assert one != kind(0.5, float("nan"), np.array([0.5, 0.5]))
    assert kr.Evaluation(*one[:3]) != kr.LossEvaluation(*one[:3])


def test_evaluations_of_other_answers_are_not_equal():
    one = kr.Evaluation(0.5, 0.1, np.array([0.5]), answers=np.array([[0, 0], [1, 0]]))
    assert one == one._replace(answers=one.answers.copy())
    assert one != one._replace(answers=None)
    assert one.confusion() == one.confusion()
    assert one.confusion() != one.confusion(["cat", "dog"])
