"""Persons I represent: only whom the source proves to be one's child, and both signatures from seven on."""

from __future__ import annotations

import hashlib
import itertools
import json
import re
import secrets
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from html import unescape
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import Engine, create_engine, event, text
from werkzeug.test import TestResponse

from broker.actions.people import SourcePeople
from broker.app import new_reference
from broker.consent import life
from broker.consent.record import Actor, Consent, DataRange, Frequency, Notice, Signer
from broker.consent.terms import AskedTerms, terms_of
from broker.consent.writing import RequestOpening
from broker.errors import ConsentTransitionRefused
from broker.evidence.history import HistoryFilter
from broker.storage.consent_requests import PostgresConsentRequests
from broker.storage.consents import PostgresConsents
from broker.storage.history import PostgresHistory
from connectors.base import SourceUnavailable
from connectors.national_insurance.children import InsuranceFamilies
from connectors.national_insurance.source import InsuranceSource
from consent_ui.terms_words import why_of
from consent_ui.words import Words
from policies.civil_time import civil_date
from tests.citizen_world import Forms
from tests.consent_world import AGREEMENT, ConsentWorld
from tests.contracts.source_fixtures import InsuranceDatabase
from tests.own_pages_world import REPRESENTATION, Text, Visitor, register, signed_in
from tests.release_world import World

TODAY = civil_date(datetime.now(UTC))
FIELDS = ("salary_base", "si_status")
_numbers = itertools.count(1)
_PERSON = text(
    """INSERT INTO person (person_key, personal_id, full_name, birth_date, birth_precision, sex)
       VALUES (:key, :personal_id, :name, :born, :precision, 'female')"""
)


@dataclass(frozen=True)
class Someone:
    """A person written into the insurance database for one test."""

    key: int
    personal_id: str
    name: str


