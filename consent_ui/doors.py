"""What the citizen's pages need from behind: pending authorization requests, and what becomes of them."""

from __future__ import annotations

from datetime import datetime
from typing import Protocol

from broker.consent.record import Notice
from broker.oauth.authorization_request import Approval, AuthorizationRequest


class Authorizations(Protocol):
    """Pending requests; `broker.oauth.authorization.Authorizations` is one. All raise StoreUnavailable."""

    def find(self, request_ref: bytes, at: datetime) -> AuthorizationRequest | None:
        """Return a request that waits for a decision; None when unknown, expired or decided."""
        ...

    def approve(
        self, request: AuthorizationRequest, approval: Approval, at: datetime, notice: Notice | None = None
    ) -> str:
        """Return the URL of the client, with a code. Raises AuthorizationRefused when it cannot be kept.

        notice: exactly what was shown before the choice.
        """
        ...

    def refuse(
        self,
        request: AuthorizationRequest,
        at: datetime,
        citizen_id: str | None = None,
        notice: Notice | None = None,
    ) -> str:
        """Return the URL of the client, with access_denied. Raises AuthorizationRefused as approve does.

        citizen_id: who refused; the refusal is kept under that account.
        """
        ...
