"""broker evidence export: a period in order, page by page, without gap or repetition, wherever it was cut."""

from __future__ import annotations

import json
import re
import secrets
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from sqlalchemy.exc import DBAPIError

import broker.cli.evidence_export
from broker.cli import main
from broker.cli.evidence_export import HELD_BACK
from broker.cli.operator import operator_acting
from broker.cli.session import Session
from broker.errors import StoreUnavailable
from broker.evidence.kinds import check_any
from broker.storage import evidence as statements
from broker.storage.evidence import PostgresEvidence
from tests.acting import entries, last_reference, without_entries
from tests.history_world import Told, keep, reference_at
from tests.release_world import World

Run = Callable[..., Result]
DAY = datetime(2019, 3, 4, 17, 0, tzinfo=UTC)
"""Midnight in Viet Nam of a day of which nobody else has entries; each test has a month of its own."""
MINUTE = timedelta(minutes=1)


@pytest.fixture
def run(world: World, monkeypatch: pytest.MonkeyPatch) -> Run:
    @contextmanager
    def open_session() -> Iterator[Session]:
        yield Session(world.settings, world.store)

    monkeypatch.setattr(broker.cli.evidence_export, "open_session", open_session)

    def command(*arguments: str, expect: int = 0) -> Result:
        result = CliRunner().invoke(main, ["evidence", "export", *arguments])
        assert result.exit_code == expect, (result.output, result.exception)
        return result

    return command


def kept(world: World, count: int, month: int) -> list[str]:
    """Put entries into the log, one a minute from midnight on; return their references in order."""
    start = DAY.replace(month=month)
    made = [
        Told(
            reference_at(start + at * MINUTE, secrets.randbits(40)),
            start + at * MINUTE,
            secrets.token_bytes(32),
            "clinic",
            "refused" if at % 3 else "released",
            "limit_reached" if at % 3 else "",
        )
        for at in range(count)
    ]
    keep(world, made[::-1])
    return [one.reference for one in made]


def period(month: int) -> tuple[str, ...]:
    return ("--from", f"2019-{month:02d}-05", "--to", f"2019-{month:02d}-06")


def references(content: str) -> list[str]:
    """Return the references of exported lines of either format."""
    found = []
    for line in content.splitlines():
        match = re.search(r" externalId=(\S+) ", line)
        found.append(match[1] if match else json.loads(line)["metadata"]["uid"])
    return found


