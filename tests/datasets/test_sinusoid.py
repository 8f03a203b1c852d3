import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_reptile as kr
from keras_reptile.datasets.sinusoid import Waves, points, sine


def arrays(dataset, tasks):
    """The first tasks of a dataset, one after another."""
    episodes = [tf.nest.map_structure(lambda t: t.numpy(), e) for e in dataset.take(tasks)]
    return tf.nest.map_structure(lambda *parts: np.concatenate(parts), *episodes)


def wave_of(x, y):
    """Amplitude and phase in [0, 2 pi) of one wave, and what they leave of it.

    a sin(x + b) = (a cos b) sin x + (a sin b) cos x, a linear fit.
    """
    basis = np.stack([np.sin(x), np.cos(x)], axis=-1)
    (in_phase, quadrature), *_ = np.linalg.lstsq(basis, y, rcond=None)
    residual = np.abs(basis @ [in_phase, quadrature] - y).max()
    phase = np.arctan2(quadrature, in_phase) % (2 * np.pi)
    return np.hypot(in_phase, quadrature), phase, residual


def waves(split="train", tasks=400, **arguments):
    episode = arrays(kr.sinusoid_dataset(split, meta_batch_size=100, **arguments), tasks // 100)
    x, y = (t[..., 0].astype(np.float64) for t in episode["query"])
    return np.array([wave_of(*task) for task in zip(x, y, strict=True)])


@pytest.mark.parametrize(
    ("x", "a", "b", "value"),
    [
        (0.0, 2.0, 0.0, 0.0),
        (0.0, 2.0, np.pi / 2, 2.0),
        (np.pi / 6, 4.0, 0.0, 2.0),
        (np.pi, 3.0, -np.pi / 2, 3.0),
        (1.0, 0.0, 1.0, 0.0),
    ],
)
def test_the_sine_has_its_values_at_known_angles(x, a, b, value):
    assert float(sine(x, a, b)) == pytest.approx(value, abs=1e-6)


def test_a_task_is_one_wave_at_fifty_evenly_spaced_points():
    episode = arrays(kr.sinusoid_dataset(), 3)
    x = episode["query"][0]
    assert x.shape == (3, 50, 1)
    np.testing.assert_allclose(x[0, :, 0], -5 + 10 * np.arange(50) / 49, atol=1e-6)
    assert waves()[:, 2].max() < 1e-5


def test_the_support_is_distinct_points_of_the_same_wave():
    episode = arrays(kr.sinusoid_dataset(shots=10), 20)
    for i in range(20):
        x, y = (t[i, :, 0] for t in episode["support"])
        of_x = dict(zip(*(t[i, :, 0].tolist() for t in episode["query"]), strict=True))
        assert len(set(x.tolist())) == 10
        assert [of_x[v] for v in x.tolist()] == y.tolist()


def test_amplitude_and_phase_are_uniform():
    amplitude, phase, _ = waves(tasks=2000).T
    for values, low, high in ((amplitude, 0.1, 5.0), (phase, 0.0, 2 * np.pi)):
        assert low - 1e-5 <= values.min()
        assert values.max() <= high + 1e-5
        # Kolmogorov and Smirnov: the distance to the uniform distribution, here at 0.1 %.
        distance = np.abs(np.sort((values - low) / (high - low)) - np.arange(2000) / 2000).max()
        assert distance < 1.95 / np.sqrt(2000)
    assert abs(np.corrcoef(amplitude, phase)[0, 1]) < 0.08


def test_every_point_is_sampled_alike_and_the_first_is_not_special():
    x = arrays(kr.sinusoid_dataset(shots=10, meta_batch_size=100), 20)["support"][0][..., 0]
    counts = np.array([(np.abs(x - p) < 1e-3).sum() for p in points(50)])
    # Each of 2,000 tasks holds a point with probability 1/5: 400 with a deviation of 18.
    assert counts.sum() == 20_000
    assert np.abs(counts - 400).max() < 80


def test_an_epoch_of_five_minibatches_is_one_pass_over_the_fifty_points():
    order = arrays(kr.sinusoid_dataset(shots=50, inner_steps=5), 4)["order"]
    assert order.shape == (4, 5, 10)
    assert (np.sort(order.reshape(4, -1)) == np.arange(50)).all()
    assert (order[0] != order[1]).any()


def test_a_task_is_the_same_whatever_the_batching_and_wherever_drawing_starts():
    one = arrays(kr.sinusoid_dataset(seed=3), 12)
    four = arrays(kr.sinusoid_dataset(seed=3, meta_batch_size=4), 3)
    later = arrays(kr.sinusoid_dataset(seed=3, meta_batch_size=4, start=2), 1)
    finite = arrays(kr.sinusoid_dataset(seed=3, meta_batch_size=5, tasks=12), 3)
    tf.nest.map_structure(np.testing.assert_array_equal, one, four)
    tf.nest.map_structure(np.testing.assert_array_equal, one, finite)
    tf.nest.map_structure(lambda a, b: np.testing.assert_array_equal(a[8:], b), one, later)


@pytest.mark.slow
def test_splits_and_seeds_share_no_wave():
    draws = [(split, seed) for split in ("train", "validation", "test") for seed in range(4)]
    found = np.concatenate([waves(s, 100, seed=n)[:, 0] for s, n in draws])
    assert len(np.unique(found.round(6))) > 0.99 * len(found)


def test_a_separate_tail_is_kept_out_of_the_other_minibatches():
    dataset = kr.sinusoid_dataset(shots=50, tail_shots=10, inner_steps=5)
    episode = arrays(dataset, 2)
    assert episode["order"].shape == (2, 4, 10)
    assert episode["tail"].shape == (2, 10)
    assert not set(episode["order"].ravel()) & set(episode["tail"].ravel())


def test_points_are_of_keras_float_type(float64):
    episode = next(iter(kr.sinusoid_dataset()))
    assert {t.dtype for t in (*episode["support"], *episode["query"])} == {tf.float64}
    x, y = (t.numpy()[0, :, 0] for t in episode["query"])
    assert wave_of(x, y)[2] < 1e-12


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (dict(split="other"), r"`split` must be one of .*Received: split='other'"),
        (dict(shots=51), r"Received: shots=51, queries=50. Lower `shots` or raise `queries`"),
        (dict(inner_steps=0), r"`inner_steps` must be at least 1"),
        (dict(meta_batch_size=0), r"`meta_batch_size` must be at least 1"),
        (dict(tasks=0), r"`tasks` must be at least 1. Received: tasks=0"),
    ],
)
def test_what_cannot_be_drawn_is_refused(arguments, text):
    with pytest.raises(ValueError, match=text):
        kr.sinusoid_dataset(**arguments)


def test_the_data_set_is_three_splits_of_waves():
    pools = kr.datasets.load("sinusoid")
    assert [pool.split for pool in pools] == ["train", "validation", "test"]
    assert repr(pools.test) == "Waves('test')"
    assert isinstance(pools.train, Waves)


@pytest.mark.slow
@pytest.mark.parametrize("activation", ["tanh", "relu"])
def test_reptile_learns_waves(activation):
    network = kr.networks.sine_mlp(activation=activation, seed=0)
    model = kr.ReptileModel(network, keras.optimizers.SGD(0.02), transductive=True)
    model.compile(keras.optimizers.SGD(0.1), loss="mean_squared_error", steps_per_execution=100)
    tests = kr.sinusoid_dataset("test", inner_steps=32, meta_batch_size=50, tasks=100)
    before = kr.evaluate_loss(model, tests, verbose=0).loss
    model.fit(kr.sinusoid_dataset(shots=50), steps_per_epoch=2000, verbose=0)
    assert kr.evaluate_loss(model, tests, verbose=0).loss < 0.8 * before
