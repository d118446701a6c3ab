"""Passkeys (Web Authentication): registered by whoever is signed in at level 2, entered with at level 2.

py_webauthn verifies; the challenge is kept in the store, good once and in one browser. A user-verifying
authenticator proves possession and a finger, face or PIN: two factors, hence level 2.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, Protocol
from urllib.parse import urlsplit
from uuid import UUID

from webauthn import (
    base64url_to_bytes,
    generate_authentication_options,
    generate_registration_options,
    options_to_json,
    verify_authentication_response,
    verify_registration_response,
)
from webauthn.helpers import bytes_to_base64url, generate_challenge, parse_client_data_json
from webauthn.helpers.structs import (
    AuthenticatorSelectionCriteria,
    PublicKeyCredentialDescriptor,
    ResidentKeyRequirement,
    UserVerificationRequirement,
)

from broker.oauth.citizens import (
    SESSION_LIFETIME,
    AttemptCounter,
    CitizenSession,
    SessionOpening,
    SignedIn,
    new_session_value,
    session_ref_of,
)
from broker.oauth.sign_in_challenges import (
    CHALLENGE_LIFETIME,
    Challenge,
    ChallengeKind,
    ChallengeStore,
    challenge_ref_of,
    counter_of,
    kept_counter,
)

PASSKEYS_MAX: Final = 10
LABEL_MAX: Final = 40
ANSWER_CHARACTERS_MAX: Final = 16_384
_TIMEOUT_MILLISECONDS: Final = 120_000


class PasskeyRefused(Exception):
    """What the browser brought does not prove anything. reason: fixed words, for the log alone."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, slots=True, kw_only=True)
class Passkey:
    """One passkey. credential_id: the authenticator's name for it. public_key: COSE. label: the citizen's."""

    credential_id: bytes = field(repr=False)
    citizen_id: str
    public_key: bytes = field(repr=False)
    sign_count: int
    label: str = field(repr=False)
    registered_at: datetime
    last_used_at: datetime | None = None

    @property
    def handle(self) -> str:
        """The credential id in base64url."""
        return bytes_to_base64url(self.credential_id)


class PasskeyStore(Protocol):
    """Where passkeys are kept; `broker.storage.passkeys` implements it.

    Every method raises StoreUnavailable.
    """

    def list_passkeys(self, citizen_id: str) -> Sequence[Passkey]:
        """Return a citizen's passkeys, the oldest first."""
        ...

    def find_passkey(self, credential_id: bytes) -> Passkey | None:
        """Return one, whoever's it is."""
        ...

    def register_passkey(self, passkey: Passkey, most: int) -> bool:
        """Keep one; False if it is there already or this citizen has so many."""
        ...

    def rename_passkey(self, citizen_id: str, credential_id: bytes, label: str) -> bool:
        """Give one of this citizen's own another label; return whether there was one."""
        ...

    def remove_passkey(self, citizen_id: str, credential_id: bytes) -> bool:
        """Forget one of this citizen's own; return whether there was one."""
        ...

    def enter(self, passkey: Passkey, sign_count: int, opening: SessionOpening) -> bool:
        """Raise the count and begin the session, all or nothing; False where count or account forbid it."""
        ...


