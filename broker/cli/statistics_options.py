"""Options that all commands have with which a client asks for statistics, and the door they open."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar, get_args
from urllib.parse import urlsplit

import click

from broker.cli.caller import Caller
from broker.cli.demo_steps import Lang
from broker.cli.sign import key_option, read_key
from broker.cli.statistics_door import SCOPE, StatisticsDoor

F = TypeVar("F", bound=Callable[..., object])
_SECONDS: Final = 60.0


@dataclass(frozen=True, slots=True)
class Client:
    """Who asks whom. ca: certificates to trust, PEM; None: those of the machine."""

    issuer: str
    key_file: Path
    client_id: str | None
    ca: Path | None
    lang: Lang


def client_options(command: F) -> F:
    """Give a command the options of a client; it is called with them as one `client`."""
    options: list[Callable[[Any], Any]] = [
        click.option("--issuer", required=True, help="URL of the broker."),
        key_option,
        click.option("--client-id", help="Client to act as; default: member client_id of the key file."),
        click.option(
            "--ca", type=click.Path(path_type=Path, exists=True), help="Certificates to trust, PEM."
        ),
        click.option(
            "--lang",
            type=click.Choice(get_args(Lang)),
            default="vi",
            show_default=True,
            help="Language of tables, charts and refusals.",
        ),
        click.option("--json", "as_json", is_flag=True, help="Answer in JSON."),
    ]
    for option in reversed(options):
        command = option(command)
    return command


@contextmanager
def open_door(client: Client) -> Iterator[StatisticsDoor]:
    """Yield the door for a client. Raises UsageError, CommandRefused."""
    parts = urlsplit(client.issuer)
    if parts.scheme not in ("http", "https") or not parts.netloc:
        raise click.UsageError("--issuer must be absolute: https://...")
    key, client_id = read_key(client.key_file, client.client_id)
    caller = Caller(
        issuer=client.issuer.rstrip("/"),
        client_id=client_id,
        key=key,
        scope=SCOPE,
        timeout_seconds=_SECONDS,
        tls=None if client.ca is None else ssl.create_default_context(cafile=str(client.ca)),
    )
    try:
        yield StatisticsDoor(caller, client.lang)
    finally:
        caller.close()
