"""A run whose training tasks have other ways than its tests, on two replicas."""

import json

import numpy as np
import pytest
import warm


@pytest.mark.process
@pytest.mark.slow
def test_a_run_with_other_ways_in_training_has_the_figures_of_one_device(tmp_path):
    path = tmp_path / "found.json"
    program = ("tests/support/ways_on_replicas.py", path)
    status, _, err = warm.run(*program, cwd=tmp_path)
    assert status == 0, err
    one, two = json.loads(path.read_text())
    # An answer is right or wrong: rounding does not show.
    np.testing.assert_allclose(two["rows"], one["rows"], rtol=1e-12)
    assert two["test"] == one["test"] and np.shape(one["rows"]) == (2, 3)
    assert 0 < one["test"] < 1
