"""`broker evidence erase`: what opens a person's evidence of a year is erased, or the law keeps it."""

from __future__ import annotations

from typing import Any, Final

import click
from sqlalchemy import Engine

from broker.actions.erase_evidence import EraseEvidence, Outcome, PersonUnknown, Prospect
from broker.app import new_reference, new_salt
from broker.cli.citizen import checked_personal_id, personal_id_option
from broker.cli.output import CommandRefused, refusals, show
from broker.cli.session import Session, open_session
from broker.clock import system_clock
from broker.evidence.pseudonyms import KeyedPseudonyms
from broker.evidence.shapes import is_code
from broker.storage.citizens import PostgresCitizens
from broker.storage.erasure import PostgresErasure
from broker.storage.openings import PostgresOpenings
from connectors.base import ConnectorError
from connectors.national_insurance.source import InsuranceSource

KEPT_EXIT_CODE: Final = 5


@click.command(
    epilog="Exit codes: 0 done, or looked at, 1 failed, 2 wrong usage, 4 nobody with this personal id, "
    "5 kept by law. "
    "Example: broker evidence erase --year 2015 --ground law_91_2025_14 --operator 'Lê Thị C'",
)
@personal_id_option
@click.option(
    "--year", type=click.IntRange(2000, 9000), required=True, help="Calendar year (UTC) of the evidence."
)
@click.option("--ground", required=True, help="Code of the article that asks for it, for the entry.")
@click.option("--operator", required=True, help="Who does it; stands in the entry as a keyed hash.")
@click.option("--yes", "is_meant", is_flag=True, help="Do it; without, only what would be done is told.")
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
def erase_command(
    personal_id: str, year: int, ground: str, operator: str, is_meant: bool, as_json: bool
) -> None:
    """Erase what opens a person's evidence of one year: afterwards nobody can tell whom it is about.

    Salts, the links by which entries are found and the person's key of that year go; entries, tree and proofs
    stay valid. While the law keeps the evidence (BROKER_EVIDENCE_RETENTION_YEARS) it refuses and says until
    when. With --yes either is recorded as an entry, without it the look. As the owner role
    (BROKER_OWNER_DATABASE_URL).
    """
    checked = checked_personal_id(personal_id)
    if not is_code(ground):
        raise click.UsageError("--ground: a code, such as law_91_2025_14")
    if not operator.strip():
        raise click.UsageError("--operator: a name is needed")
    with refusals(), open_session() as session, session.open_owner() as owner:
        verb = _erasing(session, owner)
        try:
            if is_meant:
                outcome = verb.erase(checked, year, ground, operator.strip(), system_clock())
                row, kept_until = _done(outcome), outcome.kept_until
            else:
                prospect = verb.look(checked, year, operator.strip(), system_clock())
                row, kept_until = _told(prospect), prospect.kept_until
        except PersonUnknown:
            raise CommandRefused("nobody with this personal id is known", 4) from None
        except ConnectorError as fault:
            raise CommandRefused(f"the source cannot say who this is: {fault.kind}") from None
    show([{"year": year, **row}], as_json)
    if kept_until is not None:
        raise CommandRefused(f"kept by law until {kept_until.isoformat()}", KEPT_EXIT_CODE)
    if not is_meant:
        click.echo("nothing was erased; say it again with --yes", err=True)


def _told(prospect: Prospect) -> dict[str, Any]:
    result = "would_erase" if prospect.kept_until is None else "kept"
    return {"result": result, "entries": prospect.entry_count, "kept_until": prospect.kept_until}


def _done(outcome: Outcome) -> dict[str, Any]:
    return {
        "result": outcome.result or "nothing_found",
        "entries": outcome.entry_count,
        "kept_until": outcome.kept_until,
        "evidence_reference": outcome.reference or None,
    }


def _erasing(session: Session, owner: Engine) -> EraseEvidence:
    settings = session.settings
    key = settings.key_encryption_key_file.reveal()
    pseudonyms = KeyedPseudonyms(settings.pseudonym_key_file.reveal())
    accounts = PostgresCitizens(session.engine)

    def citizen_of(personal_id: str) -> str:
        account = accounts.find_account(pseudonyms.citizen_ref(personal_id))
        return "" if account is None else account.citizen_id

    return EraseEvidence(
        store=PostgresErasure(owner, PostgresOpenings(session.store, key), key),
        source=InsuranceSource(settings.source_url, settings.source_deadline_seconds, concurrency=1),
        citizen_of=citizen_of,
        pseudonyms=pseudonyms,
        salts=new_salt,
        new_reference=new_reference,
        retention_years=settings.evidence_retention_years,
        deadline_seconds=settings.source_deadline_seconds,
    )
