"""Complaints: encrypted words, due in two working days; broker complaint for those who answer them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from uuid import uuid4

import pytest
from click.testing import CliRunner, Result
from sqlalchemy import text

import broker.cli.complaint
from broker.cli import main
from broker.cli.session import Session
from broker.consent.complaint import Complaint, acknowledge_by, find_text_fault, plain_text
from broker.oauth.citizen_secrets import CitizenSecrets, CitizenSecretUnreadable
from broker.storage.citizens import CitizenRecord, PostgresCitizens
from broker.storage.clients import NotRegistered
from broker.storage.complaints import PostgresComplaints
from policies.load import load_holidays
from tests.acting import ACTS
from tests.release_world import World

# Thursday evening in Viet Nam before the week of Tet.
BEFORE_TET = datetime(2026, 2, 12, 12, 0, tzinfo=UTC)
WORDS = "Tôi không đến bệnh viện này. <script>alert(1)</script>"


@pytest.fixture
def store(world: World) -> PostgresComplaints:
    return PostgresComplaints(
        world.engine, CitizenSecrets(world.settings.key_encryption_key_file.reveal()), ACTS
    )


@pytest.fixture
def citizen_id(world: World) -> str:
    made, secrets_ = str(uuid4()), CitizenSecrets(world.settings.key_encryption_key_file.reveal())
    PostgresCitizens(world.engine, ACTS).register_citizen(
        CitizenRecord(
            citizen_id=made,
            personal_id_ref=uuid4().bytes * 2,
            personal_id_encrypted=secrets_.seal("personal_id", made, "001090000001"),
            password_hash="x",
            totp_secret_encrypted=None,
        )
    )
    return made


@pytest.fixture
def run(world: World, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    @contextmanager
    def open_session() -> Iterator[Session]:
        yield Session(world.settings, world.store)

    monkeypatch.setattr(broker.cli.complaint, "open_session", open_session)

    def command(*arguments: str, expect: int = 0, typed: str | None = None) -> Result:
        result = CliRunner().invoke(main, ["complaint", *arguments], input=typed)
        assert result.exit_code == expect, (result.output, result.exception)
        return result

    return command


def complaint(citizen_id: str, received_at: datetime = BEFORE_TET, words: str = WORDS) -> Complaint:
    return Complaint(
        complaint_id=str(uuid4()),
        citizen_id=citizen_id,
        reference=str(uuid4()),
        status="received",
        received_at=received_at,
        acknowledge_by=acknowledge_by(received_at, load_holidays()),
        text=words,
    )


def test_a_complaint_before_tet_is_due_after_it() -> None:
    due = acknowledge_by(BEFORE_TET, load_holidays())
    assert due == datetime(2026, 2, 23, 17, 0, tzinfo=UTC)  # midnight after Monday, 23 February
    made = complaint(str(uuid4()))
    assert made.due_day == date(2026, 2, 23)
    assert not made.is_late(due - timedelta(seconds=1))
    assert made.is_late(due)


def test_what_was_acknowledged_in_time_is_never_late() -> None:
    made = complaint(str(uuid4()))
    in_time = replace(made, acknowledged_at=made.acknowledge_by - timedelta(hours=1))
    assert not in_time.is_late(made.acknowledge_by + timedelta(days=99))


@pytest.mark.parametrize(
    ("words", "fault"),
    [
        (" \r\n ", "empty"),
        ("a" * 2001, "too_long"),
        ("a\x00b", "unreadable"),
        ("a\ud800b", "unreadable"),
        ("a" * 1999 + "\r\n" + "b", "too_long"),
        ("dòng một\r\ndòng hai", None),
        ("a" * 2000, None),
    ],
)
def test_words_of_a_complaint_are_two_thousand_readable_characters(words: str, fault: str | None) -> None:
    assert find_text_fault(words) == fault


def test_a_line_end_is_one_character() -> None:
    assert plain_text(" a\r\nb\rc ") == "a\nb\nc"


def test_words_lie_encrypted_and_come_back(world: World, store: PostgresComplaints, citizen_id: str) -> None:
    made = complaint(citizen_id)
    assert store.keep(made)
    assert store.find_of_citizen(citizen_id) == [made]
    with world.engine.connect() as connection:
        held = connection.execute(
            text("SELECT text_encrypted FROM complaints WHERE complaint_id = :one"),
            {"one": made.complaint_id},
        ).scalar_one()
    assert b"alert" not in bytes(held)
    assert len(held) >= 12 + 16 + len(WORDS)


def test_words_cannot_be_moved_to_another_complaint_of_the_same_person(
    world: World, store: PostgresComplaints, citizen_id: str
) -> None:
    first, second = complaint(citizen_id), complaint(citizen_id, words="khác")
    assert store.keep(first)
    assert store.keep(second)
    world.execute(
        "UPDATE complaints SET text_encrypted = (SELECT text_encrypted FROM complaints WHERE complaint_id = "
        "CAST(:one AS uuid)) WHERE complaint_id = CAST(:other AS uuid)",
        one=first.complaint_id,
        other=second.complaint_id,
    )
    with pytest.raises(CitizenSecretUnreadable):
        store.get_complaint(second.complaint_id)


def test_a_form_sent_twice_is_one_complaint(store: PostgresComplaints, citizen_id: str) -> None:
    made = complaint(citizen_id)
    assert [store.keep(made), store.keep(replace(made, text="anders"))] == [True, False]
    assert [one.text for one in store.find_of_citizen(citizen_id)] == [WORDS]


def test_the_agency_lists_reads_acknowledges_and_answers(
    run: Callable[..., Result], store: PostgresComplaints, citizen_id: str
) -> None:
    made = complaint(citizen_id)
    assert store.keep(made)
    listed = run("list", "--status", "received", "--most", "10000", "--json").output
    assert "alert" not in listed
    row = next(one for one in json.loads(listed) if one["complaint_id"] == made.complaint_id)
    assert (row["due_day"], row["is_late"], row["reference"]) == ("2026-02-23", True, made.reference)
    assert json.loads(run("show", made.complaint_id, "--json").output)[0]["text"] == WORDS
    assert run("acknowledge", made.complaint_id).output == "the complaint is acknowledged\n"
    assert run("acknowledge", made.complaint_id, expect=4).output.startswith(
        "Error: there is no such complaint"
    )
    answer = run("answer", made.complaint_id, "--answer-file", "-", typed="Chúng tôi đã kiểm tra.\n")
    assert answer.output == "the complaint is answered\n"
    kept = store.find_of_citizen(citizen_id)[0]
    assert (kept.status, kept.answer) == ("answered", "Chúng tôi đã kiểm tra.")
    assert kept.acknowledged_at is not None
    assert kept.answered_at is not None
    run("answer", made.complaint_id, "--answer-file", "-", typed="Lần hai", expect=4)


def test_an_answer_at_once_acknowledges_too(store: PostgresComplaints, citizen_id: str) -> None:
    made, at = complaint(citizen_id), BEFORE_TET + timedelta(hours=1)
    assert store.keep(made)
    store.answer(made.complaint_id, "Đã sửa.", at)
    kept = store.get_complaint(made.complaint_id)
    assert (kept.acknowledged_at, kept.answered_at) == (at, at)


def test_an_empty_answer_and_an_unknown_complaint_are_refused(
    run: Callable[..., Result], store: PostgresComplaints
) -> None:
    run("answer", str(uuid4()), "--answer-file", "-", typed="\n", expect=2)
    run("show", str(uuid4()), expect=4)
    with pytest.raises(NotRegistered):
        store.acknowledge(str(uuid4()), BEFORE_TET)
