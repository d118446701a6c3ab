"""The sequencer on real PostgreSQL and files: late writers, crashes at each step, two at once, old states."""

from __future__ import annotations

import errno
import os
import random
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
import pytest
from sqlalchemy import create_engine, text

from broker.actions import sequence_log
from broker.actions.log_patrol import Patrol, check_bundle
from broker.cli import log_session
from broker.cli.embedded import EmbeddedCluster
from broker.cli.log_session import LogSession
from broker.errors import LogStopped, StoreUnavailable
from broker.evidence.checkpoint import open_checkpoint, parse_checkpoint
from broker.evidence.reasons import EvidenceInvalid
from broker.evidence.signed_note import parse_note
from broker.evidence.tiles import ENTRIES, Tile
from broker.storage import log_positions, log_unplaced
from broker.storage.log_files import LogFiles
from tests.doors import wait_until
from tests.evidence_entries import release
from tests.log_world import (
    HOST,
    YEAR,
    LogWorld,
    enter,
    of_year,
    ordered,
    put_checkpoint,
)


class TestOrdering:
    def test_what_was_recorded_is_published_as_one_faultless_tree(self, log: LogWorld) -> None:
        log.created()
        assert log.published().tree_size == 0
        references = log.record(range(3))
        assert log.order() == 3
        references += log.record(range(3, 700))
        assert log.order() == 697
        assert log.published_references() == references
        log.check()
        assert log.order() == 0

    def test_a_full_tile_takes_the_place_of_its_narrower_ones(self, log: LogWorld) -> None:
        log.created()
        log.record(range(200))
        log.order()
        partial, full = Tile(ENTRIES, 0, 200), Tile(ENTRIES, 0)
        assert log.files().read(partial) is not None
        log.record(range(200, 300))
        log.order()
        assert log.files().read(partial) is None
        assert log.files().read(full) is not None
        assert not (log.files().directory / "tile/0/000.p").exists()
        log.check()

    def test_the_files_cannot_be_written_to(self, log: LogWorld) -> None:
        log.created()
        log.record(range(2))
        log.order()
        modes = {path.stat().st_mode & 0o777 for path in log.files().directory.rglob("*") if path.is_file()}
        assert modes == {0o444}

    def test_entries_of_the_new_year_go_into_their_own_tree(self, log: LogWorld) -> None:
        log.created()
        log.created(YEAR + 1)
        old = log.record(range(5))
        new = log.record(range(5, 8), year=YEAR + 1)
        old += log.record(range(8, 10))
        assert log.order() == 10
        assert (log.published_references(), log.published_references(YEAR + 1)) == (old, new)
        log.check()
        log.check(YEAR + 1)

    def test_without_its_shard_an_entry_waits_and_the_sequencer_says_so(self, log: LogWorld) -> None:
        log.created()
        log.record(range(4))
        log.record(range(4, 6), year=YEAR + 1)
        with (
            pytest.raises(LogStopped, match="there is no shard for 2027: broker log create --year 2027"),
            log.session() as session,
        ):
            ordered(session)
        assert log.published_references() == log.published_references()
        log.created(YEAR + 1)
        log.order()
        assert log.published(YEAR + 1).tree_size == 2
        assert log.published().tree_size == 4
        log.check()
        log.check(YEAR + 1)

    def test_no_log_begins_by_itself(self, log: LogWorld) -> None:
        log.record(range(1))
        with pytest.raises(LogStopped, match=f"there is no log of {HOST}"), log.session() as session:
            session.sequencer.run()
        assert not log.directory.exists()

    def test_a_shard_is_made_once(self, log: LogWorld) -> None:
        log.created()
        with log.session() as session:
            assert session.sequencer.create(YEAR) is None

    def test_what_is_no_entry_of_its_kind_is_told_and_stands_in_the_log_for_everybody_to_see(
        self, log: LogWorld
    ) -> None:
        log.created()
        log.record(range(2))
        strange = release(2).replace(b'"result":"released"', b'"result":"forgotten"')
        with log.databases.owner.begin() as connection:
            reference = enter(connection, strange)
        with log.session() as session:
            told: list[Any] = []
            while not told:
                told += session.sequencer.run().strange
        assert [(one.reference, one.reason) for one in told] == [(reference, "entry_schema")]
        assert [(one.reason, one.number) for one in log.findings()] == [("entry_schema", 2)]

    def test_what_tells_no_instant_stops_the_log_with_its_reference(self, log: LogWorld) -> None:
        log.created()
        with log.databases.owner.begin() as connection:
            connection.execute(
                text(
                    "INSERT INTO evidence_entries (reference, kind, entry)"
                    " VALUES ('01a200d1-6a6f-713d-b8ef-000000000009', 'x', '{}')"
                )
            )
        with (
            pytest.raises(LogStopped, match=r"the entry 01a2.*9 can stand in no log \(entry_kind_unknown\)"),
            log.session() as session,
        ):
            ordered(session)


