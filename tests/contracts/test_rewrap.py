"""broker keys rewrap: what one key-encryption key sealed opens under another one, and nothing is lost."""

from __future__ import annotations

import base64
import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from click.testing import CliRunner, Result
from psycopg.errors import LockNotAvailable
from sqlalchemy import LargeBinary, text
from sqlalchemy.exc import OperationalError

import broker.cli.keys
import broker.cli.rewrap
from broker.cli import main
from broker.cli.embedded import EmbeddedCluster
from broker.cli.operator import operator_acting
from broker.cli.session import Session
from broker.clock import system_clock
from broker.consent.complaint import Complaint
from broker.errors import StoreUnavailable
from broker.keys import PURPOSES, KeyRing
from broker.oauth.citizen_secrets import CitizenSecrets, CitizenSecretUnreadable
from broker.oauth.evidence_secrets import EvidenceKeySeal, EvidenceSecretUnreadable
from broker.oauth.jose import decode_segment
from broker.oauth.release_secrets import ReleaseSeal, ReleaseSecretUnreadable
from broker.oauth.rewrapping import Rewrapping, name_of_key
from broker.oauth.statistics_secrets import ExportSecretUnreadable
from broker.settings import Secret, Settings
from broker.statistics.periods import parse_quarter
from broker.statistics.revision import RevisionPolicy
from broker.storage.citizens import CitizenRecord, PostgresCitizens
from broker.storage.complaints import PostgresComplaints
from broker.storage.evidence_keys import PostgresEvidenceKeys
from broker.storage.rewrap import PLACES, PostgresRewrap
from broker.storage.signing_keys import PostgresSigningKeys
from broker.storage.statistics_making import PostgresReleaseMaking
from broker.storage.tables import metadata
from tests.acting import ACTS, entries, last_reference
from tests.exports_shelf import Shelf
from tests.exports_world import manifest, plan_of
from tests.house.project import ROOT
from tests.oauth_world import Database, oauth_database

OLD, NEW, THIRD = (bytes([number]) * 32 for number in (1, 2, 3))
PEOPLE = 7
YEARS = (2024, 2025, 2026)
PERSON = bytes(range(32))
EXPORTS = ("statistics_tables", "statistics_jobs", "statistics_releases")
WORDS = "Tôi không đến bệnh viện này."


@pytest.fixture(scope="module")
def oauth(cluster: EmbeddedCluster) -> Iterator[Database]:
    with oauth_database(cluster) as database:
        yield database


@pytest.fixture
def database(oauth: Database) -> Iterator[Database]:
    """Seven signing keys, seven citizens, two complaints, an answer, keys of three years, all under OLD."""
    oauth.empty()
    empty_evidence_keys(oauth)
    keys = PostgresEvidenceKeys(oauth.store, OLD)
    for year in YEARS:
        assert keys.find_for_writing(year, PERSON, 5.0) is not None
    KeyRing(PostgresSigningKeys(oauth.application, ACTS), OLD, system_clock).ensure_keys()
    citizens = [register(oauth, number) for number in range(PEOPLE)]
    complaints = PostgresComplaints(oauth.application, CitizenSecrets(OLD), ACTS)
    for citizen_id in citizens[:2]:
        assert complaints.keep(complaint(citizen_id))
    complaints.answer(complaints.list_complaints()[0].complaint_id, "Đã xem.", system_clock())
    yield oauth
    # Other modules go on with keys of their own.
    oauth.empty()
    empty_evidence_keys(oauth)


def empty_evidence_keys(database: Database) -> None:
    with database.owner.begin() as connection:
        connection.execute(text("TRUNCATE evidence_keys"))


def register(database: Database, number: int, key: bytes = OLD) -> str:
    citizen_id, secrets_ = str(uuid4()), CitizenSecrets(key)
    PostgresCitizens(database.application, ACTS).register_citizen(
        CitizenRecord(
            citizen_id=citizen_id,
            personal_id_ref=uuid4().bytes * 2,
            personal_id_encrypted=secrets_.seal("personal_id", citizen_id, personal_id(number)),
            password_hash=None,
            # Every second one has no one-time codes.
            totp_secret_encrypted=secrets_.seal("totp_secret", citizen_id, "BASE32") if number % 2 else None,
        )
    )
    return citizen_id


def personal_id(number: int) -> str:
    return f"00109000{number:04}"


