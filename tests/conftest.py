import os
from pathlib import Path

import keras
import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture
def shared():
    """The folder with the complete Omniglot and the authors' numbers, where there is one."""
    path = Path(os.environ.get("KERAS_REPTILE_SHARED", ROOT.parent / "shared"))
    if path.is_dir():
        return path
    reason = f"needs Omniglot and the authors' numbers in {path} (set KERAS_REPTILE_SHARED)"
    if os.environ.get("KERAS_REPTILE_REQUIRE_SHARED"):
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture
def float64():
    policy = keras.config.dtype_policy()
    keras.config.set_floatx("float64")
    keras.config.set_dtype_policy("float64")
    yield
    keras.config.set_floatx("float32")
    keras.config.set_dtype_policy(policy)
