"""How commands answer: lines for people, JSON for programs, and an exit code that tells what happened."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import date, datetime
from typing import Any

import click

from broker.errors import BrokerError, LogStopped, MigrationRefused
from broker.oauth.client_metadata import MetadataRefused
from broker.oauth.registration import JwksRefused
from broker.storage.clients import AlreadyRegistered, NotRegistered

EXIT_CODES = "Exit codes: 0 done, 1 failed, 2 wrong usage, 3 already registered, 4 not registered."

LOG_STOPPED = 5
"""Exit code of the log's commands: nothing may be signed until somebody has looked."""


class CommandRefused(click.ClickException):
    """The command did nothing; the exit code says why."""

    def __init__(self, message: str, exit_code: int = 1) -> None:
        super().__init__(message)
        # click has one exit code for each class of errors; here each refusal has its own.
        self.exit_code = exit_code  # type: ignore[misc]


@contextmanager
def refusals() -> Iterator[None]:
    """Turn what stores and keys raise into one plain line and an exit code."""
    try:
        yield
    except AlreadyRegistered as fault:
        raise CommandRefused(str(fault), 3) from None
    except NotRegistered as fault:
        raise CommandRefused(str(fault), 4) from None
    except MetadataRefused as fault:
        raise CommandRefused("\n".join(f"{one.pointer}: {one.remedy}" for one in fault.faults), 2) from None
    except JwksRefused as fault:
        raise CommandRefused(str(fault), 2) from None
    except LogStopped as fault:
        raise CommandRefused(fault.detail, LOG_STOPPED) from None
    except MigrationRefused as fault:
        raise CommandRefused(fault.detail) from None
    except BrokerError as fault:
        raise CommandRefused(f"{fault.kind}: {fault.detail}") from None


def show(rows: Sequence[Mapping[str, Any]], as_json: bool) -> None:
    """Print rows: one JSON array, or one block of "name: value" lines per row."""
    if as_json:
        click.echo(json.dumps([dict(row) for row in rows], ensure_ascii=False, indent=2, default=_plain))
        return
    for number, row in enumerate(rows):
        if number:
            click.echo()
        width = max(len(name) for name in row)
        for name, value in row.items():
            click.echo(f"{name:<{width}}  {_text(value)}")


def _plain(value: object) -> str:
    if isinstance(value, datetime | date):
        return value.isoformat()
    raise TypeError


def _text(value: object) -> str:
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value)) or "-"
    if isinstance(value, datetime):
        return value.isoformat(timespec="seconds")
    return "-" if value is None else str(value)
