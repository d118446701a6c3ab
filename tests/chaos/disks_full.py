"""No space left: for the log's files, and in the database. What must stop stops, and goes on by itself."""

from __future__ import annotations

import errno
import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from broker.cli.caller import Caller
from tests.chaos.http_stage import HttpStage
from tests.chaos.judging import audit
from tests.chaos.report import Fault
from tests.chaos.traffic import Traffic
from tests.consent_world import ConsentWorld, Given
from tests.doors import wait_until
from tests.faults.test_withdrawal_races import Withdrawing
from tests.own_pages_world import open_session

CALLERS: Final = 3
PAUSE_SECONDS: Final = 0.02
GO_ON: Final = 60
FILE_BYTES: Final = 1024
"""How long a file of the sequencer may become where the whole disk cannot be filled."""
_FULL: Final = (
    "CREATE FUNCTION chaos_full() RETURNS trigger LANGUAGE plpgsql AS"
    " $$ BEGIN RAISE disk_full USING MESSAGE = 'no space left'; END $$"
)
RELEASES_ONLY: Final = "WHEN (NEW.kind IN ('release', 'refusal'))"


def run(fault: Fault, stage: HttpStage, *, quick: bool) -> None:
    consents = ConsentWorld(stage.world, stage.insurance)
    acknowledged: list[str] = []
    acknowledged += _log_full(fault, stage)
    acknowledged += _database_full(fault, stage, consents, "every entry", "")
    acknowledged += _database_full(fault, stage, consents, "releases and refusals", RELEASES_ONLY)
    stage.judge(fault, acknowledged)


def _log_full(fault: Fault, stage: HttpStage) -> list[str]:
    """Releases do not wait for the log; the log waits for space, and publishes nothing meanwhile."""
    with Traffic(stage.world, stage.issuer, CALLERS, PAUSE_SECONDS) as traffic:
        traffic.go_on(GO_ON)
        sequencer, failed = stage.sequencer, _failed_rounds(stage)
        with _no_space(stage) as how:
            fault.note(log_directory_full_by=how)
            wait_until(lambda: _failed_rounds(stage) >= failed + 2, "the sequencer finds no space", 60)
            size = stage.published_size
            traffic.go_on(GO_ON)
            fault.note(released_while_the_log_was_full=GO_ON)
            fault.expect(stage.published_size == size, "something was published without space")
            told = audit(stage.files.directory, stage.key)
            fault.expect(told["faultless"], f"amid it the audit finds {told['findings'][:3]}")
        wait_until(lambda: stage.published_size > size, "the log goes on by itself", 120)
        fault.expect(stage.sequencer is sequencer and sequencer.is_alive, "the sequencer ended")
    fault.expect(set(traffic.statuses) == {200}, f"releases were refused: {dict(traffic.problems)}")
    litter = [one.name for one in stage.files.directory.rglob(".*") if one.is_file()]
    fault.expect(not litter, f"half written files were left: {litter[:3]}")
    return traffic.acknowledged


def _failed_rounds(stage: HttpStage) -> int:
    return sum(one.get("event") == "round failed" for one in stage.sequencer.events())


@contextmanager
def _no_space(stage: HttpStage) -> Iterator[str]:
    """Let the sequencer's files find no space; say how."""
    if stage.log_on == "tmpfs":
        ballast = Path(stage.log.settings.log_directory) / "ballast"
        _fill(ballast)
        try:
            yield "ENOSPC (tmpfs)"
        finally:
            ballast.unlink()
        return
    pid, unlimited = stage.sequencer.pid, resource.prlimit(stage.sequencer.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (FILE_BYTES, unlimited[1]))
    try:
        yield "EFBIG (RLIMIT_FSIZE)"
    finally:
        resource.prlimit(pid, resource.RLIMIT_FSIZE, unlimited)


def _fill(ballast: Path) -> None:
    """Take all the space there is, to the last page."""
    with ballast.open("wb", buffering=0) as file:
        for length in (1 << 20, 4096):
            while True:
                try:
                    file.write(b"\0" * length)
                except OSError as full:
                    if full.errno != errno.ENOSPC:
                        raise
                    break
        os.fsync(file.fileno())


def _database_full(
    fault: Fault, stage: HttpStage, consents: ConsentWorld, what: str, condition: str
) -> list[str]:
    """No release leaves; pages are shown; a withdrawal is done where its entry can be, and else refused."""
    world = stage.world
    given = consents.give()
    with Traffic(world, stage.issuer, CALLERS, PAUSE_SECONDS) as traffic:
        traffic.go_on(GO_ON)
        citizen = _Citizen(stage, given)
        world.execute(_FULL)
        world.execute(
            f"CREATE TRIGGER chaos_full BEFORE INSERT ON evidence_entries FOR EACH ROW {condition}"
            " EXECUTE FUNCTION chaos_full()"
        )
        try:
            traffic.refused(2 * CALLERS)  # those under way when it became full are through
            at, refused = len(traffic.acknowledged), traffic.statuses[503]
            entries = world.count("evidence_entries")
            traffic.refused(GO_ON)
            fault.add("refused_while_full", traffic.statuses[503] - refused)
            fault.expect(len(traffic.acknowledged) == at, f"{what} full: data left")
            _withdrawn(fault, citizen, consents, given, can_be=bool(condition))
            written = world.count("evidence_entries") - entries
            # The withdrawal, and the look at the history.
            fault.expect(written == (2 if condition else 0), f"{what} full: {written} entries were written")
        finally:
            world.execute("DROP TRIGGER chaos_full ON evidence_entries")
            world.execute("DROP FUNCTION chaos_full")
        traffic.go_on(GO_ON)
    fault.expect(not traffic.leaks, f"refusals with members of their own: {traffic.leaks[:3]}")
    fault.expect(set(traffic.problems) <= {"evidence-unavailable"}, f"{what} full: {dict(traffic.problems)}")
    return traffic.acknowledged


class _Citizen:
    """A citizen who is signed in and stands before the page of a consent."""

    def __init__(self, stage: HttpStage, given: Given) -> None:
        self.line = Caller(stage.issuer, given.bank.client_id, given.bank.key, "share_record", 20.0)
        self.issuer = stage.issuer
        self.cookie = open_session(stage.world, given.person.citizen_id, issuer=stage.issuer)
        self.withdrawing = Withdrawing(self.line, self.cookie, given.consent_id)

    def status(self, path: str) -> int:
        headers = {"Cookie": "=".join(self.cookie)}
        return self.line.exchange("GET", self.issuer + path, None, headers).status


def _withdrawn(
    fault: Fault, citizen: _Citizen, consents: ConsentWorld, given: Given, *, can_be: bool
) -> None:
    # A look at the own history is an entry itself: where that cannot be written, nothing is shown.
    wanted = {
        "/citizen/consents": 200,
        citizen.withdrawing.path: 200,
        "/citizen/history": 200 if can_be else 503,
    }
    for path, status in wanted.items():
        found = citizen.status(path)
        fault.expect(found == status, f"with a full database {path} is {found}, and not {status}")
        fault.add("pages_shown_while_full", found == 200)
    answer = citizen.withdrawing.send()
    state = consents.consent(given).state
    if can_be:
        fault.add("withdrawn_while_releases_were_full", state == "withdrawn")
        fault.expect((answer.status, state) == (303, "withdrawn"), f"a withdrawal: {answer.status}, {state}")
    else:
        fault.add("withdrawals_refused_loudly", answer.status == 503)
        fault.expect((answer.status, state) == (503, "active"), f"a withdrawal: {answer.status}, {state}")
