"""A person's look at the own history is an entry of evidence itself, and stands in that history."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import orjson
import pytest
from flask import Flask

from broker.actions.own_looks import OwnLooks
from broker.app import new_reference, new_salt
from broker.cli.caller import Caller
from broker.evidence.canonical import commitment
from broker.evidence.kinds import check_any
from broker.storage.looks import PostgresLooks
from connectors.national_insurance.cases import SyntheticPerson
from tests.acting import told, without_entries
from tests.doors import at_once
from tests.own_pages_world import COMPLAINTS, HISTORY, Visitor, signed_in
from tests.release_world import World
from tests.spec.test_own_pages import check

AT = datetime(2026, 3, 9, 4, 59, 59, 700_000, tzinfo=UTC)
EVERYTHING = f"{HISTORY}?rows=everything"


@pytest.fixture
def person(world: World) -> SyntheticPerson:
    return world.unseen_person()


@pytest.fixture
def visitor(app: Flask, world: World, person: SyntheticPerson) -> Visitor:
    return signed_in(app, world, person.personal_id)


@pytest.fixture
def looks(world: World) -> OwnLooks:
    return OwnLooks(PostgresLooks(world.engine, world.openings), world.pseudonyms, new_salt, new_reference)


def looks_of(world: World, citizen_id: str) -> list[Mapping[str, Any]]:
    """Return the entries of looks that are found under a person's keyed hash, opened, oldest first."""
    name = f"citizen:{citizen_id}"
    ref = world.pseudonyms.data_subject_ref(name)
    links = list(world.openings.links([ref]))
    with world.engine.connect() as connection:
        rows = connection.exec_driver_sql(
            "SELECT reference::text FROM evidence_openings JOIN evidence_entries USING (reference)"
            " WHERE person_link = ANY(%(links)s) AND kind = 'log_read' ORDER BY reference",
            {"links": links},
        ).scalars()
        references = list(rows)
    found = []
    for reference in references:
        opened = world.openings.find_opening([ref], reference)
        assert opened is not None
        assert opened.data_subject_salt is not None
        entry = orjson.loads(opened.entry)
        check_any(entry)
        assert entry["data_subject_commit"] == commitment(opened.data_subject_salt, name.encode())
        found.append(entry)
    return found


def hours_begun(since: datetime) -> int:
    """Return how many hours have begun since an instant: a test may run across one's end."""
    return int(datetime.now(UTC).timestamp()) // 3600 - int(since.timestamp()) // 3600


def test_turning_pages_is_one_look_and_it_stands_in_the_history(world: World, visitor: Visitor) -> None:
    begun = datetime.now(UTC)
    words = visitor.page(f"{EVERYTHING}&lang=en").words
    assert "This history was opened" in words, "this very look is told, not only the ones before it"
    assert "Lịch sử này đã được mở" in visitor.page(EVERYTHING).words
    assert "Lịch sử này" not in visitor.page(HISTORY).words, "who looked at data is not hidden among these"
    visitor.page(f"{HISTORY}?month=2026-01&recipient=x")
    entries = looks_of(world, visitor.citizen_id)
    assert 1 <= len(entries) <= 1 + hours_begun(begun)
    names = ("reader", "what", "legal_basis", "acting_person", "entry", "period_begin", "period_end")
    assert told(entries[0], *names) == ("own", "history", "SELF", None, "", "", "")


def test_another_sign_in_is_another_look(app: Flask, world: World, visitor: Visitor) -> None:
    visitor.page(HISTORY)
    before = len(looks_of(world, visitor.citizen_id))
    other = signed_in(app, world, visitor.personal_id, citizen_id=visitor.citizen_id, age_seconds=5)
    other.page(HISTORY)
    assert len(looks_of(world, visitor.citizen_id)) == before + 1


def test_nothing_is_shown_where_the_look_cannot_be_recorded(
    world: World, visitor: Visitor, local: Caller, person: SyntheticPerson
) -> None:
    reference = check(local, world, person)
    shown = [
        HISTORY,
        EVERYTHING,
        f"{COMPLAINTS}/new?reference={reference}",
        f"{HISTORY}/{reference}/evidence",
    ]
    with without_entries(world.owner):
        for path in shown:
            answer = visitor.get(path)
            assert answer.status_code >= 500, path
            assert "Bệnh viện" not in answer.text
            assert reference not in answer.text
    assert looks_of(world, visitor.citizen_id) == []
    assert reference in visitor.page(HISTORY).words


def test_a_look_is_recorded_once_an_hour_and_sign_in_and_entry(world: World, looks: OwnLooks) -> None:
    citizen_id, signed_in_at, entry = str(uuid4()), AT - timedelta(minutes=3), str(uuid4())
    assert looks.record(citizen_id, signed_in_at, AT) is True
    assert looks.record(citizen_id, signed_in_at, AT + timedelta(seconds=0.2)) is False
    assert looks.record(citizen_id, signed_in_at, AT + timedelta(seconds=0.3)) is True, "another hour"
    assert looks.record(citizen_id, signed_in_at + timedelta(microseconds=1), AT) is True
    assert looks.record(str(uuid4()), signed_in_at, AT) is True
    for _ in range(2):
        looks.record(citizen_id, signed_in_at, AT, "evidence_file", entry)
    looks.record(citizen_id, signed_in_at, AT, "evidence_file", str(uuid4()))
    found = looks_of(world, citizen_id)
    assert sorted(one["what"] for one in found) == ["evidence_file"] * 2 + ["history"] * 3
    assert [one["at"] for one in found if one["entry"] == entry] == ["2026-03-09T04:59:59.700Z"]


def test_of_many_looks_at_once_one_is_recorded(world: World, looks: OwnLooks) -> None:
    citizen_id = str(uuid4())
    done = at_once(lambda _: looks.record(citizen_id, AT, AT), range(8))
    assert sorted(done) == [False] * 7 + [True]
    assert len(looks_of(world, citizen_id)) == 1
