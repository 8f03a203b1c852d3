"""Runs tests against the package with a fault in it, in forks of a process that knows TensorFlow.

Reads a line of JSON for each fault: [module, text, replacement, tests], and answers with the exit
status of pytest, or `NOT_PLANTABLE`. The text stands in the module's source, once, and is replaced
as the module is imported; nothing is written.
"""

import importlib.abc
import importlib.util
import json
import linecache
import os
import signal
import sys

import pytest

# Imported, and not used: a fork that used TensorFlow would share its threads' locks.
import keras_reptile.training  # noqa: F401

NOT_PLANTABLE = 77
LONGEST = 300
# Half of the time would go into plugins that these tests do not use.
UNUSED = ("cacheprovider", "xdist", "hypothesispytest", "unraisableexception")
QUICKLY = ["-x", "--override-ini=addopts=", "--assert=plain", *(f"-pno:{name}" for name in UNUSED)]


class Planted(importlib.abc.MetaPathFinder, importlib.abc.SourceLoader):
    """Finds and loads one module, with other text in its source."""

    def __init__(self, module, text, replacement):
        self.module, self.text, self.replacement = module, text, replacement

    def find_spec(self, name, path, target=None):
        if name != self.module:
            return None
        self.path = os.path.join(path[0], name.rpartition(".")[2] + ".py")
        return importlib.util.spec_from_file_location(name, self.path, loader=self)

    def get_filename(self, name):
        return self.path

    def get_data(self, path):
        with open(path, "rb") as file:
            source = file.read()
        # The compiled file that Python keeps of the plain source is not to be used.
        return source if path != self.path else self._changed(source.decode()).encode()

    def path_stats(self, path):
        raise OSError

    def set_data(self, path, data):
        pass

    def _changed(self, source):
        if source.count(self.text) != 1:
            os._exit(NOT_PLANTABLE)
        changed = source.replace(self.text, self.replacement)
        # AutoGraph compiles functions anew, from the lines that it finds here.
        linecache.cache[self.path] = (len(changed), None, changed.splitlines(True), self.path)
        return changed


def become(module, text, replacement, tests):
    nowhere = os.open(os.devnull, os.O_RDWR)
    for number in (0, 1, 2):
        os.dup2(nowhere, number)
    # Of a fault that waits without end.
    signal.alarm(LONGEST)
    sys.meta_path.insert(0, Planted(f"keras_reptile.{module}", text, replacement))
    status = pytest.main([*QUICKLY, *tests])
    os._exit(status)


def forget():
    """Has a fork import the package anew, but not what it needs."""
    for name in [name for name in sys.modules if name.partition(".")[0] == "keras_reptile"]:
        del sys.modules[name]


if __name__ == "__main__":
    forget()
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            become(*json.loads(line))
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
