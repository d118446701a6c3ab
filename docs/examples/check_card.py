"""Check a card as a hospital does (pip install joserfc): check_card.py ISSUER KEY.jwk < request.json."""

import base64
import hashlib
import json
import secrets
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any

from joserfc import jws
from joserfc.jwk import import_key

RULES = jws.JWSRegistry(algorithms=["ES256", "EdDSA", "PS256"], strict_check_header=False)
JWT_BEARER = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"


def http(url: str, body: bytes | None = None, headers: dict[str, str] | None = None) -> tuple[int, Any]:
    try:
        with urllib.request.urlopen(urllib.request.Request(url, body, headers or {}), timeout=5) as answer:
            content = answer.read().decode()
            return answer.status, content if "jwt" in answer.headers["Content-Type"] else json.loads(content)
    except urllib.error.HTTPError as refused:
        return refused.code, json.load(refused)


def sign(jwk: dict[str, Any], header: dict[str, Any], claims: dict[str, Any]) -> str:
    full = {"iat": int(time.time()), "jti": secrets.token_urlsafe(16), **claims}
    return jws.serialize_compact(
        {"alg": jwk["alg"], **header}, json.dumps(full), import_key(jwk), registry=RULES
    )


def proof(jwk: dict[str, Any], url: str, **claims: str) -> str:  # a fresh one for every request
    public = import_key(jwk).as_dict(private=False)
    return sign(jwk, {"typ": "dpop+jwt", "jwk": public}, {"htm": "POST", "htu": url, **claims})


def fetch_token(issuer: str, jwk: dict[str, Any]) -> str:  # lives 300 s: keep it in a real program
    me, url = jwk["client_id"], issuer + "/oauth/token"
    assertion = sign(
        jwk, {"kid": jwk["kid"]}, {"iss": me, "sub": me, "aud": issuer, "exp": int(time.time()) + 60}
    )
    form = {"grant_type": "client_credentials", "scope": "verify_entitlement", "client_assertion": assertion}
    body = urllib.parse.urlencode({**form, "client_assertion_type": JWT_BEARER}).encode()
    return str(http(url, body, {"DPoP": proof(jwk, url)})[1]["access_token"])


def check_card(issuer: str, jwk: dict[str, Any], question: dict[str, Any]) -> tuple[int, Any]:
    url, token, body = (
        issuer + "/v1/entitlement-checks",
        fetch_token(issuer, jwk),
        json.dumps(question).encode(),
    )
    ath = base64.urlsafe_b64encode(hashlib.sha256(token.encode()).digest()).rstrip(b"=").decode()
    headers = {
        "Authorization": f"DPoP {token}",
        "DPoP": proof(jwk, url, ath=ath),
        "Accept": "application/jwt",
    }
    status, answer = http(url, body, {**headers, "Content-Type": "application/json"})
    receipt = answer if status == 200 else answer.get("receipt")  # keep it with the visit
    return status, verify(issuer, jwk["client_id"], receipt, body) if receipt else answer


def verify(issuer: str, client_id: str, receipt: str, body: bytes) -> dict[str, Any]:
    keys = {key["kid"]: key for key in http(issuer + "/oauth/jwks")[1]["keys"]}
    found = jws.deserialize_compact(
        receipt, lambda one: import_key(keys[one.headers()["kid"]]), registry=RULES
    )
    claims: dict[str, Any] = json.loads(found.payload)
    digest = "sha-256:" + hashlib.sha256(body).hexdigest()
    told = (found.headers()["typ"], claims["iss"], claims["aud"], claims["asked_digest"])
    if told != ("entitlement-receipt+jwt", issuer, client_id, digest):
        raise ValueError("this receipt is not about this question")
    return claims


if __name__ == "__main__":
    outcome = check_card(sys.argv[1], json.loads(Path(sys.argv[2]).read_text()), json.load(sys.stdin))
    print(json.dumps(outcome, ensure_ascii=False, indent=2))
