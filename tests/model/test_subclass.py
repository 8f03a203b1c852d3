"""What a subclass of `ReptileModel` adds, and attributes that nothing may change."""

import keras
import numpy as np
import pytest
from helpers import small_batches, small_episodes, small_linear, small_model

import keras_reptile as kr


class Counting(kr.ReptileModel):
    """Counts its steps by a metric of its own, and has a layer that no step moves."""

    def __init__(self, *arguments, **named):
        super().__init__(*arguments, **named)
        self.steps = keras.metrics.Sum("steps")
        self.other = keras.layers.Dense(1)
        self.other.build((None, 1))

    def train_step(self, data):
        logs = super().train_step(data)
        self.steps.update_state(1)
        return {**logs, "steps": self.steps.result()}


def counting(network):
    model = Counting(network, keras.optimizers.SGD(0.1))
    model.compile(keras.optimizers.Adam(0.1))
    return model


@pytest.mark.slow
@pytest.mark.parametrize("built", [True, False])
def test_metrics_of_a_subclass_begin_again_with_each_epoch(built):
    layers = [keras.layers.Flatten(), keras.layers.Dense(3)]
    model = counting(small_linear() if built else keras.Sequential(layers))
    logs = model.fit(small_episodes(), epochs=2, steps_per_epoch=3, verbose=0).history
    assert logs["steps"] == [3, 3]
    assert [metric.name for metric in model.metrics] == ["task_metrics", "steps"]
    assert model.train_on_batch(small_batches(1)[0], return_dict=True)["steps"] == 1


def test_layers_of_a_subclass_leave_the_outer_step_as_it_is():
    plain = kr.ReptileModel(small_linear(), keras.optimizers.SGD(0.1))
    plain.compile(keras.optimizers.Adam(0.1))
    model = counting(small_linear())
    before = model.other.get_weights()
    for each in (plain, model):
        each.train_on_batch(small_batches(1)[0])
    for a, b in zip(plain.network.get_weights(), model.network.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    np.testing.assert_array_equal(model.other.get_weights()[0], before[0])


@pytest.mark.parametrize("name", ["network", "inner_rule", "inner_optimizer_config"])
def test_what_the_constructor_sets_is_not_changed_afterwards(name):
    model, other = small_model(small_linear()), small_model(small_linear())
    kept = getattr(model, name)
    with pytest.raises(ValueError, match=rf"another `{name}`.* Make a new model"):
        setattr(model, name, getattr(other, name))
    assert getattr(model, name) is kept


def test_the_inner_optimizer_is_not_set_without_effect():
    with pytest.raises(ValueError, match=r"Make a new model: `ReptileModel\(network, inner_opt"):
        small_model(small_linear()).inner_optimizer = keras.optimizers.SGD(1.0)
