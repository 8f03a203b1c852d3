import keras
import numpy as np
import pytest
import tensorflow as tf
from helpers import scalar_episode, scalar_model, small_convnet, small_episodes, small_model

import keras_reptile as kr
from keras_reptile.algorithm.network_function import NetworkFunction, task_numbers
from keras_reptile.algorithm.prediction import predict
from keras_reptile.metrics.accuracy import task_accuracies
from keras_reptile.metrics.confidence import (
    ConfidenceInterval,
    confidence_95,
    confidence_95_over_classes,
)

RS = np.random.RandomState(0)
SUPPORT, QUERY = (RS.rand(n, 8, 8, 1).astype(np.float32) for n in (6, 4))


def batch_outputs(network, x):
    """What the network gives for a batch by the batch's own statistics, from Keras's own layers."""
    outputs, _ = network.stateless_call(
        network.trainable_variables, network.non_trainable_variables, x, training=True
    )
    return outputs.numpy()


def test_transductive_prediction_takes_all_queries_in_one_batch():
    network = small_convnet()
    found = predict(
        NetworkFunction(network), network.trainable_variables, SUPPORT, QUERY, transductive=True
    )
    np.testing.assert_allclose(found, batch_outputs(network, QUERY), atol=1e-5)


def test_inductive_prediction_takes_each_query_with_the_whole_support_set():
    network = small_convnet()
    found = predict(
        NetworkFunction(network), network.trainable_variables, SUPPORT, QUERY, transductive=False
    )
    for i, query in enumerate(QUERY):
        batch = np.concatenate([SUPPORT, query[None]])
        np.testing.assert_allclose(found[i], batch_outputs(network, batch)[-1], atol=1e-5)


def test_an_inductive_prediction_does_not_see_the_other_queries():
    network, others = small_convnet(), QUERY[::-1].copy()
    others[3] = QUERY[0]
    first = predict(
        NetworkFunction(network), network.trainable_variables, SUPPORT, QUERY, transductive=False
    )
    second = predict(
        NetworkFunction(network), network.trainable_variables, SUPPORT, others, transductive=False
    )
    np.testing.assert_allclose(first[0], second[3], atol=1e-6)


def test_the_interval_is_that_of_the_textbook():
    # Mean 0.6, sample variance 0.16 / 4 * ... by hand: deviations 0.4, -0.6, 0.4, -0.2, 0.
    values = [1.0, 0.0, 1.0, 0.4, 0.6]
    variance = (0.16 + 0.36 + 0.16 + 0.04 + 0.0) / 4
    # 2.776445 is the 97.5 % point of Student's t with 4 degrees of freedom.
    assert confidence_95(values) == pytest.approx(2.776445 * np.sqrt(variance / 5), abs=1e-6)
    metric = ConfidenceInterval()
    for part in (values[:2], values[2:]):
        metric.update_state(part)
    assert float(metric.result()) == pytest.approx(confidence_95(values), abs=1e-6)
    assert np.isnan(confidence_95([0.5]))


def tasks_among(rs, easiness, tasks=2000, ways=5):
    """Tasks among these classes, their accuracy the mean of their classes' and noise."""
    classes = np.stack([rs.permutation(len(easiness))[:ways] for _ in range(tasks)])
    return easiness[classes].mean(axis=1) + 0.1 * rs.randn(tasks), classes


def test_the_interval_over_classes_is_the_spread_of_other_choices_of_classes():
    # A mean over all tasks of n classes is the mean easiness: its deviation is 0.06 / sqrt(n).
    rs = np.random.RandomState(0)
    found = [confidence_95_over_classes(*tasks_among(rs, 0.06 * rs.randn(50))) for _ in range(20)]
    assert np.mean(found) == pytest.approx(2.009575 * 0.06 / np.sqrt(50), rel=0.1)


def test_the_interval_over_classes_takes_off_what_is_the_tasks_noise():
    values, classes = tasks_among(np.random.RandomState(0), np.full(50, 0.9))
    # Left in, it would be as wide as the interval over tasks, for any number of classes.
    assert confidence_95_over_classes(values, classes) < 0.5 * confidence_95(values)
    assert np.isnan(confidence_95_over_classes([0.5, 0.6], [[0, 1], [1, 2]]))


