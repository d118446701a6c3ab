"""A `broker` command that ends, or stands still, at a named step; tells all it signs; may have another clock.

    python -m tests.chaos.stepped [--at STEP] [--act kill|stop] [--signed FILE] [--clock SECONDS] -- WORDS

It is the product's own command in the product's own process, patched from outside before it runs.
"""

from __future__ import annotations

import argparse
import base64
import os
import signal
import sys
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import broker.clock
from tests.chaos.steps import STEPS, arrange, patched


def shift_clock(seconds: float) -> None:
    """Let every module of ours that is imported from now on have a clock that is wrong by so much."""
    real = broker.clock.system_clock

    def wrong() -> datetime:
        return real() + timedelta(seconds=seconds)

    broker.clock.system_clock = wrong


def record_signed(path: str) -> None:
    """Write down every checkpoint before anybody else has it, also one that comes to nothing."""

    def around(real: Callable[..., Any]) -> Callable[..., Any]:
        def instead(*given: Any) -> Any:
            note = real(*given)
            handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
            os.write(handle, base64.b64encode(note.content) + b"\n")
            os.close(handle)
            return note

        return instead

    patched("broker.actions.sequence_log:signed_checkpoint", around)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--at", choices=STEPS)
    parser.add_argument("--act", choices=("kill", "stop"), default="kill")
    parser.add_argument("--signed")
    parser.add_argument("--clock", type=float, default=0.0)
    parser.add_argument("words", nargs="+")
    given = parser.parse_args()
    if given.clock:
        shift_clock(given.clock)
    if given.signed:
        record_signed(given.signed)
    if given.at:
        number = signal.SIGKILL if given.act == "kill" else signal.SIGSTOP
        arrange(STEPS[given.at], lambda: os.kill(os.getpid(), number))
    from broker.cli import main as command

    sys.argv = ["broker", *given.words]
    command()


if __name__ == "__main__":
    main()
