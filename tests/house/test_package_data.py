"""What is installed is whole: every package is listed, and a built wheel works away from the tree."""

from __future__ import annotations

import configparser
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.house.project import PACKAGES, ROOT, tracked_files

# What the product reads at run time and is not Python.
DATA = {
    ".toml",
    ".csv",
    ".mako",
    ".typed",
    ".html",
    ".css",
    ".js",
    ".svg",
    ".woff2",
    ".ttf",
    ".txt",
    ".po",
    ".mo",
}
ASK_THE_WHEEL = """
import json, policies, broker.storage.migrate as migrate
from policies.load import SHIPPED, load_directory
print(json.dumps([policies.__file__, migrate.newest_revision(), len(load_directory(SHIPPED).agreements)]))
"""


def product_files() -> list[Path]:
    return [path for path in tracked_files() if path.parts[0] in PACKAGES]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[zipfile.ZipFile]:
    """A wheel built from the files under version control alone, in a directory of its own."""
    directory = tmp_path_factory.mktemp("wheel")
    build_files = [Path(name) for name in ("setup.cfg", "pyproject.toml", "README.md", "LICENSE")]
    for path in [*product_files(), *build_files]:
        (directory / "tree" / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / path, directory / "tree" / path)
    pip = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", "dist", "./tree"]
    built = subprocess.run(pip, cwd=directory, capture_output=True, text=True, check=False)
    assert built.returncode == 0, f"pip fetches setuptools for the build; it said:\n{built.stderr}"
    [path] = (directory / "dist").glob("*.whl")
    with zipfile.ZipFile(path) as opened:
        yield opened


def test_the_list_of_packages_is_the_packages() -> None:
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    listed = config["options"]["packages"].split()
    real = [".".join(path.parent.parts) for path in product_files() if path.name == "__init__.py"]
    assert listed == sorted(real)


def test_every_file_of_the_product_is_code_or_data_that_we_know() -> None:
    assert {path.suffix for path in product_files()} - DATA - {".py"} == set()


def test_a_wheel_holds_every_file_of_the_product_and_nothing_else(wheel: zipfile.ZipFile) -> None:
    shipped = {name for name in wheel.namelist() if ".dist-info/" not in name}
    assert shipped == {str(path) for path in product_files()}


def test_a_wheel_away_from_the_tree_finds_its_policies_and_migrations(
    wheel: zipfile.ZipFile, tmp_path: Path
) -> None:
    wheel.extractall(tmp_path)
    environ = {**os.environ, "PYTHONPATH": str(tmp_path)}
    asked = subprocess.run(
        [sys.executable, "-c", ASK_THE_WHEEL],
        cwd=tmp_path,
        env=environ,
        capture_output=True,
        text=True,
        check=True,
    )
    versions = [path for path in product_files() if path.match("migrations/versions/r*.py")]
    agreements = [path for path in product_files() if path.match("policies/agreements/*.toml")]
    newest = max(path.stem.removeprefix("r").split("_")[0] for path in versions)
    expected = f'["{tmp_path}/policies/__init__.py", "{newest}", {len(agreements)}]'
    assert asked.stdout.strip() == expected
