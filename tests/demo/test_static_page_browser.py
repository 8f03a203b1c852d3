"""The static page in a real browser: its arithmetic against the learner's, and its use."""

import keras
import numpy as np
import pytest
import tensorflow as tf
import webdriver
from demo_page import CHARACTERS, CIRCLE, CONTRAST, CROSS, LINE, draw, learn, shown_on_a_phone
from helpers import image_pool, small_convnet, small_model
from webdriver import wait

import keras_reptile as kr
from keras_reptile.algorithm import prediction
from keras_reptile.algorithm.network_function import NetworkFunction
from keras_reptile.demo import static_page
from keras_reptile.demo.drawings import PreparedDrawings
from keras_reptile.demo.drawn_task import minibatches, random_weights
from keras_reptile.pretrained import MODELS

pytestmark = [
    pytest.mark.skipif(
        bool(webdriver.MISSING), reason=f"not installed: {', '.join(webdriver.MISSING)}"
    ),
    pytest.mark.process,
    pytest.mark.slow,
]
# The logits for a new image after steps on labelled images, from one of the two weights.
LOGITS = """
const [kind, images, labels, steps, image] = arguments, own = networkFrom(kind);
const floats = images.map((each) => Float32Array.from(each));
return adapt(own, {images: floats, labels, steps})
  .then((weights) => Array.from(predict(own, weights, floats, Float32Array.from(image))));
"""


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """The pages of the package's network, and of a small one that learns at once."""
    folder = tmp_path_factory.mktemp("pages")
    static_page.write_page(folder / "shipped.html", MODELS / "omniglot_5way")
    small = static_page.page_html(small_model(small_convnet(ways=5)), "Model: a small one")
    (folder / "small.html").write_text(small)
    return {"shipped": folder / "shipped.html", "small": folder / "small.html"}


def opened(browser, file):
    browser.get("about:blank")
    browser.log("browser")
    browser.requests()
    browser.get(file.as_uri())
    return browser


@pytest.fixture
def shipped(browser, files):
    return opened(browser, files["shipped"])


@pytest.fixture
def small(browser, files):
    return opened(browser, files["small"])


def page_of(browser, model, tmp_path):
    file = tmp_path / "page.html"
    file.write_text(static_page.page_html(model, ""))
    return opened(browser, file)


def flat(images):
    return images.reshape(len(images), -1).tolist()


def logits_of_the_learner(model, x, y, steps, query):
    batch = min(len(x), 10)
    learner = model.adapt(x, y, steps=steps, inner_batch_size=batch, seed=0)
    # All but moving averages: layers that the inner loop does not move are frozen.
    weights = [v.value for v in learner.weights if "moving" not in v.name]
    f = NetworkFunction(model.network)
    return prediction.predict(f, weights, x, query[None], transductive=False)[0]


def drawn_images(ways, shots, side=28, seed=0):
    """Images of blurred random strokes, black on white, `(ways * shots, side, side, 1)`."""
    random = np.random.RandomState(seed)
    canvas = np.ones((ways * shots, side, side, 1), np.float32)
    for image in canvas:
        for ends in random.uniform(3, side - 4, (3, 2, 2)):
            for share in np.linspace(0, 1, 40):
                row, column = np.int32(ends[0] + share * (ends[1] - ends[0]))
                image[row : row + 2, column : column + 2] = 0.1
    return canvas


@pytest.mark.parametrize(("shots", "steps"), [(1, 50), (3, 10)])
def test_logits_of_the_packages_network_are_those_of_the_learner(shipped, shots, steps):
    model = kr.pretrained("omniglot_5way")
    x, y = drawn_images(5, shots), np.repeat(np.arange(5), shots)
    query = drawn_images(1, 1, seed=1)[0]
    expected = logits_of_the_learner(model, x, y, steps, query)
    got = shipped.run(LOGITS, "known", flat(x), y.tolist(), steps, query.ravel().tolist())
    np.testing.assert_allclose(got, expected, atol=1e-3)


def test_random_weights_are_adapted_as_the_learner_adapts_them_from_a_new_state(shipped):
    model = kr.pretrained("omniglot_5way")
    for variable, value in zip(
        model.network.trainable_variables, random_weights(model.network), strict=True
    ):
        variable.assign(value)
    for variable in model.inner_variables:
        variable.assign(tf.zeros_like(variable))
    x, y, query = drawn_images(5, 1), np.arange(5), drawn_images(1, 1, seed=1)[0]
    expected = logits_of_the_learner(model, x, y, 5, query)
    got = shipped.run(LOGITS, "fresh", flat(x), y.tolist(), 5, query.ravel().tolist())
    np.testing.assert_allclose(got, expected, atol=1e-3)


