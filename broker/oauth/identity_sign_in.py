"""Signing in through a provider of electronic identities: whose account that is, and the session that begins.

The provider's answer is verified before it comes here (`connectors.identity`); of it, issuer, sub, personal
id, level and instant are all that anybody sees, and a hash of the first two is all that is kept.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, Protocol
from uuid import uuid4

from broker.oauth.citizen_secrets import CitizenSecrets
from broker.oauth.citizens import (
    SESSION_LIFETIME,
    AttemptCounter,
    CitizenReferences,
    SessionOpening,
    SignedIn,
    new_session_value,
    session_ref_of,
)
from broker.oauth.sign_in_challenges import (
    CHALLENGE_LIFETIME,
    Challenge,
    ChallengeStore,
    challenge_ref_of,
)

_STATE_BYTES: Final = 32


class Identity(Protocol):
    """Whom a provider has recognised; `connectors.identity.VerifiedIdentity` is one."""

    @property
    def issuer(self) -> str:
        """Who says so: the provider's issuer URL."""
        ...

    @property
    def subject(self) -> str:
        """How the provider calls the person ("sub")."""
        ...

    @property
    def personal_id(self) -> str:
        """The 12 digits, "" if the provider did not say them."""
        ...

    @property
    def level(self) -> int:
        """1 or 2."""
        ...

    @property
    def authenticated_at(self) -> datetime:
        """When the person did something to be recognised."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class IdentityEntry:
    """An entry to be made: whose it is, and the session that begins then.

    identity_ref, personal_id_ref: 32 bytes each, the second None where no number was said. opening:
    its citizen_id is that of an account to be opened if this person has none, with personal_id_encrypted.
    """

    identity_ref: bytes
    issuer: str
    personal_id_ref: bytes | None
    personal_id_encrypted: bytes = field(repr=False)
    opening: SessionOpening


class IdentityStore(Protocol):
    """Where identities are kept; `broker.storage.identities` implements it."""

    def enter(self, entry: IdentityEntry) -> str | None:
        """Find or open the account and begin the session, all or nothing; return why not, in fixed words.

        Raises StoreUnavailable.
        """
        ...


class IdentityNotAccepted(Exception):
    """The provider's word is good, but opens nothing here. reason: fixed words, for the log alone."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class IdentitySignIn:
    """Lets citizens out to a provider and in again."""

    def __init__(
        self,
        *,
        identities: IdentityStore,
        challenges: ChallengeStore,
        references: CitizenReferences,
        secrets_: CitizenSecrets,
    ) -> None:
        self._identities = identities
        self._challenges = challenges
        self._references = references
        self._secrets = secrets_

    def new_state(self) -> str:
        """Return 256 fresh random bits in base64url."""
        return secrets.token_urlsafe(_STATE_BYTES)

    def leave(self, state: str, bound_to: str, expected: Mapping[str, Any], at: datetime) -> None:
        """Keep what must come back. bound_to: value of the browser's cookie. Raises StoreUnavailable."""
        self._challenges.keep_challenge(
            Challenge(
                challenge_ref=challenge_ref_of(state, bound_to),
                kind="identity",
                expected=expected,
                expires_at=at + CHALLENGE_LIFETIME,
            )
        )

    def returned(self, state: str, bound_to: str, at: datetime) -> Mapping[str, Any] | None:
        """Return what was kept when this browser left with this state, once. Raises StoreUnavailable."""
        if not state or not bound_to:
            return None
        return self._challenges.take_challenge(challenge_ref_of(state, bound_to), "identity", at)

    def enter(
        self,
        identity: Identity,
        at: datetime,
        *,
        replaced: str = "",
        browser: str = "",
        counted: tuple[AttemptCounter, ...] = (),
    ) -> SignedIn:
        """Return a new session of whoever was recognised. replaced, browser: as of SignInAttempt.

        An identity that was here before enters its account; another one that of its personal id, which is
        opened, without a password, if there is none. Raises IdentityNotAccepted, StoreUnavailable.
        """
        value, citizen_id = new_session_value(), str(uuid4())
        personal_id = identity.personal_id
        opening = SessionOpening(
            session_ref=session_ref_of(value),
            citizen_id=citizen_id,
            level=identity.level,
            authenticated_at=identity.authenticated_at,
            expires_at=at + SESSION_LIFETIME,
            replaced_ref=session_ref_of(replaced) if replaced else None,
            counted=counted,
            method="identity_provider",
            browser=browser,
        )
        refused = self._identities.enter(
            IdentityEntry(
                identity_ref=identity_ref_of(identity.issuer, identity.subject),
                issuer=identity.issuer,
                personal_id_ref=self._references.citizen_ref(personal_id) if personal_id else None,
                personal_id_encrypted=self._secrets.seal("personal_id", citizen_id, personal_id),
                opening=opening,
            )
        )
        if refused is not None:
            raise IdentityNotAccepted(refused)
        return SignedIn(value, opening.level)


def identity_ref_of(issuer: str, subject: str) -> bytes:
    """Return under which reference a provider's person is kept (SHA-256, 32 bytes), never "sub" itself."""
    return hashlib.sha256(f"{len(issuer)}:{issuer}{subject}".encode("utf-8", "surrogatepass")).digest()