class Household:
    """People of the insurance database who were not there before; taken out again afterwards."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.code = f"99{secrets.randbelow(10**8):08d}"
        self._keys: list[int] = []

    def add(
        self,
        age: int,
        *,
        parent: Someone | None = None,
        relation: str = "mother",
        code: str | None = None,
        role: str = "member",
        precision: str = "day",
        days: int = 1,
        personal_id: str = "",
    ) -> Someone:
        """Add somebody who reached an age so many days ago (0: today, -1: tomorrow)."""
        number = next(_numbers)
        born = date(TODAY.year - age, TODAY.month, min(TODAY.day, 28)) - timedelta(days=days)
        someone = Someone(
            9_000_000_000 + number + secrets.randbelow(10**6) * 1000,
            personal_id or f"0993{secrets.randbelow(10**8):08d}",
            f"Người Thử {number}",
        )
        with self.engine.begin() as connection:
            connection.execute(
                _PERSON,
                {
                    "key": someone.key,
                    "personal_id": someone.personal_id,
                    "name": someone.name,
                    "born": born,
                    "precision": precision,
                },
            )
            connection.execute(
                text("INSERT INTO household_member VALUES (:key, :code, :role)"),
                {"key": someone.key, "code": self.code if code is None else code, "role": role},
            )
            if parent is not None:
                connection.execute(
                    text("INSERT INTO family_member VALUES (:key, 1, :relation, :name, :personal_id)"),
                    {
                        "key": someone.key,
                        "relation": relation,
                        "name": parent.name,
                        "personal_id": parent.personal_id,
                    },
                )
        self._keys.append(someone.key)
        return someone

    def forget(self, someone: Someone, table: str) -> None:
        with self.engine.begin() as connection:
            connection.execute(text(f"DELETE FROM {table} WHERE person_key = :key"), {"key": someone.key})  # noqa: S608

    def write(self, statement: str, born: date, someone: Someone) -> None:
        with self.engine.begin() as connection:
            connection.execute(text(statement), {"born": born, "key": someone.key})

    def clear(self) -> None:
        for table in ("contribution", "social_insurance", "family_member", "household_member", "person"):
            with self.engine.begin() as connection:
                statement = text(f"DELETE FROM {table} WHERE person_key = ANY (:keys)")  # noqa: S608
                connection.execute(statement, {"keys": self._keys})


@pytest.fixture
def household(insurance: InsuranceDatabase) -> Iterator[Household]:
    engine = create_engine(insurance.owner_url)
    made = Household(engine)
    yield made
    made.clear()
    engine.dispose()


@pytest.fixture(scope="module")
def consents(world: World, insurance: InsuranceDatabase) -> ConsentWorld:
    return ConsentWorld(world, insurance)


@pytest.fixture
def mother(household: Household) -> Someone:
    return household.add(35, role="head")


@pytest.fixture
def visitor(app: Flask, world: World, mother: Someone) -> Visitor:
    return signed_in(app, world, mother.personal_id)


def ask(world: World, consents: ConsentWorld, someone: Someone, **more: Any) -> str:
    """Let the bank ask somebody; return the id of the request. more: terms that it asks for."""
    at = datetime.now(UTC)
    terms = terms_of(
        consents.policies,
        AGREEMENT,
        AskedTerms(
            purpose="prove_income", field_names=FIELDS, required_names=("salary_base",), valid_days=30, **more
        ),
        civil_date(at),
    )
    request_id = new_reference()
    kept = PostgresConsentRequests(world.engine).keep(
        RequestOpening(
            request_id=request_id,
            client_id=consents.bank.client_id,
            citizen_ref=world.pseudonyms.citizen_ref(someone.personal_id),
            channel="inbox",
            request_hash=hashlib.sha256(request_id.encode()).digest(),
            auth_request_hash=None,
            items=(terms,),
            scope="share_record",
            requested_at=at,
            expires_at=at + timedelta(days=1),
        ),
        consents.bank.organisation_id,
    )
    assert kept.opening.request_id == request_id
    return request_id


def consent_of(world: World, request_id: str) -> Consent:
    [held] = PostgresConsents(world.engine, world.openings).find_of_request(request_id)
    return held.consent


def answer(visitor: Visitor, consent_id: str, choice: str, *ticked: str, **changes: str) -> int:
    path = f"{REPRESENTATION}/{consent_id}"
    form = next(form for form in Forms(visitor.get(path).text).forms if form.action == path)
    return visitor.post(path, {**form.fields, "choice": choice, "field": list(ticked), **changes}).status_code


def test_a_child_under_seven_is_decided_for_by_the_parent_alone(
    world: World, consents: ConsentWorld, household: Household, mother: Someone, visitor: Visitor
) -> None:
    child = household.add(5, parent=mother)
    request_id = ask(world, consents, child)
    page = visitor.page(f"{REPRESENTATION}?lang=en").words
    assert child.name in page
    assert "Under 7: you decide." in page
    assert "You are the mother" in page
    consent = consent_of(world, request_id)
    assert consent.required_roles == ("representative",)
    assert answer(visitor, consent.consent_id, "give", *FIELDS) == 303
    given = consent_of(world, request_id)
    assert (given.state, given.given_names) == ("active", frozenset(FIELDS))
    [signer] = given.signers
    assert (signer.role, signer.citizen_id, len(signer.relation_hash)) == (
        "representative",
        visitor.citizen_id,
        64,
    )
    assert given.grant_id is not None
    # The child's account was opened without any way to sign in.
    opened = "citizen_id = CAST(:one AS uuid) AND password_hash IS NULL AND totp_secret_encrypted IS NULL"
    assert world.count("citizens", opened, one=given.citizen_id) == 1
    ref = world.pseudonyms.data_subject_ref(f"citizen:{given.citizen_id}")
    everything = HistoryFilter(is_everything=True)
    noted = PostgresHistory(world.engine, world.openings).find_entries(
        [ref], everything, datetime.now(UTC).date()
    )
    assert [one.event for one in noted if one.kind == "administration"] == ["citizen_created"]


def test_from_seven_on_both_sign_and_the_parents_signature_alone_gives_nothing(
    world: World, consents: ConsentWorld, household: Household, mother: Someone, visitor: Visitor
) -> None:
    child = household.add(12, parent=mother, relation="father")
    request_id = ask(world, consents, child)
    assert "you both sign" in visitor.page(f"{REPRESENTATION}?lang=en").words
    consent = consent_of(world, request_id)
    assert consent.required_roles == ("data_subject", "representative")
    assert answer(visitor, consent.consent_id, "give", *FIELDS) == 303
    waiting = consent_of(world, request_id)
    assert (waiting.state, waiting.grant_id) == ("pending_cosign", None)
    page = visitor.page(f"{REPRESENTATION}?lang=en").words
    assert "You have signed. Your child's signature is awaited." in page


def test_a_parent_reads_all_the_terms_before_deciding(
    world: World, consents: ConsentWorld, household: Household, mother: Someone, visitor: Visitor
) -> None:
    asked = {"mode": "store", "frequency": Frequency(4, "month"), "retention_days": 45}
    days = DataRange(TODAY - timedelta(days=90), TODAY)
    request_id = ask(world, consents, household.add(5, parent=mother), data_range=days, **asked)
    visitor.page(REPRESENTATION)
    consent_id = consent_of(world, request_id).consent_id
    page = visitor.page(f"{REPRESENTATION}/{consent_id}?lang=en").words
    table = consents.policies.tables[AGREEMENT]
    told = table.agreement.told
    assert told is not None
    for wanted in (
        "store a copy in their systems",
        "at most 4 times a month",
        f"from {days.first_day:%d/%m/%Y} to {TODAY:%d/%m/%Y}",
        "30 days from when you agree",
        "45 days after receipt, then must delete it",
        *(pair[1] for pair in (told.afterwards, told.who_else, told.harm)),
        *(f"Why: {why_of(name, table, Words('en'))}" for name in FIELDS),
        "a band of amounts: below 5,000,000",
    ):
        assert wanted in page, wanted


def test_a_parent_gives_for_fewer_days_and_a_shorter_time_and_the_first_look_is_the_parents(
    world: World, consents: ConsentWorld, household: Household, mother: Someone, visitor: Visitor
) -> None:
    days = DataRange(TODAY - timedelta(days=90), TODAY)
    request_id = ask(world, consents, household.add(5, parent=mother), data_range=days)
    visitor.page(REPRESENTATION)
    asked = consent_of(world, request_id)
    path, later = f"{REPRESENTATION}/{asked.consent_id}", TODAY - timedelta(days=30)
    for _ in range(2):
        form = visitor.form(path, path)
    assert (form.fields["first_day"], form.fields["last_day"]) == (f"{days.first_day}", f"{TODAY}")
    data = {**form.fields, "field": list(form.boxes), "choice": "give", "valid_days": "7"}
    for wrong in ({"valid_days": "30"}, {"first_day": f"{TODAY - timedelta(days=91)}"}):
        assert visitor.post(path, {**data, **wrong}).status_code == 422
    assert consent_of(world, request_id).state == "requested"
    assert visitor.post(path, {**data, "first_day": f"{later}"}).status_code == 303
    given = consent_of(world, request_id)
    assert (given.state, given.given_days, given.given_range) == ("active", 7, DataRange(later, TODAY))
    events = consents.store.find_events(asked.consent_id)
    assert [one.type for one in events] == ["requested", "viewed", "partially_given"]
    page = visitor.page(f"{REPRESENTATION}/consents/{asked.consent_id}?lang=en").words
    assert "The request was looked at – by a representative" in page


def test_a_parent_refuses_for_the_child(
    world: World, consents: ConsentWorld, household: Household, mother: Someone, visitor: Visitor
) -> None:
    request_id = ask(world, consents, household.add(3, parent=mother))
    visitor.page(REPRESENTATION)
    assert answer(visitor, consent_of(world, request_id).consent_id, "refuse", *FIELDS) == 303
    refused = consent_of(world, request_id)
    assert (refused.state, refused.state_reason) == ("refused", "by_representative")


def test_who_is_not_proven_to_be_ones_child_is_not_shown(
    household: Household, mother: Someone, visitor: Visitor
) -> None:
    shown = household.add(17, parent=mother)
    hidden = [
        household.add(5),  # in the household, but no record names a parent
        household.add(5, parent=mother, relation="spouse"),
        household.add(5, parent=mother, relation="grandmother"),
        household.add(5, parent=mother, code="1234567890"),  # another household
        household.add(5, parent=mother, code=""),
        household.add(18, parent=mother),
        household.add(40, parent=mother),
    ]
    page = visitor.page(REPRESENTATION).words
    assert shown.name in page
    assert [one.name for one in hidden if one.name in page.split()] == []
    assert [one.name for one in hidden if f"{one.name} " in page] == []


def test_an_inexact_birth_date_is_read_as_the_youngest(
    household: Household, mother: Someone, visitor: Visitor
) -> None:
    # Eighteen by the first day of the year that is known; by its last day not yet.
    child = household.add(18, parent=mother, precision="year", days=0)
    page = visitor.page(REPRESENTATION).words
    assert (child.name in page) is (date(TODAY.year, 12, 31) != TODAY)
    assert f"{TODAY.year - 18}" in page


def test_two_persons_with_the_parents_number_prove_nothing(
    household: Household, mother: Someone, visitor: Visitor
) -> None:
    household.add(5, parent=mother)
    household.add(36, personal_id=mother.personal_id)
    answer_ = visitor.get(REPRESENTATION)
    assert answer_.status_code == 503
    assert "Người Thử" not in Text(answer_.text).words


def test_the_relation_is_checked_again_when_the_decision_comes(
    world: World, consents: ConsentWorld, household: Household, mother: Someone, visitor: Visitor
) -> None:
    child = household.add(5, parent=mother)
    request_id = ask(world, consents, child)
    visitor.page(REPRESENTATION)
    consent_id = consent_of(world, request_id).consent_id
    path = f"{REPRESENTATION}/{consent_id}"
    form = next(form for form in Forms(visitor.get(path).text).forms if form.action == path)
    household.forget(child, "family_member")
    late = visitor.post(path, {**form.fields, "choice": "give", "field": list(FIELDS)})
    assert late.status_code == 404
    assert consent_of(world, request_id).state == "requested"


def test_nobody_else_sees_or_decides_a_childs_request(
    app: Flask, world: World, consents: ConsentWorld, household: Household, mother: Someone, visitor: Visitor
) -> None:
    child = household.add(5, parent=mother)
    request_id = ask(world, consents, child)
    visitor.page(REPRESENTATION)
    consent_id = consent_of(world, request_id).consent_id
    path = f"{REPRESENTATION}/{consent_id}"
    form = next(form for form in Forms(visitor.get(path).text).forms if form.action == path)
    neighbour = household.add(40)
    for other in (neighbour, child):
        account = "" if other is neighbour else consent_of(world, request_id).citizen_id
        stranger = signed_in(app, world, other.personal_id, citizen_id=account)
        assert child.name not in stranger.page(REPRESENTATION).words
        assert stranger.get(path).status_code == 404
        stolen = stranger.post(path, {**form.fields, "choice": "give", "field": list(FIELDS)})
        assert stolen.status_code == 404
    assert consent_of(world, request_id).state == "requested"


def test_a_source_that_is_down_proves_nothing(
    household: Household, mother: Someone, visitor: Visitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    household.add(5, parent=mother)

    def away(*_given: object) -> None:
        raise SourceUnavailable("away")

    monkeypatch.setattr(InsuranceFamilies, "find_children", away)
    answer_ = visitor.get(f"{REPRESENTATION}?lang=en")
    assert (answer_.status_code, "Retry-After" in answer_.headers) == (503, True)
    assert "the relation cannot be checked" in Text(answer_.text).words


def test_a_password_alone_shows_no_child(
    app: Flask, world: World, household: Household, mother: Someone
) -> None:
    child = household.add(5, parent=mother)
    weak = signed_in(app, world, mother.personal_id, level=1)
    answer_ = weak.get(REPRESENTATION)
    assert answer_.status_code == 403
    assert child.name not in Text(answer_.text).words


def test_giving_needs_a_fresh_sign_in_ticks_and_the_pages_own_form(
    app: Flask, world: World, consents: ConsentWorld, household: Household, mother: Someone
) -> None:
    request_id = ask(world, consents, household.add(5, parent=mother))
    account = register(world, mother.personal_id)
    stale = signed_in(app, world, mother.personal_id, citizen_id=account, age_seconds=400)
    stale.page(REPRESENTATION)
    consent_id = consent_of(world, request_id).consent_id
    path = f"{REPRESENTATION}/{consent_id}"
    assert answer(stale, consent_id, "give") == 422
    assert answer(stale, consent_id, "give", "si_status") == 422
    assert answer(stale, consent_id, "", *FIELDS) == 422
    assert answer(stale, consent_id, "give", *FIELDS, token="x") == 403
    form = next(form for form in Forms(stale.get(path).text).forms if form.action == path)
    assert set(form.boxes.values()) == {False}
    sent = stale.post(path, {**form.fields, "choice": "give", "field": list(FIELDS)})
    assert sent.status_code == 303
    assert "/citizen/sign-in?next=representation" in sent.headers["Location"]
    assert consent_of(world, request_id).state == "requested"


def test_the_word_of_the_relation_differs_from_child_to_child(
    world: World, consents: ConsentWorld, household: Household, mother: Someone, visitor: Visitor
) -> None:
    hashes = set()
    for _ in range(2):
        request_id = ask(world, consents, household.add(4, parent=mother))
        visitor.page(REPRESENTATION)
        answer(visitor, consent_of(world, request_id).consent_id, "give", *FIELDS)
        hashes |= {one.relation_hash for one in consent_of(world, request_id).signers}
    assert len(hashes) == 2


def test_a_parent_adds_the_second_signature_to_what_the_child_chose_and_to_nothing_else(
    world: World, consents: ConsentWorld, household: Household, mother: Someone, visitor: Visitor
) -> None:
    request_id = ask(world, consents, household.add(15, parent=mother))
    visitor.page(REPRESENTATION)
    at, asked = datetime.now(UTC), consent_of(world, request_id)
    held = consents.store.find_one(asked.consent_id)
    assert held is not None
    child = Signer(
        role="data_subject", citizen_id=asked.citizen_id, level=2, authenticated_at=at, signed_at=at
    )
    notice = Notice(version="1", language="vi", rendered_hash="0" * 64, served_at=at)
    chosen = life.decide(asked, frozenset({"salary_base"}), child, notice, at)
    writings, evidence = consents.writer.compose(chosen, held, at)
    consents.store.write(writings, evidence)
    page = visitor.page(f"{REPRESENTATION}/{asked.consent_id}?lang=en")
    assert "Your child has signed. Yours is awaited" in page.words
    assert [tag for tag, given in page.tags if given.get("type") == "checkbox"] == []
    assert answer(visitor, asked.consent_id, "give", "si_status") == 303
    given = consent_of(world, request_id)
    assert (given.state, given.given_names) == ("active", frozenset({"salary_base"}))
    assert [one.role for one in given.signers] == ["data_subject", "representative"]
    assert given.grant_id is not None


GIVEN = f"{REPRESENTATION}/consents"


class GivenForChild:
    """A consent that a parent gave for a child of five, and the pages on which the parent ends it."""

    def __init__(
        self, world: World, consents: ConsentWorld, household: Household, mother: Someone, visitor: Visitor
    ) -> None:
        self.world, self.household, self.mother, self.visitor = world, household, mother, visitor
        self.child = household.add(5, parent=mother)
        self.request_id = ask(world, consents, self.child)
        visitor.page(REPRESENTATION)
        self.consent_id = self.consent.consent_id
        self.path = f"{GIVEN}/{self.consent_id}"
        assert answer(visitor, self.consent_id, "give", *FIELDS) == 303

    @property
    def consent(self) -> Consent:
        return consent_of(self.world, self.request_id)

    def state(self) -> str:
        return self.consent.state

    def form(self, visitor: Visitor | None = None, path: str = "") -> dict[str, str]:
        page = (visitor or self.visitor).get(path or self.path)
        assert page.status_code == 200, page.text
        return next(form for form in Forms(page.text).forms if form.action == self.path).fields

    def act(self, choice: str, visitor: Visitor | None = None, **changes: str) -> TestResponse:
        who = visitor or self.visitor
        return who.post(self.path, {**self.form(who), "choice": choice, **changes})

    def age(self, years: int) -> None:
        """Let the source say that the child had that birthday yesterday, and the consent fall due then."""
        born = date(TODAY.year - years, TODAY.month, min(TODAY.day, 28)) - timedelta(days=1)
        self.household.write("UPDATE person SET birth_date = :born WHERE person_key = :key", born, self.child)
        due = datetime.now(UTC)
        with self.world.owner.begin() as connection:
            connection.execute(
                text(
                    "UPDATE consents SET refresh_due_at = :due, record = jsonb_set(jsonb_set(record,"
                    " '{refresh_due_at}', to_jsonb(CAST(:written AS text))), '{state_since_at}',"
                    " to_jsonb(CAST(:written AS text))) WHERE consent_id = CAST(:one AS uuid)"
                ),
                {"due": due, "written": due.isoformat(), "one": self.consent_id},
            )


@pytest.fixture
def for_child(
    world: World, consents: ConsentWorld, household: Household, mother: Someone, visitor: Visitor
) -> GivenForChild:
    return GivenForChild(world, consents, household, mother, visitor)


def test_a_parent_takes_back_for_the_child_in_two_clicks_and_without_a_fresh_sign_in(
    app: Flask, world: World, for_child: GivenForChild
) -> None:
    stale = signed_in(
        app, world, for_child.mother.personal_id, citizen_id=for_child.visitor.citizen_id, age_seconds=400
    )
    first = f"{for_child.path}/withdraw?lang=en"
    listed = stale.page(f"{REPRESENTATION}?lang=en")
    assert first in [given.get("href") for tag, given in listed.tags if tag == "a"]
    said = stale.page(first).words
    assert "Take this consent back?" in said
    assert for_child.child.name in said
    assert "the recipient must ask anew" in said
    form = for_child.form(stale, first)
    done = stale.post(for_child.path, {**form, "choice": "withdraw"})
    assert (done.status_code, done.headers["Location"]) == (303, f"{REPRESENTATION}?lang=en")
    after = for_child.consent
    assert (after.state, after.state_reason) == ("withdrawn", "by_representative")
    ended = world.count("grants", "grant_id = :one AND revoked_at IS NOT NULL", one=str(after.grant_id))
    assert ended == 1, "no token of it is good any more"
    assert "taken back" in stale.page(f"{REPRESENTATION}?lang=en").words.split("Ended")[1]
    assert stale.get(for_child.path).status_code == 404


def test_a_parent_pauses_and_resumes_for_the_child_and_resuming_needs_a_fresh_sign_in(
    app: Flask, world: World, for_child: GivenForChild
) -> None:
    paused = for_child.act("pause")
    assert (paused.status_code, paused.headers["Location"]) == (303, f"{for_child.path}?lang=vi")
    assert (for_child.consent.state, for_child.consent.state_reason) == ("paused", "by_representative")
    stale = signed_in(
        app, world, for_child.mother.personal_id, citizen_id=for_child.visitor.citizen_id, age_seconds=400
    )
    led = for_child.act("resume", stale)
    assert led.headers["Location"].startswith("/citizen/sign-in?next=representation")
    assert for_child.state() == "paused"
    assert for_child.act("resume").status_code == 303
    assert for_child.state() == "active"
    assert "by a representative" in for_child.visitor.page(f"{for_child.path}?lang=en").words


def test_what_a_child_has_paused_its_parent_is_not_offered_to_resume(
    world: World, consents: ConsentWorld, for_child: GivenForChild
) -> None:
    held = consents.store.find_one(for_child.consent_id)
    assert held is not None
    at, actor = datetime.now(UTC), Actor(kind="data_subject", reference=held.consent.citizen_id)
    for_child.age(12)
    both = replace(held.consent, required_roles=("data_subject", "representative"), refresh_due_at=None)
    writings, evidence = consents.writer.compose(life.pause(both, actor, at), held, at)
    consents.store.write(writings, evidence)
    page = for_child.visitor.get(for_child.path)
    assert 'value="resume"' not in page.text
    assert f"{for_child.path}/withdraw" in page.text
    assert for_child.act("resume").status_code == 422
    assert for_child.state() == "paused"


def test_after_the_seventh_birthday_the_parent_confirms_and_the_child_must_too(
    for_child: GivenForChild,
) -> None:
    for_child.age(7)
    assert "to be confirmed" in for_child.visitor.page(f"{for_child.path}?lang=en").words
    assert for_child.act("confirm").status_code == 303
    waiting = for_child.consent
    assert (waiting.state, waiting.required_roles) == ("refresh_due", ("data_subject", "representative"))
    assert 'value="confirm"' not in for_child.visitor.get(for_child.path).text
    assert for_child.act("withdraw").status_code == 303
    assert for_child.state() == "withdrawn"


def test_on_the_eighteenth_birthday_a_parent_neither_sees_nor_ends_anything(for_child: GivenForChild) -> None:
    form = for_child.form()
    for_child.age(18)
    page = for_child.visitor.page(REPRESENTATION)
    assert for_child.child.name not in page.words
    for path in (for_child.path, f"{for_child.path}/withdraw", f"{for_child.path}/extend"):
        assert for_child.visitor.get(path).status_code == 404
    for choice in ("withdraw", "pause", "resume", "confirm"):
        late = for_child.visitor.post(for_child.path, {**form, "choice": choice})
        assert late.status_code == 404
    assert for_child.state() == "active"


def test_a_stranger_and_a_parent_of_others_find_no_consent_of_the_child(
    app: Flask, world: World, household: Household, for_child: GivenForChild
) -> None:
    form, other = for_child.form(), household.add(40)
    household.add(6, parent=other)
    own = for_child.consent.citizen_id
    for visitor in (
        signed_in(app, world, other.personal_id),
        signed_in(app, world, for_child.child.personal_id, citizen_id=own),
    ):
        nobodys = visitor.get(f"{GIVEN}/{new_reference()}")
        for path in (for_child.path, f"{for_child.path}/withdraw", f"{for_child.path}/extend"):
            found = visitor.get(path)
            assert (found.status_code, found.text) == (404, nobodys.text)
        extended = visitor.post(f"{for_child.path}/extend", {**form, "days": "30"})
        assert (extended.status_code, extended.text) == (404, nobodys.text)
        for choice in ("withdraw", "pause", "resume", "confirm"):
            assert visitor.post(for_child.path, {**form, "choice": choice}).status_code == 404
        assert for_child.consent_id not in visitor.get(REPRESENTATION).text
    assert for_child.state() == "active"


def test_the_relation_is_proven_again_for_ending_what_was_given(
    household: Household, for_child: GivenForChild, monkeypatch: pytest.MonkeyPatch
) -> None:
    form = for_child.form()
    weak = for_child.act("withdraw", token="x")
    assert (weak.status_code, "Trang này đã quá cũ" in Text(weak.text).words) == (403, True)
    assert for_child.act("give").status_code == 422

    def away(*_given: object) -> None:
        raise SourceUnavailable("away")

    with monkeypatch.context() as patch:
        patch.setattr(InsuranceFamilies, "find_children", away)
        assert for_child.visitor.post(for_child.path, {**form, "choice": "withdraw"}).status_code == 503
    household.forget(for_child.child, "family_member")
    assert for_child.visitor.post(for_child.path, {**form, "choice": "withdraw"}).status_code == 404
    assert for_child.state() == "active"


def extension_form(for_child: GivenForChild, visitor: Visitor | None = None) -> dict[str, str]:
    path = f"{for_child.path}/extend"
    page = (visitor or for_child.visitor).get(path)
    return next(form for form in Forms(page.text).forms if form.action == path).fields


def test_a_parent_extends_for_a_child_under_seven_and_another_consent_takes_the_place_of_the_first(
    app: Flask, world: World, consents: ConsentWorld, for_child: GivenForChild
) -> None:
    visitor, path = for_child.visitor, f"{for_child.path}/extend"
    before = for_child.consent
    for page in (visitor.page(f"{REPRESENTATION}?lang=en"), visitor.page(f"{for_child.path}?lang=en")):
        assert f"{path}?lang=en" in [given.get("href") for tag, given in page.tags if tag == "a"]
    shown = visitor.page(f"{path}?lang=en")
    assert for_child.child.name in shown.words
    assert "Only the length changes" in shown.words
    offered = [given["value"] for tag, given in shown.tags if given.get("name") == "days"]
    assert offered == ["30"], "all that was asked, and seven days are less than it lasts anyway"
    form = extension_form(for_child)
    for days in ("", "7", "365", "x"):
        again = visitor.post(path, {**form, "days": days})
        assert (again.status_code, "Hãy chọn một thời hạn." in again.text) == (422, True)
    stolen = visitor.post(path, {"days": "30", "token": "x"})
    assert (stolen.status_code, "Trang này đã quá cũ" in stolen.text) == (403, True)
    stale = signed_in(
        app, world, for_child.mother.personal_id, citizen_id=visitor.citizen_id, age_seconds=400
    )
    led = stale.post(path, {**extension_form(for_child, stale), "days": "30"})
    assert led.headers["Location"].startswith("/citizen/sign-in?next=representation")
    assert for_child.state() == "active"
    done = visitor.post(path, {**form, "days": "30"})
    assert done.status_code == 303, done.text
    new_id = done.headers["Location"].removeprefix(f"{GIVEN}/").removesuffix("?lang=vi")
    held, after = consents.store.find_one(new_id), consents.store.find_one(before.consent_id)
    assert held is not None
    assert after is not None
    assert (after.consent.state, after.consent.superseded_by) == ("superseded", new_id)
    new = held.consent
    assert (new.state, new.supersedes, new.grant_id) == ("active", before.consent_id, before.grant_id)
    assert (new.citizen_id, new.given_names) == (before.citizen_id, before.given_names)
    assert new.valid_to_at is not None
    assert before.valid_to_at is not None
    assert new.valid_to_at > before.valid_to_at
    [signer] = new.signers
    assert (signer.role, signer.citizen_id, signer.relation_hash) == (
        "representative",
        visitor.citizen_id,
        before.signers[0].relation_hash,
    )
    assert visitor.get(done.headers["Location"]).status_code == 200
    assert visitor.get(for_child.path).status_code == 404, "what has ended is not acted on"
    late = visitor.post(path, {**form, "days": "30"})
    assert late.status_code == 404


def test_where_both_sign_neither_is_offered_to_extend_and_both_read_why(
    app: Flask, world: World, consents: ConsentWorld, household: Household, mother: Someone, visitor: Visitor
) -> None:
    child = household.add(12, parent=mother)
    request_id = ask(world, consents, child)
    visitor.page(REPRESENTATION)
    consent_id = consent_of(world, request_id).consent_id
    assert answer(visitor, consent_id, "give", *FIELDS) == 303
    waiting, at = consents.store.find_one(consent_id), datetime.now(UTC)
    assert waiting is not None
    signer = Signer(
        role="data_subject",
        citizen_id=waiting.consent.citizen_id,
        level=2,
        authenticated_at=at,
        signed_at=at,
    )
    notice = Notice(version="1", language="vi", rendered_hash="0" * 64, served_at=at)
    both = life.cosign(waiting.consent, signer, notice, at, given=frozenset(FIELDS))
    writings, evidence = consents.writer.compose(both, waiting, at)
    consents.store.write(writings, evidence)
    assert consent_of(world, request_id).state == "active"
    own = signed_in(app, world, child.personal_id, citizen_id=waiting.consent.citizen_id)
    for who, path in ((visitor, f"{GIVEN}/{consent_id}"), (own, f"/citizen/consents/{consent_id}")):
        page = who.page(f"{path}?lang=en")
        assert "It cannot be extended here: this consent needs the signatures of both" in page.words
        assert [given for tag, given in page.tags if "/extend" in given.get("href", "")] == []
        form = who.page(f"{path}/extend?lang=en")
        assert "It cannot be extended here" in form.words
        assert [given for tag, given in form.tags if given.get("name") == "days"] == []
        assert who.post(f"{path}/extend", {"days": "30", "token": "x"}).status_code == 403
    assert consent_of(world, request_id).state == "active"


def test_the_relation_is_proven_again_for_extending(
    household: Household, for_child: GivenForChild, monkeypatch: pytest.MonkeyPatch
) -> None:
    form, path = extension_form(for_child), f"{for_child.path}/extend"

    def away(*_given: object) -> None:
        raise SourceUnavailable("away")

    with monkeypatch.context() as patch:
        patch.setattr(InsuranceFamilies, "find_children", away)
        assert for_child.visitor.post(path, {**form, "days": "30"}).status_code == 503
    household.forget(for_child.child, "family_member")
    assert for_child.visitor.post(path, {**form, "days": "30"}).status_code == 404
    assert for_child.state() == "active"


def test_a_child_of_whom_nothing_is_known_hides_no_sibling_and_keeps_nobody_from_ending(
    world: World, consents: ConsentWorld, for_child: GivenForChild, monkeypatch: pytest.MonkeyPatch
) -> None:
    sibling = for_child.household.add(4, parent=for_child.mother)
    ask(world, consents, sibling)

    def unknown(*_given: object) -> None:
        raise ConsentTransitionRefused("person_unknown")

    with monkeypatch.context() as patch:
        patch.setattr(SourcePeople, "signing", unknown)
        page = for_child.visitor.page(f"{REPRESENTATION}?lang=en").words
        own, others = (page.split(one.name, 1)[1] for one in (for_child.child, sibling))
        assert "cannot say now who must sign" in others.split("Consents that were given")[0]
        assert "cannot say now who must sign" not in own.split("Consents that were given")[0]
        assert for_child.act("withdraw").status_code == 303
    assert for_child.state() == "withdrawn"
    assert "cannot say now" not in for_child.visitor.page(f"{REPRESENTATION}?lang=en").words


def test_the_list_asks_the_store_as_often_whatever_the_number_of_a_childs_consents(
    world: World, consents: ConsentWorld, household: Household, mother: Someone, visitor: Visitor
) -> None:
    child, counts = household.add(5, parent=mother), []
    asked: list[str] = []

    def seen(_connection: object, _cursor: object, statement: str, *_more: object) -> None:
        asked.append(statement)

    event.listen(Engine, "before_cursor_execute", seen)
    try:
        for _ in range(3):
            request_id = ask(world, consents, child)
            visitor.page(REPRESENTATION)
            assert answer(visitor, consent_of(world, request_id).consent_id, "give", *FIELDS) == 303
            asked.clear()
            visitor.page(REPRESENTATION)
            counts.append(len(asked))
    finally:
        event.remove(Engine, "before_cursor_execute", seen)
    assert len(set(counts)) == 1, counts


SALARY = 7_500_000
_VALUE = re.compile(r'<div id="f-([a-z_]+)-form">(?:(?!</div>).)*?<strong>([^<]*)', re.DOTALL)


def insured(household: Household, child: Someone) -> None:
    """Let a child have worked last month, for a salary that a band leaves in the dark."""
    month = (TODAY.replace(day=1) - timedelta(days=1)).replace(day=1)
    with household.engine.begin() as connection:
        connection.execute(
            text("INSERT INTO social_insurance (person_key, si_status) VALUES (:key, 'paying')"),
            {"key": child.key},
        )
        connection.execute(
            text(
                "INSERT INTO contribution (person_key, line_number, contribution_from, contribution_to,"
                " salary_base) VALUES (:key, 1, :month, :month, :salary)"
            ),
            {"key": child.key, "month": month, "salary": SALARY},
        )


def values_on(page: TestResponse) -> dict[str, str]:
    return {name: unescape(value) for name, value in _VALUE.findall(page.text)}


def show_form(page: TestResponse) -> dict[str, str]:
    return next(one for one in Forms(page.text).forms if ("choice", "show") in one.buttons).fields


def can_show(page: TestResponse) -> bool:
    return any(("choice", "show") in form.buttons for form in Forms(page.text).forms)


def test_a_parent_sees_the_very_values_that_would_leave_and_the_childs_history_says_who_looked(
    app: Flask, world: World, consents: ConsentWorld, household: Household, mother: Someone, visitor: Visitor
) -> None:
    child = household.add(15, parent=mother)
    insured(household, child)
    request_id = ask(world, consents, child)
    visitor.page(REPRESENTATION)
    asked = consent_of(world, request_id)
    path = f"{REPRESENTATION}/{asked.consent_id}"
    page = visitor.get(f"{path}?lang=en")
    assert values_on(page) == {}, "nothing is read unasked"
    assert "recorded in your child's history as yours" in Text(page.text).words
    account = asked.citizen_id
    own = signed_in(app, world, child.personal_id, citizen_id=account)
    assert "Your representative" not in own.page("/citizen/history?lang=en").words
    shown = visitor.post(path, {**show_form(page), "choice": "show"})
    assert shown.status_code == 200
    assert shown.headers["Cache-Control"] == "no-store"
    assert values_on(shown) == {
        "salary_base": "5,000,000-9,999,999",
        "si_status": "paying",
    }
    assert "7,500,000" not in shown.text
    assert str(SALARY) not in shown.text
    assert "Your child's value now:" in Text(shown.text).words
    assert not any(Forms(shown.text).forms[-1].boxes.values()), "nothing is ticked for it"
    assert not can_show(shown), "the look is had"
    history = own.page("/citizen/history?lang=en").words
    assert "Your representative" in history
    assert "A representative looks at a child's data before deciding for the child" in history
    assert "staff" not in history.split("Your representative")[-1]
    assert "Your representative" not in visitor.page("/citizen/history?lang=en").words
    assert consent_of(world, request_id).state == "requested", "a look is no answer"


LOOKS = "convert_from(entry, 'UTF8')::json ->> 'recipient' = 'representative'"


def waiting_for(
    world: World, consents: ConsentWorld, household: Household, visitor: Visitor, child: Someone
) -> tuple[Consent, str]:
    """Let the bank ask about a child of whom something is held; return the consent and the parent's page."""
    insured(household, child)
    request_id = ask(world, consents, child)
    visitor.page(REPRESENTATION)
    asked = consent_of(world, request_id)
    return asked, f"{REPRESENTATION}/{asked.consent_id}"