def pooled():
    """Two convolutions with pooling: one normalized and padded, the other with a bias."""
    kernels = kr.networks.glorot_uniform(0)
    return keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            keras.layers.Conv2D(6, 3, padding="same", kernel_initializer=next(kernels)),
            keras.layers.BatchNormalization(),
            keras.layers.MaxPooling2D(3, 2, padding="same"),
            keras.layers.Activation("relu"),
            keras.layers.Conv2D(
                5, 2, activation="relu", bias_initializer="ones", kernel_initializer=next(kernels)
            ),
            keras.layers.MaxPooling2D(2),
            keras.layers.Flatten(),
            keras.layers.Dense(7, activation="relu", kernel_initializer=next(kernels)),
            keras.layers.Dense(3, kernel_initializer=next(kernels)),
        ]
    )


def slower(rate):
    return keras.optimizers.schedules.ExponentialDecay(rate, 5, 0.5)


@pytest.mark.parametrize(
    "network, optimizer, reduction, moved",
    [
        (small_convnet, lambda: keras.optimizers.Adam(slower(0.02), beta_1=0.8), "sum", "all"),
        (
            pooled,
            lambda: keras.optimizers.Adam(0.01, beta_1=0.0, beta_2=0.9, epsilon=1e-3),
            "mean",
            "all",
        ),
        (
            pooled,
            lambda: keras.optimizers.SGD(slower(0.1), momentum=0.7, nesterov=True),
            "sum",
            "body",
        ),
        (small_convnet, lambda: keras.optimizers.SGD(0.1, momentum=0.7), "mean", "head"),
    ],
    ids=["adam with momentum", "adam with pooling", "nesterov of the body", "momentum of the head"],
)
def test_logits_of_other_networks_and_optimizers_are_those_of_the_learner(
    browser, tmp_path, network, optimizer, reduction, moved
):
    model = kr.ReptileModel(
        network(),
        inner_optimizer=optimizer(),
        inner_weight_decay_rate=0.99,
        inner_trainable=moved,
    )
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True, reduction=reduction)
    model.compile("sgd", loss=loss)
    for variable in model.inner_variables:
        variable.assign(
            tf.cast(tf.fill(variable.shape, 0.01 if variable.shape else 2.0), variable.dtype)
        )
    images = np.float32(image_pool().images[:36].reshape(3, 12, 8, 8, 1)) / 255
    x, y = images[:, :4].reshape(-1, 8, 8, 1), np.repeat(np.arange(3), 4)
    expected = logits_of_the_learner(model, x, y, 12, images[1, 5])
    page = page_of(browser, model, tmp_path)
    got = page.run(LOGITS, "known", flat(x), y.tolist(), 12, images[1, 5].ravel().tolist())
    np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-4)


def test_minibatches_are_those_of_the_learner(small):
    for images in (2, 10, 11, 25):
        got = small.run("return minibatches(...arguments)", images, 10, 200)
        np.testing.assert_array_equal(got, minibatches(images, 200))


def test_a_drawing_becomes_the_image_of_the_served_page(small):
    draw(small, '[data-row="A"]', CROSS, scale=0.5)
    canvas = 'document.querySelector("#examples canvas")'
    url = small.run(f"return {canvas}.toDataURL()")
    got = small.run(f"return Array.from(prepare(inkOf({canvas}), 28, PAGE.ink))")
    np.testing.assert_allclose(got, np.ravel(PreparedDrawings(28)(url)), atol=1e-6)


def test_new_drawings_are_recognized(shipped):
    learn(shipped)
    for name, strokes in CHARACTERS.items():
        draw(shipped, "#query", strokes, scale=0.6)
        wait(lambda name=name: shipped.text("[data-answer]") == name)
        assert float(shipped.text(f'[data-known="{name}"]').removesuffix(" %")) > 50
        shipped.click("#query [data-clear]")
        wait(lambda: "Draw one of the characters again." in shipped.text("#verdict"))
    assert shipped.text('[data-known="D"]') == "0.0 %"


def test_the_page_asks_for_nothing_and_logs_no_error(small):
    learn(small)
    draw(small, "#query", CIRCLE)
    wait(lambda: small.count("[data-answer]"))
    asked = {url.partition(":")[0] for _, url in small.requests()}
    assert asked <= {"file", "blob", "data"}
    assert small.log("browser") == []
    assert small.text("#failure") == ""


