"""What a witness answers to `add-checkpoint` (C2SP tlog-witness), as a function of what it saw last.

The caller keeps the state: reading it, deciding and writing the new one is one atomic step, on disk before
the cosignature leaves.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from broker.evidence.checkpoint import Checkpoint, number_of, open_checkpoint
from broker.evidence.merkle import EMPTY_ROOT, PROOF_HASHES_MAX, check_consistency
from broker.evidence.reasons import EvidenceInvalid, Reason
from broker.evidence.signed_note import NOTE_BYTES_MAX, VerifierKey, base64_bytes, base64_text

Status: TypeAlias = Literal[200, 400, 403, 404, 409, 422]
SIZE_TYPE: Final = "text/x.tlog.size"
"""Media type of the body of a 409."""
REQUEST_BYTES_MAX: Final = NOTE_BYTES_MAX + 4_096

_STATUS: Final[dict[Reason, Status]] = {"origin_unknown": 404, "checkpoint_unsigned": 403}
_STATUS["log_signature_invalid"] = 403


@dataclass(frozen=True, slots=True)
class WitnessState:
    """The latest checkpoint of an origin that a witness cosigned; size 0 if it never did."""

    tree_size: int = 0
    root_hash: bytes = EMPTY_ROOT


@dataclass(frozen=True, slots=True)
class AddCheckpoint:
    """A request to a witness. note: the signed checkpoint. proof: from old_size to its size."""

    old_size: int
    proof: tuple[bytes, ...]
    note: bytes

    @property
    def content(self) -> bytes:
        """The body of the request."""
        lines = [f"old {self.old_size}\n", *(base64_text(one) + "\n" for one in self.proof), "\n"]
        return "".join(lines).encode() + self.note


@dataclass(frozen=True, slots=True)
class WitnessAnswer:
    """What a witness says. state: the new one, only with 200: to be kept before the cosignature is sent.

    checkpoint: which is to be cosigned then. body: of a 409, the size that the witness has, in
    SIZE_TYPE. reason: why not, None with 200.
    """

    status: Status
    reason: Reason | None = None
    state: WitnessState | None = None
    checkpoint: Checkpoint | None = None
    body: bytes = b""


def parse_add_checkpoint(content: bytes) -> AddCheckpoint:
    """Return a request from its body, its note unread. Raises EvidenceInvalid (request_malformed)."""
    if len(content) > REQUEST_BYTES_MAX:
        raise EvidenceInvalid("request_malformed", "the request is too long")
    head, separator, note = content.partition(b"\n\n")
    try:
        first, *hashes = head.decode("ascii").split("\n")
    except UnicodeDecodeError:
        raise EvidenceInvalid("request_malformed", "the lines before the checkpoint are ASCII") from None
    if not separator or not note or not first.startswith("old ") or len(hashes) > PROOF_HASHES_MAX:
        raise EvidenceInvalid("request_malformed", "a request is old size, hashes, empty line, checkpoint")
    old_size = number_of(first.removeprefix("old "), "request_malformed")
    proof = tuple(base64_bytes(one, "request_malformed") for one in hashes)
    if any(len(one) != 32 for one in proof):
        raise EvidenceInvalid("request_malformed", "a hash has 32 bytes")
    return AddCheckpoint(old_size, proof, note)


def decide_add_checkpoint(
    content: bytes, log_keys: Sequence[VerifierKey], latest: Callable[[str], WitnessState]
) -> WitnessAnswer:
    """Return the answer to a request's body. Never raises for anything that a body can hold.

    log_keys: of the logs that this witness watches. latest: the state kept for an origin among them.
    The order is the specification's: 404 unknown origin, 403 no good signature, 400 older size larger,
    409 not the latest size, or another root at the same size, 422 the proof does not hold.
    """
    try:
        request = parse_add_checkpoint(content)
        checkpoint = open_checkpoint(request.note, log_keys).checkpoint
    except EvidenceInvalid as broken:
        return WitnessAnswer(_STATUS.get(broken.reason, 400), broken.reason)
    if request.old_size > checkpoint.tree_size:
        return WitnessAnswer(400, "request_malformed")
    held = latest(checkpoint.origin)
    size_told = f"{held.tree_size}\n".encode()
    if request.old_size != held.tree_size:
        return WitnessAnswer(409, "size_not_latest", body=size_told)
    if checkpoint.tree_size == held.tree_size and checkpoint.root_hash != held.root_hash:
        return WitnessAnswer(409, "checkpoint_forked", body=size_told)
    try:
        check_consistency(
            held.tree_size, checkpoint.tree_size, request.proof, held.root_hash, checkpoint.root_hash
        )
    except EvidenceInvalid as broken:
        return WitnessAnswer(422, broken.reason)
    state = WitnessState(checkpoint.tree_size, checkpoint.root_hash)
    return WitnessAnswer(200, None, state, checkpoint)
