"""The parameters of disclosure control, as agreements state them and releases keep them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from broker.statistics.audit_rules import AuditRules
from broker.statistics.parameters import SHARE_LARGE_MIN, CountParameters, MagnitudeParameters
from broker.statistics.reasons import StatisticsRefused


@dataclass(frozen=True, slots=True, kw_only=True)
class DisclosureParameters:
    """Everything that shapes noise and hiding, without secrets.

    counts: D, V, js of counts. sums: of all measures. share_small, share_large: of a contributor, see
    `magnitudes`. threshold: k, persons. dominance_percent: p%. digits: of sums. audit: widths that stay.
    Raises StatisticsRefused("parameters_infeasible") or ("rule_malformed").
    """

    counts: CountParameters = field(default_factory=lambda: CountParameters(bound=5, variance=3, barred=2))
    sums: MagnitudeParameters = field(
        default_factory=lambda: MagnitudeParameters(bound=5, variance=2, step=4, icat=(1, 3, 5))
    )
    share_small: float = 0.20
    share_large: float = 0.10
    threshold: int = 10
    dominance_percent: int = 15
    digits: int = 4
    audit: AuditRules = field(default_factory=AuditRules)

    def __post_init__(self) -> None:
        if not SHARE_LARGE_MIN <= self.share_large <= self.share_small <= 1:
            raise _malformed(f"shares lie between {SHARE_LARGE_MIN} and 1, and fall with the sum")
        if not 3 <= self.threshold <= 1000:
            raise _malformed("the threshold lies between 3 and 1000 persons")
        if not 1 <= self.dominance_percent <= 100 or not 1 <= self.digits <= 6:
            raise _malformed("p% lies between 1 and 100, digits between 1 and 6")


def strictest(asked: Iterable[DisclosureParameters]) -> DisclosureParameters:
    """Return of each parameter the strictest that is asked for; the usual ones where nobody asks.

    What is asked for can be had together: each condition on D, V and js holds of the largest of each if it
    holds of all; the order does not matter. The rows of the table for sums are those of the largest D.
    """
    found: DisclosureParameters | None = None
    for one in asked:
        found = one if found is None else _stricter(found, one)
    return found or DisclosureParameters()


def is_as_strict(kept: DisclosureParameters, asked: DisclosureParameters) -> bool:
    """Return whether what a release keeps protects at least as an agreement asks for."""
    both = strictest((kept, asked))
    return replace(both, sums=replace(both.sums, step=kept.sums.step, icat=kept.sums.icat)) == kept


def _stricter(one: DisclosureParameters, other: DisclosureParameters) -> DisclosureParameters:
    return DisclosureParameters(
        counts=_stricter_counts(one.counts, other.counts),
        sums=_stricter_sums(one.sums, other.sums),
        share_small=max(one.share_small, other.share_small),
        share_large=max(one.share_large, other.share_large),
        threshold=max(one.threshold, other.threshold),
        dominance_percent=max(one.dominance_percent, other.dominance_percent),
        digits=min(one.digits, other.digits),
        audit=AuditRules(
            persons=max(one.audit.persons, other.audit.persons),
            percent=max(one.audit.percent, other.audit.percent),
        ),
    )


def _stricter_counts(one: CountParameters, other: CountParameters) -> CountParameters:
    return CountParameters(
        bound=max(one.bound, other.bound),
        variance=max(one.variance, other.variance),
        barred=max(one.barred, other.barred),
        stay=min(one.stay, other.stay),
        reaches=one.reaches or other.reaches,
        free_rows=tuple(sorted(set(one.free_rows) & set(other.free_rows))),
    )


def _stricter_sums(one: MagnitudeParameters, other: MagnitudeParameters) -> MagnitudeParameters:
    larger = max(one, other, key=lambda sums: (sums.bound, sums.step, sums.icat))
    return MagnitudeParameters(
        bound=larger.bound,
        variance=max(one.variance, other.variance),
        step=larger.step,
        icat=larger.icat,
        reaches=one.reaches or other.reaches,
    )


def _malformed(detail: str) -> StatisticsRefused:
    return StatisticsRefused("rule_malformed", detail)
