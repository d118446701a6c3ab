"""The closed schema of the RFC 7591 client metadata that the broker understands: shapes of single members."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any, Final

from marshmallow import Schema, ValidationError, fields, validate

from broker.oauth.client_authentication import NEW_ID
from broker.oauth.jose_keys import ALGORITHMS
from broker.oauth.registration import AUTHENTICATION_METHODS

CIBA: Final = "urn:openid:params:grant-type:ciba"
REFRESH_TOKEN: Final = "refresh_token"  # noqa: S105 (a grant type)
GRANT_TYPES: Final = ("authorization_code", REFRESH_TOKEN, "client_credentials", CIBA)
URL_CHARACTERS_MAX: Final = 2_000
NAME_CHARACTERS_MAX: Final = 120

_HOST: Final = r"(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)*[a-z](?:[a-z0-9-]{0,61}[a-z0-9])?"
_PORT: Final = "6553[0-5]|655[0-2][0-9]|65[0-4][0-9]{2}|6[0-4][0-9]{3}|[1-5][0-9]{4}|[1-9][0-9]{0,3}"
# Printable ASCII less blank, quotation mark, "#", "*" and "\".
_REST: Final = rf"(?::(?:{_PORT}))?(?:/[!$-)+-\[\]-~]*)?"
_HTTPS: Final = re.compile(f"https://{_HOST}{_REST}", re.IGNORECASE)
_LOOPBACK: Final = re.compile(rf"http://(?:127\.0\.0\.1|\[::1\]|localhost){_REST}")


def _check_https(value: str) -> None:
    if len(value) > URL_CHARACTERS_MAX or not _HTTPS.fullmatch(value):
        raise ValidationError("An https URL with the name of a host is needed, without fragment or wildcard.")


def _check_redirect_uri(value: str) -> None:
    """FAPI 2.0, 5.3.2.2-8; RFC 8252, 7.3; RFC 9700, 2.1: compared as text, so of one plain spelling."""
    if len(value) > URL_CHARACTERS_MAX or not (_HTTPS.fullmatch(value) or _LOOPBACK.fullmatch(value)):
        raise ValidationError(
            "An https URL with the name of a host is needed, without fragment or wildcard; "
            "http only to 127.0.0.1, [::1] or localhost, for an app on the citizen's own machine."
        )


def _check_words(value: str) -> None:
    # str.isprintable() also refuses the marks that turn the direction of writing on a consent page.
    if not value.strip() or not value.isprintable():
        raise ValidationError("Printable characters in one line are needed.")


def _check_unique(values: Sequence[str]) -> None:
    if len(set(values)) != len(values):
        raise ValidationError("Each entry may stand there once.")


def _one_of(choices: Sequence[str], more: str = "") -> validate.OneOf:
    return validate.OneOf(choices, error=f"One of {', '.join(choices)} is needed{more}.")


class Truth(fields.Boolean):
    """true or false; nothing that merely looks so."""

    def _deserialize(self, value: Any, *_: Any, **__: Any) -> bool:
        if not isinstance(value, bool):
            raise self.make_error("invalid", input=value)
        return value


def _text(highest: int = NAME_CHARACTERS_MAX) -> fields.String:
    return fields.String(validate=[validate.Length(1, highest), _check_words])


def _list(check: Callable[[str], Any], highest: int, lowest: int = 1) -> fields.List[Any]:
    inner = fields.String(validate=[validate.Length(1, URL_CHARACTERS_MAX), check])
    return fields.List(inner, validate=[validate.Length(lowest, highest), _check_unique])


class ClientMetadataSchema(Schema):
    """Members by RFC 7591 2, 8705 2.1.2 and 3.4, 9126 6, 9396 10, 9449 5.2, OpenID registration, RFC 9701 6.

    Unknown members are refused, which is stricter than RFC 7591 2 asks for: a misspelt one would be lost.
    """

    client_id = fields.String(
        validate=validate.Regexp(
            NEW_ID + r"\Z",
            error="1 to 64 letters, digits and . _ ~ - are needed, a letter or digit first; never 12 digits.",
        )
    )
    client_name = _text()
    client_uri = fields.String(validate=_check_https)
    policy_uri = fields.String(validate=_check_https)
    tos_uri = fields.String(validate=_check_https)
    contacts = _list(_check_words, 10)
    software_id = _text()
    software_version = _text()
    redirect_uris = _list(_check_redirect_uri, 16)
    grant_types = _list(_one_of(GRANT_TYPES), 4)
    response_types = _list(_one_of(("code",)), 1, lowest=0)
    scope = fields.String(
        required=True,
        validate=validate.Regexp(r"^[a-z_]+( [a-z_]+)*\Z", error="Scopes with one blank between are needed."),
    )
    token_endpoint_auth_method = fields.String(
        validate=_one_of(
            AUTHENTICATION_METHODS, "; the broker shares no secret with anybody, and knows no public clients"
        )
    )
    token_endpoint_auth_signing_alg = fields.String(validate=_one_of(ALGORITHMS))
    # What the broker signs with is the key's own algorithm, the same for all clients: ES256 unless an
    # operator has rotated to another. A client that insists on one would be promised too much.
    id_token_signed_response_alg = fields.String(validate=_one_of(("ES256",)))
    introspection_signed_response_alg = fields.String(validate=_one_of(("ES256",)))
    jwks = fields.Dict(keys=fields.String())
    jwks_uri = fields.String(validate=_check_https)
    # Ours: where it is told of consents (RFC 8935); without it, it asks (RFC 8936).
    events_uri = fields.String(validate=_check_https)
    dpop_bound_access_tokens = Truth()
    tls_client_certificate_bound_access_tokens = Truth()
    require_pushed_authorization_requests = Truth(
        validate=validate.Equal(
            True, error="Every authorization request is pushed here: true, or leave it out."
        )
    )
    authorization_details_types = _list(_check_words, 16)
    tls_client_auth_subject_dn = fields.String()
    tls_client_auth_san_dns = fields.String()
    tls_client_auth_san_uri = fields.String()
    tls_client_auth_san_ip = fields.String()
    tls_client_auth_san_email = fields.String()