class TestMuchAtOnce:
    @pytest.mark.parametrize(("batch", "stretch"), [(7, 1), (7, 16_384), (64, 2), (1, 1)])
    def test_what_waits_is_read_a_stretch_at_a_time_and_nothing_of_it_is_left_out(
        self, log: LogWorld, batch: int, stretch: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        log.created()
        monkeypatch.setattr(log_positions, "BATCH", batch)
        monkeypatch.setattr(log_unplaced, "STRETCH", stretch)
        references = log.record(range(50))
        for number in range(50, 90):
            references += log.record([number])
        references += log.record(range(90, 120))
        assert log.order() == 120
        assert log.published_references() == references
        log.check()

    def test_one_round_takes_what_lies_in_several_stretches(
        self, log: LogWorld, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        log.created()
        monkeypatch.setattr(log_unplaced, "STRETCH", 1)
        references = [reference for number in range(20) for reference in log.record([number])]
        with log.session() as session:
            wait_until(session.lease.hold, "the lease is free", 30)
            wait_until(lambda: session.sequencer.run().entries > 0, "nothing older runs any more", 60)
            [head] = session.heads.find(HOST)
        assert head.checkpoint.tree_size == 20
        assert log.published_references() == references

    def test_of_a_large_transaction_the_rest_is_read_by_its_references_and_others_follow(
        self, log: LogWorld, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        log.created()
        monkeypatch.setattr(log_positions, "BATCH", 10)
        statements: list[str] = []
        real = vars(log_unplaced)["fetched"]

        def noted(connection: Any, statement: str, given: Any) -> Any:
            statements.append("rest" if statement == log_unplaced._REST else "later")
            return real(connection, statement, given)

        monkeypatch.setattr(log_unplaced, "fetched", noted)
        # The others' references lie among those of the large one.
        large = log.record(number for number in range(45) if number % 9 != 4)
        others = [reference for number in (4, 13, 22, 31, 40) for reference in log.record([number])]
        assert log.order() == 45
        assert log.published_references() == [*large, *others]
        assert "rest" in statements
        log.check()

    def test_where_nothing_waits_the_horizon_is_written_now_and_then(
        self, log: LogWorld, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        log.created()
        log.record([0])
        log.order()

        def horizon() -> int:
            with log.databases.owner.connect() as connection:
                at: int = connection.execute(text("SELECT entered_transaction FROM log_horizon")).scalar_one()
                return at

        before = horizon()
        with log.databases.owner.connect() as connection:
            for _ in range(3):
                connection.execute(text("SELECT pg_current_xact_id()"))
                connection.commit()
        log.order()
        assert horizon() == before
        monkeypatch.setattr(log_positions, "KEEP_BEHIND", 1)
        with log.session() as session:
            wait_until(lambda: session.sequencer.run().has_lease and horizon() > before, "it moved", 60)


class TestLateWriters:
    def test_an_entry_whose_transaction_commits_late_waits_and_is_not_skipped(self, log: LogWorld) -> None:
        log.created()
        with log.store.engine.connect() as late:
            late.begin()
            [*_, last] = [enter(late, of_year(release(number), YEAR)) for number in (100, 101)]
            after = log.record(range(5))
            assert log.order_what_may_be() == 0, "they wait for the older transaction"
            late.commit()
        assert log.order() == 7
        assert log.published_references()[1:] == [last, *after]
        log.check()

    def test_what_was_rolled_back_gets_no_position_and_leaves_no_gap(self, log: LogWorld) -> None:
        log.created()
        with log.store.engine.connect() as late:
            late.begin()
            enter(late, of_year(release(100), YEAR))
            references = log.record(range(5))
            late.rollback()
        assert log.order() == 5
        assert log.published_references() == references
        log.check()

    @pytest.mark.parametrize("seed", range(3))
    def test_every_committed_entry_gets_one_position_whoever_commits_when(
        self, log: LogWorld, seed: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Writers keep several transactions open, and end them in any order, while the log is ordered."""
        log.created()
        monkeypatch.setattr(log_positions, "BATCH", 7)
        monkeypatch.setattr(log_unplaced, "STRETCH", 3)
        monkeypatch.setattr(sequence_log, "GROWTH", 11)
        writers, turns = 4, 25

        def write(writer: int) -> None:
            chance = random.Random(seed * 100 + writer)
            engine = log.store.engine
            open_ones: list[Any] = []
            for turn in range(turns):
                connection = engine.connect()
                connection.begin()
                for at in range(chance.randrange(4)):
                    enter(connection, of_year(release(writer * 10_000 + turn * 10 + at), YEAR))
                open_ones.append(connection)
                while open_ones and (len(open_ones) > 1 or chance.random() < 0.5):
                    ended = open_ones.pop(chance.randrange(len(open_ones)))
                    ended.rollback() if chance.random() < 0.3 else ended.commit()
                    ended.close()
            for connection in open_ones:
                connection.commit()
                connection.close()

        with ThreadPoolExecutor(writers) as pool, log.session() as session:
            writing = [pool.submit(write, writer) for writer in range(writers)]
            while not all(one.done() for one in writing):
                ordered(session)
            for one in writing:
                one.result()
        log.order()
        assert set(log.published_references()) == log.recorded()
        log.check()

    def test_in_another_cluster_numbers_are_not_trusted_and_nothing_is_lost_or_doubled(
        self, log: LogWorld
    ) -> None:
        log.created()
        log.record(range(20))
        log.order()
        with log.databases.owner.begin() as connection:
            # As a dump restored into a younger cluster would be: numbers from somewhere else, far ahead.
            connection.execute(text("UPDATE log_horizon SET epoch = '1', entered_transaction = 9000000000"))
            connection.execute(text("ALTER TABLE evidence_entries DISABLE TRIGGER ALL"))
            connection.execute(text("UPDATE evidence_entries SET entered_transaction = 9000000000"))
            references = [enter(connection, of_year(release(number), YEAR)) for number in range(20, 30)]
            connection.execute(
                text("UPDATE evidence_entries SET entered_transaction = 9100000000 WHERE reference = :one"),
                {"one": references[0]},
            )
        assert log.order() == 10
        references += log.record(range(30, 35))
        assert log.order() == 5
        assert log.published_references()[20:] == references
        log.check()


class Died(BaseException):
    """As if the process had been killed here: nobody catches it."""


STEPS = (
    ("positions", "place"),
    ("files", "write"),
    ("heads", "swap"),
    ("files", "publish"),
    ("files", "drop_partial"),
)


class Dying:
    """A door behind which the process dies before or after one of its steps."""

    def __init__(self, door: Any, name: str, when: str) -> None:
        self._door = door
        self._name = name
        self._when = when

    def __getattr__(self, name: str) -> Any:
        real = getattr(self._door, name)
        if name != self._name:
            return real

        def step(*given: Any) -> Any:
            if self._when == "before":
                raise Died
            if self._when == "amid":
                # Half of the files are there.
                half = dict(list(given[0].items())[: len(given[0]) // 2])
                real(half)
                raise Died
            real(*given)
            raise Died

        return step


def dying(session: LogSession, door: str, step: str, when: str) -> sequence_log.Sequencer:
    """Return the session's sequencer, which dies at a step."""
    sequencer = session.sequencer
    if door == "files":
        files = sequencer.files
        changes: dict[str, Any] = {"files": lambda origin: Dying(files(origin), step, when)}
    else:
        changes = {door: Dying(getattr(sequencer, door), step, when)}
    return replace(sequencer, **changes)


def for_ever(sequencer: sequence_log.Sequencer) -> None:
    """Do rounds until something is raised."""
    while True:
        sequencer.run()


class TestCrashes:
    @pytest.mark.parametrize(
        ("door", "step", "when"),
        [
            *((door, step, when) for door, step in STEPS for when in ("before", "after")),
            ("files", "write", "amid"),
        ],
    )
    def test_whatever_step_is_the_last_the_next_start_ends_with_one_whole_log(
        self, log: LogWorld, door: str, step: str, when: str
    ) -> None:
        log.created()
        before = log.record(range(300))
        log.order()
        old = log.published()
        more = log.record(range(300, 600))
        with log.session() as session:
            sequencer = dying(session, door, step, when)
            with pytest.raises(Died):
                for_ever(sequencer)
        more += log.record(range(600, 620))
        log.order()
        log.check()
        assert log.published_references() == [*before, *more]
        with log.session() as session:
            [head] = session.heads.find(HOST)
        assert head.checkpoint == log.published()
        assert old.tree_size == 300

    @pytest.mark.parametrize("when", ["before", "after"])
    def test_a_shard_whose_making_was_interrupted_is_whole_at_the_next_start(
        self, log: LogWorld, when: str
    ) -> None:
        with log.session() as session, pytest.raises(Died):
            dying(session, "heads", "create", when).create(YEAR)
        if when == "before":
            log.created()
        log.record(range(3))
        log.order()
        log.check()

    def test_what_a_killed_process_left_aside_is_cleared_away_and_never_published(
        self, log: LogWorld
    ) -> None:
        log.created()
        aside = log.files().directory / ".new"
        aside.mkdir()
        (aside / "1.0").write_bytes(b"half of a tile")
        log.record(range(3))
        log.order()
        assert list(aside.iterdir()) == []
        log.check()

    @pytest.mark.parametrize("step", ["fetched", "copy_positions"])
    def test_a_connection_that_ends_amid_a_step_is_a_store_that_does_not_answer(
        self, cluster: EmbeddedCluster, log: LogWorld, step: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        log.created()
        log.record(range(5))
        real = getattr(log_positions, step)

        def cut_off(connection: Any, *given: Any) -> Any:
            pid = connection.connection.driver_connection.info.backend_pid
            with psycopg.connect(cluster.administrator_url, autocommit=True) as administrator:
                administrator.execute("SELECT pg_terminate_backend(%s)", (pid,))
            return real(connection, *given)

        with log.session() as session:
            monkeypatch.setattr(log_positions, step, cut_off)
            with pytest.raises(StoreUnavailable, match="the store does not answer"):
                for_ever(session.sequencer)
            monkeypatch.setattr(log_positions, step, real)
            wait_until(lambda: grows_to(session.sequencer, 5), "the same process goes on", 60)
        log.check()

    def test_positions_that_cannot_be_written_now_are_tried_again(self, log: LogWorld) -> None:
        """As after a failover, whose new server is still read-only."""
        log.created()
        log.record(range(5))
        with log.session() as session:
            engine = session.positions._engine
            url = engine.url.update_query_dict({"options": "-c default_transaction_read_only=on"})
            standby = create_engine(url)
            session.positions._engine = standby
            with pytest.raises(StoreUnavailable, match="the store takes no writes now"):
                for_ever(session.sequencer)
            standby.dispose()
            session.positions._engine = engine
            wait_until(lambda: grows_to(session.sequencer, 5), "the same process goes on", 60)
        log.check()


def grows_to(sequencer: sequence_log.Sequencer, size: int) -> bool:
    """Do a round; return whether the one shard has so many entries now."""
    sequencer.run()
    [head] = sequencer.heads.find(HOST)
    return head.checkpoint.tree_size == size


class TestTwoAtOnce:
    def test_one_has_the_lease_and_the_other_waits(self, log: LogWorld) -> None:
        log.created()
        log.record(range(3))
        with log.session() as one, log.session() as other:
            assert ordered(one) in (0, 3)
            assert not other.sequencer.run().has_lease
            one.lease.give_up()
            assert other.sequencer.run().has_lease
            assert not one.sequencer.run().has_lease
        log.order()
        log.check()

    def test_a_lease_that_was_cut_off_is_asked_for_again(self, log: LogWorld) -> None:
        log.created()
        with log.session() as session:
            assert session.sequencer.run().has_lease
            with log.databases.head_owner.connect() as connection:
                pids = connection.execute(
                    text("SELECT pid FROM pg_stat_activity WHERE application_name = 'broker-lease'")
                ).scalars()
                assert len(list(pids)) == 1
            assert session.lease._held is not None
            session.lease._held.close()
            with pytest.raises(Exception, match="the head store does not answer"):
                session.sequencer.run()
            wait_until(lambda: session.sequencer.run().has_lease, "it has the lease again", 30)

    @pytest.mark.parametrize("step", ["swap", "place"])
    def test_without_a_lease_the_swap_stops_the_slower_one(self, log: LogWorld, step: str) -> None:
        log.created()
        log.record(range(300))

        class Everybody:
            def hold(self) -> bool:
                return True

        with log.session() as slow, log.session() as quick:
            free = replace(quick.sequencer, lease=Everybody())

            class Overtaken:
                """While the slower one stands still, the other does all of it, and more."""

                def __init__(self, door: Any) -> None:
                    self.door = door

                def __getattr__(self, name: str) -> Any:
                    real: Callable[..., Any] = getattr(self.door, name)
                    if name != step:
                        return real

                    def late(*given: Any) -> Any:
                        placed = real(*given) if step == "place" else None
                        log.record([1_000])
                        wait_until(lambda: grows_to(free, 301), "the other has merged all", 60)
                        return placed or real(*given)

                    return late

            door = "heads" if step == "swap" else "positions"
            doors: dict[str, Any] = {door: Overtaken(getattr(slow.sequencer, door))}
            slower = replace(slow.sequencer, lease=Everybody(), **doors)
            with pytest.raises(LogStopped, match="another sequencer is at work"):
                for_ever(slower)
        log.order()
        log.check()
        assert log.published().tree_size == 301


class TestAsleep:
    def test_a_transaction_of_one_that_sleeps_does_not_hold_up_the_next(
        self, log: LogWorld, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Its machine stands still amid giving positions, and its connection with it; then it wakes up."""
        monkeypatch.setattr(log_session, "IDLE_SECONDS", 1.0)
        log.created()
        log.record(range(5))
        with log.session() as sleeper:
            real = sleeper.positions._move

            def asleep(*given: Any) -> None:
                monkeypatch.setattr(sleeper.positions, "_move", real)
                sleeper.lease.give_up()
                assert log.order() == 5
                real(*given)

            monkeypatch.setattr(sleeper.positions, "_move", asleep)
            with pytest.raises(StoreUnavailable, match="the store takes no writes now"):
                sleeper.sequencer.run()
            wait_until(lambda: sleeper.sequencer.run().has_lease, "it goes on", 60)
        log.check()


class TestFullDisk:
    def test_nothing_half_written_is_left(self, log: LogWorld, monkeypatch: pytest.MonkeyPatch) -> None:
        log.created()
        log.record(range(5))

        def full(_handle: int) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

        with log.session() as session:
            with monkeypatch.context() as patch:
                patch.setattr(os, "fsync", full)
                with pytest.raises(StoreUnavailable, match="cannot be written: No space left on device"):
                    for_ever(session.sequencer)
                left = [one for one in log.directory.rglob("*") if one.is_file()]
                assert [one.name for one in left] == ["checkpoint"]
            assert log.published().tree_size == 0
            ordered(session)
        assert log.published().tree_size == 5
        log.check()


class TestOldStates:
    """Something was restored from an older state: nothing is signed any more, and the sentence says why."""

    def stopped(self, log: LogWorld, sentence: str) -> None:
        log.record([9_000])
        published = log.files().checkpoint()
        for _ in range(2):
            with pytest.raises(LogStopped, match=sentence), log.session() as session:
                ordered(session)
        assert log.files().checkpoint() == published

    @pytest.fixture
    def grown(self, log: LogWorld, tmp_path: Path) -> Iterator[LogWorld]:
        """Give a log of 300 entries that had 260 when its files were copied."""
        log.created()
        log.record(range(260))
        log.order()
        shutil.copytree(log.directory, tmp_path / "copy")
        with log.databases.owner.begin() as connection:
            connection.execute(text("CREATE TABLE horizon_then AS TABLE log_horizon"))
        with log.databases.head_owner.begin() as connection:
            connection.execute(text("CREATE TABLE heads_then AS TABLE log_heads"))
        log.record(range(260, 300))
        log.order()
        try:
            yield log
        finally:
            with log.databases.owner.begin() as connection:
                connection.execute(text("DROP TABLE horizon_then"))
            with log.databases.head_owner.begin() as connection:
                connection.execute(text("DROP TABLE heads_then"))

    def test_the_files(self, grown: LogWorld, tmp_path: Path) -> None:
        shutil.rmtree(grown.directory)
        shutil.copytree(tmp_path / "copy", grown.directory)
        self.stopped(grown, "the tiles of audit.* do not hold the 300 entries that were signed")

    def test_the_broker_s_database(self, grown: LogWorld) -> None:
        with grown.databases.owner.begin() as connection:
            connection.execute(text("DELETE FROM log_positions WHERE leaf_index >= 260"))
            connection.execute(
                text(
                    "DELETE FROM evidence_entries e"
                    " WHERE NOT EXISTS (SELECT FROM log_positions p WHERE p.reference = e.reference)"
                )
            )
            connection.execute(text("DELETE FROM log_horizon"))
            connection.execute(text("INSERT INTO log_horizon TABLE horizon_then"))
        self.stopped(grown, "has signed 300 entries, but only 260 have positions: the broker's database was")

    def test_the_head_store(self, grown: LogWorld) -> None:
        with grown.databases.head_owner.begin() as connection:
            connection.execute(text("TRUNCATE log_heads"))
            connection.execute(text("INSERT INTO log_heads TABLE heads_then"))
        self.stopped(grown, "has published a tree of 300 entries that its head at 260 does not know")

    def test_a_head_store_that_knows_nothing_makes_no_second_log(self, grown: LogWorld) -> None:
        with grown.databases.head_owner.begin() as connection:
            connection.execute(text("TRUNCATE log_heads"))
        self.stopped(grown, f"there is no log of {HOST}")
        with (
            pytest.raises(LogStopped, match="but no head: the head store is another"),
            grown.session() as one,
        ):
            one.sequencer.create(YEAR)

    def test_the_head_store_itself_refuses_to_go_back(self, grown: LogWorld) -> None:
        for statement in (
            "UPDATE log_heads SET tree_size = 10",
            "UPDATE log_heads SET root_hash = ''",
            "DELETE FROM log_heads",
        ):
            with (
                pytest.raises(Exception, match="a head only ever grows"),
                grown.databases.head_owner.begin() as connection,
            ):
                connection.execute(text(statement))


class TestTurnedBits:
    @pytest.mark.parametrize("tile", [Tile(ENTRIES, 0), Tile(ENTRIES, 1, 44), Tile(0, 0), Tile(0, 1, 44)])
    def test_a_bit_that_turns_on_the_way_to_the_disk_is_found_before_anything_is_signed(
        self, log: LogWorld, tile: Tile
    ) -> None:
        log.created()
        log.record(range(300))
        with log.session() as session:
            files = session.sequencer.files

            class Turning:
                def __init__(self, origin: str) -> None:
                    self.real = files(origin)

                def __getattr__(self, name: str) -> Any:
                    return getattr(self.real, name)

                def write(self, contents: Any) -> None:
                    turned = {one: content for one, content in contents.items() if one != tile}
                    self.real.write(turned)
                    if tile in contents:
                        content = bytearray(contents[tile])
                        content[-1] ^= 1
                        self.real.write({tile: bytes(content)})

            sequencer = replace(session.sequencer, files=Turning)
            with pytest.raises(LogStopped, match="reads differently"):
                for_ever(sequencer)
            [head] = session.heads.find(HOST)
        assert head.checkpoint.tree_size == log.published().tree_size == 0
        with pytest.raises(LogStopped, match="holds other bytes than the log must have there"):
            log.order()
        (log.files().directory / tile.path).unlink()
        log.order()
        log.check()

    def test_a_bit_that_turns_in_the_signed_edge_stops_the_log(self, log: LogWorld) -> None:
        log.created()
        log.record(range(10))
        log.order()
        path = log.files().directory / Tile(0, 0, 10).path
        content = bytearray(path.read_bytes())
        content[0] ^= 1
        path.chmod(0o644)
        path.write_bytes(content)
        with pytest.raises(LogStopped, match="they give another root"):
            log.order()


class TestPatrol:
    """What was signed is looked at again, each round some of it, the newest first."""

    @pytest.fixture
    def grown(self, log: LogWorld) -> LogWorld:
        """Give a log of six bundles, of which a round looks at four."""
        log.created()
        log.record(range(1_300))
        log.order()
        return log

    def stopped(self, log: LogWorld, sentence: str, rounds: int) -> None:
        """Say that so many rounds find it at the latest, and that nothing is signed then, whoever starts."""
        log.record([9_000])
        with log.session() as session:
            for _ in range(rounds - 1):
                session.sequencer.run()
            with pytest.raises(LogStopped, match=sentence):
                session.sequencer.run()
        published = log.published()
        log.record([9_001])
        for _ in range(2):
            with log.session() as session, pytest.raises(LogStopped, match=sentence):
                ordered(session)
        assert log.published() == published

    @pytest.mark.parametrize(("position", "rounds"), [(1_299, 1), (600, 1), (5, 2)])
    def test_a_row_that_was_changed_after_it_was_signed(
        self, grown: LogWorld, position: int, rounds: int
    ) -> None:
        with turned_row(grown, position):
            sentence = f"position {position} of 2026 has another entry in the database than was signed"
            self.stopped(grown, sentence, rounds)
        grown.order()
        grown.check()

    def test_a_row_that_is_gone(self, grown: LogWorld) -> None:
        kept = (
            "CREATE TABLE row_kept AS SELECT e.* FROM evidence_entries e JOIN log_positions USING (reference)"
        )
        with grown.databases.owner.begin() as owner:
            owner.execute(text(f"{kept} WHERE leaf_index = 700"))
            owner.execute(
                text("DELETE FROM evidence_entries WHERE reference = (SELECT reference FROM row_kept)")
            )
        try:
            self.stopped(grown, "position 700 of 2026 has no entry any more", 1)
        finally:
            with grown.databases.owner.begin() as owner:
                owner.execute(text("INSERT INTO evidence_entries SELECT * FROM row_kept"))
                owner.execute(text("DROP TABLE row_kept"))
        grown.order()
        grown.check()

    @pytest.mark.parametrize(
        ("tile", "rounds", "told"),
        [
            (Tile(ENTRIES, 3), 1, r"tile_differs: tile/entries/003 and tile/0/003, entry 10\d\d"),
            (Tile(ENTRIES, 0), 2, r"tile_differs: tile/entries/000 and tile/0/000, entry 255"),
            (Tile(0, 1), 2, r"tile_differs: tile/entries/001 and tile/0/001, entry 511"),
            (Tile(0, 4), 1, r"tile_differs: tile/entries/004 and tile/0/004, entry 1279"),
        ],
    )
    def test_a_file_far_from_the_edge(self, grown: LogWorld, tile: Tile, rounds: int, told: str) -> None:
        path = grown.files().directory / tile.path
        whole = path.read_bytes()
        path.chmod(0o644)
        path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
        self.stopped(grown, told, rounds)
        assert tile.path in {one.place for one in grown.findings()} | {tile.path.replace("entries", "0")}
        path.write_bytes(whole)
        grown.order()
        grown.check()

    def test_a_file_that_is_gone(self, grown: LogWorld) -> None:
        path = grown.files().directory / Tile(ENTRIES, 2).path
        whole = path.read_bytes()
        path.unlink()
        self.stopped(
            grown, r"around tile/entries/002 is no longer what was signed \(tile_missing: tile/ent", 1
        )
        path.write_bytes(whole)
        grown.order()
        grown.check()

    def test_a_tile_between_the_leaves_and_the_root(self, log: LogWorld) -> None:
        """A full tile of level 1: 65,536 entries stand below it. They are few here: its width is ours."""
        log.created()
        log.record(range(600))
        log.order()
        with log.session() as session:
            [head] = session.heads.find(HOST)
            files = log.files()

            class Turned(LogFiles):
                def read(self, tile: Tile) -> bytes | None:
                    content = super().read(tile)
                    if tile.level != 1 or content is None:
                        return content
                    return content[:32] + bytes([content[32] ^ 1]) + content[33:]

            with pytest.raises(LogStopped, match="inclusion_not_proven"):
                check_bundle(head, 0, session.positions, Turned(files.directory))
            check_bundle(head, 0, session.positions, files)

    def test_of_all_bundles_and_years_each_has_its_turn_the_newest_first(self, log: LogWorld) -> None:
        log.created()
        log.created(YEAR + 1)
        log.record(range(600))
        log.record(range(600, 900), year=YEAR + 1)
        log.order()
        looked: list[tuple[int, int]] = []

        class Looking:
            def __init__(self, real: Any) -> None:
                self.real = real

            def entries(self, year: int, first: int, most: int) -> Any:
                looked.append((year, first))
                return self.real.entries(year, first, most)

        with log.session() as session:
            patrol, heads = Patrol(2), session.heads.find(HOST)
            for _ in range(3):
                patrol.look(heads, Looking(session.positions), session.sequencer.files)  # type: ignore[arg-type]
        new, old = [(YEAR + 1, 256), (YEAR + 1, 0)], [(YEAR, 512), (YEAR, 256), (YEAR, 0)]
        assert looked == [*new, *old, new[0]]


@contextmanager
def turned_row(log: LogWorld, position: int) -> Iterator[None]:
    """Turn a bit of a stored entry, as somebody with the owner's role can, and back."""
    turn = text(
        "UPDATE evidence_entries SET entry = set_byte(entry, 20, get_byte(entry, 20) # 1)"
        " WHERE reference = (SELECT reference FROM log_positions WHERE leaf_index = :position)"
    )
    for is_back in (False, True):
        with log.databases.owner.begin() as owner:
            owner.execute(text("ALTER TABLE evidence_entries DISABLE TRIGGER USER"))
            assert owner.execute(turn, {"position": position}).rowcount == 1
            owner.execute(text("ALTER TABLE evidence_entries ENABLE TRIGGER USER"))
        if not is_back:
            yield


class TestRoles:
    @pytest.mark.parametrize(
        "statement",
        [
            "INSERT INTO log_positions VALUES (2026, 0, gen_random_uuid())",
            "DELETE FROM log_positions",
            "UPDATE log_horizon SET entered_transaction = 0",
        ],
    )
    def test_the_application_gives_no_positions(self, log: LogWorld, statement: str) -> None:
        with pytest.raises(Exception, match="permission denied"), log.store.engine.begin() as connection:
            connection.execute(text(statement))

    def test_a_missing_privilege_is_a_plain_sentence(self, log: LogWorld) -> None:
        log.created()
        with log.databases.owner.begin() as connection:
            connection.execute(text("REVOKE INSERT ON log_positions FROM broker_sequencer"))
        try:
            log.record(range(2))
            sentence = (
                r"a table or a privilege of the log is missing: broker prepare .* pg_control_system\(\)"
            )
            with pytest.raises(LogStopped, match=sentence), log.session() as session:
                for_ever(session.sequencer)
        finally:
            with log.databases.owner.begin() as connection:
                connection.execute(text("GRANT INSERT ON log_positions TO broker_sequencer"))
        log.order()
        log.check()

    def test_a_head_store_without_its_table_is_a_plain_sentence(self, log: LogWorld) -> None:
        with log.databases.head_owner.begin() as connection:
            connection.execute(text("ALTER TABLE log_heads RENAME TO log_heads_elsewhere"))
        try:
            with (
                pytest.raises(LogStopped, match="a table or a privilege of the log is missing"),
                log.session() as session,
            ):
                session.sequencer.run()
        finally:
            with log.databases.head_owner.begin() as connection:
                connection.execute(text("ALTER TABLE log_heads_elsewhere RENAME TO log_heads"))

    @pytest.mark.parametrize(
        "statement",
        [
            "INSERT INTO evidence_entries (reference, kind, entry) VALUES (gen_random_uuid(), 'x', '')",
            "DELETE FROM log_positions",
            "UPDATE log_positions SET leaf_index = 0",
            "DELETE FROM log_published",
            "INSERT INTO evidence_openings (reference, key_year) VALUES (gen_random_uuid(), 2026)",
            "SELECT * FROM evidence_openings",
            "SELECT * FROM evidence_keys",
            "SELECT * FROM citizens",
            "UPDATE signing_keys SET purpose = 'log'",
        ],
    )
    def test_the_sequencer_changes_no_evidence_and_sees_nobody(self, log: LogWorld, statement: str) -> None:
        with log.session() as session:
            engine = session.positions._engine
            with pytest.raises(Exception, match="permission denied"), engine.begin() as connection:
                connection.execute(text(statement))


def test_an_entry_is_found_by_its_reference_as_soon_as_it_has_a_position(log: LogWorld) -> None:
    log.created()
    references = log.record(range(3))
    with log.session() as session:
        assert session.positions.find("01a200d1-6a6f-713d-b8ef-ffffffffffff") is None
        log.order()
        assert [session.positions.find(one) for one in references] == [(YEAR, 0), (YEAR, 1), (YEAR, 2)]


def test_what_somebody_slow_would_publish_does_not_take_the_log_back(log: LogWorld) -> None:
    """A sequencer that slept while another one had its lease, and was woken with an older checkpoint."""
    log.created()
    log.record(range(3))
    log.order()
    older = log.files().checkpoint()
    assert older is not None
    log.record(range(3, 300))
    log.order()
    assert log.files().publish(older) is False
    assert log.published().tree_size == 300
    assert [one.name for one in log.files().directory.glob(".*") if one.is_file()] == []
    told: list[int] = []

    class Follower:
        def published(self, head: Any) -> None:
            told.append(head.checkpoint.tree_size)

    with log.session() as session:
        sequencer = replace(session.sequencer, followers=(Follower(),))
        [head] = session.heads.find(HOST)
        slow = replace(head, checkpoint=parse_checkpoint(parse_note(older).text), note=older)
        sequencer._publish(log.files(), slow)
        assert told == [], "witnesses are asked about nothing that is not published"
        sequencer._publish(log.files(), head)
    assert told == [300]


def test_an_older_checkpoint_that_lies_there_is_put_right_in_the_next_round(log: LogWorld) -> None:
    log.created()
    log.record(range(3))
    log.order()
    older = log.files().checkpoint()
    assert older is not None
    log.record(range(3, 300))
    log.order()
    put_checkpoint(log.files(), older)
    log.order()
    assert log.published().tree_size == 300
    log.check()


def test_a_key_that_was_exchanged_signs_from_its_time_on_and_the_older_one_s_checkpoints_stay(
    log: LogWorld,
) -> None:
    log.created()
    log.record(range(3))
    log.order()
    older, key = log.files().checkpoint(), log.key()
    assert older is not None
    log.ring.rotate("log", compromised=True)
    log.record(range(3, 5))
    log.order()
    assert log.key() != key
    log.check()
    assert open_checkpoint(older, [key, log.key()]).checkpoint.tree_size == 3
    newer = log.files().checkpoint()
    assert newer is not None
    with pytest.raises(EvidenceInvalid, match="checkpoint_unsigned"):
        open_checkpoint(newer, [key])
