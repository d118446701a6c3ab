"""Entries of every kind, about one person and one answer, and what opens their commitments."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any, Final

from broker.evidence.administration_entry import Administration, administration_entry_bytes
from broker.evidence.canonical import commitment
from broker.evidence.consent_entry import ConsentCircumstances, consent_entry_bytes
from broker.evidence.entry import Circumstances, Outcome, entry_bytes
from broker.evidence.erasure_entry import Erasure, erasure_entry_bytes
from broker.evidence.export_entry import Export, export_entry_bytes
from broker.evidence.key_entry import KeyChange, key_entry_bytes
from broker.evidence.log_read_entry import LogRead, log_read_entry_bytes
from broker.evidence.policy_entry import PolicyChange, policy_entry_bytes

AT: Final = datetime(2026, 11, 22, 0, 15, 4, 123_000, tzinfo=UTC)
SUBJECT: Final = b"opaque-person-7"
SUBJECT_SALT: Final = bytes(range(32))
PAYLOAD: Final = b'{"hi_card":"HC4797912345678"}'
PAYLOAD_SALT: Final = bytes(range(32, 64))
HASH: Final = "ef" * 32
STAFF: Final = "ab" * 32


def reference(number: int) -> str:
    """Return a reference in the form of UUIDv7."""
    return f"01a200d1-6a6f-713d-b8ef-{number:012x}"


def release(number: int = 0) -> bytes:
    """Return an entry of a release about SUBJECT, committing to PAYLOAD."""
    about = Circumstances(
        reference=reference(number),
        request_id=f"desk-{number}",
        at=AT,
        client="hospital-79001",
        recipient="facility-79001",
        acting_person=STAFF,
        encounter="cd" * 16,
        action="verify_entitlement",
        purpose="check_health_insurance_entitlement",
        legal_basis="L19_1_c",
        agreement="hospital_entitlement_check",
        agreement_revision=HASH,
    )
    outcome = Outcome(
        kind="release",
        result="released",
        reason="",
        released=(("hi_card", "value"), ("valid_to", "value")),
        withheld=(("ethnicity", "not_in_agreement"),),
        determining_rules=("hospital_entitlement_check/card",),
        data_subject_commit=commitment(SUBJECT_SALT, SUBJECT),
        payload_commit=commitment(PAYLOAD_SALT, PAYLOAD),
    )
    return entry_bytes(about, outcome)


def refusal() -> bytes:
    """Return an entry of a refusal about nobody who was found."""
    about = Circumstances(
        reference(1),
        "desk-1",
        AT,
        "hospital-79001",
        "facility-79001",
        None,
        None,
        "share_record",
        "",
        "",
        "",
        "",
    )
    return entry_bytes(about, Outcome("refusal", "refused", "no_agreement"))


def one_of_each_kind() -> dict[str, bytes]:
    """Return an entry of each kind that the log knows."""
    commit = commitment(SUBJECT_SALT, SUBJECT)
    return {
        "release": release(),
        "refusal": refusal(),
        "consent": consent_entry_bytes(
            ConsentCircumstances(
                reference=reference(2),
                at=AT,
                event="given",
                actor="data_subject",
                consent="c-1",
                consent_version=2,
                state="active",
                client="bank-a",
                recipient="bank-1",
                purpose="assess_credit",
                agreement="bank_credit",
                agreement_revision=HASH,
                fields=(("employer", "value"),),
                record_hash=HASH,
                notice_hash="",
                data_subject_commit=commit,
            )
        ),
        "policy_change": policy_entry_bytes(
            PolicyChange(
                reference=reference(3),
                at=AT,
                agreement="bank_credit",
                event="published",
                old_revision="",
                new_revision=HASH,
                new_registers=HASH,
                actor="operator",
                acting_person=STAFF,
            )
        ),
        "key_event": key_entry_bytes(
            KeyChange(
                reference=reference(4),
                at=AT,
                purpose="log",
                kid="12ab34cd",
                event="created",
                effective_at=AT,
                actor="broker",
            )
        ),
        "administration": administration_entry_bytes(
            Administration(
                reference=reference(5),
                at=AT,
                act="client_registered",
                target="bank-a",
                actor="operator",
                given=(("scope", "read_consented_record"), ("until", "2027-06-30")),
                acting_person=STAFF,
            )
        ),
        "export": export_entry_bytes(
            Export(
                reference=reference(6),
                at=AT,
                step="released",
                client="statistics-1",
                recipient="statistics-office",
                agreement="statistics",
                agreement_revision=HASH,
                job=reference(9),
                release="2026-q3.1",
                plan_hash=HASH,
                format="sdmx-csv",
                content_hash=HASH,
                table_hash=HASH,
                cell_count=4_800,
                suppressed_permille=37,
            )
        ),
        "log_read": log_read_entry_bytes(
            LogRead(
                reference=reference(7),
                at=AT,
                reader="own",
                what="history",
                legal_basis="SELF",
                data_subject_commit=commit,
            )
        ),
        "erasure": erasure_entry_bytes(
            Erasure(
                reference=reference(8),
                at=AT,
                data_subject_commit=commit,
                year=2026,
                result="kept",
                legal_ground="L15_4",
                kept_until="2036-12-31",
            )
        ),
    }


def decoded(entry: bytes) -> dict[str, Any]:
    """Return the members of an entry."""
    members: dict[str, Any] = json.loads(entry)
    return members
