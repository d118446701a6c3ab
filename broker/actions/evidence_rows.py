"""Draft the evidence of one answer or one refusal: the entry, and what opens its commitments."""

from __future__ import annotations

from broker.actions.doors import Pseudonyms, Salts
from broker.actions.matter import Matter
from broker.evidence.canonical import commitment
from broker.evidence.entry import Outcome, entry_bytes
from broker.evidence.person_keys import key_year
from broker.evidence.recording import EvidenceRow
from policies.model import Decision, Released


def refusal_row(
    matter: Matter,
    pseudonyms: Pseudonyms,
    salts: Salts,
    reason: str,
    data_subject: str | None,
    *,
    error: bool,
) -> EvidenceRow:
    """Return the evidence row of a refusal under the request's own reference."""
    salt = None if data_subject is None else salts()
    outcome = Outcome(
        kind="refusal",
        result="error" if error else "refused",
        reason=reason,
        withheld=tuple([(one.field, reason) for one in matter.decision.released])
        or tuple([(one.field, one.reason) for one in matter.decision.withheld]),
        determining_rules=matter.decision.determining_rules,
        data_subject_commit=(
            None if data_subject is None or salt is None else commitment(salt, data_subject.encode())
        ),
    )
    return EvidenceRow(
        reference=matter.context.reference,
        kind="refusal",
        entry=entry_bytes(matter.circumstances(matter.context.reference), outcome),
        year=key_year(matter.context.at),
        data_subject_ref=None if data_subject is None else pseudonyms.data_subject_ref(data_subject),
        data_subject_salt=salt,
        payload_salt=None,
    )


def release_row(
    matter: Matter,
    pseudonyms: Pseudonyms,
    salts: Salts,
    reference: str,
    payload: bytes,
    *,
    released: tuple[tuple[str, str], ...],
    reason: str,
    data_subject: str | None,
) -> EvidenceRow:
    """Return the evidence row of one answer. payload: the very bytes that will be sent."""
    payload_salt = salts()
    subject_salt = None if data_subject is None else salts()
    outcome = Outcome(
        kind="release",
        result="released" if released else "answered_without_data",
        reason=reason,
        released=released,
        withheld=tuple([(one.field, one.reason) for one in matter.decision.withheld]),
        determining_rules=matter.decision.determining_rules,
        data_subject_commit=(
            None
            if data_subject is None or subject_salt is None
            else commitment(subject_salt, data_subject.encode())
        ),
        payload_commit=commitment(payload_salt, payload),
    )
    return EvidenceRow(
        reference=reference,
        kind="release",
        entry=entry_bytes(matter.circumstances(reference), outcome),
        year=key_year(matter.context.at),
        data_subject_ref=None if data_subject is None else pseudonyms.data_subject_ref(data_subject),
        data_subject_salt=subject_salt,
        payload_salt=payload_salt,
    )


def released_pairs(decision: Decision, released: Released) -> tuple[tuple[str, str], ...]:
    """Return (field, form) of what a Released value really holds, in the decision's order."""
    present = set(released.fields)
    for rows in released.groups.values():
        for row in rows:
            present.update(row)
    return tuple([(one.field, one.form.name) for one in decision.released if one.field in present])
