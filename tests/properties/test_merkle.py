"""The tree against its recursive definition, however it grows; and no proof with one wrong bit is taken."""

from __future__ import annotations

from hashlib import sha256
from typing import Final

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from broker.evidence.merkle import (
    EMPTY_ROOT,
    check_consistency,
    check_inclusion,
    leaf_hash,
    leaf_hashes,
    tree_hash,
)
from broker.evidence.reasons import EvidenceInvalid
from broker.evidence.tiles import ENTRIES, LEVELS, Tile, tiles_of
from broker.evidence.tree import LogTiles, RightEdge, grown, grown_bundles, read_edge
from tests.reference import merkle as twin

MANY: Final = [sha256(b"%d" % at).digest()[: at % 33] for at in range(1200)]
LEAVES: Final = leaf_hashes(MANY)
EDGES: Final = (0, 1, 2, 3, 7, 8, 255, 256, 257, 511, 512, 513, 767, 768, 1023, 1024, 1025, 1200)
sizes = st.sampled_from(EDGES) | st.integers(0, len(MANY))


def tiles_at_once(size: int) -> dict[Tile, bytes]:
    return dict(grown(RightEdge(), LEAVES[:size]).tiles)


EVERY_TILE: Final = {
    tile: content for size in range(len(MANY) + 1) for tile, content in tiles_at_once(size).items()
}
"""A log that published a checkpoint after each entry keeps these."""


def log_tiles(size: int) -> LogTiles:
    return LogTiles(EVERY_TILE.get, size)


@given(sizes)
def test_the_root_is_the_definition_s(size: int) -> None:
    assert tree_hash(LEAVES[:size]) == twin.mth(MANY[:size])


def test_the_roots_of_all_small_trees_are_the_definition_s() -> None:
    for size in range(130):
        assert (
            tree_hash(LEAVES[:size]) == twin.mth(MANY[:size]) == grown(RightEdge(), LEAVES[:size]).root_hash
        )


@settings(max_examples=60)
@given(st.lists(sizes, max_size=6).map(sorted))
@example([1, 256, 257, 512, 1024, 1200])
@example([0, 0, 255, 255, 256])
def test_a_tree_that_grows_is_the_tree_that_was_made_at_once(checkpoints: list[int]) -> None:
    edge = RightEdge()
    kept: dict[Tile, bytes] = {}
    for size in checkpoints:
        growth = grown(edge, LEAVES[edge.size : size])
        kept |= growth.tiles
        edge = growth.edge
        assert edge == grown(RightEdge(), LEAVES[:size]).edge == read_edge(kept.get, size)
        assert growth.root_hash == twin.mth(MANY[:size])
        there = {tile for level in range(LEVELS) for tile in tiles_of(size, level)}
        assert there <= kept.keys(), "every tile of this size is there"
        assert {tile: kept[tile] for tile in there} == tiles_at_once(size)


@settings(max_examples=30)
@given(sizes, sizes)
def test_only_what_is_new_is_written(old: int, new: int) -> None:
    old, new = sorted((old, new))
    growth = grown(grown(RightEdge(), LEAVES[:old]).edge, LEAVES[old:new])
    before = {tile for level in range(LEVELS) for tile in tiles_of(old, level)}
    after = {tile for level in range(LEVELS) for tile in tiles_of(new, level)}
    assert growth.tiles.keys() == after - before


@settings(max_examples=30)
@given(sizes)
def test_tiles_hold_what_their_definition_says(size: int) -> None:
    for tile, content in tiles_at_once(size).items():
        assert content == twin.tile(tile.level, tile.index, tile.width, MANY[:size])


@settings(max_examples=40)
@given(st.lists(sizes, max_size=5).map(sorted))
def test_bundles_that_grow_are_the_bundles_made_at_once(checkpoints: list[int]) -> None:
    kept: dict[Tile, bytes] = {}
    before = 0
    for size in checkpoints:
        written = grown_bundles(before, MANY[before - before % 256 : before], MANY[before:size])
        new = set(tiles_of(size, ENTRIES)) - set(tiles_of(before, ENTRIES))
        assert written.keys() == new
        kept |= written
        before = size
    at_once = grown_bundles(0, (), MANY[:before])
    assert {tile: kept[tile] for tile in tiles_of(before, ENTRIES)} == at_once


