"""Citizens sign in: accounts, sessions, and how often anybody may try.

Level 1 is a password alone; level 2 is a password and a one-time code, a passkey, or what an e-ID provider
calls as strong. An account that has one-time codes is never entered by its password alone. Every attempt is
counted before anything is verified; an account that is not there costs the same work and is answered with
the same words as a wrong password.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from ipaddress import IPv6Address, ip_address, ip_network
from typing import Final, Literal, Protocol, TypeAlias

from broker.oauth.citizen_passwords import Passwords, VerificationBusy
from broker.oauth.citizen_secrets import CitizenSecrets
from broker.oauth.one_time_codes import matching_step, new_secret

WINDOW_SECONDS: Final = 900
SESSION_LIFETIME: Final = timedelta(minutes=30)
SignInMethod: TypeAlias = Literal["password", "one_time_code", "identity_provider", "passkey"]
RECENT: Final = timedelta(seconds=300)
"""How old a sign-in may be at most when somebody gives consent or changes the ways into an account."""
_VALUE_BYTES: Final = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class CitizenAccount:
    """An account as it is verified.

    password_hash: PHC string, None without a password. totp_secret_encrypted: None without codes.
    """

    citizen_id: str
    is_active: bool
    password_hash: str | None = field(repr=False)
    totp_secret_encrypted: bytes | None = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class CitizenSession:
    """Who is signed in. citizen_id: UUID as text. level: 1 or 2. Instants aware; it ends at expires_at."""

    citizen_id: str
    level: int
    authenticated_at: datetime
    expires_at: datetime
    personal_id_encrypted: bytes = field(repr=False)

    def is_recent(self, at: datetime) -> bool:
        """Return whether the person signed in so short a time ago that it is surely they who sit there."""
        return at - self.authenticated_at <= RECENT


@dataclass(frozen=True, slots=True)
class AttemptCounter:
    """One counter that an attempt raises by one. counter_ref: 16 bytes; limit_count: attempts per window."""

    window_start_seconds: int
    counter_ref: bytes
    limit_count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionOpening:
    """A session that begins if the account is still as it was verified and the code's step was never used.

    session_ref: SHA-256 of the cookie's value. totp_step: of the one-time code, None without one.
    verified_hash: the password hash that was found right, which must still be the account's, None where no
    password was asked for; renewed_hash: to be kept in its place. replaced_ref: session that this one takes
    the place of. counted: what is given back with it. browser: which kind, of a closed list.
    """

    session_ref: bytes
    citizen_id: str
    level: int
    authenticated_at: datetime
    expires_at: datetime
    totp_step: int | None = None
    verified_hash: str | None = field(repr=False, default=None)
    renewed_hash: str | None = field(repr=False, default=None)
    replaced_ref: bytes | None = None
    counted: tuple[AttemptCounter, ...] = ()
    method: SignInMethod = "password"
    browser: str = ""


class CitizenStore(Protocol):
    """Where accounts and sessions are kept; `broker.storage.citizens` implements it.

    Every method raises StoreUnavailable.
    """

    def count_attempt(self, counters: Sequence[AttemptCounter]) -> bool:
        """Raise all counters by one, or none and return False when one of them is full."""
        ...

    def give_back(self, counters: Sequence[AttemptCounter]) -> None:
        """Lower counters by one."""
        ...

    def find_account(self, personal_id_ref: bytes) -> CitizenAccount | None:
        """Return an account, suspended ones included."""
        ...

    def open_session(self, opening: SessionOpening) -> bool:
        """Begin a session, all or nothing; return False when the code was used or the account is closed."""
        ...

    def find_session(self, session_ref: bytes, at: datetime) -> CitizenSession | None:
        """Return a session that has not ended, of an account that is active."""
        ...

    def end_session(self, session_ref: bytes) -> None:
        """End a session; one that is not there has ended already."""
        ...


class CitizenReferences(Protocol):
    """Keyed hashes; `broker.evidence.pseudonyms.KeyedPseudonyms` is one."""

    def citizen_ref(self, personal_id: str) -> bytes:
        """Return the reference under which an account is found (32 bytes)."""
        ...

    def source_ref(self, address: str) -> bytes:
        """Return the reference of a network address (32 bytes)."""
        ...


class SignInRefused(Exception):
    """Number, password or code is not right, or the account is closed: nobody is told which."""


class SignInThrottled(SignInRefused):
    """Too many attempts for this account or from this address, whether or not the account exists."""

    def __init__(self, retry_after_seconds: int) -> None:
        super().__init__()
        self.retry_after_seconds = retry_after_seconds


class SignInBusy(SignInRefused):
    """All places for verifying a password are taken; a second later it may be otherwise."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SignInAttempt:
    """What somebody typed. one_time_code: "" when none was. source_address: "" when it cannot be known.

    replaced: value of the session cookie that came with it, "" for none. browser: which kind.
    """

    personal_id: str = field(repr=False)
    password: str = field(repr=False)
    one_time_code: str = field(repr=False, default="")
    source_address: str = field(repr=False, default="")
    replaced: str = field(repr=False, default="")
    browser: str = ""


@dataclass(frozen=True, slots=True)
class SignedIn:
    """value: what the cookie must hold, 256 random bits in base64url, known to the browser alone."""

    value: str = field(repr=False)
    level: int = 1


