"""What commands that run until they are told to stop have in common: signals, and the lines they print."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from threading import Event
from types import FrameType

import click

from broker.clock import system_clock


@contextmanager
def stopped_by_signals(stop_event: Event) -> Iterator[None]:
    """Set an event on SIGTERM, SIGINT and SIGHUP, for as long as something runs."""

    def stop(_number: int, _frame: FrameType | None) -> None:
        stop_event.set()

    numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
    before = {number: signal.signal(number, stop) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def json_line(line: Mapping[str, object]) -> None:
    """Print a line of a log as JSON, with the instant."""
    at = system_clock().isoformat(timespec="milliseconds")
    click.echo(json.dumps({"at": at, **line}))


def plain_line(line: Mapping[str, object]) -> None:
    """Print a line of a log for people."""
    words = dict(line)
    event, job = words.pop("event"), words.pop("job", None)
    told = ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in words.items())
    start = f"{system_clock():%H:%M:%S} {event if job is None else f'{job}: {event}'}"
    click.echo(f"{start} ({told})" if told else start)
