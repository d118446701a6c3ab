"""What /readyz finds wrong with the log is a line too: at once, again each minute, and when it is over.

Whoever looks after the pages has the metric; whoever reads lines has these. A worker says it for itself.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from time import monotonic
from typing import Final

from broker.api.operations import Probe

AGAIN_SECONDS: Final = 60.0
LATE: Final = {
    "late": "an entry of the evidence waits too long for the published log",
    "unreachable": "how late the published log is cannot be told",
    "unreadable": "the published checkpoint of the log is none",
}
STOPPED: Final = {
    "log_stopped": "ordinary releases stop: the log stands",
    "unreachable": "whether the log stands cannot be told: nothing leaves then",
}
_log: Final = logging.getLogger("broker.log")


class Alarm:
    """A probe that is heard. sentences: fault → what is said of it; others are no alarm.

    over: what is said when it is over. clock: monotonic seconds.
    """

    def __init__(
        self,
        probe: Probe,
        sentences: Mapping[str, str],
        over: str,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._probe = probe
        self._sentences = sentences
        self._over = over
        self._clock = clock
        self._said: str | None = None
        self._again_at = 0.0

    def __call__(self) -> str | None:
        """Return what the probe finds, after saying it where it is new or a minute old."""
        fault = self._probe()
        sentence = self._sentences.get(fault or "")
        if sentence is not None and (sentence != self._said or self._clock() >= self._again_at):
            _log.error(sentence)
            self._again_at = self._clock() + AGAIN_SECONDS
        elif sentence is None and self._said is not None:
            _log.warning(self._over)
        self._said = sentence
        return fault
