"""Accounts of children, opened so that consents can be kept; nobody can sign in before it gets a way in."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Literal, Protocol

from broker.storage.citizens import CitizenRecord, PostgresCitizens
from broker.storage.clients import AlreadyRegistered


class _Secrets(Protocol):
    def seal(self, purpose: Literal["personal_id"], citizen_id: str, plain: str) -> bytes: ...


class RepresentedAccounts:
    """Implements `broker.actions.represent.Accounts`. new_id gives a fresh UUIDv7 as text."""

    def __init__(
        self,
        citizens: PostgresCitizens,
        secrets: _Secrets,
        citizen_ref: Callable[[str], bytes],
        new_id: Callable[[], str],
    ) -> None:
        self._citizens = citizens
        self._secrets = secrets
        self._citizen_ref = citizen_ref
        self._new_id = new_id

    def account_of(self, personal_id: str) -> str | None:
        """Return the account of a person, opened where there is none; None for a closed one."""
        reference = self._citizen_ref(personal_id)
        account = self._citizens.find_account(reference)
        if account is None:
            citizen_id = self._new_id()
            record = CitizenRecord(
                citizen_id=citizen_id,
                personal_id_ref=reference,
                personal_id_encrypted=self._secrets.seal("personal_id", citizen_id, personal_id),
                password_hash=None,
                totp_secret_encrypted=None,
            )
            # The other parent may look at the same moment; there is one account all the same.
            with suppress(AlreadyRegistered):
                self._citizens.register_citizen(record)
            account = self._citizens.find_account(reference)
        return account.citizen_id if account is not None and account.is_active else None
