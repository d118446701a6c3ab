"""The doors themselves: what fails behind them says so, and leaves nothing behind."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.doors import _OWN_PORTS, Server, free_port, frozen, wait_until


def state_of(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


def test_a_process_that_has_ended_keeps_no_other_frozen() -> None:
    ended = subprocess.Popen(["true"])
    ended.wait()
    with subprocess.Popen(["sleep", "60"]) as first, subprocess.Popen(["sleep", "60"]) as last:
        try:
            with frozen(first.pid, ended.pid, last.pid):
                wait_until(lambda: state_of(first.pid) == state_of(last.pid) == "T", "both are stopped")
                first.kill()
                first.wait()
            wait_until(lambda: state_of(last.pid) == "S", "the other goes on")
        finally:
            first.kill()
            last.kill()


def test_a_port_is_given_to_one_process_only_even_before_anybody_listens_there() -> None:
    port = free_port()
    looking = "import tests.doors; tests.doors._OWN_PORTS = {}; print(tests.doors.free_port())"
    for ports, found in (((port, port + 1), "no port is free"), ((port, 32_000), "")):
        other = subprocess.run(
            [sys.executable, "-W", "ignore", "-c", looking.format(ports)], capture_output=True, text=True
        )
        assert bool(other.returncode) == bool(found), other.stderr
        assert found in other.stderr
        assert other.stdout.strip() != str(port)
    with socket.socket() as mine:
        mine.bind(("127.0.0.1", port))


def test_a_port_is_none_that_the_kernel_gives_away_by_itself() -> None:
    with socket.socket() as anybodys:
        anybodys.bind(("127.0.0.1", 0))
        assert anybodys.getsockname()[1] not in range(*_OWN_PORTS)
    assert free_port() in range(*_OWN_PORTS)


def test_a_server_that_cannot_start_says_why_and_is_ended(
    release_environ: dict[str, str], tmp_path: Path
) -> None:
    empty = tmp_path / "policies"
    empty.mkdir()
    started = time.monotonic()
    with pytest.raises(AssertionError, match=r"(?s)the server ended with [0-9]+: .*holds no agreement"):
        Server(release_environ, tmp_path, {"BROKER_POLICY_DIRECTORY": str(empty)})
    assert time.monotonic() - started < 100, "it was waited for although it had ended"


def test_a_server_that_nobody_can_reach_is_ended_before_it_is_given_up(
    release_environ: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[Server] = []

    def give_up(server: Server) -> bool:
        made.append(server)
        raise KeyboardInterrupt

    monkeypatch.setattr(Server, "_is_ready", give_up)
    with pytest.raises(KeyboardInterrupt):
        Server(release_environ, tmp_path)
    assert made[0].process.poll() is not None