@given(sizes.filter(bool), st.data())
def test_a_proof_of_inclusion_from_tiles_is_the_definition_s_and_holds(
    size: int, data: st.DataObject
) -> None:
    index = data.draw(st.integers(0, size - 1))
    tiles = log_tiles(size)
    proof = tiles.inclusion_proof(index)
    assert list(proof) == twin.path(index, MANY[:size])
    assert tiles.leaf(index) == LEAVES[index]
    check_inclusion(LEAVES[index], index, size, proof, tiles.root_hash())


@given(sizes, sizes)
def test_a_proof_of_consistency_from_tiles_is_the_definition_s_and_holds(old: int, new: int) -> None:
    old, new = sorted((old, new))
    tiles = log_tiles(new)
    proof = tiles.consistency_proof(old)
    assert list(proof) == (twin.proof(old, MANY[:new]) if old else [])
    check_consistency(old, new, proof, tiles.root_hash(old), tiles.root_hash())
    assert tiles.root_hash(old) == twin.mth(MANY[:old])


def test_every_proof_of_every_small_tree_is_the_definition_s() -> None:
    for size in range(1, 34):
        tiles = log_tiles(size)
        for index in range(size):
            proof = tiles.inclusion_proof(index)
            assert list(proof) == twin.path(index, MANY[:size])
            check_inclusion(LEAVES[index], index, size, proof, tiles.root_hash())
        for old in range(1, size + 1):
            proof = tiles.consistency_proof(old)
            assert list(proof) == twin.proof(old, MANY[:size])
            check_consistency(old, size, proof, twin.mth(MANY[:old]), twin.mth(MANY[:size]))


def flipped(content: bytes, bit: int) -> bytes:
    changed = bytearray(content)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


@given(st.integers(2, 1200), st.data())
def test_no_bit_of_an_inclusion_can_be_turned(size: int, data: st.DataObject) -> None:
    index = data.draw(st.integers(0, size - 1))
    proof, root = log_tiles(size).inclusion_proof(index), log_tiles(size).root_hash()
    which, bit = data.draw(st.integers(0, len(proof) + 1)), data.draw(st.integers(0, 255))
    hashes = [LEAVES[index], root, *proof]
    hashes[which] = flipped(hashes[which], bit)
    with pytest.raises(EvidenceInvalid, match="inclusion_not_proven"):
        check_inclusion(hashes[0], index, size, hashes[2:], hashes[1])


@given(st.integers(2, 1200), st.data())
def test_no_other_entry_and_no_other_index_fits_a_proof(size: int, data: st.DataObject) -> None:
    index = data.draw(st.integers(0, size - 1))
    other = data.draw(st.integers(0, size - 1).filter(lambda at: at != index))
    proof, root = log_tiles(size).inclusion_proof(index), log_tiles(size).root_hash()
    with pytest.raises(EvidenceInvalid, match="inclusion_not_proven"):
        check_inclusion(LEAVES[index], other, size, proof, root)
    with pytest.raises(EvidenceInvalid, match="inclusion_not_proven"):
        check_inclusion(leaf_hash(MANY[index] + b"\0"), index, size, proof, root)
    with pytest.raises(EvidenceInvalid, match="inclusion_not_proven"):
        check_inclusion(LEAVES[index], index, size, proof[:-1], root)
    with pytest.raises(EvidenceInvalid, match="inclusion_not_proven"):
        check_inclusion(LEAVES[index], index, size, [*proof, root], root)


@given(st.integers(1, 1199), st.data())
def test_no_bit_of_a_consistency_can_be_turned(old: int, data: st.DataObject) -> None:
    new = data.draw(st.integers(old + 1, 1200))
    tiles = log_tiles(new)
    hashes = [tiles.root_hash(old), tiles.root_hash(), *tiles.consistency_proof(old)]
    which, bit = data.draw(st.integers(0, len(hashes) - 1)), data.draw(st.integers(0, 255))
    hashes[which] = flipped(hashes[which], bit)
    with pytest.raises(EvidenceInvalid, match="consistency_not_proven"):
        check_consistency(old, new, hashes[2:], hashes[0], hashes[1])


