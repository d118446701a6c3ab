"""Key sets that clients publish behind a jwks_uri, read over HTTPS and kept as long as they may be.

Waiting is bounded: few threads of a process ever wait here, and none longer than one reading may take. All
others get what is kept, or nothing, at once: a host that is slow or hostile holds up its own client only.
"""

from __future__ import annotations

import logging
import re
import ssl
from collections import OrderedDict
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from threading import Event, Lock, Thread
from time import monotonic
from typing import Final, TypeAlias

from connectors.pinned_https import Fetched, FetchRefused, PinnedFetch
from connectors.reachable import Resolve, system_addresses

READING_SECONDS: Final = 2.0
READINGS_MAX: Final = 2
WAITING_MAX: Final = 2
KEPT_MAX: Final = 1_024
UNSTATED_SECONDS: Final = 300
LONGEST_SECONDS: Final = 3_600
RENEW_SECONDS: Final = 10
FAILURE_SECONDS: Final = 5
LONGEST_FAILURE_SECONDS: Final = 80
AHEAD: Final = 0.8
"""Part of a set's life after which it is read anew behind the back of whoever asks."""

_MEDIA_TYPES: Final = frozenset({"application/json", "application/jwk-set+json"})
_MAX_AGE: Final = re.compile(r"max-age=\"?([0-9]{1,9})\"?")
# Operators read the broker's lines as JSON; its root logger writes them.
_log: Final = logging.getLogger("broker.client_keys")

Accept: TypeAlias = Callable[[str], str]
"""JSON text of a set → the text to keep. Raises ValueError, whose text is fixed words."""


@dataclass(frozen=True, slots=True)
class _Kept:
    """What is known of one URI. Instants are the clock's seconds. text: None when nothing usable was read."""

    text: str | None = None
    ahead_from: float = 0.0
    fresh_until: float = 0.0
    read_at: float = 0.0
    retry_from: float = 0.0
    failures: int = 0
    fault: str | None = None


class _Reading:
    """One reading under way; text is there once `done` is set, None when it failed."""

    __slots__ = ("done", "fetch", "text", "until")

    def __init__(self, fetch: PinnedFetch, until: float) -> None:
        self.fetch = fetch
        self.until = until
        self.text: str | None = None
        self.done = Event()

    def wait(self) -> str | None:
        """Return what was read, as soon as it is; end the reading when its time is over."""
        if not self.done.wait(max(0.0, self.until - monotonic())):
            self.fetch.abort()
        return self.text if self.done.is_set() else None


