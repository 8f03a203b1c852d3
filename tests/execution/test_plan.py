import pytest
from helpers import small_model

from keras_reptile.execution import plan
from keras_reptile.kernels import devices
from keras_reptile.threads import usable_cores

CORES = f"{usable_cores()} cores"
CASES = [
    ({}, "auto", {"CPU"}, f"side by side on {CORES}", "not compiled"),
    ({}, True, {"CPU"}, f"side by side on {CORES}", "compiled"),
    ({}, False, {"CPU"}, f"side by side on {CORES}", "not compiled"),
    ({"method": "maml"}, True, {"CPU"}, f"side by side on {CORES}", "not compiled"),
    ({"task_order": "serial"}, True, {"CPU"}, f"one after another on {CORES}", "compiled"),
    ({"task_parallelism": "vectorized"}, False, {"CPU"}, f"as one batch on {CORES}", "compiled"),
    ({}, "auto", {"CPU", "GPU"}, "as one batch on a GPU", "compiled"),
    ({"task_parallelism": "separate"}, "auto", {"GPU"}, "side by side on a GPU", "compiled"),
    ({"task_parallelism": "separate"}, False, {"GPU"}, "side by side on a GPU", "not compiled"),
    ({"method": "maml"}, "auto", {"GPU"}, "side by side on a GPU", "not compiled"),
    ({"method": "maml"}, "auto", {"TPU"}, "side by side on a TPU", "compiled"),
    ({"task_order": "serial"}, "auto", {"TPU"}, "one after another on a TPU", "compiled"),
]


@pytest.mark.parametrize(("arguments", "jit_compile", "kinds", "where", "compiled"), CASES)
def test_it_tells_what_was_chosen(arguments, jit_compile, kinds, where, compiled, monkeypatch):
    model = small_model(**arguments)
    model.jit_inner_loops = jit_compile
    monkeypatch.setattr(devices, "device_kinds", lambda: kinds)
    assert plan.in_words(model) == (
        f"Tasks run {where} (--task_parallelism), {compiled} by XLA (--jit_compile)."
    )
