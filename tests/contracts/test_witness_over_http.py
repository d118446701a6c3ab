"""A witness over real HTTP: every status of the specification, races, kills, restarts, and broken clients."""

from __future__ import annotations

import json
import signal
import socket
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

import pytest

from broker.evidence.cosignature import check_witnesses, parse_cosignatures
from broker.evidence.signed_note import Note, signed
from broker.evidence.witness import REQUEST_BYTES_MAX, AddCheckpoint, WitnessState
from tests.doors import at_once, wait_until
from tests.evidence_log import LOG_KEY, MemoryLog, key_of
from tests.witness_place import Answer, WitnessPlace, grown_by, other_history, request

OTHER: Final = "audit.broker.example.vn/2027"
OTHER_PRIVATE, OTHER_KEY = key_of(2, OTHER, 1)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WitnessPlace]:
    """One witness for tests that do not care what it has seen before."""
    place = WitnessPlace(tmp_path_factory.mktemp("witness"), logs=(LOG_KEY, OTHER_KEY))
    place.start()
    try:
        yield place
    finally:
        place.stop()


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[WitnessPlace]:
    """A witness of this test, not started yet."""
    place = WitnessPlace(tmp_path)
    try:
        yield place
    finally:
        place.stop()


@pytest.fixture
def seen(place: WitnessPlace) -> MemoryLog:
    """A log that the common witness has cosigned, at whatever size it has reached by now."""
    size = place.store.latest(LOG_KEY.name, [LOG_KEY]).tree_size
    log = grown_by(MemoryLog(), size)
    answer = place.add(request(grown_by(log, 3), size))
    assert answer.status == 200, answer
    return log


def is_cosigned(place: WitnessPlace, log: MemoryLog, answer: Answer) -> bool:
    assert (answer.status, answer.media_type) == (200, "text/plain; charset=utf-8"), answer
    note = log.note()
    [line] = parse_cosignatures(answer.body, note, [place.vkey])
    return len(check_witnesses(note.with_signatures([line]), [place.vkey], 1)) == 1


