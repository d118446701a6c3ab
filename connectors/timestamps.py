"""A request for a time stamp to one authority (RFC 3161, 3.4) over HTTPS: no detours, in time."""

from __future__ import annotations

import ssl
from time import monotonic
from typing import Final
from urllib.parse import urlsplit

from connectors.base import AuthorityUnreachable
from connectors.pinned_https import FetchRefused, PinnedFetch, Sent
from connectors.reachable import Resolve, system_addresses

QUERY: Final = "application/timestamp-query"
REPLY: Final = "application/timestamp-reply"
PLAIN_HOST: Final = "localhost"
ANSWER_BYTES_MAX: Final = 65_536


def is_authority_address(url: str) -> bool:
    """Return whether an authority can be asked there: https, or http on this machine."""
    parts = urlsplit(url)
    is_plain = parts.scheme == "http" and parts.hostname == PLAIN_HOST
    return bool(parts.hostname) and (parts.scheme == "https" or is_plain) and not parts.fragment


class HttpTimestamps:
    """Implements `broker.stamping.AuthorityDoor`; safe for many threads.

    authorities: certificates in PEM for TLS, "" for the system's; whose time stamps count is another matter.
    """

    def __init__(self, url: str, *, authorities: str = "", resolve: Resolve = system_addresses) -> None:
        self._url = url
        self._context = ssl.create_default_context(cadata=authorities or None)
        self._context.minimum_version = ssl.TLSVersion.TLSv1_2
        # Whoever runs the log chose the host, and may have an authority on an inner network.
        self._private_hosts = frozenset({(urlsplit(url).hostname or "").lower()})
        self._resolve = resolve

    def stamp(self, query: bytes, seconds: float) -> bytes:
        """Return the answer to a request. Raises AuthorityUnreachable."""
        fetch = PinnedFetch(
            self._url,
            context=self._context,
            resolve=self._resolve,
            private_hosts=self._private_hosts,
            plain_hosts=(PLAIN_HOST,),
            until=monotonic() + seconds,
            sent=Sent(QUERY, query),
            body_bytes_max=ANSWER_BYTES_MAX,
            accept=REPLY,
        )
        try:
            answer = fetch.run_in_time()
        except FetchRefused as refused:
            raise AuthorityUnreachable(str(refused)) from None
        if answer.media_type != REPLY:
            raise AuthorityUnreachable("the answer is no time stamp")
        return answer.body
