"""Terms: what may be asked of a citizen at all. Given is within requested, requested within the agreement."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any, Final, Literal, NoReturn, TypeAlias

from broker.consent.codec import range_document, range_from, record_hash
from broker.consent.ranges import is_range_within
from broker.consent.record import (
    AskedField,
    Consent,
    DataRange,
    FieldDecision,
    Frequency,
    Mode,
    Period,
    Terms,
)
from broker.errors import ConsentTermsRefused
from policies.compile import AgreementTable, PolicySet
from policies.form_context import months_before
from policies.model import Agreement
from policies.shape import shape_of

TermsReason: TypeAlias = Literal[
    "agreement_unknown",
    "agreement_without_consent",
    "agreement_not_in_force",
    "purpose_not_covered",
    "fields_not_covered",
    "required_not_asked",
    "valid_days_too_long",
    "retention_too_long",
    "range_too_wide",
    "frequency_too_high",
    "words_malformed",
]
"""Why terms are refused; a closed list."""
SHARE_RECORD: Final = "share_record"
HAS_CONSENTED: Final = "has_consented"
DETAIL_TYPE: Final = "insurance_record"
VALID_DAYS: Final = 30
VALID_DAYS_MAX: Final = 365
MESSAGE_CHARACTERS_MAX: Final = 500
_LANGUAGES: Final = frozenset({"vi", "en"})
# One paragraph of plain words: no controls, no line breaks, no marks that turn the direction of writing.
_MESSAGE: Final = re.compile(
    r"[^\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u206f\ud800-\udfff\ufeff]+"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class AskedTerms:
    """What a client asks for, before it is held against the agreement. None: as the agreement has it.

    field_names, required_names: names of the catalogue. message: language → the recipient's own words.
    """

    purpose: str
    field_names: Collection[str]
    required_names: Collection[str] = ()
    valid_days: int | None = None
    retention_days: int | None = None
    mode: Mode = "view"
    data_range: DataRange | None = None
    frequency: Frequency | None = None
    message: Mapping[str, str] | None = None


def asked_document(asked: AskedTerms) -> dict[str, Any]:
    """Return what is asked as a JSON object; the order in which fields are named does not count."""
    frequency = asked.frequency
    return {
        "purpose": asked.purpose,
        "fields": sorted(set(asked.field_names)),
        "required_fields": sorted(set(asked.required_names)),
        "valid_days": asked.valid_days,
        "retention_days": asked.retention_days,
        "mode": asked.mode,
        "data_range": range_document(asked.data_range),
        "frequency": None if frequency is None else [frequency.use_count, frequency.per],
        "message": dict(asked.message or {}),
    }


def asked_of(item: Mapping[str, Any], message: Mapping[str, str] | None = None) -> AskedTerms:
    """Return an item of the inbox, or a detail of type insurance_record, as what is asked.

    item: as the schemas of both let it in (`broker.oauth.asked_terms`), days as ISO 8601 text.
    """
    days, frequency = item.get("data_range"), item.get("frequency")
    return AskedTerms(
        purpose=item["purpose"],
        field_names=item["fields"],
        required_names=item.get("required_fields", ()),
        valid_days=item.get("valid_days"),
        retention_days=item.get("retention_days"),
        mode=item.get("mode", "view"),
        data_range=None if days is None else range_from({"first_day": None, "last_day": None, **days}),
        frequency=None if frequency is None else Frequency(frequency["use_count"], frequency["per"]),
        message=message,
    )


def terms_of(policies: PolicySet, agreement_id: str, asked: AskedTerms, on_date: date) -> Terms:
    """Return what is asked as terms, complete, its fields in catalogue order and in the agreement's forms.

    on_date: civil day of Viet Nam on which it is asked. Without valid_days the terms are for 30 days, or as
    long as the agreement lasts. Raises ConsentTermsRefused.
    """
    table = policies.tables.get(agreement_id)
    if table is None:
        _refused("agreement_unknown")
    agreement = table.agreement
    if asked.purpose != agreement.purpose:
        _refused("purpose_not_covered")
    names = frozenset(asked.field_names)
    if not names or not names <= table.permitted.keys():
        _refused("fields_not_covered")
    required = frozenset(asked.required_names)
    if not required <= names:
        _refused("required_not_asked")
    catalogue = policies.catalogue
    terms = Terms(
        agreement_id=agreement.id,
        revision_hash=agreement.revision_hash,
        purpose=agreement.purpose,
        fields=tuple(
            AskedField(
                name,
                table.permitted[name].form.name,
                name in required,
                catalogue.fields[name].is_sensitive,
                shape_of(table.permitted[name], agreement.row_scopes),
            )
            for name in catalogue.in_order(names)
        ),
        valid_days=(
            min(VALID_DAYS, _days_left(agreement, on_date)) if asked.valid_days is None else asked.valid_days
        ),
        retention_days=agreement.retention_days if asked.retention_days is None else asked.retention_days,
        mode=asked.mode,
        data_range=asked.data_range,
        frequency=asked.frequency,
        message=_message(asked.message or {}),
    )
    excess = find_excess(terms, table, on_date)
    if excess is not None:
        _refused(excess)
    return terms


def is_within_agreement(terms: Terms, table: AgreementTable, on_date: date) -> bool:
    """Return whether an agreement, as it stands on a day, permits all that terms ask for."""
    return find_excess(terms, table, on_date) is None


def is_within_terms(decisions: Collection[FieldDecision], terms: Terms) -> bool:
    """Return whether what was given was asked for, in the same form, with every required field or nothing."""
    asked = {field.name: field for field in terms.fields}
    given = {one.name for one in decisions if one.is_given}
    return (
        len({one.name for one in decisions}) == len(decisions)
        and all(
            one.name in asked
            and one.form == asked[one.name].form
            and one.is_required is asked[one.name].is_required
            for one in decisions
        )
        and (not given or terms.required_names <= given)
    )


def find_excess(terms: Terms, table: AgreementTable, on_date: date) -> TermsReason | None:
    """Return the first thing in which terms go beyond an agreement on a day, or None."""
    agreement = table.agreement
    if agreement.action != SHARE_RECORD or HAS_CONSENTED not in agreement.conditions:
        return "agreement_without_consent"
    if table.defect or not table.first_day <= on_date <= table.last_day:
        return "agreement_not_in_force"
    if (terms.agreement_id, terms.purpose) != (agreement.id, agreement.purpose):
        return "purpose_not_covered"
    if not terms.fields or len(terms.field_names) != len(terms.fields):
        return "fields_not_covered"
    for field in terms.fields:
        release = table.permitted.get(field.name)
        if release is None or release.form.name != field.form:
            return "fields_not_covered"
        if shape_of(release, agreement.row_scopes) != field.shape:
            return "fields_not_covered"
    return _find_long(terms, agreement, on_date) or _find_frequent(terms, agreement)


def details_to_terms(
    detail: Mapping[str, Any], policies: PolicySet, on_date: date, message: Mapping[str, str] | None = None
) -> Terms:
    """Return the terms of one detail of type insurance_record, as the pushed request keeps it (RFC 9396).

    A detail that outlasts its agreement becomes terms as long as the agreement. Raises ConsentTermsRefused.
    """
    if detail.get("type") != DETAIL_TYPE:
        _refused("purpose_not_covered")
    agreement = policies.find_agreement(detail["agreement_id"])
    if agreement is None:
        _refused("agreement_unknown")
    days = min(detail.get("valid_days", VALID_DAYS), max(_days_left(agreement, on_date), 1))
    return terms_of(policies, agreement.id, asked_of({**detail, "valid_days": days}, message), on_date)


def terms_to_detail(consent: Consent) -> Mapping[str, Any]:
    """Return the detail that a token carries for a consent: what was given, never what was asked besides."""
    terms, given = consent.terms, consent.given_names
    detail: dict[str, Any] = {
        "type": DETAIL_TYPE,
        "purpose": terms.purpose,
        "fields": [field.name for field in terms.fields if field.name in given],
        "required_fields": [field.name for field in terms.fields if field.is_required],
        "agreement_id": terms.agreement_id,
        "valid_days": consent.readable_days,
        "retention_days": terms.retention_days,
        "consent_id": consent.consent_id,
        "record_hash": record_hash(consent),
    }
    days = range_document(consent.readable_range)
    if days is not None:
        # An end that is open is left out, as in what was asked.
        detail["data_range"] = {name: day for name, day in days.items() if day is not None}
    if terms.frequency is not None:
        detail["frequency"] = {"use_count": terms.frequency.use_count, "per": terms.frequency.per}
    return detail if terms.mode == "view" else {**detail, "mode": terms.mode}


def _find_long(terms: Terms, agreement: Agreement, on_date: date) -> TermsReason | None:
    if not 1 <= terms.valid_days <= min(VALID_DAYS_MAX, _days_left(agreement, on_date)):
        return "valid_days_too_long"
    if not 1 <= terms.retention_days <= agreement.retention_days:
        return "retention_too_long"
    if not is_range_within(terms.data_range, None) or not is_range_within(
        terms.data_range, _widest(terms, agreement, on_date)
    ):
        return "range_too_wide"
    return None


def _widest(terms: Terms, agreement: Agreement, on_date: date) -> DataRange | None:
    """Return the widest range that row scopes let out; one that is open to the past is cut by them."""
    months = [scope.months for scope in agreement.row_scopes if scope.keep == "recent"]
    first = terms.data_range.first_day if terms.data_range is not None else None
    return DataRange(months_before(on_date, max(months)), None) if months and first is not None else None


def _find_frequent(terms: Terms, agreement: Agreement) -> TermsReason | None:
    frequency = terms.frequency
    if frequency is None:
        return None
    daily = [limit.count for limit in agreement.limits if limit.scope == "data_subject_day"]
    days: Mapping[Period, int] = {"day": 1, "week": 7, "month": 31, "consent": terms.valid_days}
    if frequency.per not in days or frequency.use_count < 1:
        return "frequency_too_high"
    return "frequency_too_high" if daily and frequency.use_count > min(daily) * days[frequency.per] else None


def _days_left(agreement: Agreement, on_date: date) -> int:
    return (agreement.valid_to - on_date + timedelta(days=1)).days


def _message(message: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    if not message.keys() <= _LANGUAGES:
        _refused("words_malformed")
    if not all(len(text) <= MESSAGE_CHARACTERS_MAX and _MESSAGE.fullmatch(text) for text in message.values()):
        _refused("words_malformed")
    return tuple(sorted(message.items()))


def _refused(reason: TermsReason) -> NoReturn:
    raise ConsentTermsRefused(reason)
