"""The answer that hands out tokens of a grant: access token, refresh token and ID token together."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable
from typing import Any

from broker.oauth.authorization_request import Grant
from broker.oauth.bound_tokens import Details, TokenIssuer, TokenTerms
from broker.oauth.client_metadata_schema import REFRESH_TOKEN
from broker.oauth.form_request import FormRequest
from broker.oauth.grants import claims_of
from broker.oauth.id_tokens import IdTokens
from broker.oauth.issuing import IssueVerdict, RefreshIssue, TokenIssue
from broker.oauth.scopes import OPENID


def granted_answer(
    request: FormRequest,
    issuer: TokenIssuer,
    id_tokens: IdTokens,
    grant: Grant,
    details: Details,
    keep: Callable[[TokenIssue, RefreshIssue | None], IssueVerdict],
    nonce: str | None = None,
) -> dict[str, Any]:
    """Return the token response (RFC 6749, 5.1; OpenID Connect Core, 3.1.3.3) once all of it is kept.

    keep: the one statement that keeps the hashes. A refresh token for clients registered for it; an ID token
    where openid was granted. Raises as `TokenIssuer.issue` does.
    """
    client = request.client
    if client is None:
        raise RuntimeError("a token was about to be issued without client authentication")
    refresh_token = secrets.token_urlsafe(32) if client.check_grant_type(REFRESH_TOKEN) else None
    refresh = None
    if refresh_token is not None:
        refresh = RefreshIssue(token_hash=secret_hash(refresh_token), expires_at=grant.expires_at)
    terms = TokenTerms(
        subject=grant.subject,
        scope=grant.scope,
        details=details,
        grant_id=grant.grant_id,
        expires_at=grant.expires_at,
        extra=claims_of(grant),
    )
    body = issuer.issue(request, client, terms, lambda issue: keep(issue, refresh))
    if refresh_token is not None:
        body["refresh_token"] = refresh_token
    if OPENID in grant.scope.split(" "):
        body["id_token"] = id_tokens.issue(grant, nonce, request.at)
    return body


def secret_hash(secret: str) -> bytes:
    """Return the SHA-256 under which a code or token is kept."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).digest()
