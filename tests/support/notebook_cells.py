"""Runs a notebook's code cells as a kernel does, and ends with status 1 at the first error.

Argument: the notebook.
"""

import json
import sys
from pathlib import Path

from IPython.core.interactiveshell import InteractiveShell


class Shell(InteractiveShell):
    """What `%matplotlib inline` needs."""

    def enable_gui(self, gui=None):
        pass


def main(path):
    shell = Shell.instance()
    for cell in json.loads(Path(path).read_text())["cells"]:
        if cell["cell_type"] == "code":
            shell.run_cell("".join(cell["source"]), store_history=True).raise_error()


if __name__ == "__main__":
    main(*sys.argv[1:])
