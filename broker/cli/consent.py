"""`broker consent`: chains of events checked; a consent declared void on an authority's order."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from typing import Any
from uuid import UUID

import click

from broker.actions.end_consents import INVALID_REASONS
from broker.app import load_policies, new_salt
from broker.cli.output import EXIT_CODES, CommandRefused, refusals, show
from broker.cli.session import Session, open_session
from broker.clock import system_clock
from broker.consent.chain import ConsentChainBroken, verify_chain
from broker.consent_wiring import ConsentWiring, source_people
from broker.errors import ConsentNotFound, ConsentTransitionRefused
from broker.keys import KeyRing
from broker.storage.consent_chains import KeptChain, PostgresChains
from broker.storage.signing_keys import PostgresSigningKeys
from connectors.national_insurance.source import InsuranceSource

_json_option = click.option("--json", "as_json", is_flag=True, help="Print as JSON.")


@click.group(epilog=EXIT_CODES)
def consent_group() -> None:
    """Check the events of consents, and declare a consent void."""


@consent_group.command("verify")
@click.argument("consent_id", type=click.UUID, required=False)
@_json_option
@click.option("--progress", is_flag=True, help="Show progress even where nobody watches.")
def verify_consents_command(consent_id: UUID | None, as_json: bool, progress: bool) -> None:
    """Check the chain of events of one consent, or of all of them.

    Names every consent whose events were changed, taken out or put in, with the first event that does not
    fit, and those whose row says something else than the last event. Exit codes: 0 all fit, 1 some do not,
    or the store went away, 2 wrong usage, 4 there is no such consent.
    """
    with refusals(), open_session() as session:
        chains = PostgresChains(session.engine)
        if consent_id is not None:
            found = chains.find_chain(str(consent_id))
            if found is None:
                raise CommandRefused("there is no such consent", 4)
            told = _checked([found])
        else:
            bar = click.progressbar(
                chains.every_chain(),
                length=chains.count(),
                label="consents",
                file=sys.stderr,
                hidden=not (progress or sys.stderr.isatty()),
            )
            with bar as every:
                told = _checked(every)
    _tell(told, as_json)
    if told["broken"]:
        sys.exit(1)


@consent_group.command("invalidate", epilog=EXIT_CODES)
@click.argument("consent_id", type=click.UUID)
@click.option("--reason", type=click.Choice(INVALID_REASONS), required=True, help="Why.")
@click.option("--operator", required=True, help="Who orders it here, as it will stand in the events.")
@_json_option
def invalidate_consent_command(consent_id: UUID, reason: str, operator: str, as_json: bool) -> None:
    """Declare a given consent void: nothing leaves any more, whatever its citizen or recipient does.

    The citizen gets a receipt and sees the reason; the recipient is told that the consent is withdrawn and
    that it must delete.
    """
    if not operator.strip():
        raise click.UsageError("--operator: a name is needed")
    with refusals(), open_session() as session:
        try:
            verb = _wiring(session).ends()
            consent = verb.invalidate(str(consent_id), operator.strip(), reason, system_clock())
        except ConsentNotFound:
            raise CommandRefused("there is no such consent", 4) from None
        except ConsentTransitionRefused as refused:
            raise CommandRefused(f"the consent cannot be declared void: {refused.reason}") from None
    row = {"consent_id": consent.consent_id, "state": consent.state, "reason": consent.state_reason}
    show([{**row, "since": consent.state_since_at}], as_json)


def _checked(chains: Iterable[KeptChain]) -> dict[str, Any]:
    told: dict[str, Any] = {"consents": 0, "events": 0, "broken": []}
    for chain in chains:
        told["consents"] += 1
        told["events"] += len(chain.events)
        fault = _fault(chain)
        if fault is not None:
            told["broken"].append({"consent_id": chain.consent_id, **fault})
    return told


def _fault(chain: KeptChain) -> dict[str, Any] | None:
    """Return what is wrong with a chain; the row of its consent tells where it ends."""
    try:
        verify_chain(chain.events)
    except ConsentChainBroken as broken:
        return {"event": broken.number, "fault": "does not fit the one before it"}
    last: dict[str, Any] = json.loads(chain.events[-1].entry) if chain.events else {}
    if (last.get("version"), last.get("details", {}).get("state")) != (chain.version, chain.state):
        return {"event": len(chain.events), "fault": "is not the last one by the consent's row"}
    return None


def _tell(told: dict[str, Any], as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(told, indent=2))
        return
    for one in told["broken"]:
        click.echo(f"{one['consent_id']}  event {one['event']} {one['fault']}")
    click.echo(f"{told['consents']} consents, {told['events']} events, {len(told['broken'])} broken")


def _wiring(session: Session) -> ConsentWiring:
    settings = session.settings
    keys = settings.key_encryption_key_file.reveal()
    ring = KeyRing(PostgresSigningKeys(session.engine), keys, system_clock)
    source = InsuranceSource(settings.source_url, settings.source_deadline_seconds, concurrency=1)
    people = source_people(settings, session.store, source)
    return ConsentWiring(settings, session.store, ring, load_policies(settings), people, new_salt)
