"""`broker keys`: the broker's own signing keys."""

from __future__ import annotations

from typing import Any

import click

from broker.cli.output import CommandRefused, refusals, show
from broker.cli.rewrap import rewrap_command
from broker.cli.session import Session, open_session
from broker.clock import system_clock
from broker.keys import PURPOSES, KeyRing, Purpose, StoredKey
from broker.oauth.jose_keys import ALGORITHMS, Algorithm
from broker.storage.acts import Acts
from broker.storage.clients import PostgresClients
from broker.storage.signing_keys import PostgresSigningKeys


@click.group()
def keys_group() -> None:
    """Rotate and list the keys that sign for the broker, and exchange the key that encrypts them.

    Private keys leave memory only encrypted under BROKER_KEY_ENCRYPTION_KEY_FILE, and never print.
    """


@keys_group.command("rotate")
@click.argument("purpose", type=click.Choice(PURPOSES))
@click.option(
    "--algorithm", type=click.Choice(ALGORITHMS), help="ES256 if nothing is said; for log always EdDSA."
)
@click.option("--compromised", is_flag=True, help="The old key leaked: stop trusting it now.")
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
def rotate_command(purpose: Purpose, algorithm: Algorithm | None, compromised: bool, as_json: bool) -> None:
    """Make a new key for PURPOSE; the old one signs for 90 seconds more and stays published.

    Every worker and node picks the new key up by itself. With --compromised the old key is withdrawn at once;
    workers stop accepting its tokens within half a minute, and receipts that it signed no longer verify
    against the published keys. Clients that are registered for another algorithm are named as a warning.
    """
    with refusals(), open_session() as session:
        ring = _ring(session, session.acts)
        _check_opens(session, ring, purpose)
        try:
            kid = ring.rotate(purpose, algorithm, compromised=compromised)
        except ValueError as fault:
            raise CommandRefused(str(fault), 2) from None
        [made] = [stored for stored in ring.stored_keys() if stored.kid == kid]
        others = _registered_for_another(session, purpose, made.algorithm)
    if others:
        named = ", ".join(others)
        click.echo(f"warning: registered for another algorithm than {made.algorithm}: {named}", err=True)
    show([_row(made)], as_json)


@keys_group.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
def list_keys_command(as_json: bool) -> None:
    """List signing keys, oldest first."""
    with refusals(), open_session() as session:
        stored = _ring(session, None).stored_keys()
    show([_row(key) for key in stored], as_json)


keys_group.add_command(rewrap_command, "rewrap")


def _ring(session: Session, acts: Acts | None) -> KeyRing:
    secret = session.settings.key_encryption_key_file.reveal()
    return KeyRing(PostgresSigningKeys(session.engine, acts), secret, system_clock)


def _check_opens(session: Session, ring: KeyRing, purpose: Purpose) -> None:
    """Refuse under a wrong key-encryption key: the successor would end keys that servers can still use.

    One foreign row among ours changes nothing: whoever can write to the table alone must not stop a rotation.
    """
    kept = [key for key in PostgresSigningKeys(session.engine).find_keys() if key.signs_until is None]
    present = {key.kid for key in kept if key.purpose == purpose}
    if present and not present & {key.kid for key in ring.stored_keys()}:
        raise CommandRefused(
            f"no {purpose} key opens under BROKER_KEY_ENCRYPTION_KEY_FILE: is it the right file? "
            "After an exchange: broker keys rewrap"
        )


def _registered_for_another(session: Session, purpose: Purpose, algorithm: Algorithm) -> list[str]:
    """Return the clients that will refuse what a key signs, by what they registered (client_id, in order)."""
    member = f"{purpose}_signed_response_alg"
    return [
        client.client_id
        for client in PostgresClients(session.engine).list_clients()
        if client.client_metadata.get(member, algorithm) != algorithm
    ]


def _row(stored: StoredKey) -> dict[str, Any]:
    return {
        "kid": stored.kid,
        "purpose": stored.purpose,
        "algorithm": stored.algorithm,
        "created_at": stored.created_at,
        "signs_until": stored.signs_until,
        "published_until": stored.published_until,
    }
