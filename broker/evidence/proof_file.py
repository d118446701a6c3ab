"""Proof files (C2SP tlog-proof@v1): that an entry is in the log, to be checked without the log."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from broker.evidence.checkpoint import Checkpoint, number_of, open_checkpoint
from broker.evidence.cosignature import Witnessed, check_witnesses
from broker.evidence.merkle import HASH_BYTES, PROOF_HASHES_MAX, check_inclusion, leaf_hash
from broker.evidence.reasons import EvidenceInvalid
from broker.evidence.signed_note import NOTE_BYTES_MAX, VerifierKey, base64_bytes, base64_text

HEADER: Final = "c2sp.org/tlog-proof@v1"
SUFFIX: Final = ".tlog-proof"
EXTRA_BYTES_MAX: Final = 65_536
_HEAD_LENGTH_MAX: Final = 100_000


@dataclass(frozen=True, slots=True)
class ProofFile:
    """What a proof file holds. note: the signed checkpoint, verbatim.

    inclusion_proof: hashes of 32 bytes, the leaf's sibling first. extra: nobody vouches for it; None without.
    """

    leaf_index: int
    inclusion_proof: tuple[bytes, ...]
    note: bytes
    extra: bytes | None = None

    @property
    def content(self) -> bytes:
        """The file as bytes."""
        lines = [HEADER]
        if self.extra:
            lines.append("extra " + base64_text(self.extra))
        lines += [f"index {self.leaf_index}", *map(base64_text, self.inclusion_proof), "", ""]
        return "\n".join(lines).encode() + self.note


@dataclass(frozen=True, slots=True)
class Proven:
    """What a proof file has shown: the entry stands at leaf_index of the checkpoint's tree."""

    checkpoint: Checkpoint
    leaf_index: int
    witnesses: tuple[Witnessed, ...]


def parse_proof_file(content: bytes) -> ProofFile:
    """Return a proof file from its bytes. Nothing is verified yet.

    Raises EvidenceInvalid (proof_malformed).
    """
    head, separator, note = content.partition(b"\n\n")
    if not separator or len(head) > _HEAD_LENGTH_MAX or len(note) > NOTE_BYTES_MAX:
        raise EvidenceInvalid("proof_malformed", "a proof is its lines, an empty line and a checkpoint")
    try:
        lines = head.decode("ascii").split("\n")
    except UnicodeDecodeError:
        raise EvidenceInvalid("proof_malformed", "the lines before the checkpoint are ASCII") from None
    if lines.pop(0) != HEADER:
        raise EvidenceInvalid("proof_malformed", f"a proof begins with {HEADER}")
    extra = None
    if lines and lines[0].startswith("extra "):
        extra = base64_bytes(lines.pop(0).removeprefix("extra "), "proof_malformed")
    if not lines or not lines[0].startswith("index ") or len(lines) > PROOF_HASHES_MAX + 1:
        raise EvidenceInvalid("proof_malformed", "an index is followed by at most 63 hashes")
    leaf_index = number_of(lines.pop(0).removeprefix("index "), "proof_malformed")
    hashes = tuple(base64_bytes(line, "proof_malformed") for line in lines)
    if any(len(one) != HASH_BYTES for one in hashes) or len(extra or b"") > EXTRA_BYTES_MAX:
        raise EvidenceInvalid("proof_malformed", "a hash has 32 bytes, and the extra line an end")
    return ProofFile(leaf_index, hashes, note, extra)


def check_proof_file(
    proof: ProofFile,
    entry: bytes,
    log_keys: Sequence[VerifierKey],
    witness_keys: Sequence[VerifierKey] = (),
    witnesses_needed: int = 0,
) -> Proven:
    """Return what a proof shows of an entry, if log and witnesses stand behind it.

    witnesses_needed: how many of witness_keys must have cosigned the checkpoint.
    Raises EvidenceInvalid with the first reason: those of `open_checkpoint`, of `check_witnesses` and of
    `check_inclusion`.
    """
    opened = open_checkpoint(proof.note, log_keys)
    witnesses = check_witnesses(opened.note, witness_keys, witnesses_needed)
    checkpoint = opened.checkpoint
    check_inclusion(
        leaf_hash(entry), proof.leaf_index, checkpoint.tree_size, proof.inclusion_proof, checkpoint.root_hash
    )
    return Proven(checkpoint, proof.leaf_index, witnesses)