def test_a_parents_look_is_recorded_as_what_it_is_and_counted(
    world: World, consents: ConsentWorld, household: Household, mother: Someone, visitor: Visitor
) -> None:
    _, path = waiting_for(world, consents, household, visitor, household.add(5, parent=mother))
    before = world.count("evidence_entries", LOOKS)
    page = visitor.get(path)
    assert world.count("evidence_entries", LOOKS) == before
    shown = visitor.post(path, {**show_form(page), "choice": "show"})
    assert values_on(shown)
    assert world.count("evidence_entries", LOOKS) == before + 1
    with world.owner.connect() as connection:
        found = connection.execute(
            text(f"SELECT entry FROM evidence_entries WHERE {LOOKS} ORDER BY reference DESC LIMIT 1")  # noqa: S608
        )
        entry = json.loads(bytes(found.scalar_one()))
    parent = world.pseudonyms.data_subject_ref(f"citizen:{visitor.citizen_id}").hex()
    assert (entry["acting_person"], entry["client"], entry["result"]) == (parent, "citizen_pages", "released")
    assert (entry["action"], entry["agreement"]) == ("extract_own_record", "representative_child_record")
    assert (entry["purpose"], entry["legal_basis"]) == ("decide_for_a_child", "SELF")
    assert dict(entry["released"]) == {
        "salary_base": "amount_band",
        "si_status": "value",
    }
    assert entry["consent"] is None, "nothing has gone to the recipient"


