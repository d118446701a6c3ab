"""One Security Event Token to one recipient over HTTPS (RFC 8935): no detours, a short answer, in time."""

from __future__ import annotations

import json
import ssl
from collections.abc import Collection
from dataclasses import dataclass
from time import monotonic
from typing import Final, Literal

from connectors.pinned_https import Fetched, FetchRefused, PinnedFetch, Sent
from connectors.reachable import Resolve, system_addresses

PUSH_SECONDS: Final = 5.0
MEDIA_TYPE: Final = "application/secevent+jwt"
ERROR_CODES: Final = frozenset(
    {
        "invalid_request",
        "invalid_key",
        "invalid_issuer",
        "invalid_audience",
        "authentication_failed",
        "access_denied",
    }
)
"""Codes with which a recipient refuses a token (RFC 8935, 2.4 and 7.1); RFC 8936 uses them too."""
_ACCEPTED: Final = 202
_BAD_REQUEST: Final = 400


@dataclass(frozen=True, slots=True)
class Pushed:
    """How a push went. refused: trying again is of no use. fault: fixed words, "" for delivered."""

    outcome: Literal["delivered", "refused", "failed"]
    fault: str = ""


class EventPusher:
    """Safe for many threads. private_hosts: lower-case names that may have inner addresses.

    authorities: certificates in PEM, "" for the system's. push_seconds: what one push may take in all.
    """

    def __init__(
        self,
        *,
        authorities: str = "",
        private_hosts: Collection[str] = (),
        resolve: Resolve = system_addresses,
        push_seconds: float = PUSH_SECONDS,
    ) -> None:
        self._context = ssl.create_default_context(cadata=authorities or None)
        self._context.minimum_version = ssl.TLSVersion.TLSv1_2
        self._private_hosts = frozenset(private_hosts)
        self._resolve = resolve
        self._push_seconds = push_seconds

    def push(self, events_uri: str, token: str) -> Pushed:
        """Post a token; 202 says that the recipient has it (RFC 8935, 2.2). Never raises.

        An error answer of 2.3 is a refusal; whatever else comes back, or nothing, is a failure.
        """
        return _pushed(
            PinnedFetch(
                events_uri,
                context=self._context,
                resolve=self._resolve,
                private_hosts=self._private_hosts,
                until=monotonic() + self._push_seconds,
                sent=Sent(MEDIA_TYPE, token.encode("ascii"), {"Accept": "application/json"}),
                statuses=(_ACCEPTED, _BAD_REQUEST),
                unread=(_ACCEPTED,),
            )
        )


def _pushed(fetch: PinnedFetch) -> Pushed:
    try:
        answer = fetch.run_in_time()
    except FetchRefused as refused:
        return Pushed("failed", str(refused))
    return Pushed("delivered") if answer.status == _ACCEPTED else _refusal(answer)


def _refusal(answer: Fetched) -> Pushed:
    """Return what an answer with status 400 means; its words are the recipient's and are not kept."""
    try:
        document = json.loads(answer.body) if answer.media_type == "application/json" else None
    except (ValueError, RecursionError):
        document = None
    code = document.get("err") if isinstance(document, dict) else None
    if not isinstance(code, str):
        return Pushed("failed", "the host answers 400 without saying why")
    return Pushed("refused", refusal_words(code))


def refusal_words(code: str) -> str:
    """Return in fixed words that a recipient refuses a token; codes that no standard knows are not kept."""
    return f"the recipient refuses it: {code if code in ERROR_CODES else 'a code of its own'}"
