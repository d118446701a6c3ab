"""A person's history is the log about that person, no row more and none fewer: over random days of traffic.

What the log holds about somebody is found out by a twin that knows no index: it reads the published bundles
and tries every salt against the definition of the commitment.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from broker.actions.erase_evidence import EraseEvidence
from broker.actions.show_history import ShowHistory
from broker.app import new_reference, new_salt
from broker.cli.embedded import EmbeddedCluster
from broker.evidence.history import LOOKS, PAGE_SIZE, HistoryFilter
from broker.oauth.evidence_secrets import EvidenceKeySeal
from broker.storage.citizens import PostgresCitizens
from broker.storage.erasure import PostgresErasure
from broker.storage.history import PostgresHistory
from connectors.national_insurance.source import InsuranceSource
from tests.contracts.source_fixtures import InsuranceDatabase
from tests.history_day import Day, Someone
from tests.own_pages_world import HISTORY
from tests.own_world import OwnWorld, own_world
from tests.reference.history import Known, entries_about, entries_in

SEEDS = (20261122, 7)
FAR = datetime(2200, 1, 1, tzinfo=UTC)
"""When no law keeps today's evidence any more."""


@pytest.fixture(scope="module")
def here(
    cluster: EmbeddedCluster,
    release_environ: dict[str, str],
    insurance: InsuranceDatabase,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[OwnWorld]:
    directory = tmp_path_factory.mktemp("log")
    with own_world(cluster, release_environ, insurance, directory, "whole_history") as made:
        yield made


@pytest.fixture(scope="module")
def source(here: OwnWorld) -> Iterator[InsuranceSource]:
    made = InsuranceSource(here.world.settings.source_url, 30.0, concurrency=1)
    yield made
    made.close()


class Histories:
    """What everybody sees, and what the log holds about them."""

    def __init__(self, here: OwnWorld, source: InsuranceSource, day: Day) -> None:
        self.here, self.source, self.day = here, source, day
        world = here.world
        accounts = PostgresCitizens(world.engine)
        self.persons: dict[str, tuple[str, str]] = {}
        """Account → personal id and the source's own key, of everybody who has an account."""
        for facts in day.asked_about:
            account = accounts.find_account(world.pseudonyms.citizen_ref(facts.personal_id))
            if account is not None:
                self.persons[account.citizen_id] = (facts.personal_id, str(facts.person_key))

    def verb(self) -> ShowHistory:
        world = self.here.world
        return ShowHistory(
            store=PostgresHistory(world.engine, world.openings),
            source=self.source,
            data_subject_ref=world.pseudonyms.data_subject_ref,
            personal_id_of=lambda account: self.persons[account][0],
            deadline_seconds=30.0,
        )

    def shown(self, account: str, **wanted: object) -> list[str]:
        """Return the references on all pages of a person's history, as they follow one another."""
        found: list[str] = []
        before = ""
        while True:
            wanted_now = HistoryFilter(before=before, **wanted)  # type: ignore[arg-type]
            page = self.verb().page(account, wanted_now, datetime.now(UTC))
            assert page.is_complete
            assert 0 <= len(page.entries) <= PAGE_SIZE
            found += [one.reference for one in page.entries]
            if not page.following:
                return found
            assert len(page.entries) == PAGE_SIZE
            before = page.following

    def held(self, account: str, *, looks: bool) -> list[str]:
        """Return the references of the log's entries about a person, newest first."""
        told = [one["reference"] for one in self.about(account) if not looks or one["kind"] in LOOKS]
        return sorted(told, reverse=True)

    def about(self, account: str) -> list[Mapping[str, Any]]:
        """Return the log's entries about a person, as the slow twin finds them."""
        names = [self.persons[account][1], f"citizen:{account}"]
        return entries_about(self.entries(), self.known(), names)

    def entries(self) -> list[bytes]:
        """Return every entry of every year's published log."""
        root = Path(self.here.log.settings.log_directory)
        return [entry for one in sorted(root.glob("**/checkpoint")) for entry in entries_in(one.parent)]

    def known(self) -> Known:
        world = self.here.world
        seal = EvidenceKeySeal(world.settings.key_encryption_key_file.reveal())
        keys: dict[int, dict[str, bytes]] = {}
        with world.owner.connect() as connection:
            for row in connection.execute(text("SELECT * FROM evidence_keys")):
                node = seal.open(row.key_name, bytes(row.key_encrypted))
                keys.setdefault(row.key_year, {})[row.path] = node
            rows = connection.execute(
                text("SELECT reference::text, key_year, sealed_salts FROM evidence_openings")
            ).all()
        boxes = {row.reference: (row.key_year, bytes(row.sealed_salts)) for row in rows if row.sealed_salts}
        names = [f"citizen:{account}" for account in self.persons]
        names += [key for _, key in self.persons.values()]
        names += [str(one.person_key) for one in self.day.asked_about]
        return Known(keys, boxes, {name: world.pseudonyms.data_subject_ref(name) for name in names})


def played(here: OwnWorld, source: InsuranceSource, insurance: InsuranceDatabase, seed: int) -> Histories:
    day = Day(here.pages, here.world, insurance, seed)
    day.play(70)
    here.log.order()
    return Histories(here, source, day)


def pages_of(here: OwnWorld, someone: Someone, day: Day, rows: str) -> list[str]:
    """Return the references on the pages themselves, as a browser comes from one to the next."""
    browser, path, found = day.browser(someone), f"{HISTORY}?lang=en&rows={rows}", []
    while path:
        page = browser.get(path)
        assert page.status_code == 200, page.text
        found += re.findall(r'<section class="entry" aria-labelledby="e-([0-9a-f-]{36})"', page.text)
        older = re.search(r'<a href="([^"]+)" rel="next"', page.text)
        path = older[1].replace("&amp;", "&") if older else ""
    return found


def erasing(here: OwnWorld, source: InsuranceSource, someone: Someone) -> EraseEvidence:
    """Return what erases somebody's evidence, kept for a year after its own."""
    world = here.world
    key = world.settings.key_encryption_key_file.reveal()
    return EraseEvidence(
        store=PostgresErasure(world.owner, world.openings, key),
        source=source,
        citizen_of=lambda _: someone.citizen.citizen_id,
        pseudonyms=world.pseudonyms,
        salts=new_salt,
        new_reference=new_reference,
        retention_years=1,
        deadline_seconds=30.0,
    )


@pytest.mark.parametrize("seed", SEEDS)
def test_every_persons_history_is_the_log_about_that_person(
    here: OwnWorld, source: InsuranceSource, insurance: InsuranceDatabase, seed: int
) -> None:
    told = played(here, source, insurance, seed)
    kinds: set[tuple[str, str, str]] = set()
    for account in told.persons:
        everything = told.shown(account, is_everything=True)
        assert everything == told.held(account, looks=False), f"seed {seed}"
        assert told.shown(account) == told.held(account, looks=True), f"seed {seed}"
        kinds.update(
            (entry["kind"], entry.get("action", ""), entry.get("result", "")) for entry in told.about(account)
        )
        counts = told.verb().page(account, HistoryFilter(), datetime.now(UTC)).counts
        assert sum(one.count for one in counts) == len(told.shown(account))
    # The day was one that says something: every way in which evidence about a person comes about was there.
    assert {
        ("release", "verify_entitlement", "released"),
        ("release", "verify_entitlement", "answered_without_data"),
        ("refusal", "verify_entitlement", "refused"),
        ("release", "share_record", "released"),
        ("release", "extract_own_record", "released"),
        ("refusal", "share_record", "refused"),
        ("consent", "", ""),
        ("administration", "", ""),
        ("log_read", "", ""),
    } <= kinds
    assert max(len(told.shown(account, is_everything=True)) for account in told.persons) > PAGE_SIZE


@pytest.mark.parametrize("rows", ["", "everything"])
def test_the_pages_show_exactly_these_rows(
    here: OwnWorld, source: InsuranceSource, insurance: InsuranceDatabase, rows: str
) -> None:
    told = played(here, source, insurance, SEEDS[0] + len(rows))
    for someone in told.day.people:
        on_pages = pages_of(here, someone, told.day, rows)
        # Looking is an entry itself, and on its own page; what an hour's end brings later is on the next one.
        here.log.order()
        held = told.held(someone.citizen.citizen_id, looks=not rows)
        assert on_pages == [one for one in held if not rows or one <= on_pages[0]]
        assert 0 <= len(held) - len(on_pages) <= 1
        if rows:
            newest = next(
                one for one in told.about(someone.citizen.citizen_id) if one["reference"] == on_pages[0]
            )
            assert (newest["kind"], newest["reader"], newest["what"]) == ("log_read", "own", "history")


def test_every_entry_about_a_person_can_be_taken_along_by_that_person_alone(
    here: OwnWorld, source: InsuranceSource, insurance: InsuranceDatabase
) -> None:
    told = played(here, source, insurance, SEEDS[1] + 1)
    first, second = told.day.people[:2]
    browsers = {one.citizen.citizen_id: told.day.browser(one) for one in (first, second)}
    for owner, other in ((first, second), (second, first)):
        mine = told.held(owner.citizen.citizen_id, looks=False)
        assert mine
        # Taking one along is an entry, which is there afterwards.
        for reference in mine:
            address = f"{HISTORY}/{reference}/evidence.json"
            assert browsers[owner.citizen.citizen_id].get(address).status_code == 200
            assert browsers[other.citizen.citizen_id].get(address).status_code == 404


def test_a_wish_that_the_law_does_not_grant_is_an_entry_about_the_person(
    here: OwnWorld, source: InsuranceSource, insurance: InsuranceDatabase
) -> None:
    told = played(here, source, insurance, SEEDS[1] + 3)
    someone = told.day.people[0]
    kept = erasing(here, source, someone).erase(
        someone.citizen.personal_id, datetime.now(UTC).year, "law_91_2025_14", "Lê Thị C", datetime.now(UTC)
    )
    assert kept.result == "kept"
    here.log.order()
    account = someone.citizen.citizen_id
    assert told.shown(account, is_everything=True) == told.held(account, looks=False)
    assert kept.reference in told.shown(account, is_everything=True)
    assert kept.reference not in told.shown(account)
    page = told.day.browser(someone).get(f"{HISTORY}?lang=en&rows=everything").text
    assert "A year of evidence was to be erased; the law keeps it" in page


def test_after_an_erasure_nothing_is_left_of_one_person_and_everything_of_the_others(
    here: OwnWorld, source: InsuranceSource, insurance: InsuranceDatabase
) -> None:
    told = played(here, source, insurance, SEEDS[1] + 2)
    before = {account: told.shown(account, is_everything=True) for account in told.persons}
    erased = told.day.people[0].citizen
    verb = erasing(here, source, told.day.people[0])
    mine = set(before[erased.citizen_id])
    written = {one["reference"]: one["at"] for one in map(json.loads, told.entries())}
    years = {int(written[reference][:4]) for reference in mine}
    for year in years:
        assert verb.erase(erased.personal_id, year, "law_91_2025_14", "Lê Thị C", FAR).result == "erased"
    here.log.order()
    assert told.shown(erased.citizen_id, is_everything=True) == []
    assert told.held(erased.citizen_id, looks=False) == []
    for account in told.persons.keys() - {erased.citizen_id}:
        assert told.shown(account, is_everything=True) == before[account] == told.held(account, looks=False)
    # The entries themselves stand in the log as before.
    assert mine <= {json.loads(entry)["reference"] for entry in told.entries()}
