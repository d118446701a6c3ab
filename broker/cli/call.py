"""`broker call`: ask the broker something by hand, with token and proof made on the way."""

from __future__ import annotations

import json
import ssl
import sys
from http.client import HTTPException
from pathlib import Path
from typing import IO
from urllib.parse import urlsplit

import click

from broker.cli.caller import Answer, Caller, ClientKey, KeyUnreadable, TokenRefused
from broker.cli.output import CommandRefused

_EPILOG = """Exit codes: 0 for 2xx, 3, 4 or 5 for 3xx, 4xx or 5xx, 1 no answer, 2 wrong usage.

\b
Example:
  broker call POST http://127.0.0.1:8000/v1/entitlement-checks \\
    --key hospital-a.jwk --scope verify_entitlement --json request.json
"""


@click.command(epilog=_EPILOG)
@click.argument("method")
@click.argument("url")
@click.option(
    "--key", "key_file", type=click.Path(path_type=Path, exists=True), required=True, help="Private JWK."
)
@click.option("--client-id", help="Client to act as; default: member client_id of the key file.")
@click.option("--scope", "scopes", multiple=True, required=True, help="Scope that the URL needs; repeatable.")
@click.option("--issuer", help="URL of the broker; default: scheme and host of URL.")
@click.option(
    "--json", "body_file", type=click.File("rb"), help="File with the JSON body; - for standard input."
)
@click.option("--accept", default="application/json", show_default=True, help="Media type asked for.")
@click.option("--ca", type=click.Path(path_type=Path, exists=True), help="Certificates to trust, PEM.")
@click.option("--raw", is_flag=True, help="Print the body byte for byte.")
def call_command(
    method: str,
    url: str,
    key_file: Path,
    client_id: str | None,
    scopes: tuple[str, ...],
    issuer: str | None,
    body_file: IO[bytes] | None,
    accept: str,
    ca: Path | None,
    raw: bool,
) -> None:
    """Send METHOD to URL as a registered client and print the answer.

    Finds the token endpoint in the issuer's metadata, gets an access token with the client's private key,
    signs a DPoP proof and sends the request. The status goes to standard error, the body to standard output.
    """
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.netloc:
        raise click.UsageError("URL must be absolute: https://...")
    key, key_client_id = _key(key_file)
    client_id = client_id or key_client_id
    if client_id is None:
        raise click.UsageError("--client-id is needed: the key file does not name one")
    caller = Caller(
        issuer=(issuer or f"{parts.scheme}://{parts.netloc}").rstrip("/"),
        client_id=client_id,
        key=key,
        scope=" ".join(scopes),
        tls=None if ca is None else ssl.create_default_context(cafile=str(ca)),
    )
    body = None if body_file is None else body_file.read()
    try:
        answer = caller.request(method.upper(), url, body, {"Accept": accept})
    except TokenRefused as refused:
        raise CommandRefused(
            f"no token: {refused}", refused.status // 100 if refused.status >= 300 else 1
        ) from None
    except (OSError, HTTPException) as fault:
        raise CommandRefused(f"no answer: {type(fault).__name__}: {fault}") from None
    finally:
        caller.close()
    _print(answer, raw)
    sys.exit(0 if answer.status < 300 else answer.status // 100)


def _key(path: Path) -> tuple[ClientKey, str | None]:
    text = path.read_text(encoding="utf-8", errors="replace")
    try:
        key = ClientKey.read(text)
    except KeyUnreadable as fault:
        raise CommandRefused(f"{path}: {fault}", 2) from None
    client_id = json.loads(text).get("client_id")
    return key, client_id if isinstance(client_id, str) else None


def _print(answer: Answer, raw: bool) -> None:
    media_type = answer.headers.get("content-type", "")
    click.echo(f"HTTP {answer.status} {media_type}", err=True)
    if "www-authenticate" in answer.headers:
        click.echo(f"WWW-Authenticate: {answer.headers['www-authenticate']}", err=True)
    if raw or "json" not in media_type:
        sys.stdout.buffer.write(answer.body)
        return
    try:
        click.echo(json.dumps(answer.json(), ensure_ascii=False, indent=2))
    except ValueError:
        sys.stdout.buffer.write(answer.body)
