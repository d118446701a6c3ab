"""RFC 7591 client metadata, read: a closed document in, `ClientMetadata` or every fault of it out."""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from marshmallow import ValidationError

from broker.errors import BrokerError, InputFault
from broker.oauth.certificates import self_signed_fault
from broker.oauth.client_metadata_schema import CIBA, ClientMetadataSchema
from broker.oauth.detail_types import SCOPE_OF
from broker.oauth.registration import (
    PRIVATE_KEY_JWT,
    SELF_SIGNED_TLS_CLIENT_AUTH,
    TLS_CLIENT_AUTH,
    JwksRefused,
    registrable_jwks,
)
from broker.oauth.scopes import MACHINE_SCOPES, PERSONAL_SCOPES, SCOPES
from broker.oauth.tls_clients import SUBJECT_NAMES, subject_names_fault
from policies.compile import PolicySet

AUTHORIZATION_CODE: Final = "authorization_code"
_CONSENTED: Final = frozenset({AUTHORIZATION_CODE, CIBA})
"""The grants by which a client gets what a citizen has consented to."""
_OPENED: Final[Mapping[str, frozenset[str]]] = {
    **dict.fromkeys(_CONSENTED, PERSONAL_SCOPES),
    "client_credentials": MACHINE_SCOPES,
}
_NO_SECRET: Final = "The broker shares no secret with anybody: register public keys (jwks or jwks_uri)."  # noqa: S105
_REFUSED: Final[Mapping[str, str]] = {
    "client_secret": _NO_SECRET,
    "logo_uri": "Images of others are not shown to citizens, and not loaded: leave it out.",
}
_SCHEMA: Final = ClientMetadataSchema()
MEMBERS: Final = frozenset(_SCHEMA.fields) | frozenset(_REFUSED)
"""The members that are understood, be it as a thing to refuse."""

RefusalCode = Literal["invalid_redirect_uri", "invalid_client_metadata"]


class MetadataRefused(BrokerError):
    """A client cannot be registered so (RFC 7591, 3.2.2). faults: what to mend, by JSON pointer."""

    kind = "client_metadata_refused"

    def __init__(self, faults: Sequence[InputFault]) -> None:
        super().__init__("; ".join(f"{fault.pointer}: {fault.remedy}" for fault in faults))
        self.faults = tuple(faults)
        redirects = all(fault.pointer.startswith("/redirect_uris") for fault in faults)
        self.error: RefusalCode = "invalid_redirect_uri" if redirects else "invalid_client_metadata"


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientMetadata:
    """What a client says of itself, checked. client_id, client_name: "" where none is given.

    members: all else as it is kept, under RFC 7591's names, with defaults filled in; jwks with kid, alg, use.
    """

    client_id: str
    client_name: str
    scopes: tuple[str, ...]
    members: Mapping[str, Any]

    @property
    def grant_types(self) -> tuple[str, ...]:
        """The grant types it may use."""
        return tuple(self.members["grant_types"])


def new_client_id() -> str:
    """Return a fresh client_id: 96 random bits, not to be taken for a person's `sub` (RFC 9700, 4.15)."""
    return f"client-{secrets.token_hex(12)}"


def client_metadata(document: Mapping[str, Any]) -> ClientMetadata:
    """Return what a client metadata document (RFC 7591, 2) says, with defaults filled in.

    Defaults: grant_types authorization_code (RFC 7591), response_types code where that grant is there,
    token_endpoint_auth_method private_key_jwt, dpop_bound_access_tokens true where no binding is named.
    Raises MetadataRefused with every fault: unknown members too, which RFC 7591 would have us ignore.
    """
    refused = [InputFault(f"/{name}", text) for name, text in _REFUSED.items() if name in document]
    rest = {name: value for name, value in document.items() if name not in _REFUSED}
    try:
        loaded: dict[str, Any] = _SCHEMA.load(rest)
    except ValidationError as invalid:
        raise MetadataRefused([*refused, *faults_in(invalid.messages, "")]) from None
    members = _with_defaults(loaded)
    faults = [*refused, *(fault for rule in _RULES for fault in rule(members))]
    if not faults:
        faults += _keys(members)
    if faults:
        raise MetadataRefused(faults)
    return ClientMetadata(
        client_id=members.pop("client_id", ""),
        client_name=members.pop("client_name", ""),
        scopes=tuple(dict.fromkeys(members.pop("scope").split(" "))),
        members=members,
    )


