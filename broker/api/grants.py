"""`GET`, `DELETE /oauth/grants/{grant_id}` (OAuth Grant Management, draft 3): what a citizen gave a client.

Authentication: sender-constrained access token of the client itself, with scope grant_management_query or
grant_management_revoke.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from broker.api.calls import Call
from broker.api.judging import AccessJudge
from broker.api.problems import Reply
from broker.api.replies import EMPTY, instant_text, json_reply
from broker.errors import GrantNotFound
from broker.oauth.authorization_request import Grant
from broker.oauth.endpoints import GRANTS_PATH
from broker.oauth.grants import GrantEnder, GrantStore
from broker.oauth.scopes import QUERY_GRANTS, REVOKE_GRANTS

_GRANT_ID: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")


@dataclass(frozen=True, slots=True)
class GrantFace:
    """The resource, without a web framework. resource: identifier of this broker (RFC 8707)."""

    judge: AccessJudge
    grants: GrantStore
    ender: GrantEnder
    resource: str

    def show(self, call: Call) -> tuple[Reply, str]:
        """Tell a living grant of the calling client: scopes, authorization_details, from when until when.

        Raises GrantNotFound, TokenInvalid, ProofInvalid, ScopeInsufficient, ReleaseRefused,
        StoreUnavailable.
        """
        grant = self._own_grant(call, QUERY_GRANTS)
        document = {
            "scopes": [{"scope": grant.scope, "resources": [self.resource]}],
            "authorization_details": [dict(detail) for detail in grant.details],
            "granted_at": instant_text(grant.granted_at),
            "expires_at": instant_text(grant.expires_at),
        }
        return json_reply(document), ""

    def revoke(self, call: Call) -> tuple[Reply, str]:
        """End a grant of the calling client with its tokens and consents, at once.

        Raises as show() does, and ConsentMoved.
        """
        grant = self._own_grant(call, REVOKE_GRANTS)
        self.ender.end(grant.grant_id, "client", self.judge.caller.clock())
        return EMPTY, ""

    def _own_grant(self, call: Call, scope: str) -> Grant:
        """Return the grant that the path names: alive and the client's own, else it is as if unknown."""
        client_id = self.judge.judge(call, scope).client_id
        grant_id = call.path.removeprefix(f"{GRANTS_PATH}/")
        grant = self.grants.find_grant(grant_id) if _GRANT_ID.fullmatch(grant_id) else None
        if grant is None or grant.client_id != client_id or grant.revoked_at is not None:
            raise GrantNotFound
        if grant.expires_at <= self.judge.caller.clock():
            raise GrantNotFound
        return grant
