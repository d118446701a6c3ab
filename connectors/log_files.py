"""The files of a transparency log as they lie there: in a directory, or behind an address."""

from __future__ import annotations

import ssl
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import ClassVar, Final, TypeAlias
from urllib.parse import urlsplit

from connectors.base import ConnectorError
from connectors.pinned_https import FetchRefused, PinnedFetch
from connectors.reachable import Resolve, system_addresses

READING_SECONDS: Final = 10.0
ATTEMPTS: Final = 3
PAUSE_SECONDS: Final = 0.5
READERS: Final = 8
AHEAD: Final = 24
_PLAIN_HOSTS: Final = ("localhost",)

FindFile: TypeAlias = Callable[[str, int], bytes | None]
"""(path below the log's address, bytes that it may have at most) → content, None where there is none.

Of a longer file so many bytes and one more may come back. Raises LogUnreadable.
"""


class LogUnreadable(ConnectorError):
    """A file of the log may be there, but cannot be had. The text names it."""

    kind: ClassVar[str] = "log_unreadable"


class DirectoryFiles:
    """A log in a directory."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def find(self, path: str, most: int) -> bytes | None:
        """Return a file's content, see FindFile. path: of the log's own making, never a stranger's."""
        try:
            with (self._directory / path).open("rb") as opened:
                return opened.read(most + 1)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as fault:
            raise LogUnreadable(f"{path}: {fault.strerror}") from None


class HttpFiles:
    """A log behind an https address that the reader chose; http only on localhost. Safe for many threads.

    No redirects, no proxies, no compression, bounded answers; what fails is tried again after a pause.
    authorities: certificates in PEM, "" for the system's. Raises LogUnreadable for what is no such address.
    """

    def __init__(
        self,
        url: str,
        *,
        authorities: str = "",
        resolve: Resolve = system_addresses,
        reading_seconds: float = READING_SECONDS,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        parts = urlsplit(url)
        host = parts.hostname or ""
        is_plain = parts.scheme == "http" and host in _PLAIN_HOSTS
        if not host or (parts.scheme != "https" and not is_plain) or parts.query or parts.fragment:
            raise LogUnreadable(f"{url}: an https address is wanted (http only on localhost)")
        self._url = url.rstrip("/")
        # Whoever reads chose the host, and may read a log on an inner network.
        self._private_hosts = frozenset({host})
        self._context = ssl.create_default_context(cadata=authorities or None)
        self._context.minimum_version = ssl.TLSVersion.TLSv1_2
        self._resolve = resolve
        self._reading_seconds = reading_seconds
        self._pause = pause

    def find(self, path: str, most: int) -> bytes | None:
        """Return a file's content, see FindFile."""
        for attempt in range(1, ATTEMPTS + 1):
            try:
                answer = self._fetch(path, most).run_in_time()
            except FetchRefused as refused:
                if attempt == ATTEMPTS:
                    raise LogUnreadable(f"{path}: {refused}") from None
                self._pause(PAUSE_SECONDS * attempt)
            else:
                return answer.body if answer.status == 200 else None
        raise AssertionError("the last attempt returns or raises")

    def _fetch(self, path: str, most: int) -> PinnedFetch:
        return PinnedFetch(
            f"{self._url}/{path}",
            context=self._context,
            resolve=self._resolve,
            private_hosts=self._private_hosts,
            plain_hosts=_PLAIN_HOSTS,
            until=time.monotonic() + self._reading_seconds,
            statuses=(200, 404),
            unread=(404,),
            body_bytes_max=most,
            accept="*/*",
        )


@contextmanager
def reading_ahead(find: FindFile, coming: Iterator[tuple[str, int]]) -> Iterator[FindFile]:
    """Give what reads as `find` does, with files that come soon already under way.

    coming: what will be asked for, in order, as arguments of find; other files are read when they are asked
    for. What a reading raised is raised when its file is asked for.
    """
    under_way: OrderedDict[str, Future[bytes | None]] = OrderedDict()
    with ThreadPoolExecutor(READERS, "log-files") as readers:

        def begin() -> None:
            while len(under_way) < AHEAD and (following := next(coming, None)) is not None:
                under_way[following[0]] = readers.submit(find, *following)

        def ahead(path: str, most: int) -> bytes | None:
            begin()
            reading = under_way.pop(path, None)
            return find(path, most) if reading is None else reading.result()

        try:
            yield ahead
        finally:
            readers.shutdown(wait=False, cancel_futures=True)
