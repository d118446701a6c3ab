"""Who must sign for a person, as the source's birth date says. Ages are never typed by anybody."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime
from typing import Final

from broker.consent.age import signing_of
from broker.consent.record import Signing
from broker.errors import ConsentTransitionRefused, StoreUnavailable
from connectors.base import LookupKey, Source, SourceAnswerRefused, SourceUnavailable

PERSONAL_ID: Final = "personal_id"
_COLUMNS: Final = ("birth_date", "birth_precision")


@dataclass(frozen=True, slots=True)
class SourcePeople:
    """Implements `broker.actions.consent_doors.People` on the source.

    personal_id_of: account → personal id, "" for none. deadline_seconds: for one look-up.
    """

    source: Source
    personal_id_of: Callable[[str], str]
    deadline_seconds: float

    def signing(self, citizen_id: str, at: datetime) -> Signing:
        """Return who must sign for this person now.

        Raises ConsentTransitionRefused (person_unknown: nobody can say how old they are), StoreUnavailable
        when the source cannot be asked: a decision that cannot be judged is not kept.
        """
        key = LookupKey(PERSONAL_ID, self.personal_id_of(citizen_id))
        try:
            record = self.source.fetch(key, _COLUMNS, self.deadline_seconds)
        except (SourceUnavailable, SourceAnswerRefused):
            raise StoreUnavailable("the source cannot say who must sign") from None
        birth = None if record is None else record.fields.get("birth_date")
        if record is None or not isinstance(birth, date):
            raise ConsentTransitionRefused("person_unknown")
        return signing_of(birth, str(record.fields.get("birth_precision")), at)
