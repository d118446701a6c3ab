"""After an erasure nobody finds out whom an entry was about; the log, its proofs and others are as before."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import nullcontext, suppress
from dataclasses import replace
from datetime import UTC, date, datetime
from threading import Event, Thread
from typing import Any

import pytest
from click.testing import CliRunner, Result
from sqlalchemy import create_engine, text
from sqlalchemy.exc import DBAPIError, IntegrityError

import broker.cli.erase_command
from broker.actions.consent_writer import CITIZEN_PREFIX
from broker.actions.erase_evidence import RETENTION_GROUND, EraseEvidence, PersonUnknown
from broker.app import new_reference, new_salt
from broker.cli import main
from broker.cli.embedded import EmbeddedCluster
from broker.cli.session import Session
from broker.errors import StoreUnavailable
from broker.evidence.canonical import commitment
from broker.evidence.kinds import parse_entry
from broker.evidence.person_keys import PATH_LENGTH
from broker.evidence.recording import EvidenceRow
from broker.evidence.verifier import Opening, Trust, verified
from broker.oauth.rewrapping import Rewrapping
from broker.settings import Secret, Settings
from broker.storage.acts import record_evidence
from broker.storage.erasure import PostgresErasure
from broker.storage.openings import PostgresOpenings
from broker.storage.rewrap import PostgresRewrap
from broker.storage.session import open_store
from connectors.base import SourceUnavailable
from tests.acting import ACTS, told
from tests.contracts.source_fixtures import InsuranceDatabase
from tests.contracts.test_consents_store import killed_before
from tests.doors import at_once
from tests.evidence_log import LOG_KEY, ORIGIN, MemoryLog
from tests.evidence_store import (
    KEY,
    PSEUDONYM_KEY,
    PSEUDONYMS,
    Dump,
    EvidenceStore,
    OneSource,
    evidence_store,
    found_by_attacker,
    found_by_trying,
    opened_salts,
    release_about,
)

YEAR = 2012
NOW = datetime(2026, 11, 22, 3, 0, tzinfo=UTC)
GROUND = "law_91_2025_14"


@pytest.fixture(scope="module")
def made(cluster: EmbeddedCluster) -> Iterator[EvidenceStore]:
    with evidence_store(cluster, "broker_erasure") as store:
        yield store


@pytest.fixture
def store(made: EvidenceStore) -> EvidenceStore:
    made.empty()
    return made


@pytest.fixture(scope="module")
def population(insurance: InsuranceDatabase) -> list[str]:
    """Everybody of the synthetic population: the source's own keys, by which evidence names them."""
    engine = create_engine(insurance.owner_url)
    with engine.connect() as connection:
        found = connection.execute(text("SELECT person_key FROM person ORDER BY 1")).scalars().all()
    engine.dispose()
    return [str(one) for one in found]


def erasure(store: EvidenceStore) -> PostgresErasure:
    return PostgresErasure(store.owner, store.openings(), KEY)


def the_look(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, Any]:
    """Return the entry of a look, which is all that it left: nothing else of what was there has changed."""
    assert before.keys() == after.keys()
    new = {name: [row for row in rows if row not in before[name]] for name, rows in after.items()}
    assert all(row in after[name] for name, rows in before.items() for row in rows)
    assert {name: len(rows) for name, rows in new.items() if rows and name != "evidence_keys"} == {
        "evidence_entries": 1,
        "evidence_openings": 1,
    }
    [row] = new["evidence_entries"]
    assert row["kind"] == "log_read"
    return dict(parse_entry(bytes(row["entry"])))


def verb(store: EvidenceStore, name: str, account: str = "", years: int = 10) -> EraseEvidence:
    return EraseEvidence(
        store=erasure(store),
        source=OneSource(name),
        citizen_of=lambda _: account,
        pseudonyms=PSEUDONYMS,
        salts=new_salt,
        new_reference=new_reference,
        retention_years=years,
        deadline_seconds=1.0,
    )


def erase(store: EvidenceStore, name: str, year: int = YEAR, account: str = "") -> Any:
    return verb(store, name, account).erase("001090000001", year, GROUND, "operator", NOW)


def references(entries: list[bytes]) -> set[str]:
    return {json.loads(entry)["reference"] for entry in entries}


