"""What every program does first: find the package, and start TensorFlow without its noise."""

import importlib.util
import json
import os
import signal
import sys
import tempfile
from collections.abc import Iterator
from typing import Any

# Where a program is started with these closed, Python has none, and prints fail.
sys.stdout = sys.stdout or open(os.devnull, "w")  # noqa: SIM115
sys.stderr = sys.stderr or open(os.devnull, "w")  # noqa: SIM115
TERMINAL = os.dup(sys.stderr.fileno())


def stopped(*of_signal: Any) -> None:
    """Ctrl-C while modules are imported, in the middle of which Python would print a traceback."""
    os.write(TERMINAL, f"{os.path.basename(sys.argv[0])}: stopped.\n".encode())
    os._exit(130)


# A process in the background may be told to ignore it.
if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, stopped)


def onednn(arguments: list[str]) -> str:
    """Whether a CPU is to use oneDNN's kernels, which are faster on miniImageNet's large images
    and slower on small ones. TensorFlow must know before it is imported."""
    named = list(values_of(("recipe", "dataset", "network"), arguments))
    for place in values_of(("checkpoint", "model"), arguments):
        named += trained_in(place)
    return str(int(any(name.startswith("mini_imagenet") for name in named)))


def values_of(names: tuple, arguments: list[str]) -> Iterator[str]:
    """The values of flags with these names, given as `--name=value` or `--name value`."""
    for argument, following in zip(arguments, [*arguments[1:], ""], strict=False):
        name, equals, value = argument.lstrip("-").partition("=")
        if argument.startswith("-") and name in names:
            yield value if equals else following


def trained_in(place: str) -> list[str]:
    """The data and network of a run or an export, nothing if that cannot be read."""
    for name in ("run.json", "metadata.json"):
        try:
            with open(os.path.join(os.path.expanduser(place), name)) as file:
                settings = json.load(file)["settings"]
            return [str(settings["dataset"]), str(settings["network"])]
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            pass
    return []


os.environ["KERAS_BACKEND"] = "tensorflow"
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", onednn(sys.argv[1:]))
sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

# A small network on two cores takes 2.7 GiB; with 2 GiB TensorFlow aborts, or computes infinities.
NEEDED = 4 * 2**30


def check_address_space() -> None:
    """Ends the program where TensorFlow would crash or go wrong for lack of room."""
    try:
        import resource
    except ImportError:  # Windows
        return
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    if limit != resource.RLIM_INFINITY and limit < NEEDED:
        fail(
            f"the limit on address space (ulimit -v) is {limit / 2**30:.1f} GiB, and TensorFlow "
            f"needs at least {NEEDED / 2**30:.0f} GiB. Raise it: ulimit -v unlimited."
        )


def fail(message: str) -> None:
    sys.exit(f"{os.path.basename(sys.argv[0])}: {message}")


def start_tensorflow() -> None:
    """Imports TensorFlow and has it look for devices; what it logs is shown only if it fails.

    Its first messages come before its log level counts.
    """
    stderr = os.dup(2)
    with tempfile.TemporaryFile() as log:
        os.dup2(log.fileno(), 2)
        try:
            import tensorflow as tf

            tf.config.list_physical_devices()
        except BaseException:
            log.seek(0)
            os.write(stderr, log.read())
            raise
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)


if importlib.util.find_spec("tensorflow") is None:
    fail(f"TensorFlow is not installed for {sys.executable}. See README.md.")
check_address_space()
start_tensorflow()
