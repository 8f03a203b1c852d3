import gc
import os
import signal
from pathlib import Path

# What imports and collection make stays.
gc.disable()

import keras  # noqa: E402
import pytest  # noqa: E402
import warm  # noqa: E402
from helpers import in_float64  # noqa: E402

from keras_reptile.kernels import devices  # noqa: E402

ROOT = Path(__file__).resolve().parents[1]

# Programs that tests start take Ctrl-C, also if a shell started pytest in the background.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# The files that take longest, in this order: begun last, one of them would be waited for by itself.
LONGEST = (
    "test_training",
    "test_distribution",
    "test_vectorized",
    "test_as_on_a_gpu",
    "test_compiled_tasks",
    "test_notebooks",
    "test_saved_model",
    "test_workers",
    "test_killed",
    "test_programs",
    "test_python_docs",
    "test_methods",
    "test_planted_faults",
    "test_on_device",
    "test_reptile_model",
    "test_faults",
    "test_sweep",
    "test_hosts",
    "test_any_command_line",
)


def pytest_addoption(parser):
    text = "Choose as on a GPU what is computed in the tests' own processes."
    parser.addoption("--as_on_a_gpu", action="store_true", help=text)


def pytest_configure(config):
    if config.getoption("--as_on_a_gpu"):
        devices.device_kinds = lambda: {"GPU"}
    warm.begin()


def pytest_unconfigure():
    warm.end()


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup():
    # What a test and its fixtures draw without a seed is the same in each run.
    keras.utils.set_random_seed(0)


@pytest.hookimpl(optionalhook=True)  # Tests of planted faults run without xdist.
def pytest_xdist_auto_num_workers(config):
    """One more than the cores: some tests wait for processes that they started."""
    return (os.cpu_count() or 1) + 1


def takes(item, fixture):
    """Whether a test takes a fixture, and not a parameter of that name."""
    parameters = item.callspec.params if hasattr(item, "callspec") else ()
    return fixture in getattr(item, "fixturenames", ()) and fixture not in parameters


def pytest_collection_modifyitems(config, items):
    left_out = pytest.mark.skip(reason="of what a CPU chooses or computes")
    for item in items:
        if takes(item, "shared"):
            item.add_marker("needs_data")
        if config.getoption("--as_on_a_gpu") and item.get_closest_marker("of_a_cpu"):
            item.add_marker(left_out)
    order = {name: place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: order.get(item.path.stem, len(LONGEST)))


def pytest_collection_finish():
    # The collector need not look through what was imported and collected again.
    gc.freeze()
    gc.enable()
    # TensorFlow's graphs are many small objects. The collector takes up to a tenth of the time.
    gc.set_threshold(50_000, 20, 50)


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
    with in_float64():
        yield
