"""Whatever a witness is asked, in any order, all that it ever cosigned of a log is one history that grows."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Final

from hypothesis import given, settings
from hypothesis import strategies as st

from broker.clock import system_clock
from broker.evidence.cosignature import parse_cosignatures
from broker.evidence.witness import AddCheckpoint
from broker.witness.app import WitnessApp
from broker.witness.key import new_key
from broker.witness.store import WitnessStore
from tests.evidence_entries import release
from tests.evidence_log import LOG_KEY, MemoryLog

COMMON: Final = 5
"""Two histories begin with the same entries, and then differ: both signed by the log, as a liar would."""
SIZE: Final = 12
KEY: Final = new_key("witness.example/p", bytes(32))


def history(which: int, size: int) -> MemoryLog:
    log = MemoryLog()
    log.append([release(at if at < COMMON else at + 1_000 * which) for at in range(size)])
    return log


LOGS: Final = {(which, size): history(which, size) for which in (0, 1) for size in range(SIZE + 1)}
REQUESTS: Final = st.tuples(
    st.integers(0, 1),
    st.integers(0, SIZE),
    st.one_of(st.none(), st.integers(0, SIZE + 2)),
    st.sampled_from(["right", "none", "others"]),
)
"""History, size, older size (None: the witness's own), and which proof comes along."""


def content_of(which: int, size: int, old_size: int, proof: str) -> bytes:
    """Return a request, with the right proof of consistency, none, or the other history's."""
    log = LOGS[which, size]
    shown = log if proof == "right" else LOGS[1 - which, size]
    hashes = () if proof == "none" or old_size > size else shown.tiles().consistency_proof(old_size)
    return AddCheckpoint(old_size, hashes, log.note().content).content


@settings(max_examples=150, deadline=None)
@given(st.lists(REQUESTS, max_size=25))
def test_all_that_was_cosigned_is_one_history(requests: list[tuple[int, int, int | None, str]]) -> None:
    with tempfile.TemporaryDirectory(dir="/dev/shm") as directory:
        store = WitnessStore(Path(directory))
        store.watch(LOG_KEY)
        cosigned: list[tuple[int, int]] = []
        for which, size, older, proof in requests:
            held = store.latest(LOG_KEY.name, [LOG_KEY]).tree_size
            # A process of its own each time: what is remembered is what lies on disk.
            app = WitnessApp(WitnessStore(Path(directory)), KEY, system_clock)
            reply = app.add_checkpoint(content_of(which, size, held if older is None else older, proof))
            if reply.status == 200:
                assert len(parse_cosignatures(reply.body, LOGS[which, size].note(), [KEY.verifier])) == 1
                cosigned.append((which, size))
            else:
                assert store.latest(LOG_KEY.name, [LOG_KEY]).tree_size == held
    sizes = [size for _, size in cosigned]
    assert sizes == sorted(sizes)
    assert len({which for which, size in cosigned if size > COMMON}) <= 1


RIGHT: Final = content_of(0, 9, 0, "right")
CUT: Final = st.builds(lambda at, end: RIGHT[at:end], st.integers(0, 400), st.integers(0, 400))


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=300) | CUT)
def test_no_bytes_are_an_unforeseen_error(content: bytes) -> None:
    with tempfile.TemporaryDirectory(dir="/dev/shm") as directory:
        store = WitnessStore(Path(directory))
        store.watch(LOG_KEY)
        reply = WitnessApp(store, KEY, system_clock).add_checkpoint(content)
        assert reply.status in (200, 400, 403, 404, 409, 422)
        assert (reply.status == 200) is (content == RIGHT)
