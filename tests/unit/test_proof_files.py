"""Proof files: written, read, and held against entry, log and witnesses."""

from __future__ import annotations

from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.evidence.proof_file import ProofFile, check_proof_file, parse_proof_file
from broker.evidence.reasons import EvidenceInvalid
from broker.evidence.signed_note import LOG_SIGNATURE
from tests.evidence_entries import release
from tests.evidence_log import LOG_KEY, ORIGIN, WITNESS_KEYS, key_of, log_of

LOG: Final = log_of(300)
PROOF: Final = LOG.proof_file(270, 2)
HELD: Final = parse_proof_file(PROOF)


def test_a_proof_file_has_the_lines_of_its_specification() -> None:
    head, _, note = PROOF.decode().partition("\n\n")
    lines = head.split("\n")
    assert lines[:2] == ["c2sp.org/tlog-proof@v1", "index 270"]
    assert len(lines[2:]) == len(LOG.tiles().inclusion_proof(270))
    assert all(len(one) == 44 for one in lines[2:])
    assert note.encode() == LOG.note(2).content


def test_the_extra_line_stands_second_and_only_where_there_is_one() -> None:
    with_extra = ProofFile(270, HELD.inclusion_proof, HELD.note, b"more")
    assert with_extra.content.split(b"\n")[1] == b"extra bW9yZQ=="
    assert parse_proof_file(with_extra.content) == with_extra
    assert ProofFile(270, HELD.inclusion_proof, HELD.note, b"").content == PROOF


@pytest.mark.parametrize("size", [1, 2, 3, 255, 256, 257, 300])
def test_a_proof_of_each_entry_holds(size: int) -> None:
    log = log_of(size)
    for index in {0, 1, size // 2, size - 1} & set(range(size)):
        proof = parse_proof_file(log.proof_file(index, 3))
        found = check_proof_file(proof, release(index), [LOG_KEY], WITNESS_KEYS, 3)
        assert (found.leaf_index, found.checkpoint) == (index, log.checkpoint())
        assert [one.witness for one in found.witnesses] == WITNESS_KEYS


def test_the_only_entry_needs_no_hashes() -> None:
    proof = log_of(1).proof_file(0)
    assert proof.startswith(b"c2sp.org/tlog-proof@v1\nindex 0\n\naudit.")
    assert parse_proof_file(proof).inclusion_proof == ()


@pytest.mark.parametrize(
    ("entry", "keys", "needed", "reason"),
    [
        (release(271), {}, 0, "inclusion_not_proven"),
        (release(270) + b" ", {}, 0, "inclusion_not_proven"),
        (release(270), {"log_keys": []}, 0, "origin_unknown"),
        (release(270), {"log_keys": [key_of(9, ORIGIN, LOG_SIGNATURE)[1]]}, 0, "checkpoint_unsigned"),
        (release(270), {"log_keys": WITNESS_KEYS}, 0, "origin_unknown"),
        (release(270), {}, 3, "witnesses_missing"),
        (release(270), {"witness_keys": []}, 1, "witnesses_missing"),
    ],
)
def test_what_is_not_proven_is_refused(entry: bytes, keys: dict[str, Any], needed: int, reason: str) -> None:
    asked = {"log_keys": [LOG_KEY], "witness_keys": WITNESS_KEYS, **keys}
    with pytest.raises(EvidenceInvalid) as refused:
        check_proof_file(HELD, entry, witnesses_needed=needed, **asked)
    assert refused.value.reason == reason


def test_an_index_beyond_the_tree_is_named() -> None:
    with pytest.raises(EvidenceInvalid, match="index_beyond_tree"):
        check_proof_file(ProofFile(300, HELD.inclusion_proof, HELD.note), release(270), [LOG_KEY])


@pytest.mark.parametrize(
    "content",
    [
        b"",
        PROOF.replace(b"@v1", b"@v2"),
        PROOF.replace(b"c2sp", b" c2sp"),
        PROOF.replace(b"index 270", b"index 0270"),
        PROOF.replace(b"index 270", b"index -1"),
        PROOF.replace(b"index 270\n", b""),
        PROOF.replace(b"index 270", b"index 270\nindex 270"),
        PROOF.replace(b"index 270", b"index 270\nextra bW9yZQ=="),
        PROOF.replace(b"index 270", b"extra \nindex 270"),
        PROOF.replace(b"index 270", b"extra bW9yZQ\nindex 270"),
        PROOF.replace(b"index 270", b"index 270\r"),
        PROOF.replace(b"index 270", "index ٢٧٠".encode()),
        PROOF.replace(b"index 270", f"index {2**63}".encode()),
        PROOF.replace(b"=\n", b"\n", 1),
        PROOF.replace(b"index 270", b"index 270\nAAAA"),
        PROOF.replace(b"\n\n", b"\n"),
        ProofFile(270, (bytes(32),) * 64, HELD.note).content,
        ProofFile(270, (), HELD.note, bytes(65_537)).content,
        PROOF + bytes(200_000),
    ],
)
def test_what_is_not_of_the_form_is_no_proof(content: bytes) -> None:
    with pytest.raises(EvidenceInvalid, match="proof_malformed"):
        parse_proof_file(content)


def test_the_largest_of_each_is_still_read() -> None:
    largest = ProofFile(2**63 - 1, (bytes(32),) * 63, HELD.note, bytes(65_536))
    assert parse_proof_file(largest.content) == largest


@given(st.binary(max_size=300))
def test_whatever_comes_only_the_one_error_is_raised(content: bytes) -> None:
    with pytest.raises(EvidenceInvalid, match="proof_malformed"):
        parse_proof_file(content)


@given(st.integers(0, len(PROOF) - 1), st.integers(0, 7))
def test_no_bit_of_a_proof_file_can_be_turned(at: int, bit: int) -> None:
    content = bytearray(PROOF)
    content[at] ^= 1 << bit
    with pytest.raises(EvidenceInvalid):
        check_proof_file(parse_proof_file(bytes(content)), release(270), [LOG_KEY], WITNESS_KEYS, 2)


@given(st.data())
def test_no_bit_of_an_entry_can_be_turned(data: st.DataObject) -> None:
    entry = bytearray(release(270))
    entry[data.draw(st.integers(0, len(entry) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    with pytest.raises(EvidenceInvalid, match="inclusion_not_proven"):
        check_proof_file(HELD, bytes(entry), [LOG_KEY])