def test_the_interval_over_few_classes_by_hand():
    # Each pair of four classes ten times. The means of the classes are 8/3, 10/3, 4 and 6: their
    # variance is 56/27. Around them, three pairs have sums of squares 26/3, 38/3, 14 and 2, in the
    # mean 28/3. So a mean of 30 values has the variance 10 * 28/3 / 29 / 30 = 28/261.
    pairs = [[0, 1], [0, 2], [0, 3], [1, 2], [1, 3], [2, 3]]
    found = confidence_95_over_classes([1, 2, 5, 3, 6, 7] * 10, pairs * 10)
    # 3.182446 is the 97.5 % point of Student's t with 3 degrees of freedom; ways * 3 / 2 is 3.
    assert found == pytest.approx(3.182446 * 3 * np.sqrt((56 / 27 - 28 / 261) / 4), abs=1e-5)
    # There is no other choice of two classes out of two.
    assert np.isnan(confidence_95_over_classes([1, 2, 1, 2], [[0, 1]] * 4))


def test_accuracy_asks_for_each_querys_best_class():
    # By class, the first query's 5 and 4 would be the best; by query, the classes 0, 2 and 1.
    logits = tf.constant([[[5.0, 4.0, 1.0], [1.0, 0.0, 3.0], [0.0, 2.0, 1.0]]])
    for labels, expected in (([0, 2, 1], 1.0), ([0, 1, 2], 1 / 3), ([1, 0, 0], 0.0)):
        metric = keras.metrics.SparseCategoricalAccuracy()
        found = task_accuracies(metric, tf.constant([labels]), logits)
        np.testing.assert_allclose(found, [expected], rtol=1e-6)


@pytest.mark.slow
def test_evaluate_gives_each_tasks_accuracy_whatever_the_batching():
    model = small_model()
    model.fit(small_episodes(), steps_per_epoch=10, verbose=0)
    results = [
        kr.evaluate(model, small_episodes(meta_batch_size=size, tasks=7, seed=4), verbose=0)
        for size in (1, 3, 7)
    ]
    for result in results:
        np.testing.assert_array_equal(result.accuracies, results[0].accuracies)
        assert result.accuracy == result.accuracies.mean()
        assert result.confidence_95 == confidence_95(result.accuracies)


@pytest.mark.slow
def test_evaluate_agrees_with_keras_evaluate_in_both_modes():
    for transductive in (False, True):
        model = small_model(transductive=transductive)
        model.fit(small_episodes(), steps_per_epoch=5, verbose=0)
        tests = small_episodes(tasks=8, seed=4)
        logs = model.evaluate(tests, verbose=0, return_dict=True)
        result = kr.evaluate(model, tests, verbose=0)
        assert logs["accuracy"] == pytest.approx(result.accuracy, abs=1e-6)
        assert logs["confidence_95"] == pytest.approx(result.confidence_95, abs=1e-5)
        told = kr.evaluate(model, tests, transductive=transductive, verbose=0)
        np.testing.assert_array_equal(told.accuracies, result.accuracies)


@pytest.mark.slow
def test_both_at_once_are_the_same_figures_as_one_after_the_other():
    model = small_model(transductive=True)
    model.fit(small_episodes(), steps_per_epoch=5, verbose=0)
    tests = small_episodes(meta_batch_size=3, tasks=7, seed=4)
    found = kr.evaluate_both(model, tests, verbose=0)
    singly = [kr.evaluate(model, tests, transductive=mode, verbose=0) for mode in (False, True)]
    for both, single in zip(found, singly, strict=True):
        np.testing.assert_array_equal(both.accuracies, single.accuracies)
        assert (both.accuracy, both.confidence_95) == (single.accuracy, single.confidence_95)
    assert (found[0].accuracies != found[1].accuracies).any()


@pytest.mark.slow
def test_the_progress_bar_tells_the_accuracy(capsys):
    kr.evaluate(small_model(), small_episodes(tasks=4), verbose="auto")
    assert "accuracy: 0." in capsys.readouterr().out
    kr.evaluate_both(small_model(), small_episodes(tasks=4), verbose=1)
    out = capsys.readouterr().out
    assert "inductive: 0." in out
    assert "transductive: 0." in out


