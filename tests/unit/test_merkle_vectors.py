"""The vectors that certificate transparency's implementations share: eight leaves, their roots and proofs."""

from __future__ import annotations

from typing import Final

import pytest

from broker.evidence.merkle import EMPTY_ROOT, check_consistency, check_inclusion, leaf_hashes, tree_hash
from broker.evidence.tiles import TileReader
from broker.evidence.tree import LogTiles, RightEdge, grown
from tests.reference import merkle as twin

# github.com/transparency-dev/merkle, testonly/constants.go and reference_test.go.
LEAVES: Final = [
    bytes.fromhex(one)
    for one in (
        "",
        "00",
        "10",
        "2021",
        "3031",
        "40414243",
        "5051525354555657",
        "606162636465666768696a6b6c6d6e6f",
    )
]
LEAF_HASHES: Final = (
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
    "0298d122906dcfc10892cb53a73992fc5b9f493ea4c9badb27b791b4127a7fe7",
    "07506a85fd9dd2f120eb694f86011e5bb4662e5c415a62917033d4a9624487e7",
    "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
    "4271a26be0d8a84f0bd54c8c302e7cb3a3b5d1fa6780a40bcce2873477dab658",
    "b08693ec2e721597130641e8211e7eedccb4c26413963eee6c1e2ed16ffb1a5f",
    "46f6ffadd3d06a09ff3c5860d2755c8b9819db7df44251788c7d8e3180de8eb1",
)
ROOTS: Final = (
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
)
# Nodes above the leaves that the proofs speak of, by the leaves below them.
N01, N23, N45, N67 = (
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
    "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
    "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
)
N0123, N4567 = ROOTS[4], "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4"
INCLUSIONS: Final = [
    (0, 1, ()),
    (0, 2, (LEAF_HASHES[1],)),
    (1, 2, (LEAF_HASHES[0],)),
    (2, 3, (N01,)),
    (1, 5, (LEAF_HASHES[0], N23, LEAF_HASHES[4])),
    (0, 8, (LEAF_HASHES[1], N23, N4567)),
    (5, 8, (LEAF_HASHES[4], N67, N0123)),
]
CONSISTENCIES: Final = [
    (1, 1, ()),
    (1, 8, (LEAF_HASHES[1], N23, N4567)),
    (2, 5, (N23, LEAF_HASHES[4])),
    (6, 8, (N45, N67, N0123)),
]


def reader(size: int) -> TileReader:
    return grown(RightEdge(), leaf_hashes(LEAVES[:size])).tiles.get


def test_leaf_hashes_and_roots_are_the_published_ones() -> None:
    assert [one.hex() for one in leaf_hashes(LEAVES)] == list(LEAF_HASHES)
    assert ROOTS[0] == EMPTY_ROOT.hex()
    for size, root in enumerate(ROOTS):
        assert tree_hash(leaf_hashes(LEAVES[:size])).hex() == root
        assert LogTiles(reader(size), size).root_hash().hex() == root
        assert twin.mth(LEAVES[:size]).hex() == root, "and so are the twin's"


@pytest.mark.parametrize(("index", "size", "proof"), INCLUSIONS)
def test_proofs_of_inclusion_are_the_published_ones(index: int, size: int, proof: tuple[str, ...]) -> None:
    found = LogTiles(reader(size), size).inclusion_proof(index)
    assert tuple(one.hex() for one in found) == proof
    assert tuple(one.hex() for one in twin.path(index, LEAVES[:size])) == proof
    check_inclusion(leaf_hashes(LEAVES)[index], index, size, found, bytes.fromhex(ROOTS[size]))


@pytest.mark.parametrize(("old", "new", "proof"), CONSISTENCIES)
def test_proofs_of_consistency_are_the_published_ones(old: int, new: int, proof: tuple[str, ...]) -> None:
    found = LogTiles(reader(new), new).consistency_proof(old)
    assert tuple(one.hex() for one in found) == proof
    assert tuple(one.hex() for one in twin.proof(old, LEAVES[:new])) == proof
    check_consistency(old, new, found, bytes.fromhex(ROOTS[old]), bytes.fromhex(ROOTS[new]))
