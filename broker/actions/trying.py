"""Looking again where somebody else was first: a change is put together anew from what lies there now."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeVar

from broker.errors import ConsentMoved

TRIES: Final = 4
T = TypeVar("T")


def tried_again(act: Callable[[], T], tries: int = TRIES) -> T:
    """Return what act returns, once nobody comes in between. Raises ConsentMoved after so many tries."""
    while True:
        tries -= 1
        try:
            return act()
        except ConsentMoved:
            if not tries:
                raise
