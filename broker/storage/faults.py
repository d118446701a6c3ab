"""A store that does not answer is one kind of error, whatever the driver calls it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import exc

from broker.errors import StoreUnavailable


@contextmanager
def store_answers() -> Iterator[None]:
    """Turn "no connection", "too slow" and "server gone" into StoreUnavailable; let defects through."""
    try:
        yield
    except (exc.OperationalError, exc.InterfaceError, exc.TimeoutError) as fault:
        raise StoreUnavailable(f"the store does not answer: {type(fault).__name__}") from None
