"""What the store knows of a consent when a recipient comes with a token: a value between store and verb."""

from __future__ import annotations

from dataclasses import dataclass, field

from broker.consent.record import Consent


@dataclass(frozen=True, slots=True)
class FrequencyCounter:
    """Where a consent counts its releases if its frequency is per this period.

    per: as in `broker.consent.record.Frequency`. ends_at_seconds: Unix time, under which the counter stands;
    None for "the end of the consent". counter_ref: 16 bytes.
    """

    per: str
    ends_at_seconds: int | None
    counter_ref: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsentedFacts:
    """A consent as it lies in the store, with what the token in hand has to do with it.

    is_token_alive: issued to this client, neither expired nor revoked; is_grant_alive: neither expired nor
    revoked. grant_id, subject: of the token's grant. used_count: releases counted in the present period of
    the consent's own frequency; 0 where it has none. personal_id: 12 digits of the data subject.
    """

    consent: Consent
    is_token_alive: bool
    is_grant_alive: bool
    grant_id: str
    subject: str
    used_count: int
    personal_id: str = field(repr=False)
