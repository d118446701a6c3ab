"""`.ci/system-packages` installs what is missing where it may, tries once, and never ends `make test`."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.house.project import ROOT

NEEDED = ("bash", "dirname", "env", "timeout")


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A clone with a .venv, and a directory of the few programs that the script may find."""
    (tmp_path / ".ci").mkdir()
    (tmp_path / ".venv").mkdir()
    (tmp_path / "bin").mkdir()
    # This machine's own nginx must not be seen.
    text = (ROOT / ".ci/system-packages").read_text().replace(":/usr/sbin:/usr/local/sbin", "")
    (tmp_path / ".ci/system-packages").write_text(text)
    for name in NEEDED:
        (tmp_path / "bin" / name).symlink_to(str(shutil.which(name)))
    return tmp_path


def program(clone: Path, name: str, script: str = "") -> None:
    path = clone / "bin" / name
    path.write_text(f"#!{clone}/bin/bash\n{script}\n")
    path.chmod(0o755)


def run(clone: Path) -> str:
    """Run the script; return what it says. It always ends well."""
    command = [f"{clone}/bin/bash", str(clone / ".ci/system-packages")]
    done = subprocess.run(command, env={"PATH": f"{clone}/bin"}, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_root_on_debian_gets_what_is_missing_once(clone: Path) -> None:
    program(clone, "id", "echo 0")
    program(clone, "chromium")
    program(clone, "apt-get", 'echo "$DEBIAN_FRONTEND $*"')
    assert run(clone) == "installing nginx-light chromium-driver openssl for the tests that need them ...\n"
    said = (clone / ".venv/system-packages.log").read_text().splitlines()
    assert said == [
        "noninteractive update --quiet",
        "noninteractive install --quiet --yes --no-install-recommends nginx-light",
        "noninteractive install --quiet --yes --no-install-recommends chromium-driver",
        "noninteractive install --quiet --yes --no-install-recommends openssl",
    ]
    assert run(clone) == ""


def test_what_is_there_is_left_alone(clone: Path) -> None:
    for name in ("nginx", "chromium", "chromedriver", "openssl"):
        program(clone, name)
    program(clone, "id", "echo 0")
    program(clone, "apt-get", f"touch {clone}/called")
    assert run(clone) == ""
    assert not (clone / "called").exists()


@pytest.mark.parametrize("apt", [None, "exit 100"])
@pytest.mark.parametrize("sudo", [None, "exit 1"])
def test_where_nothing_can_be_installed_it_goes_on(clone: Path, apt: str | None, sudo: str | None) -> None:
    program(clone, "id", "echo 1000")
    if apt is not None:
        program(clone, "apt-get", apt)
    if sudo is not None:
        program(clone, "sudo", sudo)
    assert run(clone) == ""


def test_a_failing_installation_ends_nothing(clone: Path) -> None:
    program(clone, "id", "echo 0")
    program(clone, "apt-get", "echo no network >&2; exit 100")
    assert run(clone).startswith("installing nginx-light chromium chromium-driver openssl")
    assert "no network" in (clone / ".venv/system-packages.log").read_text()
