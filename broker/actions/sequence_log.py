"""Orders entries into the log: positions, tiles, checkpoint; each shard a tree of its own.

The order of writing is the proof that no fork is ever signed: positions are committed, then tiles written and
read again, then the checkpoint signed, then the head swapped in a store of its own, then published. Each
round starts from what lies there, never from what a process remembers, so that going on after a crash is the
same code as going on. What must not be gone on with raises LogStopped.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from broker.actions.log_doors import Files, FilesOf, Follower, Heads, Lease, Positions, Signer
from broker.actions.log_patrol import Patrol
from broker.actions.log_shard import (
    checked_edge,
    cosigned_note,
    last_entries,
    missed_publication,
    renewed_note,
)
from broker.errors import LogStopped
from broker.evidence.checkpoint import Checkpoint, shard_origin, signed_checkpoint
from broker.evidence.log_replay import check_written
from broker.evidence.merkle import EMPTY_ROOT, leaf_hashes
from broker.evidence.reasons import EvidenceInvalid
from broker.evidence.sequencing import LogHead, Strange
from broker.evidence.signed_note import parse_note
from broker.evidence.tree import RightEdge, grown, grown_bundles

GROWTH: Final = 16_384
"""Entries that one checkpoint takes in at most."""


@dataclass(frozen=True, slots=True)
class Round:
    """What one round did. entries: merged, in signed and published trees now. has_more: go on at once.

    has_lease: False if another sequencer is at work; nothing was done then.
    """

    has_lease: bool
    entries: int = 0
    checkpoints: int = 0
    has_more: bool = False
    strange: tuple[Strange, ...] = ()


@dataclass(frozen=True, slots=True)
class Sequencer:
    """Everything that ordering needs. host: of the log's origins. clock: gives the present instant."""

    host: str
    lease: Lease
    positions: Positions
    heads: Heads
    files: FilesOf
    signer: Signer
    clock: Callable[[], datetime]
    followers: Sequence[Follower] = ()
    patrol: Patrol = field(default_factory=Patrol)

    def create(self, year: int, announce: Callable[[int], None] = lambda _year: None) -> LogHead | None:
        """Make the empty tree of a year; return None, and change nothing, if there is one.

        announce: records, in another store, that it is about to be made; where that fails nothing is made.
        Raises LogStopped where positions or files of such a shard are there without its head,
        EvidenceInvalid (origin_malformed), SigningKeyUnavailable, StoreUnavailable.
        """
        origin = shard_origin(self.host, year)
        if any(head.checkpoint.origin == origin for head in self.heads.find(self.host)):
            return None
        if self.positions.size(year) or self.files(origin).checkpoint() is not None:
            raise LogStopped(
                f"{origin} has positions or published files, but no head: the head store is another one than "
                "before, or was restored from before the shard was made. Give it its newest backup"
            )
        self.positions.begin()
        head = self._signed(Checkpoint(origin, 0, EMPTY_ROOT))
        announce(year)
        if not self.heads.create(head):
            return None
        self._publish(self.files(origin), head)
        return head

    def run(self) -> Round:
        """Do one round: place the next entries, and let every shard grow by what has positions.

        Raises LogStopped where nothing may be signed until somebody has looked; StoreUnavailable and
        SigningKeyUnavailable, after which the next round takes up what this one left.
        """
        if not self.lease.hold():
            return Round(has_lease=False)
        heads = self.heads.find(self.host)
        if not heads:
            raise LogStopped(f"there is no log of {self.host}: broker log create")
        shards = [(head, self._checked(head)) for head in heads]
        self.patrol.look(heads, self.positions, self.files)
        placed = self.positions.place(frozenset(head.year for head in heads))
        merged = checkpoints = 0
        has_more = placed.has_more
        sizes: dict[int, int] = {}
        for head, edge in shards:
            count = self._grow(head, edge)
            merged += count
            checkpoints += bool(count)
            has_more = has_more or count == GROWTH
            sizes[head.year] = head.checkpoint.tree_size + count
        if placed.complete_at is not None and not has_more:
            # All of it is published by now: only then is it told to whoever asks before a release.
            self.positions.note_published(sizes, placed.complete_at)
        return Round(True, merged, checkpoints, has_more, placed.strange)

    def _checked(self, head: LogHead) -> RightEdge:
        """Hold positions, tiles and published checkpoint against a head; return the edge of its tree.

        What was signed and not published is published; what a withdrawn key signed is signed anew.
        """
        signed = head.checkpoint
        size, files = self.positions.size(head.year), self.files(signed.origin)
        if size < signed.tree_size:
            raise LogStopped(
                f"{signed.origin} has signed {signed.tree_size} entries, but only {size} have positions: the "
                "broker's database was restored from an older state, and entries are missing. Bring its "
                "newest state back, or end this shard and note the gap"
            )
        edge = checked_edge(files, head)
        head = self._signed_anew(head)
        if missed_publication(files, head):
            self._publish(files, head)
        if (renewed := renewed_note(files, head)) is not None:
            files.renew_witnessed(renewed)
        if (fuller := cosigned_note(files, head)) is not None:
            files.publish(fuller)
        return edge

    def _signed_anew(self, head: LogHead) -> LogHead:
        """Return the head, and where its key was withdrawn the same tree under the present one.

        So proofs of what stands in it do not wait for the next entry, and those of a closed year for ever.
        The new head is swapped in before it is published: a crash in between is a publication that was
        missed.
        """
        signed, note = head.checkpoint, parse_note(head.note)
        if any(note.by(key) for key in self.signer.keys(signed.origin)):
            return head
        after = self._signed(signed)
        if not self.heads.swap(head, after):
            raise LogStopped(
                f"the head of {signed.origin} is no longer at {signed.tree_size}: another sequencer is at "
                "work, and this one does not sign anew"
            )
        return after

    def _grow(self, head: LogHead, edge: RightEdge) -> int:
        """Take the entries that have positions behind a head into its tree; return how many."""
        before, files = head.checkpoint, self.files(head.checkpoint.origin)
        entries = self.positions.entries(head.year, before.tree_size, GROWTH)
        if not entries:
            return 0
        growth = grown(edge, leaf_hashes(entries))
        bundles = grown_bundles(edge.size, last_entries(files, edge.size), entries)
        files.write({**bundles, **growth.tiles})
        try:
            check_written(files.read, edge, growth.edge)
        except EvidenceInvalid as broken:
            raise LogStopped(
                f"what was written for {before.origin} reads differently ({broken}): look at the disk before "
                "anything is signed"
            ) from None
        after = self._signed(Checkpoint(before.origin, growth.edge.size, growth.root_hash))
        if not self.heads.swap(head, after):
            raise LogStopped(
                f"the head of {before.origin} is no longer at {before.tree_size}: another sequencer is at "
                "work, and nothing of this one is published"
            )
        self._publish(files, after)
        files.drop_partial([tile for tile in (*bundles, *growth.tiles) if tile.is_full])
        return len(entries)

    def _signed(self, checkpoint: Checkpoint) -> LogHead:
        key, sign = self.signer(checkpoint.origin)
        note = signed_checkpoint(checkpoint, key, sign)
        return LogHead(checkpoint, note.content, self.clock())

    def _publish(self, files: Files, head: LogHead) -> None:
        if not files.publish(head.note):
            return  # this process slept, and another one is ahead of it
        for follower in self.followers:
            follower.published(head)
