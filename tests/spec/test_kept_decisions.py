"""A decision that cannot be kept: a plain page, nothing written, and the request still waits."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

import pytest
from werkzeug.test import TestResponse

from broker.cli.embedded import EmbeddedCluster
from broker.consent.record import Notice, Signing
from broker.errors import ConsentTransitionRefused, StoreUnavailable
from broker.oauth.authorization import AuthorizationRefused
from broker.oauth.authorization_request import Approval, request_ref_of
from consent_ui.words import WORDS
from tests.citizen_world import Citizen
from tests.oauth_flow import COMPLETED, Attempt, Flow
from tests.oauth_world import World, oauth_database

TABLES = (
    "consents",
    "consent_requests",
    "consent_events",
    "grants",
    "authorization_codes",
    "outbox_messages",
)


@dataclass
class People:
    """Who must sign, as the test has it."""

    signs: Signing = field(default_factory=Signing)
    fault: Exception | None = None

    def signing(self, citizen_id: str, at: datetime) -> Signing:  # noqa: ARG002 (the same for all)
        if self.fault is not None:
            raise self.fault
        return self.signs


PEOPLE = People()


@pytest.fixture(scope="module")
def module_flow(cluster: EmbeddedCluster) -> Iterator[Flow]:
    with oauth_database(cluster) as database:
        yield Flow(World(database, people=PEOPLE))


@pytest.fixture
def people() -> Iterator[People]:
    """Adults, unless the test says otherwise."""
    yield PEOPLE
    PEOPLE.signs, PEOPLE.fault = Signing(), None


@pytest.fixture
def person(flow: Flow) -> Citizen:
    return flow.citizen()


def counts(flow: Flow) -> dict[str, int]:
    return {table: flow.world.count(table) for table in TABLES}


def plain_page(answer: TestResponse, status: int, key: str) -> None:
    """Check a page that leads nowhere and says why, in Vietnamese."""
    assert answer.status_code == status, answer.text
    assert answer.mimetype == "text/html"
    assert "Location" not in answer.headers
    assert WORDS[key][0] in answer.text


@pytest.mark.parametrize(
    ("fault", "status", "key"),
    [
        (StoreUnavailable("the source cannot say who must sign"), 503, "unavailable"),
        (ConsentTransitionRefused("person_unknown"), 409, "fault_person_unknown"),
    ],
    ids=["source away", "person unknown"],
)
def test_who_must_sign_cannot_be_known_and_nothing_is_given(
    flow: Flow, people: People, person: Citizen, fault: Exception, status: int, key: str
) -> None:
    attempt = Attempt()
    flow.push(attempt)
    page = flow.decision_page(person, attempt)
    before = counts(flow)
    people.fault = fault
    plain_page(flow.press(person, page, attempt), status, key)
    assert counts(flow) == before
    people.fault = None
    assert flow.press(person, flow.decision_page(person, attempt), attempt).status_code == 303
    assert flow.redeem(attempt).status_code == 200, "it was still waiting"


@pytest.mark.parametrize(
    "details",
    [
        [{**COMPLETED, "valid_days": 31}],
        [{**COMPLETED, "valid_days": 0}],
        [{**COMPLETED, "retention_days": 30}],
        [COMPLETED, COMPLETED],
        [{**COMPLETED, "fields": ["salary_base"]}, COMPLETED],
    ],
    ids=repr,
)
def test_what_would_not_stand_in_the_consent_is_not_approved(
    flow: Flow, person: Citizen, details: list[dict[str, Any]]
) -> None:
    attempt, world = Attempt(), flow.world
    flow.push(attempt)
    flow.decision_page(person, attempt)
    doors = world.wiring.consents.redirects(world.wiring.authorizations())
    at = world.clock()
    waiting = doors.find(request_ref_of(attempt.request_uri), at)
    assert waiting is not None
    approval = Approval(
        citizen_id=person.citizen_id,
        level=2,
        authenticated_at=at,
        details=tuple(details),
        scopes=("share_record",),
    )
    notice = Notice(version="1", language="vi", rendered_hash="ab" * 32, served_at=at)
    before = counts(flow)
    with pytest.raises(AuthorizationRefused) as caught:
        doors.approve(waiting, approval, at, notice)
    assert caught.value.reason == "not_narrower"
    assert counts(flow) == before
    fewer = replace(approval, details=({**COMPLETED, "fields": ["si_status", "salary_base"]},))
    assert "code=" in doors.approve(waiting, fewer, at, notice)


@pytest.mark.parametrize(
    "fault", [StoreUnavailable("away"), ConsentTransitionRefused("person_unknown")], ids=["away", "unknown"]
)
def test_nothing_stops_a_refusal(flow: Flow, people: People, person: Citizen, fault: Exception) -> None:
    attempt = Attempt()
    flow.push(attempt)
    page = flow.decision_page(person, attempt)
    people.fault = fault
    assert flow.press(person, page, attempt, choice="refuse").status_code == 303
    assert attempt.answer["error"] == "access_denied"
    assert flow.authorize(flow.browser(), attempt.request_uri).status_code == 400, "it is decided"


def test_a_redirect_cannot_wait_for_a_second_signature(flow: Flow, people: People, person: Citizen) -> None:
    attempt = Attempt()
    flow.push(attempt)
    page = flow.decision_page(person, attempt)
    before = counts(flow)
    people.signs = Signing(required_roles=("data_subject", "representative"))
    plain_page(flow.press(person, page, attempt), 409, "fault_representative_must_sign")
    assert counts(flow) == before


def test_an_agreement_that_lapsed_on_the_way_is_not_permitted(
    flow: Flow, person: Citizen, people: People
) -> None:
    with flow.world.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE clients SET expires_at = '2031-01-01Z'")
    flow.world.clock.at = datetime(2027, 6, 30, 16, 59, tzinfo=UTC)
    attempt = Attempt()
    assert flow.push(attempt).status_code == 201
    page = flow.decision_page(person, attempt)
    assert page.status_code == 200, page.text
    before = counts(flow)
    flow.world.clock.move(61)
    plain_page(flow.press(person, page, attempt), 409, "fault_not_permitted")
    assert counts(flow) == before
