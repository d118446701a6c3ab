"""The log gets time stamps: from a real authority, a slow, a lying and a dead one; no round waits for any."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from threading import Event
from typing import Any, Final

import pytest

from broker.clock import system_clock
from broker.errors import StoreUnavailable
from broker.evidence.checkpoint import open_checkpoint
from broker.evidence.reasons import REASONS
from broker.stamping import Stamping
from broker.storage.log_timestamps import NEWEST, TimestampFiles, note_path, stamped_sizes, token_path
from broker.timestamp_tokens import StampTrust, opened_token
from connectors.base import AuthorityUnreachable
from connectors.timestamps import HttpTimestamps, is_authority_address
from tests.doors import wait_until
from tests.evidence_log import LOG_KEY, MemoryLog
from tests.serving import serving
from tests.timestamp_place import StampPlace, answering, needs_openssl, openssl_verifies
from tests.witness_place import grown_by, head_of

LONG: Final = 60.0
"""Seconds that no test waits for: what is waited for comes at once."""
NO_PAUSE: Final = 0.01


class Follower:
    """What follows a log, and what it told. directory: of the shard."""

    def __init__(self, directory: Path, url: str, trust: StampTrust, options: Mapping[str, Any]) -> None:
        self.files = TimestampFiles(directory)
        self.told: list[Mapping[str, object]] = []
        given: dict[str, Any] = {"every_seconds": NO_PAUSE, "asking_seconds": LONG, **options}
        store = given.pop("store", self.files)
        self.stamping = Stamping(
            HttpTimestamps(url), trust, lambda _: store, self.told.append, system_clock, **given
        )

    def published(self, log: MemoryLog) -> None:
        self.stamping.published(head_of(log))

    def has(self, size: int) -> Callable[[], bool]:
        """Return what says whether a size is the newest that is stamped."""
        note = f"\n{size}\n".encode()
        return lambda: note in (self.files.newest() or b"")

    def reasons(self) -> list[object]:
        return [one.get("reason") for one in self.told]


@contextmanager
def following(directory: Path, url: str, trust: StampTrust, **options: Any) -> Iterator[Follower]:
    follower = Follower(directory, url, trust, options)
    try:
        yield follower
    finally:
        follower.stamping.close()


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> StampPlace:
    return StampPlace(tmp_path_factory.mktemp("authority"))


@needs_openssl
class TestAtWork:
    def test_what_is_published_is_stamped_and_kept_as_it_was(self, place: StampPlace, tmp_path: Path) -> None:
        log = grown_by(MemoryLog(), 3)
        with (
            answering(place.reply) as (_, url, asked),
            following(tmp_path, url, place.trust) as follower,
        ):
            follower.published(log)
            wait_until(follower.has(3), "it is stamped", LONG)
            follower.published(grown_by(log, 4))
            wait_until(follower.has(7), "the next is stamped", LONG)
        assert follower.told == []
        assert len(asked) == 2
        assert stamped_sizes(tmp_path) == [3, 7]
        for size in (3, 7):
            note, token = follower.files.note(size), follower.files.token(size)
            assert note is not None
            assert token is not None
            assert open_checkpoint(note, [LOG_KEY]).checkpoint.tree_size == size
            assert abs(opened_token(token, note, place.trust).at - datetime.now(UTC)).total_seconds() < 600
            file = tmp_path / token_path(size)
            assert openssl_verifies(tmp_path, note, file, place.root_file) == "Verification: OK"
            assert file.stat().st_mode & 0o222 == 0
        assert follower.files.newest() == follower.files.note(7)

    def test_publishing_waits_for_nobody_and_the_newest_is_stamped(
        self, place: StampPlace, tmp_path: Path
    ) -> None:
        log = grown_by(MemoryLog(), 3)
        begun, let_go = Event(), Event()

        def held(query: bytes) -> bytes:
            begun.set()
            assert let_go.wait(LONG)
            return place.reply(query)

        with answering(held) as (_, url, asked), following(tmp_path, url, place.trust) as follower:
            follower.published(log)
            assert begun.wait(LONG)
            # While the authority takes its time, the log publishes two more; the first is passed over.
            for _ in range(2):
                follower.published(grown_by(log, 3))
            assert follower.files.newest() is None
            let_go.set()
            wait_until(follower.has(9), "the newest is stamped", LONG)
        assert stamped_sizes(tmp_path) == [3, 9]
        assert len(asked) == 2

    def test_the_authority_is_asked_once_in_so_many_seconds(self, place: StampPlace, tmp_path: Path) -> None:
        log = grown_by(MemoryLog(), 3)
        with answering(place.reply) as (_, url, asked):
            with following(tmp_path, url, place.trust, every_seconds=10_000.0) as follower:
                follower.published(log)
                wait_until(follower.has(3), "it is stamped", LONG)
                for _ in range(5):
                    follower.published(grown_by(log, 1))
                assert len(asked) == 1
            # Who ends asks once about what waits.
            assert len(asked) == 2
        assert stamped_sizes(tmp_path) == [3, 8]

    def test_started_again_it_goes_on_and_asks_for_nothing_that_is_there(
        self, place: StampPlace, tmp_path: Path
    ) -> None:
        log = grown_by(MemoryLog(), 3)
        with answering(place.reply) as (_, url, asked):
            with following(tmp_path, url, place.trust) as follower:
                follower.published(log)
                wait_until(follower.has(3), "it is stamped", LONG)
            kept = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
            with following(tmp_path, url, place.trust) as follower:
                follower.published(log)
            assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == kept
            assert len(asked) == 1
            with following(tmp_path, url, place.trust) as follower:
                follower.published(grown_by(log, 1))
            assert (len(asked), stamped_sizes(tmp_path)) == (2, [3, 4])

    def test_killed_between_checkpoint_and_token_it_stamps_what_lies_there(
        self, place: StampPlace, tmp_path: Path
    ) -> None:
        log = grown_by(MemoryLog(), 3)
        there = log.note(1).content  # of the same tree, other bytes
        (tmp_path / "timestamp").mkdir()
        (tmp_path / note_path(3)).write_bytes(there)
        with answering(place.reply) as (_, url, _), following(tmp_path, url, place.trust) as follower:
            follower.published(log)
            wait_until(follower.has(3), "it is stamped", LONG)
        token = follower.files.token(3)
        assert token is not None
        assert (follower.files.note(3), follower.files.newest()) == (there, there)
        assert opened_token(token, there, place.trust).authority

    def test_other_bytes_in_the_place_of_a_checkpoint_are_never_stamped(
        self, place: StampPlace, tmp_path: Path
    ) -> None:
        log = grown_by(MemoryLog(), 3)
        (tmp_path / "timestamp").mkdir()
        (tmp_path / note_path(3)).write_bytes(grown_by(MemoryLog(), 4).note().content)
        with answering(place.reply) as (_, url, asked), following(tmp_path, url, place.trust) as follower:
            follower.published(log)
            wait_until(lambda: bool(follower.told), "it is told", LONG)
            follower.published(grown_by(log, 2))
            wait_until(follower.has(5), "the next is stamped", LONG)
        assert follower.reasons() == ["other bytes lie in the place of the stamped checkpoint", None]
        assert (len(asked), stamped_sizes(tmp_path)) == (1, [5])

    def test_what_cannot_be_kept_is_told_and_asked_for_again(self, place: StampPlace, tmp_path: Path) -> None:
        class Full(TimestampFiles):
            is_full = True

            def keep(self, tree_size: int, note: bytes, token: bytes) -> None:
                if self.is_full:
                    raise StoreUnavailable("the disk is full")
                super().keep(tree_size, note, token)

        store = Full(tmp_path)
        with (
            answering(place.reply) as (_, url, _),
            following(tmp_path, url, place.trust, store=store) as follower,
        ):
            follower.published(grown_by(MemoryLog(), 3))
            wait_until(lambda: bool(follower.told), "it is told", LONG)
            store.is_full = False
            wait_until(follower.has(3), "it is kept", LONG)
        assert follower.reasons() == ["it cannot be kept: store_unavailable", None]
        assert follower.told[1]["event"] == "time stamps come again"


@needs_openssl
class TestLies:
    @pytest.mark.parametrize(
        ("lie", "reason"),
        [
            (lambda query, place: place.reply(_over_other_bytes(query)), "timestamp_differs"),
            (lambda _, place: place.token(grown_by(MemoryLog(), 3).note().content), "timestamp_nonce"),
            (lambda query, _: query, "timestamp_malformed"),
            (lambda *_: b"", "timestamp_malformed"),
        ],
        ids=["other-bytes", "other-request", "echo", "nothing"],
    )
    def test_no_token_is_kept_that_does_not_hold(
        self, place: StampPlace, tmp_path: Path, lie: Callable[[bytes, StampPlace], bytes], reason: str
    ) -> None:
        answers = iter([lambda query: lie(query, place)])
        with (
            answering(lambda query: next(answers, place.reply)(query)) as (_, url, asked),
            following(tmp_path, url, place.trust) as follower,
        ):
            follower.published(grown_by(MemoryLog(), 3))
            wait_until(follower.has(3), "the honest answer is taken", LONG)
        assert follower.told == [
            {"event": "no time stamp", "origin": LOG_KEY.name, "reason": REASONS[reason]},  # type: ignore[index]
            {"event": "time stamps come again", "origin": LOG_KEY.name},
        ]
        assert len(asked) == 2

    @pytest.mark.parametrize("trusted", ["other-root", "other-policy"])
    def test_whom_nobody_trusts_stamps_nothing(self, place: StampPlace, tmp_path: Path, trusted: str) -> None:
        stranger = StampPlace(tmp_path / "stranger").trust
        policy = StampTrust(place.trust.roots, "1.3.6.1.4.1.32473.1")
        trust, reason = {
            "other-root": (stranger, REASONS["timestamp_untrusted"]),
            "other-policy": (policy, REASONS["timestamp_policy"]),
        }[trusted]
        with answering(place.reply) as (_, url, asked), following(tmp_path, url, trust) as follower:
            follower.published(grown_by(MemoryLog(), 3))
            wait_until(lambda: len(asked) > 2, "it is asked again", LONG)
        # Told once, not each time.
        assert follower.reasons() == [reason]
        assert (follower.files.newest(), stamped_sizes(tmp_path)) == (None, [])


def _over_other_bytes(query: bytes) -> bytes:
    imprint = hashlib.sha256(grown_by(MemoryLog(), 3).note().content).digest()
    assert imprint in query
    return query.replace(imprint, hashlib.sha256(b"other").digest())


def nobody() -> StampTrust:
    return StampTrust(())


class TestAnAuthorityThatIsGone:
    def test_it_is_told_and_nothing_is_kept(self, tmp_path: Path) -> None:
        with serving() as gone:
            url = f"http://localhost:{gone.port}"
        with following(tmp_path, url, nobody()) as follower:
            follower.published(grown_by(MemoryLog(), 3))
            wait_until(lambda: bool(follower.told), "it is told", LONG)
        assert follower.reasons() == ["the authority does not answer in time"]
        assert list(tmp_path.iterdir()) == []

    def test_one_that_never_answers_is_left(self, tmp_path: Path) -> None:
        let_go = Event()

        def held(query: bytes) -> bytes:
            assert let_go.wait(LONG)
            return query

        with answering(held) as (_, url, _):
            with following(tmp_path, url, nobody(), asking_seconds=0.2) as follower:
                follower.published(grown_by(MemoryLog(), 3))
                wait_until(lambda: bool(follower.told), "it is told", LONG)
            let_go.set()
        assert follower.reasons() == ["the authority does not answer in time"]

    @pytest.mark.parametrize(
        ("status", "media_type", "body"),
        [
            ("500 No", "application/timestamp-reply", b"x"),
            ("302 There", "application/timestamp-reply", b"x"),
            ("200 OK", "text/html", b"x"),
            ("200 OK", "application/timestamp-reply", b"x" * 65_537),
        ],
    )
    def test_what_is_no_answer(self, status: str, media_type: str, body: bytes) -> None:
        def application(environ: Any, start_response: Any) -> list[bytes]:
            environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"]))
            headers = [("Content-Type", media_type), ("Content-Length", str(len(body))), ("Location", "/x")]
            start_response(status, headers)
            return [body]

        with serving(application) as place, pytest.raises(AuthorityUnreachable):
            HttpTimestamps(f"http://localhost:{place.port}/").stamp(b"q", LONG)

    @pytest.mark.parametrize(
        ("url", "is_one"),
        [
            ("https://tsa.example/tsr", True),
            ("https://tsa.example/tsr?policy=1", True),
            ("http://localhost:3161/", True),
            ("http://tsa.example/tsr", False),
            ("https://tsa.example/#x", False),
            ("tsa.example", False),
            ("", False),
        ],
    )
    def test_where_an_authority_may_be(self, url: str, *, is_one: bool) -> None:
        assert is_authority_address(url) is is_one


class TestTheFiles:
    def test_the_first_of_a_size_stays_and_the_newest_is_the_largest(self, tmp_path: Path) -> None:
        files = TimestampFiles(tmp_path / "broker.example" / "2026")
        assert (files.newest(), files.note(3), files.token(3), stamped_sizes(files.directory)) == (
            None, None, None, [],
        )  # fmt: skip
        notes = {size: grown_by(MemoryLog(), size).note().content for size in (3, 12, 7)}
        for size, note in notes.items():
            files.keep(size, note, b"token %d" % size)
        assert files.newest() == notes[12]
        assert stamped_sizes(files.directory) == [3, 7, 12]
        files.keep(3, notes[3], b"another")
        assert files.token(3) == b"token 3"
        with pytest.raises(StoreUnavailable):
            files.keep(3, notes[7], b"another")
        assert (files.note(3), files.token(3)) == (notes[3], b"token 3")
        (files.directory / NEWEST).chmod(0o644)
        (files.directory / NEWEST).write_bytes(b"nothing")
        files.keep(7, notes[7], b"token 7")
        assert files.newest() == notes[7]

    def test_other_names_are_no_tokens(self, tmp_path: Path) -> None:
        directory = tmp_path / "timestamp"
        directory.mkdir()
        for name in ("3.tsr", "03.tsr", "-1.tsr", "3.checkpoint", ".4.tsr.77", "x.tsr", "5.tsr.bak", "٣.tsr"):
            (directory / name).write_bytes(b"")
        assert stamped_sizes(tmp_path) == [3]
