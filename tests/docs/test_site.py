"""The site of the documents is built without a network, and needs none to be read."""

import doctest
import importlib
import inspect
import os
import re
import shlex
import subprocess
import sys
import tomllib
from collections import Counter
from pathlib import Path

import keras
import pytest

import keras_reptile as kr

ROOT = Path(__file__).resolve().parents[2]
# What a page would load from elsewhere; links, on which a reader clicks, may lead anywhere.
LOADS = re.compile(
    r"<(?:script|img|iframe|source)[^>]+src=\"?(?:https?:)?//[^>]*|"
    r"<link[^>]+href=\"?(?:https?:)?//[^>]*|(?:url\(|@import )[\"']?(?:https?:)?//[^)]*"
)
NOWHERE = {name: "http://127.0.0.1:9" for name in ("http_proxy", "https_proxy")}


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    for package in ("mkdocs", "material", "mkdocstrings_handlers.python"):
        pytest.importorskip(package, reason="needs mkdocs: pip install '.[docs]'")
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
    ended = subprocess.run(
        command,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, **NOWHERE},
    )
    # A link that leads nowhere, and a docstring that cannot be read, are errors of --strict.
    assert ended.returncode == 0, ended.stderr
    return folder


@pytest.mark.slow
@pytest.mark.process
def test_no_page_loads_anything_from_elsewhere(site):
    found = {
        f"{path.relative_to(site)}: {load}"
        for path in site.rglob("*")
        if path.suffix in (".html", ".css")
        for load in LOADS.findall(path.read_text())
    }
    assert found == set()


@pytest.mark.slow
@pytest.mark.process
def test_the_site_has_every_page_of_the_documents(site):
    pages = [path.relative_to(ROOT / "docs") for path in (ROOT / "docs").rglob("*.md")]
    assert len(pages) > 20
    assert all((site / page).with_suffix(".html").exists() for page in pages)
    assert (site / "repository" / "index.html").exists()  # README.md


@pytest.mark.slow
@pytest.mark.process
def test_each_public_name_is_documented_on_one_page_of_the_reference(site):
    pages = [path.read_text() for path in (site / "reference" / "api").glob("*.html")]
    found = Counter(a for page in pages for a in re.findall(r'<h2 id="[\w.]*?(\w+)"', page))
    networks = [
        name
        for name, function in inspect.getmembers(kr.networks, inspect.isfunction)
        if inspect.signature(function).return_annotation is keras.Model and name[0] != "_"
    ]
    modules = {"datasets", "networks", "__version__"}
    assert found == Counter([*set(kr.__all__) - modules, *kr.datasets.__all__, *networks])


@pytest.mark.slow
@pytest.mark.process
def test_a_bar_in_code_in_a_table_has_no_backslash(site):
    cells = re.findall(
        r"<td.*?</td>", "".join(p.read_text() for p in site.rglob("*.html")), re.DOTALL
    )
    assert any("|" in cell for cell in cells)
    assert not any(r"\|" in cell for cell in cells)


def test_what_a_page_would_load_is_found():
    for text in (
        '<script src="https://a.b/c.js"></script>',
        '<link rel="stylesheet" href="//a.b/c.css">',
        "@import url(https://a.b/c.css)",
        '<img alt="" src="http://a.b/c.png">',
    ):
        assert LOADS.search(text), text
    assert not LOADS.search('<a href="https://a.b"><img src="c.png"></a><link href="c.css">')


def test_ci_builds_the_site_with_the_tools_of_the_package():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    workflow = (ROOT / ".github" / "workflows" / "ci.yml").read_text()
    (line,) = re.findall(r"- run: pip install (.*)", workflow)
    assert shlex.split(line) == project["optional-dependencies"]["docs"]


def test_a_doctest_is_fenced_and_arguments_that_share_a_description_have_it_each():
    pytest.importorskip("griffe", reason="needs mkdocs: pip install '.[docs]'")
    docstrings = importlib.import_module("site_docstrings")
    given = "Adds.\n\n>>> 1 + 1\n2\n\nMore."
    assert docstrings.fenced(given) == "Adds.\n\n```pycon\n>>> 1 + 1\n2\n```\n\nMore."
    assert docstrings.fenced("    >>> 1\n    1") == "    ```pycon\n    >>> 1\n    1\n    ```"
    found = doctest.testmod(docstrings)
    assert (found.attempted, found.failed) == (1, 0)
