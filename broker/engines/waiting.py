"""Work of an engine in a thread of its own, while whoever waits is told how far it is and may end it."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from typing import Final, TypeVar

T = TypeVar("T")

TOLD_SECONDS: Final = 0.25
STOP_SECONDS: Final = 0.05


def told_while(work: Callable[[], T], tell: Callable[[], None], stop: Callable[[], None]) -> T:
    """Return what work returns, and raise what it raises.

    tell: called every quarter of a second; whatever it raises ends the work. stop: makes the work end soon;
    called until it has, as a statement that has not begun cannot be stopped.
    """
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="engine") as pool:
        future = pool.submit(work)
        try:
            while not wait([future], timeout=TOLD_SECONDS).done:
                tell()
        except BaseException:
            while not future.done():
                stop()
                wait([future], timeout=STOP_SECONDS)
            raise
        return future.result()
