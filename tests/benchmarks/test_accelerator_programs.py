"""The programs that an H200 and a TPU v5e get, compiled without them, against limits."""

import json
from pathlib import Path

import pytest
from accelerators import plugins, programs, table

ROOT = Path(__file__).resolve().parents[2]
RECORD = json.loads((ROOT / "docs" / "results" / "accelerators.json").read_text())
DRAWN = {
    device: json.loads(
        (ROOT / "docs" / "results" / f"accelerators_drawn_{device}.json").read_text()
    )[device]
    for device in plugins.DEVICES
}

# What may not be exceeded, a little above what there was.
COLUMNS = {"gpu": ("launches", "launches by the host", "us", "MB"), "tpu": ("Mcycles", "MB")}
# Of the GPU, of the TPU, and of both the kilobytes that the host sends.
LIMITS = {
    "omniglot_5way/train": ((304, 7, 251, 55), (1.6, 7), 218),
    "omniglot_5way_fast/train": ((104, 2, 207, 80), (1.11, 6), 198),
    "omniglot_20way/train": ((595, 12, 761, 70), (3.39, 7), 872),
    "mini_imagenet_5way_1shot/train": ((581, 10, 2311, 250), (88, 2190), 8471),
    # Of ten meta-steps.
    "omniglot_5way/together": ((3100, 67, 2510, 55), (15.8, 11), 0.016),
    "mini_imagenet_5way_1shot/together": ((5870, 98, 23130, 250), (860, 2500), 0.016),
    "gradient_combinations/train": ((223, 6, 147, 42), (0.71, 4), 80),
    "sinusoid/train": ((67, 7, 12, 2), (0.15, 2), 2),
    "omniglot_5way/test": ((2530, 60, 5000, 82), (38, 5), 179),
    "omniglot_5way_fast/test": ((180, 6, 296, 74), (2.17, 4), 160),
    "omniglot_20way/test": ((3110, 75, 9100, 110), (50, 9), 673),
    "mini_imagenet_5way_1shot/test": ((3615, 60, 25400, 397), (1446, 4520), 4255),
}


@pytest.fixture(autouse=True)
def own_flags(monkeypatch):
    """The compilers get no flags of the tests, which are for a CPU."""
    monkeypatch.delenv("XLA_FLAGS", raising=False)


def numbers(found: dict) -> tuple:
    """A program's numbers in the order of `COLUMNS`."""
    megabytes = found["memory_bytes"]["temp"] / 1e6
    if "cycles" in found:
        return found["cycles"] / 1e6, megabytes
    graphs = found["cuda_graphs"]
    by_host = graphs["graphs"] + graphs["launches_alone"]
    return found["launches"], by_host, found["model_microseconds"], megabytes


@pytest.mark.accelerator
@pytest.mark.slow
@pytest.mark.parametrize("device", plugins.DEVICES)
@pytest.mark.parametrize("name", programs.ALL)
def test_a_program_compiles_and_keeps_within_its_limits(name, device):
    if reason := plugins.missing(device):
        pytest.skip(f"{device}: {reason}")
    found = programs.measure(name, device)
    assert found["launches"] > 0 and not found.get("loops_without_count")
    if name in LIMITS:
        *limits, kilobytes = LIMITS[name]
        limit = limits[plugins.DEVICES.index(device)]
        rows = zip(COLUMNS[device], numbers(found), limit, strict=True)
        assert not [
            f"{what}: {value}, at most {most}" for what, value, most in rows if value > most
        ]
        assert found["host_bytes"] <= 1e3 * kilobytes


@pytest.mark.parametrize("device", plugins.DEVICES)
def test_the_record_has_every_program_and_the_table_80_columns(device):
    rows = RECORD[device]
    assert tuple(row["program"] for row in rows) == programs.PROGRAMS
    assert max(map(len, table.lines(device, rows))) <= 80


@pytest.mark.parametrize("device", plugins.DEVICES)
def test_tasks_drawn_on_the_device_cost_no_bytes_no_pool_and_few_launches(device):
    rows = {row["program"]: row for row in DRAWN[device]}
    programs_of_ten = [name for name in rows if "meta_steps" in rows[name]]
    assert programs_of_ten
    for name in programs_of_ten:
        one, ten = rows[name.replace("together", "train")], rows[name]
        assert ten["host_bytes"] < 1000 < one["host_bytes"]
        assert ten["launches"] < 1.1 * ten["meta_steps"] * one["launches"]
        limit = LIMITS[name][plugins.DEVICES.index(device)]
        assert all(n <= most for n, most in zip(numbers(ten), limit, strict=True))
        # The pool has 100 MB, and is no temporary value, but for a TPU's layout of coloured images.
        copied = 300e6 if (name, device) == ("mini_imagenet_5way_1shot/together", "tpu") else 0
        assert ten["memory_bytes"]["temp"] < one["memory_bytes"]["temp"] + copied + 50e6


def test_launches_are_those_of_the_thunks():
    # Two lists of the same program: of XLA's compiler and of its runtime.
    for row in RECORD["gpu"]:
        graphs = row["cuda_graphs"]
        assert graphs["launches_in_graphs"] + graphs["launches_alone"] == row["launches"]


def test_a_program_that_fails_is_named_with_the_last_line_of_its_errors(tmp_path):
    program = tmp_path / "compiler.py"
    program.write_text("raise RuntimeError('UNIMPLEMENTED: such a convolution')")
    message = "compiler.py step.pb gpu failed: RuntimeError: UNIMPLEMENTED: such a convolution"
    with pytest.raises(programs.ProgramError, match=message):
        programs.output_of(program, "step.pb", "gpu", "folder")