def test_nobody_else_looks_at_a_childs_values(
    app: Flask, world: World, consents: ConsentWorld, household: Household, mother: Someone, visitor: Visitor
) -> None:
    child = household.add(12, parent=mother)
    asked, path = waiting_for(world, consents, household, visitor, child)
    form = show_form(visitor.get(path))
    before = world.count("evidence_entries", LOOKS)
    father_of_others = household.add(40)
    household.add(6, parent=father_of_others)
    strangers = [
        signed_in(app, world, household.add(41).personal_id),
        signed_in(app, world, father_of_others.personal_id),
        signed_in(app, world, child.personal_id, citizen_id=asked.citizen_id),
    ]
    for stranger in strangers:
        nobodys = stranger.post(f"{REPRESENTATION}/{new_reference()}", {**form, "choice": "show"})
        answered = stranger.post(path, {**form, "choice": "show"})
        assert (answered.status_code, answered.text) == (404, nobodys.text)
    # Nor the parent by the pages of one's own consents.
    assert (
        visitor.post(f"/citizen/consents/{asked.consent_id}", {**form, "choice": "show"}).status_code == 404
    )
    weak = signed_in(app, world, mother.personal_id, citizen_id=visitor.citizen_id, level=1)
    assert weak.post(path, {**form, "choice": "show"}).status_code == 403
    for forged in ({"token": ""}, {"token": "x"}):
        answered = visitor.post(path, {**form, "choice": "show", **forged})
        assert (answered.status_code, values_on(answered)) == (403, {})
    assert world.count("evidence_entries", LOOKS) == before


