"""The time stamps of a log in an audit: which there are, and whether each is over a checkpoint of the log."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from broker.cli.evidence_given import InputUnreadable
from broker.cli.evidence_stamps import stamp_told
from broker.evidence.checkpoint import Checkpoint, open_checkpoint
from broker.evidence.log_replay import Finding
from broker.evidence.reasons import EvidenceInvalid
from broker.evidence.signed_note import NOTE_BYTES_MAX
from broker.evidence.timestamps import Stamped
from broker.evidence.verifier import Trust
from broker.storage.log_files import size_of
from broker.storage.log_timestamps import NEWEST, note_path, stamped_sizes, token_path
from broker.timestamp_tokens import TOKEN_BYTES_MAX, StampTrust, opened_token
from connectors.log_files import FindFile


@dataclass(frozen=True, slots=True)
class StampedCheckpoint:
    """A checkpoint that the log signed and an authority stamped, both verified."""

    checkpoint: Checkpoint
    stamped: Stamped


@dataclass(frozen=True, slots=True)
class Stamps:
    """The time stamps that hold, by size, and what is wrong with the others."""

    held: tuple[StampedCheckpoint, ...] = ()
    findings: tuple[Finding, ...] = ()

    @property
    def checkpoints(self) -> tuple[Checkpoint, ...]:
        """What must lie on the log's one history."""
        return tuple(one.checkpoint for one in self.held)


def read_stamps(place: str, find: FindFile, since: int, trust: Trust, authorities: StampTrust) -> Stamps:
    """Return the time stamps of a log over checkpoints of so many entries or more.

    place: a directory, of which all are read, or an address, which tells of the newest. To be read before the
    log's newest checkpoint, which may grow meanwhile. Raises LogUnreadable, InputUnreadable.
    """
    held: list[StampedCheckpoint] = []
    findings: list[Finding] = []
    for size in _sizes(place, find, findings):
        if size < since:
            continue
        try:
            held.append(_opened(find, size, trust, authorities))
        except EvidenceInvalid as broken:
            findings.append(Finding(broken.reason, token_path(size), None, broken.detail))
    return Stamps(tuple(held), tuple(findings))


def told(stamps: Stamps) -> Mapping[str, Any]:
    """Return what an audit tells of time stamps, as it stands in JSON."""
    ends = (stamps.held[0], stamps.held[-1]) if stamps.held else ()
    names = ("first", "last")
    return {
        "count": len(stamps.held),
        **{
            name: {"tree_size": one.checkpoint.tree_size, **stamp_told(one.stamped)}
            for name, one in zip(names, ends, strict=False)
        },
    }


def _sizes(place: str, find: FindFile, findings: list[Finding]) -> Sequence[int]:
    """Return the sizes of which there should be time stamps, the smallest first."""
    sizes: Iterable[int] = ()
    if "://" not in place:
        try:
            sizes = stamped_sizes(Path(place))
        except OSError as fault:
            raise InputUnreadable(f"{place}: {fault.strerror}") from None
    newest = find(NEWEST, NOTE_BYTES_MAX)
    if newest is None:
        return sorted(sizes)
    try:
        return sorted({*sizes, size_of(newest)})
    except EvidenceInvalid as broken:
        findings.append(Finding(broken.reason, NEWEST, None, broken.detail))
        return sorted(sizes)


def _opened(find: FindFile, size: int, trust: Trust, authorities: StampTrust) -> StampedCheckpoint:
    """Return a stamped checkpoint. Raises EvidenceInvalid, LogUnreadable."""
    note, token = find(note_path(size), NOTE_BYTES_MAX), find(token_path(size), TOKEN_BYTES_MAX)
    if note is None or token is None:
        raise EvidenceInvalid("timestamp_malformed", "the checkpoint or its time stamp is missing")
    opened = open_checkpoint(note, trust.log_keys)
    if opened.checkpoint.tree_size != size:
        raise EvidenceInvalid("timestamp_differs", f"the checkpoint is of {opened.checkpoint.tree_size}")
    return StampedCheckpoint(opened.checkpoint, opened_token(token, note, authorities))
