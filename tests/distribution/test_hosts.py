"""Two workers on two hosts, each a network namespace with an address of its own."""

import contextlib
import csv
import os
import shutil
import subprocess

import processes
import pytest
import warm

pytestmark = [pytest.mark.process, pytest.mark.slow]

NETWORK = "10.213.77"


def ip(*arguments):
    subprocess.run(["ip", *arguments], check=True, capture_output=True, text=True)


@pytest.fixture
def hosts():
    """The names of two namespaces joined by a cable, with addresses .1 and .2."""
    names = [f"reptile{os.getpid()}{end}" for end in "ab"]
    try:
        for name in names:
            ip("netns", "add", name)
        ip("link", "add", names[0][-15:], "type", "veth", "peer", "name", names[1][-15:])
        for number, name in enumerate(names, start=1):
            ip("link", "set", name[-15:], "netns", name)
            ip("-n", name, "address", "add", f"{NETWORK}.{number}/24", "dev", name[-15:])
            ip("-n", name, "link", "set", name[-15:], "up")
            ip("-n", name, "link", "set", "lo", "up")
        yield names
    except FileNotFoundError:
        pytest.skip("needs the program `ip` (Debian: apt-get install iproute2)")
    except subprocess.CalledProcessError as error:
        pytest.skip(f"this system allows no network namespaces: {error.stderr.strip()}")
    finally:
        for name in names:
            with contextlib.suppress(OSError, subprocess.CalledProcessError):
                ip("netns", "delete", name)


def rows(path):
    with open(path / "log.csv", newline="") as file:
        return list(csv.DictReader(file))


def test_a_run_begun_on_one_device_goes_on_on_two_hosts(hosts, tmp_path):
    single = tmp_path / "one"
    alone = ("--precision=float64", "--strategy=none", f"--output_dir={single}")
    status, _, err = warm.run("tests/support/train_small.py", *alone, cwd=tmp_path)
    assert status == 0, err
    folder = tmp_path / "chief" / "begun"
    shutil.copytree(single, folder)
    (folder / "checkpoints" / "iteration-000000006.keras").unlink()
    (tmp_path / "other").mkdir()
    program = ("train_small.py", "--precision=float64")
    workers = [
        ("tests/support/on_host.py", name, *program, f"--output_dir={place}")
        for name, place in zip(hosts, (folder, "unused"), strict=True)
    ]
    environments = processes.of_workers([f"{NETWORK}.1:2222", f"{NETWORK}.2:2222"])
    ended = warm.run_together(workers, tmp_path / "other", environments)
    (status, out, err, _), (other_status, _, other_err, _) = ended
    assert (status, other_status) == (0, 0), err + other_err
    assert "Resuming at meta-iteration 4 in " in out
    assert list((tmp_path / "other").iterdir()) == []
    for expected, found in zip(rows(single), rows(folder), strict=True):
        for name in ("meta_iteration", "loss_before", "loss_after", "val_accuracy"):
            assert float(found[name]) == pytest.approx(float(expected[name]), abs=1e-6)
