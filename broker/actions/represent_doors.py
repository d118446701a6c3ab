"""The doors of `represent`: Protocols beside their consumer."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from broker.consent.record import Actor, Consent, DataRange, Notice, Signer
from broker.consent.writing import ChainedEvent


class Accounts(Protocol):
    """The accounts of citizens."""

    def account_of(self, personal_id: str) -> str | None:
        """Return the account of a person, opened without a way to sign in where there is none.

        None for one that is closed. Raises StoreUnavailable.
        """
        ...


class Decisions(Protocol):
    """What becomes of requests and consents; `broker.actions.decide_consent.DecideConsent` is one."""

    def find_all(self, citizen_id: str, at: datetime) -> Sequence[Consent]:
        """Return all of a person's consents as they stand now, what waits for a decision among them."""
        ...

    def find_mine(self, citizen_id: str, at: datetime) -> Sequence[Consent]:
        """Return what find_all does, of requests only those that were opened before."""
        ...

    def history(self, citizen_id: str, consent_id: str) -> Sequence[ChainedEvent]:
        """Return the events of one of a person's consents."""
        ...

    def view(self, actor: Actor, consent_id: str, at: datetime, relation_hash: str = "") -> Consent:
        """Write down that a request was looked at for the first time."""
        ...

    def decide(
        self,
        signer: Signer,
        consent_id: str,
        given: frozenset[str],
        notice: Notice,
        at: datetime,
        *,
        valid_days: int | None = None,
        data_range: DataRange | None = None,
    ) -> Consent:
        """Give the named fields, perhaps for less than was asked, or refuse by giving none."""
        ...

    def withdraw(self, actor: Actor, consent_id: str, at: datetime, relation_hash: str = "") -> Consent:
        """Withdraw; no release commits after it has returned."""
        ...

    def withdrawn_with(self, actor: Actor, consent: Consent, at: datetime) -> Sequence[Consent]:
        """Return what goes with a consent when it is withdrawn."""
        ...

    def pause(self, actor: Actor, consent_id: str, at: datetime, relation_hash: str = "") -> Consent:
        """Pause until whoever paused it resumes it."""
        ...

    def resume(self, signer: Signer, consent_id: str, at: datetime) -> Consent:
        """Resume what the signer's role has paused."""
        ...

    def confirm(self, signer: Signer, consent_id: str, notice: Notice, at: datetime) -> Consent:
        """Confirm what fell due on a birthday."""
        ...

    def extend(
        self, signer: Signer, consent_id: str, notice: Notice, at: datetime, *, valid_days: int | None = None
    ) -> Consent:
        """Extend: a new consent of the same words takes the place of the old one."""
        ...
