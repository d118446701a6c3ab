"""What a second release of the same quarter may be: few, worth having, and not a different country.

Each release has secrets of its own, so the same persons have other noise in the next one. Who has a table of
both can take the mean of the two noises. What bounds that is how many there are, and that tables asked of the
former count in the next (`release_cap.may_release`): of one quarter a client never has more tables than the
cap, whatever they are spread over.
"""

from __future__ import annotations

from dataclasses import dataclass

from broker.statistics.reasons import StatisticsRefused


@dataclass(frozen=True, slots=True, kw_only=True)
class RevisionPolicy:
    """How a quarter's releases may follow one another. Raises StatisticsRefused("rule_malformed").

    revisions: releases of one quarter in all. With r of them the noise of a cell that did not change has r
    draws, and their mean a variance of V / r: with 3 and V = 3 it is 1, the least that anybody can come to.
    least_permille: of rows that differ. Below it the new release would tell nearly the same persons again,
    and what is gained would be the second draw alone. One row in a thousand late declarations always change.
    most_permille: of rows that differ. Above it the source was half loaded, or is another one: somebody has
    to look before it is told to anybody.
    """

    revisions: int = 3
    least_permille: int = 1
    most_permille: int = 200

    def __post_init__(self) -> None:
        if not 1 <= self.revisions <= 10:
            raise StatisticsRefused("rule_malformed", "a quarter has 1 to 10 releases")
        if not 0 <= self.least_permille <= self.most_permille <= 1000:
            raise StatisticsRefused("rule_malformed", "what changes lies between 0 and 1000 permille")


@dataclass(frozen=True, slots=True)
class Change:
    """What differs between two releases, rows without their keys. rows: of the former, of the new one.

    gone: rows of the former that the new one has not; come: the other way round.
    """

    rows_before: int
    rows_now: int
    gone: int
    come: int

    @property
    def permille(self) -> float:
        """How many of a thousand rows differ, of the larger release; 0 where neither has any."""
        most = max(self.rows_before, self.rows_now)
        return 1000 * max(self.gone, self.come) / most if most else 0.0


def check_revision(policy: RevisionPolicy, revision: int) -> None:
    """Raise StatisticsRefused("revisions_exhausted") unless a quarter may have this revision, from 1."""
    if revision > policy.revisions:
        raise StatisticsRefused(
            "revisions_exhausted", f"{policy.revisions} releases of one quarter: each adds a draw of noise"
        )


def check_change(policy: RevisionPolicy, change: Change) -> None:
    """Raise StatisticsRefused("revision_unlikely") unless as much changed as policy allows.

    The refusal tells which bound it was and no number of rows.
    """
    if change.permille < policy.least_permille:
        raise StatisticsRefused(
            "revision_unlikely",
            f"less than {policy.least_permille} in 1000 rows differ from the former release: a second "
            "noise on the same persons would average out, and little would be put right",
        )
    if change.permille > policy.most_permille:
        raise StatisticsRefused(
            "revision_unlikely",
            f"more than {policy.most_permille} in 1000 rows differ from the former release: see first "
            "whether the source is whole",
        )
