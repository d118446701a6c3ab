"""`/facade/findusage`: a citizens' portal asks who used the data of whoever is signed in there."""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

import jsonschema_rs
import pytest
from flask import Flask

from broker.actions.consent_writer import CITIZEN_PREFIX
from broker.cli.caller import Answer
from broker.errors import EvidenceUnavailable, StoreUnavailable
from broker.evidence.entry import instant_text
from broker.oauth.scopes import BY_COMMAND, FIND_USAGE, PERSONAL_SCOPES
from broker.storage.ledger import PostgresLedger
from broker.storage.usages import PostgresUsages
from connectors.base import SourceAnswerRefused, SourceUnavailable
from connectors.national_insurance.cases import SyntheticPerson
from connectors.national_insurance.source import InsuranceSource
from policies.load import SHIPPED, load_path
from tests.answers import problem_in
from tests.doors import InProcessCaller, in_process_caller, post
from tests.history_world import Told, keep, reference_at
from tests.house.project import ROOT
from tests.own_pages_world import HISTORY, Text, signed_in
from tests.release_world import EXAMPLE_OF_PORTALS, PORTAL_AGREEMENT, Hospital, World

FACADE = "/facade/findusage"
SHAPE = json.loads((ROOT / "tests/data/andmejalgija_2_0_0.json").read_text("utf-8"))
STRANGER = "001090999999"
"""Twelve digits that nobody has."""


class Portal(InProcessCaller):
    """A citizens' portal's program."""

    def find(
        self, user_code: str, signed_in_as: str | None = None, language: str = "vi", **asked: Any
    ) -> Answer:
        """Ask for a person's usage. signed_in_as: who sits at the portal, None for that person."""
        query = urlencode({"userCode": user_code, **asked})
        return self.ask(f"findUsage?{query}", signed_in_as or user_code, language)

    def ask(self, service: str, user_id: str = "", language: str = "vi") -> Answer:
        headers = {"X-Road-UserId": user_id, "Accept-Language": language}
        return self.request("GET", f"{FACADE}/{service}", headers=headers)


def portal_of(
    app: Flask, world: World, *, agreements: tuple[str, ...] = (PORTAL_AGREEMENT,), scope: str = "find_usage"
) -> Portal:
    registered = world.register_hospital(
        agreements=agreements,
        staff=0,
        organisation_id=f"portal-{secrets.token_hex(4)}",
        kind="citizen_portal",
        scopes=("find_usage", "verify_entitlement"),
    )
    portal = Portal(world.settings.issuer, registered.client_id, registered.key, scope)
    portal.app = app
    return portal


@pytest.fixture
def portal(app: Flask, world: World) -> Portal:
    return portal_of(app, world)


@pytest.fixture
def person(world: World) -> SyntheticPerson:
    found = world.unseen_person()
    world.identifiers.add(STRANGER)
    return found


def fits(answer: Answer, service: str) -> dict[str, Any]:
    """Check an answer against the published shape, and that it has no member beside it; return it."""
    assert answer.status == 200, answer.body
    assert (answer.headers["content-type"], answer.headers["cache-control"]) == (
        "application/json",
        "no-store",
    )
    told: dict[str, Any] = answer.json()
    schema = SHAPE["answers"][service]
    jsonschema_rs.validator_for(schema, validate_formats=True).validate(told)
    assert told.keys() <= schema["properties"].keys()
    for one in told.get("usages", ()):
        assert one.keys() <= schema["properties"]["usages"]["items"]["properties"].keys()
    return told


def look(
    app: Flask, world: World, hospital: Hospital, person: SyntheticPerson, **changes: Any
) -> dict[str, Any]:
    """Let a hospital look a person up; return the entry of what came of it."""
    caller = in_process_caller(app, world.settings.issuer, hospital)
    document = post(caller, world.document(person, hospital, **changes)).json()
    return dict(world.evidence(document.get("evidence_reference") or document["instance"]).entry)


def ref_of(world: World, person: SyntheticPerson) -> bytes:
    return world.pseudonyms.data_subject_ref(str(person.person_key))


def reads_of(world: World, portal: Portal) -> list[Mapping[str, Any]]:
    """Return the entries of a portal's questions, oldest first."""
    with world.engine.connect() as connection:
        rows = connection.exec_driver_sql(
            "SELECT entry FROM evidence_entries WHERE kind = 'log_read' ORDER BY reference"
        ).all()
    entries = [json.loads(bytes(row[0])) for row in rows]
    return [one for one in entries if one["client"] == portal.client_id]


