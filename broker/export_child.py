"""The process that answers one job of a statistical export, and ends.

It is given a question, the release with the key of its noise, and what is true of the tables before; nothing
else: no store, no settings, no key-encryption key, no client, no network (but for an engine that is a
server). All of it comes through one pair of sockets, and what it says goes back there. It ends when the
worker that started it is gone.
"""

from __future__ import annotations

import os
import resource
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from threading import Thread
from typing import Final, Literal, TypeAlias

from broker.actions.answer_export import ExportDoors, ExportQuestion, answer_export
from broker.errors import BrokerError
from broker.statistics.export_answer import ExportAnswer, JobFault, KeptTable
from broker.statistics.frozen import FrozenRelease
from broker.statistics.reasons import Reason, StatisticsRefused
from connectors.base import ConnectorError

NICENESS: Final = 5
"""How far it stands back behind whatever tells recipients on this machine."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChildWork:
    """All that a child is given. doors: made in the child itself, from what is named here.

    memory_mb: what it may have for data, MiB; an engine in this process gets its part of it.
    """

    question: ExportQuestion
    release: FrozenRelease
    earlier: tuple[KeptTable, ...]
    memory_mb: int
    doors: Callable[[int], ExportDoors]


@dataclass(frozen=True, slots=True)
class Share:
    """How much is done, percent."""

    percent: int


@dataclass(frozen=True, slots=True)
class Refused:
    """The heart refused: a closed reason. What it said of where stays in the child."""

    reason: Reason


@dataclass(frozen=True, slots=True)
class Failed:
    """Something is not there, or wrong: fault of a closed list; kind: of the error, for an operator."""

    fault: JobFault
    kind: str


Said: TypeAlias = Share | Refused | Failed | ExportAnswer
_KINDS: Final[Mapping[str, Literal["engine_away", "answer_failed"]]] = {
    "source_unavailable": "engine_away",
    "source_too_slow": "engine_away",
}


def start_child(work: ChildWork, scratch: str) -> tuple[subprocess.Popen[bytes], Connection]:
    """Start a process that answers; return it, and where it is heard.

    scratch: a directory for what does not fit into its memory; whoever starts it takes that away afterwards,
    for it may be killed.
    It inherits no setting, no standard input and no open file: only this socket. A process of its own, not a
    copy of this one, which has threads, connections and keys.
    """
    ours, theirs = Pipe()
    environ = {name: value for name, value in os.environ.items() if not name.startswith("BROKER_")}
    environ["TMPDIR"] = scratch
    command = [sys.executable, "-c", f"from {__name__} import main; main()", str(theirs.fileno()), scratch]
    process = subprocess.Popen(command, env=environ, stdin=subprocess.DEVNULL, pass_fds=[theirs.fileno()])
    theirs.close()
    # One that ended already is heard of by whoever listens.
    with suppress(OSError):
        ours.send(work)
    return process, ours


def main() -> None:
    """Be the process: hear what there is to do, say what became of it, and end."""
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM):
        # Whoever ends a group of processes ends the worker, and that one ends this.
        signal.signal(number, signal.SIG_IGN)
    pipe = Connection(int(sys.argv[1]))
    os.nice(NICENESS)
    try:
        work = pipe.recv()
    except EOFError:
        os._exit(1)
    Thread(target=_end_with_worker, args=[pipe, sys.argv[2]], daemon=True).start()
    limit = work.memory_mb * 1024 * 1024
    # Not the address space: libraries reserve much of it that they never write to.
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
    pipe.send(said(work, pipe.send))
    # The thread still listens: what is left of this process has nothing more to do.
    os._exit(0)


def said(work: ChildWork, tell: Callable[[Said], None]) -> Said:
    """Return what became of it. tell: told shares of the way, each percent once."""
    last = -1

    def on_share(share: float) -> None:
        nonlocal last
        percent = int(100 * min(max(share, 0.0), 1.0))
        if percent > last:
            last = percent
            tell(Share(percent))

    try:
        doors = work.doors(work.memory_mb)
        return answer_export(work.question, work.release, work.earlier, doors, on_share)
    except StatisticsRefused as refused:
        return Refused(refused.reason)
    except MemoryError:
        return Failed("memory_exceeded", "MemoryError")
    except (BrokerError, ConnectorError) as fault:
        return Failed(_KINDS.get(fault.kind, "answer_failed"), fault.kind)
    except Exception as fault:
        # The words of an error could hold a number; its class does not.
        return Failed("answer_failed", type(fault).__name__)


def _end_with_worker(pipe: Connection, scratch: str) -> None:
    """End at once when the worker is gone, however it went: nobody is left to hear the answer.

    Nobody is left either to take away what was written beside: rows of persons, where memory was short.
    """
    try:
        pipe.recv()
    except (EOFError, OSError):
        shutil.rmtree(scratch, ignore_errors=True)
        os._exit(1)
