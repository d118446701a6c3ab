"""What a log makes of a witness's answer: a line that verifies, another size to ask from, or why not."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from broker.evidence.checkpoint import Checkpoint, number_of
from broker.evidence.cosignature import cosigned_at, parse_cosignatures
from broker.evidence.reasons import EvidenceInvalid
from broker.evidence.signed_note import Note, NoteSignature, VerifierKey

WhyNot: TypeAlias = Literal[
    "unreachable",
    "no_proof",
    "bad_request",
    "bad_signature",
    "unknown_log",
    "inconsistent",
    "ahead",
    "forked",
    "not_an_answer",
]
WHY_NOT: Final[dict[WhyNot, str]] = {
    "unreachable": "the witness does not answer in time",
    "no_proof": "the log's tiles do not give the proof that the witness asks for",
    "bad_request": "the witness cannot read the request",
    "bad_signature": "the witness knows another key of this log",
    "unknown_log": "the witness does not watch this log yet",
    "inconsistent": "the witness does not find its tree at the beginning of this one",
    "ahead": "the witness has cosigned a larger tree of this log than there is",
    "forked": "the witness has cosigned another tree of this size",
    "not_an_answer": "the answer is none of a witness, or its signature is not the witness's",
}
"""Each code in plain words. `ahead`, `forked` and `inconsistent` are alarms: two histories, or a lost one."""
ALARMS: Final[frozenset[WhyNot]] = frozenset({"ahead", "forked", "inconsistent"})

_REFUSALS: Final[dict[int, WhyNot]] = {
    400: "bad_request",
    403: "bad_signature",
    404: "unknown_log",
    422: "inconsistent",
}


@dataclass(frozen=True, slots=True)
class Witness:
    """A witness that the log asks. url: what `/add-checkpoint` is put behind."""

    key: VerifierKey
    url: str

    @property
    def name(self) -> str:
        """The name under which it signs."""
        return self.key.name


@dataclass(frozen=True, slots=True)
class Cosigned:
    """A line that verifies under the witness's key. at_seconds: Unix time at which it saw the tree."""

    line: NoteSignature
    at_seconds: int


@dataclass(frozen=True, slots=True)
class AskFrom:
    """The witness wants the proof from this size on."""

    old_size: int


@dataclass(frozen=True, slots=True)
class NotCosigned:
    """There is no line."""

    why: WhyNot


def judged(
    status: int, body: bytes, note: Note, checkpoint: Checkpoint, key: VerifierKey, asked_size: int
) -> Cosigned | AskFrom | NotCosigned:
    """Return what an answer to add-checkpoint means. Never raises for anything that an answer can be.

    note, checkpoint: what was to be cosigned. key: the witness's. asked_size: the older size in the request.
    """
    if status == 200:
        return _cosigned(body, note, key)
    if status == 409:
        return _asked_from(body, checkpoint, asked_size)
    return NotCosigned(_REFUSALS.get(status, "not_an_answer"))


def _cosigned(body: bytes, note: Note, key: VerifierKey) -> Cosigned | NotCosigned:
    try:
        lines = parse_cosignatures(body, note, [key])
        told = [Cosigned(line, cosigned_at(line, key, note.text)) for line in lines]
    except EvidenceInvalid:
        return NotCosigned("not_an_answer")
    return max(told, key=lambda one: one.at_seconds) if told else NotCosigned("not_an_answer")


def _asked_from(body: bytes, checkpoint: Checkpoint, asked_size: int) -> AskFrom | NotCosigned:
    try:
        size = number_of(body.decode("ascii").removesuffix("\n"), "request_malformed")
    except (UnicodeDecodeError, EvidenceInvalid):
        return NotCosigned("not_an_answer")
    if size > checkpoint.tree_size:
        return NotCosigned("ahead")
    if size == asked_size:
        # It was asked from its own size. Of the same size it has another root; of a smaller one this is
        # no answer that the protocol knows.
        return NotCosigned("forked" if size == checkpoint.tree_size else "not_an_answer")
    return AskFrom(size)
