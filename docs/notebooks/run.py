#!/usr/bin/env python3
"""Runs the notebooks from top to bottom and keeps their outputs: pip install '.[notebooks]'

python docs/notebooks/run.py               all of them
python docs/notebooks/run.py the_idea      one of them
"""

import sys
from pathlib import Path

import nbformat
from nbclient import NotebookClient

FOLDER = Path(__file__).resolve().parent


def executed(path: Path) -> nbformat.NotebookNode:
    """A notebook after all of its cells; an error in one of them is raised."""
    notebook = nbformat.read(path, as_version=4)
    place = {"metadata": {"path": str(FOLDER)}}
    NotebookClient(notebook, timeout=300, resources=place, record_timing=False).execute()
    return notebook


def keep_what_is_the_same_everywhere(notebook: nbformat.NotebookNode) -> None:
    """Leaves out the version of Python, and what libraries say of this machine on stderr."""
    notebook.metadata.language_info = {"name": "python"}
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs = [o for o in cell.outputs if o.get("name") != "stderr"]


def main() -> None:
    known = sorted(path.stem for path in FOLDER.glob("*.ipynb"))
    names = sys.argv[1:] or known
    if others := [name for name in names if name not in known]:
        sys.exit(f"run.py: there is no notebook {others[0]!r}. Use {', '.join(known)}.")
    for name in names:
        path = FOLDER / f"{name}.ipynb"
        notebook = executed(path)
        keep_what_is_the_same_everywhere(notebook)
        nbformat.write(notebook, path)


if __name__ == "__main__":
    main()
