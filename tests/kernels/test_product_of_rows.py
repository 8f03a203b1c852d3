"""Products of many rows, in blocks on a GPU, against NumPy."""

import numpy as np
import pytest
import tensorflow as tf
from accelerators import hlo

from keras_reptile.kernels import batched_dense

SETS, ROWS, INPUTS, UNITS = 2, 1200, 3, 4


@pytest.fixture
def compiled(monkeypatch):
    """The product's function, compiled by XLA as on a GPU, and its arguments in float64."""
    monkeypatch.setattr(batched_dense, "on_gpu", lambda: True)
    random = np.random.RandomState(0)
    arrays = [tf.constant(random.randn(SETS, ROWS, n)) for n in (INPUTS, UNITS)]
    function = tf.function(batched_dense.product_of_rows, jit_compile=True, autograph=False)
    return function, arrays


def test_blocks_give_the_product_of_all_rows(compiled):
    function, (x, dy) = compiled
    assert batched_dense.blocks(SETS, ROWS, INPUTS, UNITS) == 6
    wanted = np.einsum("sri,sru->siu", x, dy)
    np.testing.assert_allclose(function(x, dy), wanted, rtol=0, atol=1e-11)


def test_xla_keeps_the_blocks(compiled):
    function, arrays = compiled
    text = function.experimental_get_compiler_ir(*arrays)(stage="optimized_hlo")
    found = hlo.parse(text).computations.values()
    products = [each for body in found for each in body if "dot" in each.opcode]
    assert products, text
    assert f"f64[{SETS * 6},{INPUTS},{UNITS}]" in text


@pytest.mark.of_a_cpu
def test_few_rows_and_other_devices_have_one_product():
    assert batched_dense.blocks(5, 490, 576, 64) == 1
    assert batched_dense.blocks(5, 7919, 9, 64) == 1  # a prime number of rows
    assert batched_dense.blocks(1, 10_000, 1024, 1024) == 1  # 256 tiles
    x = tf.ones((1, ROWS, INPUTS))
    graph = tf.function(batched_dense.product_of_rows).get_concrete_function(x, x).graph
    assert [op.type for op in graph.get_operations()].count("BatchMatMulV2") == 1
    assert "Sum" not in [op.type for op in graph.get_operations()]
