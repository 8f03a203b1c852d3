import numpy as np
import pytest

import keras_reptile as kr

NETWORKS = {
    "omniglot 5-way": (lambda seed: kr.networks.omniglot_convnet(5, seed=seed), 113_221),
    "omniglot 20-way": (lambda seed: kr.networks.omniglot_convnet(20, seed=seed), 117_076),
    "mini-ImageNet": (lambda seed: kr.networks.mini_imagenet_convnet(5, seed=seed), 34_661),
    "sine": (lambda seed: kr.networks.sine_mlp(seed=seed), 64 * 2 + 65 * 64 + 65),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_a_network_has_the_papers_number_of_weights(name):
    build, weights = NETWORKS[name]
    assert sum(np.size(v) for v in build(0).trainable_variables) == weights


@pytest.mark.parametrize("name", NETWORKS)
def test_initial_weights_follow_the_seed_and_differ_between_layers(name):
    build, _ = NETWORKS[name]
    first, again, other = (build(seed).trainable_variables for seed in (7, 7, 8))
    for v, w in zip(first, again, strict=True):
        np.testing.assert_array_equal(v, w)
    assert (first[0].numpy() != other[0].numpy()).any()
    kernels = [v.numpy() for v in first if v.name == "kernel"]
    same_shape = [k for k in kernels if k.shape == kernels[1].shape]
    assert len({k.tobytes() for k in same_shape}) == len(same_shape)


def test_a_network_needs_a_class_to_tell():
    with pytest.raises(ValueError, match=r"`ways` must be at least 1. Received: ways=0."):
        kr.networks.omniglot_convnet(0)
    with pytest.raises(ValueError, match=r"`ways` must be at least 1. Received: ways=-1."):
        kr.networks.mini_imagenet_convnet(-1)
