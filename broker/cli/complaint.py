"""`broker complaint`: what citizens complain about, for the agency's staff."""

from __future__ import annotations

from typing import Any, TextIO, get_args
from uuid import UUID

import click

from broker.cli.output import EXIT_CODES, refusals, show
from broker.cli.session import Session, open_session
from broker.clock import system_clock
from broker.consent.complaint import Complaint, ComplaintStatus, find_text_fault, plain_text
from broker.oauth.citizen_secrets import CitizenSecrets
from broker.storage.acts import Acts
from broker.storage.complaints import PostgresComplaints

_json_option = click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
_complaint_id = click.argument("complaint_id", type=click.UUID)


@click.group(epilog=EXIT_CODES)
def complaint_group() -> None:
    """Read, acknowledge and answer citizens' complaints about what happened to their data."""


@complaint_group.command("list", epilog=EXIT_CODES)
@click.option("--status", type=click.Choice(get_args(ComplaintStatus)), help="These only.")
@click.option(
    "--most", type=click.IntRange(1, 10_000), default=100, show_default=True, help="So many at most."
)
@_json_option
def list_complaints_command(status: ComplaintStatus | None, most: int, as_json: bool) -> None:
    """List complaints, those that are due first at the beginning; never anybody's words."""
    with refusals(), open_session() as session:
        found = _store(session, None).list_complaints(status, most)
    show([_row(one) for one in found], as_json)


@complaint_group.command("show", epilog=EXIT_CODES)
@_complaint_id
@_json_option
def show_complaint_command(complaint_id: UUID, as_json: bool) -> None:
    """Print one complaint with the citizen's words."""
    with refusals(), open_session() as session:
        found = _store(session, session.acts).get_complaint(str(complaint_id))
    show([{**_row(found), "text": found.text, "answer": found.answer}], as_json)


@complaint_group.command("acknowledge", epilog=EXIT_CODES)
@_complaint_id
def acknowledge_complaint_command(complaint_id: UUID) -> None:
    """Tell the citizen that somebody works on a complaint."""
    with refusals(), open_session() as session:
        _store(session, session.acts).acknowledge(str(complaint_id), system_clock())
    click.echo("the complaint is acknowledged")


@complaint_group.command("answer", epilog=EXIT_CODES)
@_complaint_id
@click.option(
    "--answer-file",
    type=click.File("r", encoding="utf-8"),
    required=True,
    help="File with the answer, - for standard input.",
)
def answer_complaint_command(complaint_id: UUID, answer_file: TextIO) -> None:
    """Answer a complaint, once; the citizen reads it beside the complaint."""
    try:
        answer = plain_text(answer_file.read())
    except UnicodeDecodeError:
        raise click.UsageError("--answer-file: text in UTF-8") from None
    if find_text_fault(answer) is not None:
        raise click.UsageError("--answer-file: 1 to 2,000 characters of plain text")
    with refusals(), open_session() as session:
        _store(session, session.acts).answer(str(complaint_id), answer, system_clock())
    click.echo("the complaint is answered")


def _store(session: Session, acts: Acts | None) -> PostgresComplaints:
    secrets = CitizenSecrets(session.settings.key_encryption_key_file.reveal())
    return PostgresComplaints(session.engine, secrets, acts)


def _row(one: Complaint) -> dict[str, Any]:
    return {
        "complaint_id": one.complaint_id,
        "status": one.status,
        "reference": one.reference,
        "received_at": one.received_at,
        "due_day": one.due_day,
        "is_late": one.is_late(system_clock()),
        "acknowledged_at": one.acknowledged_at,
        "answered_at": one.answered_at,
    }
