"""What a consent may do, written out by hand and slowly: a table of transitions, and a clock that ticks."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta

TICK = timedelta(hours=6)
FINAL = {
    "refused",
    "request_expired",
    "cancelled",
    "withdrawn",
    "expired",
    "inapplicable",
    "invalidated",
    "superseded",
}
# State and verb → where it may lead. Whatever is not here must not happen.
TRANSITIONS: dict[tuple[str, str], set[str]] = {
    ("requested", "view"): {"requested"},
    ("requested", "decide"): {"active", "pending_cosign", "refused"},
    ("requested", "refuse"): {"refused"},
    ("requested", "cancel"): {"cancelled"},
    ("requested", "time"): {"request_expired"},
    ("requested", "make_inapplicable"): {"inapplicable"},
    ("pending_cosign", "cosign"): {"active"},
    ("pending_cosign", "refuse"): {"refused"},
    ("pending_cosign", "time"): {"refused"},
    ("pending_cosign", "make_inapplicable"): {"inapplicable"},
    ("active", "pause"): {"paused"},
    ("active", "withdraw"): {"withdrawn"},
    ("active", "amend"): {"superseded"},
    ("active", "extend"): {"superseded"},
    ("active", "exhaust"): {"expired"},
    ("active", "invalidate"): {"invalidated"},
    ("active", "make_inapplicable"): {"inapplicable"},
    ("active", "time"): {"expired", "refresh_due"},
    ("paused", "resume"): {"active"},
    ("paused", "withdraw"): {"withdrawn"},
    ("paused", "exhaust"): {"expired"},
    ("paused", "invalidate"): {"invalidated"},
    ("paused", "make_inapplicable"): {"inapplicable"},
    ("paused", "time"): {"expired"},
    ("refresh_due", "withdraw"): {"withdrawn"},
    ("refresh_due", "confirm"): {"refresh_due", "active"},
    ("refresh_due", "invalidate"): {"invalidated"},
    ("refresh_due", "make_inapplicable"): {"inapplicable"},
    ("refresh_due", "time"): {"expired"},
}


@dataclass
class Model:
    """One consent as the table sees it. roles: who must sign; later_roles: from the birthday on."""

    now: datetime
    asked_until: datetime
    roles: set[str]
    birthday: datetime | None
    later_roles: set[str]
    wanted: set[str]
    required: set[str]
    asked_days: int
    state: str = "requested"
    since: datetime | None = None
    ends: datetime | None = None
    given: set[str] = field(default_factory=set)
    given_days: int = 0
    signed: set[str] = field(default_factory=set)
    confirmed: set[str] = field(default_factory=set)
    paused_by: str = ""

    def tick_to(self, at: datetime) -> None:
        """Let the clock run, a quarter of a day at a time, and do what falls due."""
        while True:
            self._fall_due()
            if self.now >= at:
                return
            self.now += TICK

    def _fall_due(self) -> None:
        if self.state == "requested" and self.now >= self.asked_until:
            self._enter("request_expired")
        elif self.state == "pending_cosign" and self.now >= self.asked_until:
            self._enter("refused")
        elif self.state in ("active", "paused", "refresh_due") and self.ends and self.now >= self.ends:
            self._enter("expired")
        elif self.state == "active" and self.birthday and self.now >= self.birthday:
            self._enter("refresh_due")
            self.confirmed = set()
        elif self.state == "refresh_due" and self.since and self.now >= self.since + timedelta(days=30):
            self._enter("expired")

    def _enter(self, state: str) -> None:
        self.state, self.since = state, self.now

    def go(self, state: str) -> None:
        """Enter a state that somebody's act leads to, if it is another."""
        if state != self.state:
            self._enter(state)
        self._fall_due()

    @property
    def present_roles(self) -> set[str]:
        """Whose signature counts now."""
        return self.later_roles if self.birthday and self.now >= self.birthday else self.roles

    def may_close(self, kind: str, is_data_subject: bool, is_nobody: bool) -> bool:
        """Whether somebody may refuse, look, pause or withdraw."""
        if kind == "data_subject":
            return is_data_subject
        return (
            kind == "representative" and kind in self.present_roles and not is_data_subject and not is_nobody
        )
