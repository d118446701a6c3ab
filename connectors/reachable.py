"""Which addresses a connection may be made to, when somebody else chose the name of the host."""

from __future__ import annotations

import socket
from collections.abc import Callable, Sequence
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final, TypeAlias

_GLOBAL_UNICAST: Final = IPv6Network("2000::/3")
# Inside what ipaddress calls global: IPv4 in disguise, protocol assignments, documentation.
_DETOURS: Final = tuple(
    map(ip_network, ("192.0.0.0/24", "192.88.99.0/24", "2001::/23", "2002::/16", "3fff::/20"))
)

Resolve: TypeAlias = Callable[[str, int], Sequence[str]]
"""(host, port) → its addresses as text. Raises OSError."""


def system_addresses(host: str, port: int) -> Sequence[str]:
    """Return the addresses of a host as the system's resolver knows them. Raises OSError."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(one[4][0]) for one in found))


def is_reachable(address: str, *, private: bool = False) -> bool:
    """Return whether a connection to an address may be made.

    Without private: addresses of the public internet only, and no IPv6 address that stands for an IPv4 one
    (mapped, 6to4, NAT64, Teredo). private: also those of inner networks and the loopback, never a link-local
    one, at which machines of clouds tell their secrets.
    """
    try:
        found = ip_address(address)
    except ValueError:
        return False
    if found.is_multicast or found.is_unspecified or found.is_link_local:
        return False
    if private and (found.is_loopback or _is_inner(found)):
        return True
    if isinstance(found, IPv6Address) and found not in _GLOBAL_UNICAST:
        return False
    return found.is_global and not any(found in network for network in _DETOURS)


def _is_inner(address: IPv4Address | IPv6Address) -> bool:
    inner = ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "fc00::/7")
    return any(address in ip_network(network) for network in inner)
