"""What a witness keeps, on disk: whole or not at all, exchanged against what was seen, never begun twice."""

from __future__ import annotations

import io
import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from broker.clock import system_clock
from broker.evidence.checkpoint import Checkpoint
from broker.evidence.merkle import EMPTY_ROOT
from broker.evidence.witness import WitnessState
from broker.witness.app import Refused, WitnessApp, body_of
from broker.witness.key import KeyUnusable, new_key, read_key, write_key
from broker.witness.store import StateBroken, StateMoved, WitnessStore
from tests.doors import at_once
from tests.evidence_log import LOG_KEY, ORIGIN, WITNESS_KEYS, MemoryLog, key_of, log_of
from tests.witness_place import grown_by, request

KEYS = (LOG_KEY,)


@pytest.fixture
def store(tmp_path: Path) -> WitnessStore:
    store = WitnessStore(tmp_path)
    assert store.watch(LOG_KEY)
    return store


def state_of(log: MemoryLog) -> WitnessState:
    return WitnessState(log.edge.size, log.edge.root_hash)


def test_a_log_begins_with_nothing_cosigned(store: WitnessStore) -> None:
    assert store.find_keys(ORIGIN) == KEYS
    assert store.latest(ORIGIN, KEYS) == WitnessState(0, EMPTY_ROOT)
    assert [log.origin for log in store.watched()] == [ORIGIN]


def test_watching_again_changes_nothing_that_was_cosigned(store: WitnessStore) -> None:
    log = log_of(3)
    store.exchange(ORIGIN, KEYS, WitnessState(), state_of(log), log.note().content)
    assert not store.watch(LOG_KEY)
    assert store.latest(ORIGIN, KEYS) == state_of(log)


def test_what_was_seen_must_still_be_what_is(store: WitnessStore) -> None:
    log = log_of(3)
    first = state_of(log)
    store.exchange(ORIGIN, KEYS, WitnessState(), first, log.note().content)
    grown_by(log, 2)
    with pytest.raises(StateMoved):
        store.exchange(ORIGIN, KEYS, WitnessState(), state_of(log), log.note().content)
    assert store.latest(ORIGIN, KEYS) == first
    store.exchange(ORIGIN, KEYS, first, state_of(log), log.note().content)
    with pytest.raises(StateMoved):
        store.exchange(ORIGIN, KEYS, first, first, log.note().content)


def test_of_many_that_saw_the_same_one_goes_on(store: WitnessStore) -> None:
    logs = [log_of(size) for size in range(1, 9)]

    def exchanged(log: MemoryLog) -> bool:
        try:
            store.exchange(ORIGIN, KEYS, WitnessState(), state_of(log), log.note().content)
        except StateMoved:
            return False
        return True

    outcomes = at_once(exchanged, logs)
    assert sum(outcomes) == 1
    assert store.latest(ORIGIN, KEYS) == state_of(logs[outcomes.index(True)])


def test_it_is_on_disk_before_anybody_hears_of_it(
    store: WitnessStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []
    fsync, replace, sign = os.fsync, Path.replace, key_of(9, "w/1", 4)[0].sign

    def synced(handle: int) -> None:
        done.append("directory" if os.path.isdir(f"/proc/self/fd/{handle}") else "file")  # noqa: PTH112
        fsync(handle)

    def replaced(self: Path, target: Path) -> Path:
        done.append(f"{self.name} -> {target.name}")
        return replace(self, target)

    def signed(message: bytes) -> bytes:
        done.append("signed")
        return sign(message)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(Path, "replace", replaced)
    key = new_key("w/1", bytes([9]) * 32)
    monkeypatch.setattr(type(key), "sign", lambda _self, message: signed(message))
    app = WitnessApp(store, key, system_clock)
    assert app.add_checkpoint(request(log_of(3), 0)).status == 200
    assert done == ["file", "latest.new -> latest", "directory", "signed"]


def test_nothing_is_signed_where_the_disk_is_full(
    store: WitnessStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    log = log_of(3)
    with pytest.raises(OSError, match="No space left"):
        store.exchange(ORIGIN, KEYS, WitnessState(), state_of(log), log.note().content)
    assert store.latest(ORIGIN, KEYS) == WitnessState()
    assert sorted(tmp_path.glob("logs/*/*.new")) == []


def test_what_a_crash_left_unfinished_is_nothing(store: WitnessStore, tmp_path: Path) -> None:
    [place] = tmp_path.glob("logs/*")
    (place / "latest.new").write_bytes(log_of(9).note().content[:50])
    assert store.latest(ORIGIN, KEYS) == WitnessState()
    log = log_of(3)
    store.exchange(ORIGIN, KEYS, WitnessState(), state_of(log), log.note().content)
    assert (place / "latest").read_bytes() == log.note().content


class TestWatching:
    def test_a_beginning_that_broke_off_is_taken_up(self, store: WitnessStore, tmp_path: Path) -> None:
        [place] = tmp_path.glob("logs/*")
        (place / "keys").unlink()
        assert store.find_keys(ORIGIN) == ()
        assert store.watch(LOG_KEY)

    def test_a_log_that_was_cosigned_is_not_begun_again(self, store: WitnessStore, tmp_path: Path) -> None:
        log = log_of(3)
        store.exchange(ORIGIN, KEYS, WitnessState(), state_of(log), log.note().content)
        [place] = tmp_path.glob("logs/*")
        (place / "keys").unlink()
        with pytest.raises(StateBroken, match="keys of a log are gone, though it was cosigned"):
            store.watch(LOG_KEY)

    def test_a_state_that_is_gone_is_not_begun_again(self, store: WitnessStore, tmp_path: Path) -> None:
        [place] = tmp_path.glob("logs/*")
        (place / "latest").unlink()
        with pytest.raises(StateBroken, match="what was cosigned last of a log is gone"):
            store.watch(LOG_KEY)

    def test_a_further_key_stands_beside_the_first(self, store: WitnessStore) -> None:
        other = key_of(33, ORIGIN, 1)[1]
        assert not store.watch(other)
        assert store.find_keys(ORIGIN) == (LOG_KEY, other)

    def test_a_witness_is_no_log(self, store: WitnessStore) -> None:
        with pytest.raises(ValueError, match="this is no key of a log"):
            store.watch(WITNESS_KEYS[0])


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"a+b+c\n", "the keys of a log are no keys"),
        (b"\xff\n", "the keys of a log are no keys"),
        (b"", "the keys of a log are another's"),
        (key_of(1, "elsewhere", 1)[1].vkey.encode(), "the keys of a log are another's"),
        (b"x" * 70_000, "a file is longer than this witness writes"),
    ],
)
def test_keys_that_somebody_changed_are_not_used(
    store: WitnessStore, tmp_path: Path, content: bytes, words: str
) -> None:
    [path] = tmp_path.glob("logs/*/keys")
    path.write_bytes(content)
    with pytest.raises(StateBroken, match=words):
        store.find_keys(ORIGIN)