class TestEveryStatus:
    def test_200_a_log_that_grew_is_cosigned(self, place: WitnessPlace, seen: MemoryLog) -> None:
        size = seen.edge.size
        answer = place.add(request(grown_by(seen, 300), size))
        assert is_cosigned(place, seen, answer)
        assert place.store.latest(LOG_KEY.name, [LOG_KEY]) == WitnessState(
            seen.edge.size, seen.edge.root_hash
        )

    def test_200_the_same_checkpoint_again(self, place: WitnessPlace, seen: MemoryLog) -> None:
        assert is_cosigned(place, seen, place.add(request(seen, seen.edge.size)))

    def test_200_whatever_others_signed_below_it(self, place: WitnessPlace, seen: MemoryLog) -> None:
        size = seen.edge.size
        grown_by(seen, 1)
        content = AddCheckpoint(size, seen.tiles().consistency_proof(size), seen.note(3).content).content
        assert is_cosigned(place, seen, place.add(content))

    @pytest.mark.parametrize(
        "change",
        [
            lambda body: body[:0],
            lambda body: body[:4] + b"1\n",
            lambda body: body.replace(b"old ", b"older "),
            lambda body: body.replace(b"old ", b"old 0"),
            lambda body: body + b"no signature\n",
            lambda body: b"\xff" + body,
            lambda body: body.replace(b"\n\n", b"\nAAAA\n\n", 1),
            lambda body: body.replace(b"old ", b"old 99", 1),
        ],
        ids=["empty", "short", "word", "zero", "line", "bytes", "hash", "older-is-larger"],
    )
    def test_400_what_is_no_request(
        self, place: WitnessPlace, seen: MemoryLog, change: Callable[[bytes], bytes]
    ) -> None:
        answer = place.add(change(request(seen, seen.edge.size)))
        assert (answer.status, answer.media_type) == (400, "text/plain; charset=utf-8")
        assert answer.body.split(b":")[0] in (b"request_malformed", b"note_malformed")

    def test_403_without_the_logs_signature(self, place: WitnessPlace, seen: MemoryLog) -> None:
        stranger, key = key_of(50, LOG_KEY.name, 1)
        text, others = seen.note().text, other_history(seen.edge.size).note().text
        for note, reason in (
            (Note(text, (signed(text, key, stranger.sign),)), b"checkpoint_unsigned"),
            (Note(others, seen.note().signatures), b"log_signature_invalid"),
        ):
            answer = place.add(AddCheckpoint(seen.edge.size, (), note.content).content)
            assert (answer.status, answer.body.split(b":")[0]) == (403, reason)

    def test_404_a_log_that_nobody_told_it_of(self, place: WitnessPlace) -> None:
        private, key = key_of(60, "audit.elsewhere.example/2026", 1)
        text = MemoryLog(origin=key.name).checkpoint().text
        note = Note(text, (signed(text, key, private.sign),))
        answer = place.add(AddCheckpoint(0, (), note.content).content)
        assert (answer.status, answer.body.split(b":")[0]) == (404, b"origin_unknown")

    @pytest.mark.parametrize("older", [-1, 1])
    def test_409_another_size_than_its_own_which_it_tells(
        self, place: WitnessPlace, seen: MemoryLog, older: int
    ) -> None:
        size = seen.edge.size
        grown_by(seen, 5)
        answer = place.add(request(seen, size + older))
        assert (answer.status, answer.media_type) == (409, "text/x.tlog.size")
        assert answer.body == f"{size}\n".encode()

    def test_409_two_roots_at_one_size_are_never_cosigned_and_the_contradiction_is_kept(
        self, place: WitnessPlace, seen: MemoryLog
    ) -> None:
        size = seen.edge.size
        content = request(other_history(size), size)
        answer = place.add(content)
        assert (answer.status, answer.media_type, answer.body) == (
            409,
            "text/x.tlog.size",
            f"{size}\n".encode(),
        )
        kept = [one.read_bytes() for one in place.directory.glob("logs/*/contradictions/*")]
        assert content in kept

    @pytest.mark.parametrize("proof", [(), (bytes(32),)])
    def test_422_a_proof_that_does_not_hold(
        self, place: WitnessPlace, seen: MemoryLog, proof: tuple[bytes, ...]
    ) -> None:
        size = seen.edge.size
        grown_by(seen, 7)
        answer = place.add(AddCheckpoint(size, proof, seen.note().content).content)
        assert (answer.status, answer.body.split(b":")[0]) == (422, b"consistency_not_proven")

    def test_422_another_history_that_is_longer(self, place: WitnessPlace, seen: MemoryLog) -> None:
        size = seen.edge.size
        assert place.add(request(other_history(size + 7), size)).status == 422
        assert place.store.latest(LOG_KEY.name, [LOG_KEY]).root_hash == seen.edge.root_hash

    def test_each_log_has_a_memory_of_its_own(self, place: WitnessPlace) -> None:
        text = MemoryLog(origin=OTHER).checkpoint().text
        note = Note(text, (signed(text, OTHER_KEY, OTHER_PRIVATE.sign),))
        answer = place.add(AddCheckpoint(0, (), note.content).content)
        assert answer.status == 200
        assert len(parse_cosignatures(answer.body, note, [place.vkey])) == 1


