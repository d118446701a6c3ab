"""A resource behind a protector, and a client with a good token before it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from broker.oauth.jose_keys import VerifyingKey, import_public_jwk
from broker.oauth.protector import Protector, VerifiedToken
from tests.oauth_world import ISSUER, Party

URL = f"{ISSUER}/v1/things"
NOW = datetime(2026, 11, 22, 1, 2, 3, 400_000, UTC)
SECONDS = int(NOW.timestamp())


class OneKey:
    """The published keys: one."""

    def __init__(self, algorithm: Any = "ES256") -> None:
        self.owner = Party("broker", algorithm)
        self.lookups = 0

    def find_key(self, kid: str) -> VerifyingKey | None:
        self.lookups += 1
        return import_public_jwk(self.owner.public_jwk) if kid == self.owner.kid else None


class Door:
    """A protector, its signing key and one client with a good token."""

    def __init__(self, algorithm: Any = "ES256") -> None:
        self.keys = OneKey()
        self.party = Party("hospital-a", algorithm)
        self.protector = Protector(ISSUER, ISSUER, self.keys)
        self.good = self.token()

    def token(self, header: Mapping[str, Any] | None = None, **claims: Any) -> str:
        full = {
            "iss": ISSUER,
            "sub": "client:hospital-a",
            "client_id": "hospital-a",
            "aud": ISSUER,
            "iat": SECONDS,
            "exp": SECONDS + 300,
            "jti": "1",
            "scope": "verify_entitlement share_record",
            "cnf": {"jkt": self.party.kid},
            **claims,
        }
        kept = {name: value for name, value in full.items() if value is not ...}
        return self.keys.owner.sign({"typ": "at+jwt", "kid": self.keys.owner.kid, **(header or {})}, kept)

    def open(self, token: str | None = None, proof: str | None = None, **options: Any) -> VerifiedToken:
        token = token or self.good
        if proof is None:
            proof = self.party.proof(NOW, url=URL, token=token)
        return self.protector.verify(
            options.get("authorization", f"DPoP {token}"),
            proof or None,
            options.get("method", "POST"),
            [options.get("url", URL)],
            options.get("now", NOW),
        )
