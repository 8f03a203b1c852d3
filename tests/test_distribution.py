import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

TESTS = Path(__file__).parent


@pytest.mark.parametrize("inner_state", ["carried", "reset"])
def test_two_replicas_train_and_evaluate_like_one(inner_state, tmp_path):
    env = {**os.environ, "PYTHONPATH": str(TESTS.parent)}
    for number in (1, 2):
        path = tmp_path / f"{number}.npz"
        command = [sys.executable, str(TESTS / "replicas.py"), str(number), str(path), inner_state]
        done = subprocess.run(command, capture_output=True, text=True, cwd=TESTS.parent, env=env)
        assert done.returncode == 0, done.stderr
    one, two = (np.load(tmp_path / f"{number}.npz") for number in (1, 2))
    for name in one.files:
        np.testing.assert_allclose(one[name], two[name], rtol=0, atol=1e-9)
