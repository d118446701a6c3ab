"""`GET /v1/token-info`: what the token in hand may do, so that an integrator need not guess.

Authentication: any access token of this broker, with what binds it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from broker.api.calls import Call
from broker.api.judging import AccessJudge
from broker.api.problems import Reply
from broker.api.replies import json_reply

_TOLD: Final = ("client_id", "sub", "scope", "authorization_details", "grant_id", "acr", "auth_time")


@dataclass(frozen=True, slots=True)
class TokenInfoFace:
    """The resource, without a web framework."""

    judge: AccessJudge

    def show(self, call: Call) -> tuple[Reply, str]:
        """Tell client, scopes, authorization_details, expiry and binding of a living token.

        Raises TokenInvalid, ProofInvalid, ReleaseRefused, StoreUnavailable.
        """
        token = self.judge.judge(call)
        claims = token.claims
        document = {
            **{name: claims[name] for name in _TOLD if name in claims},
            "issued_at_seconds": claims.get("iat"),
            "expires_at_seconds": claims["exp"],
            "constraint": "dpop" if "jkt" in token.confirmation else "mtls",
            "cnf": dict(token.confirmation),
        }
        return json_reply(document), ""
