"""SCITT's verifier (PyPI scitt-cose, RFC 9162 proofs) takes our proofs and roots, and refuses bent ones."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import cbor2
import pytest
import scitt_cose  # type: ignore[import-untyped]
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from scitt_cose.receipt import HDR_VDP, HDR_VDS  # type: ignore[import-untyped]

from broker.evidence.proof_file import parse_proof_file
from tests.evidence_log import LOG_PRIVATE, MemoryLog, log_of

SIZES: Final = (1, 2, 3, 7, 255, 256, 257, 300)
LOGS: Final = {size: log_of(size) for size in SIZES}
LOG: Final = LOGS[300]


def hexes(hashes: tuple[bytes, ...]) -> list[str]:
    return [one.hex() for one in hashes]


def indexes(size: int) -> list[int]:
    return sorted({0, size // 2, size - 1})


@pytest.mark.parametrize("size", SIZES)
def test_our_root_is_theirs(size: int) -> None:
    log = LOGS[size]
    assert scitt_cose.merkle_root([entry.hex() for entry in log.entries]) == log.edge.root_hash.hex()


@pytest.mark.parametrize("size", SIZES)
def test_they_take_our_proof_files(size: int) -> None:
    log = LOGS[size]
    for index in indexes(size):
        held = parse_proof_file(log.proof_file(index))
        path, root = hexes(tuple(held.inclusion_proof)), log.edge.root_hash.hex()
        entry = log.entries[index].hex()
        assert scitt_cose.verify_inclusion(entry, held.leaf_index, size, path, root)
        other = log.entries[index].replace(b"desk-", b"desk=").hex()
        assert not scitt_cose.verify_inclusion(other, index, size, path, root)
        assert not scitt_cose.verify_inclusion(entry, index, size, path, bytes(32).hex())
        assert not scitt_cose.verify_inclusion(entry, index, size, [*path, root], root)
        if path:
            assert not scitt_cose.verify_inclusion(entry, index, size, path[:-1], root)
            assert not scitt_cose.verify_inclusion(entry, index, size, [*path[:-1], bytes(32).hex()], root)


@pytest.mark.parametrize("size", [size for size in SIZES if size < 300])
def test_they_take_our_proofs_of_consistency(size: int) -> None:
    old, new = LOGS[size].edge.root_hash.hex(), LOG.edge.root_hash.hex()
    proof = hexes(LOG.tiles().consistency_proof(size))
    assert scitt_cose.verify_consistency(old, new, size, 300, proof)
    assert not scitt_cose.verify_consistency(bytes(32).hex(), new, size, 300, proof)
    assert not scitt_cose.verify_consistency(old, bytes(32).hex(), size, 300, proof)
    assert not scitt_cose.verify_consistency(old, new, size, 300, proof[:-1])
    assert not scitt_cose.verify_consistency(old, new, size, 300, [*proof[:-1], bytes(32).hex()])


class TestReceipts:
    """A COSE receipt (RFC 9942) with a proof from our tiles, signed by the log's key over the same root.

    The broker issues none: that the same proof and the same key do in COSE shows that one could be added.
    """

    PEM: Final = LOG_PRIVATE.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)

    def receipt(self, log: MemoryLog, index: int) -> bytes:
        proof = cbor2.dumps([log.edge.size, index, list(log.tiles().inclusion_proof(index))])
        protected = cbor2.dumps({1: -8, HDR_VDS: 1})
        signed = cbor2.dumps(["Signature1", protected, b"", log.edge.root_hash])
        signature = LOG_PRIVATE.sign(signed)
        return cbor2.dumps(cbor2.CBORTag(18, [protected, {HDR_VDP: {-1: [proof]}}, None, signature]))

    def verified(self, receipt: bytes, entry: bytes) -> bool:
        told = scitt_cose.verify_receipt(receipt, leaf_entry_hex=entry.hex(), log_public_key_pem=self.PEM)
        return bool(told.ok)

    def test_an_entry_is_confirmed_and_another_one_is_not(self) -> None:
        for index in (0, 255, 256, 299):
            receipt = self.receipt(LOG, index)
            assert self.verified(receipt, LOG.entries[index])
            assert not self.verified(receipt, LOG.entries[index - 1])

    @pytest.mark.parametrize(
        "bend",
        [lambda one: one[:-1] + bytes([one[-1] ^ 1]), lambda one: one + b"\x00", lambda _: b""],
        ids=["signature", "longer", "empty"],
    )
    def test_a_bent_receipt_confirms_nothing(self, bend: Callable[[bytes], bytes]) -> None:
        assert not self.verified(bend(self.receipt(LOG, 270)), LOG.entries[270])