def test_another_logs_checkpoint_is_no_state(store: WitnessStore, tmp_path: Path) -> None:
    [path] = tmp_path.glob("logs/*/latest")
    path.write_bytes(Checkpoint("audit.x/2026", 0, EMPTY_ROOT).text.encode())
    with pytest.raises(StateBroken, match="cannot be read: note_malformed"):
        store.latest(ORIGIN, KEYS)


class TestTheKey:
    def test_it_is_written_for_its_owner_alone_and_read_again(self, tmp_path: Path) -> None:
        key = new_key("witness.example/w1", bytes(range(32)))
        path = tmp_path / "witness.key"
        write_key(path, key)
        assert path.stat().st_mode & 0o777 == 0o600
        again = read_key(path)
        assert again.verifier == key.verifier
        assert again.verifier.is_signed(again.sign(b"m"), b"m")
        assert path.read_text().startswith(f"PRIVATE+KEY+witness.example/w1+{key.verifier.key_id.hex()}+")
        assert "PRIVATE" not in repr(key)
        with pytest.raises(KeyUnusable, match="File exists"):
            write_key(path, key)

    @pytest.mark.parametrize(
        ("change", "words"),
        [
            (lambda text: text.replace("w1", "w2"), "the id in it is another key's"),
            (lambda text: text[:-2], "this is no key of a witness"),
            (lambda text: text[:0], "this is no key of a witness"),
            (lambda text: text.replace("PRIVATE", "PUBLIC"), "this is no key of a witness"),
            (lambda text: text.rsplit("+", 1)[0] + "+AQID", "this is no key of a witness"),
            (lambda text: text.rsplit("+", 1)[0] + "+BAID", "a seed has 32 bytes"),
            (lambda text: text[:3] + "\udcff", "this is no key of a witness"),
        ],
    )
    def test_what_is_no_key_is_not_used(
        self, tmp_path: Path, change: Callable[[str], str], words: str
    ) -> None:
        path = tmp_path / "witness.key"
        write_key(path, new_key("witness.example/w1", bytes(range(32))))
        path.write_bytes(change(path.read_text()).encode("utf-8", "surrogateescape"))
        with pytest.raises(KeyUnusable, match=words):
            read_key(path)

    def test_a_key_that_others_can_read_is_not_used(self, tmp_path: Path) -> None:
        path = tmp_path / "witness.key"
        write_key(path, new_key("witness.example/w1", bytes(range(32))))
        path.chmod(0o640)
        with pytest.raises(KeyUnusable, match="nobody else may read it"):
            read_key(path)
        with pytest.raises(KeyUnusable, match="No such file"):
            read_key(tmp_path / "none")

    @pytest.mark.parametrize("name", ["", "two words", "a+b", "x" * 256])
    def test_not_every_name_is_one(self, name: str) -> None:
        with pytest.raises(KeyUnusable, match="a key's name has no spaces"):
            new_key(name, bytes(32))


class TestBodies:
    def test_a_body_that_drips_is_cut_off(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("broker.witness.app.BODY_SECONDS", 0.05)
        ours, theirs = socket.socketpair()
        with ours, theirs, ours.makefile("rb") as content:
            theirs.sendall(b"old 0\n")
            # It would wait for ever: the other side neither sends more nor closes.
            environ = {"CONTENT_LENGTH": "100", "wsgi.input": content, "gunicorn.socket": ours}
            with pytest.raises(Refused) as refused:
                body_of(environ)
            assert (refused.value.reply.status, refused.value.reply.body) == (400, b"the body broke off\n")

    @pytest.mark.parametrize(
        ("length", "status"),
        [("", 411), ("-1", 411), ("1_0", 411), ("٣", 411), ("135169", 413), ("9" * 5_000, 413)],
    )
    def test_a_length_is_a_number_within_bounds(self, length: str, status: int) -> None:
        with pytest.raises(Refused) as refused:
            body_of({"CONTENT_LENGTH": length, "wsgi.input": io.BytesIO(b"")})
        assert refused.value.reply.status == status
