"""`broker sign`: what a client signs, for whoever asks the authorization server by hand, with curl."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TextIO
from urllib.parse import urlsplit

import click

from broker.cli.caller import ClientKey, KeyUnreadable
from broker.cli.output import CommandRefused
from broker.clock import system_clock

_EPILOG = """\b
Example: a pushed authorization request with curl
  curl -s "$ISSUER/oauth/par" \\
    -d client_assertion_type=urn:ietf:params:oauth:client-assertion-type:jwt-bearer \\
    -d client_assertion="$(broker sign assertion --key bank.jwk --issuer "$ISSUER")" \\
    -H "DPoP: $(broker sign proof POST "$ISSUER/oauth/par" --key bank.jwk)" \\
    -d response_type=code -d ...
The whole flow: docs/examples/read_by_consent.sh
"""

key_option = click.option(
    "--key", "key_file", type=click.Path(path_type=Path, exists=True), required=True, help="Private JWK."
)


@click.group(epilog=_EPILOG)
def sign_group() -> None:
    """Sign client assertions and DPoP proofs: each is good for one request, and not for long."""


@sign_group.command("assertion")
@key_option
@click.option("--issuer", required=True, help="Issuer, exactly as in the metadata: the audience.")
@click.option("--client-id", help="Client to act as; default: member client_id of the key file.")
def assertion_command(key_file: Path, issuer: str, client_id: str | None) -> None:
    """Print a client assertion (RFC 7523): the parameter client_assertion of one request.

    Goes to every endpoint at which clients authenticate: pushed requests, token, introspection, revocation.
    """
    key, name = read_key(key_file, client_id)
    click.echo(key.assertion(name, issuer.rstrip("/"), system_clock()))


@sign_group.command("proof")
@click.argument("method")
@click.argument("url")
@key_option
@click.option("--token", help="Access token that the request carries, at a resource.")
@click.option(
    "--token-file", type=click.File("r", encoding="ascii"), help="The same from a file, - for standard input."
)
@click.option("--nonce", help="The server's last DPoP-Nonce, where it asks for one.")
def proof_command(
    method: str, url: str, key_file: Path, token: str | None, token_file: TextIO | None, nonce: str | None
) -> None:
    """Print a DPoP proof (RFC 9449) for METHOD and URL: the header field DPoP of one request."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.netloc:
        raise click.UsageError("URL must be absolute: https://...")
    if token is not None and token_file is not None:
        raise click.UsageError("give one of --token and --token-file")
    key, _ = read_key(key_file, "")
    if token_file is not None:
        token = token_file.read().strip()
    click.echo(key.proof(method.upper(), url.split("#")[0], system_clock(), token, nonce))


def read_key(path: Path, client_id: str | None) -> tuple[ClientKey, str]:
    """Return the private key in a file, and the client to act as: the one given, or the one it names.

    Raises CommandRefused, UsageError.
    """
    text = path.read_text(encoding="utf-8", errors="replace")
    try:
        key = ClientKey.read(text)
    except KeyUnreadable as fault:
        raise CommandRefused(f"{path}: {fault}", 2) from None
    named = json.loads(text).get("client_id")
    found = client_id if client_id is not None else named
    if not isinstance(found, str):
        raise click.UsageError("--client-id is needed: the key file does not name one")
    return key, found
