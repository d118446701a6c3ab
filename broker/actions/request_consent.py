"""`request_consent`: a client asks for the consent of a person who is not in front of it.

Whether the person is known makes no difference to anything that the client sees: the same is checked, the
same is kept, the same is answered. Silence never gives consent.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from math import ceil
from typing import Final, Protocol

from broker.consent.codec import canonical_json
from broker.consent.record import Terms
from broker.consent.terms import HAS_CONSENTED, SHARE_RECORD, AskedTerms, asked_document, terms_of
from broker.consent.writing import Channel, KeptRequest, RequestOpening
from broker.errors import ConsentAskedTooSoon, ConsentRequestConflict, ConsentTermsRefused
from policies.civil_time import civil_date
from policies.compile import PolicySet

ACTION: Final = "request_consent"
COOL_DOWN: Final = timedelta(days=30)
"""How long a refusal protects against being asked the same again (our choice; no law names a length)."""
WAIT_MAX: Final = timedelta(days=30)
WAIT: Final = timedelta(days=7)
"""How long a request waits in the inbox at most, and where the client does not say."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AskingClient:
    """Who asks, by the register."""

    client_id: str
    organisation_id: str
    organisation_kind: str
    agreement_ids: tuple[str, ...]


class RequestKeeper(Protocol):
    """Keeps requests; `broker.storage.consent_requests` has one. All raise StoreUnavailable."""

    def keep(self, opening: RequestOpening, organisation_id: str) -> KeptRequest:
        """Keep a request, unless its id is taken or find_waiting would find one; return what lies there."""
        ...

    def find_waiting(
        self, organisation_id: str, citizen_ref: bytes, purposes: Collection[str], at: datetime
    ) -> KeptRequest | None:
        """Return a request of an organisation for one of these purposes that waits for the person."""
        ...

    def find_request(self, request_id: str) -> KeptRequest | None:
        """Return a request by its id, or None."""
        ...

    def find_refusal(self, organisation_id: str, citizen_ref: bytes, purpose: str) -> datetime | None:
        """Return when the person last refused this organisation for this purpose, or None."""
        ...


class CitizenReferences(Protocol):
    """Finds persons without naming them; `broker.evidence.pseudonyms.KeyedPseudonyms` is one."""

    def citizen_ref(self, personal_id: str) -> bytes:
        """Return the keyed hash of a personal id."""
        ...


@dataclass(frozen=True, slots=True)
class RequestConsent:
    """The verb with its doors. poll_secret_of gives a request's auth_req_id, the same each time."""

    keeper: RequestKeeper
    policies: PolicySet
    references: CitizenReferences
    poll_secret_of: Callable[[str], str]

    def ask(
        self,
        client: AskingClient,
        request_id: str,
        personal_id: str,
        items: Sequence[AskedTerms],
        at: datetime,
        *,
        scope: str,
        channel: Channel = "inbox",
        wait: timedelta = WAIT,
    ) -> KeptRequest:
        """Keep a request and return it; the same request_id with the same words finds the first one again.

        Whatever has become of the agreement meanwhile: a repetition is only compared. By the backchannel,
        where the broker chooses the id, the same words find again what still waits.
        items: one for each purpose. Raises ConsentTermsRefused, ConsentAskedTooSoon,
        ConsentRequestConflict (the id stands for something else), StoreUnavailable.
        """
        citizen_ref = self.references.citizen_ref(personal_id)
        request_hash = _request_hash(client.client_id, citizen_ref, items, scope, wait)
        kept = self.keeper.find_request(request_id)
        if kept is not None:
            return _same(kept, request_hash)
        terms = tuple(self._terms(client, item, at) for item in items)
        opening = RequestOpening(
            request_id=request_id,
            client_id=client.client_id,
            citizen_ref=citizen_ref,
            channel=channel,
            request_hash=request_hash,
            auth_request_hash=hashlib.sha256(self.poll_secret_of(request_id).encode()).digest(),
            items=terms,
            scope=scope,
            requested_at=at,
            expires_at=at + min(wait, WAIT_MAX),
        )
        kept = self._new(client, opening)
        if kept.opening.request_id == request_id:
            return _same(kept, request_hash)
        if channel == kept.opening.channel == "ciba_poll" and kept.opening.request_hash == request_hash:
            return kept
        raise ConsentAskedTooSoon(ceil((kept.opening.expires_at - at).total_seconds()))

    def _new(self, client: AskingClient, opening: RequestOpening) -> KeptRequest:
        """Return the request as it is kept now, or the one that stands in its way.

        What still waits goes before what was refused: of a request that is decided in part nothing is told.
        """
        organisation_id, citizen_ref, at = client.organisation_id, opening.citizen_ref, opening.requested_at
        purposes = [one.purpose for one in opening.items]
        waiting = self.keeper.find_waiting(organisation_id, citizen_ref, purposes, at)
        if waiting is not None:
            return waiting
        self._check_cool_down(client, citizen_ref, opening.items, at)
        return self.keeper.keep(opening, organisation_id)

    def _check_cool_down(
        self, client: AskingClient, citizen_ref: bytes, terms: Sequence[Terms], at: datetime
    ) -> None:
        for one in terms:
            refused_at = self.keeper.find_refusal(client.organisation_id, citizen_ref, one.purpose)
            if refused_at is not None and at < refused_at + COOL_DOWN:
                raise ConsentAskedTooSoon(ceil((refused_at + COOL_DOWN - at).total_seconds()))

    def _terms(self, client: AskingClient, asked: AskedTerms, at: datetime) -> Terms:
        found = [
            one.id
            for one in map(self.policies.find_agreement, client.agreement_ids)
            if one is not None
            and one.action == SHARE_RECORD
            and HAS_CONSENTED in one.conditions
            and one.purpose == asked.purpose
            and one.recipient_kind == client.organisation_kind
            and (not one.recipients or client.organisation_id in one.recipients)
        ]
        if len(found) != 1:
            raise ConsentTermsRefused("agreement_unknown")
        return terms_of(self.policies, found[0], asked, civil_date(at))


def _same(kept: KeptRequest, request_hash: bytes) -> KeptRequest:
    if kept.opening.request_hash != request_hash:
        raise ConsentRequestConflict
    return kept


def _request_hash(
    client_id: str, citizen_ref: bytes, items: Sequence[AskedTerms], scope: str, wait: timedelta
) -> bytes:
    """Return SHA-256 of the words as they were asked, before the agreement has completed them."""
    words: Mapping[str, object] = {
        "client": client_id,
        "person": citizen_ref.hex(),
        "items": [asked_document(one) for one in items],
        "scope": scope,
        "wait_seconds": int(wait.total_seconds()),
    }
    return hashlib.sha256(canonical_json(words)).digest()
