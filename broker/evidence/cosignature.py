"""Cosignatures of witnesses (C2SP tlog-cosignature v1): I saw this tree grow, and when."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from broker.evidence.checkpoint import Checkpoint, parse_checkpoint
from broker.evidence.reasons import EvidenceInvalid
from broker.evidence.signed_note import (
    COSIGNATURE,
    Note,
    NoteSignature,
    Sign,
    VerifierKey,
    parse_signature,
)

_TIME_BYTES: Final = 8
_TIME_MAX: Final = 2**63 - 1
_SIGNATURE_BYTES: Final = 64


@dataclass(frozen=True, slots=True)
class Witnessed:
    """One witness's word. at_seconds: Unix time at which it saw the tree."""

    witness: VerifierKey
    at_seconds: int


def cosigned_message(text: str, at_seconds: int) -> bytes:
    """Return what a witness signs: header, time, and the whole text of the checkpoint."""
    return f"cosignature/v1\ntime {at_seconds}\n{text}".encode()


def cosigned(checkpoint: Checkpoint, key: VerifierKey, at_seconds: int, sign: Sign) -> NoteSignature:
    """Return a witness's line over a checkpoint, verified before it is handed out.

    at_seconds: Unix time. Raises ValueError for a time outside 0 to 2^63 - 1, another kind of key, or a
    function that signs with another one.
    """
    if key.kind != COSIGNATURE or not 0 <= at_seconds <= _TIME_MAX:
        raise ValueError("a witness's key signs, at a time")
    message = cosigned_message(checkpoint.text, at_seconds)
    signature = sign(message)
    if not key.is_signed(signature, message):
        raise ValueError("the signature is not this key's")
    return NoteSignature(key.name, key.key_id, at_seconds.to_bytes(_TIME_BYTES, "big") + signature)


def cosigned_at(line: NoteSignature, key: VerifierKey, text: str) -> int:
    """Return the time in a witness's line, if the witness signed the text of the checkpoint at that time.

    Raises EvidenceInvalid (witness_signature_invalid).
    """
    time, signature = line.signature[:_TIME_BYTES], line.signature[_TIME_BYTES:]
    at_seconds = int.from_bytes(time, "big")
    is_whole = len(signature) == _SIGNATURE_BYTES and at_seconds <= _TIME_MAX
    is_theirs = line.is_by(key) and key.kind == COSIGNATURE
    if not (is_whole and is_theirs and key.is_signed(signature, cosigned_message(text, at_seconds))):
        raise EvidenceInvalid("witness_signature_invalid")
    return at_seconds


def witnesses_of(note: Note, witness_keys: Sequence[VerifierKey]) -> tuple[Witnessed, ...]:
    """Return which of the known witnesses cosigned a note, each once, with the latest time it gives.

    One key under several names is one witness: the message does not commit to the name. Lines by others are
    ignored. Raises EvidenceInvalid (witness_signature_invalid) as soon as one line in the name of a known
    witness is not that witness's.
    """
    found: dict[bytes, Witnessed] = {}
    for key in witness_keys:
        for line in note.by(key):
            at_seconds = cosigned_at(line, key, note.text)
            held = found.get(key.public_key)
            if held is None or held.at_seconds < at_seconds:
                found[key.public_key] = Witnessed(key, at_seconds)
    return tuple(found.values())


def check_witnesses(note: Note, witness_keys: Sequence[VerifierKey], needed: int) -> tuple[Witnessed, ...]:
    """Return the witnesses of a note. needed: how many of the known ones must be among them.

    Raises EvidenceInvalid: witness_signature_invalid, witnesses_missing.
    """
    witnesses = witnesses_of(note, witness_keys)
    if len(witnesses) < needed:
        raise EvidenceInvalid("witnesses_missing", f"{len(witnesses)} of {needed}")
    return witnesses


def parse_cosignatures(
    content: bytes, note: Note, witness_keys: Sequence[VerifierKey]
) -> tuple[NoteSignature, ...]:
    """Return from a witness's answer the lines that known witnesses put under a note.

    content: one or more signature lines. Lines by others are ignored.
    Raises EvidenceInvalid: note_malformed, witness_signature_invalid.
    """
    try:
        told = content.decode("utf-8")
    except UnicodeDecodeError:
        raise EvidenceInvalid("note_malformed", "the answer is not UTF-8") from None
    if not told.endswith("\n"):
        raise EvidenceInvalid("note_malformed", "the answer has no signature line")
    parse_checkpoint(note.text)
    answered = Note(note.text, tuple(parse_signature(line) for line in told[:-1].split("\n")))
    witnesses_of(answered, witness_keys)
    return tuple(line for line in answered.signatures if any(line.is_by(key) for key in witness_keys))