def check_agreements(metadata: ClientMetadata, agreement_ids: Sequence[str], policy_set: PolicySet) -> None:
    """Check that a client's agreements exist, and that it can ask citizens where one of them needs consent.

    Raises MetadataRefused.
    """
    faults = []
    for position, agreement_id in enumerate(agreement_ids):
        agreement = policy_set.find_agreement(agreement_id)
        if agreement is None:
            known = ", ".join(sorted(policy_set.tables))
            faults.append(InputFault(f"/agreements/{position}", f"One of {known} is needed."))
        elif "has_consented" in agreement.conditions and not _CONSENTED.intersection(metadata.grant_types):
            faults.append(
                InputFault(
                    "/grant_types",
                    "An agreement that needs the citizen's consent needs authorization_code or the grant of "
                    "CIBA: nobody could consent to this client.",
                )
            )
    if faults:
        raise MetadataRefused(faults)


def check_kind(kind: str, kinds: Collection[str]) -> None:
    """Check that an organisation's kind is one that the policies know. Raises MetadataRefused."""
    if kind not in kinds:
        raise MetadataRefused(
            [InputFault("/organisation/kind", f"One of {', '.join(sorted(kinds))} is needed.")]
        )


def _with_defaults(loaded: Mapping[str, Any]) -> dict[str, Any]:
    grants = loaded.get("grant_types", [AUTHORIZATION_CODE])
    bound = ("dpop_bound_access_tokens", "tls_client_certificate_bound_access_tokens")
    return {
        "token_endpoint_auth_method": PRIVATE_KEY_JWT,
        **({} if any(name in loaded for name in bound) else {"dpop_bound_access_tokens": True}),
        **loaded,
        "grant_types": grants,
        "response_types": loaded.get("response_types", ["code"] if AUTHORIZATION_CODE in grants else []),
    }


def faults_in(messages: Any, pointer: str) -> Iterator[InputFault]:
    """Yield marshmallow's messages as faults; a foreign name is repeated only if it is a plain word."""
    if isinstance(messages, Mapping):
        for name, inner in messages.items():
            word = str(name)
            plain = len(word) <= 64 and word.isascii() and word.replace("_", "").replace("-", "").isalnum()
            step = "" if name == "_schema" else f"/{word}" if plain else "/(unknown name)"
            yield from faults_in(inner, pointer + step)
    else:
        for text in messages if isinstance(messages, list) else [messages]:
            yield InputFault(
                pointer, "The broker does not know it." if text == "Unknown field." else str(text)
            )


def _grants(members: Mapping[str, Any]) -> Iterator[InputFault]:
    has_code = AUTHORIZATION_CODE in members["grant_types"]
    if has_code and "redirect_uris" not in members:
        yield InputFault("/redirect_uris", "authorization_code needs at least one.")
    if not has_code and "redirect_uris" in members:
        yield InputFault("/redirect_uris", "Only authorization_code leads anybody back: leave them out.")
    if not has_code and CIBA not in members["grant_types"] and "refresh_token" in members["grant_types"]:
        yield InputFault("/grant_types", "refresh_token needs authorization_code or the grant of CIBA.")
    if has_code != bool(members["response_types"]):
        yield InputFault("/response_types", "code, and only with authorization_code.")


def _scopes(members: Mapping[str, Any]) -> Iterator[InputFault]:
    scopes = set(members["scope"].split(" "))
    if not scopes <= SCOPES:
        yield InputFault("/scope", f"One of {', '.join(sorted(SCOPES))} is needed.")
        return
    for grant, opened in _OPENED.items():
        if grant in members["grant_types"]:
            scopes -= opened
    if scopes:
        yield InputFault("/scope", f"No grant type of the client opens {', '.join(sorted(scopes))}.")


