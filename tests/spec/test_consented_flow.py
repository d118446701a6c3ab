"""From the pushed request to the record and to its end: the whole way through the real doors."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from flask import Flask
from sqlalchemy import Engine
from werkzeug.test import Client

from broker.consent import life
from broker.consent.record import Actor
from broker.oauth.citizen_passwords import Passwords
from broker.oauth.citizen_secrets import CitizenSecrets
from broker.oauth.one_time_codes import new_secret
from broker.storage.citizens import CitizenRecord, PostgresCitizens
from broker.storage.clients import PostgresClients
from tests.acting import ACTS
from tests.citizen_world import PASSWORD, QUICK, Citizen, Form, Forms
from tests.consent_world import RECORD_PATH, ConsentWorld
from tests.contracts.source_fixtures import InsuranceDatabase
from tests.oauth_flow import INCOME, Flow
from tests.oauth_world import SystemClock
from tests.release_world import World


@dataclass
class Door:
    """What a Flow needs of a world: here the whole broker, with its source."""

    app: Flask
    engine: Engine
    clients: PostgresClients
    issuer: str
    clock: SystemClock = field(default_factory=SystemClock)

    @property
    def http(self) -> Client:
        return self.app.test_client()


@pytest.fixture(scope="module")
def consents(world: World, insurance: InsuranceDatabase) -> ConsentWorld:
    return ConsentWorld(world, insurance)


@pytest.fixture(scope="module")
def flow(app: Flask, world: World) -> Flow:
    door: Any = Door(app, world.engine, world.clients, world.settings.issuer)
    return Flow(door)


@pytest.fixture
def citizen(consents: ConsentWorld) -> Citizen:
    """A synthetic person of the insurance database, with an account and one-time codes."""
    personal_id, _ = next(consents._found)
    citizen_id, secret, world = str(uuid4()), new_secret(), consents.world
    sealing = CitizenSecrets(world.settings.key_encryption_key_file.reveal())
    PostgresCitizens(world.engine, ACTS).register_citizen(
        CitizenRecord(
            citizen_id=citizen_id,
            personal_id_ref=world.pseudonyms.citizen_ref(personal_id),
            personal_id_encrypted=sealing.seal("personal_id", citizen_id, personal_id),
            password_hash=Passwords(**QUICK).hash(PASSWORD),
            totp_secret_encrypted=sealing.seal("totp_secret", citizen_id, secret),
        )
    )
    world.identifiers.add(personal_id)
    return Citizen(citizen_id, personal_id, PASSWORD, secret)


def withdraw(consents: ConsentWorld, citizen: Citizen, consent_id: str) -> None:
    """Withdraw as the citizen's page does."""
    at = datetime.now(UTC)
    held = consents.store.find_one(consent_id)
    assert held is not None
    actor = Actor(kind="data_subject", reference=citizen.citizen_id)
    writings, evidence = consents.writer.compose(life.withdraw(held.consent, actor, at), held, at)
    consents.store.write(writings, evidence)


def test_asked_decided_read_and_withdrawn(flow: Flow, consents: ConsentWorld, citizen: Citizen) -> None:
    answer = flow.redeem(flow.granted(citizen)).get_json()
    [detail] = answer["authorization_details"]
    record = flow.get(RECORD_PATH, answer["access_token"])
    assert record.status_code == 200, record.get_json()
    told = record.get_json()
    assert told["consent_id"] == detail["consent_id"]
    left = {*told["fields"], *(name for row in told["groups"]["contributions"] for name in row)}
    assert left == set(detail["fields"])
    entry = consents.world.evidence(told["evidence_reference"]).entry
    assert (entry["consent"], entry["recipient"]) == (detail["consent_id"], "bank-1")
    withdraw(consents, citizen, detail["consent_id"])
    refused = flow.get(RECORD_PATH, answer["access_token"])
    assert (refused.status_code, refused.get_json()["reason"]) == (403, "not_active_withdrawn")
    again = flow.refresh(answer["refresh_token"])
    assert (again.status_code, again.get_json()["error"]) == (400, "invalid_grant")


