"""A person's look at the own history leaves an entry too, before anything of it is shown.

Once for each sign-in, hour and thing that is looked at: who turns pages looks once, and a history is not
filled with its own reading; whoever else uses the account in between has signed in anew, and shows.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal, Protocol, TypeAlias

from broker.actions.doors import Pseudonyms, Salts
from broker.actions.limits import HOUR_SECONDS, counter_ref
from broker.evidence.acting import BY_ITSELF, Drafts
from broker.evidence.pseudonyms import CITIZEN_PREFIX
from broker.evidence.recording import EvidenceRow

RIGHT: Final = "SELF"
"""Legal basis of such a look (`policies/legal_bases.toml`)."""
OwnWhat: TypeAlias = Literal["history", "evidence_file"]


class LookStore(Protocol):
    """Where looks are recorded; `broker.storage.looks.PostgresLooks` is one."""

    def record_once(self, row: EvidenceRow, once_ref: bytes, window_start_seconds: int) -> bool:
        """Record a look unless one was recorded under the same key in that window; return whether it was.

        once_ref: 16 bytes. What is recorded is committed. Raises StoreUnavailable, EvidenceSecretUnreadable.
        """
        ...


@dataclass(frozen=True, slots=True)
class OwnLooks:
    """The verb with its doors. new_reference gives a fresh UUIDv7 as text."""

    store: LookStore
    pseudonyms: Pseudonyms
    salts: Salts
    new_reference: Callable[[], str]

    def record(
        self,
        citizen_id: str,
        signed_in_at: datetime,
        at: datetime,
        what: OwnWhat = "history",
        entry: str = "",
    ) -> bool:
        """Record that a person looks at the own history, or takes an entry along; only then show it.

        signed_in_at: of the session. entry: reference of the one that is taken along. Return whether this
        look is the first of its hour. Raises StoreUnavailable, EvidenceSecretUnreadable.
        """
        drafts = Drafts(
            acting=BY_ITSELF,
            clock=lambda: at,
            new_reference=self.new_reference,
            salts=self.salts,
            data_subject_ref=self.pseudonyms.data_subject_ref,
        )
        name = CITIZEN_PREFIX + citizen_id
        who = self.pseudonyms.data_subject_ref(name)
        session = b"%b\x1f%d" % (who, int(signed_in_at.timestamp() * 1_000_000))
        seconds = int(at.timestamp())
        return self.store.record_once(
            drafts.log_read("own", what, RIGHT, data_subject=name, entry=entry),
            counter_ref(b"own_look", f"{what}/{entry}".encode(), session),
            seconds - seconds % HOUR_SECONDS,
        )
