#!/usr/bin/env python3
"""Writes the tables of README.md and the pages in docs anew, from docs/results and the source.

  python docs/generate.py            writes the pages that are stale
  python docs/generate.py --check    names the stale tables, writes nothing, and exits with status 1

A page marks where generated text stands by comments, which do not show when it is rendered:

    <!-- table: NAME --> ... <!-- end -->      lines of Markdown
    <!-- value: NAME --> ... <!-- end -->      a few words within a sentence

docs/tables has a function for each name.
"""

import argparse
import re
import sys
from collections.abc import Callable, Iterator
from os.path import relpath
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.append(str(ROOT / "benchmarks"))

from tables import (  # noqa: E402
    accelerators,
    attacks,
    device_steps,
    devices,
    experiments,
    flags,
    full_runs,
    images,
    omniglot,
    orientations,
    recipe_search,
    shipped_models,
    speed,
)

MARKED = re.compile(r"<!-- (table|value): (\S+) -->(.*?)<!-- end -->", re.DOTALL)
MODULES = (
    *(full_runs, omniglot, speed, devices, device_steps, accelerators),
    *(experiments, flags, images, attacks, shipped_models, recipe_search, orientations),
)
TABLES: dict[str, Callable[[], str]] = {k: f for m in MODULES for k, f in m.TABLES.items()}
VALUES: dict[str, Callable[[], str]] = {k: f for m in MODULES for k, f in m.VALUES.items()}


def pages() -> list[Path]:
    return [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def generated(kind: str, name: str, page: Path) -> str:
    """The text of a table or value as it stands on a page."""
    functions = TABLES if kind == "table" else VALUES
    if name not in functions:
        sys.exit(f"{page}: there is no {kind} {name!r} in docs/tables. Use one of {[*functions]}.")
    if kind == "value":
        return functions[name]()
    results = relpath(ROOT / "docs" / "results", page.parent)
    return f"\n\n{functions[name]().replace('](results/', f']({results}/')}\n\n"


def stale(page: Path) -> Iterator[str]:
    """The names of a page's tables and values that are not what the files say."""
    for kind, name, text in MARKED.findall(page.read_text()):
        if text != generated(kind, name, page):
            yield f"{kind} {name}"


def fresh(page: Path) -> str:
    """The page with all its tables and values as the files say."""

    def marked(match: re.Match) -> str:
        kind, name, _ = match.groups()
        return f"<!-- {kind}: {name} -->{generated(kind, name, page)}<!-- end -->"

    return MARKED.sub(marked, page.read_text())


def check_markers(page: Path) -> None:
    """Ends the program if a marker has no end, or an end no marker."""
    left = re.findall(r"<!-- (?:(?:table|value): .*?|end) -->", MARKED.sub("", page.read_text()))
    if left:
        sys.exit(f"{page}: unpaired marker {left[0]}. Close each with <!-- end -->.")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="Name stale tables; write nothing.")
    check, found = parser.parse_args().check, False
    for page in pages():
        check_markers(page)
        for name in stale(page):
            found = True
            print(f"{page.relative_to(ROOT)}: {name} {'is stale' if check else 'is new'}")
        if not check:
            page.write_text(fresh(page))
    if found and check:
        sys.exit("Run `python docs/generate.py`.")


if __name__ == "__main__":
    main()
