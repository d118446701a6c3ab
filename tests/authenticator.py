"""An authenticator in software (Web Authentication Level 3, 6): makes passkeys and signs, wrongly if told."""

from __future__ import annotations

import base64
import hashlib
import json
import struct
from typing import Any

import cbor2
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256

USER_PRESENT, USER_VERIFIED, HAS_CREDENTIAL = 0x01, 0x04, 0x40


def encode(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


def decode(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


class Authenticator:
    """One passkey. origin: of the pages it is used on. sign_count: raised by one at each use; 0 stays 0."""

    def __init__(self, origin: str, credential_id: bytes = b"credential-of-the-tests") -> None:
        self.origin = origin
        self.credential_id = credential_id
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.user_handle = b""
        self.sign_count = 0
        self.flags = USER_PRESENT | USER_VERIFIED

    def create(self, options: str, **client_data: Any) -> str:
        """Return what navigator.credentials.create gives, as the page's script posts it."""
        asked = json.loads(options)
        assert asked["authenticatorSelection"]["userVerification"] == "required"
        assert asked["attestation"] == "none"
        self.user_handle = decode(asked["user"]["id"])
        point = self.key.public_key().public_numbers()
        x, y = (number.to_bytes(32, "big") for number in (point.x, point.y))
        cose = cbor2.dumps({1: 2, 3: -7, -1: 1, -2: x, -3: y})
        identifier = struct.pack(">H", len(self.credential_id)) + self.credential_id
        data = self._data(asked["rp"]["id"], HAS_CREDENTIAL) + bytes(16) + identifier + cose
        attestation = cbor2.dumps({"fmt": "none", "attStmt": {}, "authData": data})
        clients = self._client_data("webauthn.create", asked["challenge"], client_data)
        return self._answer(clientDataJSON=clients, attestationObject=attestation)

    def get(self, options: str, **client_data: Any) -> str:
        """Return what navigator.credentials.get gives, as the page's script posts it."""
        asked = json.loads(options)
        assert asked["userVerification"] == "required"
        if self.sign_count:
            self.sign_count += 1
        data = self._data(asked["rpId"])
        clients = self._client_data("webauthn.get", asked["challenge"], client_data)
        signature = self.key.sign(data + hashlib.sha256(clients).digest(), ec.ECDSA(SHA256()))
        return self._answer(
            clientDataJSON=clients, authenticatorData=data, signature=signature, userHandle=self.user_handle
        )

    def _data(self, host: str, more: int = 0) -> bytes:
        return hashlib.sha256(host.encode()).digest() + struct.pack(">BI", self.flags | more, self.sign_count)

    def _client_data(self, kind: str, challenge: str, changes: dict[str, Any]) -> bytes:
        right = {"type": kind, "challenge": challenge, "origin": self.origin, "crossOrigin": False}
        return json.dumps({**right, **changes}).encode()

    def _answer(self, **response: bytes) -> str:
        identifier = encode(self.credential_id)
        return json.dumps(
            {
                "id": identifier,
                "rawId": identifier,
                "type": "public-key",
                "response": {name: encode(value) for name, value in response.items()},
                "clientExtensionResults": {},
            }
        )
