"""`broker evidence replay`: a decision on record made again, once it is recorded who asks for that."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, Final
from uuid import UUID

import click

from broker.actions.replay_decision import ReplayDecision, Replayed
from broker.cli.output import CommandRefused
from broker.cli.session import Session, open_session
from broker.errors import BrokerError
from broker.evidence.history import is_reference
from broker.evidence.pseudonyms import CITIZEN_PREFIX, KeyedPseudonyms
from broker.evidence.replay_facts import NotReplayable
from broker.storage.acts import record_look
from broker.storage.agreements import KeptAgreements
from broker.storage.consents import PostgresConsents
from broker.storage.evidence import EvidenceByPerson, PostgresEvidence
from broker.storage.openings import PostgresOpenings

DIFFERS: Final = 1
NOT_REPLAYABLE: Final = 2
_EPILOG: Final = "Exit codes: 0 the same decision, 1 another one, 2 it cannot be made again, or wrong usage."


@click.command("replay", epilog=_EPILOG)
@click.argument("reference", type=click.UUID)
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
def replay_command(reference: UUID, as_json: bool) -> None:
    """Make the decision behind an entry of evidence again and say whether it is the one on record.

    From the agreement revision and the registers that were in force then, the consent at the version that
    the entry names, and the facts in the entry. What cannot be made again is named: not replayed. That
    somebody looked is an entry itself (log_read), in the history of whose consent it is.
    """
    try:
        with open_session() as session:
            _record(session, str(reference))
            found = replay_verb(session).replay(str(reference))
    except (NotReplayable, BrokerError) as fault:
        told = fault.reason if isinstance(fault, NotReplayable) else f"{fault.kind}: {fault.detail}"
        if as_json:
            click.echo(json.dumps({"reference": str(reference), "result": "not_replayable", "reason": told}))
            raise SystemExit(NOT_REPLAYABLE) from None
        raise CommandRefused(f"cannot be replayed: {told}", NOT_REPLAYABLE) from None
    if as_json:
        click.echo(json.dumps(_document(found), ensure_ascii=False, indent=2))
    else:
        _tell(found)
    raise SystemExit(DIFFERS if found.replay.result == "differs" else 0)


def _record(session: Session, reference: str) -> None:
    """Record the look before anything of the entry is told. Whose it is the store knows of consents alone."""
    content = PostgresEvidence(session.engine).find_entry(reference)
    if content is None:
        return
    consent = PostgresConsents(session.engine, _openings(session)).find_consent(_consent_in(content))
    whose = "" if consent is None else CITIZEN_PREFIX + consent.citizen_id
    record_look(session.store, session.acts, "decision", data_subject=whose, entry=reference)


def _consent_in(content: bytes) -> str:
    """Return the consent that an entry names, or an id that none has."""
    try:
        named = str(json.loads(content)["consent"])
    except (ValueError, KeyError, TypeError):
        named = ""
    return named if is_reference(named) else str(UUID(int=0))


def replay_verb(session: Session) -> ReplayDecision:
    """Return the verb on a command's store."""
    openings = _openings(session)
    return ReplayDecision(
        evidence=EvidenceByPerson(session.engine, openings),
        revisions=KeptAgreements(session.engine),
        consents=PostgresConsents(session.engine, openings),
        pseudonyms=KeyedPseudonyms(session.settings.pseudonym_key_file.reveal()),
    )


def _openings(session: Session) -> PostgresOpenings:
    return PostgresOpenings(session.store, session.settings.key_encryption_key_file.reveal())


def _document(found: Replayed) -> dict[str, Any]:
    entry, verdict = found.entry, asdict(found.replay)
    return {"reference": entry["reference"], "action": entry["action"], "at": entry["at"], **verdict}


def _tell(found: Replayed) -> None:
    """Print the verdict for people: both sides of what differs, else what was decided."""
    verdict = found.replay
    click.echo(f"{found.entry['reference']}  {found.entry['action']}  {found.entry['at']}")
    click.echo(f"result: {verdict.result}")
    for one in verdict.differences:
        click.echo(f"\n{one.member}\n  recorded  {_text(one.recorded)}\n  replayed  {_text(one.replayed)}")
    if not verdict.differences:
        _tell_decision(verdict.replayed)
    click.echo()
    for note in verdict.not_replayed:
        click.echo(f"not replayed: {note}")


def _tell_decision(replayed: Mapping[str, Any]) -> None:
    width = max(len(name) for name in replayed)
    for name, value in replayed.items():
        click.echo(f"  {name:<{width}}  {_text(value)}")


def _text(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join("=".join(one) if isinstance(one, list) else str(one) for one in value) or "-"
    return str(value) or "-"
