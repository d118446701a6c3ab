"""The hospital's computer in the demo: asks over real HTTP, opens receipts, and keeps no secret of it."""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from broker.cli.caller import Answer, Caller, TokenRefused
from broker.cli.demo_steps import Exchange, Lang, answers_in
from broker.keys import RECEIPT_TYPE
from broker.oauth.jose_keys import ALGORITHMS

CHECK: Final = "/v1/entitlement-checks"
BATCH: Final = "/v1/entitlement-checks/batch"
_TOLD_FIELDS: Final = ("Retry-After", "WWW-Authenticate")


@dataclass(slots=True)
class Desk:
    """Asks as one client. lang: of the titles of problems."""

    caller: Caller
    lang: Lang
    _jwks: dict[str, Any] | None = field(default=None, init=False)

    def ask(
        self,
        path: str,
        document: Mapping[str, Any],
        *,
        accept: str = "application/json",
        token: str | None = None,
        proof: str | None = None,
    ) -> Exchange:
        """Post a document and return the exchange. token, proof: instead of this client's own, fresh ones.

        Raises TokenRefused, OSError, HTTPException.
        """
        body = json.dumps(document, ensure_ascii=False).encode()
        headers = {"Accept": accept, "Accept-Language": self.lang}
        answer = self.caller.request("POST", path, body, headers, token=token, proof=proof)
        shown = {"Authorization": "DPoP <token>", "DPoP": "<proof>", "Content-Type": "application/json"}
        request = {"method": "POST", "path": path, "headers": {**shown, **headers}, "body": document}
        response, faults = self._opened(answer, body)
        exchange = Exchange(request, answer.status, response, (), faults)
        return Exchange(request, answer.status, response, _references(exchange), faults)

    def read(self, path: str) -> Exchange:
        """Get a public page."""
        answer = self.caller.exchange("GET", self.caller.issuer + path, None, {"Accept": "application/json"})
        return Exchange(
            {"method": "GET", "path": path, "headers": {}, "body": None}, answer.status, _json(answer)
        )

    def ask_token(self, scope: str) -> Exchange:
        """Ask for a token with a scope and return the exchange; the token itself is not in it."""
        request = {
            "method": "POST",
            "path": "/oauth/token",
            "headers": {"DPoP": "<proof>", "Content-Type": "application/x-www-form-urlencoded"},
            "body": {"grant_type": "client_credentials", "scope": scope, "client_assertion": "<assertion>"},
        }
        asking = Caller(self.caller.issuer, self.caller.client_id, self.caller.key, scope)
        try:
            asking.token()
        except TokenRefused as refused:
            response = {"error": refused.error, "error_description": refused.description}
            return Exchange(request, refused.status, response)
        finally:
            asking.close()
        return Exchange(request, 200, {"access_token": "<token>", "token_type": "DPoP", "scope": scope})

    def _opened(self, answer: Answer, body: bytes) -> tuple[Any, tuple[str, ...]]:
        """Return the body of an answer with its receipt opened, and what is wrong with that receipt."""
        if answer.headers.get("content-type", "").startswith("application/jwt"):
            receipt, faults = self._receipt(answer.body.decode("ascii"), body)
            return {"receipt": receipt}, faults
        response, faults = _json(answer), ()
        if isinstance(response, dict):
            if isinstance(response.get("receipt"), str):
                response["receipt"], faults = self._receipt(response["receipt"], body)
            told = {
                name: answer.headers[name.lower()] for name in _TOLD_FIELDS if name.lower() in answer.headers
            }
            if told:
                response["header_fields"] = told
        return response, faults

    def _receipt(self, compact: str, body: bytes) -> tuple[dict[str, Any], tuple[str, ...]]:
        """Open a receipt with the keys that the broker publishes; it must be about this request, and ours."""
        try:
            # Whatever the answer holds: what is no key set raises.
            keys = KeySet.import_key_set(self._published_keys())  # type: ignore[arg-type]
            opened = jws.deserialize_compact(compact, keys, algorithms=list(ALGORITHMS))
        except (JoseError, ValueError):
            return {"signature_verified": False}, ("the receipt's signature does not verify",)
        header, payload = opened.headers(), json.loads(opened.payload)
        wanted = {
            "iss": self.caller.issuer,
            "aud": self.caller.client_id,
            "asked_digest": "sha-256:" + hashlib.sha256(body).hexdigest(),
        }
        faults = [
            f"the receipt's {name} differs" for name, value in wanted.items() if payload.get(name) != value
        ]
        if header.get("typ") != RECEIPT_TYPE:
            faults.append("the receipt's typ differs")
        return {"header": header, "payload": payload, "signature_verified": True}, tuple(faults)

    def _published_keys(self) -> dict[str, Any]:
        if self._jwks is None:
            answer = self.caller.exchange("GET", str(self.caller.metadata()["jwks_uri"]), None, {})
            self._jwks = answer.json()
        return self._jwks or {}


def _json(answer: Answer) -> Any:
    try:
        return answer.json()
    except ValueError:
        return None


def _references(exchange: Exchange) -> tuple[str, ...]:
    """Return the evidence references in an answer: of every item, or of the refusal."""
    found = [
        answer.get("evidence_reference") or answer.get("instance", "") for answer in answers_in(exchange)
    ]
    return tuple(str(uuid.UUID(text.removeprefix("urn:uuid:"))) for text in found if text)
