"""Of several disclosure parameters the strictest of each: in any order the same, never looser than one."""

from __future__ import annotations

from itertools import permutations

from hypothesis import given
from hypothesis import strategies as st

from broker.statistics.agreed import parameters_of
from broker.statistics.disclosure import DisclosureParameters, is_as_strict, strictest
from policies.statistics_terms import DisclosureTerms


@st.composite
def parameters(draw: st.DrawFn) -> DisclosureParameters:
    """Return parameters that there can be a table for: built so that each condition holds."""
    barred = draw(st.integers(0, 6))
    least = (barred + 1) ** 2 // 4
    bound = draw(st.integers(max(barred + 1, 2), 30).filter(lambda value: value * value > least + 1))
    sum_bound = draw(st.integers(1, 30))
    large = draw(st.floats(0.10, 1))
    terms = DisclosureTerms(
        bound=bound,
        variance=draw(st.floats(least, bound * bound, exclude_min=True)),
        barred=barred,
        sum_bound=sum_bound,
        sum_variance=draw(st.floats(0, sum_bound * sum_bound, exclude_min=True)),
        share_small=draw(st.floats(large, 1)),
        share_large=large,
        threshold=draw(st.integers(3, 1000)),
        dominance_percent=draw(st.integers(1, 100)),
        digits=draw(st.integers(1, 6)),
        audit_persons=draw(st.integers(1, 100)),
        audit_percent=draw(st.integers(1, 100)),
    )
    return parameters_of(terms)


@given(st.lists(parameters(), min_size=1, max_size=3))
def test_the_order_does_not_matter_and_what_is_asked_can_be_had_together(
    asked: list[DisclosureParameters],
) -> None:
    assert len({strictest(order) for order in permutations(asked)}) == 1


@given(parameters(), parameters())
def test_it_is_as_strict_as_each_and_no_stricter_than_asked(
    one: DisclosureParameters, other: DisclosureParameters
) -> None:
    both = strictest((one, other))
    assert is_as_strict(both, one)
    assert is_as_strict(both, other)
    for name in ("share_small", "share_large", "threshold", "dominance_percent", "digits"):
        assert getattr(both, name) in (getattr(one, name), getattr(other, name))
    assert both.counts.bound >= max(one.counts.bound, other.counts.bound)
    assert both.counts.variance >= max(one.counts.variance, other.counts.variance)
    assert both.counts.barred >= max(one.counts.barred, other.counts.barred)
    assert both.sums.variance >= max(one.sums.variance, other.sums.variance)
    assert both.digits == min(one.digits, other.digits)
    assert is_as_strict(one, other) is (strictest((one, other)).counts == one.counts and _rest(one, other))


def _rest(one: DisclosureParameters, other: DisclosureParameters) -> bool:
    return (
        one.sums.bound >= other.sums.bound
        and one.sums.variance >= other.sums.variance
        and one.share_small >= other.share_small
        and one.share_large >= other.share_large
        and one.threshold >= other.threshold
        and one.dominance_percent >= other.dominance_percent
        and one.digits <= other.digits
        and one.audit.persons >= other.audit.persons
        and one.audit.percent >= other.audit.percent
    )


@given(parameters())
def test_the_same_asked_twice_is_the_same(one: DisclosureParameters) -> None:
    assert strictest((one, one)) == one
    assert strictest((one,)) == one
    assert is_as_strict(one, one)


def test_where_nobody_asks_the_usual_ones_hold() -> None:
    assert strictest(()) == DisclosureParameters() == parameters_of(DisclosureTerms())
