"""What a person reads: the README stays short, and no link is dead."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
BUILT = ROOT / "docs" / "images"
LINK = re.compile(r"\]\(([^)#\s]+)")
MAX_README_WORDS = 600


def test_the_readme_is_short_and_names_no_path_outside_the_repository() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert len(text.split()) <= MAX_README_WORDS
    assert "../" not in text


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_what_a_page_links_to_exists(page: Path) -> None:
    links = LINK.findall(page.read_text(encoding="utf-8"))
    paths = [(page.parent / link).resolve() for link in links if "://" not in link]
    # Pictures in docs/images are built by `make docs` and are not in git.
    assert [path for path in paths if path.parent != BUILT and not path.exists()] == []


def test_the_pictures_that_pages_show_are_those_that_the_scripts_make() -> None:
    shown = set()
    for page in PAGES:
        shown |= set(re.findall(r"\(images/([\w-]+)\.png\)", page.read_text(encoding="utf-8")))
    scripts = [path.read_text(encoding="utf-8") for path in (ROOT / "docs").glob("make_*.py")]
    for name in shown:
        assert any(re.search(rf'"{name}(\.png)?"', script) for script in scripts), name
