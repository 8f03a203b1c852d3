"""One device, two logical devices, two and three processes: the same numbers."""

import numpy as np
import processes
import pytest
import warm
from replicas import CASES

pytestmark = [pytest.mark.process, pytest.mark.slow]

# Every worker of an arrangement, by its file.
FILES = {
    "mirrored": ["mirrored"],
    "two workers": ["two.0", "two.1"],
    "three workers": ["three.0", "three.1", "three.2"],
}
# Compiling is the same in a process as anywhere.
NOT_COMPILED = [case for case in CASES if "XLA" not in case]
# Between processes the sum alone is another.
ON_ONE_HOST = (
    "maml, carried",
    "reptile, the head alone, accumulated and averaged",
    "reptile, carried, as on GPUs",
    "fomaml, carried, clipped, updated by Keras",
)
CASES_OF = {
    "mirrored": list(CASES),
    "two workers": [c for c in NOT_COMPILED if c not in ON_ONE_HOST],
    "three workers": ["reptile, carried"],
}
TOLERANCE = {"float32, a convolution, one meta-step": 1e-6}


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """The files of all arrangements, by their names."""
    folder = tmp_path_factory.mktemp("replicas")
    path = lambda name: folder / f"{name}.npz"  # noqa: E731
    program = "tests/support/replicas.py"
    on_one_host = [(program, a, path(a)) for a in ("one", "mirrored")]
    succeed(warm.run_together(on_one_host, folder))
    for number, word in ((2, "two"), (3, "three")):
        cases = CASES_OF[f"{word} workers"]
        workers = [(program, "workers", path(f"{word}.{i}"), *cases) for i in range(number)]
        environments = processes.of_workers(processes.free_addresses(number))
        succeed(warm.run_together(workers, folder, environments))
    names = ["one", *(name for files in FILES.values() for name in files)]
    return {name: dict(np.load(path(name))) for name in names}


def succeed(ended):
    for status, _, err, _ in ended:
        assert status == 0, err


def of_case(result, case, kind):
    prefix = f"{case}: {kind}"
    return {name: value for name, value in result.items() if name.startswith(prefix)}


def cases():
    return [
        pytest.param(arrangement, case, id=f"{arrangement}: {case}")
        for arrangement in FILES
        for case in CASES_OF[arrangement]
    ]


@pytest.mark.parametrize(("arrangement", "case"), cases())
def test_every_replica_ends_with_the_weights_of_a_single_device(arrangement, case, results):
    expected = of_case(results["one"], case, "variable")
    assert len(expected) > 4
    for file in FILES[arrangement]:
        found = of_case(results[file], case, "variable")
        for name, value in expected.items():
            assert len(found[name]) == (2 if file == "mirrored" else 1)
            for replica in found[name]:
                atol = TOLERANCE.get(case, 1e-9)
                np.testing.assert_allclose(replica, value[0], rtol=0, atol=atol, err_msg=name)


@pytest.mark.parametrize("arrangement", FILES)
def test_replicas_are_identical_bit_by_bit(arrangement, results):
    first, *others = (results[file] for file in FILES[arrangement])
    for name in [name for name in first if ": variable" in name]:
        for replica in [*first[name], *(r for other in others for r in other[name])]:
            np.testing.assert_array_equal(replica, first[name][0], err_msg=name)


@pytest.mark.parametrize("arrangement", FILES)
def test_figures_and_accuracies_are_those_of_a_single_device(arrangement, results):
    kinds = ("history", "evaluate", "trained accuracies", "answers", "predictions", "turned")
    for file in FILES[arrangement]:
        found = results[file]
        names = [n for n in found if any(f": {kind}" in n for kind in kinds)]
        assert "reptile, carried: history val_accuracy" in names
        if arrangement != "three workers":
            assert found["reptile, carried: predictions"].shape == (7, 3, 3)
        assert found["reptile, carried: answers"].shape == (7 * 3, 4)
        assert found["reptile, carried: turned accuracies"].shape == (7,)
        assert found["reptile, carried: turned answers"].shape == (7 * 3, 2)
        for name in names:
            tolerance = TOLERANCE.get(name.split(":")[0], 1e-6)
            np.testing.assert_allclose(
                found[name], results["one"][name], rtol=0, atol=tolerance, err_msg=name
            )


def test_seven_tasks_four_at_a_time_are_seven_tasks_on_two_and_three_replicas(results):
    for file in ("one", "mirrored", "two.0", "three.2"):
        assert results[file]["reptile, carried: trained accuracies"].shape == (7, 2)


def test_a_step_has_one_collective_and_it_lies_between_the_programs(results):
    assert results["two.0"]["collectives"] == 1
    assert results["two.0"]["collectives in functions"] == 0


def test_a_step_is_two_compiled_programs_a_replica_and_few_operations(results):
    programs = ["adapt_on_replica", "apply_on_replica"]
    assert sorted(results["mirrored"]["programs"]) == sorted(programs * 2)
    assert results["mirrored"]["programs by XLA"] == 4
    assert 4 < results["mirrored"]["operations"] <= 100


def test_workers_agree_on_what_each_says_and_on_the_chiefs_arrays(results):
    for file in FILES["three workers"]:
        assert list(results[file]["agreement: texts"]) == ["", "é", "éé"]
        assert list(results[file]["agreement: from chief"]) == [
            "[0, 1, 2]",
            "[0, 1, 2]",
            "[0.0, 1.0, 2.0]",
            "-0.0",
        ]
        assert results[file]["agreement: alike"] == "none"


def test_workers_that_differ_all_end_and_say_in_what(results):
    for file in FILES["two workers"]:
        assert results[file]["agreement: not alike"] == (
            "Worker 1 differs from the chief: ways=6 (chief: 5). Start every worker with the same "
            "flags, version and data."
        )


def test_where_one_worker_cannot_go_on_all_end_and_say_why(results):
    said = [str(results[file]["agreement: one fails"]) for file in FILES["two workers"]]
    assert said == ["Worker 1 stopped: no data.", "no data."]


# Each of these fails when a new Keras no longer needs a workaround.

GONE = {
    "moved by a gradient of 1 from each replica": (
        "mirrored",
        "-2.0",
        "Keras no longer sums over replicas: see `replicas.apply`.",
    ),
    "moved, clipped to 1": (
        "mirrored",
        "-2.0",
        "Keras clips after the sum: see `replicas.apply`.",
    ),
    "steps_per_execution=2": (
        "mirrored",
        "InvalidArgumentError",
        "keras issue 19246 is solved: see `steps.step_function`.",
    ),
    "fit": (
        "two.0",
        "ValueError: Attempt to convert a value (PerReplica",
        "keras issue 20585 is solved: see `DistributedModel._maybe_symbolic_build`.",
    ),
    "fit, past the build": (
        "two.0",
        "ValueError: Invalid reduction dimension 0",
        "keras issue 20585 is solved: see `steps.step_function`.",
    ),
}


@pytest.mark.parametrize("name", GONE)
def test_keras_still_needs_the_workaround(name, results):
    file, outcome, advice = GONE[name]
    assert str(results[file][f"plain Keras: {name}"]).startswith(outcome), advice
