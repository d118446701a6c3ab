"""Under which checkpoint an entry is proven, when keys of the log come and go."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pytest

from broker.actions.published_log import PublishedLog
from broker.errors import CheckpointWithdrawn
from broker.evidence.checkpoint import signed_checkpoint
from broker.evidence.cosignature import cosigned
from broker.evidence.proof_file import check_proof_file
from broker.evidence.reasons import EvidenceInvalid
from broker.evidence.signed_note import LOG_SIGNATURE
from broker.evidence.tiles import Tile
from tests.evidence_entries import reference, release
from tests.evidence_log import LOG_KEY, LOG_PRIVATE, ORIGIN, WITNESSES, MemoryLog, key_of, log_of

NEXT_PRIVATE, NEXT_KEY = key_of(2, ORIGIN, LOG_SIGNATURE)
YEAR = 2026


@dataclass
class Published:
    """A log in memory, with what is published of it."""

    log: MemoryLog
    note: bytes
    cosigned: bytes | None = None

    def read(self, tile: Tile) -> bytes | None:
        return self.log.read(tile)

    def checkpoint(self) -> bytes | None:
        return self.note

    def witnessed(self) -> bytes | None:
        return self.cosigned

    def find(self, one: str) -> tuple[int, int] | None:
        assert one == reference(1)
        return YEAR, 1


class Stamps:
    """Time stamps, for which no proof asks."""

    def newest(self) -> bytes | None:
        raise AssertionError

    def note(self, tree_size: int) -> bytes | None:
        raise AssertionError(tree_size)

    def token(self, tree_size: int) -> bytes | None:
        raise AssertionError(tree_size)


def signed_by_next(log: MemoryLog) -> bytes:
    return signed_checkpoint(log.checkpoint(), NEXT_KEY, NEXT_PRIVATE.sign).content


def with_keys(published: Published, *keys: bytes) -> PublishedLog:
    def public_keys() -> Sequence[bytes]:
        return keys

    return PublishedLog("broker.example.vn", lambda _: published, lambda _: Stamps(), published, public_keys)


def test_what_only_a_withdrawn_key_signed_proves_nothing_for_now() -> None:
    log = log_of(5)
    published = Published(log, log.note().content, log.note(2).content)
    assert with_keys(published, LOG_KEY.public_key).prove(reference(1), release(1)) is not None
    for keys in ((NEXT_KEY.public_key,), ()):
        with pytest.raises(CheckpointWithdrawn) as waits:
            with_keys(published, *keys).prove(reference(1), release(1))
        assert waits.value.retry_after_seconds == 30


def test_a_newer_checkpoint_under_the_successor_proves_what_older_ones_held() -> None:
    log = log_of(5)
    cosigned_before = log.note(2).content
    log.append([release(at) for at in range(5, 9)])
    published = Published(log, signed_by_next(log), cosigned_before)
    evidence = with_keys(published, NEXT_KEY.public_key).prove(reference(1), release(1))
    assert evidence is not None
    assert evidence.checkpoint.tree_size == 9
    assert evidence.keys == (NEXT_KEY,)
    check_proof_file(evidence.proof, release(1), [NEXT_KEY])
    # Where both keys count, what witnesses cosigned is still the better proof.
    both = with_keys(published, LOG_KEY.public_key, NEXT_KEY.public_key).prove(reference(1), release(1))
    assert both is not None
    assert both.checkpoint.tree_size == 5


def test_a_line_in_the_name_of_a_key_that_is_not_its_own_is_no_matter_of_waiting() -> None:
    log = log_of(5)
    other = log_of(6)
    forged = signed_checkpoint(other.checkpoint(), NEXT_KEY, NEXT_PRIVATE.sign).signatures[0]
    content = (log.checkpoint().text + "\n" + forged.line).encode()
    with pytest.raises(EvidenceInvalid, match="log_signature_invalid"):
        with_keys(Published(log, content), NEXT_KEY.public_key).prove(reference(1), release(1))


def test_a_cosigned_checkpoint_under_the_successor_is_shown_again() -> None:
    log = log_of(5)
    own, witness = WITNESSES[0]
    line = cosigned(log.checkpoint(), witness, 7, own.sign)
    note = signed_checkpoint(log.checkpoint(), NEXT_KEY, NEXT_PRIVATE.sign)
    published = Published(log, note.content, note.with_signatures([line]).content)
    evidence = with_keys(published, NEXT_KEY.public_key).prove(reference(1), release(1))
    assert evidence is not None
    assert evidence.proof.note == published.cosigned
    assert LOG_PRIVATE.public_key().public_bytes_raw() not in [key.public_key for key in evidence.keys]