class TestOtherRequests:
    @pytest.mark.parametrize(
        ("method", "path", "status", "allow"),
        [
            ("GET", "/add-checkpoint", 405, "POST"),
            ("PUT", "/add-checkpoint", 405, "POST"),
            ("POST", "/healthz", 405, "GET, HEAD"),
            ("GET", "/", 404, None),
            ("POST", "/add-checkpoint/", 404, None),
            ("GET", "/logs/../latest", 404, None),
        ],
    )
    def test_what_a_witness_is_not_asked(
        self, place: WitnessPlace, method: str, path: str, status: int, allow: str | None
    ) -> None:
        answer = place.ask(method, path)
        assert (answer.status, answer.headers.get("allow")) == (status, allow)

    def test_its_health_is_told(self, place: WitnessPlace) -> None:
        answer = place.ask("GET", "/healthz")
        assert (answer.status, answer.body) == (200, b"watching 2 logs\n")
        assert place.ask("HEAD", "/healthz").body == b""
        assert answer.headers["cache-control"] == "no-store"

    def test_a_body_that_is_too_long_is_not_read(self, place: WitnessPlace) -> None:
        answer = place.add(b"x" * (REQUEST_BYTES_MAX + 1))
        assert (answer.status, answer.body) == (413, b"a request has at most 135168 bytes\n")

    def test_a_body_without_a_length_is_not_read(self, place: WitnessPlace) -> None:
        answer = place.ask("POST", "/add-checkpoint", b"", {"Transfer-Encoding": "chunked"})
        assert answer.status in (400, 411)

    def test_a_client_that_breaks_off_holds_up_nobody(self, place: WitnessPlace, seen: MemoryLog) -> None:
        head = b"POST /add-checkpoint HTTP/1.1\r\nHost: w\r\nContent-Length: 1000\r\n\r\nold 0\n"
        hanging = [socket.create_connection(("127.0.0.1", place.port)) for _ in range(3)]
        try:
            for one in hanging:
                one.sendall(head)
            assert is_cosigned(place, seen, place.add(request(seen, seen.edge.size)))
            hanging[0].shutdown(socket.SHUT_WR)
            assert hanging[0].recv(64).startswith(b"HTTP/1.1 400")
        finally:
            for one in hanging:
                one.close()

    def test_what_it_logs_is_its_own_words(self, place: WitnessPlace, seen: MemoryLog) -> None:
        place.add(request(seen, seen.edge.size).replace(b"audit.broker", b"made.up.by-a-stranger"))
        lines = [json.loads(line) for line in place.lines().splitlines() if line.startswith("{")]
        mine = [line for line in lines if line["logger"] == "broker.witness"]
        assert {"cosigned", "not cosigned"} >= {line["event"] for line in mine} > set()
        assert "stranger" not in place.lines()
        assert {line["origin"] for line in mine if "origin" in line} <= {LOG_KEY.name, OTHER_KEY.name}


class TestRaces:
    def test_of_many_at_once_all_that_are_cosigned_are_one_history(self, fresh: WitnessPlace) -> None:
        fresh.start(workers=2)
        # Sixteen histories that no two agree in, each signed by the log: at most one may ever be cosigned.
        logs = [other_history(1 + at) if at else grown_by(MemoryLog(), 1) for at in range(16)]
        answers = at_once(lambda log: fresh.add(request(log, 0)), logs)
        assert sorted(answer.status for answer in answers) == [200] + [409] * 15
        [winner] = [log for log, answer in zip(logs, answers, strict=True) if answer.status == 200]
        assert {answer.body for answer in answers if answer.status == 409} == {
            f"{winner.edge.size}\n".encode()
        }
        assert fresh.store.latest(LOG_KEY.name, [LOG_KEY]) == WitnessState(
            winner.edge.size, winner.edge.root_hash
        )

    def test_nothing_is_rolled_back_while_a_log_grows_from_many_sides(self, fresh: WitnessPlace) -> None:
        fresh.start(workers=2)
        logs = [grown_by(MemoryLog(), size) for size in range(1, 25)]

        def push(log: MemoryLog) -> list[int]:
            """Ask until it is cosigned, or larger ones are; return the sizes that the witness told."""
            told: list[int] = []
            old = 0
            while old <= log.edge.size:
                answer = fresh.add(request(log, old))
                if answer.status == 200:
                    return [*told, log.edge.size]
                assert answer.status == 409
                old = int(answer.body)
                told.append(old)
            return told

        with ThreadPoolExecutor(8) as pool:
            for told in pool.map(push, logs):
                assert told == sorted(told)
        assert fresh.store.latest(LOG_KEY.name, [LOG_KEY]).tree_size == 24


