"""The log asks its witnesses: real, slow, lying and dead ones; no line is taken that does not verify."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Any, Final

import pytest

from broker.cosigning import ASKS_MAX, Asking, Collected, Cosigning
from broker.errors import StoreUnavailable
from broker.evidence.checkpoint import Checkpoint
from broker.evidence.cosignature import check_witnesses, cosigned
from broker.evidence.reasons import EvidenceInvalid
from broker.evidence.signed_note import Note, NoteSignature, VerifierKey, parse_signature
from broker.evidence.witness import WitnessState, decide_add_checkpoint, parse_add_checkpoint
from broker.evidence.witness_asking import WHY_NOT, AskFrom, Cosigned, NotCosigned, Witness, judged
from connectors.witnesses import HttpWitnesses
from tests.doors import wait_until
from tests.evidence_log import LOG_KEY, WITNESSES, MemoryLog
from tests.serving import serving
from tests.witness_place import WitnessPlace, grown_by, head_of, other_history, request

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

Answer = tuple[int, bytes]
LONG: Final = 20.0
"""Seconds that no test waits for: a round ends when all have answered."""
[(OWN, KEY), (OTHER, OTHER_KEY), (_, THIRD_KEY)] = WITNESSES


def door() -> HttpWitnesses:
    return HttpWitnesses(plain_hosts=("localhost",))


def asking(log: MemoryLog) -> Asking:
    return Asking(door(), lambda _checkpoint, old_size: log.tiles().consistency_proof(old_size))


def collected(log: MemoryLog, *witnesses: Witness, seconds: float = LONG) -> Collected:
    return asking(log).collect(log.checkpoint(), log.note(), witnesses, seconds)


def why(outcome: object) -> str:
    assert isinstance(outcome, NotCosigned), outcome
    return outcome.why


def good_line(body: bytes) -> bytes:
    """Return what an honest witness with KEY answers to a request."""
    return cosigned(_of(body), KEY, 1_790_000_000, OWN.sign).line.encode()


def _seen(body: bytes) -> WitnessState:
    old = parse_add_checkpoint(body).old_size
    return WitnessState(old, grown_by(MemoryLog(), old).edge.root_hash)


@contextmanager
def answering(
    *answers: Callable[[bytes], Answer], key: VerifierKey = KEY
) -> Iterator[tuple[Witness, list[bytes]]]:
    """Give a witness that answers so, the last way for ever, and what it was asked."""
    asked: list[bytes] = []

    def application(environ: WSGIEnvironment, start_response: StartResponse) -> Sequence[bytes]:
        assert (environ["REQUEST_METHOD"], environ["PATH_INFO"]) == ("POST", "/w/add-checkpoint")
        body = environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"]))
        asked.append(body)
        status, told = answers[min(len(asked), len(answers)) - 1](body)
        start_response(f"{status} Told", [("Content-Length", str(len(told)))])
        return [told]

    with serving(application) as place:
        yield Witness(key, f"http://localhost:{place.port}/w/"), asked


@pytest.fixture
def places(tmp_path: Path) -> Iterator[Callable[[str], WitnessPlace]]:
    with ExitStack() as opened:

        def start(name: str) -> WitnessPlace:
            directory = tmp_path / name.replace("/", "-")
            directory.mkdir()
            place = WitnessPlace(directory, name)
            opened.callback(place.stop)
            place.start()
            return place

        yield start


class TestOneWitness:
    def test_a_real_one_cosigns_and_is_asked_from_its_own_size(
        self, places: Callable[[str], WitnessPlace]
    ) -> None:
        place = places("witness.example/real")
        witness = Witness(place.vkey, place.url)
        log = grown_by(MemoryLog(), 5)
        assert place.add(request(log, 0)).status == 200
        grown_by(log, 300)
        # It has never been asked by this process: from 0 first, then from the 5 that it names.
        told = collected(log, witness)
        assert isinstance(told.outcomes[witness], Cosigned)
        assert len(check_witnesses(told.note, [place.vkey], 1)) == 1
        assert place.store.latest(LOG_KEY.name, [LOG_KEY]).tree_size == 305

    def test_its_size_is_remembered(self) -> None:
        log = grown_by(MemoryLog(), 5)
        with answering(lambda body: (200, good_line(body))) as (witness, asked):
            many = asking(log)
            for _ in range(3):
                told = many.collect(log.checkpoint(), log.note(), [witness], LONG)
                assert isinstance(told.outcomes[witness], Cosigned)
                grown_by(log, 2)
        assert [parse_add_checkpoint(body).old_size for body in asked] == [0, 5, 7]

    def test_after_a_409_it_is_asked_again_with_the_right_proof(self) -> None:
        log = grown_by(MemoryLog(), 9)
        ways = (lambda _: (409, b"4\n"), lambda body: (200, good_line(body)))
        with answering(*ways) as (witness, asked):
            assert isinstance(collected(log, witness).outcomes[witness], Cosigned)
        first, second = map(parse_add_checkpoint, asked)
        assert (first.old_size, first.proof) == (0, ())
        assert (second.old_size, second.proof) == (4, log.tiles().consistency_proof(4))

    @pytest.mark.parametrize("told", [b"10\n", b"9223372036854775807\n"])
    def test_one_that_is_ahead_is_an_alarm(self, told: bytes) -> None:
        with answering(lambda _: (409, told)) as (witness, asked):
            assert why(collected(grown_by(MemoryLog(), 9), witness).outcomes[witness]) == "ahead"
        assert len(asked) == 1

    def test_one_that_cosigned_another_tree_of_that_size_is_an_alarm(
        self, places: Callable[[str], WitnessPlace]
    ) -> None:
        place = places("witness.example/forked")
        assert place.add(request(other_history(9), 0)).status == 200
        witness = Witness(place.vkey, place.url)
        told = collected(grown_by(MemoryLog(), 9), witness)
        assert why(told.outcomes[witness]) == "forked"
        assert told.note == grown_by(MemoryLog(), 9).note()

    def test_one_whose_tree_is_not_the_beginning_is_an_alarm(
        self, places: Callable[[str], WitnessPlace]
    ) -> None:
        place = places("witness.example/other")
        assert place.add(request(other_history(5), 0)).status == 200
        witness = Witness(place.vkey, place.url)
        assert why(collected(grown_by(MemoryLog(), 9), witness).outcomes[witness]) == "inconsistent"

    @pytest.mark.parametrize(
        ("status", "reason"),
        [(400, "bad_request"), (403, "bad_signature"), (404, "unknown_log"), (422, "inconsistent")],
    )
    def test_what_it_refuses_is_told_apart(self, status: int, reason: str) -> None:
        with answering(lambda _: (status, b"no\n")) as (witness, asked):
            assert why(collected(grown_by(MemoryLog(), 9), witness).outcomes[witness]) == reason
        assert len(asked) == 1

    @pytest.mark.parametrize("status", [201, 204, 302, 500, 503])
    def test_other_statuses_are_no_answer(self, status: int) -> None:
        with answering(lambda _: (status, b"")) as (witness, _):
            assert why(collected(grown_by(MemoryLog(), 9), witness).outcomes[witness]) == "unreachable"

    def test_without_a_proof_it_is_not_asked(self) -> None:
        def prove(_checkpoint: Checkpoint, _old_size: int) -> Sequence[bytes]:
            raise EvidenceInvalid("tile_missing")

        log = grown_by(MemoryLog(), 9)
        with answering(lambda body: (200, good_line(body))) as (witness, asked):
            told = Asking(door(), prove).collect(log.checkpoint(), log.note(), [witness], LONG)
        assert (why(told.outcomes[witness]), asked) == ("no_proof", [])


class TestLies:
    @pytest.mark.parametrize(
        "lie",
        [
            lambda body: cosigned(_of(body), OTHER_KEY, 1, OTHER.sign).line.encode(),
            lambda _: cosigned(other_history(9).checkpoint(), KEY, 1, OWN.sign).line.encode(),
            lambda body: good_line(body).replace(b" witness.example/w0", b" witness.example/w1"),
            lambda body: good_line(body)[:-1],
            lambda body: good_line(body) + b"and more\n",
            lambda body: good_line(body) + _flipped(good_line(body)),
            lambda body: parse_add_checkpoint(body).note,
            lambda _: b"",
            lambda _: b"\xff\xfe",
            lambda _: b"x" * 70_000,
        ],
        ids=[
            "another-key", "another-tree", "another-name", "no-end", "more", "one-false", "note", "nothing",
            "bytes", "endless",
        ],
    )  # fmt: skip
    def test_no_line_is_taken_that_does_not_verify(self, lie: Callable[[bytes], bytes]) -> None:
        log = grown_by(MemoryLog(), 9)
        with answering(lambda body: (200, lie(body))) as (witness, _):
            told = collected(log, witness)
        assert why(told.outcomes[witness]) in ("not_an_answer", "unreachable")
        assert told.note == log.note()

    def test_lines_of_others_that_come_along_are_left_out(self) -> None:
        log = grown_by(MemoryLog(), 9)
        both = [
            cosigned(log.checkpoint(), key, 7, own.sign).line.encode()
            for own, key in (WITNESSES[1], WITNESSES[0])
        ]
        with answering(lambda _: (200, b"".join(both))) as (witness, _):
            told = collected(log, witness)
        assert [line.name for line in told.note.signatures] == [LOG_KEY.name, KEY.name]

    def test_of_two_good_lines_the_later_one_is_taken(self) -> None:
        log = grown_by(MemoryLog(), 9)
        both = [cosigned(log.checkpoint(), KEY, at, OWN.sign).line.encode() for at in (9, 7)]
        with answering(lambda _: (200, b"".join(both))) as (witness, _):
            outcome = collected(log, witness).outcomes[witness]
        assert isinstance(outcome, Cosigned)
        assert outcome.at_seconds == 9

    @pytest.mark.parametrize("told", [b"", b"4", b"04\n", b"-1\n", b"4\n4\n", b"\xff\n", b"four\n"])
    def test_a_409_that_is_none(self, told: bytes) -> None:
        log = grown_by(MemoryLog(), 9)
        with answering(lambda _: (409, told), lambda body: (200, good_line(body))) as (witness, asked):
            outcome = collected(log, witness).outcomes[witness]
        if told == b"4":
            assert isinstance(outcome, Cosigned)
        else:
            assert (why(outcome), len(asked)) == ("not_an_answer", 1)

    def test_one_that_names_ever_other_sizes_is_not_asked_for_ever(self) -> None:
        sizes = iter(range(8, 0, -1))
        with answering(lambda _: (409, f"{next(sizes)}\n".encode())) as (witness, asked):
            outcome = collected(grown_by(MemoryLog(), 9), witness).outcomes[witness]
        assert (why(outcome), len(asked)) == ("not_an_answer", ASKS_MAX)

    def test_one_that_names_the_size_it_was_asked_from_is_none(self) -> None:
        log = grown_by(MemoryLog(), 9)
        assert judged(409, b"4\n", log.note(), log.checkpoint(), KEY, 4) == NotCosigned("not_an_answer")
        assert judged(409, b"9\n", log.note(), log.checkpoint(), KEY, 9) == NotCosigned("forked")
        assert judged(409, b"4\n", log.note(), log.checkpoint(), KEY, 3) == AskFrom(4)


def _of(body: bytes) -> Checkpoint:
    checkpoint = decide_add_checkpoint(body, [LOG_KEY], lambda _: _seen(body)).checkpoint
    assert checkpoint is not None
    return checkpoint


def other_line(body: bytes) -> Answer:
    """Answer as an honest witness with OTHER_KEY does."""
    return 200, cosigned(_of(body), OTHER_KEY, 8, OTHER.sign).line.encode()


def _flipped(line: bytes) -> bytes:
    """Return a line with the last bit of its signature turned."""
    sign = parse_signature(line.decode().removesuffix("\n"))
    turned = sign.signature[:-1] + bytes([sign.signature[-1] ^ 1])
    return NoteSignature(sign.name, sign.key_id, turned).line.encode()


class TestSeveral:
    def test_slow_lying_and_dead_ones_hold_up_nobody(self) -> None:
        log = grown_by(MemoryLog(), 9)
        let_go = Event()
        gained: list[list[str]] = []

        def slow(body: bytes) -> Answer:
            assert let_go.wait(LONG)
            return 200, good_line(body)

        def gain(note: Note) -> None:
            gained.append([one.name for one in note.signatures[1:]])
            let_go.set()

        with ExitStack() as opened:
            good, _ = opened.enter_context(answering(other_line, key=OTHER_KEY))
            late, _ = opened.enter_context(answering(slow))
            liar, _ = opened.enter_context(answering(lambda body: (200, good_line(body)), key=THIRD_KEY))
            with serving() as gone:
                dead = Witness(
                    VerifierKey("witness.example/dead", 4, bytes(32)), f"http://localhost:{gone.port}"
                )
            everybody = [late, dead, liar, good]
            told = asking(log).collect(log.checkpoint(), log.note(), everybody, LONG, gain)
        assert [why(told.outcomes[one]) for one in (dead, liar)] == ["unreachable", "not_an_answer"]
        assert [type(told.outcomes[one]) for one in (good, late)] == [Cosigned, Cosigned]
        # What the good one said was there while the slow one was still waited for.
        assert gained == [[OTHER_KEY.name], [OTHER_KEY.name, KEY.name]]

    def test_one_that_is_too_slow_is_left_out(self) -> None:
        log = grown_by(MemoryLog(), 9)
        let_go = Event()

        def slow(body: bytes) -> Answer:
            assert let_go.wait(LONG)
            return 200, good_line(body)

        with answering(slow) as (witness, _):
            told = collected(log, witness, seconds=0.2)
            let_go.set()
        assert (why(told.outcomes[witness]), told.note) == ("unreachable", log.note())

    def test_a_round_ends_when_all_have_answered(self) -> None:
        log = grown_by(MemoryLog(), 9)
        with answering(lambda body: (200, good_line(body))) as (witness, _):
            # The limit is one that no test run would reach.
            assert isinstance(collected(log, witness, seconds=10_000.0).outcomes[witness], Cosigned)

    def test_nobody_to_ask(self) -> None:
        log = grown_by(MemoryLog(), 9)
        assert collected(log) == Collected(log.note(), {})

    def test_two_real_ones(self, places: Callable[[str], WitnessPlace]) -> None:
        log = grown_by(MemoryLog(), 9)
        both = [places("witness.example/a"), places("witness.example/bb")]
        told = collected(log, *(Witness(one.vkey, one.url) for one in both))
        assert len(check_witnesses(told.note, [one.vkey for one in both], 2)) == 2


class Kept:
    """What a follower kept and told. limit: as many waits as this end a test that hangs."""

    def __init__(self) -> None:
        self.notes: list[tuple[int, list[str]]] = []
        self.told: list[Mapping[str, object]] = []
        self.is_full = False

    def keep(self, checkpoint: Checkpoint, note: Note) -> None:
        if self.is_full:
            raise StoreUnavailable("the disk is full")
        self.notes.append((checkpoint.tree_size, [one.name for one in note.signatures[1:]]))

    def has(self, size: int, *names: str) -> Callable[[], bool]:
        return lambda: any(told == size and set(names) <= set(found) for told, found in self.notes)


@contextmanager
def following(
    log: MemoryLog, witnesses: Sequence[Witness], **options: Any
) -> Iterator[tuple[Cosigning, Kept]]:
    kept = Kept()
    given: dict[str, Any] = {"round_seconds": LONG, "again_seconds": 0.05, **options}
    follower = Cosigning(asking(log), witnesses, kept.keep, kept.told.append, **given)
    try:
        yield follower, kept
    finally:
        follower.close()


class TestFollowing:
    def test_publishing_waits_for_nobody_and_the_newest_is_asked_about(self) -> None:
        log = grown_by(MemoryLog(), 3)
        begun, let_go = Event(), Event()

        def held(body: bytes) -> Answer:
            begun.set()
            assert let_go.wait(LONG)
            return 200, good_line(body)

        with answering(held) as (witness, asked), following(log, [witness]) as (follower, kept):
            follower.published(head_of(log))
            assert begun.wait(LONG)
            # While a witness takes its time, the log publishes two more; the first of them is passed over.
            for _ in range(2):
                follower.published(head_of(grown_by(log, 3)))
            let_go.set()
            wait_until(kept.has(9, KEY.name), "the newest is cosigned", LONG)
            assert [size for size, _ in kept.notes] == [3, 9]
            assert [parse_add_checkpoint(body).old_size for body in asked] == [0, 3]

    def test_who_did_not_cosign_is_asked_again_and_the_others_are_not(self) -> None:
        log = grown_by(MemoryLog(), 3)
        with (
            answering(lambda _: (503, b""), lambda _: (404, b""), lambda body: (200, good_line(body))) as (
                first,
                _,
            ),
            answering(other_line, key=OTHER_KEY) as (second, asked),
            following(log, [first, second], needed=2) as (follower, kept),
        ):
            follower.published(head_of(log))
            wait_until(kept.has(3, KEY.name, OTHER_KEY.name), "both have cosigned", LONG)
            assert len(asked) == 1
            # Fewer than are needed are not kept.
            assert {len(names) for _, names in kept.notes} == {2}
            assert [(one["event"], one.get("reason")) for one in kept.told] == [
                ("a witness does not cosign", WHY_NOT["unreachable"]),
                ("a witness does not cosign", WHY_NOT["unknown_log"]),
                ("a witness cosigns again", None),
            ]
            assert {one["witness"] for one in kept.told} == {KEY.name}

    def test_two_histories_are_an_alarm(self) -> None:
        log = grown_by(MemoryLog(), 3)
        with answering(lambda _: (422, b"")) as (witness, _), following(log, [witness]) as (follower, kept):
            follower.published(head_of(log))
            wait_until(lambda: bool(kept.told), "it is told", LONG)
            assert kept.told[0]["alarm"] == WHY_NOT["inconsistent"]

    def test_what_cannot_be_kept_is_told_and_it_goes_on(self) -> None:
        log = grown_by(MemoryLog(), 3)
        with (
            answering(lambda body: (200, good_line(body))) as (witness, _),
            following(log, [witness]) as (follower, kept),
        ):
            kept.is_full = True
            follower.published(head_of(log))
            wait_until(lambda: bool(kept.told), "it is told", LONG)
            assert kept.told[0]["event"] == "cosignatures cannot be kept"
            kept.is_full = False
            follower.published(head_of(grown_by(log, 1)))
            wait_until(kept.has(4, KEY.name), "the next is kept", LONG)

    def test_it_ends_when_told(self) -> None:
        log = grown_by(MemoryLog(), 3)
        with following(log, []) as (follower, kept):
            follower.published(head_of(log))
        assert kept.notes == []
