"""What a witness answers: each status of tlog-witness, in the order that the specification gives."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.evidence.checkpoint import Checkpoint, signed_checkpoint
from broker.evidence.cosignature import cosigned, witnesses_of
from broker.evidence.merkle import EMPTY_ROOT
from broker.evidence.reasons import EvidenceInvalid
from broker.evidence.signed_note import LOG_SIGNATURE, NOTE_BYTES_MAX, Note
from broker.evidence.witness import (
    SIZE_TYPE,
    AddCheckpoint,
    WitnessState,
    decide_add_checkpoint,
    parse_add_checkpoint,
)
from tests.evidence_entries import release
from tests.evidence_log import LOG_KEY, LOG_PRIVATE, ORIGIN, WITNESSES, MemoryLog, key_of, log_of

OLD: Final = log_of(5)
LOG: Final = log_of(5)
LOG.append([release(at) for at in range(5, 9)])
SEEN: Final = WitnessState(5, OLD.edge.root_hash)
REQUEST: Final = AddCheckpoint(5, LOG.tiles().consistency_proof(5), LOG.note().content)


def answer(request: AddCheckpoint | bytes, seen: WitnessState = SEEN) -> Any:
    content = request if isinstance(request, bytes) else request.content
    return decide_add_checkpoint(content, [LOG_KEY], {ORIGIN: seen}.__getitem__)


def test_a_tree_that_has_grown_is_cosigned() -> None:
    said = answer(REQUEST)
    assert (said.status, said.reason, said.body) == (200, None, b"")
    assert said.state == WitnessState(9, LOG.edge.root_hash)
    assert said.checkpoint == LOG.checkpoint()
    private, key = WITNESSES[0]
    line = cosigned(said.checkpoint, key, 1_790_000_000, private.sign)
    assert [one.witness for one in witnesses_of(LOG.note().with_signatures([line]), [key])] == [key]


def test_the_first_time_nothing_is_to_be_proven() -> None:
    said = answer(AddCheckpoint(0, (), LOG.note().content), WitnessState())
    assert said.status == 200
    said = answer(AddCheckpoint(0, REQUEST.proof, LOG.note().content), WitnessState())
    assert (said.status, said.reason) == (422, "consistency_not_proven")
    empty = AddCheckpoint(0, (), MemoryLog().note().content)
    assert answer(empty, WitnessState()).state == WitnessState(0, EMPTY_ROOT)


def test_the_same_checkpoint_is_cosigned_again() -> None:
    again = AddCheckpoint(9, (), LOG.note(2).content)
    seen = WitnessState(9, LOG.edge.root_hash)
    assert answer(again, seen).state == seen


def test_another_root_at_the_same_size_is_a_conflict() -> None:
    fork = log_of(8)
    fork.append([release(99)])
    said = answer(AddCheckpoint(9, (), fork.note().content), WitnessState(9, LOG.edge.root_hash))
    assert (said.status, said.reason, said.body) == (409, "checkpoint_forked", b"9\n")
    assert said.state is None


def test_an_unknown_log_is_not_found() -> None:
    private, key = key_of(7, "audit.other.vn/2026", LOG_SIGNATURE)
    note = signed_checkpoint(replace(LOG.checkpoint(), origin=key.name), key, private.sign)
    said = answer(replace(REQUEST, note=note.content))
    assert (said.status, said.reason) == (404, "origin_unknown")


def test_what_the_log_did_not_sign_is_forbidden() -> None:
    note = LOG.note(1)
    unsigned = Note(note.text, note.signatures[1:])
    assert (answer(replace(REQUEST, note=unsigned.content)).status) == 403
    stranger, _ = key_of(7, ORIGIN, LOG_SIGNATURE)
    false = replace(note.signatures[0], signature=stranger.sign(note.text.encode()))
    said = answer(replace(REQUEST, note=Note(note.text, (false,)).content))
    assert (said.status, said.reason) == (403, "log_signature_invalid")


def test_an_older_size_beyond_the_checkpoint_is_a_bad_request() -> None:
    said = answer(replace(REQUEST, old_size=10, proof=()), WitnessState(10, bytes(32)))
    assert (said.status, said.reason) == (400, "request_malformed")


@pytest.mark.parametrize("old_size", [0, 4, 6, 9])
def test_an_older_size_that_is_not_the_latest_is_a_conflict_that_tells_it(old_size: int) -> None:
    said = answer(replace(REQUEST, old_size=old_size))
    assert (said.status, said.reason, said.body) == (409, "size_not_latest", b"5\n")
    assert SIZE_TYPE == "text/x.tlog.size"


@pytest.mark.parametrize(
    "proof",
    [
        (),
        REQUEST.proof[:-1],
        (*REQUEST.proof, bytes(32)),
        (bytes(32), *REQUEST.proof[1:]),
        REQUEST.proof[::-1],
    ],
)
def test_a_proof_that_does_not_hold_is_not_processed(proof: tuple[bytes, ...]) -> None:
    said = answer(replace(REQUEST, proof=proof))
    assert (said.status, said.reason, said.state) == (422, "consistency_not_proven", None)


def test_a_log_that_forgot_an_entry_is_not_processed() -> None:
    forked = log_of(4)
    forked.append([release(77) for _ in range(6)])
    request = AddCheckpoint(5, forked.tiles().consistency_proof(5), forked.note().content)
    assert answer(request).status == 422


def test_a_request_is_read_as_it_is_written() -> None:
    assert parse_add_checkpoint(REQUEST.content) == REQUEST
    assert REQUEST.content.startswith(b"old 5\n")
    assert REQUEST.content.split(b"\n\n", 1)[1] == LOG.note().content


def test_the_largest_request_is_still_read() -> None:
    largest = AddCheckpoint(2**63 - 1, (bytes(32),) * 63, b"x" * NOTE_BYTES_MAX)
    assert parse_add_checkpoint(largest.content) == largest


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"old 5\n",
        b"old 5\n\n",
        b"5\n\n" + REQUEST.note,
        REQUEST.content.replace(b"old 5", b"old 05"),
        REQUEST.content.replace(b"old 5", b"old -5"),
        REQUEST.content.replace(b"old 5", b"old  5"),
        REQUEST.content.replace(b"old 5", b"OLD 5"),
        REQUEST.content.replace(b"old 5", b"old 5\r"),
        REQUEST.content.replace(b"old 5", "old ٥".encode()),
        REQUEST.content.replace(b"=\n", b"\n", 1),
        REQUEST.content.replace(b"=\n", b"==\n", 1),
        b"old 5\nAAAA\n\n" + REQUEST.note,
        b"old 5\n" + b"A" * 43 + b"=\n" * 64 + b"\n" + REQUEST.note,
        AddCheckpoint(5, (bytes(32),) * 64, REQUEST.note).content,
        REQUEST.content + b"x" * 200_000,
    ],
)
def test_what_is_not_of_the_form_is_a_bad_request(content: bytes) -> None:
    said = answer(content)
    assert (said.status, said.reason) == (400, "request_malformed")
    with pytest.raises(EvidenceInvalid, match="request_malformed"):
        parse_add_checkpoint(content)


@pytest.mark.parametrize("note", [b"nothing", LOG.note().content + b"\n", LOG.note().content[:-1]])
def test_a_checkpoint_that_is_none_is_a_bad_request(note: bytes) -> None:
    assert answer(replace(REQUEST, note=note)).status == 400


@given(st.binary(max_size=400))
def test_whatever_comes_a_witness_answers(content: bytes) -> None:
    assert answer(content).status == 400


@given(st.integers(0, len(REQUEST.content) - 1), st.integers(0, 7))
def test_no_bit_of_a_request_can_be_turned(at: int, bit: int) -> None:
    content = bytearray(REQUEST.content)
    content[at] ^= 1 << bit
    assert answer(bytes(content)).status in {400, 403, 404, 409, 422}


def test_a_witness_that_follows_sees_every_fork() -> None:
    log, seen = MemoryLog(), WitnessState()
    for count in (1, 3, 0, 252, 1, 300):
        before = log.edge.size
        log.append([release(before + at) for at in range(count)])
        request = AddCheckpoint(seen.tree_size, log.tiles().consistency_proof(before), log.note().content)
        seen = answer(request, seen).state
        assert seen == WitnessState(log.edge.size, log.edge.root_hash)
    lie = Checkpoint(ORIGIN, 600, bytes(32))
    note = signed_checkpoint(lie, LOG_KEY, LOG_PRIVATE.sign)
    assert answer(AddCheckpoint(557, log.tiles().consistency_proof(256), note.content), seen).status == 422
