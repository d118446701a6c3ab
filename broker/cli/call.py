"""`broker call`: ask the broker something by hand, with token and proof made on the way."""

from __future__ import annotations

import json
import ssl
import sys
from http.client import HTTPException
from pathlib import Path
from typing import IO, TextIO
from urllib.parse import urlsplit

import click

from broker.cli.caller import Answer, Caller, TokenRefused
from broker.cli.output import CommandRefused
from broker.cli.sign import key_option, read_key

_EPILOG = """Exit codes: 0 for 2xx, 3, 4 or 5 for 3xx, 4xx or 5xx, 1 no answer, 2 wrong usage.

\b
Example:
  broker call POST http://127.0.0.1:8000/v1/entitlement-checks \\
    --key hospital-a.jwk --scope verify_entitlement --json request.json
  broker call GET http://127.0.0.1:8000/v1/token-info --key bank.jwk --token-file access_token
"""


@click.command(epilog=_EPILOG)
@click.argument("method")
@click.argument("url")
@key_option
@click.option("--client-id", help="Client to act as; default: member client_id of the key file.")
@click.option("--scope", "scopes", multiple=True, help="Scope that the URL needs; repeatable.")
@click.option(
    "--token-file",
    type=click.File("r", encoding="ascii"),
    help="Use the access token in this file instead of a fresh one; - for standard input.",
)
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
    token_file: TextIO | None,
    issuer: str | None,
    body_file: IO[bytes] | None,
    accept: str,
    ca: Path | None,
    raw: bool,
) -> None:
    """Send METHOD to URL as a registered client and print the answer.

    Finds the token endpoint in the issuer's metadata, gets an access token with the client's private key,
    signs a DPoP proof and sends the request. The status goes to standard error, the body to standard output.
    A token that rests on a citizen's consent comes with --token-file; `broker sign` helps to get one.
    """
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.netloc:
        raise click.UsageError("URL must be absolute: https://...")
    if bool(scopes) == (token_file is not None):
        raise click.UsageError("give --scope for a fresh token, or --token-file")
    key, client_id = read_key(key_file, client_id)
    token = None if token_file is None else token_file.read().strip()
    caller = Caller(
        issuer=(issuer or f"{parts.scheme}://{parts.netloc}").rstrip("/"),
        client_id=client_id,
        key=key,
        scope=" ".join(scopes),
        tls=None if ca is None else ssl.create_default_context(cafile=str(ca)),
    )
    body = None if body_file is None else body_file.read()
    try:
        answer = caller.request(method.upper(), url, body, {"Accept": accept}, token=token)
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
