"""`end_grant`: a client gives back what it was given, or a code was stolen: the consents end with the grant.

A client cannot withdraw: that is the person's own act, after which everything must be deleted. It may give up
its access, and then no consent may go on that shows the person a reader who cannot read.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final, Protocol

from broker.actions.consent_writer import ConsentWriter
from broker.actions.trying import tried_again
from broker.consent import life
from broker.consent.change import BROKER
from broker.consent.record import Actor, Consent
from broker.consent.standing import state_at
from broker.consent.writing import ConsentWriting, HeldConsent
from broker.evidence.recording import EvidenceRow
from broker.oauth.grant_ends import GrantEnd

_REASONS: Final[Mapping[GrantEnd, str]] = {"client": "by_client", "code_replay": "code_replay"}


class GrantedConsents(Protocol):
    """Keeps consents; `broker.storage.consents.PostgresConsents` is one. All raise StoreUnavailable."""

    def find_of_grant(self, grant_id: str) -> Sequence[HeldConsent]:
        """Return the consents that a grant rests on."""
        ...

    def write(
        self,
        writings: Sequence[ConsentWriting],
        evidence: Sequence[EvidenceRow],
        *,
        ended: tuple[str, GrantEnd, datetime] | None = None,
    ) -> None:
        """Write all of one action, or nothing. Raises ConsentMoved, GrantNotFound."""
        ...


@dataclass(frozen=True, slots=True)
class EndGrant:
    """Implements `broker.oauth.grants.GrantEnder`."""

    store: GrantedConsents
    writer: ConsentWriter

    def end(self, grant_id: str, ended_by: GrantEnd, at: datetime) -> None:
        """End a grant, all its tokens and all consents that live under it, in one transaction.

        Raises GrantNotFound (unknown, or it has ended), ConsentMoved (others change its consents all the
        time), StoreUnavailable.
        """
        tried_again(lambda: self._end(grant_id, ended_by, at))

    def _end(self, grant_id: str, ended_by: GrantEnd, at: datetime) -> None:
        writings: list[ConsentWriting] = []
        evidence: list[EvidenceRow] = []
        for held in self.store.find_of_grant(grant_id):
            if state_at(held.consent, at) not in life.GIVEN:
                continue
            actor = _actor(held.consent, ended_by)
            change = life.make_inapplicable(held.consent, actor, _REASONS[ended_by], at)
            # The grant is ended below, whatever else lives under it, and by somebody in particular.
            written, recorded = self.writer.compose(replace(change, ends_grant=False), held, at)
            writings += written
            evidence += recorded
        self.store.write(writings, evidence, ended=(grant_id, ended_by, at))


def _actor(consent: Consent, ended_by: GrantEnd) -> Actor:
    return Actor(kind="client", reference=consent.client_id) if ended_by == "client" else BROKER
