"""What the pages point to is there."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def test_every_file_that_a_page_shows_is_there():
    pages = [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]
    for page in pages:
        for target in re.findall(r"\]\(([^)#]+)", page.read_text()):
            if "://" not in target:
                assert (page.parent / target).exists(), f"{page.name}: {target}"