def complaint(citizen_id: str) -> Complaint:
    at = datetime(2026, 2, 12, tzinfo=UTC)
    return Complaint(
        complaint_id=str(uuid4()),
        citizen_id=citizen_id,
        reference="",
        status="received",
        received_at=at,
        acknowledge_by=at,
        text=WORDS,
    )


def under(database: Database, key: bytes) -> list[str]:
    """Return all that the key opens of citizens and complaints, sorted; the signing keys by their purpose."""
    secrets_, opened = CitizenSecrets(key), []
    with database.application.connect() as connection:
        people = connection.execute(text("SELECT * FROM citizens")).all()
        said = connection.execute(text("SELECT * FROM complaints")).all()
        keys = connection.execute(text("SELECT key_name, key_encrypted FROM evidence_keys")).all()
    values: list[tuple[Any, str, Any]] = []
    for one in people:
        values.append(("personal_id", str(one.citizen_id), one.personal_id_encrypted))
        values.append(("totp_secret", str(one.citizen_id), one.totp_secret_encrypted))
    for one in said:
        name = f"{one.citizen_id}/{one.complaint_id}"
        values.append(("complaint", name, one.text_encrypted))
        values.append(("complaint_answer", name, one.answer_encrypted))
    for purpose, name, sealed in values:
        try:
            opened += [] if sealed is None else [secrets_.open(purpose, name, bytes(sealed))]
        except CitizenSecretUnreadable:
            continue
    for name, sealed in keys:
        try:
            EvidenceKeySeal(key).open(name, bytes(sealed))
        except EvidenceSecretUnreadable:
            continue
        opened.append(name)
    ring = KeyRing(PostgresSigningKeys(database.application, ACTS), key, system_clock)
    return sorted([*opened, *(stored.purpose for stored in ring.stored_keys())])


EVERYTHING = sorted(
    [
        *map(personal_id, range(PEOPLE)),
        *["BASE32"] * 3,
        WORDS,
        WORDS,
        "Đã xem.",
        *PURPOSES,
        "2024/",
        "2025/",
        "2026/",
    ]
)


