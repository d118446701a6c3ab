"""Tiles: their names, their widths, bundles of entries, and a log in which something is missing."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.evidence.merkle import SIZE_MAX
from broker.evidence.reasons import EvidenceInvalid
from broker.evidence.tiles import (
    ENTRIES,
    LEVELS,
    Tile,
    bundle_bytes,
    find_entries,
    find_hashes,
    split_bundle,
    tile_at,
    tiles_of,
    width_at,
)
from broker.evidence.tree import LogTiles, RightEdge, grown, grown_bundles, read_edge
from tests.evidence_log import log_of

entries = st.lists(st.binary(max_size=40), min_size=1, max_size=256)


@pytest.mark.parametrize(
    ("tile", "path"),
    [
        (Tile(0, 1234067), "tile/0/x001/x234/067"),
        (Tile(0, 0), "tile/0/000"),
        (Tile(0, 999, 1), "tile/0/999.p/1"),
        (Tile(1, 1000, 255), "tile/1/x001/000.p/255"),
        (Tile(ENTRIES, 1234067, 8), "tile/entries/x001/x234/067.p/8"),
        (Tile(7, 12), "tile/7/012"),
        (Tile(0, 36028797018963967), "tile/0/x036/x028/x797/x018/x963/967"),
    ],
)
def test_a_tile_lies_where_the_specification_says(tile: Tile, path: str) -> None:
    assert tile.path == path
    assert tile_at(path) == tile


@given(st.integers(ENTRIES, LEVELS - 1), st.integers(0, 2**55 - 1), st.integers(1, 256))
def test_each_tile_has_a_place_of_its_own(level: int, index: int, width: int) -> None:
    assert tile_at(Tile(level, index, width).path) == Tile(level, index, width)


@pytest.mark.parametrize(
    "path",
    [
        "",
        "tile/0/0",
        "tile/0/00",
        "tile/0/x000/001",
        "tile/0/001/002",
        "tile/0/x001",
        "tile/0/x001/x002",
        "tile/00/001",
        "tile/8/001",
        "tile/63/001",
        "tile/-1/001",
        "tile/entries/1",
        "tile/0/001.p/0",
        "tile/0/001.p/256",
        "tile/0/001.p/999",
        "tile/0/001.p/01",
        "tile/0/001.p/",
        "tile/0/001.p/1/",
        "/tile/0/001",
        "tile/0/001\n",
        "tile/0/٠٠١",
        "tile/0/../001",
        "checkpoint",
        "tile/0/" + "x001/" * 2000 + "001",
    ],
)
def test_any_other_spelling_is_no_place_of_a_tile(path: str) -> None:
    with pytest.raises(EvidenceInvalid, match="tile_malformed"):
        tile_at(path)


def test_a_tree_has_the_tiles_of_the_specification_s_example() -> None:
    tiles = {level: list(tiles_of(70_000, level)) for level in range(ENTRIES, LEVELS)}
    assert len(tiles[0]) == len(tiles[ENTRIES]) == 274
    assert tiles[0][-1] == Tile(0, 273, 112)
    assert tiles[1] == [Tile(1, 0), Tile(1, 1, 17)]
    assert tiles[2] == [Tile(2, 0, 1)]
    assert [tiles[level] for level in range(3, LEVELS)] == [[]] * 5
    assert [list(tiles_of(256, level)) for level in (0, 1, 2)] == [[Tile(0, 0)], [Tile(1, 0, 1)], []]
    assert list(tiles_of(0, 0)) == []
    assert list(tiles_of(70_000, 0, 272)) == [Tile(0, 272), Tile(0, 273, 112)]
    assert list(tiles_of(70_000, 0, 274)) == []
    assert width_at(0, 273, 70_000) == 112
    assert width_at(0, 274, 70_000) == 0


@pytest.mark.parametrize("size", [-1, SIZE_MAX + 1])
def test_no_tree_has_such_a_size(size: int) -> None:
    with pytest.raises(ValueError, match="no tree"):
        list(tiles_of(size, 0))
    with pytest.raises(ValueError, match="no tree"):
        read_edge(log_of(0).read, size)


@pytest.mark.parametrize(
    ("level", "index", "width"), [(-2, 0, 1), (8, 0, 1), (0, -1, 1), (0, 0, 0), (0, 0, 257)]
)
def test_there_is_no_such_tile(level: int, index: int, width: int) -> None:
    with pytest.raises(ValueError, match="no such tile"):
        Tile(level, index, width)


@given(entries)
def test_a_bundle_is_read_as_it_was_written(held: list[bytes]) -> None:
    content = bundle_bytes(held)
    bundle = Tile(ENTRIES, 0, len(held))
    assert split_bundle(content, bundle) == tuple(held)
    assert len(content) == sum(2 + len(one) for one in held)
    for wrong in (content + b"\0", content[:-1], b""):
        with pytest.raises(EvidenceInvalid, match="bundle_malformed"):
            split_bundle(wrong, bundle)


def test_the_length_of_an_entry_has_sixteen_bits_big_endian() -> None:
    assert bundle_bytes([b"ab", b"", b"c" * 258]) == b"\x00\x02ab\x00\x00\x01\x02" + b"c" * 258
    assert len(bundle_bytes([b"x" * 65_535])) == 65_537
    with pytest.raises(EvidenceInvalid, match="entry_too_long"):
        bundle_bytes([b"x" * 65_536])
    for count in (0, 257):
        with pytest.raises(ValueError, match="1 to 256"):
            bundle_bytes([b""] * count)


def test_a_partial_tile_that_was_deleted_is_read_from_the_full_one() -> None:
    log = log_of(300)
    kept = {path: content for path, content in log.kept.items() if ".p/" not in path}
    partial, bundle = Tile(0, 0, 44), Tile(ENTRIES, 0, 44)
    assert find_hashes(lambda tile: kept.get(tile.path), partial) == tuple(
        log.kept["tile/0/000"][at : at + 32] for at in range(0, 44 * 32, 32)
    )
    assert find_entries(lambda tile: kept.get(tile.path), bundle) == tuple(log.entries[:44])
    assert find_hashes(lambda tile: kept.get(tile.path), Tile(0, 1, 44)) is None
    assert find_entries(lambda tile: kept.get(tile.path), Tile(ENTRIES, 1, 44)) is None


def test_what_is_missing_or_has_another_length_is_named() -> None:
    log = log_of(300)
    kept = dict(log.kept)
    del kept["tile/0/001.p/44"]
    with pytest.raises(EvidenceInvalid, match=r"tile_missing: tile/0/001\.p/44"):
        LogTiles(lambda tile: kept.get(tile.path), 300).root_hash()
    with pytest.raises(EvidenceInvalid, match="tile_missing"):
        read_edge(lambda tile: kept.get(tile.path), 300)
    kept["tile/0/001.p/44"] = bytes(43 * 32)
    with pytest.raises(EvidenceInvalid, match=r"tile_malformed: tile/0/001\.p/44"):
        LogTiles(lambda tile: kept.get(tile.path), 300).inclusion_proof(299)


@pytest.mark.parametrize("index", [-1, 300, 2**63])
def test_there_is_no_proof_beyond_the_tree(index: int) -> None:
    tiles = log_of(300).tiles()
    with pytest.raises(EvidenceInvalid, match="index_beyond_tree"):
        tiles.inclusion_proof(index)
    with pytest.raises(EvidenceInvalid, match="index_beyond_tree"):
        tiles.leaf(index)
    for size in (-1, 301):
        with pytest.raises(EvidenceInvalid, match="index_beyond_tree"):
            tiles.consistency_proof(size)
        with pytest.raises(EvidenceInvalid, match="index_beyond_tree"):
            tiles.root_hash(size)


def test_a_proof_reads_few_tiles_each_once() -> None:
    log = log_of(1100)
    read: list[str] = []

    def counted(tile: Tile) -> bytes | None:
        read.append(tile.path)
        return log.read(tile)

    LogTiles(counted, 1100).inclusion_proof(700)
    assert sorted(read) == ["tile/0/002", "tile/0/004.p/76", "tile/1/000.p/4"]


def test_a_tree_grows_from_what_is_its_own_only() -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        grown(RightEdge(), [b"short"])
    with pytest.raises(ValueError, match="none of a tree of this size"):
        RightEdge(1)
    full = ((bytes(32),) * 255,) * 7
    assert RightEdge(SIZE_MAX, (*full, (bytes(32),) * 127)).size == SIZE_MAX
    for beyond, levels in (
        (-1, (*full, (bytes(32),) * 255)),
        (SIZE_MAX + 1, ((),) * 7 + ((bytes(32),) * 128,)),
    ):
        with pytest.raises(ValueError, match="none of a tree of this size"):
            RightEdge(beyond, levels)
    with pytest.raises(ValueError, match="last bundle"):
        grown_bundles(3, [b"one", b"two"], [b"three"])
    assert grown_bundles(3, [b"one", b"two", b"three"], []) == {}
    assert grown(log_of(3).edge, []).tiles == {}