class CitizenPasskeys:
    """Registers passkeys, and signs citizens in with them. issuer: of this broker, whose host counts."""

    def __init__(self, store: PasskeyStore, challenges: ChallengeStore, issuer: str) -> None:
        parts = urlsplit(issuer)
        self.store = store
        self._challenges = challenges
        self._host = parts.hostname or ""
        self._origin = f"{parts.scheme}://{parts.netloc}".lower()

    def sign_in_options(self, bound_to: str, at: datetime, counted: tuple[AttemptCounter, ...] = ()) -> str:
        """Return what `navigator.credentials.get` takes, as JSON; any of the person's passkeys will do.

        bound_to: value of the browser's cookie. counted: what asking was counted at; a sign-in by the answer
        gives it back. Raises StoreUnavailable.
        """
        kept = {"counted": [kept_counter(one) for one in counted]}
        challenge = self._challenge("passkey_sign_in", bound_to, kept, at)
        options = generate_authentication_options(
            rp_id=self._host,
            challenge=challenge,
            timeout=_TIMEOUT_MILLISECONDS,
            user_verification=UserVerificationRequirement.REQUIRED,
        )
        return options_to_json(options)

    def sign_in(
        self,
        answer: str,
        bound_to: str,
        at: datetime,
        *,
        replaced: str = "",
        browser: str = "",
        counted: tuple[AttemptCounter, ...] = (),
    ) -> SignedIn:
        """Return a new session of level 2. answer: the credential as JSON; the rest: as of SessionOpening.

        Web Authentication Level 3, 7.2. Raises PasskeyRefused, StoreUnavailable.
        """
        document, challenge, expected = self._returned(answer, "passkey_sign_in", bound_to, at)
        credential_id = handle_bytes(document.get("id"))
        user_handle = handle_bytes(_response(document).get("userHandle"))
        passkey = self.store.find_passkey(credential_id)
        if passkey is None or user_handle != UUID(passkey.citizen_id).bytes:
            raise PasskeyRefused("nobody has this passkey")
        try:
            verified = verify_authentication_response(
                credential=document,
                expected_challenge=challenge,
                expected_rp_id=self._host,
                expected_origin=self._origin,
                credential_public_key=passkey.public_key,
                credential_current_sign_count=passkey.sign_count,
                require_user_verification=True,
            )
        except Exception:
            # The library raises its own kinds, and others for what is not even of the form.
            raise PasskeyRefused("the answer of the authenticator is not right") from None
        value = new_session_value()
        opening = SessionOpening(
            session_ref=session_ref_of(value),
            citizen_id=passkey.citizen_id,
            level=2,
            authenticated_at=at,
            expires_at=at + SESSION_LIFETIME,
            replaced_ref=session_ref_of(replaced) if replaced else None,
            counted=(*counted, *map(counter_of, expected.get("counted", ()))),
            method="passkey",
            browser=browser,
        )
        if not self.store.enter(passkey, verified.new_sign_count, opening):
            raise PasskeyRefused("the count went back, or the account is closed")
        return SignedIn(value, opening.level)

    def registration_options(self, session: CitizenSession, shown: str, bound_to: str, at: datetime) -> str:
        """Return what `navigator.credentials.create` takes, as JSON. shown: what the authenticator shows.

        Raises StoreUnavailable.
        """
        expected = {"citizen_id": session.citizen_id}
        challenge = self._challenge("passkey_registration", bound_to, expected, at)
        known = self.store.list_passkeys(session.citizen_id)
        options = generate_registration_options(
            rp_id=self._host,
            rp_name=self._host,
            user_id=UUID(session.citizen_id).bytes,
            user_name=shown,
            challenge=challenge,
            timeout=_TIMEOUT_MILLISECONDS,
            authenticator_selection=AuthenticatorSelectionCriteria(
                resident_key=ResidentKeyRequirement.REQUIRED,
                user_verification=UserVerificationRequirement.REQUIRED,
            ),
            exclude_credentials=[PublicKeyCredentialDescriptor(id=one.credential_id) for one in known],
        )
        return options_to_json(options)

    def register(self, session: CitizenSession, answer: str, label: str, bound_to: str, at: datetime) -> None:
        """Keep a new passkey. answer: the credential as JSON; label: what the citizen calls it.

        Web Authentication Level 3, 7.1; no attestation is asked for: which make of authenticator somebody has
        is nobody's business. Raises PasskeyRefused, StoreUnavailable.
        """
        document, challenge, expected = self._returned(answer, "passkey_registration", bound_to, at)
        if expected.get("citizen_id") != session.citizen_id:
            raise PasskeyRefused("somebody else began to register it")
        try:
            verified = verify_registration_response(
                credential=document,
                expected_challenge=challenge,
                expected_rp_id=self._host,
                expected_origin=self._origin,
                require_user_verification=True,
            )
        except Exception:
            raise PasskeyRefused("the answer of the authenticator is not right") from None
        passkey = Passkey(
            credential_id=verified.credential_id,
            citizen_id=session.citizen_id,
            public_key=verified.credential_public_key,
            sign_count=verified.sign_count,
            label=label,
            registered_at=at,
        )
        if not self.store.register_passkey(passkey, PASSKEYS_MAX):
            raise PasskeyRefused("it is registered already, or there are too many")

    def _challenge(
        self, kind: ChallengeKind, bound_to: str, expected: Mapping[str, Any], at: datetime
    ) -> bytes:
        challenge = generate_challenge()
        self._challenges.keep_challenge(
            Challenge(
                challenge_ref=challenge_ref_of(bytes_to_base64url(challenge), bound_to),
                kind=kind,
                expected=expected,
                expires_at=at + CHALLENGE_LIFETIME,
            )
        )
        return challenge

    def _returned(
        self, answer: str, kind: ChallengeKind, bound_to: str, at: datetime
    ) -> tuple[dict[str, Any], bytes, Mapping[str, Any]]:
        """Return the answer as read, its challenge, which was ours, and what was kept with it."""
        if len(answer) > ANSWER_CHARACTERS_MAX:
            raise PasskeyRefused("the answer is too long")
        try:
            document = json.loads(answer)
            client_data = _response(document).get("clientDataJSON")
            challenge = parse_client_data_json(handle_bytes(client_data)).challenge
        except Exception:
            raise PasskeyRefused("the answer is not of the form of one") from None
        reference = challenge_ref_of(bytes_to_base64url(challenge), bound_to)
        expected = self._challenges.take_challenge(reference, kind, at) if bound_to else None
        if expected is None:
            raise PasskeyRefused("the challenge is not ours, was answered before, or is too old")
        return document, challenge, expected


def _response(document: Mapping[str, Any]) -> Mapping[str, Any]:
    response = document["response"]
    if not isinstance(response, dict):
        raise PasskeyRefused("the answer is not of the form of one")
    return response


def handle_bytes(text: object) -> bytes:
    """Return what base64url stands for, b"" for anything else."""
    try:
        return base64url_to_bytes(text) if isinstance(text, str) else b""
    except ValueError:
        return b""
