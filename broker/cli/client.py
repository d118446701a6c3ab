"""`broker client`: which systems of which organisations may ask, with which keys, for what, until when."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from datetime import date, datetime, time, timedelta
from pathlib import Path
from typing import Any

import click

from broker.app import load_policies
from broker.cli.output import EXIT_CODES, CommandRefused, refusals, show
from broker.cli.session import Session, open_session
from broker.clock import system_clock
from broker.oauth.client_authentication import CLIENT_ID
from broker.oauth.client_credentials import CLIENT_CREDENTIALS
from broker.oauth.jose_keys import ALGORITHMS, Algorithm
from broker.oauth.registration import PRIVATE_KEY_JWT, registrable_jwks
from broker.oauth.scopes import SCOPES
from broker.oauth.stored_keys import generate_private_key
from broker.storage.clients import ClientRecord, Organisation, PostgresClients
from policies.civil_time import VIET_NAM
from policies.load import SHIPPED, load_registers

MAX_FILE_BYTES = 65_536

_REGISTER_EPILOG = f"""{EXIT_CODES}

\b
For a first try:
  broker client register --organisation-id 79001 --kind hospital \\
    --name-vi "Bệnh viện A" --name-en "Hospital A" --facility-code 79001 \\
    --client-id hospital-a --scope verify_entitlement \\
    --agreement hospital_entitlement_check --expires 2027-06-30 --generate-key hospital-a.jwk
