"""What an agreement about aggregates says of tables: how they are protected, and how much may be asked for.

Plain values. Whether noise with these parameters exists is arithmetic that the broker checks where it loads
policies (`broker.statistics.agreed`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

DISCLOSURE: Final = "disclosure_control"
LIMITS: Final = "export_limits"
EXPORT_FORMATS: Final = ("csv", "parquet", "sdmx-csv", "xlsx")
"""Codes of the packages in which a table can leave."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DisclosureTerms:
    """How tables are protected. A release keeps of each the strictest that an agreement in force asks for.

    bound, variance, barred: D, V and js of counts. sum_bound, sum_variance: of sums, in units of a
    contributor's share. share_small, share_large: of a contributor. threshold: persons below which a count
    is hidden. dominance_percent: p of the p%-rule. digits: of sums. audit_persons, audit_percent: how wide
    what can be told of a hidden cell stays.
    """

    bound: int = 5
    variance: float = 3.0
    barred: int = 2
    sum_bound: int = 5
    sum_variance: float = 2.0
    share_small: float = 0.20
    share_large: float = 0.10
    threshold: int = 10
    dominance_percent: int = 15
    digits: int = 4
    audit_persons: int = 3
    audit_percent: int = 15


LOOSER: Final = frozenset({"digits"})
"""Members of which more tells more; of all others more tells less."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportLimits:
    """How much one table may ask for, within what its release answers. None: as the release says.

    formats: codes that may be asked for. levels: dimension → its levels that may be asked for; of a dimension
    that is not named, all.
    """

    dimensions: int | None = None
    filters: int | None = None
    measures: int | None = None
    cells: int | None = None
    formats: tuple[str, ...] = EXPORT_FORMATS
    levels: tuple[tuple[str, tuple[str, ...]], ...] = ()
