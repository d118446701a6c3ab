"""`broker evidence audit`: a whole log read again from its files, and held against what the auditor kept."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from broker.cli.evidence_given import InputUnreadable, read_bytes
from broker.evidence.canonical import ENTRY_BYTES_MAX
from broker.evidence.checkpoint import Checkpoint, SignedCheckpoint, open_checkpoint
from broker.evidence.cosignature import Witnessed, check_witnesses
from broker.evidence.log_replay import EMPTY_EDGE, Finding, Step, replayed
from broker.evidence.merkle import HASH_BYTES
from broker.evidence.reasons import EvidenceInvalid, Reason
from broker.evidence.resuming import check_begins, edge_of
from broker.evidence.signed_note import NOTE_BYTES_MAX
from broker.evidence.tiles import ENTRIES, TILE_WIDTH, Tile, TileReader, tiles_of
from broker.evidence.tree import RightEdge
from broker.evidence.verifier import Trust
from connectors.log_files import DirectoryFiles, FindFile, HttpFiles, reading_ahead

CHECKPOINT: Final = "checkpoint"
WITNESSED: Final = "witnessed-checkpoint"
BUNDLE_BYTES_MAX: Final = TILE_WIDTH * (ENTRY_BYTES_MAX + 2)
_TILE_BYTES_MAX: Final = TILE_WIDTH * HASH_BYTES


@dataclass(frozen=True, slots=True)
class Kept:
    """A checkpoint that the auditor kept, opened; place: where it lies."""

    opened: SignedCheckpoint
    place: str


@dataclass(frozen=True, slots=True)
class Head:
    """The checkpoint up to which the log is read, and what was found out about it already.

    witnessed: the one that `witnesses` cosigned: the same, or the log's newest of which they are enough.
    """

    opened: SignedCheckpoint
    witnesses: tuple[Witnessed, ...]
    findings: tuple[Finding, ...]
    witnessed: SignedCheckpoint | None = None


class NothingToReplay(Exception):
    """The log has no checkpoint that anybody signed, so there is nothing to hold its files against."""

    def __init__(self, finding: Finding) -> None:
        super().__init__(finding.reason)
        self.finding = finding


@contextmanager
def files_of(place: str, authorities: str) -> Iterator[tuple[FindFile, bool]]:
    """Give what reads a log's files, and whether they are far away. place: a directory or an https address.

    authorities: certificates in PEM, "" for the system's. Raises InputUnreadable, LogUnreadable.
    """
    if "://" in place:
        yield HttpFiles(place, authorities=authorities).find, True
        return
    directory = Path(place)
    if not directory.is_dir():
        raise InputUnreadable(f"{place}: no directory, and no https address")
    yield DirectoryFiles(directory).find, False


def read_kept(paths: Sequence[Path], trust: Trust) -> list[Kept]:
    """Return the checkpoints in files that the auditor kept.

    Raises InputUnreadable for one that is none, or that the log has not signed: what one has kept oneself
    is no fault of the log's.
    """
    found = []
    for path in paths:
        try:
            found.append(Kept(open_checkpoint(read_bytes(path, NOTE_BYTES_MAX), trust.log_keys), str(path)))
        except EvidenceInvalid as broken:
            raise InputUnreadable(f"{path}: {broken.detail or broken.reason}", broken.reason) from None
    return found


def find_head(find: FindFile, kept: Sequence[Kept], trust: Trust) -> Head:
    """Return the log's newest checkpoint; where the log publishes none, the largest that was kept.

    Raises NothingToReplay, LogUnreadable.
    """
    are_asked_for = bool(trust.witness_keys or trust.witnesses_needed)
    # Read before the newest: a log that grows meanwhile is not to look as if it had lost something.
    earlier = find(WITNESSED, NOTE_BYTES_MAX) if are_asked_for else None
    content = find(CHECKPOINT, NOTE_BYTES_MAX)
    findings: list[Finding] = []
    if content is None:
        if not kept:
            raise NothingToReplay(Finding("checkpoint_malformed", CHECKPOINT, None, "there is none"))
        opened = max((one.opened for one in kept), key=lambda one: one.checkpoint.tree_size)
        findings.append(
            Finding("checkpoint_malformed", CHECKPOINT, None, "there is none; the last kept is used")
        )
    else:
        try:
            opened = open_checkpoint(content, trust.log_keys)
        except EvidenceInvalid as broken:
            raise NothingToReplay(Finding(broken.reason, CHECKPOINT, None, broken.detail)) from None
    if not are_asked_for:
        return Head(opened, (), tuple(findings))
    try:
        witnessed, witnesses = _witnessed(opened, earlier, trust)
    except EvidenceInvalid as broken:
        findings.append(Finding(broken.reason, CHECKPOINT, opened.checkpoint.tree_size, broken.detail))
        return Head(opened, (), tuple(findings))
    return Head(opened, witnesses, tuple(findings), witnessed)


def _witnessed(
    opened: SignedCheckpoint, earlier: bytes | None, trust: Trust
) -> tuple[SignedCheckpoint, tuple[Witnessed, ...]]:
    """Return the newest checkpoint that enough witnesses cosigned, and them.

    A log goes on while its witnesses answer: the newest checkpoint may not have been cosigned yet, and then
    the newest that was is published beside it (earlier). Raises EvidenceInvalid.
    """
    try:
        return opened, check_witnesses(opened.note, trust.witness_keys, trust.witnesses_needed)
    except EvidenceInvalid as broken:
        if earlier is None or broken.reason != "witnesses_missing":
            raise
    before = open_checkpoint(earlier, trust.log_keys)
    return before, check_witnesses(before.note, trust.witness_keys, trust.witnesses_needed)


def read_since(
    read: TileReader, kept: Sequence[Kept], since: int, head: Head
) -> tuple[RightEdge | None, list[Finding]]:
    """Return the edge from which a replay goes on, and what speaks against the checkpoints kept before it.

    since: size of a checkpoint among the kept ones, 0 for a replay from the first entry. The edge is None
    where the log's tiles do not give it, or the log is smaller. Raises InputUnreadable where none was kept.
    """
    if since == 0:
        return EMPTY_EDGE, []
    bases = [one.opened.checkpoint for one in kept if one.opened.checkpoint.tree_size == since]
    if not bases:
        raise InputUnreadable(f"--since {since} needs a --checkpoint of that size that you kept")
    base = bases[0]
    if since > head.opened.checkpoint.tree_size:
        return None, [Finding("checkpoint_beyond_log", base.origin, since)]
    try:
        edge = edge_of(read, base)
    except EvidenceInvalid as broken:
        return None, [Finding(broken.reason, base.origin, since, broken.detail)]
    findings = []
    witnessed = [] if head.witnessed is None else [head.witnessed.checkpoint]
    for older in (*(one.opened.checkpoint for one in kept), *witnessed):
        if older.tree_size < since:
            try:
                check_begins(read, older, base)
            except EvidenceInvalid as broken:
                findings.append(Finding(broken.reason, older.origin, older.tree_size, broken.detail))
    return edge, findings


def tile_reader(find: FindFile) -> TileReader:
    """Return what reads tiles and bundles of a log by their names."""
    return lambda tile: find(*_asked(tile))


@contextmanager
def replay_of(
    find: FindFile,
    head: Head,
    kept: Sequence[Kept],
    edge: RightEdge,
    stamped: Sequence[Checkpoint] = (),
    *,
    is_far: bool,
) -> Iterator[Iterator[Step]]:
    """Give the steps of a replay from an edge to the head; files that are far away are read ahead."""
    others = [*(one.opened.checkpoint for one in kept), *stamped]
    if head.witnessed is not None:
        others.append(head.witnessed.checkpoint)
    checkpoint = head.opened.checkpoint
    if not is_far:
        yield replayed(tile_reader(find), checkpoint, others, edge)
        return
    with reading_ahead(find, _coming(checkpoint.tree_size, edge.size)) as ahead:
        yield replayed(tile_reader(ahead), checkpoint, others, edge)


def keep(path: Path, head: Head) -> None:
    """Write the head's signed checkpoint for the next audit, whole or not at all. Raises InputUnreadable."""
    try:
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(handle, "wb") as opened:
                opened.write(head.opened.note.content)
            Path(temporary).replace(path)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise
    except OSError as fault:
        raise InputUnreadable(f"{path}: {fault.strerror}") from None


def is_of_entry(reason: Reason) -> bool:
    """Return whether a finding's number is the index of an entry, and not the size of a checkpoint."""
    return reason.startswith("entry_")


def _asked(tile: Tile) -> tuple[str, int]:
    return tile.path, BUNDLE_BYTES_MAX if tile.level == ENTRIES else _TILE_BYTES_MAX


def _coming(tree_size: int, since: int) -> Iterator[tuple[str, int]]:
    """Yield the files that a replay asks for, in its order, those of higher levels left out."""
    for bundle in tiles_of(tree_size, ENTRIES, since // TILE_WIDTH):
        yield _asked(Tile(0, bundle.index, bundle.width))
        yield _asked(bundle)