class TestAnswers:
    def test_a_hospitals_look_is_told_in_the_published_shape(
        self, app: Flask, world: World, portal: Portal, person: SyntheticPerson
    ) -> None:
        entry = look(app, world, world.hospital, person)
        told = fits(portal.find(person.personal_id), "findUsage")
        assert told == {
            "totalUsages": 1,
            "usages": [
                {
                    "logtime": entry["at"],
                    "action": "Kiểm tra quyền lợi: Kiểm tra quyền lợi bảo hiểm y tế khi tiếp nhận, "
                    "trong điều trị và trước khi ra viện",
                    "receiverCode": world.hospital.organisation_id,
                    "receiverName": f"Bệnh viện {world.hospital.facility_code}",
                    "receiverSystem": world.hospital.client_id,
                }
            ],
        }
        english = fits(portal.find(f"VN{person.personal_id}", language="en"), "findUsage")["usages"][0]
        assert english["receiverName"] == f"Hospital {world.hospital.facility_code}"
        assert english["action"].startswith("Verify entitlement: Check health-insurance")

    def test_what_nobody_received_is_not_told(
        self, app: Flask, world: World, portal: Portal, person: SyntheticPerson
    ) -> None:
        stranger = {"full_name": "Không Ai", "personal_id": "001090000001"}
        world.identifiers.add(stranger["personal_id"])
        assert look(app, world, world.hospital, person, acting_person=stranger)["kind"] == "refusal"
        visitor = signed_in(app, world, person.personal_id)
        form = visitor.form("/citizen/record", "/citizen/record")
        assert visitor.post(form.action, form.fields).status_code == 200
        assert fits(portal.find(person.personal_id), "findUsage") == {"totalUsages": 0, "usages": []}
        mismatch = look(app, world, world.hospital, person, birth_date="01/01/1951")
        assert mismatch["result"] == "answered_without_data"
        assert fits(portal.find(person.personal_id), "findUsage")["totalUsages"] == 1

    def test_pages_and_periods_are_cut_from_one_list_newest_first(
        self, world: World, portal: Portal, person: SyntheticPerson
    ) -> None:
        newest = datetime(2026, 11, 10, 5, 0, tzinfo=UTC)
        instants = [newest - timedelta(hours=hours) for hours in range(7)]
        ref = ref_of(world, person)
        keep(world, [Told(reference_at(at, secrets.randbits(60)), at, ref, "clinic") for at in instants])
        whole = fits(portal.find(person.personal_id), "findUsage")
        assert [one["logtime"] for one in whole["usages"]] == [instant_text(at) for at in instants]
        page = fits(portal.find(person.personal_id, offset=2, limit=3), "findUsage")
        assert (page["totalUsages"], page["usages"]) == (7, whole["usages"][2:5])
        within = {"periodStart": instant_text(instants[4]), "periodEnd": instant_text(instants[1])}
        period = fits(portal.find(person.personal_id, **within), "findUsage")
        assert (period["totalUsages"], period["usages"]) == (4, whole["usages"][1:5])

    def test_more_than_the_store_reads_at_once_are_all_told(
        self, world: World, portal: Portal, person: SyntheticPerson, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("broker.storage.usages.PAGE", 3)
        at, ref = datetime(2026, 10, 1, tzinfo=UTC), ref_of(world, person)
        made = [at - timedelta(days=days) for days in range(10)]
        keep(world, [Told(reference_at(one, secrets.randbits(60)), one, ref, "clinic") for one in made])
        told = fits(portal.find(person.personal_id), "findUsage")
        assert [one["logtime"] for one in told["usages"]] == [instant_text(one) for one in made]

    def test_it_tells_what_the_history_shows_and_what_both_names_of_a_person_find(
        self, app: Flask, world: World, portal: Portal, person: SyntheticPerson
    ) -> None:
        visitor = signed_in(app, world, person.personal_id)
        at = datetime(2026, 10, 1, tzinfo=UTC)
        account = world.pseudonyms.data_subject_ref(CITIZEN_PREFIX + visitor.citizen_id)
        keep(world, [Told(reference_at(at, secrets.randbits(60)), at, account, "clinic")])
        look(app, world, world.hospital, person)
        told = fits(portal.find(person.personal_id), "findUsage")
        assert [one["receiverCode"] for one in told["usages"]] == [world.hospital.organisation_id, "clinic"]
        page = visitor.page(f"{HISTORY}?lang=en").words
        assert (page.count("Answered, no data shared") + page.count("Shared")) >= told["totalUsages"]

    def test_what_an_agreement_hides_is_not_told_before_its_day(
        self, world: World, portal: Portal, person: SyntheticPerson
    ) -> None:
        revision = secrets.token_hex(32)
        world.execute(
            "INSERT INTO agreement_revisions"
            " (revision_hash, agreement_id, revision, text, hidden_days, hidden_days_maximum)"
            " VALUES (:revision, :name, 1, '', 30, 90)",
            revision=revision,
            name=f"hides-{revision[:8]}",
        )
        ref, now = ref_of(world, person), datetime.now(UTC)
        hidden, shown = (
            Told(
                reference_at(at, secrets.randbits(60)), at, ref, recipient,
                changes=(("agreement_revision", revision),),
            )
            for at, recipient in ((now - timedelta(days=29), "soon"), (now - timedelta(days=31), "late"))
        )  # fmt: skip
        keep(world, [hidden, shown])
        told = fits(portal.find(person.personal_id), "findUsage")
        assert (told["totalUsages"], [one["receiverCode"] for one in told["usages"]]) == (1, ["late"])

    def test_nobody_and_somebody_without_usage_are_answered_alike(
        self, portal: Portal, person: SyntheticPerson
    ) -> None:
        known, unknown = portal.find(person.personal_id), portal.find(STRANGER)
        assert known.body == unknown.body
        assert fits(unknown, "findUsage") == {"totalUsages": 0, "usages": []}
        names = {"date", "x-request-id"}
        assert {name: value for name, value in known.headers.items() if name not in names} == {
            name: value for name, value in unknown.headers.items() if name not in names
        }

    def test_the_two_other_services_have_their_shapes(self, portal: Portal) -> None:
        period = fits(portal.ask("usagePeriod"), "usagePeriod")
        assert datetime.fromisoformat(period["periodStart"]) <= datetime.now(UTC)
        assert fits(portal.ask("heartbeat"), "heartbeat")["status"] == "OK"

    def test_a_store_that_cannot_be_read_beats_no_more(
        self, portal: Portal, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        portal.token()

        def away(_self: object) -> None:
            raise StoreUnavailable("away")

        monkeypatch.setattr(PostgresUsages, "find_oldest", away)
        told = fits(portal.ask("heartbeat"), "heartbeat")
        assert told == {"status": "FAIL", "message": "evidence cannot be read now"}


class TestEvidence:
    """Each question is an entry of the log, before anything is told."""

    def test_the_person_reads_who_asked_and_by_what_right(
        self, app: Flask, world: World, portal: Portal, person: SyntheticPerson
    ) -> None:
        fits(portal.find(person.personal_id), "findUsage")
        [entry] = reads_of(world, portal)
        kept = world.evidence(entry["reference"])
        assert kept.data_subject_ref == ref_of(world, person)
        agreement = load_path(EXAMPLE_OF_PORTALS).agreements[0]
        assert (entry["reader"], entry["what"], entry["legal_basis"]) == ("portal", "history", "SELF")
        assert (entry["agreement"], entry["acting_person"]) == (agreement.id, None)
        assert len(entry["agreement_revision"]) == 64
        assert entry["recipient"].startswith("portal-")
        visitor = signed_in(app, world, person.personal_id)
        page = Text(visitor.get(f"{HISTORY}?lang=en&rows=everything").text).words
        assert "A citizens' portal asked for this history, for you as it said" in page
        assert entry["reference"] in page

    def test_without_its_entry_nothing_is_read_and_nothing_told(
        self, world: World, portal: Portal, person: SyntheticPerson, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        portal.token()

        def broken(*_given: object, **_more: object) -> None:
            raise EvidenceUnavailable("the disk is full")

        def read(*_given: object) -> None:
            raise AssertionError("the history is read before the question is recorded")

        monkeypatch.setattr(PostgresLedger, "record_release", broken)
        monkeypatch.setattr(PostgresUsages, "iterate_releases", read)
        document = problem_in(portal.find(person.personal_id), "evidence-unavailable")
        assert "usages" not in document
        assert reads_of(world, portal) == []

    def test_a_question_about_nobody_is_recorded_as_one_about_nobody(
        self, world: World, portal: Portal
    ) -> None:
        world.identifiers.add(STRANGER)
        fits(portal.find(STRANGER), "findUsage")
        [entry] = reads_of(world, portal)
        assert (entry["data_subject_commit"], entry["reader"]) == (None, "portal")
        assert world.evidence(entry["reference"]).data_subject_ref is None

    def test_no_entry_and_no_answer_holds_the_number(
        self, world: World, portal: Portal, person: SyntheticPerson
    ) -> None:
        answer = portal.find(person.personal_id)
        [entry] = reads_of(world, portal)
        assert person.personal_id not in json.dumps(entry)
        assert person.personal_id not in answer.body.decode()


class TestWhoMay:
    """A scope of its own, an agreement, the person's own presence: without one of them nothing is told."""

    def refused(
        self, world: World, answer: Answer, reason: str, slug: str = "release-refused"
    ) -> dict[str, Any]:
        document = problem_in(answer, slug)
        assert document.get("reason", reason) == reason
        entry = dict(world.evidence(document["instance"]).entry)
        assert (entry["kind"], entry["action"], entry["reason"]) == ("refusal", "find_usage", reason)
        return entry

    def test_about_anybody_else_than_who_is_signed_in_nothing_is_told_and_the_person_sees_it(
        self, app: Flask, world: World, portal: Portal, person: SyntheticPerson
    ) -> None:
        look(app, world, world.hospital, person)
        other = world.unseen_person().personal_id
        answer = portal.find(person.personal_id, signed_in_as=other)
        entry = self.refused(world, answer, "not_the_signed_in_person")
        assert world.evidence(entry["reference"]).data_subject_ref == ref_of(world, person)
        assert world.hospital.client_id not in answer.body.decode()
        visitor = signed_in(app, world, person.personal_id)
        page = visitor.page(f"{HISTORY}?lang=en").words
        assert "A portal asked for this history for somebody else who was signed in there" in page

    def test_about_nobody_it_is_refused_alike(
        self, world: World, portal: Portal, person: SyntheticPerson
    ) -> None:
        of_known = portal.find(person.personal_id, signed_in_as=STRANGER)
        of_nobody = portal.find(STRANGER, signed_in_as=person.personal_id)
        told = [problem_in(one, "release-refused") for one in (of_known, of_nobody)]
        assert told[0].keys() == told[1].keys()
        assert {one["reason"] for one in told} == {"not_the_signed_in_person"}
        assert world.evidence(told[1]["instance"]).data_subject_ref is None

    def test_the_scope_is_needed(self, app: Flask, world: World, person: SyntheticPerson) -> None:
        other = portal_of(app, world, scope="verify_entitlement")
        self.refused(world, other.find(person.personal_id), "scope_insufficient", "scope-insufficient")
        for service in ("usagePeriod", "heartbeat"):
            problem_in(other.ask(service), "scope-insufficient")

    def test_the_agreement_is_needed(self, app: Flask, world: World, person: SyntheticPerson) -> None:
        without = portal_of(app, world, agreements=())
        self.refused(world, without.find(person.personal_id), "no_agreement")

    def test_a_suspended_agreement_ends_it_with_the_next_question(
        self, world: World, portal: Portal, person: SyntheticPerson
    ) -> None:
        fits(portal.find(person.personal_id), "findUsage")
        suspend = "UPDATE agreements SET status = :status WHERE agreement_id = :name"
        world.execute(suspend, status="suspended", name=PORTAL_AGREEMENT)
        try:
            self.refused(world, portal.find(person.personal_id), "agreement_not_active")
        finally:
            world.execute(suspend, status="active", name=PORTAL_AGREEMENT)

    def test_a_hospital_gets_nowhere(
        self, world: World, local: InProcessCaller, person: SyntheticPerson
    ) -> None:
        answer = local.request(
            "GET",
            f"{FACADE}/findUsage?userCode={person.personal_id}",
            headers={"X-Road-UserId": person.personal_id},
        )
        self.refused(world, answer, "scope_insufficient", "scope-insufficient")

    def test_a_proof_counts_once(self, world: World, portal: Portal, person: SyntheticPerson) -> None:
        fits(portal.find(person.personal_id), "findUsage")
        path, headers = (
            f"{FACADE}/findUsage?userCode={person.personal_id}",
            {"X-Road-UserId": person.personal_id},
        )
        again = portal.request("GET", path, headers=headers, proof=portal.last_proof)
        assert problem_in(again, "proof-invalid")["reason"] == "proof_replayed"
        assert len(reads_of(world, portal)) == 1

    def test_the_limits_of_the_agreement_hold_for_the_known_and_the_unknown(
        self, world: World, app: Flask, person: SyntheticPerson
    ) -> None:
        agreement = load_path(EXAMPLE_OF_PORTALS).agreements[0]
        bound = next(one.count for one in agreement.limits if one.scope == "acting_person_hour")
        for asked in (person.personal_id, STRANGER):
            portal = portal_of(app, world)
            answers = [portal.find(asked) for _ in range(bound + 1)]
            # An hour may end in between, and then the count begins anew.
            if answers[-1].status == 200:
                answers = [portal.find(asked) for _ in range(bound + 1)]
            document = problem_in(answers[-1], "limit-reached")
            assert int(answers[-1].headers["retry-after"]) >= 1
            assert document["reason"] == "limit_reached"

    def test_the_scope_is_given_on_the_brokers_own_machine_alone(self) -> None:
        assert FIND_USAGE in BY_COMMAND
        assert FIND_USAGE not in PERSONAL_SCOPES


class TestTheSource:
    """Who a person is the source says; without it a history would be told by halves."""

    def test_a_source_that_is_away_ends_in_an_outage_that_is_recorded(
        self, world: World, portal: Portal, person: SyntheticPerson, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        portal.token()

        def away(*_given: object, **_more: object) -> None:
            raise SourceUnavailable("away", retry_after_seconds=5)

        monkeypatch.setattr(InsuranceSource, "fetch", away)
        document = problem_in(portal.find(person.personal_id), "source-outage")
        assert world.evidence(document["instance"]).entry["result"] == "error"
        assert reads_of(world, portal) == []

    def test_two_persons_under_one_number_are_told_nothing(
        self, world: World, portal: Portal, person: SyntheticPerson, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        portal.token()

        def two(*_given: object, **_more: object) -> None:
            raise SourceAnswerRefused("several_persons")

        monkeypatch.setattr(InsuranceSource, "fetch", two)
        answer = portal.find(person.personal_id)
        document = problem_in(answer, "source-answer-refused")
        assert world.evidence(document["instance"]).entry["reason"] == "source_several_persons"


class TestHostileQuestions:
    @pytest.mark.parametrize(
        ("query", "user_id", "pointer"),
        [
            ("", STRANGER, "/userCode"),
            ("userCode=", STRANGER, "/userCode"),
            (f"userCode={STRANGER}", "", "/X-Road-UserId"),
            (f"userCode={STRANGER}", "EE12345678901", "/X-Road-UserId"),
            (f"userCode={STRANGER}&userCode={STRANGER}", STRANGER, "/userCode"),
            (f"userCode={STRANGER}&everybody=1", STRANGER, "/everybody"),
            (f"userCode={STRANGER}&{STRANGER}=1", STRANGER, "/(other)"),
            (f"userCode={STRANGER}%00", STRANGER, "/userCode"),
            (f"userCode={STRANGER}%ff", STRANGER, ""),
            (f"userCode={STRANGER}&limit=1001", STRANGER, "/limit"),
            (f"userCode={STRANGER}&limit=0", STRANGER, "/limit"),
            (f"userCode={STRANGER}&limit=1e3", STRANGER, "/limit"),
            (f"userCode={STRANGER}&offset=-1", STRANGER, "/offset"),
            (f"userCode={STRANGER}&offset=999999999999", STRANGER, "/offset"),
            (f"userCode={STRANGER}&periodStart=now()", STRANGER, "/periodStart"),
            (f"userCode={STRANGER}&periodEnd=9999-12-31T23:59:59-23:59", STRANGER, "/periodEnd"),
            (f"userCode={STRANGER}' OR 1=1--", STRANGER, "/userCode"),
            (f"userCode={STRANGER[::-1]}x", STRANGER, "/userCode"),
            ("&".join(f"a{number}=1" for number in range(50)), STRANGER, ""),
            ("userCode", STRANGER, ""),
        ],
    )
    def test_what_is_no_question_is_told_by_its_place_and_never_by_its_value(
        self, world: World, portal: Portal, query: str, user_id: str, pointer: str
    ) -> None:
        world.identifiers.add(STRANGER)
        answer = portal.ask(f"findUsage?{query}", user_id)
        document = problem_in(answer, "request-malformed")
        assert pointer in [one["pointer"] for one in document["faults"]]
        assert STRANGER not in answer.body.decode()
        assert reads_of(world, portal) == []

    @pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
    def test_it_is_only_read(self, portal: Portal, method: str) -> None:
        answer = portal.request(method, f"{FACADE}/findUsage")
        assert (answer.status, answer.headers["allow"]) == (405, "GET, HEAD, OPTIONS")

    @pytest.mark.parametrize("path", [FACADE, f"{FACADE}/", f"{FACADE}/findusage", f"{FACADE}/findUsage/x"])
    def test_there_is_nothing_beside_the_three_services(self, portal: Portal, path: str) -> None:
        assert portal.request("GET", path).status == 404


def test_the_agreement_of_the_documents_is_one_and_ships_not() -> None:
    [agreement] = load_path(EXAMPLE_OF_PORTALS).agreements
    assert (agreement.id, agreement.rules, agreement.hidden_days) == (PORTAL_AGREEMENT, (), 0)
    assert not (SHIPPED / "agreements" / EXAMPLE_OF_PORTALS.name).exists()