class CitizenSignIn:
    """Signs citizens in and out.

    account_limit, source_limit: attempts per 15 minutes for one account, and from one address (an IPv6
    address counts as its /64). Windows begin at full quarters of an hour for everybody.
    """

    def __init__(
        self,
        *,
        store: CitizenStore,
        references: CitizenReferences,
        secrets_: CitizenSecrets,
        passwords: Passwords,
        account_limit: int = 10,
        source_limit: int = 100,
    ) -> None:
        self._store = store
        self._references = references
        self._secrets = secrets_
        self._passwords = passwords
        self._account_limit = account_limit
        self._source_limit = source_limit
        self._nobodys_secret = new_secret()

    def sign_in(self, attempt: SignInAttempt, at: datetime) -> SignedIn:
        """Return a new session. Raises SignInRefused, SignInThrottled, SignInBusy, StoreUnavailable.

        The session cookie that came along is worthless afterwards, whatever it was.
        """
        now_seconds = int(at.timestamp())
        personal_id_ref = self._references.citizen_ref(attempt.personal_id)
        counters = self._counters(personal_id_ref, attempt.source_address, now_seconds)
        if not self._store.count_attempt(counters):
            raise SignInThrottled(WINDOW_SECONDS - now_seconds % WINDOW_SECONDS)
        account = self._store.find_account(personal_id_ref)
        try:
            is_right = self._passwords.verify(account.password_hash if account else None, attempt.password)
        except VerificationBusy:
            self._store.give_back(counters)
            raise SignInBusy from None
        step = matching_step(self._totp_secret(account), attempt.one_time_code, at)
        if account is None or account.password_hash is None or not is_right or not account.is_active:
            raise SignInRefused
        has_codes = account.totp_secret_encrypted is not None
        if has_codes and step is None:
            raise SignInRefused
        value = new_session_value()
        opening = SessionOpening(
            session_ref=session_ref_of(value),
            citizen_id=account.citizen_id,
            level=2 if has_codes else 1,
            authenticated_at=at,
            expires_at=at + SESSION_LIFETIME,
            totp_step=step if has_codes else None,
            verified_hash=account.password_hash,
            renewed_hash=self._passwords.renewed(account.password_hash, attempt.password),
            replaced_ref=session_ref_of(attempt.replaced) if attempt.replaced else None,
            counted=counters,
            method="one_time_code" if has_codes else "password",
            browser=attempt.browser,
        )
        if not self._store.open_session(opening):
            raise SignInRefused
        return SignedIn(value, opening.level)

    def count_source(self, source_address: str, at: datetime) -> AttemptCounter:
        """Count an attempt to come in another way than by password; a success gives it back.

        Raises SignInThrottled, StoreUnavailable.
        """
        now_seconds = int(at.timestamp())
        counter = _source_counter(self._references, source_address, now_seconds, self._source_limit)
        if not self._store.count_attempt((counter,)):
            raise SignInThrottled(WINDOW_SECONDS - now_seconds % WINDOW_SECONDS)
        return counter

    def find_session(self, value: str, at: datetime) -> CitizenSession | None:
        """Return the session of a cookie's value, or None. Raises StoreUnavailable."""
        return self._store.find_session(session_ref_of(value), at) if value else None

    def sign_out(self, value: str) -> None:
        """End the session of a cookie's value. Raises StoreUnavailable."""
        if value:
            self._store.end_session(session_ref_of(value))

    def personal_id(self, session: CitizenSession) -> str:
        """Return the 12 digits of whoever is signed in. Raises CitizenSecretUnreadable."""
        return self._secrets.open("personal_id", session.citizen_id, session.personal_id_encrypted)

    def _counters(
        self, personal_id_ref: bytes, source_address: str, now_seconds: int
    ) -> tuple[AttemptCounter, AttemptCounter]:
        """Return address, then account: one order for all, so that no two statements wait in a circle."""
        source = _source_counter(self._references, source_address, now_seconds, self._source_limit)
        account_ref = _counter_ref(b"sign_in_account", personal_id_ref)
        return source, AttemptCounter(source.window_start_seconds, account_ref, self._account_limit)

    def _totp_secret(self, account: CitizenAccount | None) -> str:
        if account is None or account.totp_secret_encrypted is None:
            return self._nobodys_secret
        return self._secrets.open("totp_secret", account.citizen_id, account.totp_secret_encrypted)


def _source_counter(
    references: CitizenReferences, source_address: str, now_seconds: int, limit_count: int
) -> AttemptCounter:
    """Return the counter of all attempts from one address, whatever way in they try."""
    source_ref = references.source_ref(_network_of(source_address))
    window = now_seconds - now_seconds % WINDOW_SECONDS
    return AttemptCounter(window, _counter_ref(b"sign_in_source", source_ref), limit_count)


def new_session_value() -> str:
    """Return 256 fresh random bits in base64url, for a session's cookie."""
    return secrets.token_urlsafe(_VALUE_BYTES)


def session_ref_of(value: str) -> bytes:
    """Return under which reference the store knows the session of a cookie's value (SHA-256)."""
    return hashlib.sha256(value.encode("utf-8", "surrogatepass")).digest()


def _counter_ref(scope: bytes, who: bytes) -> bytes:
    """Key of one counter (16 bytes); addresses and accounts come in as keyed references."""
    return hashlib.sha256(b"%b\x1f%b" % (scope, who)).digest()[:16]


def _network_of(address: str) -> str:
    """Return an address, or the /64 that one household or phone has of IPv6; what is no address is one."""
    try:
        read = ip_address(address)
    except ValueError:
        return ""
    if isinstance(read, IPv6Address) and read.ipv4_mapped is None:
        return str(ip_network((read, 64), strict=False))
    return str(read if not isinstance(read, IPv6Address) else read.ipv4_mapped)
