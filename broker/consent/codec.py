"""Consents and terms as JSON and back, exactly; and the one hash of what was agreed.

Strict: a member that is missing or unknown is refused, so nothing is ever half understood.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import fields
from datetime import UTC, date, datetime
from functools import lru_cache
from typing import Any, Final

import orjson

from broker.consent.record import (
    AskedField,
    Consent,
    DataRange,
    FieldDecision,
    Frequency,
    Notice,
    Signer,
    Terms,
)

_INSTANTS: Final = (
    "state_since_at",
    "requested_at",
    "request_expires_at",
    "valid_from_at",
    "valid_to_at",
    "refresh_due_at",
)
_AGREED: Final = frozenset(
    {
        "consent_id",
        "request_id",
        "client_id",
        "organisation_id",
        "citizen_id",
        "subject",
        "terms",
        "decisions",
        "signers",
        "notice",
        "given_days",
        "given_range",
        "valid_from_at",
        "valid_to_at",
        "supersedes",
    }
)
"""What was agreed; the rest (state, version, grant ...) moves while the agreement stays the same."""

# Worked out once: they are asked for at every release.
_NAMES: Final[Mapping[type[object], frozenset[str]]] = {
    kind: frozenset(field.name for field in fields(kind))
    for kind in (AskedField, Consent, DataRange, FieldDecision, Frequency, Notice, Signer, Terms)
}


def consent_document(consent: Consent) -> dict[str, Any]:
    """Return a consent as the JSON object that is kept; instants in RFC 3339, UTC, to the microsecond."""
    document = _plain(consent)
    document["terms"] = terms_document(consent.terms)
    document["decisions"] = [_plain(one) for one in consent.decisions]
    document["signers"] = [
        {
            **_plain(one),
            "authenticated_at": instant_text(one.authenticated_at),
            "signed_at": instant_text(one.signed_at),
        }
        for one in consent.signers
    ]
    notice = consent.notice
    document["notice"] = (
        None if notice is None else {**_plain(notice), "served_at": instant_text(notice.served_at)}
    )
    document["required_roles"] = list(consent.required_roles)
    document["refresh_roles"] = list(consent.refresh_roles)
    document["given_range"] = range_document(consent.given_range)
    for name in _INSTANTS:
        document[name] = None if document[name] is None else instant_text(document[name])
    return document


def consent_from(document: Mapping[str, Any]) -> Consent:
    """Return the consent that consent_document described. Raises ValueError for anything else."""
    kept = _checked(Consent, document)
    kept["terms"] = _terms_kept(canonical_json(kept["terms"]))
    kept["decisions"] = _decisions_kept(orjson.dumps(kept["decisions"]))
    kept["signers"] = tuple(_signer(one) for one in kept["signers"])
    kept["notice"] = None if kept["notice"] is None else _notice(kept["notice"])
    kept["required_roles"] = tuple(kept["required_roles"])
    kept["refresh_roles"] = tuple(kept["refresh_roles"])
    kept["given_range"] = range_from(kept["given_range"])
    for name in _INSTANTS:
        kept[name] = None if kept[name] is None else _instant(kept[name])
    return Consent(**kept)


def terms_document(terms: Terms) -> dict[str, Any]:
    """Return terms as a JSON object."""
    document = _plain(terms)
    document["fields"] = [_plain(field) for field in terms.fields]
    document["data_range"] = range_document(terms.data_range)
    document["frequency"] = None if terms.frequency is None else _plain(terms.frequency)
    document["message"] = [list(one) for one in terms.message]
    return document


def terms_from(document: Mapping[str, Any]) -> Terms:
    """Return the terms that terms_document described. Raises ValueError for anything else."""
    kept = _checked(Terms, document)
    kept["fields"] = tuple(AskedField(**_checked(AskedField, one)) for one in kept["fields"])
    kept["data_range"] = range_from(kept["data_range"])
    frequency = kept["frequency"]
    kept["frequency"] = None if frequency is None else Frequency(**_checked(Frequency, frequency))
    kept["message"] = tuple((language, text) for language, text in kept["message"])
    return Terms(**kept)


# One recipient asks many persons on the same terms, and most of them give the same.
@lru_cache(maxsize=512)
def _terms_kept(content: bytes) -> Terms:
    return terms_from(orjson.loads(content))


@lru_cache(maxsize=512)
def _decisions_kept(content: bytes) -> tuple[FieldDecision, ...]:
    return tuple([FieldDecision(**_checked(FieldDecision, one)) for one in orjson.loads(content)])


def range_document(days: DataRange | None) -> dict[str, str | None] | None:
    """Return a range as a JSON object of civil days, null for an open end."""
    if days is None:
        return None
    return {"first_day": _day_text(days.first_day), "last_day": _day_text(days.last_day)}


def range_from(document: Mapping[str, str | None] | None) -> DataRange | None:
    """Return the range that range_document described. Raises ValueError for anything else."""
    if document is None:
        return None
    kept = _checked(DataRange, document)
    return DataRange(_day(kept["first_day"]), _day(kept["last_day"]))


def record_hash(consent: Consent) -> str:
    """Return SHA-256 in hex over what was agreed, as canonical JSON (RFC 8785).

    It stays the same while the consent is paused and resumed, and changes with every decision, signature,
    notice or length: a token made for something else does not fit.
    """
    return agreed_hash(consent_document(consent))


def agreed_hash(document: Mapping[str, Any]) -> str:
    """Return record_hash of the consent that a document keeps, without making the document anew.

    Raises KeyError where a member is missing.
    """
    return hashlib.sha256(canonical_json({name: document[name] for name in _AGREED})).hexdigest()


def canonical_json(document: Mapping[str, Any]) -> bytes:
    """Return RFC 8785 bytes: of objects with ASCII keys and without fractions, which is all there is here."""
    return orjson.dumps(document, option=orjson.OPT_SORT_KEYS)


def instant_text(instant: datetime) -> str:
    """Return an aware instant as RFC 3339 in UTC with microseconds. Raises ValueError for a naive one."""
    if instant.tzinfo is None:
        raise ValueError("an instant is aware")
    return instant.astimezone(UTC).isoformat(timespec="microseconds")[:-6] + "Z"


def _plain(value: object) -> dict[str, Any]:
    return {name: getattr(value, name) for name in _NAMES[type(value)]}


def _checked(kind: type[object], document: Mapping[str, Any]) -> dict[str, Any]:
    if document.keys() != _NAMES[kind]:
        raise ValueError(f"these are not the members of {kind.__name__}")
    return dict(document)


def _signer(document: Mapping[str, Any]) -> Signer:
    kept = _checked(Signer, document)
    for name in ("authenticated_at", "signed_at"):
        kept[name] = _instant(kept[name])
    return Signer(**kept)


def _notice(document: Mapping[str, Any]) -> Notice:
    kept = _checked(Notice, document)
    return Notice(**{**kept, "served_at": _instant(kept["served_at"])})


def _instant(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


def _day(text: str | None) -> date | None:
    return None if text is None else date.fromisoformat(text)


def _day_text(day: date | None) -> str | None:
    return None if day is None else day.isoformat()
