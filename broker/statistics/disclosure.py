"""The parameters of disclosure control, as agreements state them and releases keep them."""

from __future__ import annotations

from dataclasses import dataclass, field

from broker.statistics.audit_rules import AuditRules
from broker.statistics.parameters import CountParameters, MagnitudeParameters


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