@given(st.integers(1, 1198), st.data())
def test_a_consistency_of_another_older_size_is_refused(old: int, data: st.DataObject) -> None:
    new = data.draw(st.integers(old + 1, 1200))
    other = data.draw(st.integers(1, new).filter(lambda size: size != old))
    tiles = log_tiles(new)
    with pytest.raises(EvidenceInvalid, match="consistency_not_proven"):
        check_consistency(other, new, tiles.consistency_proof(old), tiles.root_hash(old), tiles.root_hash())


@given(
    st.one_of(st.integers(-3, 20), st.integers(2**62, 2**64)),
    st.one_of(st.integers(-3, 20), st.integers(2**62, 2**64)),
    st.lists(st.binary(min_size=32, max_size=32) | st.binary(max_size=40), max_size=70),
    st.binary(min_size=32, max_size=32),
    st.binary(min_size=31, max_size=33),
)
def test_whatever_is_handed_over_only_the_one_error_is_raised(
    first: int, second: int, proof: list[bytes], one: bytes, other: bytes
) -> None:
    with pytest.raises(EvidenceInvalid):
        check_inclusion(one, first, second, proof, other)
    if (first, proof) != (0, []) and first != second:
        with pytest.raises(EvidenceInvalid):
            check_consistency(first, second, proof, one, other)


def test_from_nothing_everything_grows_and_nothing_needs_a_proof() -> None:
    root = LogTiles(EVERY_TILE.get, 8).root_hash()
    check_consistency(0, 8, (), EMPTY_ROOT, root)
    check_consistency(0, 0, (), EMPTY_ROOT, EMPTY_ROOT)
    for old, new, proof, before in [
        (0, 8, (root,), EMPTY_ROOT),
        (0, 8, (), root),
        (8, 8, (root,), root),
        (8, 8, (), EMPTY_ROOT),
        (8, 4, (), root),
        (4, 8, (), root),
        (6, 8, (), root),
    ]:
        with pytest.raises(EvidenceInvalid, match="consistency_not_proven"):
            check_consistency(old, new, proof, before, root)


def test_no_proof_is_longer_than_a_tree_is_high() -> None:
    one = bytes(32)
    check = "proof_malformed: there are more hashes than any tree needs"
    with pytest.raises(EvidenceInvalid, match=check):
        check_inclusion(one, 0, 2**63 - 1, [one] * 64, one)
    with pytest.raises(EvidenceInvalid, match=check):
        check_consistency(1, 2**63 - 1, [one] * 64, one, one)
    with pytest.raises(EvidenceInvalid, match="inclusion_not_proven"):
        check_inclusion(one, 0, 2**63 - 1, [one] * 63, one)
    for index in (True, -1, 2**63):
        with pytest.raises(EvidenceInvalid, match="proof_malformed: sizes and indices are numbers"):
            check_inclusion(one, index, 2, [one], one)
    for size in (0, 1, 5):
        with pytest.raises(EvidenceInvalid, match="index_beyond_tree"):
            check_inclusion(one, 5, size, [], one)


@pytest.mark.slow
def test_a_tree_of_three_levels_of_tiles_grows_over_their_edges() -> None:
    many = [b"%d" % at for at in range(65_536 + 300)]
    leaves = leaf_hashes(many)
    edge, kept = RightEdge(), dict[Tile, bytes]()
    for size in (65_000, 65_535, 65_536, 65_537, 65_836):
        growth = grown(edge, leaves[edge.size : size])
        kept |= growth.tiles
        edge = growth.edge
        assert growth.root_hash == tree_hash(leaves[:size]) == twin.mth(many[:size])
        assert edge == read_edge(kept.get, size) == grown(RightEdge(), leaves[:size]).edge
    assert {tile.path for tile in tiles_of(65_836, 1)} == {"tile/1/000", "tile/1/001.p/1"}
    assert {tile.path for tile in tiles_of(65_836, 2)} == {"tile/2/000.p/1"}
    tiles = LogTiles(kept.get, 65_836)
    assert tiles.root_hash() == edge.root_hash
    for index in (0, 65_535, 65_536, 65_835):
        proof = tiles.inclusion_proof(index)
        assert list(proof) == twin.path(index, many)
        check_inclusion(leaves[index], index, 65_836, proof, edge.root_hash)
    for old in (1, 65_000, 65_535, 65_536, 65_537):
        proof = tiles.consistency_proof(old)
        assert list(proof) == twin.proof(old, many)
        check_consistency(old, 65_836, proof, tiles.root_hash(old), edge.root_hash)
