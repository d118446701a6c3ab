"""What a consent would mean, row by row, the same on every page on which somebody decides. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from broker.consent.record import Consent, DataRange, Frequency
from consent_ui.words import Words
from policies.civil_time import civil_date
from policies.compile import AgreementTable, PolicySet
from policies.model import Citation, Told

_UNREAD = "U"


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownTerms:
    """What is asked besides the fields. until: last day of reading, None where it is not given yet."""

    valid_days: int
    until: date | None
    retention_days: int
    mode: str = "view"
    data_range: DataRange | None = None
    frequency: Frequency | None = None


def shown_terms(consent: Consent) -> ShownTerms:
    """Return the terms of a consent that waits or was given."""
    terms = consent.terms
    return ShownTerms(
        valid_days=consent.readable_days,
        until=None if consent.valid_to_at is None else civil_date(consent.valid_to_at),
        retention_days=terms.retention_days,
        mode=terms.mode,
        data_range=consent.readable_range,
        frequency=terms.frequency,
    )


def term_rows(
    terms: ShownTerms, table: AgreementTable | None, organisation: str, policies: PolicySet, words: Words
) -> tuple[tuple[str, str], ...]:
    """Return label and words of every row, in order. table: None where the agreement is gone.

    organisation: its name. What the agreement tells citizens is told in its own words.
    """
    days = words.days(terms.valid_days)
    rows = [
        (
            words("valid"),
            words("terms_from_giving", days=days)
            if terms.until is None
            else words("valid_days", days=days, until=words.day(terms.until)),
        ),
        (words("terms_often"), _often(terms.frequency, table, words)),
        (words("terms_range"), range_in_words(terms.data_range, words)),
        (words("terms_mode"), words(f"terms_mode_{terms.mode}")),
        (words("retention"), words("retention_days", days=words.days(terms.retention_days))),
    ]
    if table is not None and table.agreement.told is not None:
        rows += _told(table.agreement.told, words)
    rows.append((words("legal_basis"), _basis(table, policies, words)))
    if table is not None:
        rows.append((words("agreement"), (table.agreement.title_vi, table.agreement.title_en)[words.index]))
    rows.append((words("withdraw"), words("withdraw_how", organisation=organisation)))
    return tuple(rows)


def why_of(field: str, table: AgreementTable | None, words: Words) -> str:
    """Return why the agreement lets a field out, "" where it no longer does."""
    for rule in () if table is None else table.agreement.rules:
        if field in rule.fields:
            return (rule.why_vi or rule.why, rule.why)[words.index]
    return ""


def citations_in_words(citations: Sequence[Citation], policies: PolicySet, words: Words) -> tuple[str, ...]:
    """Return the articles that carry a basis; what is not verified is never presented as law."""
    told = []
    for citation in citations:
        if citation.certainty != _UNREAD:
            instrument = policies.registers.instruments[citation.instrument]
            title = (instrument.title_vi, instrument.title_en)[words.index]
            told.append(words("article", instrument=title, article=citation.article))
    return tuple(told)


def range_in_words(days: DataRange | None, words: Words) -> str:
    """Return of which time the released rows may speak."""
    first, last = (None, None) if days is None else (days.first_day, days.last_day)
    if first is not None and last is not None:
        return words("terms_range_between", first=words.day(first), last=words.day(last))
    if first is not None:
        return words("terms_range_from", first=words.day(first))
    return words("terms_range_any") if last is None else words("terms_range_to", last=words.day(last))


def _often(frequency: Frequency | None, table: AgreementTable | None, words: Words) -> str:
    if frequency is not None:
        return words(f"consents_per_{frequency.per}", count=frequency.use_count)
    limits = () if table is None else table.agreement.limits
    daily = [limit.count for limit in limits if limit.scope == "data_subject_day"]
    return words("terms_often_limit", count=min(daily)) if daily else words("consents_any_time")


def _told(told: Told, words: Words) -> list[tuple[str, str]]:
    index = words.index
    return [
        (words("terms_afterwards"), told.afterwards[index]),
        (words("terms_who_else"), told.who_else[index]),
        (words("terms_harm"), told.harm[index]),
    ]


def _basis(table: AgreementTable | None, policies: PolicySet, words: Words) -> str:
    code = "CONSENT" if table is None else table.agreement.legal_basis
    basis = policies.registers.legal_bases[code]
    label = (basis.label_vi, basis.label_en)[words.index]
    cited = () if table is None else citations_in_words(table.agreement.citations, policies, words)
    return f"{label} ({'; '.join(cited)})" if cited else label
