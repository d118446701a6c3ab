"""`broker client rotate` and `extend`: a client that stays, with other keys or for longer."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from typing import Any

import click

from broker.cli.client_files import NewKey, look_at_published_keys, read_document, row_of
from broker.cli.output import EXIT_CODES, refusals, show
from broker.cli.session import open_session
from broker.oauth.jose_keys import ALGORITHMS
from broker.oauth.registration import registrable_jwks
from broker.storage.clients import PostgresClients, expiry_of

_EPILOG = f"""{EXIT_CODES}

\b
Without a moment in which neither key works:
  broker client rotate hospital-a --jwks new.jwks --keep-old
  (the hospital signs with the new key from now on)
  broker client rotate hospital-a --retire OLD_KID
"""


@click.command(epilog=_EPILOG)
@click.argument("client_id")
@click.option(
    "--jwks",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="Its new PUBLIC keys, a JWK set.",
)
@click.option("--jwks-uri", help="https URL at which it publishes its public keys from now on.")
@click.option(
    "--generate-key", type=click.Path(path_type=Path), help="Write a fresh PRIVATE key here (demos)."
)
@click.option("--algorithm", type=click.Choice(ALGORITHMS), default="ES256", help="For --generate-key.")
@click.option("--keep-old", is_flag=True, help="Old keys stay beside the new ones.")
@click.option("--retire", multiple=True, help="kid of an old key to take out, all others stay; repeatable.")
@click.option("--json", "as_json", is_flag=True, help="Print the client as JSON.")
def rotate_command(
    client_id: str,
    jwks: Path | None,
    jwks_uri: str | None,
    generate_key: Path | None,
    algorithm: Any,
    keep_old: bool,
    retire: tuple[str, ...],
    as_json: bool,
) -> None:
    """Exchange a client's keys; counts from its next token request on.

    Without --keep-old or --retire the new keys take the place of the old ones at once. After a leak suspend
    the client first: that also ends its tokens.
    """
    sources = [one for one in (jwks, jwks_uri, generate_key) if one is not None]
    if len(sources) > 1 or not (sources or retire):
        raise click.UsageError("give one of --jwks, --jwks-uri and --generate-key, or --retire alone")
    if jwks_uri is not None and (keep_old or retire):
        raise click.UsageError("--jwks-uri: the client publishes old and new keys there itself")
    with refusals(), open_session() as session:
        new_key = None if generate_key is None else NewKey.generate(algorithm)
        new = new_key.jwks if new_key is not None else None
        if jwks is not None:
            new = registrable_jwks(json.dumps(read_document(jwks)))
        if new_key is not None and generate_key is not None:
            new_key.write(generate_key, client_id)
        try:
            record = PostgresClients(session.engine, session.acts).replace_keys(
                client_id, jwks=new, jwks_uri=jwks_uri or "", keep_old=keep_old, retire=retire
            )
        except Exception:
            if generate_key is not None:
                generate_key.unlink()
            raise
        if jwks_uri is not None:
            look_at_published_keys(session.settings, jwks_uri)
    show([row_of(record)], as_json)


@click.command(epilog=EXIT_CODES)
@click.argument("client_id")
@click.option("--expires", required=True, type=click.DateTime(["%Y-%m-%d"]), help="Last day, YYYY-MM-DD.")
def extend_command(client_id: str, expires: datetime) -> None:
    """Set the last day of a client's registration, earlier or later than it was."""
    with refusals(), open_session() as session:
        PostgresClients(session.engine, session.acts).extend_client(client_id, expiry_of(expires.date()))
    click.echo(f"{client_id} is registered until {expires:%Y-%m-%d}")
