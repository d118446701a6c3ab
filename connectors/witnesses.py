"""A checkpoint to one witness over HTTPS (C2SP tlog-witness): no detours, a short answer, in time."""

from __future__ import annotations

import ssl
from collections.abc import Collection
from time import monotonic
from typing import Final

from connectors.base import WitnessUnreachable
from connectors.pinned_https import FetchRefused, PinnedFetch, Sent
from connectors.reachable import Resolve, system_addresses

ANSWER_BYTES_MAX: Final = 65_536
_STATUSES: Final = (200, 400, 403, 404, 409, 422)
_READ: Final = frozenset({200, 409})


class HttpWitnesses:
    """Implements `broker.actions.log_doors.WitnessDoor`; safe for many threads.

    authorities: certificates in PEM, "" for the system's. private_hosts: lower-case names that may have inner
    addresses. plain_hosts: lower-case names of this machine that may be asked without TLS.
    """

    def __init__(
        self,
        *,
        authorities: str = "",
        private_hosts: Collection[str] = (),
        plain_hosts: Collection[str] = (),
        resolve: Resolve = system_addresses,
    ) -> None:
        self._context = ssl.create_default_context(cadata=authorities or None)
        self._context.minimum_version = ssl.TLSVersion.TLSv1_2
        self._private_hosts = frozenset(private_hosts)
        self._plain_hosts = frozenset(plain_hosts)
        self._resolve = resolve

    def add_checkpoint(self, url: str, content: bytes, seconds: float) -> tuple[int, bytes]:
        """Return status and body of a witness's answer. Raises WitnessUnreachable."""
        fetch = PinnedFetch(
            url.rstrip("/") + "/add-checkpoint",
            context=self._context,
            resolve=self._resolve,
            private_hosts=self._private_hosts,
            plain_hosts=self._plain_hosts,
            until=monotonic() + seconds,
            sent=Sent("text/plain; charset=utf-8", content),
            statuses=_STATUSES,
            unread=[one for one in _STATUSES if one not in _READ],
            body_bytes_max=ANSWER_BYTES_MAX,
            accept="text/plain, text/x.tlog.size",
        )
        try:
            answer = fetch.run_in_time()
        except FetchRefused as refused:
            raise WitnessUnreachable(str(refused)) from None
        return answer.status, answer.body
