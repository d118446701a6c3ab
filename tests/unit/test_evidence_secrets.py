"""Salts and keys of evidence at rest: what was sealed opens there alone, and a changed bit opens nothing."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.oauth.evidence_secrets import (
    EvidenceKeySeal,
    EvidenceSecretUnreadable,
    Salts,
    open_salts,
    seal_salts,
)

KEY, OTHER = bytes([1]) * 32, bytes([2]) * 32
HERE, THERE = bytes([3]) * 16, bytes([4]) * 16
SUBJECT, PAYLOAD = bytes([5]) * 32, bytes([6]) * 32
BOTH: list[Salts] = [(SUBJECT, PAYLOAD), (SUBJECT, None), (None, PAYLOAD)]


@pytest.mark.parametrize("salts", BOTH)
def test_salts_come_back_as_they_were_and_which_there_are_does_not_show(salts: Salts) -> None:
    sealed = seal_salts(KEY, HERE, salts)
    assert sealed is not None
    assert open_salts(KEY, HERE, sealed) == salts
    assert len(sealed) == 12 + 1 + 64 + 16
    assert SUBJECT not in sealed
    assert PAYLOAD not in sealed
    assert seal_salts(KEY, HERE, salts) != sealed, "a nonce is used once"


def test_where_there_are_no_salts_there_is_no_box() -> None:
    assert seal_salts(KEY, HERE, (None, None)) is None


@given(st.integers(0, 12 + 1 + 64 + 16 - 1), st.integers(0, 7))
def test_a_changed_bit_opens_nothing(at: int, bit: int) -> None:
    sealed = bytearray(seal_salts(KEY, HERE, (SUBJECT, PAYLOAD)) or b"")
    sealed[at] ^= 1 << bit
    with pytest.raises(EvidenceSecretUnreadable) as refused:
        open_salts(KEY, HERE, bytes(sealed))
    assert refused.value.detail == "the salts of an entry cannot be decrypted"


@pytest.mark.parametrize(("key", "reference"), [(OTHER, HERE), (KEY, THERE)])
def test_another_key_or_another_entry_opens_nothing(key: bytes, reference: bytes) -> None:
    sealed = seal_salts(KEY, HERE, (SUBJECT, PAYLOAD))
    assert sealed is not None
    with pytest.raises(EvidenceSecretUnreadable):
        open_salts(key, reference, sealed)


@pytest.mark.parametrize("sealed", [b"", b"short", bytes(12), bytes(93)])
def test_what_was_never_sealed_opens_nothing(sealed: bytes) -> None:
    with pytest.raises(EvidenceSecretUnreadable):
        open_salts(KEY, HERE, sealed)
    with pytest.raises(EvidenceSecretUnreadable) as refused:
        EvidenceKeySeal(KEY).open("2026/", sealed)
    assert refused.value.detail == "a key of evidence cannot be decrypted"


def test_a_key_opens_under_its_own_name_and_key_encryption_key_alone() -> None:
    sealed = EvidenceKeySeal(KEY).seal("2026/3f", SUBJECT)
    assert SUBJECT not in sealed
    assert EvidenceKeySeal(KEY).open("2026/3f", sealed) == SUBJECT
    for key, name in ((OTHER, "2026/3f"), (KEY, "2026/3"), (KEY, "2025/3f")):
        with pytest.raises(EvidenceSecretUnreadable):
            EvidenceKeySeal(key).open(name, sealed)