class TestWhatIsLeft:
    def test_nobody_finds_an_erased_entry_among_the_whole_population_and_everybody_elses_is_found(
        self, store: EvidenceStore, population: list[str]
    ) -> None:
        erased, *others = population[:: len(population) // 6]
        for name in (erased, *others):
            store.record(name, YEAR)
        mine = {(reference, erased) for reference in references(store.entries[erased])}
        theirs = {(reference, name) for name in others for reference in references(store.entries[name])}
        before = store.dump()
        assert found_by_attacker(before, population) == mine | theirs
        assert erase(store, erased).entry_count == 2
        after = store.dump()
        assert found_by_attacker(after, population) == theirs
        # What lies under any key that is left, and every 32 bytes anywhere, tried on everybody.
        assert found_by_trying(after, population) == set()
        assert mine <= found_by_trying(with_salts_of(before, erased), population)

    def test_a_copy_of_yesterday_without_the_keys_does_not_bring_it_back(
        self, store: EvidenceStore, population: list[str]
    ) -> None:
        erased, other = population[0], population[1]
        store.record(erased, YEAR)
        store.record(other, YEAR)
        yesterday = store.dump()
        erase(store, erased)
        today = store.dump()
        restored = {**yesterday, "evidence_keys": today["evidence_keys"]}
        theirs = {(reference, other) for reference in references(store.entries[other])}
        assert found_by_attacker(restored, population) == theirs
        assert found_by_trying(restored, population) == set()
        # That is why copies of the table of keys are kept for a short time only.
        assert len(found_by_attacker(yesterday, population)) == 4

    def test_another_persons_bytes_and_other_years_are_what_they_were(self, store: EvidenceStore) -> None:
        for name in ("ada", "bob"):
            for year in (YEAR, YEAR + 1):
                store.record(name, year)
        before = store.dump()
        erase(store, "ada")
        after = store.dump()
        gone = [row for row in before["evidence_openings"] if row not in after["evidence_openings"]]
        assert {str(row["reference"]) for row in gone} == references(store.entries["ada"][:2])
        kept = {str(row["reference"]) for row in after["evidence_openings"]}
        assert references(store.entries["ada"][2:] + store.entries["bob"]) <= kept
        assert [row for row in before["evidence_entries"] if row not in after["evidence_entries"]] == []
        for name, entries in (("ada", store.entries["ada"][2:]), ("bob", store.entries["bob"])):
            for reference in references(entries):
                found = store.openings().find_opening([PSEUDONYMS.data_subject_ref(name)], reference)
                assert found is not None, "opens as before"
        other_year = [row for row in before["evidence_keys"] if row["key_year"] == YEAR + 1]
        assert [row for row in after["evidence_keys"] if row["key_year"] == YEAR + 1] == other_year

    def test_proofs_from_before_verify_afterwards(self, store: EvidenceStore) -> None:
        store.record("ada", YEAR, 3)
        store.record("bob", YEAR, 4)
        entries = store.entries["ada"] + store.entries["bob"]
        log = MemoryLog(origin=ORIGIN)
        log.append(entries)
        proofs = [log.proof_file(at) for at in range(len(entries))]
        root_before = log.checkpoint().root_hash
        ada = PSEUDONYMS.data_subject_ref("ada")
        for entry, proof in zip(entries[:3], proofs, strict=False):
            kept = store.openings().find_opening([ada], json.loads(entry)["reference"])
            assert kept is not None
            opening = Opening(kept.data_subject_salt or b"", b"ada")
            told = verified(entry, proof, Trust([LOG_KEY]), data_subject=opening)
            assert told.holds
            assert {one.name: one.result for one in told.checks}["data_subject"] == "holds"
        erase(store, "ada")
        lying = {str(row["reference"]): bytes(row["entry"]) for row in store.dump()["evidence_entries"]}
        again = MemoryLog(origin=ORIGIN)
        again.append([lying[json.loads(entry)["reference"]] for entry in entries])
        assert again.checkpoint().root_hash == root_before
        for entry, proof in zip(entries, proofs, strict=True):
            told = verified(lying[json.loads(entry)["reference"]], proof, Trust([LOG_KEY]))
            assert told.holds
            assert {one.name: one.result for one in told.checks}["inclusion"] == "holds"
        for entry in entries[:3]:
            assert store.openings().find_opening([ada], json.loads(entry)["reference"]) is None

    def test_account_and_record_of_one_person_go_together(self, store: EvidenceStore) -> None:
        account = CITIZEN_PREFIX + "7"
        store.record("ada", YEAR)
        store.record(account, YEAR)
        assert erase(store, "ada", account="7").entry_count == 4
        assert found_by_attacker(store.dump(), ["ada", account]) == set()
        assert len(store.dump()["evidence_keys"]) <= 2 * 15 * PATH_LENGTH

    def test_under_a_new_key_encryption_key_it_stays_erased_and_all_else_opens(
        self, store: EvidenceStore
    ) -> None:
        new_key = bytes([9]) * 32
        store.record("ada", YEAR)
        store.record("bob", YEAR)
        erase(store, "ada")
        walk = PostgresRewrap(store.application, store.owner, Rewrapping(KEY, new_key), ACTS, batch_rows=50)
        [counted] = [one for one in walk.rewrap(lambda _: None) if one.table == "evidence_keys"]
        assert (counted.under_old_key, counted.under_new_key) == (15 * PATH_LENGTH, 0)
        openings = PostgresOpenings(store.store, new_key)
        assert openings.links([PSEUDONYMS.data_subject_ref("ada")]) == []
        for reference in references(store.entries["bob"]):
            kept = openings.find_opening([PSEUDONYMS.data_subject_ref("bob")], reference)
            assert kept is not None

    def test_an_entry_that_comes_too_late_stays_closed(self, store: EvidenceStore) -> None:
        """No release of a year that is over is recorded; were one, its key is in no table any more."""
        openings = store.openings()
        store.record("ada", YEAR, openings=openings)
        erase(store, "ada")
        store.record("ada", YEAR, 1, openings=openings)
        late = json.loads(store.entries["ada"][-1])["reference"]
        assert store.openings().find_opening([PSEUDONYMS.data_subject_ref("ada")], late) is None
        assert found_by_attacker(store.dump(), ["ada"]) == set()
        store.record("ada", YEAR, 1)
        [row] = [
            one
            for one in store.dump()["evidence_openings"]
            if str(one["reference"]) == json.loads(store.entries["ada"][-1])["reference"]
        ]
        assert (row["person_link"], row["sealed_salts"]) == (None, None)


def with_salts_of(dump: Dump, name: str) -> Dump:
    """Return a copy in which a person's salts lie in the clear: what trying must find."""
    salts = [{"data_subject_salt": salt} for salt in opened_salts(dump, name)]
    return {**dump, "salts": salts}


class TestTheEntryOfAnErasure:
    def test_it_says_what_was_done_and_its_own_commitment_cannot_be_opened(
        self, store: EvidenceStore
    ) -> None:
        store.record("ada", YEAR)
        outcome = erase(store, "ada")
        [entry] = [
            parse_entry(bytes(row["entry"]))
            for row in store.dump()["evidence_entries"]
            if row["kind"] == "erasure"
        ]
        assert entry == {
            "acting_person": PSEUDONYMS.staff_ref("operator", "operator").hex(),
            "at": "2026-11-22T03:00:00.000Z",
            "data_subject_commit": entry["data_subject_commit"],
            "kept_until": "",
            "kind": "erasure",
            "legal_ground": GROUND,
            "reference": outcome.reference,
            "result": "erased",
            "schema": 1,
            "year": YEAR,
        }
        [beside] = [
            row for row in store.dump()["evidence_openings"] if str(row["reference"]) == outcome.reference
        ]
        assert (beside["key_year"], beside["person_link"], beside["sealed_salts"]) == (2026, None, None)
        assert found_by_trying(store.dump(), ["ada"]) == set()

    def test_what_the_law_keeps_is_kept_and_the_person_can_prove_the_answer(
        self, store: EvidenceStore
    ) -> None:
        store.record("ada", 2016)
        before = store.dump()
        assert verb(store, "ada").look("001090000001", 2016, "Lê Thị C", NOW).kept_until == date(2026, 12, 31)
        look = the_look(before, store.dump())
        assert told(look, "reader", "what", "legal_basis", "entry") == (
            "operator",
            "entry_count",
            "L19_1_c",
            "",
        )
        assert told(look, "period_begin", "period_end") == (
            "2016-01-01T00:00:00.000Z",
            "2017-01-01T00:00:00.000Z",
        )
        assert look["acting_person"] == PSEUDONYMS.staff_ref("operator", "Lê Thị C").hex()
        found = store.openings().find_opening([PSEUDONYMS.data_subject_ref("ada")], look["reference"])
        assert found is not None
        assert commitment(found.data_subject_salt or b"", b"ada") == look["data_subject_commit"]
        outcome = erase(store, "ada", 2016)
        assert (outcome.result, outcome.kept_until) == ("kept", date(2026, 12, 31))
        kept = store.openings().find_opening([PSEUDONYMS.data_subject_ref("ada")], outcome.reference)
        assert kept is not None
        entry = parse_entry(kept.entry)
        assert (entry["result"], entry["kept_until"]) == ("kept", "2026-12-31")
        assert entry["legal_ground"] == RETENTION_GROUND
        assert commitment(kept.data_subject_salt or b"", b"ada") == entry["data_subject_commit"]
        assert len(found_by_attacker(store.dump(), ["ada"])) == 4

    @pytest.mark.parametrize(
        ("at", "years", "kept_until"),
        [
            (datetime(2026, 12, 31, 16, 59, 59, tzinfo=UTC), 10, date(2026, 12, 31)),
            (datetime(2026, 12, 31, 17, 0, tzinfo=UTC), 10, None),
            (datetime(2026, 12, 31, 17, 0, tzinfo=UTC), 11, date(2027, 12, 31)),
        ],
    )
    def test_the_term_ends_with_a_day_of_viet_nam(
        self, store: EvidenceStore, at: datetime, years: int, kept_until: date | None
    ) -> None:
        assert (
            verb(store, "ada", years=years).look("001090000001", 2016, "Lê Thị C", at).kept_until
            == kept_until
        )

    def test_said_again_it_finds_nothing_and_writes_nothing(self, store: EvidenceStore) -> None:
        store.record("ada", YEAR)
        assert erase(store, "ada").result == "erased"
        before = store.dump()
        again = erase(store, "ada")
        assert (again.result, again.entry_count, again.reference) == (None, 0, "")
        assert store.dump() == before
        assert verb(store, "ada").look("001090000001", YEAR, "Lê Thị C", NOW).entry_count == 0
        assert erase(store, "nobody has asked about this one").result is None

    def test_somebody_whom_nobody_knows_or_a_source_that_is_away_changes_nothing(
        self, store: EvidenceStore
    ) -> None:
        store.record("ada", YEAR)
        before = store.dump()
        with pytest.raises(PersonUnknown):
            erase(store, "")
        away = replace(verb(store, "ada", "7"), source=OneSource("ada", is_up=False))
        with pytest.raises(SourceUnavailable):
            away.erase("001090000001", YEAR, GROUND, "operator", NOW)
        assert store.dump() == before


class TestAllOrNothing:
    def row(self, reference: str | None = None) -> EvidenceRow:
        row = release_about("ada", NOW)
        return row if reference is None else replace(row, reference=reference)

    def test_an_erasure_that_cannot_be_recorded_leaves_all_as_it_was(self, store: EvidenceStore) -> None:
        store.record("ada", YEAR)
        before = store.dump()
        taken = json.loads(store.entries["ada"][0])["reference"]
        with pytest.raises(IntegrityError):
            erasure(store).erase([PSEUDONYMS.data_subject_ref("ada")], YEAR, self.row(taken))
        assert store.dump() == before

    def test_killed_before_any_statement_it_leaves_all_as_it_was_and_is_said_again(
        self, store: EvidenceStore, cluster: EmbeddedCluster
    ) -> None:
        store.record("ada", YEAR)
        store.record("bob", YEAR)
        before, refs = store.dump(), [PSEUDONYMS.data_subject_ref("ada")]
        number = 0
        while True:
            number += 1
            killing = killed_before(store.owner, cluster.administrator_url, number)
            with killing as killed, suppress(StoreUnavailable, DBAPIError):
                erasure(store).erase(refs, YEAR, self.row())
            if killed.commits or not killed.is_dead:
                break
            assert store.dump() == before, f"killed before statement {number}"
        assert number > 8
        assert erasure(store).erase(refs, YEAR, self.row()) == 0
        assert {name for _, name in found_by_attacker(store.dump(), ["ada", "bob"])} == {"bob"}
        kinds = [row["kind"] for row in store.dump()["evidence_entries"]]
        assert len(kinds) == 5, "recorded once"


class TestAtOnce:
    def test_many_of_one_year_at_once_take_away_what_is_theirs(self, store: EvidenceStore) -> None:
        names = [f"person-{number}" for number in range(8)]
        for name in [*names, "bob"]:
            store.record(name, YEAR)
        # Each twice: the second of the two finds nothing.
        outcomes = at_once(lambda name: erase(store, name).entry_count, [*names, *names])
        assert sorted(outcomes) == [0] * 8 + [2] * 8
        assert {name for _, name in found_by_attacker(store.dump(), [*names, "bob"])} == {"bob"}
        entries = [row for row in store.dump()["evidence_entries"] if row["kind"] == "erasure"]
        assert len(entries) == 8

    def test_releases_about_the_same_person_go_on_meanwhile_and_all_of_them_open(
        self, store: EvidenceStore
    ) -> None:
        store.record("ada", YEAR)
        stop, began, recorded = Event(), Event(), list[str]()

        def releasing() -> None:
            openings = store.openings()
            while not stop.is_set() or len(recorded) < 20:
                row = release_about("ada", NOW)
                with store.application.begin() as connection:
                    record_evidence(connection, row, openings.seal(row))
                recorded.append(row.reference)
                began.set()

        thread = Thread(target=releasing)
        thread.start()
        assert began.wait(30)
        try:
            assert erase(store, "ada").entry_count == 2
        finally:
            stop.set()
            thread.join()
        found = found_by_attacker(store.dump(), ["ada"])
        assert found == {(reference, "ada") for reference in recorded}


@pytest.fixture
def run(
    store: EvidenceStore, settings: Settings, insurance: InsuranceDatabase, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Any]:
    """Give a function that runs the command; the first person of the population is meant."""
    url = store.application.url.render_as_string(hide_password=False)
    chosen = replace(
        settings,
        database_url=url,
        source_url=insurance.reader_url,
        key_encryption_key_file=Secret(KEY),
        pseudonym_key_file=Secret(PSEUDONYM_KEY),
    )
    opened = open_store(url, deadline_seconds=5.0)
    session = Session(chosen, opened, store.owner.url.render_as_string(hide_password=False))
    monkeypatch.setattr(broker.cli.erase_command, "open_session", lambda: nullcontext(session))

    def command(personal_id: str, *options: str, year: int = YEAR, expect: int = 0) -> Result:
        arguments = ["--personal-id", personal_id, "--year", str(year), "--operator", "Lê Thị C"]
        told = CliRunner().invoke(main, ["evidence", "erase", *arguments, "--ground", GROUND, *options])
        assert told.exit_code == expect, (told.output, told.exception)
        assert personal_id not in told.output
        return told

    yield command
    opened.close()


class TestTheCommand:
    @pytest.fixture
    def person(self, insurance: InsuranceDatabase) -> tuple[str, str]:
        engine = create_engine(insurance.owner_url)
        with engine.connect() as connection:
            statement = (
                "SELECT personal_id, person_key::text FROM person WHERE personal_id IS NOT NULL LIMIT 1"
            )
            row = connection.execute(text(statement)).one()
        engine.dispose()
        return row[0], row[1]

    def test_it_looks_first_and_erases_when_it_is_meant(
        self, run: Any, store: EvidenceStore, person: tuple[str, str]
    ) -> None:
        personal_id, name = person
        store.record(name, YEAR)
        before = store.dump()
        looked = run(personal_id, "--json")
        assert json.loads(looked.stdout) == [
            {"year": YEAR, "result": "would_erase", "entries": 2, "kept_until": None}
        ]
        assert looked.stderr == "nothing was erased; say it again with --yes\n"
        assert the_look(before, store.dump())["what"] == "entry_count"
        [done] = json.loads(run(personal_id, "--yes", "--json").stdout)
        assert (done["result"], done["entries"], done["kept_until"]) == ("erased", 2, None)
        lying = [row for row in store.dump()["evidence_entries"] if row["kind"] == "erasure"]
        assert [str(row["reference"]) for row in lying] == [done["evidence_reference"]]
        again = json.loads(run(personal_id, "--yes", "--json").stdout)
        assert again == [
            {
                "year": YEAR,
                "result": "nothing_found",
                "entries": 0,
                "kept_until": None,
                "evidence_reference": None,
            }
        ]

    def test_what_the_law_keeps_it_refuses_with_the_day(
        self, run: Any, store: EvidenceStore, person: tuple[str, str]
    ) -> None:
        personal_id, name = person
        year = datetime.now(UTC).year - 1
        store.record(name, year)
        for options in ((), ("--yes",)):
            told = run(personal_id, "--json", *options, year=year, expect=5)
            assert told.stderr == f"Error: kept by law until {year + 10}-12-31\n"
            [row] = json.loads(told.stdout)
            assert (row["result"], row["entries"]) == ("kept", 2)
            assert row["kept_until"] == f"{year + 10}-12-31"
        kinds = [row["kind"] for row in store.dump()["evidence_entries"]]
        assert sorted(kinds) == ["erasure", "log_read", "release", "release"]

    @pytest.mark.parametrize(
        ("options", "words"),
        [
            (("--ground", "vì tôi muốn"), "--ground: a code, such as law_91_2025_14"),
            (("--operator", "  "), "--operator: a name is needed"),
            (("--personal-id", "12"), "--personal-id: 12 digits"),
            (("--year", "1999"), "Invalid value for '--year'"),
        ],
    )
    def test_wrong_usage_is_told_before_anything_is_opened(
        self, run: Any, options: tuple[str, ...], words: str
    ) -> None:
        assert words in run("001090000001", *options, expect=2).stderr

    def test_who_is_not_known_is_refused(self, run: Any) -> None:
        refused = run("999999999999", "--yes", expect=4)
        assert refused.stderr == "Error: nobody with this personal id is known\n"
