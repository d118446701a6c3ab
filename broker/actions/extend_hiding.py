"""`extend_hiding`: a look that a person's history leaves out is disclosed later; an act of administration.

Recorded like everything else, in the transaction that moves the day. What a person may have seen already is
not hidden again, and no extension reaches beyond the maximum of the agreement's revision.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from typing import Final, Literal, Protocol, TypeAlias

from broker.evidence.acting import Drafts
from broker.evidence.disclosure import ExtensionFault, HiddenLook, find_extension_fault
from broker.evidence.recording import EvidenceRow
from policies.civil_time import civil_date

ACT: Final = "disclosure_extended"
HidingFault: TypeAlias = ExtensionFault | Literal["not_hidden", "moved_meanwhile"]


class HidingRefused(Exception):
    """The day of disclosure stays what it is. fault: why; look: None where there is no such look."""

    def __init__(self, fault: HidingFault, look: HiddenLook | None) -> None:
        super().__init__(fault)
        self.fault: HidingFault = fault
        self.look = look


class HiddenStore(Protocol):
    """Looks that are kept out of histories. All methods raise StoreUnavailable."""

    def find_look(self, reference: str) -> HiddenLook | None:
        """Return a look under an agreement that hides looks, disclosed or not; None for any other entry."""
        ...

    def extend(self, look: HiddenLook, until: date, ground: str, row: EvidenceRow, at: datetime) -> bool:
        """Move a look's day and record it in one transaction; False if somebody moved it meanwhile."""
        ...


@dataclass(frozen=True, slots=True)
class ExtendHiding:
    """The verb with its doors. drafts: entries of the operator who does it."""

    store: HiddenStore
    drafts: Drafts

    def extend(self, reference: str, until: date, ground: str) -> str:
        """Move the day of disclosure of a look; return the reference of the entry that says so.

        reference: of the look (text of a UUID). until: the new day, civil time of Viet Nam. ground: code of
        the article. Raises HidingRefused, StoreUnavailable.
        """
        look, at = self.store.find_look(reference), self.drafts.clock()
        if look is None:
            raise HidingRefused("not_hidden", None)
        fault = find_extension_fault(look, until, civil_date(at))
        if fault is not None:
            raise HidingRefused(fault, look)
        row = self.drafts.administration(ACT, reference, (), "")
        if not self.store.extend(look, until, ground, row, at):
            raise HidingRefused("moved_meanwhile", look)
        return row.reference