class TestKilled:
    def test_between_state_and_answer_it_remembers_what_it_did_not_say(self, fresh: WitnessPlace) -> None:
        fresh.start_mortal()
        log = grown_by(MemoryLog(), 5)
        assert fresh.add(request(log, 0)).status == 200
        fresh.flag.touch()
        with pytest.raises(OSError, match=r"closed connection|reset"):
            fresh.add(request(grown_by(log, 5), 5))
        # The log got no answer; the witness has kept the larger tree, and starts anew from there.
        assert fresh.store.latest(LOG_KEY.name, [LOG_KEY]).tree_size == 10
        wait_until(fresh.is_healthy, "a new worker serves", 30)
        answer = fresh.add(request(log, 5))
        assert (answer.status, answer.body) == (409, b"10\n")
        assert fresh.add(request(other_history(11), 5)).status == 409
        assert is_cosigned(fresh, log, fresh.add(request(log, 10)))

    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
    def test_it_goes_on_where_it_was_after_a_restart(self, fresh: WitnessPlace, number: int) -> None:
        log = grown_by(MemoryLog(), 5)
        fresh.start()
        assert fresh.add(request(log, 0)).status == 200
        pids = Path(f"/proc/{fresh.process.pid}/task/{fresh.process.pid}/children") if fresh.process else None
        assert pids is not None
        children = [int(pid) for pid in pids.read_text().split()]
        fresh.stop(number)
        wait_until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in children), "no worker lives", 40)
        fresh.start()
        assert fresh.add(request(other_history(5), 5)).status == 409
        assert fresh.add(request(grown_by(log, 1), 0)).body == b"5\n"
        assert is_cosigned(fresh, log, fresh.add(request(log, 5)))


class TestBrokenState:
    def test_what_is_gone_is_never_a_beginning(self, fresh: WitnessPlace) -> None:
        fresh.start()
        log = grown_by(MemoryLog(), 5)
        assert fresh.add(request(log, 0)).status == 200
        [latest] = fresh.directory.glob("logs/*/latest")
        content = latest.read_bytes()
        for broken in (None, b"", content.replace(b"\n5\n", b"\n4\n"), content[:-9], b"x" * 200_000):
            latest.unlink(missing_ok=True)
            if broken is not None:
                latest.write_bytes(broken)
            for old in (0, 4, 5):
                answer = fresh.add(request(log, old))
                assert (answer.status, answer.headers["retry-after"]) == (503, "60")
            assert fresh.ask("GET", "/healthz").status == 503
        latest.write_bytes(content)
        assert fresh.ask("GET", "/healthz").status == 200
        assert is_cosigned(fresh, log, fresh.add(request(log, 5)))

    def test_a_log_that_is_added_is_served_at_once(self, fresh: WitnessPlace) -> None:
        fresh.start()
        text = MemoryLog(origin=OTHER).checkpoint().text
        note = Note(text, (signed(text, OTHER_KEY, OTHER_PRIVATE.sign),))
        content = AddCheckpoint(0, (), note.content).content
        assert fresh.add(content).status == 404
        fresh.store.watch(OTHER_KEY)
        assert fresh.add(content).status == 200

    def test_a_key_that_is_exchanged_signs_beside_the_old_one(self, fresh: WitnessPlace) -> None:
        fresh.start()
        log = grown_by(MemoryLog(), 3)
        private, key = key_of(3, LOG_KEY.name, 1)
        note = Note(log.note().text, (signed(log.note().text, key, private.sign),))
        content = AddCheckpoint(0, (), note.content).content
        assert fresh.add(content).status == 403
        assert not fresh.store.watch(key)
        assert fresh.add(content).status == 200
        assert fresh.add(request(grown_by(log, 1), 3)).status == 200
