"""From what agreements say of disclosure control to the parameters of a release, or why there are none."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

from broker.statistics.audit_rules import AuditRules
from broker.statistics.disclosure import DisclosureParameters
from broker.statistics.parameters import SHARE_LARGE_MIN, CountParameters, MagnitudeParameters
from broker.statistics.reasons import StatisticsRefused
from policies.model import Agreement, PolicyError
from policies.reading import find_lines
from policies.statistics_terms import DISCLOSURE, DisclosureTerms

AGGREGATE: Final = "nobody_individually"
"""The condition of agreements that give tables."""
_SUM_STEP: Final = 4
"""Steps of noise to a unit of a contributor's share."""


def parameters_of(terms: DisclosureTerms) -> DisclosureParameters:
    """Return the parameters that an agreement asks for. Raises StatisticsRefused where nothing has them."""
    return DisclosureParameters(
        counts=_counts(terms),
        sums=_sums(terms),
        share_small=terms.share_small,
        share_large=terms.share_large,
        threshold=terms.threshold,
        dominance_percent=terms.dominance_percent,
        digits=terms.digits,
        audit=AuditRules(persons=terms.audit_persons, percent=terms.audit_percent),
    )


def terms_of(parameters: DisclosureParameters) -> DisclosureTerms:
    """Return what a release keeps, in the words of agreements: `parameters_of` the other way round."""
    counts, sums, audit = parameters.counts, parameters.sums, parameters.audit
    return DisclosureTerms(
        bound=counts.bound,
        variance=counts.variance,
        barred=counts.barred,
        sum_bound=sums.bound,
        sum_variance=sums.variance,
        share_small=parameters.share_small,
        share_large=parameters.share_large,
        threshold=parameters.threshold,
        dominance_percent=parameters.dominance_percent,
        digits=parameters.digits,
        audit_persons=audit.persons,
        audit_percent=audit.percent,
    )


def asked_parameters(agreements: Iterable[Agreement]) -> tuple[DisclosureParameters, ...]:
    """Return what each agreement about aggregates asks for, in their order. Raises StatisticsRefused."""
    return tuple(parameters_of(one.disclosure_control) for one in agreements if AGGREGATE in one.conditions)


def check_agreements(agreements: Iterable[Agreement]) -> None:
    """Refuse agreements whose parameters no noise has. Raises PolicyError: file, key, line, and why."""
    for agreement in agreements:
        for build, key_of in _PARTS:
            try:
                build(agreement.disclosure_control)
            except StatisticsRefused as refused:
                key = key_of(agreement.disclosure_control)
                lines = find_lines(agreement.text)
                line = lines.get((DISCLOSURE, key), lines.get((DISCLOSURE,), 0))
                told = f"no table can be protected so: {refused.detail}"
                raise PolicyError(agreement.file, f"{DISCLOSURE}.{key}", line, told) from None


def _counts(terms: DisclosureTerms) -> CountParameters:
    return CountParameters(bound=terms.bound, variance=terms.variance, barred=terms.barred)


def _sums(terms: DisclosureTerms) -> MagnitudeParameters:
    rows = sorted({1, (terms.sum_bound + 1) // 2, terms.sum_bound})
    return MagnitudeParameters(
        bound=terms.sum_bound, variance=terms.sum_variance, step=_SUM_STEP, icat=tuple(rows)
    )


def _count_key(terms: DisclosureTerms) -> str:
    return "barred" if terms.barred >= terms.bound else "variance"


def _sum_key(_: DisclosureTerms) -> str:
    return "sum_variance"


def _share_key(terms: DisclosureTerms) -> str:
    return "share_large" if terms.share_large < SHARE_LARGE_MIN else "share_small"


_PARTS: Final[tuple[tuple[Callable[[DisclosureTerms], object], Callable[[DisclosureTerms], str]], ...]] = (
    # What is checked by itself, and the key to name where it fails.
    (_counts, _count_key),
    (_sums, _sum_key),
    (parameters_of, _share_key),
)
