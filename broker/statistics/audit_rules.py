"""How wide the auditor keeps what could be told of a hidden cell."""

from __future__ import annotations

from dataclasses import dataclass

from broker.statistics.reasons import StatisticsRefused


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditRules:
    """How wide the interval of a hidden cell must stay: a count's, persons; a sum's, percent of the largest.

    Raises StatisticsRefused("rule_malformed").
    """

    persons: int = 3
    percent: int = 15

    def __post_init__(self) -> None:
        if not 1 <= self.persons <= 100 or not 1 <= self.percent <= 100:
            raise StatisticsRefused("rule_malformed", "intervals are 1 to 100 persons, 1 to 100 percent wide")