def test_examples_undo_delete_and_clear_are_controls_of_the_keyboard(small):
    press = """const button = document.querySelector(arguments[0]);
      button.focus();
      const focused = document.activeElement === button;
      button.click();
      return focused && button.tagName === "BUTTON";"""
    assert small.run(press, "#examples [data-examples]")
    wait(lambda: "Learned 5 characters from 5 drawings: " in small.text("#status"))
    assert small.run(press, "#query [data-examples]")
    wait(lambda: small.text("#verdict small").startswith("From random weights: "))
    assert small.run(press, '[data-row="C"] canvas[data-inked] + button')
    wait(lambda: "Learned 4 characters from 4 drawings: " in small.text("#status"))
    assert small.text('[data-known="C"]') == "0.0 %"
    assert small.run(press, "#examples [data-undo]")
    wait(lambda: "Learned 5 characters" in small.text("#status"))
    assert small.run(press, "#examples [data-clear]")
    wait(lambda: "Draw at least two characters to begin." in small.text("#verdict"))
    assert small.text("#status") == "Nothing learned yet."


@pytest.mark.parametrize("kind", ["touch", "pen"])
def test_a_finger_and_a_pen_draw_as_the_mouse_does(small, kind):
    canvas = '[data-row="A"] canvas'
    inked = f"return document.querySelector('{canvas}').toDataURL()"
    blank = small.run(inked)
    small.drag(canvas, CIRCLE[0], kind=kind)
    by_hand = small.run(inked)
    small.click("#examples [data-undo]")
    small.drag(canvas, CIRCLE[0])
    assert small.run(inked) == by_hand != blank
    assert small.run("return scrollY") == 0


def test_the_slider_sets_the_gradient_steps(small):
    learn(small)
    slide = """const slider = document.getElementById("steps");
      slider.value = 7;
      for (const kind of ["input", "change"]) slider.dispatchEvent(new Event(kind));"""
    small.run(slide)
    wait(lambda: ": 7 gradient steps in " in small.text("#status"))
    assert small.text("#steps_now") == "7"


def test_a_diverged_network_is_said_and_has_no_bars(browser, tmp_path):
    model = small_model(inner_optimizer=keras.optimizers.SGD(1e30))
    page = page_of(browser, model, tmp_path)
    learn(page)
    draw(page, "#query", LINE)
    wait(lambda: "The network has diverged on these drawings." in page.text("#verdict"))
    assert page.run("return document.querySelectorAll('.best').length") == 0


def test_without_workers_the_page_learns_all_the_same(small):
    learned = """window.Worker = undefined;
      const images = [0, 1].map((value) => new Float32Array(64).fill(value));
      return new Promise((resolve) => {
        take = (kind, answer) => resolve([kind, answer.task, answer.logits.length]);
        startedLearner("known")({task: 3, images, labels: [0, 1], steps: 2, query: images[0]});
      });"""
    assert small.run(learned) == ["known", 3, 5]


@pytest.mark.parametrize(
    "fault",
    [
        "delete PAGE.ink; document.querySelector('#examples [data-examples]').click()",
        "learners.known({task: 1, images: null})",
    ],
    ids=["of the page", "of a worker"],
)
def test_an_error_is_said(small, fault):
    small.run(fault)
    wait(lambda: small.text("#failure"))
    said = small.text("#failure")
    assert said.startswith("The page has failed: ")
    assert "TypeError" in said
    assert said.endswith(" Reload it.")


def test_a_screen_reader_is_told_of_the_answer_and_the_status(small):
    live = "return document.querySelector(arguments[0]).closest('[aria-live]')?.ariaLive"
    for place in ("#verdict *", "#status *"):
        assert small.run(live, place) == "polite"
    assert small.run("return document.querySelector('#answer [aria-live]')") is None
    assert small.run("return document.querySelector('label[for=steps]').innerText")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_texts_have_a_contrast_of_4_5_to_1(small, scheme):
    feature = {"name": "prefers-color-scheme", "value": scheme}
    small.devtools("Emulation.setEmulatedMedia", features=[feature])
    wait(lambda: small.run("return document.body.matches('.dark')") == (scheme == "dark"))
    learn(small)
    draw(small, "#query", CIRCLE)
    wait(lambda: small.count("[data-answer]"))
    ratio, text = small.run(CONTRAST)
    assert ratio >= 4.5, text


def test_a_phone_shows_the_characters_and_the_new_drawing_together(small):
    top, bottom, width = shown_on_a_phone(small)
    assert 0 <= top < bottom <= 844
    assert width <= 390
