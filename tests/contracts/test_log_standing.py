"""Whether the log stands, judged in the store; and what the sequencer tells releases of what it published."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import text

from broker.actions.sequence_log import Sequencer
from broker.errors import EvidenceUnavailable, StoreUnavailable
from broker.evidence.recording import Judgement
from broker.storage import log_standing
from broker.storage.ledger import PostgresLedger
from broker.storage.log_published import NOTED_EVERY_SECONDS
from broker.storage.log_standing import LogStanding
from broker.storage.session import open_store
from connectors.postgres import PreparedConnections, PreparedStatement, conninfo_of_url
from tests.contracts.test_ledger import Desk
from tests.doors import at_once
from tests.evidence_entries import release
from tests.history_world import reference_at
from tests.log_world import LogWorld, of_year
from tests.release_world import World

SECONDS = 30.0


@pytest.fixture
def standing(log: LogWorld) -> LogStanding:
    return LogStanding(log.store.prepared, 5.0, is_needed=True)


def told(log: LogWorld) -> dict[int, tuple[int, datetime]]:
    """Return what releases are told: year → size of the published tree, and when all was published."""
    with log.databases.owner.connect() as connection:
        return {row[0]: (row[1], row[2]) for row in connection.execute(text("SELECT * FROM log_published"))}


def change(log: LogWorld, statement: str, **values: object) -> None:
    with log.databases.owner.begin() as connection:
        connection.execute(text(statement), values)


def complete(log: LogWorld, minutes: float) -> None:
    change(
        log, "UPDATE log_published SET complete_at = now() - make_interval(mins => :mins)", mins=int(minutes)
    )


def leave(log: LogWorld, minutes: float, number: int = 1) -> str:
    """Record an entry so many minutes ago; return its reference."""
    at = datetime.now(UTC) - timedelta(minutes=minutes)
    reference = reference_at(at, number)
    change(
        log,
        "INSERT INTO evidence_entries (reference, kind, entry, recorded_at)"
        " VALUES (CAST(:reference AS uuid), 'release', :entry, :at)",
        reference=reference,
        entry=of_year(release(number), 2026),
        at=at,
    )
    return reference


class TestWhetherItStands:
    def test_where_none_was_made(self, standing: LogStanding) -> None:
        assert standing.stands(SECONDS)
        assert standing.fault() == "log_stopped"

    def test_an_idle_log_does_not_however_long_ago_something_was_published(
        self, log: LogWorld, standing: LogStanding
    ) -> None:
        log.created()
        for number in range(3):
            leave(log, 60 * 24 * 30 + number, number)
        log.order()
        complete(log, 60 * 24 * 30)
        assert not standing.stands(SECONDS)
        assert standing.fault() is None

    def test_an_entry_that_waits_for_longer_than_a_quarter_of_an_hour_does_it(
        self, log: LogWorld, standing: LogStanding
    ) -> None:
        log.created()
        log.order()
        complete(log, 60)
        leave(log, 14)
        assert not standing.stands(SECONDS)
        leave(log, 16, 2)
        assert standing.stands(SECONDS)
        assert standing.fault() == "log_stopped"

    def test_an_entry_with_a_position_waits_until_its_tree_is_published(
        self, log: LogWorld, standing: LogStanding
    ) -> None:
        log.created()
        log.order()
        complete(log, 20)
        reference = leave(log, 20)
        change(log, "INSERT INTO log_positions VALUES (2026, 0, CAST(:ref AS uuid))", ref=reference)
        assert standing.stands(SECONDS)
        change(log, "UPDATE log_published SET tree_size = 1")
        assert not standing.stands(SECONDS)

    def test_entries_of_about_the_instant_of_publication_are_looked_at_too(
        self, log: LogWorld, standing: LogStanding
    ) -> None:
        """A request of a server whose clock is behind, which was recorded just after the sequencer looked."""
        log.created()
        log.order()
        complete(log, 20)
        leave(log, 20 + 8 / 60)
        assert standing.stands(SECONDS)

    def test_an_instant_in_the_future_tells_nothing_until_a_sequencer_puts_it_right(
        self, log: LogWorld, standing: LogStanding
    ) -> None:
        log.created()
        log.order()
        complete(log, -5)
        assert standing.stands(SECONDS)
        log.order()
        assert not standing.stands(SECONDS)

    def test_it_is_not_asked_where_no_log_is_needed(self, log: LogWorld) -> None:
        assert LogStanding(log.store.prepared, 5.0, is_needed=False).fault() == "log_not_required"

    def test_a_store_that_does_not_answer_is_told(self) -> None:
        nowhere = PreparedConnections(conninfo_of_url("postgresql+psycopg://nobody@127.0.0.1:1/none"))
        assert LogStanding(nowhere, 5.0, is_needed=True).fault() == "unreachable"
        nowhere.close()

    def test_however_many_wait_one_is_read_and_of_those_that_do_not_only_the_last(
        self, log: LogWorld
    ) -> None:
        """By the primary key, in its order: the plan says so, whatever the machine does."""
        log.created()
        change(
            log,
            "INSERT INTO evidence_entries (reference, kind, entry)"
            " SELECT gen_random_uuid(), 'release', '' FROM generate_series(1, 100000)",
        )
        # Half of them have their place, and PostgreSQL knows: of an empty table it would read the whole.
        change(
            log,
            "INSERT INTO log_positions (shard, leaf_index, reference)"
            " SELECT 2020, row_number() OVER () - 1, reference FROM evidence_entries LIMIT 50000",
        )
        change(log, "ANALYZE evidence_entries, log_positions")
        shown = PreparedStatement("explained", "EXPLAIN " + log_standing._STANDS.sql)
        rows = log.store.prepared.execute(shown, [log_standing.STOP, b"10 s"], SECONDS)
        plan = b"\n".join(row[0] or b"" for row in rows).decode()
        first = plan.split("Limit")[1]
        assert "Index Only Scan using pk_evidence_entries" in first, plan
        assert "Sort" not in first
        assert "Seq Scan on evidence_entries" not in plan
        assert "Seq Scan on log_positions" not in plan


class TestWhatTheSequencerTells:
    def test_how_much_is_published_and_since_when_all_of_it(self, log: LogWorld) -> None:
        log.created(2025)
        log.created()
        with log.databases.owner.connect() as connection:
            before = connection.execute(text("SELECT now()")).scalar_one()
        log.record(range(5))
        log.record(range(5, 7), year=2025)
        log.order()
        found = told(log)
        assert {year: size for year, (size, _) in found.items()} == {2025: 2, 2026: 5}
        assert {at >= before for _, at in found.values()} == {True}
        assert log.published().tree_size == 5

    def test_a_round_without_anything_new_writes_now_and_then_only(self, log: LogWorld) -> None:
        log.created()
        log.order()
        first = told(log)
        with log.session() as session:
            session.sequencer.run()
            assert told(log) == first
            change(
                log,
                "UPDATE log_published SET complete_at = complete_at - make_interval(secs => :secs)",
                secs=2 * NOTED_EVERY_SECONDS,
            )
            session.sequencer.run()
        assert told(log)[2026][1] >= first[2026][1]

    def test_nothing_is_told_before_the_checkpoint_is_published(
        self, log: LogWorld, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        log.created()
        log.order()
        complete(log, 20)
        before = told(log)
        log.record(range(3))

        def fail(*_: object) -> None:
            raise StoreUnavailable("the disk is full")

        with monkeypatch.context() as patch, log.session() as session:
            patch.setattr(Sequencer, "_publish", fail)
            with pytest.raises(StoreUnavailable):
                session.sequencer.run()
        assert told(log) == before
        log.order()
        assert told(log)[2026][0] == 3

    def test_what_another_transaction_holds_back_counts_as_waiting(self, log: LogWorld) -> None:
        log.created()
        log.order()
        with log.databases.owner.connect() as holding:
            holding.execute(text("SELECT pg_current_xact_id()"))
            complete(log, 40)
            leave(log, 30)
            log.order_what_may_be()
            with log.databases.owner.connect() as connection:
                old = connection.execute(text("SELECT min(recorded_at) FROM evidence_entries")).scalar_one()
            assert told(log)[2026] == (0, old)
        log.order()
        assert told(log)[2026][0] == 1

    def test_it_never_goes_back_and_a_clock_that_was_ahead_is_put_right(self, log: LogWorld) -> None:
        log.created()
        log.order()
        reached = told(log)[2026][1]
        with log.databases.owner.connect() as holding:
            holding.execute(text("SELECT pg_current_xact_id()"))
            leave(log, 30)
            log.order_what_may_be()
            assert told(log)[2026][1] >= reached
        complete(log, -60)
        log.order()
        with log.databases.owner.connect() as connection:
            assert told(log)[2026][1] <= connection.execute(text("SELECT clock_timestamp()")).scalar_one()


class TestTheLedger:
    """On the shared database, where no sequencer runs and nothing is told."""

    @pytest.fixture
    def desk(self, world: World) -> Desk:
        return Desk(world, world.register_hospital(staff=1))

    @pytest.fixture
    def ledger(self, world: World) -> Iterator[PostgresLedger]:
        store = open_store(world.settings.database_url, deadline_seconds=1.0, pool_size=2)
        yield PostgresLedger(
            store.prepared, world.openings, deadline_seconds=1.0, clock_skew_seconds=5.0, needs_log=True
        )
        store.close()

    def test_a_stopped_log_undoes_the_whole(self, desk: Desk, ledger: PostgresLedger, world: World) -> None:
        world.execute("DELETE FROM log_published")
        before = desk.state()
        for persons in (["a"], ["a", "b"]):
            record = desk.record(limits={"client_day": 9}, persons=persons)
            assert ledger.record_release(record) == Judgement("log_stopped")
        assert desk.state() == before, "no proof burned, nothing counted, nothing entered"

    def test_an_idle_log_lets_it_be_recorded_although_it_was_complete_long_ago(
        self, desk: Desk, ledger: PostgresLedger, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """What others recorded in this database may wait, so whether anything does is made up here."""
        world.execute("DELETE FROM log_published")
        asked: list[float] = []

        def nothing_waits(_: object, seconds: float) -> bool:
            asked.append(seconds)
            return False

        monkeypatch.setattr(LogStanding, "stands", nothing_waits)
        assert ledger.record_release(desk.record(limits={"client_day": 9})) == Judgement("recorded")
        assert len(asked) == 1
        world.execute("INSERT INTO log_published VALUES (2026, 0, now() - interval '14 min')")
        assert ledger.record_release(desk.record(limits={"client_day": 9})) == Judgement("recorded")
        assert len(asked) == 1, "where it was complete a moment ago nothing more is asked"
        world.execute("DELETE FROM log_published")

    @pytest.mark.parametrize(
        ("ago", "verdict"), [("14 min", "recorded"), ("16 min", "log_stopped"), ("-5 min", "log_stopped")]
    )
    def test_the_statement_itself_judges_how_long_ago_all_was_published(
        self,
        desk: Desk,
        ledger: PostgresLedger,
        world: World,
        monkeypatch: pytest.MonkeyPatch,
        ago: str,
        verdict: str,
    ) -> None:
        monkeypatch.setattr(LogStanding, "stands", lambda *_: True)
        world.execute("DELETE FROM log_published")
        world.execute(
            "INSERT INTO log_published VALUES (2026, 0, now() - CAST(CAST(:ago AS text) AS interval))",
            ago=ago,
        )
        for persons in (["a"], ["a", "b"]):
            record = desk.record(limits={"client_day": 9}, persons=persons)
            assert ledger.record_release(record).verdict == verdict
        world.execute("DELETE FROM log_published")

    def test_in_emergency_it_is_not_asked(self, desk: Desk, ledger: PostgresLedger, world: World) -> None:
        world.execute("DELETE FROM log_published")
        record = replace(desk.record(limits={"client_day": 9}), in_emergency=True)
        assert ledger.record_release(record) == Judgement("recorded")

    def test_where_it_cannot_be_told_nothing_is_recorded(
        self, desk: Desk, ledger: PostgresLedger, world: World
    ) -> None:
        record = desk.record(limits={"client_day": 9})
        before = desk.state()
        with world.owner.begin() as owner:
            owner.execute(text("LOCK TABLE log_published IN ACCESS EXCLUSIVE MODE"))
            with pytest.raises(EvidenceUnavailable, match="the ledger"):
                ledger.record_release(record)
        assert desk.state() == before

    def test_releases_at_once_are_all_judged(self, desk: Desk, ledger: PostgresLedger, world: World) -> None:
        world.execute("DELETE FROM log_published")
        records = [desk.record(limits={"client_day": 99}) for _ in range(8)]
        assert at_once(ledger.record_release, records) == [Judgement("log_stopped")] * 8
