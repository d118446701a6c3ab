"""The authorization code grant at the token endpoint (RFC 6749, 4.1.3): PKCE, and a code bound to a key."""

from __future__ import annotations

import re
from contextlib import suppress
from datetime import timedelta
from typing import Any, Final

from authlib.oauth2.rfc6749 import (  # type: ignore[import-untyped]
    InvalidGrantError,
    InvalidRequestError,
)
from authlib.oauth2.rfc6749.grants import AuthorizationCodeGrant  # type: ignore[import-untyped]
from authlib.oauth2.rfc7636 import create_s256_code_challenge  # type: ignore[import-untyped]

from broker.errors import GrantNotFound
from broker.oauth.authorization_request import Grant, IssuedCode
from broker.oauth.granted import granted_answer, secret_hash
from broker.oauth.grants import GrantEnder
from broker.oauth.narrowing import narrowed
from broker.oauth.served_grant import ServedGrant

_VERIFIER: Final = re.compile(r"[A-Za-z0-9._~-]{43,128}")
_CODE_CHARACTERS_MAX: Final = 128


class BoundAuthorizationCode(ServedGrant, AuthorizationCodeGrant):  # type: ignore[misc]
    """Authlib's grant, told where codes are kept and that each is good once.

    `server` must offer `token_issuer`, `grants`, `grant_ender` and `id_tokens`.
    """

    def validate_token_request(self) -> None:
        """Authenticate, then look at the code from every side but its freshness. Raises OAuth2Error."""
        client = self.authenticated_client()
        code = self.request.form.get("code")
        if code is None:
            raise InvalidRequestError("code is missing")
        found = self.grants.find_code(secret_hash(code)) if len(code) <= _CODE_CHARACTERS_MAX else None
        if found is None or found[1].client_id != client.client_id:
            # Also a code of another client: it is told nothing and uses nothing up.
            raise InvalidGrantError("the code is unknown")
        self._code, self._grant = found
        self._check_code()
        self.issuer.check_target(self.request)
        self._details = narrowed(self.request.form.get("authorization_details"), self._grant.details)

    def create_token_response(self) -> tuple[int, dict[str, Any], list[tuple[str, str]]]:
        """Return status, body and headers. The statement that keeps the token uses the code up."""
        try:
            body = granted_answer(
                self.request,
                self.issuer,
                self.id_tokens,
                self._grant,
                self._details,
                lambda issue, refresh: self.issuer.store.redeem_code(issue, self._code.code_hash, refresh),
                self._code.nonce,
            )
        except InvalidGrantError:
            # Whoever comes second may hold a stolen code, or the first may have: both end (RFC 9700, 4.5).
            self._end_what_was_bought()
            raise
        return 200, body, self.TOKEN_RESPONSE_HEADER

    def _check_code(self) -> None:
        """redirect_uri, PKCE, the bound key, age and use. All are invalid_grant (RFC 6749, 5.2)."""
        code, form, at = self._code, self.request.form, self.request.at
        if code.consumed_at is not None:
            self._end_what_was_bought()
            raise InvalidGrantError("the code was used before")
        if code.expires_at <= at or at < code.issued_at - timedelta(seconds=10):
            raise InvalidGrantError("the code has expired")
        if form.get("redirect_uri") != code.redirect_uri:
            raise InvalidGrantError("redirect_uri is not the one of the authorization request")
        verifier = form.get("code_verifier", "")
        if not _VERIFIER.fullmatch(verifier) or create_s256_code_challenge(verifier) != code.code_challenge:
            raise InvalidGrantError("code_verifier is missing or does not fit the code_challenge")
        if code.dpop_jkt is not None:
            proof = self.issuer.sender.find_proof(self.request)
            if proof is None or proof.jkt != code.dpop_jkt:
                raise InvalidGrantError("the code is bound to another DPoP key")

    def _end_what_was_bought(self) -> None:
        """End the grant of a code that was used before, with all that lives under it; else do nothing."""
        grant_id = self.grants.find_of_used_code(self._code.code_hash)
        if grant_id is not None:
            ender: GrantEnder = self.server.grant_ender
            with suppress(GrantNotFound):
                ender.end(grant_id, "code_replay", self.request.at)

    _code: IssuedCode
    _grant: Grant