class ClientKeySets:
    """Implements `broker.oauth.registration.PublishedClientKeys`, safe for many threads.

    accept: judges a set and returns what of it is kept. authorities: certificates in PEM, "" for the
    system's. private_hosts: lower-case names that may have inner addresses. clock: seconds that only grow.
    plain_hosts: lower-case names of this machine that may be asked without TLS. what: in the log, of a fault.
    """

    def __init__(
        self,
        accept: Accept,
        *,
        authorities: str = "",
        private_hosts: Collection[str] = (),
        clock: Callable[[], float] = monotonic,
        resolve: Resolve = system_addresses,
        reading_seconds: float = READING_SECONDS,
        plain_hosts: Collection[str] = (),
        what: str = "the keys of a client",
    ) -> None:
        self._accept = accept
        self._context = ssl.create_default_context(cadata=authorities or None)
        self._context.minimum_version = ssl.TLSVersion.TLSv1_2
        self._private_hosts = frozenset(private_hosts)
        self._clock = clock
        self._resolve = resolve
        self._reading_seconds = reading_seconds
        self._plain_hosts = frozenset(plain_hosts)
        self._what = what
        self._kept: OrderedDict[str, _Kept] = OrderedDict()
        self._readings: dict[str, _Reading] = {}
        self._waiting = 0
        self._lock = Lock()

    def find_jwks(self, jwks_uri: str, *, renew: bool = False) -> str | None:
        """Return the key set that a client publishes as JSON text, or None when it cannot be had now.

        A set is kept for the max-age of its Cache-Control, 300 s where none is stated, never above an hour;
        one that must not be stored serves those who wait for it. renew: the set kept does not fit; it is
        read anew if the last reading is 10 s old, and stays usable if that fails. After a failure nothing is
        read for 5 s, doubled with each further one up to 80 s. Waits for 2 s at most.
        """
        now = self._clock()
        with self._lock:
            self._end_late_readings()
            kept = self._kept.get(jwks_uri, _Kept(read_at=now - RENEW_SECONDS))
            if jwks_uri in self._kept:
                self._kept.move_to_end(jwks_uri)
            usable = kept.text if now < kept.fresh_until else None
            if now < kept.retry_from or (renew and now < kept.read_at + RENEW_SECONDS):
                return usable
            if usable is not None and not renew:
                if now >= kept.ahead_from:
                    self._reading_of(jwks_uri)
                return usable
            reading = self._reading_of(jwks_uri) if self._waiting < WAITING_MAX else None
            if reading is None:
                return usable
            self._waiting += 1
        try:
            text = reading.wait()
        finally:
            with self._lock:
                self._waiting -= 1
        return usable if text is None else text

    def find_fault(self, jwks_uri: str) -> str | None:
        """Return in fixed words why the last reading of a URI failed, or None if it did not."""
        with self._lock:
            return self._kept.get(jwks_uri, _Kept()).fault

    def _reading_of(self, jwks_uri: str) -> _Reading | None:
        """Return the reading of a URI that is under way, or begin one; None where too many are. Locked."""
        reading = self._readings.get(jwks_uri)
        if reading is not None or len(self._readings) >= READINGS_MAX:
            return reading
        until = monotonic() + self._reading_seconds
        fetch = PinnedFetch(
            jwks_uri,
            context=self._context,
            resolve=self._resolve,
            private_hosts=self._private_hosts,
            until=until,
            plain_hosts=self._plain_hosts,
        )
        reading = _Reading(fetch, until)
        # A thread of its own: no resolver can be told to stop, and a caller must not wait for one.
        thread = Thread(target=self._read, args=(jwks_uri, reading), name="client-keys", daemon=True)
        try:
            thread.start()
        except RuntimeError:
            return None
        self._readings[jwks_uri] = reading
        return reading

    def _end_late_readings(self) -> None:
        """End readings that nobody waits for any more and that a host draws out. Locked."""
        for reading in self._readings.values():
            if reading.until <= monotonic():
                reading.fetch.abort()

    def _read(self, jwks_uri: str, reading: _Reading) -> None:
        text, kept_seconds, fault = None, 0.0, None
        try:
            fetched = reading.fetch.run()
            text = self._accepted(fetched)
            kept_seconds = seconds_to_keep(fetched)
        except (FetchRefused, ValueError) as refused:
            fault = str(refused)
        except Exception as failed:
            fault = f"reading failed: {type(failed).__name__}"
        if fault is not None:
            _log.warning("%s cannot be read: %s", self._what, fault)
        now = self._clock()
        with self._lock:
            before = self._kept.pop(jwks_uri, _Kept())
            self._kept[jwks_uri] = (
                _Kept(
                    text=text,
                    ahead_from=now + AHEAD * kept_seconds,
                    fresh_until=now + kept_seconds,
                    read_at=now,
                )
                if fault is None
                else _failed(before, now, fault)
            )
            if len(self._kept) > KEPT_MAX:
                self._kept.popitem(last=False)
            self._readings.pop(jwks_uri, None)
            reading.text = text
            reading.done.set()

    def _accepted(self, fetched: Fetched) -> str:
        if fetched.media_type not in _MEDIA_TYPES:
            raise FetchRefused("the document is neither application/jwk-set+json nor application/json")
        try:
            text = fetched.body.decode("utf-8")
        except UnicodeDecodeError:
            raise FetchRefused("the document is not UTF-8") from None
        return self._accept(text)


def _failed(before: _Kept, now: float, fault: str) -> _Kept:
    rest = min(FAILURE_SECONDS * 2.0 ** min(before.failures, 10), LONGEST_FAILURE_SECONDS)
    return replace(before, read_at=now, retry_from=now + rest, failures=before.failures + 1, fault=fault)


def seconds_to_keep(fetched: Fetched) -> float:
    """Return for how long a document may be kept (RFC 9111, 4.2): its max-age less its Age, an hour at most.

    300 where nothing is stated; 0 for no-store, no-cache, and a max-age that is past or cannot be read.
    """
    directives = [part.strip().lower() for part in fetched.cache_control.split(",") if part.strip()]
    if any(one.partition("=")[0] in ("no-store", "no-cache") for one in directives):
        return 0
    stated = [one for one in directives if one.startswith("max-age")]
    if not stated:
        return UNSTATED_SECONDS
    ages = [_MAX_AGE.fullmatch(one) for one in stated]
    shortest = min(0 if found is None else int(found[1]) for found in ages)
    age = int(fetched.age) if re.fullmatch("[0-9]{1,9}", fetched.age) else 0
    return float(max(0, min(shortest - age, LONGEST_SECONDS)))
