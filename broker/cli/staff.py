"""`broker staff`: the named people of a facility who may look up records, by written assignment."""

from __future__ import annotations

import re
from typing import Any

import click

from broker.cli.output import EXIT_CODES, refusals, show
from broker.cli.session import Session, open_session
from broker.evidence.pseudonyms import KeyedPseudonyms
from broker.storage.staff import PostgresStaff, StaffRecord

_PERSONAL_ID = re.compile(r"[0-9]{12}")


@click.group(epilog=EXIT_CODES)
def staff_group() -> None:
    """Register the staff of facilities; nobody looks up a record without a written assignment.

    The 12-digit personal id is read, turned into a keyed hash, and not kept.
    """


@staff_group.command("register", epilog=EXIT_CODES)
@click.option("--organisation-id", required=True, help="Organisation that assigned the person.")
@click.option("--full-name", required=True, help="Name as it will stand in the evidence's context.")
@click.option("--assignment", required=True, help="Number of the written assignment of tasks.")
@click.option("--personal-id", prompt="12-digit personal id", hide_input=True, help="Asked for if not given.")
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
def register_staff_command(
    organisation_id: str, full_name: str, assignment: str, personal_id: str, as_json: bool
) -> None:
    """Register a staff member, or renew one whose assignment was revoked.

    Leave --personal-id out to type it unseen: it then stands neither on the screen nor in the history.
    """
    with refusals(), open_session() as session:
        record = StaffRecord(
            staff_ref=_staff_ref(session, organisation_id, personal_id),
            organisation_id=organisation_id,
            full_name=full_name,
            assignment_reference=assignment,
        )
        PostgresStaff(session.engine, session.acts).register_staff(record)
    show([_row(record)], as_json)


@staff_group.command("revoke", epilog=EXIT_CODES)
@click.option("--organisation-id", required=True, help="Organisation that assigned the person.")
@click.option("--personal-id", prompt="12-digit personal id", hide_input=True, help="Asked for if not given.")
def revoke_staff_command(organisation_id: str, personal_id: str) -> None:
    """End an assignment: the person's next look-up anywhere is refused."""
    with refusals(), open_session() as session:
        PostgresStaff(session.engine, session.acts).revoke_staff(
            _staff_ref(session, organisation_id, personal_id)
        )
    click.echo("the assignment is revoked")


@staff_group.command("list", epilog=EXIT_CODES)
@click.option("--organisation-id", help="Only this organisation's.")
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
def list_staff_command(organisation_id: str | None, as_json: bool) -> None:
    """List registered staff."""
    with refusals(), open_session() as session:
        found = PostgresStaff(session.engine).list_staff(organisation_id)
    show([_row(record) for record in found], as_json)


def _staff_ref(session: Session, organisation_id: str, personal_id: str) -> bytes:
    if not _PERSONAL_ID.fullmatch(personal_id):
        raise click.UsageError("--personal-id: 12 digits")
    pseudonyms = KeyedPseudonyms(session.settings.pseudonym_key_file.reveal())
    return pseudonyms.staff_ref(organisation_id, personal_id)


def _row(record: StaffRecord) -> dict[str, Any]:
    return {
        "organisation_id": record.organisation_id,
        "full_name": record.full_name,
        "assignment_reference": record.assignment_reference,
        "status": record.status,
        "staff_ref": record.staff_ref.hex(),
    }
