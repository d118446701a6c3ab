"""Every act of administration leaves one entry, in the transaction of the act, and no word of anybody's."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

import pytest
from click.testing import CliRunner, Result
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from broker.cli import main
from broker.cli.operator import operator_acting
from broker.consent.complaint import Complaint
from broker.evidence.acting import BY_ITSELF
from broker.evidence.administration_entry import ACTS as ALL_ACTS
from broker.evidence.administration_entry import TargetKind
from broker.evidence.canonical import commitment
from broker.evidence.kinds import check_any
from broker.evidence.pseudonyms import KeyedPseudonyms
from broker.oauth.citizen_secrets import CitizenSecrets
from broker.storage.acts import NobodyActs, acts_of
from broker.storage.clients import PostgresClients
from broker.storage.complaints import PostgresComplaints
from broker.storage.openings import PostgresOpenings
from broker.storage.tables import metadata
from tests.acting import ACTS, entries, last_reference, told, without_entries
from tests.oauth_world import Party
from tests.release_world import World

NOT_DONE_BY_A_COMMAND: Final = {
    # Acts of the log and of emergencies that no program does yet; the others have tests of their own.
    *("log_recovered", "log_closed", "emergency_begun", "emergency_ended"),
    *("log_created", "notice_retried", "consent_invalidated", "disclosure_extended"),
    *("statistics_frozen", "statistics_superseded"),
}
OPERATOR: Final = "Lê Thị Cần"
NAME: Final = "Nguyễn Văn Ẩn"
WORDS: Final = "Tôi không đến bệnh viện này"
PASSWORD: Final = "mật khẩu rất dài và riêng"
UNTOUCHED: Final = ("evidence_entries", "evidence_openings", "evidence_keys", "usage_counters")


@dataclass(frozen=True)
class Stage:
    """What the commands of one test are about; nobody else knows these names."""

    organisation: str
    client: str
    personal_id: str
    jwks: Path
    password: Path
    answer: Path
    complaint: str = ""

    def command(self, act: str) -> list[str]:
        """Return the words that do an act."""
        person = ["--personal-id", self.personal_id]
        staff = ["--organisation-id", self.organisation, *person]
        register = [
            *("client", "register", "--organisation-id", self.organisation, "--kind", "hospital"),
            *("--name-vi", f"Bệnh viện {NAME}", "--name-en", "Hospital", "--contact-officer", NAME),
            *("--client-id", self.client, "--name", NAME, "--scope", "verify_entitlement"),
            *("--agreement", "hospital_entitlement_check", "--expires", "2031-06-30"),
            *("--source-network", "203.0.113.0/24", "--jwks", str(self.jwks)),
        ]
        password = ["--password-file", str(self.password)]
        return {
            "organisation_registered": register,
            "client_registered": register,
            "client_extended": ["client", "extend", self.client, "--expires", "2032-01-31"],
            "client_keys_exchanged": ["client", "rotate", self.client, "--jwks", str(self.jwks)],
            "client_suspended": ["client", "suspend", self.client],
            "client_resumed": ["client", "resume", self.client],
            "staff_registered": ["staff", "register", *staff, "--full-name", NAME, "--assignment", NAME],
            "staff_revoked": ["staff", "revoke", *staff],
            "citizen_created": ["citizen", "create", *person, *password],
            "citizen_renewed": ["citizen", "renew", *person, "--totp", *password],
            "citizen_suspended": ["citizen", "suspend", *person],
            "citizen_resumed": ["citizen", "resume", *person],
            "complaint_read": ["complaint", "show", self.complaint],
            "complaint_acknowledged": ["complaint", "acknowledge", self.complaint],
            "complaint_answered": ["complaint", "answer", self.complaint, "--answer-file", str(self.answer)],
        }[act]


DONE: Final = tuple(act for act in ALL_ACTS if act not in NOT_DONE_BY_A_COMMAND)
BEFORE: Final = {
    "client": ("client_registered",),
    "staff": ("client_registered", "staff_registered"),
    "citizen": ("citizen_created",),
    "complaint": ("citizen_created",),
    "organisation": (),
}
"""Kind of thing → what must have been done before something can be done to it."""


@pytest.fixture
def stage(world: World, tmp_path: Path) -> Stage:
    name = uuid4().hex[:20]
    jwks = tmp_path / "keys.json"
    jwks.write_text(json.dumps({"keys": [Party("x").public_jwk]}), encoding="utf-8")
    for file, words in (("password", PASSWORD), ("answer", WORDS)):
        (tmp_path / file).write_text(words, encoding="utf-8")
    number = f"{uuid4().int % 10**12:012d}"
    return Stage(f"org-{name}", f"client-{name}", number, jwks, tmp_path / "password", tmp_path / "answer")


@pytest.fixture
def run(world: World, release_environ: dict[str, str]) -> Callable[..., Result]:
    environ = {**release_environ, "BROKER_OPERATOR": OPERATOR}

    def command(words: Sequence[str]) -> Result:
        return CliRunner().invoke(main, list(words), env=environ)

    return command


def done(result: Result) -> Result:
    assert result.exit_code == 0, (result.output, result.exception)
    return result


def prepared(world: World, stage: Stage, run: Callable[..., Result], act: str) -> Stage:
    """Do what must have been done before an act; return the stage with what it made."""
    kind: TargetKind = ALL_ACTS[act]
    for earlier in BEFORE[kind]:
        if act not in (earlier, "client_registered"):
            done(run(stage.command(earlier)))
    if kind != "complaint":
        return stage
    return Stage(**{**vars(stage), "complaint": complained(world, account(world, stage))})


def account(world: World, stage: Stage) -> str:
    ref = KeyedPseudonyms(world.settings.pseudonym_key_file.reveal()).citizen_ref(stage.personal_id)
    with world.engine.connect() as connection:
        statement = text("SELECT citizen_id::text FROM citizens WHERE personal_id_ref = :ref")
        return str(connection.execute(statement, {"ref": ref}).scalar_one())


def complained(world: World, citizen_id: str) -> str:
    at, complaint_id = datetime.now(UTC), str(uuid4())
    secrets = CitizenSecrets(world.settings.key_encryption_key_file.reveal())
    made = Complaint(
        complaint_id=complaint_id,
        citizen_id=citizen_id,
        reference=str(uuid4()),
        status="received",
        received_at=at,
        acknowledge_by=at,
        text=WORDS,
    )
    assert PostgresComplaints(world.engine, secrets).keep(made)
    return complaint_id


def kept(world: World) -> dict[str, list[str]]:
    """Return all rows of all tables but those of evidence, as text."""
    with world.owner.connect() as connection:
        return {
            name: sorted(
                connection.execute(text(f"SELECT t::text FROM {name} t")).scalars()  # noqa: S608 - ours
            )
            for name in metadata.tables
            if name not in UNTOUCHED
        }


@pytest.mark.parametrize("act", DONE)
class TestEachAct:
    def test_it_leaves_one_entry_that_says_what_by_whom_and_to_what(
        self, world: World, run: Callable[..., Result], stage: Stage, act: str
    ) -> None:
        stage = prepared(world, stage, run, act)
        begun = last_reference(world.engine)
        done(run(stage.command(act)))
        found = entries(world.engine, "administration", begun)
        both = ["organisation_registered", "client_registered"]
        assert [one["act"] for one in found] == (both if act in both else [act])
        [entry] = [one for one in found if one["act"] == act]
        check_any(entry)
        acting = operator_acting(world.settings, OPERATOR)
        assert told(entry, "actor", "acting_person", "client") == ("operator", acting.acting_person, "")
        assert entry["target"] == self.target(world, stage, act)
        assert entry["given"] == self.given(stage, act)
        self.check_person(world, stage, entry)
        for words in (OPERATOR, NAME, WORDS, PASSWORD, stage.personal_id):
            assert words not in json.dumps(found, ensure_ascii=False)

    def target(self, world: World, stage: Stage, act: str) -> str:
        pseudonyms = KeyedPseudonyms(world.settings.pseudonym_key_file.reveal())
        return {
            "organisation": stage.organisation,
            "client": stage.client,
            "staff": pseudonyms.staff_ref(stage.organisation, stage.personal_id).hex(),
            "citizen": "",
            "complaint": stage.complaint,
        }[ALL_ACTS[act]]

    def given(self, stage: Stage, act: str) -> list[list[str]]:
        return {
            "organisation_registered": [["kind", "hospital"]],
            "client_registered": [
                ["organisation", stage.organisation],
                ["scope", "verify_entitlement"],
                ["agreement", "hospital_entitlement_check"],
                ["grant_type", "client_credentials"],
                ["until", "2031-06-30"],
            ],
            "client_extended": [["until", "2032-01-31"]],
            "staff_registered": [["organisation", stage.organisation]],
        }.get(act, [])

    def check_person(self, world: World, stage: Stage, entry: dict[str, Any]) -> None:
        """Check that it is found, and opened, by the keyed hash of whose matter it is, and by that alone."""
        pseudonyms = KeyedPseudonyms(world.settings.pseudonym_key_file.reveal())
        openings = PostgresOpenings(world.store, world.settings.key_encryption_key_file.reveal())
        if entry["target_kind"] not in ("citizen", "complaint"):
            assert entry["data_subject_commit"] is None
            return
        name = f"citizen:{account(world, stage)}"
        opened = openings.find_opening([pseudonyms.data_subject_ref(name)], entry["reference"])
        assert opened is not None
        assert opened.data_subject_salt is not None
        assert commitment(opened.data_subject_salt, name.encode()) == entry["data_subject_commit"]
        assert openings.find_opening([pseudonyms.data_subject_ref("x")], entry["reference"]) is None

    def test_it_is_not_done_where_its_entry_cannot_be_written(
        self, world: World, run: Callable[..., Result], stage: Stage, act: str
    ) -> None:
        stage = prepared(world, stage, run, act)
        before, begun = kept(world), last_reference(world.engine)
        with without_entries(world.owner):
            refused = run(stage.command(act))
        assert isinstance(refused.exception, DBAPIError)
        assert WORDS not in refused.output
        assert kept(world) == before
        assert last_reference(world.engine) == begun
        done(run(stage.command(act)))
        assert [one["act"] for one in entries(world.engine, "administration", begun)][-1:] == [
            "client_registered" if act == "organisation_registered" else act
        ]


def test_what_is_there_already_is_no_act(world: World, run: Callable[..., Result], stage: Stage) -> None:
    done(run(stage.command("client_registered")))
    done(run(stage.command("citizen_created")))
    begun = last_reference(world.engine)
    assert run(stage.command("client_registered")).exit_code == 3
    assert run(stage.command("citizen_created")).exit_code == 3
    assert run(["client", "suspend", "nobody-here"]).exit_code == 4
    assert run(["staff", "revoke", "--organisation-id", "x", "--personal-id", "001090123456"]).exit_code == 4
    assert entries(world.engine, "administration", begun) == []


def test_two_operators_are_told_apart(world: World, release_environ: dict[str, str], stage: Stage) -> None:
    def by(*words: str, **environ: str) -> str:
        result = CliRunner().invoke(
            main, [*words, *stage.command("client_resumed")], env={**release_environ, **environ}
        )
        assert result.exit_code == 0, result.output
        return str(entries(world.engine, "administration")[-1]["acting_person"])

    done(CliRunner().invoke(main, stage.command("client_registered"), env=release_environ))
    first = by("--operator", "lan")
    assert first == by("--operator", " lan ", BROKER_OPERATOR="cúc")
    assert first == by(BROKER_OPERATOR="lan", SUDO_USER="cúc")
    assert first == by(BROKER_OPERATOR="", SUDO_USER="lan")
    assert first != by("--operator", "cúc")
    assert first != by(SUDO_USER="")


@pytest.mark.parametrize("name", ["001090123456", "hai từ", "a/b", ""])
def test_no_organisation_or_client_is_called_what_no_entry_can_hold(
    world: World, run: Callable[..., Result], stage: Stage, name: str
) -> None:
    words, begun = stage.command("client_registered"), last_reference(world.engine)
    for option in ("--organisation-id", "--client-id"):
        at = words.index(option) + 1
        refused = run([*words[:at], name, *words[at + 1 :]])
        if option == "--client-id" and not name:
            continue
        assert refused.exit_code == 2, refused.output
        assert "letters, digits and . _ ~ - are needed" in refused.output
    found = entries(world.engine, "administration", begun)
    assert all(one["target"] != name for one in found)


def test_an_account_that_the_broker_opens_is_its_own_act(world: World) -> None:
    acts = acts_of(world.store, world.settings, BY_ITSELF)
    begun = last_reference(world.engine)
    with world.engine.begin() as connection:
        acts.administration(connection, "citizen_created", citizen_id=str(uuid4()))
    [entry] = entries(world.engine, "administration", begun)
    assert told(entry, "actor", "acting_person", "target") == ("broker", None, "")


def test_a_register_that_was_opened_for_reading_changes_nothing(world: World, stage: Stage) -> None:
    reading = PostgresClients(world.engine)
    for act in (
        lambda: reading.suspend_client(stage.client, datetime.now(UTC)),
        lambda: reading.resume_client(stage.client),
        lambda: reading.extend_client(stage.client, datetime.now(UTC)),
        lambda: reading.replace_keys(stage.client, jwks_uri="https://x.example"),
    ):
        with pytest.raises(NobodyActs, match="an act needs somebody who acts"):
            act()


@pytest.fixture(autouse=True)
def _no_leftover(world: World) -> Iterator[None]:
    yield
    with world.owner.begin() as connection:
        connection.execute(text("DROP FUNCTION IF EXISTS no_entries() CASCADE"))


def test_what_no_entry_can_hold_undoes_the_act(world: World) -> None:
    with pytest.raises(ValueError, match="target is not of its form"), world.engine.begin() as connection:
        ACTS.administration(connection, "client_suspended", "hai từ")
