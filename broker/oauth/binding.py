"""What an access token is bound to: the key of a DPoP proof (RFC 9449) or a certificate (RFC 8705)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from broker.errors import ProofInvalid, ProofNonceNeeded
from broker.oauth.dpop import Proof, ProofVerifier
from broker.oauth.form_request import FormRequest
from broker.oauth.registration import ClientRegistration
from broker.oauth.token_errors import InvalidDpopProof, UseDpopNonce, certificate_missing


@dataclass(frozen=True, slots=True)
class Binding:
    """member: of the cnf claim (RFC 7800). thumbprint: base64url SHA-256 of key or certificate."""

    member: Literal["jkt", "x5t#S256"]
    thumbprint: str

    @property
    def confirmation(self) -> Mapping[str, str]:
        """Return the cnf claim."""
        return {self.member: self.thumbprint}

    @property
    def token_type(self) -> str:
        """Return the token_type of a token so bound: its scheme at a resource."""
        return "DPoP" if self.member == "jkt" else "Bearer"


@dataclass(frozen=True, slots=True)
class SenderCheck:
    """Verifies what binds a request to its sender. proofs: with this server's nonces, if it asks for any."""

    proofs: ProofVerifier

    def find_proof(self, request: FormRequest) -> Proof | None:
        """Return the DPoP proof of a request, or None when it carries none; leave it in request.proof.

        It is verified once, however often it is asked for. Raises InvalidDpopProof, UseDpopNonce.
        """
        given = request.headers.get("DPoP")
        if given is None or request.proof is not None:
            return request.proof
        try:
            request.proof = self.proofs.verify(given, "POST", request.urls, request.at.timestamp())
        except ProofNonceNeeded as needed:
            raise UseDpopNonce(needed.nonce) from None
        except ProofInvalid as refused:
            raise InvalidDpopProof(refused.detail) from None
        return request.proof

    def bind(self, request: FormRequest, client: ClientRegistration) -> Binding:
        """Return what the token of this request will be bound to.

        A proof wins over a certificate; there is no token without either (FAPI 2.0, 5.3.2.1-4 and -5).
        Raises InvalidDpopProof, UseDpopNonce, InvalidRequestError.
        """
        proof = self.find_proof(request)
        if proof is not None:
            return Binding("jkt", proof.jkt)
        if client.is_dpop_bound or not client.is_certificate_bound:
            raise InvalidDpopProof("the DPoP header is missing")
        if request.caller.certificate is None:
            raise certificate_missing()
        return Binding("x5t#S256", request.caller.certificate.thumbprint)
