"""docs/how_to/python.md, as a reader runs it: from top to bottom, in a process of its own."""

import re
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
import warm
from made_images import write_image

import keras_reptile as kr

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "how_to" / "python.md"
SHORT = (
    "--meta_iterations=2 --meta_batch_size=2 --inner_steps=2 --eval_inner_steps=2 "
    "--validation_tasks=2 --test_tasks=2 --jit_compile=false "
    "--network=helpers:one_block_network"
)
# Of what the page trains, a test asks for the lines only.
SHORTER = {
    "steps_per_epoch=25": "steps_per_epoch=2",
    "inner_steps=50": "inner_steps=2",
    'load("glyphs")': 'load("glyphs", classes=40, validation_classes=8, test_classes=8)',
    "kr.networks.omniglot_convnet(": "__import__('helpers').one_block_network(",
}


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", PAGE.read_text(), flags=re.DOTALL)


def drawing(kind, number):
    """Stripes of a width and direction of their own for each kind, moved and blurred a little."""
    rows, columns = np.mgrid[:40, :30]
    angle, width = 0.7 * kind, 3 + kind
    wave = np.sin((rows * np.cos(angle) + columns * np.sin(angle) + number) * 2 * np.pi / width)
    return (127.5 + 127 * wave).astype(np.uint8)[..., np.newaxis]


@pytest.fixture(scope="module")
def printed(tmp_path_factory):
    """What the page's programs print, and the folder in which they ran."""
    cwd = tmp_path_factory.mktemp("page")
    for kind in range(15):
        for number in range(12):
            write_image(
                cwd / "photos" / f"kind_{kind:02d}" / f"{number}.png", drawing(kind, number)
            )
    for kind in range(5):
        for number in range(3):
            write_image(cwd / "new" / f"new_{kind}" / f"{number}.png", drawing(2 * kind, number))
    write_image(cwd / "mine.png", drawing(6, 1))
    (shell,) = blocks("sh")
    program, *flags = f"{shell.strip()} {SHORT}".split()
    status, _, err = warm.run(program, *flags, cwd=cwd)
    assert status == 0, err
    source = "\n".join(blocks("python"))
    for long, short in SHORTER.items():
        assert long in source
        source = source.replace(long, short)
    status, out, err = warm.run_source(source, cwd)
    assert status == 0, err
    return cwd, out


@pytest.mark.slow
@pytest.mark.process
def test_the_page_runs_and_names_the_class_of_an_image(printed):
    _, out = printed
    assert "new_3\n" in out


@pytest.mark.slow
@pytest.mark.process
def test_the_pages_lines_are_learned(printed):
    _, out = printed
    (loss,) = re.findall(r"([\d.]+) ± [\d.]+ \(100 tasks, 8 support examples, inductive\)", out)
    assert float(loss) < 0.03
    (predicted,) = re.findall(r"^\[\[([-\d.]+)\]\]$", out, flags=re.MULTILINE)
    assert abs(float(predicted) - 0.5) < 0.2


