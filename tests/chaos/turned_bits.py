"""One bit turned, in a stored entry or a published file: nothing is signed any more, the place is told."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from broker.cli.output import LOG_STOPPED
from broker.evidence.tiles import ENTRIES, Tile
from tests.chaos.judging import audit
from tests.chaos.log_stage import LogPlace, LogStage, log_stage
from tests.chaos.report import Fault
from tests.faults.test_sequencer import turned_row

SIZE: Final = 900
"""Three full bundles and a partial one: a round looks at all of them."""
_EDGE: Final = f"do not hold the {SIZE} entries that were signed"
FILES: Final = {
    Tile(ENTRIES, 3, SIZE % 256): "tile/entries/003.p/132 and tile/0/003.p/132, entry 899",
    Tile(0, 3, SIZE % 256): _EDGE,
    Tile(1, 0, SIZE // 256): _EDGE,
    Tile(ENTRIES, 1): "tile/entries/001 and tile/0/001, entry 511",
    Tile(0, 1): "tile/entries/001 and tile/0/001, entry 511",
    Tile(0, 0): "tile/entries/000 and tile/0/000, entry 255",
}
"""What the sequencer says of each."""
POSITIONS: Final = (SIZE - 1, 300, 7)


def run(fault: Fault, place: LogPlace, *, quick: bool) -> None:
    with log_stage(place) as stage:
        stage.record(SIZE)
        stage.settled()
        for tile, sentence in list(FILES.items())[1::2] if quick else FILES.items():
            with _turned(stage.world.files().directory / tile.path):
                _refused(fault, stage, sentence, tile.path)
        for position in POSITIONS[1:2] if quick else POSITIONS:
            with turned_row(stage.world, position):
                _refused(fault, stage, f"position {position} of 2026 has another entry in the database", "")
        stage.settled()
        stage.judge(fault)


def _refused(fault: Fault, stage: LogStage, sentence: str, place: str) -> None:
    """Start a sequencer with something to merge: it ends with 5. place: what the audit must name."""
    stage.record(5)
    signed, published = len(stage.signed()), stage.world.files().checkpoint()
    one = stage.sequencer()
    code = one.wait()
    what = place or sentence
    fault.add("bits_turned")
    fault.add("stopped_before_the_next_signature", len(stage.signed()) == signed)
    fault.expect(
        code == LOG_STOPPED and one.has_said("log stopped"), f"{what}: ended with {code}: {one.said}"
    )
    fault.expect(sentence in one.said, f"{what}: it says {one.said}")
    fault.expect(len(stage.signed()) == signed, f"{what}: something was signed")
    fault.expect(stage.world.files().checkpoint() == published, f"{what}: something was published")
    if place:
        told = audit(stage.world.files().directory, stage.world.key())
        # An entry whose bundle was changed speaks against its tile.
        places = {place, place.replace("/entries/", "/0/")}
        named = any(found["place"] in places for found in told["findings"])
        fault.add("named_by_the_audit", named)
        fault.expect(named and told["exit_code"] == 1, f"the audit does not name {place}: {told['findings']}")
    fault.say(f"{what}: {one.events()[-1].get('detail', '')[:90]}")


@contextmanager
def _turned(path: Path) -> Iterator[None]:
    """Turn the last bit of a file, and back."""
    whole = path.read_bytes()
    path.chmod(0o644)
    path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    try:
        yield
    finally:
        path.write_bytes(whole)
        path.chmod(0o444)
