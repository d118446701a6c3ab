"""What is vendored is what was fetched and checked, with its licence, and asks for nothing from elsewhere."""

from __future__ import annotations

import hashlib
import re
import tomllib
from pathlib import Path

import pytest

from tests.house.project import ROOT, tracked_files

PLACE = Path("consent_ui/static/vendor")
PACKAGES = tomllib.loads((ROOT / PLACE / "vendor.toml").read_text("utf-8"))["package"]
SCRIPT = (ROOT / ".ci/vendor").read_text("utf-8")


def test_the_files_that_lie_there_are_those_of_the_list_to_the_byte() -> None:
    listed = {
        PLACE / package["directory"] / name: digest
        for package in PACKAGES
        for name, digest in package["files"].items()
    }
    found = {path for path in tracked_files() if path.is_relative_to(PLACE)} - {PLACE / "vendor.toml"}
    assert set(listed) == found
    wrong = [
        str(path)
        for path, digest in listed.items()
        if hashlib.sha256((ROOT / path).read_bytes()).hexdigest() != digest
    ]
    assert wrong == []


@pytest.mark.parametrize("package", PACKAGES, ids=lambda package: package["name"])
def test_the_list_names_the_releases_that_make_vendor_fetches(package: dict[str, str]) -> None:
    for member in ("name", "version", "licence", "integrity"):
        assert f'"{package[member]}"' in SCRIPT, member
    assert package["directory"].endswith(f"-{package['version']}")


@pytest.mark.parametrize(
    ("directory", "words"),
    [("govuk-frontend", "The MIT License"), ("be-vietnam-pro", "SIL OPEN FONT LICENSE Version 1.1")],
)
def test_every_package_lies_there_with_its_licence(directory: str, words: str) -> None:
    [text] = [
        (ROOT / PLACE / package["directory"] / "LICENSE.txt").read_text("utf-8")
        for package in PACKAGES
        if package["directory"].startswith(directory)
    ]
    assert words in text


def test_no_vendored_style_sheet_asks_for_a_file_or_for_another_governments_letters() -> None:
    sheets = [path for path in tracked_files() if path.is_relative_to(PLACE) and path.suffix == ".css"]
    assert sheets
    for path in sheets:
        text = (ROOT / path).read_text("utf-8")
        assert not re.search(r"url\(|@import|@font-face|GDS Transport", text), path