@pytest.mark.parametrize(("form", "month"), [("ocsf", 1), ("cef", 2)])
def test_every_entry_of_a_period_is_a_line_in_order(
    world: World, run: Run, form: str, month: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(statements, "PAGE", 7)
    made = kept(world, 25, month)
    result = run("--format", form, *period(month))
    assert references(result.stdout) == made
    assert result.stderr == f"25 entries, the last {made[-1]}\n"


def test_the_beginning_is_included_and_the_end_is_not(world: World, run: Run) -> None:
    made = kept(world, 3, 3)
    start = DAY.replace(month=3)
    told = run("--format", "ocsf", "--from", start.isoformat(), "--to", (start + 2 * MINUTE).isoformat())
    assert references(told.stdout) == made[:2]
    later = (start + MINUTE).strftime("%Y-%m-%dT%H:%M:%SZ")
    assert references(run("--format", "cef", "--from", later, "--to", "2019-03-06").stdout) == made[1:]
    assert run("--format", "cef", "--from", "2019-03-01", "--to", "2019-03-02").stdout == ""


def test_one_goes_on_behind_a_reference(world: World, run: Run) -> None:
    made = kept(world, 6, 4)
    assert references(run("--format", "ocsf", *period(4), "--after", made[2]).stdout) == made[3:]
    assert run("--format", "ocsf", *period(4), "--after", made[-1]).stdout == ""


@pytest.mark.parametrize(("form", "month"), [("ocsf", 5), ("cef", 6)])
@pytest.mark.parametrize("cut", [0, 1, 40])
def test_a_file_that_was_cut_off_is_gone_on_with(
    world: World, run: Run, tmp_path: Path, form: str, month: int, cut: int
) -> None:
    if not run("--format", form, *period(month)).stdout:
        kept(world, 9, month)
    whole, part = tmp_path / "whole", tmp_path / "part"
    run("--format", form, *period(month), "--output", str(whole))
    lines = whole.read_bytes().splitlines(keepends=True)
    assert len(lines) == 9
    part.write_bytes(b"".join(lines[:4]) + lines[4][:cut])
    result = run("--format", form, *period(month), "--output", str(part), "--resume")
    assert part.read_bytes() == whole.read_bytes()
    assert result.stderr.startswith("5 entries, the last ")
    assert run("--format", form, *period(month), "--output", str(part), "--resume").stderr == "0 entries\n"
    assert part.read_bytes() == whole.read_bytes()


@pytest.mark.parametrize("begun", [b"", b'{"act', b'{"activity_id": 2, "activity_name'])
def test_a_file_in_which_only_the_first_line_was_begun_is_begun_anew(
    world: World, run: Run, tmp_path: Path, begun: bytes
) -> None:
    if not run("--format", "ocsf", *period(7)).stdout:
        kept(world, 2, 7)
    part = tmp_path / "part"
    part.write_bytes(begun)
    run("--format", "ocsf", *period(7), "--output", str(part), "--resume")
    assert len(references(part.read_text("utf-8"))) == 2


def test_a_file_that_is_not_there_yet_is_begun(world: World, run: Run, tmp_path: Path) -> None:
    """So a timer can say --resume from the first day on."""
    made = kept(world, 2, 12)
    part = tmp_path / "part"
    run("--format", "cef", *period(12), "--output", str(part), "--resume")
    assert references(part.read_text("utf-8")) == made
    refused = run("--format", "ocsf", *period(12), "--output", str(part), "--resume", expect=2)
    assert "does not end in lines of an export as ocsf" in refused.stderr
    assert references(part.read_text("utf-8")) == made


@pytest.mark.parametrize(
    "foreign", [b"my letters", b"dear diary\n", b'{"metadata": {"uid": "x"}}\n', b"[]\n", b"{\n"]
)
def test_nobody_elses_file_is_touched(run: Run, tmp_path: Path, foreign: bytes) -> None:
    other = tmp_path / "other"
    other.write_bytes(foreign)
    refused = run("--format", "ocsf", *period(8), "--output", str(other), expect=2)
    assert "is there already" in refused.stderr
    refused = run("--format", "ocsf", *period(8), "--output", str(other), "--resume", expect=2)
    assert "does not end in lines of an export" in refused.stderr
    assert other.read_bytes() == foreign


def test_the_last_minute_waits_for_the_next_run(run: Run) -> None:
    tomorrow = (datetime.now(UTC) + timedelta(days=1)).isoformat()
    begin = (datetime.now(UTC) - HELD_BACK / 2).isoformat()
    result = run("--format", "cef", "--from", begin, "--to", tomorrow)
    assert result.stdout == ""
    assert "later entries may still come" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--from", "yesterday", "--to", "2019-03-06"), "a day (2026-11-22) or an instant"),
        (("--from", "2019-03-05T00:00:00", "--to", "2019-03-06"), "needs its offset"),
        ((*period(8), "--resume"), "--resume goes with --output"),
        (period(8)[:2], "Missing option '--to'"),
    ],
)
def test_wrong_usage_is_told(run: Run, arguments: tuple[str, ...], told: str) -> None:
    assert told in run("--format", "ocsf", *arguments, expect=2).stderr


