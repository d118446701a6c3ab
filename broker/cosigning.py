"""Collects cosignatures for what the log has published, while the log goes on.

All witnesses are asked about the same checkpoint at the same time: cosignatures of different ones do not add
up. Whoever has not answered when the round's time is over is left out, and asked about the next. Nothing that
a witness says is believed but a signature that verifies under the key that was configured for it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from threading import Condition, Event, Lock, Thread
from typing import Final

from broker.actions.log_doors import WitnessDoor
from broker.clock import countdown
from broker.errors import BrokerError
from broker.evidence.checkpoint import Checkpoint
from broker.evidence.reasons import EvidenceInvalid
from broker.evidence.sequencing import LogHead
from broker.evidence.signed_note import Note, parse_note
from broker.evidence.witness import AddCheckpoint
from broker.evidence.witness_asking import ALARMS, WHY_NOT, AskFrom, Cosigned, NotCosigned, Witness, judged
from connectors.base import WitnessUnreachable

ROUND_SECONDS: Final = 5.0
AGAIN_SECONDS: Final = 60.0
"""Whoever did not cosign the newest checkpoint is asked again after this, also where nothing grows."""
ASKS_MAX: Final = 3
"""Requests to one witness in a round: from a size that it does not have, from its own, and once more."""

Prove = Callable[[Checkpoint, int], Sequence[bytes]]
"""(checkpoint, older size) → proof of consistency. Raises EvidenceInvalid, BrokerError."""
Keep = Callable[[Checkpoint, Note], None]
"""Takes a checkpoint and its note with all cosignatures so far. Raises BrokerError."""
Tell = Callable[[Mapping[str, object]], None]


@dataclass(frozen=True, slots=True)
class Collected:
    """What a round brought. note: with the lines that verified. outcomes: by witness, in their order."""

    note: Note
    outcomes: Mapping[Witness, Cosigned | NotCosigned]


class Asking:
    """How witnesses are asked, and what each had cosigned when it last said so. Safe for many threads."""

    def __init__(self, door: WitnessDoor, prove: Prove) -> None:
        self._door = door
        self._prove = prove
        self._sizes: dict[tuple[str, str], int] = {}

    def collect(
        self,
        checkpoint: Checkpoint,
        note: Note,
        witnesses: Sequence[Witness],
        seconds: float,
        gained: Callable[[Note], None] = lambda _: None,
    ) -> Collected:
        """Ask witnesses about a checkpoint at once; return what came within so many seconds.

        note: signed by the log, perhaps cosigned already by others. gained: called with the note as often as
        a further line has verified, one call at a time; it must not raise.
        """
        left, lock, all_told = countdown(seconds), Lock(), Event()
        outcomes: dict[Witness, Cosigned | NotCosigned] = {}
        asked, is_over = note, False

        def ask(witness: Witness) -> None:
            nonlocal note
            outcome = self.ask(witness, checkpoint, asked, left)
            with lock:
                if is_over:
                    return
                outcomes[witness] = outcome
                if isinstance(outcome, Cosigned):
                    note = note.with_signatures([outcome.line])
                    gained(note)
                if len(outcomes) == len(witnesses):
                    all_told.set()

        for witness in witnesses:
            Thread(target=ask, args=(witness,), name="witness", daemon=True).start()
        if witnesses:
            all_told.wait(left())
        with lock:
            is_over = True
            late = {one: NotCosigned("unreachable") for one in witnesses}
            return Collected(note, {**late, **outcomes})

    def ask(
        self, witness: Witness, checkpoint: Checkpoint, note: Note, left: Callable[[], float]
    ) -> Cosigned | NotCosigned:
        """Return what one witness makes of a checkpoint, asked from its own size where it names another.

        left: seconds that it may still take.
        """
        place = (witness.key.vkey, checkpoint.origin)
        old_size = min(self._sizes.get(place, 0), checkpoint.tree_size)
        for _ in range(ASKS_MAX):
            try:
                proof = tuple(self._prove(checkpoint, old_size))
            except (EvidenceInvalid, BrokerError):
                return NotCosigned("no_proof")
            content = AddCheckpoint(old_size, proof, note.content).content
            try:
                status, body = self._door.add_checkpoint(witness.url, content, left())
            except WitnessUnreachable:
                return NotCosigned("unreachable")
            outcome = judged(status, body, note, checkpoint, witness.key, old_size)
            if isinstance(outcome, Cosigned):
                self._sizes[place] = checkpoint.tree_size
            if not isinstance(outcome, AskFrom):
                return outcome
            old_size = self._sizes[place] = outcome.old_size
        return NotCosigned("not_an_answer")


@dataclass(slots=True)
class _Shard:
    """The newest checkpoint of a log, with what it has been given, and who has not cosigned it yet."""

    checkpoint: Checkpoint
    note: Note
    missing: tuple[Witness, ...]


@dataclass(slots=True)
class _Shared:
    """What the two threads share. due: of each log the newest checkpoint that is to be cosigned."""

    due: dict[str, _Shard] = field(default_factory=dict)
    is_over: bool = False


class Cosigning:
    """Implements `broker.actions.log_doors.Follower`: a thread that asks while the log goes on.

    keep: called once so many cosignatures as needed are there, then again for each further one. tell: called
    with a line, as members, when a witness ceases to cosign or does so again.
    """

    def __init__(
        self,
        asking: Asking,
        witnesses: Sequence[Witness],
        keep: Keep,
        tell: Tell,
        *,
        needed: int = 1,
        round_seconds: float = ROUND_SECONDS,
        again_seconds: float = AGAIN_SECONDS,
    ) -> None:
        self._asking = asking
        self._witnesses = tuple(witnesses)
        self._keep = keep
        self._tell = tell
        self._needed = needed
        self._round_seconds = round_seconds
        self._again_seconds = again_seconds
        self._shared = _Shared()
        self._changed = Condition()
        self._said: dict[tuple[str, Witness], str] = {}
        self._thread = Thread(target=self._run, name="cosigning", daemon=True)
        self._thread.start()

    def published(self, head: LogHead) -> None:
        """Take note of a published head; it takes the place of an older one that still waits."""
        shard = _Shard(head.checkpoint, parse_note(head.note), self._witnesses)
        with self._changed:
            self._shared.due[head.checkpoint.origin] = shard
            self._changed.notify()

    def close(self) -> None:
        """Ask once about what waits, then end; who is missing then is asked when the log is started again."""
        with self._changed:
            self._shared.is_over = True
            self._changed.notify()
        self._thread.join(3 * self._round_seconds)

    def _run(self) -> None:
        unfinished: dict[str, _Shard] = {}
        while True:
            with self._changed:
                self._changed.wait_for(
                    lambda: self._shared.due or self._shared.is_over,
                    self._again_seconds if unfinished else None,
                )
                # Where nothing is newer, those who are missing are asked again.
                is_over = self._shared.is_over
                due = self._shared.due or ({} if is_over else unfinished)
                self._shared.due = {}
            for origin, shard in due.items():
                self._round(origin, shard)
            if is_over:
                return
            both = {**unfinished, **due}
            unfinished = {origin: shard for origin, shard in both.items() if shard.missing}

    def _round(self, origin: str, shard: _Shard) -> None:
        def gained(note: Note) -> None:
            if sum(len(note.by(one.key)) for one in self._witnesses) >= self._needed:
                self._kept(shard.checkpoint, note)

        collected = self._asking.collect(
            shard.checkpoint, shard.note, shard.missing, self._round_seconds, gained
        )
        shard.note = collected.note
        told = collected.outcomes
        shard.missing = tuple(one for one in shard.missing if not isinstance(told[one], Cosigned))
        for witness, outcome in told.items():
            self._say(origin, witness, outcome)

    def _kept(self, checkpoint: Checkpoint, note: Note) -> None:
        try:
            self._keep(checkpoint, note)
        except BrokerError as fault:
            self._tell({"event": "cosignatures cannot be kept", "kind": fault.kind})

    def _say(self, origin: str, witness: Witness, outcome: Cosigned | NotCosigned) -> None:
        """Tell when a witness's way to answer changes, not at every round."""
        why = "" if isinstance(outcome, Cosigned) else outcome.why
        if self._said.get((origin, witness), "") == why:
            return
        self._said[origin, witness] = why
        line: dict[str, object] = {"witness": witness.name, "origin": origin}
        if isinstance(outcome, Cosigned):
            self._tell({"event": "a witness cosigns again", **line})
            return
        key = "alarm" if outcome.why in ALARMS else "reason"
        self._tell({"event": "a witness does not cosign", **line, key: WHY_NOT[outcome.why]})
