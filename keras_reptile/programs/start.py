"""What every program does first: Ctrl-C, the environment, and TensorFlow without its noise.

Nothing here imports TensorFlow before it has its settings.
"""

import importlib.util
import json
import os
import signal
import sys
import tempfile
from collections.abc import Iterator
from typing import Any

from keras_reptile.programs import streams, xla_flags
from keras_reptile.programs.streams import called, fail

# A small network on two cores takes 2.7 GiB; with 2 GiB TensorFlow aborts, or computes infinities.
NEEDED = 4 * 2**30


def start_program(name: str) -> None:
    """The whole of a program, with the arguments of this process."""
    begin(sys.argv[1:])
    with streams.checked():
        check_installed()
        # Imported here: it needs what is installed with TensorFlow.
        from keras_reptile.programs.command_line import run

        run(name, sys.argv[1:])


def start_command() -> None:
    """The command `reptile`, whose first argument is the name of a program."""
    name, *arguments = sys.argv[1:] or ["--help"]
    begin(arguments)
    with streams.checked():
        check_installed()
        from keras_reptile.programs import command_line, reptile

        command_line.run(reptile.chosen(name), arguments)


def begin(arguments: list[str]) -> None:
    """Prepares the process of a program that is given these arguments."""
    streams.prepare()
    name_a_temporary_folder()
    end_at_ctrl_c()
    set_environment(arguments)


def end_at_ctrl_c() -> None:
    """Ends at once while modules are imported, where Python would print a traceback."""
    terminal = os.dup(sys.stderr.fileno())

    def stopped(*of_signal: Any) -> None:
        os.write(terminal, f"{called()}: stopped.\n".encode())
        os._exit(130)

    # A process in the background may be told to ignore it.
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, stopped)


def name_a_temporary_folder() -> None:
    """Names one where there is none that can be written, for TensorFlow asks as it is imported.

    The programs write no temporary files there.
    """
    try:
        tempfile.gettempdir()
    except OSError:
        tempfile.tempdir = "/dev/shm" if os.access("/dev/shm", os.W_OK) else os.path.abspath(".")


def set_environment(arguments: list[str]) -> None:
    """Sets what TensorFlow and Keras read when they are imported."""
    os.environ["KERAS_BACKEND"] = "tensorflow"
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", onednn(arguments))


def onednn(arguments: list[str]) -> str:
    """Whether a CPU is to use oneDNN's kernels, which are faster on miniImageNet's large images
    and slower on small ones. TensorFlow must know before it is imported."""
    named = list(values_of(("recipe", "dataset", "network"), arguments))
    for place in values_of(("checkpoint", "model"), arguments):
        named += trained_in(place)
    return str(int(any(name.startswith("mini_imagenet") for name in named)))


def values_of(names: tuple, arguments: list[str]) -> Iterator[str]:
    """The values of flags with these names, given as `--name=value` or `--name value`.

    Example:

    >>> list(values_of(("recipe", "seed"), ["--recipe=glyphs", "--seed", "1", "--ways=5"]))
    ['glyphs', '1']
    """
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


def load_package() -> None:
    """Imports TensorFlow, and then what `import keras_reptile` has left out until now."""
    load_tensorflow()
    # A network of the user's may use any public name.
    importlib.reload(sys.modules["keras_reptile"])


def load_tensorflow() -> None:
    """Imports TensorFlow, or ends in a line that says why that cannot be."""
    check_address_space()
    import_tensorflow()


def check_installed() -> None:
    """Ends a program of a checkout whose interpreter lacks what it needs."""
    if importlib.util.find_spec("tensorflow") is None:
        fail(f"TensorFlow is not installed for {sys.executable}. See README.md.")


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


def import_tensorflow() -> None:
    """Imports TensorFlow and has it look for devices; what it logs is shown only if it fails.

    Its first messages come before its log level counts.
    """
    with streams.shown_if_it_fails():
        import tensorflow as tf
    xla_flags.check(tf)
    with streams.shown_if_it_fails():
        tf.config.list_physical_devices()