def _details(members: Mapping[str, Any]) -> Iterator[InputFault]:
    scopes = members["scope"].split(" ")
    for position, name in enumerate(members.get("authorization_details_types", ())):
        if SCOPE_OF.get(name) not in scopes:
            known = ", ".join(f"{one} (scope {scope})" for one, scope in sorted(SCOPE_OF.items()))
            yield InputFault(
                f"/authorization_details_types/{position}", f"One of {known} is needed, with its scope."
            )


def _binding(members: Mapping[str, Any]) -> Iterator[InputFault]:
    bound = ("dpop_bound_access_tokens", "tls_client_certificate_bound_access_tokens")
    if not any(members.get(name) for name in bound):
        yield InputFault(f"/{bound[0]}", f"Tokens are bound to a key: {bound[0]} or {bound[1]} must be true.")


def _authentication(members: Mapping[str, Any]) -> Iterator[InputFault]:
    method = members["token_endpoint_auth_method"]
    sources = [name for name in ("jwks", "jwks_uri") if name in members]
    if len(sources) > 1:
        yield InputFault("/jwks", "Either jwks or jwks_uri, not both (RFC 7591, 2).")
    if method != TLS_CLIENT_AUTH and not sources:
        yield InputFault("/jwks", f"{method} needs public keys: jwks or jwks_uri.")
    if method != PRIVATE_KEY_JWT and "token_endpoint_auth_signing_alg" in members:
        yield InputFault("/token_endpoint_auth_signing_alg", "Only private_key_jwt signs.")
    names = [name for name in SUBJECT_NAMES if name in members]
    if method == TLS_CLIENT_AUTH and len(names) != 1:
        yield InputFault(f"/{SUBJECT_NAMES[0]}", f"Exactly one of {', '.join(SUBJECT_NAMES)} is needed.")
    for name in names:
        told = subject_names_fault(name, members[name])
        if method != TLS_CLIENT_AUTH:
            yield InputFault(f"/{name}", "Only tls_client_auth has it.")
        elif told is not None:
            yield InputFault(f"/{name}", told)


_RULES: Final[Sequence[Callable[[Mapping[str, Any]], Iterator[InputFault]]]] = (
    _grants,
    _scopes,
    _details,
    _binding,
    _authentication,
)


def check_keys(members: Mapping[str, Any]) -> None:
    """Check the keys in a client's metadata after a change: where they are, what they are for.

    Raises MetadataRefused.
    """
    uri = {name: members[name] for name in ("jwks_uri",) if name in members}
    faults = [*faults_in(_SCHEMA.validate(uri, partial=True), ""), *_keys(dict(members))]
    if faults:
        raise MetadataRefused(faults)


def _keys(members: dict[str, Any]) -> Iterator[InputFault]:
    """Put the key set in its registered form into members; yield what is wrong with it."""
    algorithm = members.get("token_endpoint_auth_signing_alg")
    if "jwks" not in members:
        if algorithm is not None:
            yield InputFault("/token_endpoint_auth_signing_alg", "The alg of each published key says it.")
        return
    try:
        members["jwks"] = _registrable(members["jwks"])
    except JwksRefused as refused:
        yield InputFault("/jwks", str(refused))
        return
    signing = [key for key in members["jwks"]["keys"] if key["use"] == "sig"]
    if algorithm is not None and any(key["alg"] != algorithm for key in signing):
        yield InputFault("/jwks", "A key has another alg than token_endpoint_auth_signing_alg.")
    if members.get("token_endpoint_auth_method") == SELF_SIGNED_TLS_CLIENT_AUTH:
        told = self_signed_fault(json.dumps(members["jwks"]))
        if told is not None:
            yield InputFault("/jwks", told)


def _registrable(jwks: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a key set in its registered form, which every store and every reader can hold."""
    try:
        text = json.dumps(jwks, ensure_ascii=False)
    except RecursionError:
        raise JwksRefused("a JWK set is not nested so deeply") from None
    if "\\u0000" in text:
        raise JwksRefused("a text of the JWK set holds NUL, at which others would cut it off")
    return registrable_jwks(text)
