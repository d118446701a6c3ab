"""Checkpoints of the log (C2SP tlog-checkpoint): who, how many entries, which root; signed by the log.

One shard of the log per calendar year: its origin is `audit.<host>/<year>`, and the log's key has that name.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from broker.evidence.merkle import EMPTY_ROOT, HASH_BYTES, SIZE_MAX
from broker.evidence.reasons import EvidenceInvalid, Reason
from broker.evidence.signed_note import (
    LOG_SIGNATURE,
    Note,
    Sign,
    VerifierKey,
    base64_bytes,
    base64_text,
    is_key_name,
    parse_note,
    signed,
)

_LABEL: Final = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_ORIGIN: Final = re.compile(rf"audit\.(?P<host>{_LABEL}(?:\.{_LABEL})*)/(?P<year>[2-9]\d{{3}})", re.ASCII)
_NUMBER: Final = re.compile(r"0|[1-9][0-9]{0,18}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What a log promises: its first tree_size entries have this root. root_hash: 32 bytes.

    Raises EvidenceInvalid (checkpoint_malformed) for what no tree can be.
    """

    origin: str
    tree_size: int
    root_hash: bytes

    def __post_init__(self) -> None:
        if not is_key_name(self.origin):
            raise EvidenceInvalid("checkpoint_malformed", "the origin has no spaces and no plus sign")
        if not 0 <= self.tree_size <= SIZE_MAX or len(self.root_hash) != HASH_BYTES:
            raise EvidenceInvalid("checkpoint_malformed", "the size or the root is none of a tree")
        if self.tree_size == 0 and self.root_hash != EMPTY_ROOT:
            raise EvidenceInvalid("checkpoint_malformed", "an empty tree has another root")

    @property
    def text(self) -> str:
        """The three lines that are signed."""
        return f"{self.origin}\n{self.tree_size}\n{base64_text(self.root_hash)}\n"


@dataclass(frozen=True, slots=True)
class SignedCheckpoint:
    """A checkpoint whose log's signature has been verified, and the note in which it stands."""

    checkpoint: Checkpoint
    note: Note


def shard_origin(host: str, year: int) -> str:
    """Return the origin of a year's shard: audit.<host>/<year>.

    Raises EvidenceInvalid (origin_malformed) for a host that is not in lower-case DNS letters.
    """
    origin = f"audit.{host}/{year}"
    shard_of(origin)
    return origin


def shard_of(origin: str) -> tuple[str, int]:
    """Return host and year of a shard of this log. Raises EvidenceInvalid (origin_malformed)."""
    match = _ORIGIN.fullmatch(origin) if len(origin) <= 255 else None
    if match is None:
        raise EvidenceInvalid("origin_malformed")
    return match["host"], int(match["year"])


def number_of(text: str, reason: Reason) -> int:
    """Return a number from 0 to 2^63 - 1 in its one decimal spelling. Raises EvidenceInvalid (the reason)."""
    if not _NUMBER.fullmatch(text) or int(text) > SIZE_MAX:
        raise EvidenceInvalid(reason, "a number is decimal, without leading zeroes, and below 2^63")
    return int(text)


def parse_checkpoint(text: str) -> Checkpoint:
    """Return the checkpoint of a note's text: exactly three lines, no extension lines.

    Raises EvidenceInvalid (checkpoint_malformed).
    """
    lines = text.split("\n")
    if len(lines) != 4 or lines[3]:
        raise EvidenceInvalid("checkpoint_malformed", "a checkpoint of ours has three lines")
    size = number_of(lines[1], "checkpoint_malformed")
    return Checkpoint(lines[0], size, base64_bytes(lines[2], "checkpoint_malformed"))


def signed_checkpoint(checkpoint: Checkpoint, key: VerifierKey, sign: Sign) -> Note:
    """Return the note that a log publishes, with the log's own signature.

    Raises ValueError when the key has not the origin's name, or the function signs with another one.
    """
    if key.name != checkpoint.origin:
        raise ValueError("a log signs under its origin")
    return Note(checkpoint.text, (signed(checkpoint.text, key, sign),))


def open_checkpoint(content: bytes, log_keys: Sequence[VerifierKey]) -> SignedCheckpoint:
    """Return the checkpoint of a signed note, if its own log signed it.

    log_keys: the known keys of logs; those count whose name is the origin (several while one is exchanged).
    Lines by other keys are ignored. Raises EvidenceInvalid: note_malformed, checkpoint_malformed,
    origin_unknown, checkpoint_unsigned, and log_signature_invalid as soon as one line in the name of a known
    key is not that key's.
    """
    note = parse_note(content)
    checkpoint = parse_checkpoint(note.text)
    keys = [one for one in log_keys if one.kind == LOG_SIGNATURE and one.name == checkpoint.origin]
    if not keys:
        raise EvidenceInvalid("origin_unknown")
    claims = [(key, line.signature) for key in keys for line in note.by(key)]
    if not claims:
        raise EvidenceInvalid("checkpoint_unsigned")
    if not all(key.is_signed(signature, note.text.encode()) for key, signature in claims):
        raise EvidenceInvalid("log_signature_invalid")
    return SignedCheckpoint(checkpoint, note)