def test_a_field_that_was_not_ticked_does_not_leave(
    flow: Flow, consents: ConsentWorld, citizen: Citizen
) -> None:
    page_boxes = ("0.salary_base", "0.si_status")
    answer = flow.redeem(flow.granted(citizen, page_boxes)).get_json()
    told = flow.get(RECORD_PATH, answer["access_token"]).get_json()
    assert set(told["fields"]) == {"si_status"}
    rows = told["groups"]["contributions"]
    assert rows
    assert all(set(row) == {"salary_base"} for row in rows)


def test_what_a_detail_bounds_bounds_what_leaves(
    flow: Flow, consents: ConsentWorld, citizen: Citizen
) -> None:
    whole = flow.get(RECORD_PATH, flow.tokens(citizen)["access_token"]).get_json()
    assert whole["groups"]["contributions"]
    last_day = f"{datetime.now(UTC).date() - timedelta(days=300 * 365)}"
    bounded = {
        **INCOME,
        "data_range": {"last_day": last_day},
        "frequency": {"use_count": 1, "per": "consent"},
    }
    answer = flow.tokens(citizen, authorization_details=json.dumps([bounded]))
    told = flow.get(RECORD_PATH, answer["access_token"])
    assert told.status_code == 200, told.get_json()
    assert told.get_json()["groups"]["contributions"] == [], "nothing speaks of so long ago"
    assert told.get_json()["fields"].keys() == whole["fields"].keys()
    again = flow.get(RECORD_PATH, answer["access_token"])
    assert (again.status_code, again.get_json()["reason"]) == (403, "frequency_exceeded")


def own_form(flow: Flow, browser: Client, path: str) -> Form:
    page = browser.get(path, base_url=flow.world.issuer)
    assert page.status_code == 200, page.text
    return next(form for form in Forms(page.text).forms if form.action == path)


def read(flow: Flow, token: str) -> tuple[set[str], set[str]]:
    """Return what is released of the person, and of each row."""
    answer = flow.get(RECORD_PATH, token)
    assert answer.status_code == 200, answer.get_json()
    told = answer.get_json()
    assert told["groups"]["contributions"]
    return set(told["fields"]), {name for row in told["groups"]["contributions"] for name in row}


def test_a_field_that_is_taken_away_leaves_no_more_and_the_recipient_reads_what_remains(
    flow: Flow, consents: ConsentWorld, citizen: Citizen
) -> None:
    before = flow.redeem(flow.granted(citizen, ("0.salary_base", "0.si_status"))).get_json()
    [old] = before["authorization_details"]
    assert read(flow, before["access_token"]) == ({"si_status"}, {"salary_base"})
    browser, path = flow.signed_in(citizen), f"/citizen/consents/{old['consent_id']}/change"
    data = {**own_form(flow, browser, path).fields, "field": ["salary_base"]}
    done = browser.post(path, data=data, base_url=flow.world.issuer)
    assert done.status_code == 303, done.text
    refused = flow.get(RECORD_PATH, before["access_token"])
    assert (refused.status_code, refused.get_json()["reason"]) == (403, "not_active_superseded")
    after = flow.refresh(before["refresh_token"]).get_json()
    [new] = after["authorization_details"]
    assert new["consent_id"] in done.headers["Location"]
    assert (new["fields"], new["consent_id"] != old["consent_id"]) == (["salary_base"], True)
    assert read(flow, after["access_token"]) == (set(), {"salary_base"})
    assert flow.get(RECORD_PATH, before["access_token"]).status_code == 403, "it never opens again"
    withdraw(consents, citizen, new["consent_id"])
    ended = flow.get(RECORD_PATH, after["access_token"])
    assert (ended.status_code, ended.get_json()["reason"]) == (403, "not_active_withdrawn")
