"""The candidates of the search for a recipe: what each changes in the paper's 5-way run."""

from typing import Any

SHARED: dict[str, Any] = {"head": "shared"}
FAST: dict[str, Any] = {"head": "shared", "inner_learning_rate": 3e-3}

CANDIDATES: dict[str, dict[str, Any]] = {
    "rate_3e-3": FAST,
    "ways_20": FAST | {"ways": 20, "inner_batch_size": 20, "meta_batch_size": 3},
    "outer_adam": FAST | {"meta_optimizer": "adam", "meta_step_size": 2e-3},
    "rate_1e-2": SHARED | {"inner_learning_rate": 1e-2},
    "steps_10": FAST | {"inner_steps": 10},
    "batch_5": FAST | {"inner_batch_size": 5, "inner_steps": 10},
    "shots_2": FAST | {"train_shots": 2},
    "inner_sgd": SHARED | {"inner_optimizer": "sgd", "inner_learning_rate": 0.02},
    "meta_batch_2": FAST | {"meta_batch_size": 2},
    "mean": FAST | {"loss_reduction": "mean"},
    "shared": SHARED,
    "paper": {},
}
