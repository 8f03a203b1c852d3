"""Hooks of mkdocs: pages for what the documents link to outside of docs/, and for notebooks.

README.md, CHANGELOG.md and the like become pages of the site; other files of the repository become
a page that shows their text. Links are rewritten to them, so that the site stands by itself.
"""

import json
import posixpath
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parents[1]
LINK = re.compile(r"(?<=\]\()([^)\s#]+)")
CELL = re.compile(r"<td.*?</td>", re.DOTALL)
LANGUAGES = {".py": "python", ".cff": "yaml", ".toml": "toml", ".yml": "yaml"}


def on_files(files: Files, config: Any) -> Files:
    """Adds the pages that lie in no file of docs/."""
    for notebook in [f for f in files if f.src_uri.endswith(".ipynb")]:
        content = markdown_of(json.loads(Path(notebook.abs_src_path).read_text()), notebook.src_uri)
        uri = page_of_notebook(notebook.src_uri)
        files.append(File.generated(config, uri, content=content))
    for path in outside(files):
        files.append(File.generated(config, page_of(path), content=shown(path)))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Rewrites the links of a page that leave docs/."""
    here = posixpath.dirname(page.file.src_uri)
    origin = posixpath.dirname(source_of(page.file.src_uri))

    def link(match: re.Match) -> str:
        target = place_of(match[1], origin)
        return match[1] if target is None else posixpath.relpath(target, here or ".")

    return LINK.sub(link, markdown)


def on_page_content(html: str, **_: Any) -> str:
    r"""Shows `\|` in code in tables as a bar, as GitHub does."""
    return CELL.sub(lambda cell: cell[0].replace(r"\|", "|"), html)


def source_of(uri: str) -> str:
    """The file of the repository that a page of the site shows."""
    if uri.startswith("repository/"):
        path = uri.removeprefix("repository/")
        return path if (ROOT / path).is_file() else path.removesuffix(".md")
    return f"docs/{uri}"


def page_of(path: str) -> str:
    """The page of a file outside of docs/."""
    return f"repository/{path}" if path.endswith(".md") else f"repository/{path}.md"


def page_of_notebook(uri: str) -> str:
    return uri.removesuffix(".ipynb") + ".md"


def place_of(target: str, origin: str) -> str | None:
    """Where on the site a link from a folder of the repository leads; None if elsewhere."""
    if "://" in target or target.startswith(("mailto:", "data:")):
        return None
    path = posixpath.normpath(posixpath.join(origin, target))
    if not (ROOT / path).is_file():
        return None
    if path.endswith(".ipynb"):
        return page_of_notebook(path.removeprefix("docs/"))
    return path.removeprefix("docs/") if path.startswith("docs/") else page_of(path)


def outside(files: Files) -> list[str]:
    """The files outside of docs/ that are linked from pages, or from pages that are linked."""
    left = [f"docs/{f.src_uri}" for f in files.documentation_pages() if f.generated_by is None]
    found: list[str] = []
    while left:
        page = left.pop()
        for target in links(page):
            if not target.startswith("docs/") and target not in found:
                found.append(target)
                left += [target] if target.endswith(".md") else []
    return sorted(found)


def links(page: str) -> Iterator[str]:
    """The files of the repository that a page of it links to."""
    for target in LINK.findall((ROOT / page).read_text()):
        path = posixpath.normpath(posixpath.join(posixpath.dirname(page), target))
        if (ROOT / path).is_file():
            yield path


def shown(path: str) -> str:
    """The Markdown of a file: itself, or a block of code."""
    text = (ROOT / path).read_text()
    if path.endswith(".md"):
        return text
    return f"# {path}\n\n````{LANGUAGES.get(Path(path).suffix, 'text')}\n{text}````\n"


def markdown_of(notebook: dict, uri: str) -> str:
    """A notebook's cells and outputs as Markdown."""
    parts = [part for cell in notebook["cells"] for part in of_cell(cell)]
    name = posixpath.basename(uri)
    parts.insert(1, f'<a href="{name}" download>The notebook {name}</a>')
    return "\n\n".join(parts)


def of_cell(cell: dict) -> Iterator[str]:
    text = "".join(cell["source"])
    if cell["cell_type"] == "markdown":
        yield text
        return
    yield f"```python\n{text}\n```"
    for output in cell["outputs"]:
        yield of_output(output)


def of_output(output: dict) -> str:
    """The Markdown of an output: a picture or what was printed."""
    data = output.get("data", {})
    if "image/png" in data:
        picture = "".join(data["image/png"]).replace("\n", "")
        return f'<img alt="" src="data:image/png;base64,{picture}">'
    text = "".join(output.get("text", data.get("text/plain", "")))
    return f"```text\n{text.rstrip()}\n```"