def numpy_losses(model, episode):
    """Each task's squared error after adaptation of a plain Keras learner, query by query."""
    found = []
    for i in range(len(episode["order"])):
        x, y = (t[i] for t in episode["support"])
        steps, batch = episode["order"].shape[1:]
        learner = model.adapt(x, y, steps=steps, inner_batch_size=batch)
        predictions = learner.predict(episode["query"][0][i], verbose=0)
        found.append(np.mean((predictions - episode["query"][1][i].numpy()) ** 2))
    return found


def sine_model(loss="mean_squared_error", rate=0.02):
    inner = keras.optimizers.SGD(rate)
    model = kr.ReptileModel(kr.networks.sine_mlp(seed=0), inner, transductive=True)
    model.compile(keras.optimizers.SGD(0.1), loss=loss)
    return model


def waves(size=2, tasks=6, **arguments):
    # Full batches: a task's minibatches are the same in any order.
    arguments = dict(shots=10, inner_steps=4) | arguments
    return kr.sinusoid_dataset("test", meta_batch_size=size, tasks=tasks, **arguments)


@pytest.mark.slow
def test_the_loss_of_each_task_is_the_mean_square_that_numpy_finds():
    model = sine_model()
    expected = [loss for episode in waves() for loss in numpy_losses(model, episode)]
    result = kr.evaluate_loss(model, waves(), verbose=0)
    np.testing.assert_allclose(result.losses, expected, rtol=1e-4)
    assert result.loss == result.losses.mean()
    assert result.confidence_95 == confidence_95(result.losses)


def test_the_loss_of_a_task_by_hand():
    # From w = 0, w <- w - 0.25 * 2 (w - c) = c / 2 in one step; the query's loss is (c / 2)^2.
    model = scalar_model(keras.optimizers.SGD(0.25), keras.optimizers.SGD(1.0))
    episodes = tf.data.Dataset.from_tensors(scalar_episode([2.0, -6.0]))
    assert kr.evaluate_loss(model, episodes, verbose=0).losses.tolist() == [1.0, 9.0]


def test_the_loss_of_tasks_is_per_query_whatever_the_reduction_and_the_batching():
    mean = kr.evaluate_loss(sine_model(), waves(inner_steps=1), verbose=0)
    # The sum over 10 support points takes steps 10 times as long.
    summed = sine_model(keras.losses.MeanSquaredError(reduction="sum"), rate=0.002)
    per_query = kr.evaluate_loss(summed, waves(inner_steps=1, size=3), verbose=0)
    np.testing.assert_allclose(per_query.losses, mean.losses, rtol=1e-4)


def test_keras_evaluate_gives_the_interval_of_the_losses():
    model = sine_model()
    logs = model.evaluate(waves(), verbose=0, return_dict=True)
    result = kr.evaluate_loss(model, waves(), verbose=0)
    assert logs["loss_after"] == pytest.approx(result.loss, rel=1e-5)
    assert logs["confidence_95"] == pytest.approx(result.confidence_95, rel=1e-4)


def root_mean_square(y_true, y_pred):
    """One number for a batch, in another dtype than the weights'."""
    squares = tf.square(tf.cast(y_pred, tf.float64) - tf.cast(y_true, tf.float64))
    return tf.sqrt(tf.reduce_mean(squares))


@pytest.mark.slow
def test_a_loss_of_a_whole_batch_is_that_of_each_task_whatever_the_batching():
    model = sine_model(root_mean_square)
    result = kr.evaluate_loss(model, waves(), verbose=0)
    for size in (1, 3):
        logs = model.evaluate(waves(size=size), verbose=0, return_dict=True)
        assert logs["loss_after"] == pytest.approx(result.loss, rel=1e-5)


@pytest.mark.slow
def test_a_classifiers_loss_can_be_measured_too():
    model = small_model()
    tests = small_episodes(tasks=4, seed=4)
    result = kr.evaluate_loss(model, tests, verbose=0)
    assert result.loss == pytest.approx(
        model.evaluate(tests, verbose=0, return_dict=True)["loss_after"], abs=1e-5
    )


