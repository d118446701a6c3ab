"""What the commands of `broker evidence` share: options, exit codes, and how an instant is told."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import click

DOES_NOT_HOLD: Final = 1
UNREADABLE: Final = 2

file_type = click.Path(path_type=Path)
lang_option = click.option(
    "--lang", type=click.Choice(["vi", "en"]), default="vi", show_default=True, help="Language of the words."
)
json_option = click.option("--json", "as_json", is_flag=True, help="Answer in JSON.")
vkey_option = click.option(
    "--vkey", "vkeys", multiple=True, metavar="KEY",
    help="Verifier key of a log (name+id+base64), or a file with one on each line; repeatable.",
)  # fmt: skip
witness_option = click.option(
    "--witness-vkey", "witness_vkeys", multiple=True, metavar="KEY",
    help="Verifier key of a witness, or a file with one on each line; repeatable.",
)  # fmt: skip
needed_option = click.option(
    "--witnesses-needed", type=click.IntRange(0, 100),
    help="How many of these witnesses must have cosigned; default: all of them.",
)  # fmt: skip

timestamp_roots_option = click.option(
    "--timestamp-roots", type=file_type,
    help="Certificates in PEM of the authorities whose time stamps count.",
)  # fmt: skip
timestamp_policy_option = click.option(
    "--timestamp-policy", metavar="OID",
    help="Policy under which a time stamp must have been issued; default: any.",
)  # fmt: skip


def instant(at_seconds: int) -> str:
    """Return an instant for people and programs; a witness may tell one that no calendar has."""
    try:
        return datetime.fromtimestamp(at_seconds, UTC).isoformat().replace("+00:00", "Z")
    except (OverflowError, ValueError, OSError):
        return str(at_seconds)