def test_a_store_that_goes_away_leaves_a_file_to_go_on_with(
    world: World, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = kept(world, 6, 9)
    whole = PostgresEvidence.iterate_entries

    def ending(self: PostgresEvidence, after: str, before: str) -> Iterator[bytes]:
        for number, content in enumerate(whole(self, after, before)):
            if number == 3:
                raise StoreUnavailable("the store does not answer: OperationalError")
            yield content

    part = tmp_path / "part"
    with monkeypatch.context() as patch:
        patch.setattr(PostgresEvidence, "iterate_entries", ending)
        refused = run("--format", "ocsf", *period(9), "--output", str(part), expect=1)
    assert "store_unavailable" in refused.stderr
    run("--format", "ocsf", *period(9), "--output", str(part), "--resume")
    assert references(part.read_text("utf-8")) == made


def test_memory_does_not_grow_with_the_period(
    world: World, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ten times the entries, the same memory: pages of fifty are all that is held."""
    monkeypatch.setattr(statements, "PAGE", 50)
    kept(world, 100, 10)
    kept(world, 1_000, 11)
    run("--format", "ocsf", *period(10), "--output", str(tmp_path / "warm"))
    peaks = []
    for month in (10, 11):
        tracemalloc.start()
        run("--format", "ocsf", *period(month), "--output", str(tmp_path / str(month)))
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert len((tmp_path / "11").read_bytes().splitlines()) == 1_000
    assert peaks[1] < 1.5 * peaks[0]


class TestExportingIsEvidenceItself:
    def looks(self, world: World, after: str) -> list[dict[str, Any]]:
        return entries(world.engine, "log_read", after)

    def test_each_run_leaves_an_entry_with_the_period_and_who_asked(self, world: World, run: Run) -> None:
        kept(world, 2, 10)
        begun = last_reference(world.engine)
        for form in ("ocsf", "cef"):
            run("--format", form, *period(10))
        found = self.looks(world, begun)
        assert len(found) == 2
        for entry in found:
            check_any(entry)
            assert entry == {
                "acting_person": operator_acting(world.settings).acting_person,
                "agreement": "",
                "agreement_revision": "",
                "at": entry["at"],
                "client": "",
                "data_subject_commit": None,
                "entry": "",
                "kind": "log_read",
                "legal_basis": "L19_1_c",
                "period_begin": "2019-10-04T17:00:00.000Z",
                "period_end": "2019-10-05T17:00:00.000Z",
                "reader": "auditor",
                "recipient": "",
                "reference": entry["reference"],
                "schema": 1,
                "what": "export",
            }

    def test_it_is_committed_before_the_first_line_leaves(
        self, world: World, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        kept(world, 3, 11)
        output, begun, seen = tmp_path / "lines", last_reference(world.engine), []
        count = PostgresEvidence.count_entries

        def looking(evidence: PostgresEvidence, after: str, before: str) -> int:
            seen.append((len(self.looks(world, begun)), output.stat().st_size))
            return count(evidence, after, before)

        monkeypatch.setattr(PostgresEvidence, "count_entries", looking)
        run("--format", "ocsf", *period(11), "--output", str(output))
        assert seen == [(1, 0)]
        assert len(references(output.read_text())) >= 3

    def test_without_its_entry_no_line_leaves(self, world: World, run: Run, tmp_path: Path) -> None:
        kept(world, 3, 8)
        output, words = tmp_path / "lines", ["evidence", "export", "--format", "cef", *period(8)]
        with without_entries(world.owner):
            for more in ([], ["--output", str(output)]):
                refused = CliRunner().invoke(main, [*words, *more])
                assert isinstance(refused.exception, DBAPIError)
                assert "CEF:0" not in refused.output
        assert output.read_bytes() == b""
        assert len(references(run(*words[2:]).stdout)) >= 3

    def test_a_period_that_holds_nothing_at_all_is_no_look(self, world: World, run: Run) -> None:
        begun = last_reference(world.engine)
        told = run("--format", "ocsf", "--from", "2019-01-02", "--to", "2019-01-02")
        assert (told.stdout, told.stderr) == ("", "0 entries\n")
        assert self.looks(world, begun) == []
