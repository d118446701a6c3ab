"""Time stamps that somebody hands to `broker evidence`: tokens, and the authorities that count."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from broker.cli.evidence_given import InputUnreadable, read_bytes, read_text
from broker.evidence.reasons import EvidenceInvalid
from broker.evidence.signed_note import NOTE_BYTES_MAX
from broker.evidence.timestamps import Stamped, TimeStamp, parse_consistency
from broker.timestamp_tokens import TOKEN_BYTES_MAX, StampTrust, opener


def read_timestamp(given: Mapping[str, Any]) -> TimeStamp | None:
    """Return the time stamp that options of verify name, or None where none is given.

    given: by the names of the options. Raises InputUnreadable, click.UsageError.
    """
    told = {name.removeprefix("timestamp").removeprefix("_"): value for name, value in given.items()}
    if told[""] is None:
        if any(value is not None for value in told.values()):
            raise click.UsageError("say which time stamp: --timestamp")
        return None
    trust = read_trust(told["roots"], told["policy"])
    if trust is None:
        raise click.UsageError("say whose time stamps count: --timestamp-roots")
    checkpoint, consistency = told["checkpoint"], told["consistency"]
    if checkpoint is None and consistency is not None:
        raise click.UsageError("--timestamp-consistency goes with --timestamp-checkpoint")
    return TimeStamp(
        opener(read_bytes(told[""], TOKEN_BYTES_MAX), trust),
        None if checkpoint is None else read_bytes(checkpoint, NOTE_BYTES_MAX),
        () if consistency is None else _consistency(consistency),
    )


def read_trust(roots: Path | None, policy: str | None) -> StampTrust | None:
    """Return the authorities that a file of certificates names, or None where none is given.

    Raises InputUnreadable, click.UsageError.
    """
    if roots is None:
        if policy is not None:
            raise click.UsageError("--timestamp-policy goes with --timestamp-roots")
        return None
    try:
        return StampTrust.of(read_text(roots), policy or "")
    except ValueError:
        raise InputUnreadable(f"{roots}: no certificate in PEM") from None


def stamp_told(stamped: Stamped) -> dict[str, str]:
    """Return a time stamp as it stands in JSON."""
    at = stamped.at.isoformat().replace("+00:00", "Z")
    return {"at": at, "policy": stamped.policy, "authority": stamped.authority}


def _consistency(path: Path) -> tuple[bytes, ...]:
    try:
        return parse_consistency(read_text(path))
    except EvidenceInvalid as broken:
        raise InputUnreadable(f"{path}: {broken.detail}", broken.reason) from None
