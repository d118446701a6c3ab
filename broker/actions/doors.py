"""The doors through which verbs reach stores and the outside: Protocols beside their consumer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from broker.evidence.recording import AccessContext, EvidenceRow, Judgement, ReleaseRecord
from broker.oauth.registry import ClientFacts


class Facts(Protocol):
    """Facts that may come from a cache of bounded age."""

    def find_client(self, client_id: str) -> ClientFacts | None:
        """Return the client if it is registered."""
        ...


class Pseudonyms(Protocol):
    """Keyed hashes: the same words give the same 32 bytes, and nobody without the key can test a guess."""

    def staff_ref(self, organisation_id: str, personal_id: str) -> bytes:
        """Return the reference of a staff member of an organisation."""
        ...

    def data_subject_ref(self, data_subject: str) -> bytes:
        """Return the reference under which a data subject's evidence is found."""
        ...

    def encounter_ref(self, organisation_id: str, encounter_reference: str) -> str:
        """Return a hex reference that groups the look-ups of one visit."""
        ...


class Salts(Protocol):
    """Fresh random salts."""

    def __call__(self) -> bytes:
        """Return 32 fresh random bytes."""
        ...


class Ledger(Protocol):
    """The evidence door: writes durably or raises; there is no third way."""

    def record_release(self, record: ReleaseRecord) -> Judgement:
        """Judge and record in one statement: recorded means committed. Raises EvidenceUnavailable."""
        ...

    def record_refusal(self, context: AccessContext, row: EvidenceRow) -> bool:
        """Burn the proof and record a refusal; return whether the proof was fresh.

        Raises EvidenceUnavailable.
        """
        ...


class Countdown(Protocol):
    """Starts counting down; a verb has no clock of its own."""

    def __call__(self, seconds: float) -> Callable[[], float]:
        """Return a function that says how many of these seconds are left."""
        ...
