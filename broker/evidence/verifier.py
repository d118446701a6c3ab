"""One entry, checked by somebody who trusts nobody but the keys: what holds, what fails, what was not asked.

Everything comes in as bytes, from whoever hands them over; nothing is looked up. Each check has a name and
one of three results, so that a citizen, a hospital and a court read the same list. Its words are elsewhere.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, ParamSpec, TypeAlias, TypeVar, get_args

from broker.evidence.canonical import SALT_BYTES, commitment
from broker.evidence.checkpoint import SignedCheckpoint, open_checkpoint
from broker.evidence.cosignature import Witnessed, check_witnesses
from broker.evidence.kinds import parse_entry
from broker.evidence.merkle import check_inclusion, leaf_hash
from broker.evidence.proof_file import ProofFile, parse_proof_file
from broker.evidence.reasons import EvidenceInvalid, Reason
from broker.evidence.signed_note import COSIGNATURE, LOG_SIGNATURE, VerifierKey
from broker.evidence.timestamps import Stamped, TimeStamp, stamped_at

CheckName: TypeAlias = Literal[
    "entry_form",
    "proof_form",
    "log_signature",
    "witnesses",
    "timestamp",
    "inclusion",
    "data_subject",
    "payload",
]
CHECK_NAMES: Final[tuple[CheckName, ...]] = get_args(CheckName)
Result: TypeAlias = Literal["holds", "fails", "not_checked"]

_T = TypeVar("_T")
_P = ParamSpec("_P")


@dataclass(frozen=True, slots=True)
class Opening:
    """What opens a commitment. salt: 32 bytes. content: the identifier, or the payload, as bytes."""

    salt: bytes
    content: bytes


@dataclass(frozen=True, slots=True)
class Trust:
    """Which keys count. witnesses_needed: how many of the witness keys must have cosigned, 0 for none.

    Raises ValueError for a key of the other kind: a witness's is none of a log, and no log its own witness.
    """

    log_keys: Sequence[VerifierKey]
    witness_keys: Sequence[VerifierKey] = ()
    witnesses_needed: int = 0

    def __post_init__(self) -> None:
        own = {key.public_key for key in self.log_keys}
        if any(key.kind != LOG_SIGNATURE for key in self.log_keys):
            raise ValueError("a log's key is of another kind")
        if any(key.kind != COSIGNATURE or key.public_key in own for key in self.witness_keys):
            raise ValueError("a witness's key is of another kind, or the log's own")


@dataclass(frozen=True, slots=True)
class Check:
    """One check. reason: why it fails, or None. not_checked: not asked for, or there is nothing to check."""

    name: CheckName
    result: Result
    reason: Reason | None = None
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Verification:
    """All checks in the order of CHECK_NAMES, and what could be read; None where it could not.

    entry: its members. leaf_index, proven: of the proof file and its checkpoint. witnesses: who cosigned it.
    stamped: by whom and since when it was there.
    """

    checks: tuple[Check, ...]
    entry: Mapping[str, Any] | None = None
    leaf_index: int | None = None
    proven: SignedCheckpoint | None = None
    witnesses: tuple[Witnessed, ...] = ()
    stamped: Stamped | None = None

    @property
    def holds(self) -> bool:
        """Whether the entry is proven: nothing fails, and form, signature and inclusion were checked."""
        results = {one.name: one.result for one in self.checks}
        needed = {results[name] for name in ("entry_form", "proof_form", "log_signature", "inclusion")}
        return "fails" not in results.values() and needed == {"holds"}

    @property
    def reasons(self) -> tuple[Reason, ...]:
        """Why it does not hold, in the order of the checks."""
        return tuple(one.reason for one in self.checks if one.reason is not None)


def verified(
    entry: bytes,
    proof: bytes,
    trust: Trust,
    *,
    data_subject: Opening | None = None,
    payload: Opening | None = None,
    timestamp: TimeStamp | None = None,
) -> Verification:
    """Return what holds of an entry and its proof file. Never raises for anything that bytes can be."""
    checks: dict[CheckName, Check] = {}
    members = _run(checks, "entry_form", parse_entry, entry)
    held = _run(checks, "proof_form", parse_proof_file, proof)
    opened, witnesses, stamped = None, None, None
    if held is not None:
        opened = _run(checks, "log_signature", open_checkpoint, held.note, trust.log_keys)
    # Whatever stands in a checkpoint that its log has not signed says nothing.
    if held is not None and opened is not None:
        if trust.witness_keys or trust.witnesses_needed:
            witnesses = _run(checks, "witnesses", _witnesses, opened, trust)
        if timestamp is not None:
            stamped = _run(checks, "timestamp", stamped_at, opened, timestamp, trust.log_keys)
        _run(checks, "inclusion", _check_included, entry, held, opened)
    if members is not None and data_subject is not None:
        _run(checks, "data_subject", _check_opened, members, "data_subject", data_subject)
    if members is not None and payload is not None:
        _run(checks, "payload", _check_opened, members, "payload", payload)
    return Verification(
        tuple(checks.get(name, Check(name, "not_checked")) for name in CHECK_NAMES),
        members,
        None if held is None else held.leaf_index,
        opened,
        witnesses or (),
        stamped,
    )


def _run(
    checks: dict[CheckName, Check],
    name: CheckName,
    check: Callable[_P, _T],
    *args: _P.args,
    **kwargs: _P.kwargs,
) -> _T | None:
    """Return what a check gives, None where it fails; its result is put under its name."""
    try:
        value = check(*args, **kwargs)
    except EvidenceInvalid as broken:
        checks[name] = Check(name, "fails", broken.reason, broken.detail)
        return None
    checks[name] = Check(name, "holds")
    return value


def _witnesses(opened: SignedCheckpoint, trust: Trust) -> tuple[Witnessed, ...]:
    return check_witnesses(opened.note, trust.witness_keys, trust.witnesses_needed)


def _check_included(entry: bytes, held: ProofFile, opened: SignedCheckpoint) -> None:
    checkpoint = opened.checkpoint
    check_inclusion(
        leaf_hash(entry), held.leaf_index, checkpoint.tree_size, held.inclusion_proof, checkpoint.root_hash
    )


def _check_opened(
    members: Mapping[str, Any], name: Literal["data_subject", "payload"], opening: Opening
) -> None:
    reason: Reason = "data_subject_differs" if name == "data_subject" else "payload_differs"
    told = members.get(f"{name}_commit")
    if not isinstance(told, str):
        raise EvidenceInvalid(reason, "the entry commits to none")
    if len(opening.salt) != SALT_BYTES:
        raise EvidenceInvalid(reason, f"a salt has {SALT_BYTES} bytes")
    if not hmac.compare_digest(commitment(opening.salt, opening.content), told):
        raise EvidenceInvalid(reason)
