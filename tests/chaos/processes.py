"""Processes that are started to be broken, and what they said before."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from tests.doors import wait_until

ROOT: Final = Path(__file__).resolve().parents[2]


class Spawned:
    """A running program of ours. What it says, on both ways, goes to a file."""

    def __init__(self, words: Sequence[str], environ: Mapping[str, str], said: Path) -> None:
        self.log = said
        with said.open("ab") as file:
            self.process = subprocess.Popen(
                [sys.executable, *words], env=dict(environ), cwd=ROOT, stdout=file, stderr=file
            )

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def said(self) -> str:
        return self.log.read_text(encoding="utf-8", errors="replace")

    def events(self) -> list[dict[str, Any]]:
        """Return the JSON lines that it has said."""
        found = []
        for line in self.said.splitlines():
            with suppress(ValueError):
                told = json.loads(line)
                if isinstance(told, dict):
                    found.append(told)
        return found

    def has_said(self, event: str) -> bool:
        return any(one.get("event") == event for one in self.events())

    def wait_event(self, event: str, seconds: float = 60.0) -> None:
        def is_there() -> bool:
            if self.has_said(event):
                return True
            assert self.process.poll() is None, f"it ended with {self.process.returncode}: {self.said}"
            return False

        wait_until(is_there, f"it says {event!r}", seconds)

    @property
    def is_alive(self) -> bool:
        return self.process.poll() is None

    @property
    def is_stopped(self) -> bool:
        """Return whether it stands still (SIGSTOP)."""
        return state_of(self.pid) == "T"

    def wait(self, seconds: float = 60.0) -> int:
        """Return its exit code (below 0: the signal), once it has ended by itself."""
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"in {seconds} s it did not end: {self.said[-2000:]}") from None

    def send(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def end(self) -> int:
        """Ask it to end; return its exit code. One that does not end within a minute is killed."""
        self.process.terminate()
        try:
            return self.process.wait(60)
        except subprocess.TimeoutExpired:
            return self.kill()

    def kill(self) -> int:
        self.process.kill()
        return self.process.wait()


def state_of(pid: int) -> str:
    """Return the state of a process as Linux calls it; "" where there is none."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return ""


def children_of(pid: int) -> list[int]:
    """Return the processes that a process has started, of all its threads."""
    found: list[int] = []
    with suppress(OSError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            with suppress(OSError):
                found += [int(one) for one in (task / "children").read_text().split()]
    return found


def words_of(pid: int) -> str:
    with suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    return ""


def killed(pid: int) -> bool:
    """Kill a process; return False if it has ended before."""
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return False
    return True
