"""A link in the documents leads somewhere, and a file that they name is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.house.project import PACKAGES, ROOT, headings, tracked_files

PAGES = [path for path in tracked_files() if path.suffix == ".md"]
# `broker/api/problems.py`, with or without a list in braces or a place inside it.
NAMED = re.compile(rf"`((?:{'|'.join(PACKAGES)}|tests|docs|deploy)/[A-Za-z0-9_./-]+\.[a-z]+)`")


def anchor(heading: str) -> str:
    """Return the anchor that readers of Markdown make of a heading."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_every_link_leads_somewhere(page: Path) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    broken = []
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if target.startswith(("http://", "https://", "mailto:")):
            continue
        name, _, place = target.partition("#")
        path = (ROOT / page).parent / name if name else ROOT / page
        if not path.exists() or (place and place not in map(anchor, headings(path.read_text("utf-8")))):
            broken.append(target)
    assert broken == []


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_every_file_that_is_named_is_there(page: Path) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    assert [name for name in NAMED.findall(text) if not (ROOT / name).exists()] == []
