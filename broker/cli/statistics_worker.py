"""The worker's job of answering statistical exports: one at a time, in a process of its own.

Rounds only look after that process, a tenth of a second each, so that telling recipients is not held up: they
renew the lease, pass the percentage on, and end the process when its time is over, when nobody wants the
answer any more, when another worker has the job, or when this one is told to stop.
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from tempfile import TemporaryDirectory
from typing import Final, Protocol

from broker.actions.answer_export import ExportDoors, ExportQuestion
from broker.actions.ended_exports import refused_row, released_row
from broker.actions.statistics_doors import ReleaseShelf
from broker.clock import Clock, countdown
from broker.errors import BrokerError
from broker.export_child import ChildWork, Failed, Refused, Said, Share, start_child
from broker.statistics.export_answer import ExportAnswer, KeptTable
from broker.statistics.export_job import ExportJob
from broker.statistics.plan_parse import kept_plan
from broker.statistics.reasons import REASONS, Reason
from broker.storage.statistics_work import PostgresWork, TakenJob

LOOK_SECONDS: Final = 0.1
RENEW_SECONDS: Final = 5.0
"""How often a lease is renewed and the percentage told: far more often than the lease is long."""
END_SECONDS: Final = 10.0


class Tables(Protocol):
    """What is true of earlier tables; `broker.storage.statistics_kept.KeptTables` is one."""

    def tables_of(self, release: str) -> Sequence[KeptTable]:
        """Return all tables of a release that were released."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """What one job may take. seconds: from its start to its answer. memory_mb: for data, MiB."""

    seconds: float
    memory_mb: int


@dataclass(slots=True)
class _Child:
    """The process under way. answer: what it said last, once it has; kept until the store has it too."""

    taken: TakenJob
    process: subprocess.Popen[bytes]
    pipe: Connection
    scratch: TemporaryDirectory[str]
    left_seconds: Callable[[], float]
    percent: int = 0
    answer: Said | None = None
    until_renewal: Callable[[], float] = field(default_factory=lambda: countdown(RENEW_SECONDS))


class ExportsJob:
    """One round after the other; many workers on many machines may run it at once.

    doors_of: job → what its child makes its doors with; both are sent to the child. new_reference: UUIDv7.
    tell: told which try failed and the kind of error, for the operator.
    """

    def __init__(
        self,
        work: PostgresWork,
        shelf: ReleaseShelf,
        kept: Tables,
        bounds: Bounds,
        doors_of: Callable[[ExportJob], Callable[[int], ExportDoors]],
        clock: Clock,
        new_reference: Callable[[], str],
        tell: Callable[[Mapping[str, object]], None] = lambda _line: None,
    ) -> None:
        self._work, self._shelf, self._kept = work, shelf, kept
        self._bounds, self._doors_of = bounds, doors_of
        self._clock, self._new_reference, self._tell = clock, new_reference, tell
        self._child: _Child | None = None

    @property
    def is_busy(self) -> bool:
        """Whether a job is in hand."""
        return self._child is not None

    def run(self) -> Mapping[str, int]:
        """Take a job, or look after the one in hand; return what happened, in its own words.

        If this process ends in the middle, its child ends too, and the job is due again when the lease is
        over. Raises StoreUnavailable; what the child said is then told again in the next round.
        """
        if self._child is None:
            return self._take()
        counts = self._look(self._child)
        if counts is None:
            return {}
        self._drop()
        return counts

    def end(self) -> None:
        """End the child, if there is one, and let another worker take its job at once."""
        child = self._child
        if child is not None:
            self._drop()
            # Without a store the lease ends by itself.
            with suppress(BrokerError):
                self._work.hand_back(child.taken)

    def _take(self) -> Mapping[str, int]:
        taken = self._work.take(self._clock())
        if taken is None:
            return {}
        said_before = next((one for one in REASONS if one == taken.refused), None)
        if said_before is not None:
            return {"taken": 1, **self._refused(taken, said_before)}
        try:
            work = self._work_of(taken.job)
        except (BrokerError, ValueError) as fault:
            # Files that are not there, or not those of the release; a key that does not open; a store away.
            kind = getattr(fault, "kind", type(fault).__name__)
            return {"taken": 1, **self._failed(taken, Failed("release_away", kind))}
        if work is None:
            return {"taken": 1, **self._failed(taken, Failed("release_away", "no_such_release"))}
        self._child = self._started(taken, work)
        return {"taken": 1}

    def _work_of(self, job: ExportJob) -> ChildWork | None:
        release = self._shelf.find_release(job.release)
        if release is None:
            return None
        question = ExportQuestion(
            plan=kept_plan(job.plan),
            format=job.format,
            agreement=job.agreement,
            agreement_revision=job.agreement_revision,
            recipient_key=job.recipient_key,
        )
        return ChildWork(
            question=question,
            release=release,
            earlier=tuple(self._kept.tables_of(job.release)),
            memory_mb=self._bounds.memory_mb,
            doors=self._doors_of(job),
        )

    def _started(self, taken: TakenJob, work: ChildWork) -> _Child:
        scratch = TemporaryDirectory(prefix="export-", ignore_cleanup_errors=True)
        process, pipe = start_child(work, scratch.name)
        return _Child(taken, process, pipe, scratch, countdown(self._bounds.seconds))

    def _look(self, child: _Child) -> Mapping[str, int] | None:
        """Return what happened if the job is no longer in hand, None while it goes on."""
        if child.answer is None:
            self._listen(child)
        if isinstance(child.answer, ExportAnswer):
            return self._answered(child.taken, child.answer)
        if isinstance(child.answer, Refused):
            return self._refused(child.taken, child.answer.reason)
        if isinstance(child.answer, Failed):
            return self._failed(child.taken, child.answer)
        if not child.left_seconds():
            # At once, whether or not the store hears of it in this round.
            child.process.kill()
            child.answer = Failed("deadline_exceeded", "deadline")
            return self._failed(child.taken, child.answer)
        if not child.until_renewal():
            child.until_renewal = countdown(RENEW_SECONDS)
            held = self._work.renew(child.taken, child.percent, self._clock())
            if held != "held":
                return {held: 1}
        return None

    def _listen(self, child: _Child) -> None:
        """Hear what the child says within the time of one look."""
        left = countdown(LOOK_SECONDS)
        try:
            while child.answer is None and child.pipe.poll(left()):
                said = child.pipe.recv()
                if isinstance(said, Share):
                    child.percent = said.percent
                else:
                    child.answer = said
        except (EOFError, OSError):
            # It ended without a word: killed by the system for its memory, or by a library's abort.
            child.answer = Failed("answer_failed", "process_ended")

    def _answered(self, taken: TakenJob, answer: ExportAnswer) -> Mapping[str, int]:
        now = self._clock()
        row = released_row(taken.job, answer.result(), self._new_reference(), now)
        try:
            is_ended = self._work.finish(taken, answer, row, now)
        except ValueError:
            return self._failed(taken, Failed("answer_failed", "table_not_reserved"))
        return {"answered" if is_ended else "late": 1}

    def _refused(self, taken: TakenJob, reason: Reason) -> Mapping[str, int]:
        now = self._clock()
        row = refused_row(taken.job, reason, self._new_reference(), now)
        return {"refused" if self._work.refuse(taken, reason, row, now) else "late": 1}

    def _failed(self, taken: TakenJob, failed: Failed) -> Mapping[str, int]:
        self._tell(
            {
                "event": "export failed",
                "export": taken.job.job_id,
                "try": taken.try_count,
                "fault": failed.fault,
                "kind": failed.kind,
            }
        )
        return {failed.fault if self._work.fail(taken, failed.fault, self._clock()) else "late": 1}

    def _drop(self) -> None:
        """End the process of the job in hand, whatever it does, and forget it."""
        child, self._child = self._child, None
        if child is not None:
            child.process.kill()
            child.pipe.close()
            # Nothing outlives this signal; one that the system is slow to clear away is collected later.
            with suppress(subprocess.TimeoutExpired):
                child.process.wait(END_SECONDS)
            child.scratch.cleanup()
