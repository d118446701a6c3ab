"""What a connection says of its caller, and which proxies may say it for somebody else.

A header proves nothing by itself: whoever reaches the broker can write one. X-Forwarded-For and Client-Cert
(RFC 9440) count only when the connection comes from a proxy that the operator named; from anywhere else
the caller is the other end of the connection, and has no certificate.
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address
from typing import Any, Final

from broker.oauth.bounded import BoundedMap
from broker.oauth.caller_facts import CallerFacts, ClientCertificate
from broker.oauth.registration import Network

MAX_CERTIFICATE_CHARACTERS: Final = 8192
# RFC 8941, 3.3.5: one byte sequence, without parameters, since RFC 9440 defines none.
_BYTE_SEQUENCE: Final = re.compile(r":([A-Za-z0-9+/]+={0,2}):")
_KEPT_ADDRESSES: Final = 4096
_ADDRESS_CHARACTERS_MAX: Final = 45
_UNKNOWN: Final = CallerFacts("")


@dataclass(frozen=True, slots=True)
class _Address:
    """facts: all that is known of a caller at this address. is_proxy: whether it is a trusted one."""

    facts: CallerFacts
    is_proxy: bool


_UNREADABLE: Final = _Address(_UNKNOWN, is_proxy=False)


class TrustedProxies:
    """Reads a caller's address and certificate; a `CallerReader`. networks: of the proxies, () for none."""

    def __init__(self, networks: Iterable[Network] = ()) -> None:
        self._networks = tuple(networks)
        self._addresses: BoundedMap[str, _Address] = BoundedMap(_KEPT_ADDRESSES)

    def read(self, environ: Any) -> CallerFacts:
        """Return what a WSGI environ (PEP 3333) says of its caller. Never raises.

        From an address that is no trusted proxy: that address, and no certificate, whatever headers say.
        From a trusted one: the rightmost element of X-Forwarded-For that is no trusted proxy itself (where
        all are, the leftmost), "" when it is no IP address or the field is missing; and the certificate in
        Client-Cert (RFC 9440, 2.2), None unless there is exactly one, well-formed and of at most 8 KiB.
        """
        remote = self._address(environ.get("REMOTE_ADDR") or "")
        if not remote.is_proxy:
            return remote.facts
        facts = self._forwarded(environ.get("HTTP_X_FORWARDED_FOR") or "")
        field = environ.get("HTTP_CLIENT_CERT")
        if not field:
            return facts
        return CallerFacts(facts.source_address, _certificate(field))

    def _forwarded(self, field: str) -> CallerFacts:
        address = _UNREADABLE
        # Each proxy adds on the right whom it saw: what stands left of an unknown hop is anybody's word.
        for element in reversed(field.split(",")):
            address = self._address(element.strip(" \t"))
            if not address.is_proxy:
                break
        return address.facts

    def _address(self, text: str) -> _Address:
        """Return an address as it was judged before, or judge it."""
        if len(text) > _ADDRESS_CHARACTERS_MAX:
            return _UNREADABLE
        known = self._addresses.find(text)
        if known is None:
            known = self._judged(text)
            self._addresses.keep(text, known)
        return known

    def _judged(self, text: str) -> _Address:
        if "%" in text:  # a zone (RFC 4007) means something on one machine only
            return _UNREADABLE
        try:
            address = ip_address(text)
        except ValueError:
            return _UNREADABLE
        if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
            # What a socket for both families calls an IPv4 caller (RFC 4291, 2.5.5.2).
            address = address.ipv4_mapped
        is_proxy = any(address in network for network in self._networks)
        return _Address(CallerFacts(str(address)), is_proxy)


def _certificate(field: str) -> ClientCertificate | None:
    if len(field) > MAX_CERTIFICATE_CHARACTERS:
        return None
    sequence = _BYTE_SEQUENCE.fullmatch(field)
    if sequence is None:
        return None
    try:
        der = binascii.a2b_base64(sequence[1], strict_mode=True)
    except binascii.Error:
        return None
    # Stray bits behind the last byte would be a second spelling of the same certificate.
    if binascii.b2a_base64(der, newline=False).decode("ascii") != sequence[1]:
        return None
    return ClientCertificate.of(der)
