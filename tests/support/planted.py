"""Runs tests against the package with a fault in it, in forks of `warm_hub`.

Reads a line of JSON for each fault: [module, text, replacement, tests], and answers with the exit
status of pytest, or `NOT_PLANTABLE`. The text stands in the module's source, once, and is replaced
in a copy as the module is imported.
"""

import gc
import importlib.abc
import importlib.machinery
import importlib.util
import json
import os
import signal
import sys
import tempfile

import pytest

NOT_PLANTABLE = 77
LONGEST = 300
# Most of the time would go into plugins that these tests do not use, and into tracebacks.
UNUSED = ("cacheprovider", "xdist", "hypothesispytest", "unraisableexception")
OPTIONS = ("-x", "--override-ini=addopts=", "--assert=plain", "--tb=no")
QUICKLY = [*OPTIONS, *(f"-pno:{name}" for name in UNUSED)]


class Planted(importlib.abc.MetaPathFinder, importlib.machinery.SourceFileLoader):
    """Finds and loads one module from a file with other text in it.

    A file, as AutoGraph compiles functions anew from the lines that it finds there.
    """

    def __init__(self, module, text, replacement, folder):
        self.text, self.replacement = text, replacement
        super().__init__(module, os.path.join(folder, f"{module}.py"))

    def find_spec(self, name, path, target=None):
        if name != self.name:
            return None
        with open(os.path.join(path[0], name.rpartition(".")[2] + ".py")) as file:
            source = file.read()
        if source.count(self.text) != 1:
            os._exit(NOT_PLANTABLE)
        with open(self.path, "w") as file:
            file.write(source.replace(self.text, self.replacement))
        return importlib.util.spec_from_file_location(name, self.path, loader=self)

    def set_data(self, *arguments, **options):
        """Keeps no compiled file: the next fault may be as long, and in the same second."""


def become(module, text, replacement, tests, folder):
    nowhere = os.open(os.devnull, os.O_RDWR)
    for number in (0, 1, 2):
        os.dup2(nowhere, number)
    # Of a fault that waits without end.
    signal.alarm(LONGEST)
    # What this fork compiles, the next need not, also where Python is told to keep nothing.
    sys.dont_write_bytecode, sys.pycache_prefix = False, os.path.join(folder, "compiled")
    sys.meta_path.insert(0, Planted(f"keras_reptile.{module}", text, replacement, folder))
    status = pytest.main([*QUICKLY, *tests])
    os._exit(status)


def forget():
    """Has a fork import the package anew, but not what it needs."""
    for name in [name for name in sys.modules if name.partition(".")[0] == "keras_reptile"]:
        del sys.modules[name]


def serve(folder):
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            become(*json.loads(line), folder)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)


if __name__ == "__main__":
    forget()
    # No fork's collector looks through, and so copies, what was imported.
    gc.freeze()
    with tempfile.TemporaryDirectory() as folder:
        serve(folder)
