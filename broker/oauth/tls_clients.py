"""Clients that prove themselves by a certificate: tls_client_auth, self_signed_tls_client_auth (RFC 8705, 2).

The TLS handshake, which ends at a trusted proxy, has proved that the caller holds the certificate's key. What
is decided here is whose certificate it is: one with the name registered, issued by an authority that the
operator named; or the very certificate that the client registered or publishes.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import datetime
from ipaddress import ip_address
from typing import Final, TypeAlias
from urllib.parse import urlsplit

from cryptography import x509

from broker.oauth.certificates import (
    Authorities,
    certificates_in_jwks,
    is_within_dates,
    read_certificate,
)
from broker.oauth.client_authentication import CLIENT_ID, FindRegistration
from broker.oauth.form_request import FormRequest
from broker.oauth.registration import (
    SELF_SIGNED_TLS_CLIENT_AUTH,
    TLS_CLIENT_AUTH,
    ClientRegistration,
    JwksRefused,
    PublishedClientKeys,
)
from broker.oauth.token_errors import client_refused
from broker.settings import Settings

TlsMethod: TypeAlias = Callable[..., ClientRegistration | None]
UNKNOWN_CERTIFICATE: Final = "no active registration of a client fits this certificate"
"""One text for an unknown client, a wrong certificate, a wrong address: nobody learns who is registered."""

SUBJECT_DN: Final = "tls_client_auth_subject_dn"
SAN_DNS: Final = "tls_client_auth_san_dns"
SAN_URI: Final = "tls_client_auth_san_uri"
SAN_IP: Final = "tls_client_auth_san_ip"
SAN_EMAIL: Final = "tls_client_auth_san_email"
SUBJECT_NAMES: Final = (SUBJECT_DN, SAN_DNS, SAN_URI, SAN_IP, SAN_EMAIL)
"""Metadata of a tls_client_auth client, exactly one of which it has (RFC 8705, 2.1.2)."""

_MAX_NAME_CHARACTERS: Final = 1024
_DNS_NAME: Final = re.compile(
    r"(?=.{1,253}$)[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*", re.I | re.A
)
_EMAIL: Final = re.compile(r"[!-?A-~]+@[!-?A-~]+")


class _TlsClientMethod:
    """What both methods have in common: who is asked for, and what is refused before looking closer."""

    def _registered(self, query_client: FindRegistration, request: FormRequest) -> ClientRegistration | None:
        """Return the registration that a request with a certificate names; None: not by a certificate.

        The client is named by client_id (RFC 8705, 2). Raises InvalidClientError for one that is unknown,
        suspended, expired, or elsewhere than its registration says.
        """
        if request.caller.certificate is None or "client_assertion" in request.form:
            return None
        client_id = request.form.get("client_id")
        if client_id is None:
            return None
        # The second method finds what the first one looked up: one reading for each request.
        if request.named_client is None and CLIENT_ID.fullmatch(client_id):
            request.named_client = query_client(client_id)
        client = request.named_client
        if client is None or not client.is_active or client.expires_at <= request.at:
            raise client_refused(UNKNOWN_CERTIFICATE)
        if not client.is_source(request.caller.source_address):
            raise client_refused(UNKNOWN_CERTIFICATE)
        return client


class TlsClientAuth(_TlsClientMethod):
    """tls_client_auth (RFC 8705, 2.1): a certificate of a named authority with the one name registered.

    Stands before SelfSignedTlsClientAuth where both are offered, and leaves that method's clients to it.
    """

    def __init__(self, authorities: Authorities) -> None:
        self._authorities = authorities

    def __call__(self, query_client: FindRegistration, request: FormRequest) -> ClientRegistration | None:
        """Return the client that a request's certificate authenticates, also left in request.client.

        None when there is no certificate, no client_id or a client assertion, or the client has the other
        method. Raises InvalidClientError, with one text, and StoreUnavailable.
        """
        client = self._registered(query_client, request)
        if client is None or client.authentication_method == SELF_SIGNED_TLS_CLIENT_AUTH:
            return None
        if client.authentication_method != TLS_CLIENT_AUTH or not self._is_its_own(client, request):
            raise client_refused(UNKNOWN_CERTIFICATE)
        request.client = client
        return client

    def _is_its_own(self, client: ClientRegistration, request: FormRequest) -> bool:
        shown = request.caller.certificate
        certificate = read_certificate(shown.der) if shown is not None else None
        if certificate is None or client.tls_name is None:
            return False
        # The name first: it costs nothing, and most of what is refused is refused for it.
        return is_named(certificate, *client.tls_name) and self._authorities.has_issued(
            certificate, request.at
        )


class SelfSignedTlsClientAuth(_TlsClientMethod):
    """self_signed_tls_client_auth (RFC 8705, 2.2): one of the certificates that the client registered.

    published_keys: reads the key sets of clients with a jwks_uri; None: such clients are refused.
    """

    def __init__(self, published_keys: PublishedClientKeys | None = None) -> None:
        self._published_keys = published_keys

    def __call__(self, query_client: FindRegistration, request: FormRequest) -> ClientRegistration | None:
        """Return the client that a request's certificate authenticates, also left in request.client.

        None when there is no certificate, no client_id or a client assertion. Nobody comes after this
        method: a client of another one is refused. Raises InvalidClientError, with one text, and
        StoreUnavailable.
        """
        client = self._registered(query_client, request)
        if client is None:
            return None
        shown = request.caller.certificate
        if (
            client.authentication_method != SELF_SIGNED_TLS_CLIENT_AUTH
            or shown is None
            or not self._is_registered(client, shown.der)
            or not _is_good(shown.der, request.at)
        ):
            raise client_refused(UNKNOWN_CERTIFICATE)
        request.client = client
        return client

    def _is_registered(self, client: ClientRegistration, der: bytes) -> bool:
        if client.jwks:
            return _holds(client.jwks, der)
        if not client.jwks_uri or self._published_keys is None:
            return False
        # Kept first, then anew: a client that has changed its certificate is not turned away for it.
        return _holds(self._published_keys.find_jwks(client.jwks_uri), der) or _holds(
            self._published_keys.find_jwks(client.jwks_uri, renew=True), der
        )


def _holds(jwks: str | None, der: bytes) -> bool:
    if jwks is None:
        return False
    try:
        return der in certificates_in_jwks(jwks)
    except JwksRefused:
        return False


def _is_good(der: bytes, at: datetime) -> bool:
    certificate = read_certificate(der)
    return certificate is not None and is_within_dates(certificate, at)


def is_named(certificate: x509.Certificate, name: str, value: str) -> bool:
    """Return whether a certificate has the name that a client registered (RFC 8705, 2.1.2).

    name: one of SUBJECT_NAMES. A subject is compared name by name as RFC 4514 reads it, never as text; of
    alternative names, one must be equal: DNS names and mail domains in any case, wildcards are nothing but
    characters, IP addresses as numbers. A name that is not one of them, or unreadable, fits nothing.
    """
    if subject_names_fault(name, value) is not None:
        return False
    if name == SUBJECT_DN:
        return certificate.subject == x509.Name.from_rfc4514_string(value)
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return False
    if name == SAN_DNS:
        return value.lower() in {one.lower() for one in names.get_values_for_type(x509.DNSName)}
    if name == SAN_URI:
        return value in names.get_values_for_type(x509.UniformResourceIdentifier)
    if name == SAN_IP:
        return ip_address(value) in names.get_values_for_type(x509.IPAddress)
    return _mailbox(value) in map(_mailbox, names.get_values_for_type(x509.RFC822Name))


def subject_names_fault(name: str, value: str) -> str | None:
    """Return why a name cannot be registered for tls_client_auth, or None. The text holds no input.

    name: one of SUBJECT_NAMES. value: a distinguished name as RFC 4514 writes it (unusual attributes by
    their number, such as 2.5.4.5=…), a DNS name without wildcard, an absolute URI, an IP address in its
    usual spelling, or an e-mail address.
    """
    if name not in SUBJECT_NAMES:
        return "the name must be one of " + ", ".join(SUBJECT_NAMES)
    if not 0 < len(value) <= _MAX_NAME_CHARACTERS or not value.isprintable():
        return f"{name} must have 1 to {_MAX_NAME_CHARACTERS} printable characters"
    return None if _CHECKS[name](value) else f"{name} must be {_WANTED[name]}"


def _is_subject(value: str) -> bool:
    try:
        return bool(x509.Name.from_rfc4514_string(value).rdns)
    except ValueError:
        return False


def _is_uri(value: str) -> bool:
    try:
        parts = urlsplit(value)
    except ValueError:
        return False
    return value.isascii() and " " not in value and bool(parts.scheme) and bool(parts.netloc or parts.path)


def _is_address(value: str) -> bool:
    try:
        return str(ip_address(value)) == value and "%" not in value
    except ValueError:
        return False


def _mailbox(value: str) -> tuple[str, str]:
    """Return local part and domain; only the domain may be written in any case (RFC 5280, 4.2.1.6)."""
    local, _, domain = value.rpartition("@")
    return local, domain.lower()


_CHECKS: Final[Mapping[str, Callable[[str], bool]]] = {
    SUBJECT_DN: _is_subject,
    SAN_DNS: lambda value: _DNS_NAME.fullmatch(value) is not None,
    SAN_URI: _is_uri,
    SAN_IP: _is_address,
    SAN_EMAIL: lambda value: _EMAIL.fullmatch(value) is not None,
}
_WANTED: Final = {
    SUBJECT_DN: "a distinguished name as RFC 4514 writes it, such as CN=gateway,O=Hospital,C=VN",
    SAN_DNS: "a DNS name without wildcard",
    SAN_URI: "an absolute URI",
    SAN_IP: "an IP address in its usual spelling",
    SAN_EMAIL: "an e-mail address",
}


def tls_methods(settings: Settings, published_keys: PublishedClientKeys) -> dict[str, TlsMethod]:
    """Return the methods by certificate that are on: none without a host that asks for certificates."""
    if not settings.mtls_url:
        return {}
    methods: dict[str, TlsMethod] = {}
    if settings.tls_client_ca_file:
        methods[TLS_CLIENT_AUTH] = TlsClientAuth(Authorities(settings.tls_client_ca_file))
    methods[SELF_SIGNED_TLS_CLIENT_AUTH] = SelfSignedTlsClientAuth(published_keys)
    return methods
