"""What opens commitments is kept sealed: for whom the entry is about, and for nobody else."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from threading import Barrier

import pytest
from sqlalchemy import text

from broker.actions.consent_writer import CITIZEN_PREFIX
from broker.actions.show_history import ShowHistory
from broker.cli.embedded import EmbeddedCluster
from broker.errors import StoreUnavailable
from broker.evidence.canonical import commitment
from broker.evidence.verifier import Opening, Trust, verified
from broker.oauth.evidence_secrets import EvidenceSecretUnreadable
from broker.storage.acts import record_evidence
from broker.storage.history import PostgresHistory
from broker.storage.openings import PostgresOpenings
from tests.doors import at_once
from tests.evidence_log import LOG_KEY, MemoryLog
from tests.evidence_store import (
    KEY,
    PAYLOAD,
    PSEUDONYMS,
    EvidenceStore,
    OneSource,
    evidence_store,
    found_by_attacker,
    release_about,
)

AT = datetime(2026, 11, 22, tzinfo=UTC)


@pytest.fixture(scope="module")
def made(cluster: EmbeddedCluster) -> Iterator[EvidenceStore]:
    with evidence_store(cluster, "broker_openings") as store:
        yield store


@pytest.fixture
def store(made: EvidenceStore) -> EvidenceStore:
    made.empty()
    return made


def ref_of(name: str) -> bytes:
    return PSEUDONYMS.data_subject_ref(name)


def reference_of(entry: bytes) -> str:
    return str(json.loads(entry)["reference"])


def test_an_entry_opens_for_its_own_person_and_for_nobody_else(store: EvidenceStore) -> None:
    store.record("ada", 2026)
    store.record("bob", 2026)
    for entry in store.entries["ada"]:
        kept = store.openings().find_opening([ref_of("citizen:ada"), ref_of("ada")], reference_of(entry))
        assert kept is not None
        assert (kept.entry, kept.ref) == (entry, ref_of("ada"))
        told = json.loads(entry)
        assert commitment(kept.data_subject_salt or b"", b"ada") == told["data_subject_commit"]
        assert commitment(kept.payload_salt or b"", PAYLOAD) == told["payload_commit"]
        assert store.openings().find_opening([ref_of("bob")], reference_of(entry)) is None
        assert store.openings().find_opening([], reference_of(entry)) is None
    assert store.openings().find_opening([ref_of("ada")], "00000000-0000-0000-0000-000000000000") is None


def test_nothing_in_the_tables_names_anybody_or_opens_anything_without_the_key(store: EvidenceStore) -> None:
    openings = store.openings()
    row = release_about("ada", AT)
    with store.application.begin() as connection:
        record_evidence(connection, row, openings.seal(row))
    lying = repr(store.dump()).encode()
    for secret in (row.data_subject_ref, row.data_subject_salt, row.payload_salt):
        assert repr(secret).encode()[2:-1] not in lying
    with pytest.raises(EvidenceSecretUnreadable):
        PostgresOpenings(store.store, bytes(32)).find_opening([ref_of("ada")], row.reference)


def test_entries_about_nobody_keep_their_payloads_salt_and_no_link(store: EvidenceStore) -> None:
    row = replace(release_about("ada", AT), data_subject_ref=None, data_subject_salt=None)
    sealed = store.openings().seal(row)
    assert sealed.person_link is None
    assert len(sealed.sealed_salts or b"") == 93
    nothing = store.openings().seal(replace(row, payload_salt=None))
    assert (nothing.key_year, nothing.person_link, nothing.sealed_salts) == (2026, None, None)


def test_of_many_who_make_the_first_secret_of_a_year_at_once_one_is_kept_and_all_entries_open(
    store: EvidenceStore,
) -> None:
    barrier = Barrier(8)

    def begin(number: int) -> str:
        openings, name = store.openings(), f"person-{number % 4}"
        row = release_about(name, AT)
        barrier.wait(30)
        sealed = openings.seal(row)
        with store.application.begin() as connection:
            record_evidence(connection, row, sealed)
        return row.reference

    references = at_once(begin, range(8))
    with store.owner.connect() as connection:
        assert connection.execute(text("SELECT key_name FROM evidence_keys")).scalars().all() == ["2026/"]
    found = found_by_attacker(store.dump(), [f"person-{number}" for number in range(4)])
    assert found == {(reference, f"person-{at % 4}") for at, reference in enumerate(references)}


def test_sealing_asks_the_database_once_a_year(store: EvidenceStore) -> None:
    openings = store.openings()
    openings.seal(release_about("ada", AT))
    with store.owner.begin() as connection:
        connection.execute(text("LOCK TABLE evidence_keys IN ACCESS EXCLUSIVE MODE"))
        for number in range(50):
            openings.seal(release_about(f"person-{number}", AT), 0.0)
        with pytest.raises(StoreUnavailable):
            openings.seal(release_about("ada", AT.replace(year=2027)), 0.2)


def test_while_the_keys_cannot_be_read_nobody_waits_longer_than_the_own_deadline(
    store: EvidenceStore,
) -> None:
    openings = store.openings()
    with ThreadPoolExecutor(8) as pool, store.owner.begin() as connection:
        connection.execute(text("LOCK TABLE evidence_keys IN ACCESS EXCLUSIVE MODE"))
        refused = pool.submit(openings.seal, release_about("ada", AT), 0.2).exception(60)
        assert isinstance(refused, StoreUnavailable)
        assert refused.detail == "the keys of evidence cannot be had: DatabaseTooSlow"
        # Eight at once ask for themselves: none stands behind another one's deadline.
        sealed = [pool.submit(openings.seal, release_about("ada", AT), 60.0) for _ in range(8)]
        waiting = "SELECT count(*) FROM pg_locks WHERE relation = 'evidence_keys'::regclass AND NOT granted"
        until = time.monotonic() + 60
        while connection.execute(text(waiting)).scalar_one() < 8:
            assert time.monotonic() < until, "some wait for one another"
        connection.rollback()
        links = {one.result(60).person_link for one in sealed}
    assert len(links) == 1
    assert None not in links


def test_under_a_wrong_key_encryption_key_no_year_is_begun(store: EvidenceStore) -> None:
    store.openings().seal(release_about("ada", AT))
    before = store.dump()["evidence_keys"]
    with pytest.raises(EvidenceSecretUnreadable):
        PostgresOpenings(store.store, bytes(32)).seal(release_about("ada", AT.replace(year=2027)))
    assert store.dump()["evidence_keys"] == before


def test_a_year_of_which_only_branches_are_left_gets_no_second_secret(store: EvidenceStore) -> None:
    store.openings().seal(release_about("ada", AT))
    with store.owner.begin() as connection:
        connection.execute(text("UPDATE evidence_keys SET key_name = '2026/f', path = 'f'"))
    before = store.dump()["evidence_keys"]
    with pytest.raises(EvidenceSecretUnreadable):
        store.openings().seal(release_about("ada", AT))
    assert store.dump()["evidence_keys"] == before


def test_two_years_of_one_person_have_nothing_in_common(store: EvidenceStore) -> None:
    openings = store.openings()
    links = {
        openings.seal(release_about("ada", AT.replace(year=year))).person_link for year in (2025, 2026, 2027)
    }
    assert len(links) == 3
    assert set(openings.links([ref_of("ada")])) == links
    assert PostgresOpenings(store.store, KEY).links([]) == []


class TestOneEntryForItsOwnPerson:
    """`ShowHistory.open_entry`: an entry with all that opens it, for whoever signed in as that person."""

    def history(self, store: EvidenceStore, name: str, *, is_up: bool = True) -> ShowHistory:
        return ShowHistory(
            store=PostgresHistory(store.application, store.openings()),
            source=OneSource(name, is_up),
            data_subject_ref=PSEUDONYMS.data_subject_ref,
            personal_id_of=lambda _: "001090000001",
            deadline_seconds=1.0,
        )

    @pytest.mark.parametrize("name", ["ada", f"{CITIZEN_PREFIX}7"])
    def test_what_is_handed_out_passes_the_verifier(self, store: EvidenceStore, name: str) -> None:
        store.record(name, 2026, 1)
        [entry] = store.entries[name]
        opened = self.history(store, "ada").open_entry("7", reference_of(entry), AT)
        assert opened is not None
        assert (opened.entry, opened.data_subject) == (entry, name)
        log = MemoryLog()
        log.append([entry])
        told = verified(
            opened.entry,
            log.proof_file(0),
            Trust([LOG_KEY]),
            data_subject=Opening(opened.data_subject_salt or b"", opened.data_subject.encode()),
            payload=Opening(opened.payload_salt or b"", PAYLOAD),
        )
        assert [one.name for one in told.checks if one.result == "not_checked"] == [
            "witnesses",
            "timestamp",
        ]
        assert told.holds

    def test_somebody_elses_is_as_if_it_were_not(self, store: EvidenceStore) -> None:
        store.record("ada", 2026, 1)
        reference = reference_of(store.entries["ada"][0])
        assert self.history(store, "bob").open_entry("8", reference, AT) is None
        assert self.history(store, "").open_entry("8", reference, AT) is None

    def test_while_the_source_is_away_nobody_says_whose_it_is(self, store: EvidenceStore) -> None:
        store.record("ada", 2026, 1)
        with pytest.raises(StoreUnavailable, match="the source cannot say whose entry this is"):
            self.history(store, "ada", is_up=False).open_entry("7", reference_of(store.entries["ada"][0]), AT)