def test_what_cannot_be_evaluated_is_refused():
    with pytest.raises(ValueError, match=r"Received: an endless dataset. Build it with `episode"):
        kr.evaluate_loss(small_model(), small_episodes())
    with pytest.raises(ValueError, match=r"Received: an endless dataset. Build it with `episode"):
        kr.evaluate(small_model(), small_episodes())
    regression = scalar_model(keras.optimizers.SGD(0.1), keras.optimizers.SGD(1.0))
    with pytest.raises(ValueError, match=r"Accuracy depends on the loss.*Name an.*`evaluate_loss`"):
        kr.evaluate(regression, small_episodes(tasks=2))
    with pytest.raises(ValueError, match=r"Accuracy depends on the loss.*Name an.*`evaluate_loss`"):
        kr.evaluate_both(regression, small_episodes(tasks=2))


def test_evaluation_needs_queries_and_a_size():
    model = small_model()
    with pytest.raises(ValueError, match=r"Received: episodes with queries=0"):
        kr.evaluate(model, small_episodes(tasks=2, queries=0))
    some = small_episodes(tasks=2).filter(lambda episode: True)
    with pytest.raises(ValueError, match=r"Received: one of unknown size.*assert_cardinality"):
        kr.evaluate(model, some)


def random_model(**arguments):
    keras.utils.set_random_seed(0)
    return small_model(small_convnet(extra=[keras.layers.Dropout(0.5, seed=0)]), **arguments)


def random_tests(size, tasks=6):
    return small_episodes(tasks=tasks, meta_batch_size=size, seed=4)


def arrays(dataset):
    return tf.nest.map_structure(lambda t: t.numpy(), next(iter(dataset)))


WAYS_TO_EVALUATE = {
    "kr.evaluate_loss": lambda model, tests: kr.evaluate_loss(model, tests, verbose=0).loss,
    "evaluate": lambda model, tests: evaluated(model, tests),
    "a generator": lambda model, tests: evaluated(model, ((e,) for e in tests), steps=len(tests)),
    "validation_data": lambda model, tests: validated(model, tests),
    "predict": lambda model, tests: model.predict(tests, verbose=0),
}


def evaluated(model, tests, **arguments):
    return model.evaluate(tests, verbose=0, return_dict=True, **arguments)["loss_after"]


def validated(model, tests):
    model.optimizer.learning_rate = 0.0
    train = small_episodes(meta_batch_size=1)
    history = model.fit(train, steps_per_epoch=1, validation_data=tests, verbose=0).history
    return history["val_loss_after"]


@pytest.mark.slow
@pytest.mark.parametrize("name", WAYS_TO_EVALUATE)
def test_random_layers_draw_alike_whatever_the_size_of_meta_batches(name):
    # Each of the models, which are alike, is evaluated once: validation follows a training step.
    first, *others = (
        WAYS_TO_EVALUATE[name](random_model(inner_state="reset"), random_tests(size))
        for size in (1, 4)
    )
    for other in others:
        np.testing.assert_allclose(other, first, rtol=1e-5, atol=1e-6)


@pytest.mark.slow
def test_all_ways_to_evaluate_draw_alike_and_tasks_do_not():
    model = random_model()
    each = kr.evaluate_loss(model, random_tests(2), verbose=0).losses
    assert evaluated(model, random_tests(3)) == pytest.approx(each.mean(), rel=1e-5)
    whole = arrays(random_tests(6))
    found = model.test_on_batch(whole, return_dict=True)["loss_after"]
    assert found == pytest.approx(each.mean(), rel=1e-5)
    # Two tasks that differ in nothing but the order of their minibatches draw each their own.
    one = {**tf.nest.map_structure(lambda t: t[:1].repeat(2, axis=0), whole)}
    one["order"][1] = one["order"][1][::-1]
    numbers = task_numbers([one["support"], one["order"]]).numpy()
    assert numbers[0] != numbers[1]


def test_tasks_of_zeros_and_ones_have_numbers_of_their_own():
    images = np.random.RandomState(0).randint(0, 2, (5000, 5, 28)).astype(np.float32)
    assert len(set(task_numbers(images).numpy())) == 5000
    bits = np.eye(2000, dtype=np.float32)
    assert len(set(task_numbers(bits).numpy())) == 2000
    words = np.array([[str(i), "a"] for i in range(500)])
    assert len(set(task_numbers(words).numpy())) == 500
