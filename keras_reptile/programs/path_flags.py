"""absl flags for files and folders."""

from absl import flags

from keras_reptile.checks import local_path


class PathParser(flags.ArgumentParser):
    """Expands `~`, and refuses addresses of other machines."""

    syntactic_help = "a file or folder of this machine"

    def parse(self, argument: str) -> str:
        return local_path(argument)

    def flag_type(self) -> str:
        return "path"


def define_path(name: str, default: str | None, text: str) -> None:
    """Defines a flag whose value is a path."""
    flags.DEFINE(PathParser(), name, default, text)
