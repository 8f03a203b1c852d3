"""The start of every program: Ctrl-C, the environment, and the import of TensorFlow.

TensorFlow is imported after its settings are in the environment. Its first log messages are hidden.
"""

import contextlib
import gc
import importlib.util
import json
import os
import signal
import sys
import tempfile
from collections.abc import Iterator
from typing import Any

from keras_reptile.files.processor import multiplies_bfloat16_in_tiles
from keras_reptile.programs import streams, xla_flags
from keras_reptile.programs.streams import called, fail
from keras_reptile.recipes.named import RECIPES

# A small network on two cores needs 2.7 GiB. With 2 GiB, TensorFlow aborts or computes infinities.
NEEDED_BYTES = 4 * 2**30
# Whether the user has set TF_ENABLE_ONEDNN_OPTS.
onednn_is_given = False


def start_program(name: str) -> None:
    """Runs a program from start to end, with the arguments of this process."""
    begin(sys.argv[1:])
    with streams.checked():
        check_installed()
        # Imported here: it needs packages that are installed with TensorFlow.
        from keras_reptile.programs.command_line import run

        run(name, sys.argv[1:])


def start_command() -> None:
    """Runs the command `reptile`. Its first argument is the name of a program."""
    name, *arguments = sys.argv[1:] or ["--help"]
    begin(arguments)
    with streams.checked():
        check_installed()
        from keras_reptile.programs import command_line, reptile

        command_line.run(reptile.chosen(name), arguments)


def begin(arguments: list[str]) -> None:
    """Prepares the process of a program with these arguments."""
    streams.prepare()
    name_a_temporary_folder()
    end_at_ctrl_c()
    set_environment(arguments)


def end_at_ctrl_c() -> None:
    """Makes Ctrl-C end the process at once, without a traceback, while modules are imported."""
    terminal = os.dup(sys.stderr.fileno())

    def stopped(*of_signal: Any) -> None:
        os.write(terminal, f"{called()}: stopped.\n".encode())
        os._exit(130)

    # A process in the background may ignore the signal. That stays so.
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, stopped)


def name_a_temporary_folder() -> None:
    """Sets Python's temporary folder if no usual one can be written.

    TensorFlow asks for it during its import. The programs do not write to it.
    """
    try:
        tempfile.gettempdir()
    except OSError:
        tempfile.tempdir = "/dev/shm" if os.access("/dev/shm", os.W_OK) else os.path.abspath(".")


def set_environment(arguments: list[str]) -> None:
    """Sets the variables that TensorFlow and Keras read during their import."""
    os.environ["KERAS_BACKEND"] = "tensorflow"
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    global onednn_is_given
    onednn_is_given = "TF_ENABLE_ONEDNN_OPTS" in os.environ
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", onednn(arguments))


def onednn(arguments: list[str]) -> str:
    """Returns "1" if a CPU uses oneDNN's kernels, else "0".

    They are faster for the large images of miniImageNet and its network, and in bfloat16 on a
    processor with AMX. They are slower for small images in float32. TensorFlow reads this setting
    during its import.
    """
    named = list(values_of(("recipe", "dataset", "network", "precision"), arguments))
    named += [RECIPES[name].network for name in named if name in RECIPES]
    for place in values_of(("checkpoint", "model"), arguments):
        named += trained_in(place)
    large = any(name.startswith("mini_imagenet") for name in named)
    return str(int(large or ("mixed_bfloat16" in named and multiplies_bfloat16_in_tiles())))


def keep_kernels(place: str) -> None:
    """Chooses oneDNN's kernels as the run in a directory did, so that it resumes to the same bits.

    A choice of the user in TF_ENABLE_ONEDNN_OPTS is kept.
    """
    kernels = recorded(place, "cpu_kernels")
    if not onednn_is_given and isinstance(kernels.get("onednn"), bool):
        os.environ["TF_ENABLE_ONEDNN_OPTS"] = str(int(kernels["onednn"]))


def values_of(names: tuple, arguments: list[str]) -> Iterator[str]:
    """Yields the values of flags with these names, given as `--name=value` or `--name value`.

    Example:

    >>> list(values_of(("recipe", "seed"), ["--recipe=glyphs", "--seed", "1", "--ways=5"]))
    ['glyphs', '1']
    """
    for argument, following in zip(arguments, [*arguments[1:], ""], strict=False):
        name, equals, value = argument.lstrip("-").partition("=")
        if argument.startswith("-") and name in names:
            yield value if equals else following


def trained_in(place: str) -> list[str]:
    """Returns the data, network and precision of a run or an export, if they can be read."""
    settings = recorded(place, "settings")
    return [str(settings.get(name, "")) for name in ("dataset", "network", "precision")]


def recorded(place: str, key: str) -> dict[str, Any]:
    """Returns a part of what a run or an export records, or `{}` if it cannot be read."""
    for name in ("run.json", "metadata.json"):
        try:
            path = os.path.join(os.path.expanduser(place), name)
            with open(path, encoding="utf-8-sig") as file:
                return dict(json.load(file)[key])
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            pass
    return {}


@contextlib.contextmanager
def collecting_no_garbage() -> Iterator[None]:
    """Returns a context in which imports take less time, because no garbage is collected.

    Imported objects are never garbage. Later collections do not look at them, either.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


def load_package() -> None:
    """Imports TensorFlow, and then the parts of `keras_reptile` that need it."""
    load_tensorflow()
    # Now the package defines all of its public names, which the user's network may use.
    importlib.reload(sys.modules["keras_reptile"])


def load_tensorflow() -> None:
    """Imports TensorFlow, or ends the program with the reason in one line."""
    check_address_space()
    import_tensorflow()


def check_installed() -> None:
    """Ends the program if TensorFlow is not installed for its interpreter."""
    if importlib.util.find_spec("tensorflow") is None:
        fail(f"TensorFlow is not installed for {sys.executable}. See README.md.")


def check_address_space() -> None:
    """Ends the program if its limit on address space is too low for TensorFlow."""
    try:
        import resource
    except ImportError:  # Windows
        return
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    if limit != resource.RLIM_INFINITY and limit < NEEDED_BYTES:
        fail(
            f"the limit on address space (ulimit -v) is {limit / 2**30:.1f} GiB, and TensorFlow "
            f"needs at least {NEEDED_BYTES / 2**30:.0f} GiB. Raise it: ulimit -v unlimited."
        )


def import_tensorflow() -> None:
    """Imports TensorFlow, which looks for devices. Its log is shown only after an error.

    TensorFlow writes its first messages whatever its log level.
    """
    with streams.shown_if_it_fails():
        import tensorflow as tf
    xla_flags.check(tf)
    with streams.shown_if_it_fails():
        tf.config.list_physical_devices()