@pytest.mark.slow
def test_training_that_goes_on_from_a_file_leads_to_the_weights_of_one_without_a_break(tmp_path):
    points = np.random.RandomState(0).rand(40, 2).astype("float32")
    pool = kr.ClassPool.from_arrays(points, np.arange(40) % 4)

    def episodes(start=0):
        return kr.episode_dataset(pool, ways=3, shots=4, meta_batch_size=2, start=start)

    def built():
        dense = keras.layers.Dense(3, kernel_initializer=keras.initializers.GlorotUniform(seed=0))
        model = kr.ReptileModel(keras.Sequential([keras.Input((2,)), dense]))
        model.compile(keras.optimizers.SGD(kr.linear_meta_step(1.0, 0.0, meta_iterations=20)))
        return model

    whole, broken = built(), built()
    whole.fit(episodes(), epochs=4, steps_per_epoch=5, verbose=0)
    broken.fit(episodes(), epochs=2, steps_per_epoch=5, verbose=0)
    broken.save(tmp_path / "m.keras")
    model = keras.models.load_model(tmp_path / "m.keras")
    start = model.meta_iteration
    assert start == 10
    model.fit(episodes(start), initial_epoch=2, epochs=4, steps_per_epoch=5, verbose=0)
    for a, b in zip(whole.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.slow
def test_bytes_are_divided_in_episodes_and_by_adapt():
    images = np.random.RandomState(0).randint(0, 256, (12, 4, 4, 1), np.uint8)
    pool = kr.ClassPool.from_arrays(images, np.arange(12) % 3)
    flat = [keras.Input((4, 4, 1)), keras.layers.Flatten(), keras.layers.Dense(3)]
    model = kr.ReptileModel(keras.Sequential(flat))
    model.compile(keras.optimizers.SGD(1.0))
    tasks = [
        kr.episode_dataset(pool, ways=3, shots=2, tasks=5, scale=scale) for scale in (True, False)
    ]
    scaled, bytes_ = (kr.evaluate(model, each, verbose=0).accuracies for each in tasks)
    np.testing.assert_array_equal(scaled, bytes_)
    assert next(iter(tasks[0]))["support"][0].numpy().max() <= 1.0
    x = images[:3]
    by_bytes, by_floats = (model.adapt(y, np.arange(3), steps=2) for y in (x, x / np.float32(255)))
    found, expected = by_bytes.predict(x, verbose=0), by_floats.predict(x / 255, verbose=0)
    np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.slow
def test_a_network_of_ones_own_adapts_and_comes_back_and_is_exported_if_it_is_wrapped(tmp_path):
    (source,) = [block for block in blocks("python") if "class Network" in block]
    names = {"keras": keras}
    exec(source, names)
    x = np.linspace(-1, 1, 6, dtype="float32")[:, np.newaxis]
    given = keras.Input((1,))
    bare, wrapped = names["Network"](1), keras.Model(given, names["Network"](1)(given))
    for network in (bare, wrapped):
        network(x)
        model = kr.ReptileModel(network, inner_optimizer="sgd")
        model.compile(keras.optimizers.SGD(1.0), loss="mean_squared_error")
        assert model.adapt(x, x, steps=2).predict(x, verbose=0).shape == (6, 1)
        model.save(tmp_path / "m.keras")
        loaded = keras.models.load_model(tmp_path / "m.keras")
        np.testing.assert_array_equal(loaded.network(x), network(x))
        if network is wrapped:
            model.export_learner(tmp_path / "exported")
        else:
            with pytest.raises(ValueError, match="Wrap it in"):
                model.export_learner(tmp_path / "exported")


@pytest.mark.slow
def test_episodes_of_ones_own_may_have_a_tail_and_several_inputs_and_training_ones_no_queries():
    inputs = keras.Input((2,)), keras.Input((3,))
    joined = keras.layers.Dense(3)(keras.layers.Concatenate()(inputs))
    model = kr.ReptileModel(keras.Model(inputs, joined))
    model.compile(keras.optimizers.SGD(1.0))

    def episode(number):
        def draw(purpose, *shape):
            return tf.random.stateless_uniform(shape, [purpose, number])

        examples = (draw(0, 4, 6, 2), draw(1, 4, 6, 3)), tf.tile(tf.range(3)[None], (4, 2))
        order = tf.argsort(draw(2, 4, 5, 4))[..., :2]
        tail = tf.tile([[4, 5]], (4, 1))
        return {"support": examples, "order": order, "tail": tail, "query": examples}

    def without_queries(episode):
        return {**episode, "query": tf.nest.map_structure(lambda t: t[:, :0], episode["query"])}

    tasks = tf.data.Dataset.range(2).map(episode)
    history = model.fit(tasks.map(without_queries), validation_data=tasks, verbose=0).history
    assert {"loss_before", "val_accuracy"} <= set(history)
    assert "accuracy" not in history
    assert model.predict(tasks, verbose=0).shape == (8, 6, 3)
    assert kr.evaluate(model, tasks, verbose=0).accuracies.shape == (8,)
