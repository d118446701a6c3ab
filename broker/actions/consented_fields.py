"""Which fields a consent lets out of what a decision permits, and how they are read: no more than needed."""

from __future__ import annotations

from datetime import date
from functools import partial
from typing import Final

from broker.consent.record import Consent, DataRange
from connectors.base import LookupKey, Since, Source
from policies.by_identity import ByIdentity
from policies.form_context import months_before
from policies.forms import companions
from policies.given_forms import within_given_forms
from policies.model import Decision, Record
from policies.row_days import ROW_DAYS, range_columns, within_days

MATCHED_BY_CONSENT: Final = frozenset({"full_name", "birth_date"})
"""What an agreement wants matched and the person's own sign-in settles: nobody else can have consented."""


def consented(decision: Decision, consent: Consent) -> Decision:
    """Return a decision without the fields whose form is no longer the one that was consented to.

    An agreement may change after the consent: a field that would leave in another form than the person was
    shown, in finer bands, or of more months, stays. Nothing left is a refusal.
    """
    given = consent.given_names
    return within_given_forms(
        decision, {one.name: one.shape for one in consent.terms.fields if one.name in given}
    )


def read_record(
    source: Source,
    key: LookupKey,
    decision: Decision,
    days: DataRange | None,
    on_date: date,
    allowed_seconds: float,
) -> Record | None:
    """Station fetch: the permitted columns of the one person whom a consent or a sign-in names.

    What an agreement wants matched is not read: there are no words of the asker to hold it against. Rows
    from before the months that the agreement lets out, or before the first day that was given, are not read
    either; minimise has the last word. Raises SourceUnavailable, SourceAnswerRefused.
    """
    return source.fetch(key, _columns(decision, days), allowed_seconds, _since(decision, days, on_date))


def rows_in_range(record: Record, days: DataRange | None, today: date) -> Record:
    """Return a record whose rows speak of no day outside the range that was given."""
    return record if days is None else within_days(record, days.first_day, days.last_day, today)


def _since(decision: Decision, days: DataRange | None, on_date: date) -> Since:
    """Return from which day on rows are wanted, by the field that says when they begin; the later of two."""
    since = {
        scope.field: months_before(on_date, scope.months)
        for scope in decision.row_scopes
        if scope.keep == "recent"
    }
    if days is not None and days.first_day is not None:
        for group in {one.group for one in decision.released} & ROW_DAYS.keys():
            began = ROW_DAYS[group][0]
            since[began] = max(since.get(began, days.first_day), days.first_day)
    # In one order: each set of fields is a plan of its own at the source.
    return tuple(sorted(since.items()))


def _columns(decision: Decision, days: DataRange | None) -> tuple[str, ...]:
    """Return the columns that released fields, row scopes and the range need, in the decision's order."""
    return _columns_within(decision) if days is not None else _columns_of_all(decision)


def _named_columns(decision: Decision, *, is_range_given: bool) -> tuple[str, ...]:
    needed = {one.field for one in decision.released}
    needed.update(name for one in decision.released for name in companions(one.form))
    needed.update(scope.field for scope in decision.row_scopes)
    if is_range_given:
        needed.update(range_columns(frozenset(one.group for one in decision.released)))
    ordered = [name for name in decision.source_columns if name in needed]
    return (*ordered, *sorted(needed.difference(ordered)))


# The policies decide with few decisions, and every release asks.
_columns_of_all: Final = ByIdentity(partial(_named_columns, is_range_given=False))
_columns_within: Final = ByIdentity(partial(_named_columns, is_range_given=True))
