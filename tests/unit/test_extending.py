"""Which longer ends a consent's page offers."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from broker.consent import life
from broker.consent.record import DataRange
from broker.consent.terms import is_within_agreement
from consent_ui.extending import lengths_of
from consent_ui.words import Words
from policies.civil_time import civil_date
from policies.form_context import months_before
from tests.consent_lives import AT, notice, requested, signer
from tests.unit.test_consent_terms import DAY, SHIPPED, TABLE, asked

LATER = AT + timedelta(days=25)


def lengths_in_days(**changed: Any) -> list[int]:
    terms = asked(**changed)
    given = life.decide(requested(terms=terms), terms.field_names, signer(), notice(), AT).consent
    return [one.days for one in lengths_of(given, SHIPPED, LATER, Words("en"))]


def test_a_range_that_begins_before_the_agreements_months_by_now_keeps_nobody_from_extending() -> None:
    [scope] = [one for one in TABLE.agreement.row_scopes if one.group == "contributions"]
    first_day = months_before(DAY, scope.months)
    of_a_range = asked(data_range=DataRange(first_day, None))
    assert not is_within_agreement(of_a_range, TABLE, civil_date(LATER)), "it would be refused if asked now"
    assert lengths_in_days(data_range=DataRange(first_day, None)) == lengths_in_days() == [7, 30]