@pytest.fixture
def run(database: Database, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Give a function that runs the command with NEW in the settings; it prints no secret."""
    chosen = replace(settings, database_url=database.application_url, key_encryption_key_file=Secret(NEW))

    @contextmanager
    def open_session() -> Iterator[Session]:
        yield Session(chosen, database.store, str(database.owner.url))

    for module in (broker.cli.rewrap, broker.cli.keys):
        monkeypatch.setattr(module, "open_session", open_session)

    def command(*options: str, old: bytes = OLD, expect: int = 0) -> Result:
        path = tmp_path / "old.secret"
        path.write_bytes(base64.urlsafe_b64encode(old))
        path.chmod(0o600)
        arguments = ["keys", "rewrap", "--old-key-file", str(path), *options]
        result = CliRunner().invoke(main, arguments)
        assert result.exit_code == expect, (result.output, result.exception)
        for secret in (personal_id(0), WORDS, "BASE32", path.read_text()):
            assert secret not in result.output
        return result

    return command


def rows(*counts: int, old: str = "rewrapped") -> list[dict[str, object]]:
    """Return what the command prints: pairs of counts for keys, citizens, complaints, keys of evidence.

    Of statistical exports and releases there are none here.
    """
    tables = ("signing_keys", "citizens", "complaints", *EXPORTS, "evidence_keys")
    counts = (*counts[:6], *(0,) * 2 * len(EXPORTS), *counts[6:])
    pairs = zip(counts[::2], counts[1::2], strict=True)
    return [
        {"table": table, old: first, "under_new_key": second}
        for table, (first, second) in zip(tables, pairs, strict=True)
    ]


def test_everything_that_the_old_key_sealed_opens_under_the_new_one(run: Any, database: Database) -> None:
    assert under(database, OLD) == EVERYTHING
    assert json.loads(run("--json").stdout) == rows(7, 0, PEOPLE, 0, 2, 0, 3, 0)
    assert under(database, NEW) == EVERYTHING
    assert under(database, OLD) == []


def test_a_second_run_changes_nothing(run: Any, database: Database) -> None:
    run()
    before = sealed_bytes(database)
    assert json.loads(run("--json").stdout) == rows(0, 7, 0, PEOPLE, 0, 2, 0, 3)
    assert sealed_bytes(database) == before


def test_looking_changes_nothing_and_says_what_would_be_done(run: Any, database: Database) -> None:
    before = sealed_bytes(database)
    register(database, 99, NEW)
    told = json.loads(run("--check", "--json").stdout)
    assert told == rows(7, 0, PEOPLE, 1, 2, 0, 3, 0, old="under_old_key")
    assert [row for row in sealed_bytes(database) if row in before] == before


def test_what_was_signed_before_verifies_afterwards_and_the_same_keys_go_on_signing(
    run: Any, database: Database
) -> None:
    before = KeyRing(PostgresSigningKeys(database.application, ACTS), OLD, system_clock)
    published = before.published_jwks()
    protected, payload, signature = before.sign_consent_receipt({"said": "once"}).encode().split(b".")
    run()
    after = KeyRing(PostgresSigningKeys(database.application, ACTS), NEW, system_clock)
    assert after.published_jwks() == published
    found = after.find_consent_receipt_key(kid_of(protected))
    assert found is not None
    assert found.is_signature(protected + b"." + payload, decode_segment(signature))
    assert kid_of(after.sign_consent_receipt({"said": "again"}).encode().split(b".")[0]) == kid_of(protected)


def kid_of(protected: bytes) -> str:
    return str(json.loads(decode_segment(protected))["kid"])


def test_one_row_that_neither_key_opens_stops_all_before_anything_is_changed(
    run: Any, database: Database
) -> None:
    foreign, before = register(database, 99, THIRD), sealed_bytes(database)
    refused = run("--json", expect=1)
    assert refused.stderr == (
        f"Error: neither key opens citizens {foreign}: it was sealed under a third key, or changed\n"
    )
    assert refused.stdout == ""
    assert set(before) <= set(sealed_bytes(database))
    assert under(database, OLD) == EVERYTHING


def test_a_wrong_old_key_changes_nothing(run: Any, database: Database) -> None:
    assert "neither key opens signing_keys " in run(old=THIRD, expect=1).stderr
    assert under(database, OLD) == EVERYTHING


def test_a_run_that_was_stopped_is_run_again(database: Database) -> None:
    walk = PostgresRewrap(database.application, database.owner, Rewrapping(OLD, NEW), ACTS, batch_rows=3)
    seen = []

    def stopped(count: int) -> None:
        seen.append(count)
        if len(seen) == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        walk.rewrap(stopped)
    assert seen == [3, 3, 1, 3, 3]  # seven keys, six citizens; one citizen and all behind it are left
    assert sorted([*under(database, OLD), *under(database, NEW)]) == EVERYTHING
    assert personal_id_count(under(database, NEW)) == 6
    done = walk.rewrap(seen.append)
    found = [(one.under_old_key, one.under_new_key) for one in done if one.table not in EXPORTS]
    assert found == [(0, 7), (1, 6), (2, 0), (3, 0)]
    assert [count for count in seen[5:] if count] == [3, 3, 1, 3, 3, 1, 2, 3]
    assert walk.count_rows() == 19
    assert under(database, NEW) == EVERYTHING


def personal_id_count(opened: list[str]) -> int:
    return len([one for one in opened if one.startswith("00109")])


def test_a_batch_that_fails_in_its_middle_changes_nothing_of_it(database: Database) -> None:
    class Broken(Rewrapping):
        left = 8

        def sealed(self, purpose: Any, name: str, sealed: bytes) -> bytes | None:
            self.left -= 1
            if not self.left:
                raise StoreUnavailable("gone")
            return super().sealed(purpose, name, sealed)

    with pytest.raises(StoreUnavailable):
        PostgresRewrap(database.application, database.owner, Broken(OLD, NEW), ACTS).rewrap(lambda _: None)
    assert under(database, NEW) == sorted(PURPOSES)
    assert sorted([*under(database, OLD), *PURPOSES]) == EVERYTHING


KILLED = """
import os, signal, sys
from sqlalchemy import create_engine
from broker.oauth.release_secrets import ReleaseSeal, ReleaseSecretUnreadable
from broker.oauth.rewrapping import Rewrapping
from broker.storage.evidence_keys import PostgresEvidenceKeys
from broker.storage.rewrap import PostgresRewrap
from tests.acting import ACTS

application, owner, old, new = sys.argv[1:]
rewrapping = Rewrapping(bytes.fromhex(old), bytes.fromhex(new))
left = 3


class Killed(Rewrapping):
    def evidence_key(self, name, sealed):
        global left
        left -= 1
        if not left:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().evidence_key(name, sealed)


killed = Killed(bytes.fromhex(old), bytes.fromhex(new))
walk = PostgresRewrap(create_engine(application), create_engine(owner), killed, ACTS, batch_rows=2)
walk.rewrap(lambda _: None)
"""


def test_a_run_killed_among_the_keys_of_evidence_is_run_again_and_every_key_stays_what_it_was(
    database: Database,
) -> None:
    before = PostgresEvidenceKeys(database.store, OLD).find_all([PERSON])
    assert [one.year for one in before] == list(YEARS)
    urls = [
        engine.url.render_as_string(hide_password=False) for engine in (database.application, database.owner)
    ]
    command = [sys.executable, "-c", KILLED, *urls, OLD.hex(), NEW.hex()]
    came_after = last_reference(database.application)
    assert subprocess.run(command, check=False, cwd=ROOT).returncode == -signal.SIGKILL
    assert [name for name in under(database, NEW) if "/" in name] == ["2024/", "2025/"]
    begun = [(one["event"], one["kid"]) for one in entries(database.application, "key_event", came_after)]
    assert begun[0] == ("activated", name_of_key(NEW)), "before anything is under the new key"
    assert begun[-1] == ("rewrapped", "2025"), "as far as it came, and nothing else"
    walk = PostgresRewrap(database.application, database.owner, Rewrapping(OLD, NEW), ACTS)
    done = {one.table: (one.under_old_key, one.under_new_key) for one in walk.rewrap(lambda _: None)}
    assert done["evidence_keys"] == (1, 2)
    assert PostgresEvidenceKeys(database.store, NEW).find_all([PERSON]) == before
    with pytest.raises(EvidenceSecretUnreadable):
        PostgresEvidenceKeys(database.store, OLD).find_all([PERSON])


def test_every_key_that_is_rewrapped_leaves_an_entry_and_so_does_the_exchange(
    run: Any, database: Database, settings: Settings
) -> None:
    came_after = last_reference(database.application)
    run("--check")
    assert entries(database.application, "key_event", came_after) == [], "looking changes nothing"
    run()
    found = entries(database.application, "key_event", came_after)
    assert {one["actor"] for one in found} == {"operator"}
    assert {one["acting_person"] for one in found} == {operator_acting(settings).acting_person}
    told = [(one["purpose"], one["event"], one["kid"]) for one in found]
    assert told[0] == ("key_encryption", "activated", name_of_key(NEW))
    assert told[-1] == ("key_encryption", "retired", name_of_key(OLD))
    with database.application.connect() as connection:
        kids = connection.execute(text("SELECT purpose, kid FROM signing_keys")).all()
    assert sorted(told[1:-1]) == sorted(
        [(purpose, "rewrapped", kid) for purpose, kid in kids]
        + [("evidence", "rewrapped", str(year)) for year in YEARS]
    )


def test_exports_open_under_the_new_key_and_their_contents_are_not_written_again(
    run: Any, database: Database
) -> None:
    shelf, release, now = Shelf(database.application, OLD), manifest(), datetime.now(UTC)
    jobs = [shelf.answered(release, plan_of(release, (cut, cut)), b"numbers") for cut in ("sex", "age")]
    shelf.ask(release, plan_of(release, ("province", "region")))
    contents = "SELECT sealed FROM statistics_chunks UNION ALL SELECT cells_sealed FROM statistics_tables"
    with database.application.connect() as connection:
        before = sorted(map(repr, connection.execute(text(contents)).scalars()))
    told = {one.pop("table"): one for one in json.loads(run("--json").stdout)}
    assert [told[name] for name in EXPORTS[:2]] == [{"rewrapped": 2, "under_new_key": 1}] * 2
    after = Shelf(database.application, NEW)
    for job in jobs:
        assert after.jobs.read_result(job.job_id, job.client_id, 0, 7, now) == b"numbers"
    assert [one.plan for one in after.kept.tables_of(release.release)] == [
        plan_of(release, (cut, cut)) for cut in ("sex", "age")
    ]
    with pytest.raises(ExportSecretUnreadable):
        shelf.kept.tables_of(release.release)
    with database.application.connect() as connection:
        assert sorted(map(repr, connection.execute(text(contents)).scalars())) == before


def test_the_secrets_of_a_release_are_the_same_under_the_new_key(run: Any, database: Database) -> None:
    with database.owner.begin() as connection:
        connection.execute(text("TRUNCATE statistics_releases"))
    quarter, policy = parse_quarter("2026-q3"), RevisionPolicy()
    making = PostgresReleaseMaking(database.application, ReleaseSeal(OLD), ACTS)
    before = making.begin(quarter, policy, supersede=False)
    told = {one["table"]: one for one in json.loads(run("--json").stdout)}
    assert told["statistics_releases"]["rewrapped"] == 1
    with pytest.raises(ReleaseSecretUnreadable):
        making.begin(quarter, policy, supersede=False)
    anew = PostgresReleaseMaking(database.application, ReleaseSeal(NEW), ACTS)
    assert anew.begin(quarter, policy, supersede=False) == replace(before, is_resumed=True)
    again = {one["table"]: one for one in json.loads(run("--json").stdout)}
    assert again["statistics_releases"] == {
        "table": "statistics_releases", "rewrapped": 0, "under_new_key": 1,
    }  # fmt: skip
    with database.owner.begin() as connection:
        connection.execute(text("TRUNCATE statistics_releases"))


def test_without_the_owner_role_nothing_is_changed(
    run: Any, database: Database, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen = replace(settings, database_url=database.application_url, key_encryption_key_file=Secret(NEW))
    session = Session(chosen, database.store)
    monkeypatch.setattr(broker.cli.rewrap, "open_session", lambda: nullcontext(session))
    refused = run("--json", expect=1)
    assert refused.stderr == "Error: BROKER_OWNER_DATABASE_URL is missing: the owner role's URL\n"
    assert under(database, OLD) == EVERYTHING
    assert json.loads(run("--check", "--json").stdout)[-1]["under_old_key"] == 3


def test_nobody_changes_a_row_between_its_reading_and_its_writing(database: Database) -> None:
    change = text("UPDATE citizens SET status = 'suspended' WHERE citizen_id = :name")

    class Disturbed(Rewrapping):
        refused: type[object] | None = None

        def sealed(self, purpose: Any, name: str, sealed: bytes) -> bytes | None:
            if purpose == "personal_id" and self.refused is None:
                with database.owner.connect() as connection:
                    connection.execute(text("SET lock_timeout = '50ms'"))
                    with pytest.raises(OperationalError) as caught:
                        connection.execute(change, {"name": name})
                    connection.invalidate()
                self.refused = type(caught.value.orig)
            return super().sealed(purpose, name, sealed)

    disturbed = Disturbed(OLD, NEW)
    PostgresRewrap(database.application, database.owner, disturbed, ACTS).rewrap(lambda _: None)
    assert disturbed.refused is LockNotAvailable


@pytest.mark.parametrize(
    ("old", "words"),
    [
        (NEW, "--old-key-file holds the key of BROKER_KEY_ENCRYPTION_KEY_FILE"),
        (b"short", "--old-key-file must be 32 bytes, no more and no fewer"),
    ],
)
def test_a_file_that_cannot_be_the_old_key_is_refused(run: Any, old: bytes, words: str) -> None:
    assert words in run(old=old, expect=2).stderr


def test_a_bar_is_shown_where_it_is_asked_for(run: Any) -> None:
    assert "19 of 19 rows sealed" in run("--progress").stderr
    assert run().stderr == ""


def test_no_key_is_rotated_under_a_key_that_opens_none(run: Any, database: Database) -> None:
    before = sealed_bytes(database)
    refused = CliRunner().invoke(main, ["keys", "rotate", "receipt", "--compromised"])
    assert refused.exit_code == 1
    assert refused.stderr == (
        "Error: no receipt key opens under BROKER_KEY_ENCRYPTION_KEY_FILE: is it the right file? "
        "After an exchange: broker keys rewrap\n"
    )
    assert sealed_bytes(database) == before
    run()
    rotated = CliRunner().invoke(main, ["keys", "rotate", "receipt", "--json"])
    assert rotated.exit_code == 0, rotated.output
    assert [one["purpose"] for one in json.loads(rotated.stdout)] == ["receipt"]


def test_no_sealed_column_is_forgotten() -> None:
    told = {f"{place.table.name}.{column}" for place in PLACES for column in place.columns}
    kept = {
        f"{table.name}.{column.name}"
        for table in metadata.tables.values()
        for column in table.columns
        if isinstance(column.type, LargeBinary) and column.name.endswith("_encrypted")
    }
    assert told == kept


def sealed_bytes(database: Database) -> list[tuple[str, ...]]:
    """Return all sealed columns of all rows, as they lie there."""
    found = []
    with database.application.connect() as connection:
        for place in PLACES:
            columns = ", ".join(place.columns)
            statement = f"SELECT {columns} FROM {place.table.name} ORDER BY 1"  # noqa: S608 - our own names
            found += [tuple(map(repr, row)) for row in connection.execute(text(statement))]
    return found
