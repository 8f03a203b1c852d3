"""One table of what is chosen, and the sentence that a run prints of it."""

import pytest

from keras_reptile.execution.plan import (
    EACH_TASK,
    MAML_IS_NOT_COMPILED,
    NOTHING,
    SEPARATELY,
    THE_LOOP,
    WHOLE_STEPS,
    Plan,
)
from keras_reptile.execution.settings import Settings
from keras_reptile.kernels import forms

MIRRORED = {"replicas": 2}
NOT_COMPILED = f"Training is not compiled: {MAML_IS_NOT_COMPILED}"
NO_BATCH = SEPARATELY.format(MAML_IS_NOT_COMPILED)
CPU, GPU, TPU = {"CPU"}, {"CPU", "GPU"}, {"CPU", "TPU"}
ONE_TPU, ONE_GPU = "a TPU", "a GPU"

# Settings, kinds of devices, other arguments; as one batch?, compiled, forms, refused, sentence.
CASES = [
    ({}, CPU, {}, False, NOTHING, "ON_A_CPU", (), "side by side on 2 cores, not"),
    ({"jit": True}, CPU, {}, False, EACH_TASK, "BY_XLA_ON_A_CPU", (), "side by side on 2 cores,"),
    ({"jit": False}, CPU, {}, False, NOTHING, "ON_A_CPU", (), "side by side on 2 cores, not"),
    (
        {"jit": True},
        CPU,
        {"eagerly": True},
        False,
        NOTHING,
        "ON_A_CPU",
        (),
        "side by side on 2 cores, not",
    ),
    (
        {"jit": True},
        CPU,
        MIRRORED,
        False,
        EACH_TASK,
        "BY_XLA_ON_A_CPU",
        (),
        "side by side on 2 CPU replicas,",
    ),
    (
        {"method": "maml", "jit": True},
        CPU,
        {},
        False,
        NOTHING,
        "ON_A_CPU",
        (NOT_COMPILED,),
        "side by side on 2 cores, not",
    ),
    (
        {"method": "maml", "jit": True},
        CPU,
        {"training": False},
        False,
        EACH_TASK,
        "BY_XLA_ON_A_CPU",
        (),
        "side by side on 2 cores,",
    ),
    (
        {"method": "maml", "parallelism": "vectorized"},
        CPU,
        {},
        False,
        NOTHING,
        "ON_A_CPU",
        (NO_BATCH,),
        "side by side on 2 cores, not",
    ),
    (
        {"order": "serial", "jit": True},
        CPU,
        {},
        False,
        EACH_TASK,
        "BY_XLA_ON_A_CPU",
        (),
        "one after another on 2 cores,",
    ),
    (
        {"parallelism": "vectorized", "jit": False},
        CPU,
        {},
        True,
        NOTHING,
        "AS_ONE_BATCH",
        (),
        "as one batch on 2 cores,",
    ),
    ({}, GPU, {}, True, WHOLE_STEPS, "AS_ONE_BATCH", (), f"as one batch on {ONE_GPU},"),
    ({}, GPU, MIRRORED, True, THE_LOOP, "AS_ONE_BATCH", (), "as one batch on 2 GPU replicas,"),
    (
        {"parallelism": "separate"},
        GPU,
        {},
        False,
        WHOLE_STEPS,
        "ON_AN_ACCELERATOR",
        (),
        f"side by side on {ONE_GPU},",
    ),
    (
        {"parallelism": "separate", "jit": False},
        GPU,
        {},
        False,
        NOTHING,
        "ON_AN_ACCELERATOR",
        (),
        f"side by side on {ONE_GPU}, not",
    ),
    (
        {"method": "maml"},
        GPU,
        {},
        False,
        NOTHING,
        "ON_AN_ACCELERATOR",
        (NO_BATCH,),
        f"side by side on {ONE_GPU}, not",
    ),
    (
        {"method": "maml", "parallelism": "separate", "jit": True},
        GPU,
        {},
        False,
        NOTHING,
        "ON_AN_ACCELERATOR",
        (NOT_COMPILED,),
        f"side by side on {ONE_GPU}, not",
    ),
    (
        {"method": "maml"},
        TPU,
        {"replicas": 1},
        False,
        NOTHING,
        "ON_AN_ACCELERATOR",
        (NO_BATCH,),
        f"side by side on {ONE_TPU},",
    ),
    (
        {"order": "serial"},
        TPU,
        {"replicas": 1},
        False,
        NOTHING,
        "ON_AN_ACCELERATOR",
        (),
        f"one after another on {ONE_TPU},",
    ),
]
NAMES = {"jit": "jit_inner_loops", "parallelism": "task_parallelism", "order": "task_order"}


def settings(**given):
    return Settings(**{NAMES.get(name, name): v for name, v in given.items()})


@pytest.mark.parametrize("case", CASES, ids=[f"{c[0]} {sorted(c[1])} {c[2]}" for c in CASES])
def test_the_plan_of_settings_and_devices(case):
    given, kinds, arguments, one_batch, compiled, name, refused, sentence = case
    plan = Plan.of(settings(**given), kinds, cores=2, **arguments)
    assert (plan.one_batch, plan.compiled, plan.refused) == (one_batch, compiled, refused)
    assert plan.forms == getattr(forms, name)
    where, _, negation = sentence.partition(",")
    assert str(plan) == (
        f"Tasks run {where} (--task_parallelism),{negation} compiled by XLA (--jit_compile)."
    )


@pytest.mark.parametrize(
    ("order", "inner_state", "carry"),
    [
        ("parallel", "carried", "mean"),
        ("serial", "carried", "last"),
        ("parallel", "reset", "nothing"),
        ("serial", "reset", "nothing"),
    ],
)
def test_the_inner_state_that_is_carried_on(order, inner_state, carry):
    plan = Plan.of(settings(order=order, inner_state=inner_state), {"CPU"})
    assert (plan.carry, plan.in_series) == (carry, carry == "last")


def test_tasks_that_cannot_be_one_batch_are_computed_separately():
    plan = Plan.of(settings(), {"GPU"}).separately()
    assert not plan.one_batch
    assert plan.forms == forms.ON_AN_ACCELERATOR
