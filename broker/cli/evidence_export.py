"""`broker evidence export`: the entries of a period for a SIEM, one line each, in order, with flat memory."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from importlib.metadata import version
from pathlib import Path
from typing import IO, Final
from uuid import UUID

import click

from broker.cli.output import CommandRefused, refusals
from broker.cli.progress import progress_bar
from broker.cli.session import open_session
from broker.clock import system_clock
from broker.evidence.cef import cef_line
from broker.evidence.history import is_reference, least_reference, uuid_text
from broker.evidence.ocsf import ocsf_line
from broker.evidence.security_event import security_event
from broker.storage.acts import record_look
from broker.storage.evidence import PostgresEvidence
from policies.civil_time import VIET_NAM

HELD_BACK: Final = timedelta(seconds=60)
"""Entries are in order of their references, made up to seconds before they commit: the last ones wait."""
PRODUCT: Final = "insurance-data-broker"
_LINES: Final = {"ocsf": ocsf_line, "cef": cef_line}
_EXTERNAL_ID: Final = re.compile(rb" externalId=([0-9a-f-]{36}) ")
_BEGINNINGS: Final = {"ocsf": b'{"activity_id": ', "cef": b"CEF:0|"}
_TAIL_BYTES: Final = 1 << 20
"""More than any line: an entry has at most 65,535 bytes."""
_EVERY: Final = 500


class _Moment(click.ParamType[datetime]):
    """A civil day of Viet Nam (its beginning), or an instant of RFC 3339 with its offset."""

    name = "day or instant"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        if isinstance(value, datetime):
            return value
        try:
            moment = datetime.fromisoformat(str(value))
        except ValueError:
            self.fail("a day (2026-11-22) or an instant (2026-11-22T08:00:00+07:00)", param, ctx)
        if moment.tzinfo is not None:
            return moment
        if len(str(value)) != len("2026-11-22"):
            self.fail("an instant needs its offset: Z or +07:00", param, ctx)
        return moment.replace(tzinfo=VIET_NAM)


@click.command()
@click.option("--format", "form", type=click.Choice(sorted(_LINES)), required=True)
@click.option("--from", "begin", type=_Moment(), required=True, help="Day of Viet Nam or instant, included.")
@click.option("--to", "end", type=_Moment(), required=True, help="Day of Viet Nam or instant, not included.")
@click.option("--after", type=click.UUID, help="Go on behind this reference, the last one that was taken.")
@click.option(
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    help="File to write, which must not be there yet; without it: standard output.",
)
@click.option("--resume", is_flag=True, help="Go on in the file behind its last whole line, or begin it.")
@click.option("--progress", is_flag=True, help="Show a progress bar even where nobody watches.")
def export_command(
    form: str,
    begin: datetime,
    end: datetime,
    after: UUID | None,
    output: Path | None,
    resume: bool,
    progress: bool,
) -> None:
    """Write the entries of a period for a SIEM, one line each, in the order of their references.

    OCSF 1.3.0, class API Activity, as NDJSON; or CEF:0. Never a number or name of a person, never a salt or
    commitment; a staff member is a keyed hash. The last minute is left to the next run, and said so. Each
    run is an entry of the log itself (log_read), committed before the first line leaves.
    """
    if resume and (output is None or after is not None):
        raise click.UsageError("--resume goes with --output, and finds out by itself where to go on")
    latest = system_clock() - HELD_BACK
    if end > latest:
        end = latest
        click.echo(f"up to {latest.isoformat(timespec='seconds')}: later entries may still come", err=True)
    with _opened(output, form, resume) as (stream, last):
        before_first = uuid_text(max(0, UUID(least_reference(begin)).int - 1))
        start = max(before_first, last, "" if after is None else str(after))
        with refusals():
            count, end_at = _write(stream, form, (begin, end), start, progress)
        stream.flush()
        if output is not None:
            os.fsync(stream.fileno())
    click.echo(f"{count} entries" + (f", the last {end_at}" if count else ""), err=True)


def _write(
    stream: IO[bytes], form: str, period: tuple[datetime, datetime], after: str, progress: bool
) -> tuple[int, str]:
    """Write the lines of a period behind a reference; return how many, and the last reference.

    That it is exported is evidence itself, committed before the first line leaves.
    """
    told, count, last, make = version(PRODUCT), 0, "", _LINES[form]
    before = least_reference(period[1])
    with open_session() as session:
        if least_reference(period[0]) < before:
            record_look(session.store, session.acts, "export", period=period)
        evidence = PostgresEvidence(session.engine)
        total = evidence.count_entries(after, before)
        with progress_bar(total, "entries", progress) as advance:
            for content in evidence.iterate_entries(after, before):
                event = security_event(json.loads(content))
                line = make(event, vendor=PRODUCT, product="broker", version=told)
                stream.write(line.encode("utf-8") + b"\n")
                count, last = count + 1, event.reference
                if count % _EVERY == 0:
                    advance(count)
            advance(count)
    return count, last


@contextmanager
def _opened(output: Path | None, form: str, resume: bool) -> Iterator[tuple[IO[bytes], str]]:
    """Yield where to write, and the reference behind which to go on, "" for none."""
    if output is None:
        yield sys.stdout.buffer, ""
        return
    is_there = resume and output.exists()
    try:
        with output.open("r+b" if is_there else "xb") as stream:
            yield stream, _cut_to_last_line(stream, form) if is_there else ""
    except FileExistsError:
        raise CommandRefused(f"{output} is there already: --resume goes on in it", 2) from None
    except OSError as fault:
        raise CommandRefused(f"{output} cannot be written: {fault.strerror}") from None


def _cut_to_last_line(stream: IO[bytes], form: str) -> str:
    """Take off what was written of an unfinished line; return the reference in the last whole one."""
    size = stream.seek(0, os.SEEK_END)
    start = max(0, size - _TAIL_BYTES)
    stream.seek(start)
    tail, beginning = stream.read(), _BEGINNINGS[form]
    end = tail.rfind(b"\n") + 1
    last = tail[:end].splitlines()[-1] if end else b""
    found = _READERS[form](last) if last.startswith(beginning) else ""
    is_begun = not end and beginning.startswith(tail[: len(beginning)])
    if not is_reference(found) and not is_begun:
        told = f"the file does not end in lines of an export as {form}: nothing was written"
        raise CommandRefused(told, 2)
    stream.truncate(start + end)
    stream.seek(0, os.SEEK_END)
    return found


def _of_ocsf(line: bytes) -> str:
    try:
        return str(json.loads(line)["metadata"]["uid"])
    except (ValueError, KeyError, TypeError):
        return ""


def _of_cef(line: bytes) -> str:
    found = _EXTERNAL_ID.search(line)
    return "" if found is None else found[1].decode()


_READERS: Final = {"ocsf": _of_ocsf, "cef": _of_cef}
"""Format → what finds the reference in a line of it."""
