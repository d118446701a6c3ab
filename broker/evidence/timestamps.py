"""Time stamps over checkpoints (RFC 3161): which bytes are stamped, and what a stamp says of a proof.

A token is opened by a function that comes in from outside, as signing functions do: it needs a library that
hearts do not import. What is stamped is the checkpoint as the log alone signed it, every byte.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, TypeAlias

from broker.evidence.checkpoint import SignedCheckpoint, open_checkpoint
from broker.evidence.merkle import check_consistency
from broker.evidence.reasons import EvidenceInvalid
from broker.evidence.signed_note import Note, VerifierKey, base64_bytes

PROOF_LINES_MAX: Final = 128


@dataclass(frozen=True, slots=True)
class Stamped:
    """What an authority has signed. at: aware, UTC. policy: dotted number. authority: its certificate's name.

    The bytes were there at that instant; the instant may be wrong by what the authority's policy allows.
    """

    at: datetime
    policy: str
    authority: str


OpenToken: TypeAlias = Callable[[bytes], Stamped]
"""Takes the bytes that should be stamped; raises EvidenceInvalid (timestamp_…) if they are not."""


@dataclass(frozen=True, slots=True)
class TimeStamp:
    """A token, and where it is over another checkpoint than the proof's, that checkpoint.

    checkpoint: the stamped bytes, or None for the proof's own. consistency: hashes that lead from the proof's
    tree to the stamped one, where that is larger.
    """

    open: OpenToken
    checkpoint: bytes | None = None
    consistency: Sequence[bytes] = ()


def as_signed_by_log(opened: SignedCheckpoint) -> bytes:
    """Return the bytes of a checkpoint with the lines of its log alone, as the log first published it."""
    note = opened.note
    own = tuple(line for line in note.signatures if line.name == opened.checkpoint.origin)
    return Note(note.text, own).content


def stamped_at(proven: SignedCheckpoint, stamp: TimeStamp, log_keys: Sequence[VerifierKey]) -> Stamped:
    """Return when a proof's tree was there at the latest, by a time stamp.

    proven: the proof's checkpoint, its log's signature verified. The stamped checkpoint must be the same, or
    one of the same log whose tree begins with the proof's. Raises EvidenceInvalid: timestamp_…, the reasons
    of open_checkpoint, and consistency_not_proven.
    """
    if stamp.checkpoint is None:
        try:
            return stamp.open(as_signed_by_log(proven))
        except EvidenceInvalid as broken:
            if broken.reason != "timestamp_differs":
                raise
        return stamp.open(proven.note.content)
    later = open_checkpoint(stamp.checkpoint, log_keys).checkpoint
    checkpoint = proven.checkpoint
    if later.origin != checkpoint.origin:
        raise EvidenceInvalid("timestamp_differs", "the stamped checkpoint is another log's")
    check_consistency(
        checkpoint.tree_size, later.tree_size, stamp.consistency, checkpoint.root_hash, later.root_hash
    )
    return stamp.open(stamp.checkpoint)


def parse_consistency(content: str) -> tuple[bytes, ...]:
    """Return the hashes of a proof of consistency: base64, one a line, as the log serves it.

    Raises EvidenceInvalid (proof_malformed).
    """
    lines = content.split("\n")
    if lines.pop() or len(lines) > PROOF_LINES_MAX:
        raise EvidenceInvalid("proof_malformed", "a proof of consistency has one hash on each line")
    return tuple(base64_bytes(line, "proof_malformed") for line in lines)
