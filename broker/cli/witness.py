"""`broker witness`: be a witness for somebody else's log, with a key and a memory of one's own."""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from broker.cli.evidence_given import InputUnreadable, read_keys
from broker.cli.evidence_options import file_type, json_option
from broker.cli.output import CommandRefused, show
from broker.evidence.signed_note import LOG_SIGNATURE
from broker.setting_readers import read_bind
from broker.witness.key import SEED_BYTES, KeyUnusable, WitnessKey, new_key, read_key, write_key
from broker.witness.serving import Serving, WitnessServer
from broker.witness.store import StateBroken, WitnessStore

directory_option = click.option(
    "--directory",
    type=click.Path(file_okay=False, path_type=Path),
    required=True,
    help="What this witness remembers; on a local disk, in no backup that is ever restored.",
)
key_option = click.option(
    "--key-file", type=file_type, required=True, help="The private key of this witness."
)


@click.group()
def witness_group() -> None:
    """Watch the log of another organisation grow, and cosign what it was never able to rewrite.

    A witness needs no broker, no database and no setting: a key, a directory, and the log's public key.

    \b
    broker witness key create --name witness.example/w1 --key-file witness.key
    broker witness watch "$(cat log.vkey)" --directory /var/lib/witness
    broker witness serve --directory /var/lib/witness --key-file witness.key --bind 127.0.0.1:8300

    Never restore the directory from a backup, and never copy it to a second machine: a witness that forgot
    what it cosigned could cosign another history. If it is lost, make a new key, under a new name.

    Exit codes: 0 done, 1 failed, 2 wrong usage.
    """  # noqa: D301 - click reads the backspace as "keep these lines"


@witness_group.group("key")
def key_group() -> None:
    """Make and show the key of this witness."""


@key_group.command("create")
@click.option("--name", required=True, help="Name of the witness: a host and a path, witness.example/w1.")
@key_option
def create_command(name: str, key_file: Path) -> None:
    """Make a key in a new file that nobody else may read, and print the verifier key that others need."""
    with _refusals():
        key = new_key(name, secrets.token_bytes(SEED_BYTES))
        write_key(key_file, key)
    click.echo(key.verifier.vkey)


@key_group.command("show")
@key_option
def show_command(key_file: Path) -> None:
    """Print the verifier key: what logs and verifiers must know of this witness."""
    click.echo(_key(key_file).verifier.vkey)


@witness_group.command("watch")
@click.argument("keys", metavar="KEY", nargs=-1, required=True)
@directory_option
def watch_command(keys: Sequence[str], directory: Path) -> None:
    """Begin to watch logs: KEY is the verifier key of one, or a file with one on each line.

    A log that is watched already gets a further key, for while it exchanges its own. Each year's shard is a
    log of its own: say this every year. It works at once, also while the witness is served.
    """
    with _refusals():
        logs = read_keys(keys, LOG_SIGNATURE)
        directory.mkdir(parents=True, exist_ok=True)
        store = WitnessStore(directory)
        for key in logs:
            is_new = store.watch(key)
            click.echo(f"{'watching' if is_new else 'watched already'}: {key.name}")


@witness_group.command("logs")
@directory_option
@json_option
def logs_command(directory: Path, as_json: bool) -> None:
    """List the logs that are watched, and what was cosigned last of each."""
    with _refusals():
        rows: list[dict[str, Any]] = [
            {
                "origin": log.origin,
                "tree_size": log.state.tree_size,
                "root_hash": log.state.root_hash.hex(),
                "keys": [key.vkey for key in log.keys],
            }
            for log in WitnessStore(directory).watched()
        ]
    show(rows, as_json)


@witness_group.command("serve")
@directory_option
@key_option
@click.option("--bind", default="127.0.0.1:8300", show_default=True, help="Address and port to listen on.")
@click.option("--workers", type=click.IntRange(1, 16), default=1, show_default=True, help="Processes.")
@click.option("--threads", type=click.IntRange(1, 64), default=4, show_default=True, help="Threads of each.")
def serve_command(directory: Path, key_file: Path, bind: str, workers: int, threads: int) -> None:
    """Serve POST /add-checkpoint (C2SP tlog-witness) and GET /healthz until told to stop.

    Speaks HTTP: a proxy in front ends TLS and bounds what clients may take. A cosignature leaves only when
    the checkpoint is on disk. SIGTERM finishes the requests under way.
    """
    key = _key(key_file)
    with _refusals():
        if not directory.is_dir():
            raise CommandRefused(f"{directory}: no directory; broker witness watch makes it", 2)
        count = sum(1 for _ in WitnessStore(directory).watched())
    try:
        read_bind(bind)
    except ValueError as fault:
        raise click.UsageError(f"--bind must be {fault}") from None
    click.echo(f"{key.verifier.name} watches {count} logs on http://{bind}", err=True)
    WitnessServer(Serving(directory, key, bind, workers, threads)).run()


def _key(path: Path) -> WitnessKey:
    with _refusals():
        return read_key(path)


@contextmanager
def _refusals() -> Iterator[None]:
    """Turn what key, store and files raise into one plain line."""
    try:
        yield
    except InputUnreadable as fault:
        raise CommandRefused(fault.detail, 2) from None
    except (KeyUnusable, StateBroken) as fault:
        raise CommandRefused(str(fault)) from None
    except OSError as fault:
        raise CommandRefused(f"{fault.filename}: {fault.strerror}") from None
