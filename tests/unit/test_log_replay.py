"""A replay finds every fault in a log, says where it is, and finds nothing in a log without one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from broker.evidence.checkpoint import Checkpoint
from broker.evidence.log_replay import Finding, Step, check_written, replayed
from broker.evidence.merkle import EMPTY_ROOT, leaf_hash
from broker.evidence.reasons import EvidenceInvalid
from broker.evidence.resuming import check_begins, edge_of
from broker.evidence.tree import RightEdge, read_edge
from tests.evidence_entries import one_of_each_kind, release
from tests.evidence_log import MemoryLog

SIZES: Final = (1, 200, 256, 300, 512, 600)


def grown_log() -> tuple[MemoryLog, list[Checkpoint]]:
    """Return a log that published checkpoints while it grew to 600 entries, and these."""
    log = MemoryLog()
    checkpoints = [log.checkpoint()]
    checkpoints += [log.append([release(at) for at in range(log.edge.size, size)]) for size in SIZES]
    return log, checkpoints


LOG, CHECKPOINTS = grown_log()


def steps(
    kept: dict[str, bytes], checkpoint: Checkpoint = CHECKPOINTS[-1], others: Sequence[Checkpoint] = ()
) -> list[Step]:
    return list(replayed(lambda tile: kept.get(tile.path), checkpoint, others))


def findings(
    kept: dict[str, bytes], checkpoint: Checkpoint = CHECKPOINTS[-1], others: Sequence[Checkpoint] = ()
) -> list[Finding]:
    return [found for step in steps(kept, checkpoint, others) for found in step.findings]


def changed(path: str, change: Callable[[bytes], bytes]) -> dict[str, bytes]:
    return {**LOG.kept, path: change(LOG.kept[path])}


def flipped_at(at: int) -> Callable[[bytes], bytes]:
    return lambda content: content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :]


def without(*paths: str) -> dict[str, bytes]:
    return {path: content for path, content in LOG.kept.items() if path not in paths}


def test_a_faultless_log_has_no_findings_and_the_root_of_its_checkpoint() -> None:
    told = steps(LOG.kept, others=CHECKPOINTS)
    assert [one.findings for one in told] == [()] * 4
    assert [one.entry_count for one in told] == [256, 512, 600, 600]
    assert [one.is_last for one in told] == [False, False, False, True]
    assert told[-1].root_hash == CHECKPOINTS[-1].root_hash
    assert {one.root_hash for one in told[:-1]} == {None}


@pytest.mark.parametrize("checkpoint", CHECKPOINTS, ids=lambda one: str(one.tree_size))
def test_every_checkpoint_of_the_past_can_be_replayed_from_the_same_files(checkpoint: Checkpoint) -> None:
    told = steps(LOG.kept, checkpoint)
    assert [one.findings for one in told if one.findings] == []
    assert told[-1].root_hash == checkpoint.root_hash


def test_an_empty_log_is_faultless() -> None:
    [only] = steps({}, MemoryLog().checkpoint())
    assert (only.entry_count, only.findings, only.is_last, only.root_hash) == (0, (), True, EMPTY_ROOT)


def test_entries_of_each_kind_are_read() -> None:
    log = MemoryLog()
    log.append(list(one_of_each_kind().values()))
    assert findings(log.kept, log.checkpoint()) == []


@pytest.mark.parametrize(
    ("entry", "reason"),
    [
        (b'{"kind":"rumour"}', "entry_kind_unknown"),
        (b"{}", "entry_kind_unknown"),
        (b'{"kind":"release"}', "entry_schema"),
        (b"not JSON", "entry_not_canonical"),
        (b"[1]", "entry_not_canonical"),
        (b" " + release(1), "entry_not_canonical"),
        (release(1).replace(b'"schema":1', b'"schema":true'), "entry_schema"),
    ],
)
def test_an_entry_that_is_none_is_named_by_its_index_though_the_tree_holds(entry: bytes, reason: str) -> None:
    log = MemoryLog()
    log.append([release(0), entry, release(2)])
    [found] = findings(log.kept, log.checkpoint())
    assert (found.reason, found.place, found.number) == (reason, "tile/entries/000.p/3", 1)


def test_a_changed_entry_speaks_against_tile_and_root() -> None:
    bundle = LOG.kept["tile/entries/001"]
    kept = {**LOG.kept, "tile/entries/001": bundle.replace(b'"desk-300"', b'"desk-399"')}
    assert [(one.reason, one.place, one.detail) for one in findings(kept)] == [
        ("tile_differs", "tile/0/001", "hash 44"),
        ("tile_differs", "tile/1/000.p/2", "hash 1"),
        ("root_differs", CHECKPOINTS[-1].origin, ""),
    ]


def test_an_entry_changed_with_its_tiles_speaks_against_the_checkpoints_after_it() -> None:
    forged = MemoryLog()
    for size in SIZES:
        forged.append([release(at if at != 299 else 999) for at in range(forged.edge.size, size)])
    found = findings(forged.kept, others=CHECKPOINTS)
    assert [(one.reason, one.number) for one in found] == [
        ("checkpoint_forked", 300),
        ("checkpoint_forked", 512),
        ("checkpoint_forked", 600),
        ("root_differs", 600),
    ]


@pytest.mark.parametrize("path", ["tile/0/000", "tile/0/001", "tile/0/002.p/88", "tile/1/000.p/2"])
def test_one_turned_bit_in_a_tile_of_any_level_is_found(path: str) -> None:
    assert findings(changed(path, flipped_at(33))) == [Finding("tile_differs", path, None, "hash 1")]


@settings(max_examples=60)
@given(st.data())
def test_no_bit_of_any_file_can_be_turned(data: st.DataObject) -> None:
    # Partial tiles that were replaced by wider ones are not read any more.
    path = data.draw(
        st.sampled_from(
            [
                *("tile/0/000", "tile/0/001", "tile/0/002.p/88", "tile/1/000.p/2"),
                *("tile/entries/000", "tile/entries/001", "tile/entries/002.p/88"),
            ]
        )
    )
    kept = changed(path, flipped_at(data.draw(st.integers(0, len(LOG.kept[path]) - 1))))
    assert findings(kept) != []


@pytest.mark.parametrize(
    "change", [lambda held: held[:-1], lambda held: held + b"\0" * 32, lambda held: held[:0]]
)
def test_a_tile_of_another_length_is_named_and_the_replay_goes_on(change: Callable[[bytes], bytes]) -> None:
    told = steps(changed("tile/0/001", change))
    assert [one.reason for step in told for one in step.findings] == ["tile_malformed"]
    assert told[-1].root_hash == CHECKPOINTS[-1].root_hash


def test_a_bundle_that_is_missing_or_broken_is_named_and_the_tree_still_proven() -> None:
    told = steps(without("tile/entries/001"))
    assert [found for step in told for found in step.findings] == [
        Finding("bundle_missing", "tile/entries/001")
    ]
    assert told[-1].root_hash == CHECKPOINTS[-1].root_hash
    [found] = findings(changed("tile/entries/001", lambda held: held[:-1]))
    assert (found.reason, found.place) == ("bundle_malformed", "tile/entries/001")


def test_a_tile_that_is_missing_is_named_and_the_tree_still_proven() -> None:
    for path in ("tile/0/001", "tile/1/000.p/2"):
        told = steps(without(path))
        assert [found for step in told for found in step.findings] == [Finding("tile_missing", path)]
        assert told[-1].root_hash == CHECKPOINTS[-1].root_hash


def test_behind_a_gap_entries_are_read_and_no_root_is_claimed() -> None:
    kept = without("tile/0/000", "tile/entries/000")
    kept["tile/entries/002.p/88"] = kept["tile/entries/002.p/88"].replace(b'"release"', b'"rumour!"', 1)
    told = steps(kept, others=CHECKPOINTS)
    assert [found.reason for step in told for found in step.findings] == [
        "tile_missing",
        "bundle_missing",
        "entry_kind_unknown",
        "tile_differs",
    ]
    assert (told[-1].is_last, told[-1].root_hash, told[-1].entry_count) == (True, None, 600)


def test_a_log_that_ends_early_is_found() -> None:
    beyond = Checkpoint(CHECKPOINTS[-1].origin, 700, bytes(32))
    reasons = {one.reason for one in findings(LOG.kept, beyond)}
    assert {"tile_missing", "bundle_missing"} <= reasons
    [found] = findings(LOG.kept, others=[beyond])
    assert (found.reason, found.number) == ("checkpoint_beyond_log", 700)


def test_a_checkpoint_that_the_log_never_had_is_a_fork() -> None:
    fork = replace(CHECKPOINTS[4], root_hash=bytes(32))
    assert [(one.reason, one.number) for one in findings(LOG.kept, others=[*CHECKPOINTS, fork])] == [
        ("checkpoint_forked", 300)
    ]


def test_checkpoints_of_another_shard_are_told_apart() -> None:
    other = replace(CHECKPOINTS[4], origin="audit.broker.example.vn/2025")
    [found] = findings(LOG.kept, others=[other])
    assert (found.reason, found.place) == ("origin_unknown", "audit.broker.example.vn/2025")


@settings(max_examples=25)
@given(st.lists(st.integers(0, 600), max_size=6))
def test_whichever_checkpoints_somebody_kept_they_are_compared(sizes: list[int]) -> None:
    tiles = LOG.tiles()
    kept = [replace(CHECKPOINTS[-1], tree_size=size, root_hash=tiles.root_hash(size)) for size in sizes]
    assert findings(LOG.kept, others=kept) == []
    lies = [replace(one, root_hash=leaf_hash(one.root_hash)) for one in kept if one.tree_size]
    found = findings(LOG.kept, others=lies)
    assert [one.number for one in found] == sorted({one.tree_size for one in lies})


class TestGoingOn:
    """A replay from a tree that somebody has replayed before: what is new is read, all of it."""

    @staticmethod
    def findings(since: int, kept: dict[str, bytes], others: Sequence[Checkpoint] = ()) -> list[Finding]:
        edge = read_edge(LOG.read, since)
        told = replayed(lambda tile: kept.get(tile.path), CHECKPOINTS[-1], others, edge)
        return [found for step in told for found in step.findings]

    @pytest.mark.parametrize("since", [0, 1, 255, 256, 257, 300, 511, 512, 600])
    def test_it_ends_at_the_same_root_and_counts_from_the_beginning(self, since: int) -> None:
        told = list(replayed(LOG.read, CHECKPOINTS[-1], CHECKPOINTS, read_edge(LOG.read, since)))
        assert [one.findings for one in told if one.findings] == []
        assert (told[-1].root_hash, told[-1].entry_count) == (CHECKPOINTS[-1].root_hash, 600)
        assert [one.entry_count for one in told[:-1]] == [
            n for n in (256, 512, 600) if n > since // 256 * 256
        ]

    def test_nothing_before_is_read(self) -> None:
        asked = []
        list(replayed(lambda tile: asked.append(tile.path), CHECKPOINTS[-1], (), read_edge(LOG.read, 300)))
        assert [path for path in asked if path.endswith("/000")] == []

    @settings(max_examples=60, deadline=None)
    @given(st.integers(0, 512), st.data())
    def test_no_bit_of_a_new_file_can_be_turned(self, since: int, data: st.DataObject) -> None:
        paths = [f"tile/{kind}/{name}" for kind in ("0", "entries") for name in ("000", "001", "002.p/88")]
        path = data.draw(
            st.sampled_from(["tile/1/000.p/2", *paths[since // 256 : 3], *paths[3 + since // 256 :]])
        )
        kept = changed(path, flipped_at(data.draw(st.integers(0, len(LOG.kept[path]) - 1))))
        assert self.findings(since, kept) != []

    def test_what_was_replayed_cannot_be_exchanged_in_the_bundle_that_went_on(self) -> None:
        forged = MemoryLog()
        for size in SIZES:
            forged.append([release(at if at != 290 else 999) for at in range(forged.edge.size, size)])
        kept = {**LOG.kept, **{path: forged.kept[path] for path in ("tile/0/001", "tile/entries/001")}}
        assert self.findings(300, kept) == [Finding("tile_differs", "tile/0/001", None, "hash 34")]

    def test_a_fault_that_shows_in_two_ways_is_told_once(self) -> None:
        kept = changed("tile/entries/001", lambda held: held.replace(b'"desk-290"', b'"desk-999"'))
        assert self.findings(300, kept) == [Finding("tile_differs", "tile/0/001", None, "hash 34")]

    def test_checkpoints_from_there_on_are_compared(self) -> None:
        lies = [replace(one, root_hash=bytes(32)) for one in CHECKPOINTS if one.tree_size]
        found = self.findings(300, LOG.kept, lies)
        assert [(one.reason, one.number) for one in found] == [
            ("checkpoint_forked", size) for size in (300, 512, 600)
        ]

    def test_behind_the_checkpoint_there_is_nothing_to_go_on_from(self) -> None:
        with pytest.raises(ValueError, match="the edge lies beyond the checkpoint"):
            next(replayed(LOG.read, CHECKPOINTS[4], (), LOG.edge))

    def test_the_edge_is_compared_with_the_checkpoint_that_was_kept(self) -> None:
        assert edge_of(LOG.read, CHECKPOINTS[4]) == read_edge(LOG.read, 300)
        for kept, reason in (
            (replace(CHECKPOINTS[4], root_hash=bytes(32)), "checkpoint_forked"),
            (Checkpoint(CHECKPOINTS[4].origin, 700, bytes(32)), "tile_missing"),
        ):
            with pytest.raises(EvidenceInvalid) as fault:
                edge_of(LOG.read, kept)
            assert fault.value.reason == reason

    def test_older_checkpoints_are_proven_from_the_tiles(self) -> None:
        for older in CHECKPOINTS[:5]:
            check_begins(LOG.read, older, CHECKPOINTS[4])
            if older.tree_size:
                with pytest.raises(EvidenceInvalid) as fault:
                    check_begins(LOG.read, replace(older, root_hash=bytes(32)), CHECKPOINTS[4])
                assert fault.value.reason == "checkpoint_forked"
        with pytest.raises(EvidenceInvalid) as fault:
            check_begins(LOG.read, replace(CHECKPOINTS[2], origin="audit.x/2025"), CHECKPOINTS[4])
        assert fault.value.reason == "origin_unknown"


class TestBeforeSigning:
    """`check_written`: what a growth wrote is read again before its checkpoint is signed."""

    BEFORE: Final = read_edge(LOG.read, 300)
    WRITTEN: Final = sorted({
        *("tile/0/001", "tile/0/002.p/88", "tile/1/000.p/2"),
        *("tile/entries/001", "tile/entries/002.p/88"),
    })  # fmt: skip

    def test_what_was_written_as_it_should_be_may_be_signed(self) -> None:
        check_written(LOG.read, self.BEFORE, LOG.edge)
        check_written(LOG.read, RightEdge(), LOG.edge)
        check_written(LOG.read, LOG.edge, LOG.edge)

    @pytest.mark.parametrize("path", WRITTEN)
    def test_a_turned_bit_or_a_missing_file_is_found_before(self, path: str) -> None:
        for kept in (changed(path, flipped_at(40)), changed(path, lambda held: held[:-1]), without(path)):
            log = MemoryLog(kept=kept)
            with pytest.raises(
                EvidenceInvalid, match=r"root_differs|(tile|bundle)_(differs|missing|malformed)"
            ):
                check_written(log.read, self.BEFORE, LOG.edge)

    def test_entries_that_were_signed_before_cannot_be_exchanged(self) -> None:
        bundle = LOG.kept["tile/entries/001"].replace(b'"desk-290"', b'"desk-999"')
        kept = {**LOG.kept, "tile/entries/001": bundle}
        with pytest.raises(EvidenceInvalid, match="root_differs: the bundles hold other entries"):
            check_written(lambda tile: kept.get(tile.path), self.BEFORE, LOG.edge)

    def test_a_tree_that_shrinks_is_no_growth(self) -> None:
        with pytest.raises(EvidenceInvalid, match="root_differs"):
            check_written(LOG.read, LOG.edge, read_edge(LOG.read, 512))


@pytest.mark.slow
def test_a_log_of_three_levels_is_compared_at_each_of_them() -> None:
    log = MemoryLog()
    log.append([one_of_each_kind()["key_event"]] * 65_537)
    checkpoint = log.checkpoint()
    assert findings(log.kept, checkpoint) == []
    for path in ("tile/1/000", "tile/2/000.p/1", "tile/0/256.p/1"):
        kept = {**log.kept, path: flipped_at(5)(log.kept[path])}
        assert findings(kept, checkpoint) == [Finding("tile_differs", path, None, "hash 0")]
