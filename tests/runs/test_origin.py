"""What run.json says of where the parts of a run were computed."""

import pytest

from keras_reptile.errors import RunError
from keras_reptile.files import provenance
from keras_reptile.runs import exporting, origin


def at(machine, patch, earlier, done):
    """The entries of run.json of a run that goes on at a machine."""
    facts = {"command": ["train"], "versions": {"keras": "3"}, "machine": {"cores": machine}}
    patch.setattr(provenance, "facts", lambda: facts)
    return origin.of_run(earlier, done)


def test_each_machine_of_a_run_stays_named_with_its_first_meta_iteration(monkeypatch):
    began = at(1, monkeypatch, None, 0)
    assert began == {"command": ["train"], "versions": {"keras": "3"}, "machine": {"cores": 1}}
    assert at(1, monkeypatch, began, 10) == began
    second = at(2, monkeypatch, began, 20)
    assert second == {
        **began,
        "resumed": [{**began, "machine": {"cores": 2}, "meta_iteration": 20}],
    }
    assert at(2, monkeypatch, second, 30) == second
    assert exporting._trained_with(began) == {k: began[k] for k in ("versions", "machine")}
    assert exporting._trained_with(second)["resumed"] == second["resumed"]
    third = at(1, monkeypatch, second, 40)
    assert [(p["meta_iteration"], p["machine"]["cores"]) for p in third["resumed"]] == [
        (20, 2),
        (40, 1),
    ]
    # The newest checkpoints are gone, and with them the parts after the one that is left.
    assert at(1, monkeypatch, third, 20) == began
    assert "resumed" not in at(3, monkeypatch, third, 0)


def test_a_run_of_an_earlier_version_does_not_get_the_facts_of_a_later_part(monkeypatch):
    found = at(2, monkeypatch, {"settings": {}}, 5)
    assert found.keys() == {"resumed"} and found["resumed"][0]["machine"] == {"cores": 2}


@pytest.mark.parametrize("parts", [3, [3], [{}], [{"meta_iteration": "3"}], {"meta_iteration": 3}])
def test_parts_that_no_run_writes_are_refused(parts):
    with pytest.raises(RunError, match=r"its resumed must be a list of parts .* Restore it from"):
        origin.of_run({"resumed": parts}, 5)