"""


@click.group(epilog=EXIT_CODES)
def client_group() -> None:
    """Register clients (systems) of organisations, look at them, suspend and resume them.

    A client proves itself with its own private key; the broker only ever sees the public one.
    """


@client_group.command("register", epilog=_REGISTER_EPILOG)
@click.option("--organisation-id", required=True, help="Organisation that answers for the client.")
@click.option(
    "--kind", required=True, help="Kind of recipient, as in policies/recipient_kinds.toml: hospital."
)
@click.option("--name-vi", required=True, help="Vietnamese name of the organisation.")
@click.option("--name-en", required=True, help="English name of the organisation.")
@click.option("--facility-code", help="Five-character code of a health facility.")
@click.option("--contact-officer", default="", help="Who answers questions about the use of data.")
@click.option("--client-id", required=True, help="Identifier of the client; letters, digits and . _ ~ -")
@click.option("--scope", "scopes", multiple=True, required=True, help="Scope it may ask for; repeatable.")
@click.option("--agreement", "agreements", multiple=True, help="Agreement it acts under; repeatable.")
@click.option("--expires", required=True, type=click.DateTime(["%Y-%m-%d"]), help="Last day, YYYY-MM-DD.")
@click.option("--jwks", type=click.Path(path_type=Path, exists=True), help="Its PUBLIC keys, a JWK set.")
@click.option(
    "--generate-key", type=click.Path(path_type=Path), help="Write a fresh PRIVATE key here (demos)."
)
@click.option("--algorithm", type=click.Choice(ALGORITHMS), default="ES256", help="For --generate-key.")
@click.option("--json", "as_json", is_flag=True, help="Print the registration as JSON.")
def register_command(**given: Any) -> None:
    """Register a client, and its organisation if that is new.

    The organisation must be the same in every particular if it is already registered. Ask the organisation
    for its PUBLIC key set; a set with a private member is refused.
    """
    if (given["jwks"] is None) == (given["generate_key"] is None):
        raise click.UsageError("give either --jwks (its public keys) or --generate-key (a fresh private key)")
    if not CLIENT_ID.fullmatch(given["client_id"]):
        raise click.UsageError("--client-id: 1 to 64 letters, digits and . _ ~ -, a letter or digit first")
    with refusals(), open_session() as session:
        _check_words(session, given["kind"], given["scopes"], given["agreements"])
        jwks = _jwks(given["jwks"], given["generate_key"], given["algorithm"], given["client_id"])
        record = _record(given, jwks)
        clients = PostgresClients(session.engine)
        try:
            clients.register_organisation(
                Organisation(
                    organisation_id=given["organisation_id"],
                    kind=given["kind"],
                    name_vi=given["name_vi"],
                    name_en=given["name_en"],
                    facility_code=given["facility_code"],
                    contact_officer=given["contact_officer"],
                )
            )
            clients.register_client(record)
        except Exception:
            if given["generate_key"] is not None:
                given["generate_key"].unlink()
            raise
    show([_row(record)], given["as_json"])


@client_group.command("show", epilog=EXIT_CODES)
@click.argument("client_id")
@click.option("--json", "as_json", is_flag=True, help="Print as JSON, public keys included.")
def show_command(client_id: str, as_json: bool) -> None:
    """Show one client."""
    with refusals(), open_session() as session:
        found = PostgresClients(session.engine).list_clients(client_id)
    if not found:
        raise CommandRefused(f"there is no client {client_id}", 4)
    keys = {"jwks": found[0].client_metadata.get("jwks")} if as_json else {}
    show([{**_row(found[0]), **keys}], as_json)


@client_group.command("list", epilog=EXIT_CODES)
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
def list_command(as_json: bool) -> None:
    """List all clients."""
    with refusals(), open_session() as session:
        found = PostgresClients(session.engine).list_clients()
    show([_row(record) for record in found], as_json)


@client_group.command("suspend", epilog=EXIT_CODES)
@click.argument("client_id")
def suspend_command(client_id: str) -> None:
    """Suspend a client at once: its tokens are revoked and its next request anywhere is refused."""
    with refusals(), open_session() as session:
        revoked = PostgresClients(session.engine).suspend_client(client_id, system_clock())
    click.echo(f"{client_id} is suspended; live tokens revoked: {revoked}")


@client_group.command("resume", epilog=EXIT_CODES)
@click.argument("client_id")
def resume_command(client_id: str) -> None:
    """Let a suspended client ask for tokens again; its old tokens stay revoked."""
    with refusals(), open_session() as session:
        PostgresClients(session.engine).resume_client(client_id)
    click.echo(f"{client_id} is active")


def _check_words(session: Session, kind: str, scopes: tuple[str, ...], agreements: tuple[str, ...]) -> None:
    """Refuse words that no policy, scope or agreement knows: a typing error would refuse silently later."""
    directory = session.settings.policy_directory
    kinds = load_registers(Path(directory) if directory else SHIPPED)[1].recipient_kinds
    if kind not in kinds:
        raise click.UsageError(f"--kind: one of {', '.join(sorted(kinds))}")
    if not SCOPES.issuperset(scopes):
        raise click.UsageError(f"--scope: one of {', '.join(sorted(SCOPES))}")
    policy_set = load_policies(session.settings)
    for agreement in agreements:
        if policy_set.find_agreement(agreement) is None:
            raise click.UsageError(f"--agreement: one of {', '.join(sorted(policy_set.tables))}")


def _record(given: Mapping[str, Any], jwks: Mapping[str, Any]) -> ClientRecord:
    last_day: date = given["expires"].date()
    return ClientRecord(
        client_id=given["client_id"],
        organisation_id=given["organisation_id"],
        name=given["name_vi"],
        scopes=tuple(dict.fromkeys(given["scopes"])),
        agreement_ids=tuple(dict.fromkeys(given["agreements"])),
        client_metadata={
            "grant_types": [CLIENT_CREDENTIALS],
            "token_endpoint_auth_method": PRIVATE_KEY_JWT,
            "dpop_bound_access_tokens": True,
            "jwks": dict(jwks),
        },
        expires_at=datetime.combine(last_day + timedelta(days=1), time(), VIET_NAM),
    )


def _jwks(
    path: Path | None, generate: Path | None, algorithm: Algorithm, client_id: str
) -> Mapping[str, Any]:
    if path is not None:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise CommandRefused("the JWK set is larger than 64 KiB", 2)
        return registrable_jwks(path.read_text(encoding="utf-8", errors="replace"))
    if generate is None:
        raise click.UsageError("give either --jwks or --generate-key")
    key = generate_private_key(algorithm)
    private = {**key.as_dict(private=True), "kid": key.thumbprint(), "alg": algorithm, "client_id": client_id}
    try:
        handle = os.open(generate, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as fault:
        raise CommandRefused(f"{generate}: {fault.strerror}", 2) from None
    with os.fdopen(handle, "w", encoding="ascii") as file:
        file.write(json.dumps(private, indent=2) + "\n")
    return registrable_jwks(json.dumps(key.as_dict(private=False)))


def _row(record: ClientRecord) -> dict[str, Any]:
    keys = record.client_metadata.get("jwks", {}).get("keys", [])
    return {
        "client_id": record.client_id,
        "organisation_id": record.organisation_id,
        "name": record.name,
        "status": record.status,
        "scopes": list(record.scopes),
        "agreement_ids": list(record.agreement_ids),
        "key_ids": [key["kid"] for key in keys],
        "expires_at": record.expires_at,
    }
