"""What recipients are told of a consent: the claims of a Security Event Token (RFC 8417), one kind each.

A notice names the consent, its purpose and state, never a value of a record and never another recipient.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Literal, TypeAlias, get_args

from broker.consent.record import Consent, State
from broker.consent.writing import QueuedNotice

NoticeKind: TypeAlias = Literal[
    "consent_given",
    "consent_withdrawn",
    "consent_expired",
    "consent_paused",
    "consent_resumed",
    "consent_changed",
]
NOTICE_KINDS: Final[tuple[NoticeKind, ...]] = get_args(NoticeKind)
OBEYED_WITHIN: Final = timedelta(days=20)
"""Outer limit for stopping, making others stop, and deletion (Decree 356/2025, deadlines of rights)."""


def queued_notice(consent: Consent, kind: NoticeKind, *, message_id: str, at: datetime) -> QueuedNotice:
    """Return the notice to the recipient of a consent of what became of it at an instant.

    consent: as it is after the change. message_id: fresh UUIDv7, the jti of the token. at: aware.
    Raises ValueError for a kind that does not exist.
    """
    if kind not in NOTICE_KINDS:
        raise ValueError("there is no such kind of notice")
    payload: dict[str, Any] = {
        "subject": consent.subject,
        "purpose": consent.terms.purpose,
        "state": told_state(consent.state),
        "reason": _told_reason(consent),
        "version": consent.version,
        "happened_at_seconds": int(at.timestamp()),
    }
    if consent.valid_to_at is not None:
        payload["valid_to"] = _instant(consent.valid_to_at)
    if kind == "consent_withdrawn":
        payload["obey_by"] = _instant(at + OBEYED_WITHIN)
    if consent.superseded_by is not None:
        payload["superseded_by"] = consent.superseded_by
    return QueuedNotice(
        message_id=message_id,
        client_id=consent.client_id,
        consent_id=consent.consent_id,
        kind=kind,
        payload=payload,
        queued_at=at,
    )


def told_state(state: State) -> State:
    """Return a state as a recipient may know it: birthdays, orders and fraud are not its business."""
    return _TOLD_STATES.get(state, state)


def _told_reason(consent: Consent) -> str:
    """Return a reason as a recipient may know it: nor is who of two it was."""
    reason = consent.state_reason
    if consent.state == "invalidated":
        return ""
    if reason.startswith("by_"):
        return reason if reason in ("by_client", "by_operator") else "by_citizen"
    return "" if reason in ("confirmation_due", "unconfirmed", "unsigned") else reason


_TOLD_STATES: Final[Mapping[State, State]] = {
    "refresh_due": "paused",
    "pending_cosign": "requested",
    "invalidated": "withdrawn",
    "inapplicable": "expired",
}


def event_uri(issuer: str, kind: str) -> str:
    """Return the URI that names a kind of event (RFC 8417, 2.2: events)."""
    return f"{issuer}/events/{kind.replace('_', '-')}"


def event_claims(notice: QueuedNotice, issuer: str) -> dict[str, Any]:
    """Return the claims of the token for a notice (RFC 8417, 2.2); the same each time it is sent.

    issuer: URL of this broker. sub_id names the data subject as this recipient knows it (RFC 9493, 3.2.7:
    opaque); there is no sub and no exp, so that nobody takes it for a token of access (RFC 8417, 4.5 to 4.7).
    """
    told = dict(notice.payload)
    subject, happened_at = told.pop("subject"), told.pop("happened_at_seconds")
    return {
        "iss": issuer,
        "aud": notice.client_id,
        "iat": int(notice.queued_at.timestamp()),
        "jti": notice.message_id,
        # What one change of one consent tells, however many events it tells it in.
        "txn": f"{notice.consent_id}.{told['version']}",
        "toe": happened_at,
        "sub_id": {"format": "opaque", "id": subject},
        "events": {event_uri(issuer, notice.kind): {"consent_id": notice.consent_id, **told}},
    }


def _instant(at: datetime) -> str:
    """Return an instant as RFC 3339 writes it, in UTC and whole seconds."""
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
