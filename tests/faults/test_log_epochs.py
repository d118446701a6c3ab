"""Which cluster the numbers of transactions are of: PostgreSQL says it, the operator, and the numbers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import psycopg
import pytest
from sqlalchemy import text

from broker.cli.embedded import EmbeddedCluster, url_of
from broker.clock import system_clock
from broker.errors import LogStopped
from broker.evidence.sequencing import year_of
from broker.setting_readers import read_epoch
from broker.storage.log_delay import LogDelay
from broker.storage.log_positions import PostgresLogPositions
from tests.log_world import DATABASE, HOST, LogWorld

FAR = 9_000_000_000
"""A number of a transaction that this cluster never comes to."""


@contextmanager
def not_told(cluster: EmbeddedCluster) -> Iterator[None]:
    """Have a server that tells nobody which cluster it is, as managed ones may."""
    url = url_of(cluster.administrator_url, "postgres", DATABASE).replace("+psycopg", "")
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("REVOKE EXECUTE ON FUNCTION pg_control_system() FROM PUBLIC")
        try:
            yield
        finally:
            connection.execute("GRANT EXECUTE ON FUNCTION pg_control_system() TO PUBLIC")


def horizon(log: LogWorld) -> tuple[str, int]:
    with log.databases.owner.connect() as connection:
        row = connection.execute(text("SELECT epoch, entered_transaction FROM log_horizon")).one()
    return row.epoch, row.entered_transaction


def change(log: LogWorld, statement: str, **values: object) -> None:
    with log.databases.owner.begin() as connection:
        connection.execute(text(statement), values)


def called(log: LogWorld, epoch: str) -> None:
    """Call the present cluster so, in the settings of sequencer and servers."""
    log.settings = replace(log.settings, log_epoch=epoch)


def waiting(log: LogWorld) -> int:
    """Return how many entries wait, as a server sees it."""
    positions = PostgresLogPositions(log.store.engine, year_of, log.settings.log_epoch)
    return positions.waiting({2026: log.published().tree_size}).count


class TestWhereItIsNotTold:
    def test_it_is_a_plain_sentence(self, log: LogWorld, cluster: EmbeddedCluster) -> None:
        with (
            not_told(cluster),
            pytest.raises(LogStopped, match=r"pg_control_system\(\), or BROKER_LOG_EPOCH be set$"),
        ):
            log.created()

    def test_what_the_operator_calls_it_counts(self, log: LogWorld, cluster: EmbeddedCluster) -> None:
        called(log, "vn-1")
        with not_told(cluster):
            log.created()
            references = log.record(range(20))
            assert waiting(log) == 20
            assert log.order() == 20
            assert waiting(log) == 0
            positions = PostgresLogPositions(log.store.engine, year_of, "vn-1")
            delay = LogDelay(positions, str(log.directory), f"https://{HOST}", system_clock)
            assert (delay.seconds(), delay.fault()) == (0.0, None)
        assert horizon(log)[0] == "set:vn-1"
        assert log.published_references() == references
        log.check()


class TestAnotherName:
    def test_every_entry_without_a_position_is_looked_for_once(self, log: LogWorld) -> None:
        called(log, "vn-1")
        log.created()
        log.record(range(10))
        log.order()
        # As in a dump that was restored elsewhere: entered with numbers far below the horizon.
        missed = log.record(range(10, 15))
        change(log, "UPDATE log_horizon SET entered_transaction = :number", number=horizon(log)[1] + 1)
        change(
            log,
            "UPDATE evidence_entries SET entered_transaction = 3 WHERE reference NOT IN"
            " (SELECT reference FROM log_positions)",
        )
        assert log.order() == 0, "under the same name they are not looked for"
        called(log, "vn-2")
        assert waiting(log) == 5
        assert log.order() == 5
        assert log.published_references()[10:] == missed
        assert horizon(log)[0] == "set:vn-2"
        log.record(range(15, 18))
        assert log.order() == 3
        log.check()

    def test_from_a_system_identifier_to_a_name_and_back_nothing_is_lost_or_doubled(
        self, log: LogWorld
    ) -> None:
        log.created()
        references = log.record(range(5))
        log.order()
        identifier = horizon(log)[0]
        assert identifier.isdecimal()
        for epoch, numbers in ((identifier, range(5, 10)), ("", range(10, 15))):
            called(log, epoch)
            references += log.record(numbers)
            assert log.order() == 5
            # A name that looks like an identifier is a name all the same.
            assert horizon(log)[0] == (f"set:{identifier}" if epoch else identifier)
        assert log.published_references() == references
        log.check()


class TestNumbersThatWentBack:
    """The database was moved and the operator forgot to say so: nothing is skipped for ever."""

    @pytest.mark.parametrize("epoch", ["", "vn-1"])
    def test_they_are_noticed_and_all_without_a_position_is_looked_for(
        self, log: LogWorld, epoch: str
    ) -> None:
        called(log, epoch)
        log.created()
        references = log.record(range(10))
        log.order()
        change(log, "UPDATE log_horizon SET entered_transaction = :far", far=FAR)
        change(log, "UPDATE evidence_entries SET entered_transaction = :far", far=FAR - 1)
        references += log.record(range(10, 14))
        assert waiting(log) == 4
        assert log.order() == 4
        assert horizon(log)[1] < FAR
        references += log.record(range(14, 16))
        assert waiting(log) == 2, "the larger numbers of the cluster before are passed over"
        assert log.order() == 2
        assert log.published_references() == references
        log.check()

    def test_larger_numbers_of_the_cluster_before_do_not_make_the_log_seem_late(self, log: LogWorld) -> None:
        log.created()
        log.record(range(6))
        log.order()
        change(
            log,
            "UPDATE evidence_entries SET entered_transaction = :far, recorded_at = now() - interval '1 year'",
            far=FAR,
        )
        log.record(range(6, 8))
        log.order()
        with log.databases.owner.connect() as connection:
            is_fresh = text("SELECT complete_at > now() - interval '10 min' FROM log_published")
            assert connection.execute(is_fresh).scalar_one()
        assert waiting(log) == 0


@pytest.mark.parametrize("name", ["", "a", "2026-11", "vn_1.b", "x" * 64])
def test_a_name_is_a_short_word(name: str) -> None:
    assert read_epoch(name) == name


@pytest.mark.parametrize("name", ["x" * 65, "two words", "a/b", "é", "a\n", "set:a"])
def test_what_is_none_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="at most 64 letters"):
        read_epoch(name)
