"""Why evidence does not hold: every code that this heart says about bytes it was given, in one place."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal, TypeAlias, get_args

Reason: TypeAlias = Literal[
    "entry_too_long",
    "entry_not_canonical",
    "entry_kind_unknown",
    "entry_schema",
    "proof_malformed",
    "index_beyond_tree",
    "inclusion_not_proven",
    "consistency_not_proven",
    "note_malformed",
    "key_malformed",
    "origin_malformed",
    "origin_unknown",
    "checkpoint_malformed",
    "checkpoint_unsigned",
    "log_signature_invalid",
    "witness_signature_invalid",
    "witnesses_missing",
    "data_subject_differs",
    "payload_differs",
    "request_malformed",
    "size_not_latest",
    "tile_malformed",
    "tile_missing",
    "tile_differs",
    "bundle_malformed",
    "bundle_missing",
    "root_differs",
    "checkpoint_forked",
    "checkpoint_beyond_log",
    "file_malformed",
    "timestamp_malformed",
    "timestamp_refused",
    "timestamp_differs",
    "timestamp_untrusted",
    "timestamp_nonce",
    "timestamp_policy",
    "timestamp_time",
]

REASONS: Final[Mapping[Reason, str]] = {
    "entry_too_long": "the entry is longer than 65,535 bytes: no log of this form can hold it",
    "entry_not_canonical": "the bytes of the entry are not the RFC 8785 form of a closed value",
    "entry_kind_unknown": "the entry is of a kind that this log does not know",
    "entry_schema": "the entry has not exactly the members and shapes of its kind",
    "proof_malformed": "the proof is not of its form: lines, numbers or hashes",
    "index_beyond_tree": "the index lies outside the tree of the checkpoint",
    "inclusion_not_proven": "the hashes do not lead from the entry at its index to the root",
    "consistency_not_proven": "the hashes do not show that the newer tree begins with the older one",
    "note_malformed": "the signed note is not of its form",
    "key_malformed": "the verifier key is not of its form, or of another kind than is needed here",
    "origin_malformed": "the origin is not the name of a shard of this log",
    "origin_unknown": "no key is known for the log that the checkpoint names",
    "checkpoint_malformed": "the checkpoint is not of its form: origin, size, root, and nothing else",
    "checkpoint_unsigned": "the checkpoint carries no signature by a known key of its log",
    "log_signature_invalid": "a signature in the name of a known key of the log is not that key's",
    "witness_signature_invalid": "a cosignature in the name of a known witness is not that witness's",
    "witnesses_missing": "fewer known witnesses have cosigned the checkpoint than are asked for",
    "data_subject_differs": "salt and identifier do not open the commitment to the data subject",
    "payload_differs": "salt and payload do not open the commitment to the payload",
    "request_malformed": "the request to the witness is not of its form",
    "size_not_latest": "the older size in the request is not the latest one that the witness cosigned",
    "tile_malformed": "a tile is not named as one, or has not the length that its name tells",
    "tile_missing": "a tile that the size of the tree demands is not there",
    "tile_differs": "a tile holds other hashes than the entries or tiles below it give",
    "bundle_malformed": "a bundle of entries ends too early or too late, or is not named as one",
    "bundle_missing": "a bundle of entries that the size of the tree demands is not there",
    "root_differs": "the entries give another root than the checkpoint tells for this size",
    "checkpoint_forked": "another checkpoint tells a root that this log never had at that size",
    "checkpoint_beyond_log": "another checkpoint tells of more entries than this log has",
    "file_malformed": "the evidence file is not of its form: members, salts or keys",
    "timestamp_malformed": "the time stamp is no answer of an authority in the form of RFC 3161",
    "timestamp_refused": "the authority has granted no time stamp",
    "timestamp_differs": "the time stamp is over other bytes than this checkpoint",
    "timestamp_untrusted": "nobody under a trusted root has signed the time stamp with a good certificate",
    "timestamp_nonce": "the time stamp answers another request: it repeats another nonce",
    "timestamp_policy": "the time stamp was issued under another policy than the one that is asked for",
    "timestamp_time": "the time stamp tells another time than the clock here",
}
"""Each code in plain words, for developers; what citizens and auditors read is said where it is shown."""

_DETAIL_LENGTH_MAX: Final = 200
ALL_REASONS: Final[tuple[Reason, ...]] = get_args(Reason)


class EvidenceInvalid(ValueError):
    """Bytes from outside are no evidence. reason: why, as a closed code. detail: where, never a value.

    A detail may name members that somebody made up: it is cut, and holds nothing that a terminal would obey.
    """

    def __init__(self, reason: Reason, detail: str = "") -> None:
        detail = "".join(one if one.isprintable() else "?" for one in detail[:_DETAIL_LENGTH_MAX])
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason = reason
        self.detail = detail
