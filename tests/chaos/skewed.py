"""The broker's application for gunicorn, of which the worker that comes first has a clock that is wrong.

CHAOS_CLOCK: by so many seconds. CHAOS_MARK: a file that does not exist yet; whoever makes it is the first.
"""

from __future__ import annotations

import os

from flask import Flask

from tests.chaos.stepped import shift_clock


def create_app() -> Flask:
    try:
        os.close(os.open(os.environ["CHAOS_MARK"], os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    except FileExistsError:
        pass
    else:
        shift_clock(float(os.environ["CHAOS_CLOCK"]))
    from broker.app import create_app as made  # not before: its modules take the clock that is there

    return made()
