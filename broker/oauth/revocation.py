"""Token revocation (RFC 7009): a client gives a token back, and it opens nothing at the next request.

Authlib's endpoint is not built upon: it tells a client whether a token belongs to somebody else.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass

from broker.errors import GrantNotFound
from broker.oauth.form_request import FormRequest
from broker.oauth.granted import secret_hash
from broker.oauth.grants import GrantEnder, GrantStore
from broker.oauth.introspection import token_of
from broker.oauth.registration import ClientRegistration


@dataclass(frozen=True, slots=True)
class RevocationEndpoint:
    """Revokes the tokens of the client that asks; whatever it sends, the answer is the same."""

    grants: GrantStore
    ender: GrantEnder

    def respond(self, request: FormRequest, client: ClientRegistration) -> None:
        """Revoke an access token; or a refresh token, its grant, and all tokens and consents of that grant.

        client: authenticated. A token that is unknown, dead already or another client's changes nothing and
        is no error (RFC 7009, 2.2). Any token_type_hint is accepted and none is needed: both kinds can be
        revoked, so unsupported_token_type is never the answer. Raises InvalidRequestError, ConsentMoved,
        StoreUnavailable.
        """
        token_hash = secret_hash(token_of(request))
        grant_id = self.grants.find_of_refresh_token(token_hash, client.client_id)
        if grant_id is not None:
            # A grant ends with its refresh token: nothing else could renew what the client gave back.
            with suppress(GrantNotFound):
                self.ender.end(grant_id, "client", request.at)
        # Always both, so that the time it takes does not say whether a token is another client's.
        self.grants.revoke_refresh_token(token_hash, client.client_id, request.at)
        self.grants.revoke_access_token(token_hash, client.client_id, request.at)
