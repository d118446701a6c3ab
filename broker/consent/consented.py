"""What the store knows of a consent when a recipient comes with a token: a value between store and verb."""

from __future__ import annotations

from dataclasses import dataclass, field

from broker.consent.record import Consent


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsentedFacts:
    """A consent as it lies in the store, with what the token in hand has to do with it.

    is_token_alive: issued to this client, neither expired nor revoked; is_grant_alive: neither expired nor
    revoked. agreed_hash: `broker.consent.codec.record_hash` of it. grant_id, subject: of the token's grant.
    personal_id: 12 digits of the data subject.
    """

    consent: Consent
    agreed_hash: str
    is_token_alive: bool
    is_grant_alive: bool
    grant_id: str
    subject: str
    personal_id: str = field(repr=False)
