"""Who saw my data, in words: from entries of the log to what the page shows. Pure; ids become labels here."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Final

from broker.actions.own_reading import CHILD_PAGES, CITIZEN_PAGES
from broker.evidence.history import HistoryCount, HistoryEntry
from consent_ui.form_words import form_name
from consent_ui.terms_words import citations_in_words
from consent_ui.words import WORDS, Words
from policies.compile import PolicySet
from policies.vocabulary import ACTIONS

CHART_HEIGHT: Final = 80
"""Height of the greatest bar, in the units of the drawing."""
_OWN: Final = "own"
_STEP: Final = 28
_WIDTH: Final = 18


@dataclass(frozen=True, slots=True)
class EntryView:
    """One entry in words. fields: label and form; withheld: label and why.

    is_look: a release or refused attempt; of any other entry only what happened is told, as its result.
    """

    reference: str
    moment: str
    instant: str
    organisation: str
    is_own: bool
    purpose: str
    legal_basis: str
    citations: tuple[str, ...]
    fields: tuple[tuple[str, str], ...]
    withheld: tuple[tuple[str, str], ...]
    result: str
    is_released: bool
    reason: str
    by_consent: bool
    has_acting_person: bool
    is_look: bool = True
    in_emergency: bool = False


@dataclass(frozen=True, slots=True)
class MonthView:
    """One month of the chart and of the table beside it. Coordinates in units of the drawing."""

    label: str
    value: str
    released: int
    stopped: int
    x: int
    released_y: int
    released_height: int
    stopped_y: int
    stopped_height: int


def entry_view(entry: HistoryEntry, policies: PolicySet, words: Words) -> EntryView:
    """Return an entry in words. Whatever is not known any more is shown by its code, never left out."""
    purpose = policies.registers.purposes.get(entry.purpose)
    basis = policies.registers.legal_bases.get(entry.legal_basis)
    action, agreement = ACTIONS.get(entry.action), policies.find_agreement(entry.agreement)
    return EntryView(
        reference=entry.reference,
        moment=words.moment(entry.at),
        instant=entry.at.isoformat(),
        organisation=organisation_name(_who(entry), entry.recipient_names, words),
        is_own=entry.recipient == CITIZEN_PAGES.organisation_id,
        purpose=(
            (purpose.label_vi, purpose.label_en)[words.index]
            if purpose is not None
            else (entry.action if action is None else action[words.index])
        ),
        legal_basis="" if basis is None else (basis.label_vi, basis.label_en)[words.index],
        citations=() if agreement is None else citations_in_words(agreement.citations, policies, words),
        fields=tuple(
            (_field(name, policies, words), form_name(form, words)) for name, form in entry.released
        ),
        withheld=_withheld(entry, policies, words),
        result=words(f"history_result_{entry.result}") if entry.is_look else _what_happened(entry, words),
        is_released=entry.result == "released",
        reason=reason_in_words(entry.reason, words) if entry.reason else "",
        by_consent=bool(entry.consent),
        # Who represents somebody is no member of anybody's staff; the name says already who acted.
        has_acting_person=entry.has_acting_person and entry.recipient != CHILD_PAGES.organisation_id,
        is_look=entry.is_look,
        in_emergency=entry.in_emergency,
    )


def organisation_name(recipient: str, names: tuple[str, str], words: Words) -> str:
    """Return how an organisation is called; who looks in person, or for a child, is called that."""
    if recipient == CITIZEN_PAGES.organisation_id:
        return words("history_yourself")
    if recipient == CHILD_PAGES.organisation_id:
        return words("history_representative")
    return names[words.index] or names[1 - words.index] or recipient or words("history_agency")


def _who(entry: HistoryEntry) -> str:
    """Return who looked or acted; "" for the agency."""
    is_own = entry.kind == "log_read" and entry.event.startswith(_OWN)
    return CITIZEN_PAGES.organisation_id if is_own else entry.recipient


def _what_happened(entry: HistoryEntry, words: Words) -> str:
    """Return what an entry notes that is no look; an event that has no words is told by its code."""
    family = "consents_event" if entry.kind == "consent" else f"history_{entry.kind}"
    key = f"{family}_{entry.event}"
    return words(key) if key in WORDS else f"{entry.kind}: {entry.event}"


def reason_in_words(reason: str, words: Words) -> str:
    """Return why, in plain words; a code that has none yet is told as it is."""
    key = f"reason_{reason}"
    return words(key) if key in WORDS else words("reason_other", code=reason)


def month_views(counts: Iterable[HistoryCount], months: Sequence[date]) -> tuple[MonthView, ...]:
    """Return the months with their counts, oldest first, and the bars of the drawing."""
    released: dict[date, int] = dict.fromkeys(months, 0)
    stopped: dict[date, int] = dict.fromkeys(months, 0)
    for one in counts:
        of_kind = released if one.is_released else stopped
        if one.month in of_kind:
            of_kind[one.month] += one.count
    most = max(1, *(released[month] + stopped[month] for month in months))
    views = []
    for at, month in enumerate(months):
        high, low = (_height(of_kind[month], most) for of_kind in (stopped, released))
        views.append(
            MonthView(
                label=f"{month:%m/%Y}",
                value=f"{month:%Y-%m}",
                released=released[month],
                stopped=stopped[month],
                x=at * _STEP + (_STEP - _WIDTH) // 2,
                released_y=CHART_HEIGHT - low,
                released_height=low,
                stopped_y=CHART_HEIGHT - low - high,
                stopped_height=high,
            )
        )
    return tuple(views)


def recipients(counts: Iterable[HistoryCount], words: Words) -> list[tuple[str, str]]:
    """Return (id, name) of everybody who came in these months, by name."""
    found: Mapping[str, str] = {
        one.recipient: organisation_name(one.recipient, one.recipient_names, words) for one in counts
    }
    return sorted(found.items(), key=lambda item: item[1].casefold())


def _height(count: int, most: int) -> int:
    """Return the height of a bar: something is never shown as nothing."""
    return max(2, count * CHART_HEIGHT // most) if count else 0


def _withheld(entry: HistoryEntry, policies: PolicySet, words: Words) -> tuple[tuple[str, str], ...]:
    """Return what was asked for and stayed, where some of it left; of a refusal all stayed for one reason."""
    if entry.result != "released":
        return ()
    return tuple(
        (_field(name, policies, words), reason_in_words(reason, words)) for name, reason in entry.withheld
    )


def _field(name: str, policies: PolicySet, words: Words) -> str:
    field = policies.catalogue.fields.get(name)
    return name if field is None else (field.label_vi, field.label_en)[words.index]
