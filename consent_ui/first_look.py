"""The first look at a request is written down: once, by a person's own look, and never in the way of it."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Final

from flask import request

from broker.errors import ConsentMoved, ConsentNotFound, ConsentTransitionRefused, StoreUnavailable

_log: Final = logging.getLogger("broker.consents")


def note_first_look(view: Callable[[], object]) -> None:
    """Write a first look down. Where that fails the page is shown all the same; the next look is the first.

    A browser that fetches pages ahead, or asks for the head of one alone, has shown it to nobody.
    """
    purpose = request.headers.get("Sec-Purpose", "") + request.headers.get("Purpose", "")
    if request.method != "GET" or "prefetch" in purpose:
        return
    try:
        view()
    except (ConsentMoved, ConsentNotFound, ConsentTransitionRefused, StoreUnavailable) as fault:
        _log.warning("a first look was not written down: %s", type(fault).__name__)