def test_the_relation_is_proven_for_the_very_look(
    world: World,
    consents: ConsentWorld,
    household: Household,
    mother: Someone,
    visitor: Visitor,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    child = household.add(5, parent=mother)
    _, path = waiting_for(world, consents, household, visitor, child)
    form = show_form(visitor.get(path))
    before = world.count("evidence_entries", LOOKS)

    def away(*_given: object, **_named: object) -> None:
        raise SourceUnavailable("away")

    with monkeypatch.context() as patch:
        patch.setattr(InsuranceFamilies, "find_children", away)
        assert visitor.post(path, {**form, "choice": "show"}).status_code == 503
    assert world.count("evidence_entries", LOOKS) == before
    with monkeypatch.context() as patch:
        patch.setattr(InsuranceSource, "fetch", away)
        page = visitor.post(path, {**form, "choice": "show"})
    assert (page.status_code, values_on(page)) == (200, {})
    assert "Lúc này không xem được giá trị" in Text(page.text).words
    household.forget(child, "family_member")
    before = world.count("evidence_entries", LOOKS)
    late = visitor.post(path, {**form, "choice": "show"})
    assert (late.status_code, values_on(late)) == (404, {})
    assert world.count("evidence_entries", LOOKS) == before


def test_on_the_eighteenth_birthday_a_parent_sees_no_value_any_more(
    world: World, consents: ConsentWorld, household: Household, mother: Someone, visitor: Visitor
) -> None:
    child = household.add(17, parent=mother)
    _, path = waiting_for(world, consents, household, visitor, child)
    form = show_form(visitor.get(path))
    born = date(TODAY.year - 18, TODAY.month, min(TODAY.day, 28)) - timedelta(days=1)
    household.write("UPDATE person SET birth_date = :born WHERE person_key = :key", born, child)
    late = visitor.post(path, {**form, "choice": "show"})
    assert (late.status_code, values_on(late)) == (404, {})


@pytest.mark.parametrize("first", ["child", "parent"])
def test_who_signs_second_sees_the_values_of_what_the_first_has_given_and_of_nothing_else(
    app: Flask,
    world: World,
    consents: ConsentWorld,
    household: Household,
    mother: Someone,
    visitor: Visitor,
    first: str,
) -> None:
    child = household.add(15, parent=mother)
    asked, path = waiting_for(world, consents, household, visitor, child)
    own = signed_in(app, world, child.personal_id, citizen_id=asked.citizen_id)
    own_path = f"/citizen/consents/{asked.consent_id}"
    if first == "parent":
        assert answer(visitor, asked.consent_id, "give", "salary_base") == 303
        second, second_path = own, own_path
        assert not can_show(visitor.get(path)), "who has signed decides nothing here any more"
    else:
        form = next(one for one in Forms(own.get(own_path).text).forms if ("choice", "give") in one.buttons)
        given = own.post(own_path, {**form.fields, "choice": "give", "field": ["salary_base"]})
        assert given.status_code == 303, given.text
        second, second_path = visitor, path
        assert not can_show(own.get(own_path))
    assert consent_of(world, asked.request_id).state == "pending_cosign"
    page = second.get(f"{second_path}?lang=en")
    shown = second.post(second_path, {**show_form(page), "choice": "show"})
    assert shown.status_code == 200
    assert values_on(shown) == {"salary_base": "5,000,000-9,999,999"}
    form = next(one for one in Forms(shown.text).forms if ("choice", "give") in one.buttons)
    signed = second.post(second_path, {**form.fields, "choice": "give", "field": ["salary_base"]})
    assert signed.status_code == 303
    assert consent_of(world, asked.request_id).state == "active"
