"""GET /v1/consented-record: what a citizen has consented to, and nothing else, through the real door."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import create_engine, text
from werkzeug.test import Client

from broker.actions.consent_writer import CITIZEN_PREFIX
from broker.api.openapi import OPENAPI_PATH
from broker.app import CompiledPolicies
from broker.cli.caller import Answer
from broker.consent.codec import record_hash
from broker.consent.ranges import period_end
from broker.consent.record import DataRange, Frequency, Period
from broker.oauth.jose import decode_object, decode_segment
from connectors.base import SourceUnavailable
from connectors.national_insurance.source import InsuranceSource
from policies.model import Decision, Form
from policies.shape import shape_of
from tests.answers import problem_in
from tests.consent_world import RECORD_PATH, ConsentWorld, Given, Reader, reader_of
from tests.contracts.source_fixtures import InsuranceDatabase
from tests.house.test_integrators_doc import first_column
from tests.release_world import World
from tests.spec.test_openapi import check


@pytest.fixture(scope="module")
def consents(world: World, insurance: InsuranceDatabase) -> ConsentWorld:
    return ConsentWorld(world, insurance)


@pytest.fixture
def reader(app: Flask, consents: ConsentWorld) -> Reader:
    return reader_of(app, consents.world.settings.issuer, consents.bank)


def refused(world: World, answer: Answer, slug: str, reason: str, recorded: str = "") -> dict[str, Any]:
    """Check a refusal and its evidence; return the entry."""
    document = problem_in(answer, slug)
    assert document["reason"] == reason
    entry = dict(world.evidence(document["instance"]).entry)
    assert (entry["kind"], entry["action"]) == ("refusal", "share_record")
    assert entry["reason"] == (recorded or reason)
    return entry


def is_told_to(world: World, document: dict[str, Any], given: Given) -> bool:
    """Return whether the evidence of a refusal stands where the person's own history looks."""
    ref = world.pseudonyms.data_subject_ref(CITIZEN_PREFIX + given.person.citizen_id)
    return world.evidence(document["reference"]).data_subject_ref == ref


class TestWhatLeaves:
    def test_every_value_comes_with_its_form_its_source_and_its_instant(
        self, consents: ConsentWorld, reader: Reader
    ) -> None:
        given = consents.give()
        answer = reader.read(reader.token(given))
        assert answer.status == 200
        assert answer.headers["cache-control"] == "no-store"
        told = answer.json()
        assert set(told) == {
            "as_of", "consent_id", "evidence_reference", "fields", "groups", "legal_basis", "purpose",
            "retention", "withheld",
        }  # fmt: skip
        ends = {"source": "national_insurance", "as_of": told["as_of"]}
        status = told["fields"]["si_status"]
        assert status == {"value": status["value"], "form": "value", **ends}
        assert set(told["fields"]) == {"si_status"}
        rows = told["groups"]["contributions"]
        assert rows
        for row in rows:
            assert set(row) == {"contribution_from", "contribution_to", "salary_base"}
            assert {one["form"] for one in row.values()} == {"year_month", "amount_band"}
            assert all(set(one) == {"value", "form", "source", "as_of"} for one in row.values())
        assert (told["purpose"], told["legal_basis"]) == ("prove_income", "CONSENT")
        assert told["consent_id"] == given.consent_id
        assert told["withheld"] == []

    def test_the_evidence_names_consent_and_version_and_stands_under_the_person(
        self, consents: ConsentWorld, reader: Reader
    ) -> None:
        given = consents.give()
        answer = reader.read(reader.token(given))
        evidence = consents.world.evidence(answer.json()["evidence_reference"])
        entry = evidence.entry
        assert (entry["kind"], entry["result"]) == ("release", "released")
        assert (entry["consent"], entry["consent_version"]) == (given.consent_id, given.consent.version)
        assert entry["released"] == [
            ["si_status", "value"],
            ["contribution_from", "year_month"],
            ["contribution_to", "year_month"],
            ["salary_base", "amount_band"],
        ]
        person = consents.world.pseudonyms.data_subject_ref(given.person.person_key)
        assert evidence.data_subject_ref == person
        salt = evidence.payload_salt or b""
        assert hashlib.sha256(salt + answer.body).hexdigest() == entry["payload_commit"]

    def test_what_the_person_left_out_stays_where_it_is(self, consents: ConsentWorld, reader: Reader) -> None:
        given = consents.give(given=["si_status"])
        told = reader.read(reader.token(given)).json()
        assert (set(told["fields"]), told["groups"]) == ({"si_status"}, {})

    def test_nothing_outside_the_agreements_twelve_months_leaves(
        self, consents: ConsentWorld, reader: Reader
    ) -> None:
        told = reader.read(reader.token(consents.give())).json()
        begun = [row["contribution_from"]["value"] for row in told["groups"]["contributions"]]
        assert begun
        earliest = datetime.now(UTC).date().replace(day=1) - timedelta(days=365)
        assert all(month >= earliest.isoformat()[:7] for month in begun)

    def test_rows_that_speak_of_a_day_outside_the_range_stay(
        self, consents: ConsentWorld, reader: Reader
    ) -> None:
        person = consents.person()
        whole = reader.read(reader.token(consents.give(person))).json()["groups"]["contributions"]
        first = max(row["contribution_from"]["value"] for row in whole)
        since = date.fromisoformat(f"{first}-01")
        narrow = consents.give(person, data_range=DataRange(since, None))
        rows = reader.read(reader.token(narrow)).json()["groups"]["contributions"]
        assert [row["contribution_from"]["value"] for row in rows] == [first]
        before = consents.give(person, data_range=DataRange(None, since - timedelta(days=1)))
        rows = reader.read(reader.token(before)).json()["groups"]["contributions"]
        assert len(rows) == len(whole) - 1

    def test_how_long_it_may_be_kept_is_what_was_consented_to(
        self, consents: ConsentWorld, reader: Reader
    ) -> None:
        told = reader.read(reader.token(consents.give(retention_days=10))).json()
        until = date.fromisoformat(told["retention"]["until"])
        assert told["retention"]["days"] == 10
        assert timedelta(days=9) <= until - datetime.now(UTC).date() <= timedelta(days=11)

    def test_on_request_it_comes_signed(self, consents: ConsentWorld, reader: Reader) -> None:
        given = consents.give()
        answer = reader.read(reader.token(given), headers={"Accept": "application/jwt"})
        assert (answer.status, answer.headers["content-type"]) == (200, "application/jwt")
        header, claims = (decode_object(decode_segment(one)) for one in answer.body.split(b".")[:2])
        assert header["typ"] == "consented-record+jwt"
        assert claims["aud"] == given.bank.client_id
        assert claims["consented_record"]["evidence_reference"] == claims["jti"]
        assert claims["consented_record"]["consent_id"] == given.consent_id

    def test_neither_name_nor_number_of_the_person_is_read_or_told(
        self, consents: ConsentWorld, reader: Reader
    ) -> None:
        given = consents.give()
        body = reader.read(reader.token(given)).body.decode()
        assert given.person.personal_id not in body
        engine = create_engine(consents.world.settings.source_url)
        with engine.connect() as connection:
            statement = text("SELECT full_name, si_number FROM person WHERE personal_id = :id")
            name, number = connection.execute(statement, {"id": given.person.personal_id}).one()
        engine.dispose()
        assert name not in body
        assert number not in body


class TestWhoIsRefused:
    @pytest.mark.parametrize(
        ("change", "reason"),
        [
            (lambda c, g: c.withdraw(g), "not_active_withdrawn"),
            (lambda c, g: c.pause(g), "not_active_paused"),
        ],
        ids=["withdrawn", "paused"],
    )
    def test_after_the_citizen_said_no_the_very_next_look_is_refused_and_the_person_sees_it(
        self,
        consents: ConsentWorld,
        reader: Reader,
        change: Callable[[ConsentWorld, Given], object],
        reason: str,
    ) -> None:
        given = consents.give()
        token = reader.token(given)
        assert reader.read(token).status == 200
        change(consents, given)
        entry = refused(consents.world, reader.read(token), "release-refused", reason)
        assert entry["consent"] == given.consent_id
        assert entry["purpose"] == "prove_income"
        assert is_told_to(consents.world, entry, given)

    def test_an_expired_consent_carries_nothing_though_nobody_wrote_its_end_down(
        self, consents: ConsentWorld, reader: Reader
    ) -> None:
        at = datetime.now(UTC)
        given = consents.give(changes={"valid_to_at": at + timedelta(days=1)})
        token = reader.token(given)
        over = consents.give(changes={"valid_to_at": at - timedelta(seconds=1)})
        assert reader.read(token).status == 200
        refused(consents.world, reader.read(reader.token(over)), "release-refused", "not_active_expired")

    def test_a_recipient_does_not_learn_of_a_birthday(self, consents: ConsentWorld, reader: Reader) -> None:
        given = consents.give(changes={"refresh_due_at": datetime.now(UTC) - timedelta(seconds=1)})
        entry = refused(
            consents.world,
            reader.read(reader.token(given)),
            "release-refused",
            "not_active_paused",
            recorded="not_active_refresh_due",
        )
        assert is_told_to(consents.world, entry, given)

    def test_once_confirmed_the_next_token_reads_again_and_an_older_one_does_not(
        self, consents: ConsentWorld, reader: Reader
    ) -> None:
        """After a birthday the consent is signed anew, which is another agreement: the grant must tell it."""
        at = datetime.now(UTC)
        given = consents.give(
            at=at - timedelta(hours=1), changes={"refresh_due_at": at, "refresh_roles": ("data_subject",)}
        )
        before = reader.token(given)
        refused(
            consents.world,
            reader.read(before),
            "release-refused",
            "not_active_paused",
            recorded="not_active_refresh_due",
        )
        consents.confirm(given)
        after = reader.token(given)
        told = reader.read(after)
        assert (told.status, told.json()["consent_id"]) == (200, given.consent_id)
        refused(consents.world, reader.read(before), "release-refused", "record_hash_mismatch")
        claims = decode_object(decode_segment(after.encode().split(b".")[1]))
        [detail] = claims["authorization_details"]
        assert detail["record_hash"] == record_hash(consents.consent(given))

    @pytest.mark.parametrize(
        ("member", "value", "reason"),
        [
            ("record_hash", "0" * 64, "record_hash_mismatch"),
            ("purpose", "something_else", "purpose_mismatch"),
            ("agreement_id", "another", "service_mismatch"),
        ],
    )
    def test_a_token_made_for_something_else_does_not_fit(
        self, consents: ConsentWorld, reader: Reader, member: str, value: str, reason: str
    ) -> None:
        given = consents.give()
        consents.world.execute(
            "UPDATE grants SET authorization_details ="
            " jsonb_set(authorization_details, CAST(:path AS text[]), CAST(:value AS jsonb))"
            " WHERE grant_id = :grant",
            path=f"{{0,{member}}}",
            value=json.dumps(value),
            grant=given.consent.grant_id,
        )
        entry = refused(consents.world, reader.read(reader.token(given)), "release-refused", reason)
        assert is_told_to(consents.world, entry, given)

    def test_the_consent_of_another_recipient_is_no_ones_else(
        self, app: Flask, consents: ConsentWorld
    ) -> None:
        other = consents.register_bank()
        mine, theirs = consents.give(), consents.give(bank=other)
        consents.world.execute(
            "UPDATE grants SET authorization_details = (SELECT authorization_details FROM grants"
            " WHERE grant_id = :mine) WHERE grant_id = :theirs",
            mine=mine.consent.grant_id,
            theirs=theirs.consent.grant_id,
        )
        thief = reader_of(app, consents.world.settings.issuer, other)
        entry = refused(consents.world, thief.read(thief.token(theirs)), "token-invalid", "token_not_active")
        assert is_told_to(consents.world, entry, mine)

    def test_a_client_that_came_to_another_organisation_is_another_recipient(
        self, app: Flask, consents: ConsentWorld
    ) -> None:
        """The grant of the token is that of the consent, and its client too: only the organisation is not."""
        bank = consents.register_bank()
        given = consents.give(bank=bank)
        consents.world.execute(
            "UPDATE clients SET organisation_id = :other WHERE client_id = :id",
            other=consents.bank.organisation_id,
            id=bank.client_id,
        )
        own = reader_of(app, consents.world.settings.issuer, bank)
        entry = refused(consents.world, own.read(own.token(given)), "release-refused", "recipient_mismatch")
        assert is_told_to(consents.world, entry, given)

    def test_a_grant_that_names_another_person_is_about_another_subject(
        self, consents: ConsentWorld, reader: Reader
    ) -> None:
        given = consents.give()
        consents.world.execute(
            "UPDATE grants SET subject = 'citizen:another' WHERE grant_id = :grant",
            grant=given.consent.grant_id,
        )
        entry = refused(
            consents.world, reader.read(reader.token(given)), "release-refused", "subject_mismatch"
        )
        assert is_told_to(consents.world, entry, given)

    @pytest.mark.parametrize(
        ("form", "months"),
        [
            (Form("value"), 12),
            (Form("amount_band", (("edges", "5000000,20000000"),)), 12),
            (None, 6),
        ],
        ids=["another form", "wider bands", "fewer months"],
    )
    def test_what_was_shown_otherwise_when_it_was_given_stays(
        self, consents: ConsentWorld, reader: Reader, form: Form | None, months: int
    ) -> None:
        """As if the agreement had come to give finer bands, or more months, after the consent."""
        given = consents.give()
        agreement = consents.policies.tables["bank_income_proof"].agreement
        release = consents.policies.tables["bank_income_proof"].permitted["salary_base"]
        rows = tuple(replace(one, months=months) for one in agreement.row_scopes)
        shape = shape_of(release if form is None else replace(release, form=form), rows)
        assert shape != shape_of(release, agreement.row_scopes)
        terms = given.consent.terms
        fields = tuple(
            replace(one, shape=shape) if one.name == "salary_base" else one for one in terms.fields
        )
        other = consents.give(given.person, changes={"terms": replace(terms, fields=fields)})
        told = reader.read(reader.token(other)).json()
        assert told["withheld"] == [{"field": "salary_base", "reason": "form_not_consented"}]
        assert told["groups"]["contributions"]
        assert all("salary_base" not in row for row in told["groups"]["contributions"])

    def test_a_client_that_lost_the_agreement_reads_nothing(self, app: Flask, consents: ConsentWorld) -> None:
        bank = consents.register_bank()
        given = consents.give(bank=bank)
        reader = reader_of(app, consents.world.settings.issuer, bank)
        token = reader.token(given)
        assert reader.read(token).status == 200
        consents.world.execute(
            "UPDATE clients SET agreement_ids = '{}' WHERE client_id = :id", id=bank.client_id
        )
        refused(consents.world, reader.read(token), "release-refused", "agreement_not_active")

    def test_a_person_whom_the_source_does_not_know(self, consents: ConsentWorld, reader: Reader) -> None:
        given = consents.give(consents.register_person("000190999999"))
        entry = refused(
            consents.world, reader.read(reader.token(given)), "release-refused", "record_not_found"
        )
        assert is_told_to(consents.world, entry, given)

    def test_a_client_that_acts_for_itself_has_nobodys_consent(
        self, consents: ConsentWorld, reader: Reader
    ) -> None:
        own = reader.caller.token()
        refused(consents.world, reader.read(own), "release-refused", "authorization_details_insufficient")

    def test_a_hospitals_token_lacks_the_scope(self, world: World, local: Any) -> None:
        answer = local.request("GET", RECORD_PATH)
        refused(world, answer, "scope-insufficient", "scope_insufficient")

    def test_a_proof_counts_once(self, consents: ConsentWorld, reader: Reader) -> None:
        given = consents.give()
        token = reader.token(given)
        assert reader.read(token).status == 200
        again = reader.caller.request("GET", RECORD_PATH, token=token, proof=reader.caller.last_proof)
        refused(consents.world, again, "proof-invalid", "proof_replayed")


class TestHowOften:
    def test_the_consents_own_frequency_is_counted_exactly(
        self, consents: ConsentWorld, reader: Reader
    ) -> None:
        given = consents.give(frequency=Frequency(2, "week"))
        token = reader.token(given)
        assert [reader.read(token).status for _ in range(2)] == [200, 200]
        answer = reader.read(token)
        refused(consents.world, answer, "release-refused", "frequency_exceeded")
        ends_at = period_end(given.consent, datetime.now(UTC))
        assert ends_at is not None
        left = (ends_at - datetime.now(UTC)).total_seconds()
        assert left - 5 <= int(answer.headers["retry-after"]) <= left + 60

    def test_where_no_use_will_come_again_no_time_is_told(
        self, consents: ConsentWorld, reader: Reader
    ) -> None:
        given = consents.give(frequency=Frequency(1, "consent"))
        token = reader.token(given)
        assert reader.read(token).status == 200
        answer = reader.read(token)
        refused(consents.world, answer, "release-refused", "frequency_exceeded")
        assert "retry-after" not in answer.headers

    def test_the_agreements_limit_holds_besides(self, consents: ConsentWorld, reader: Reader) -> None:
        given = consents.give()
        token = reader.token(given)
        assert [reader.read(token).status for _ in range(3)] == [200, 200, 200]
        answer = reader.read(token)
        refused(consents.world, answer, "limit-reached", "limit_reached")
        assert int(answer.headers["retry-after"]) >= 1

    @pytest.mark.parametrize("per", ["week", "consent"])
    def test_what_was_used_up_stays_so_when_the_citizen_gives_less(
        self, consents: ConsentWorld, reader: Reader, per: Period
    ) -> None:
        given = consents.give(frequency=Frequency(2, per))
        assert reader.read(reader.token(given)).status == 200
        consents.amend(given, frozenset({"salary_base"}), valid_days=7)
        token = reader.token(given)
        assert reader.read(token).status == 200
        refused(consents.world, reader.read(token), "release-refused", "frequency_exceeded")

    @pytest.mark.parametrize(("per", "status"), [("week", 403), ("consent", 200)])
    def test_extending_begins_the_uses_of_a_whole_life_anew_and_no_others(
        self, consents: ConsentWorld, reader: Reader, per: Period, status: int
    ) -> None:
        given = consents.give(frequency=Frequency(1, per), at=datetime.now(UTC) - timedelta(days=1))
        assert reader.read(reader.token(given)).status == 200
        consents.extend(given)
        assert reader.read(reader.token(given)).status == status


class TestOfTwoFaults:
    """consent.md 1.5: the first failing reason is recorded; what the recipient is told stands beside it."""

    @pytest.fixture
    def used_up(self, consents: ConsentWorld, reader: Reader) -> tuple[Given, str]:
        """A consent to one use a day, which is used, and its token."""
        given = consents.give(frequency=Frequency(1, "day"))
        token = reader.token(given)
        assert reader.read(token).status == 200
        return given, token

    def test_a_consent_that_rests_and_is_used_up_rests(
        self, consents: ConsentWorld, reader: Reader, used_up: tuple[Given, str]
    ) -> None:
        given, token = used_up
        consents.pause(given)
        entry = refused(consents.world, reader.read(token), "release-refused", "not_active_paused")
        assert is_told_to(consents.world, entry, given)

    def test_a_token_with_another_hash_and_another_purpose_has_another_hash(
        self, consents: ConsentWorld, reader: Reader
    ) -> None:
        given = consents.give()
        consents.world.execute(
            "UPDATE grants SET authorization_details = jsonb_set(jsonb_set(authorization_details,"
            " '{0,record_hash}', to_jsonb(repeat('0', 64))), '{0,purpose}', '\"something_else\"')"
            " WHERE grant_id = :grant",
            grant=given.consent.grant_id,
        )
        entry = refused(
            consents.world, reader.read(reader.token(given)), "release-refused", "record_hash_mismatch"
        )
        assert is_told_to(consents.world, entry, given)

    def test_a_consent_that_is_used_up_and_that_the_policies_refuse_is_used_up(
        self,
        consents: ConsentWorld,
        reader: Reader,
        used_up: tuple[Given, str],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        given, token = used_up
        fresh = reader.token(consents.give(given.person, frequency=Frequency(1, "day")))
        monkeypatch.setattr(
            CompiledPolicies,
            "decide",
            lambda _, asked: Decision(
                False, "after_validity", (), agreement_id=asked.agreement_id, purpose=asked.purpose
            ),
        )
        refused(consents.world, reader.read(fresh), "release-refused", "after_validity")
        entry = refused(consents.world, reader.read(token), "release-refused", "frequency_exceeded")
        assert is_told_to(consents.world, entry, given)

    def test_a_consent_that_is_used_up_and_whose_client_lost_the_agreement_is_used_up(
        self, app: Flask, consents: ConsentWorld
    ) -> None:
        bank = consents.register_bank()
        given = consents.give(bank=bank, frequency=Frequency(1, "day"))
        own = reader_of(app, consents.world.settings.issuer, bank)
        token = own.token(given)
        assert own.read(token).status == 200
        consents.world.execute(
            "UPDATE clients SET agreement_ids = '{}' WHERE client_id = :id", id=bank.client_id
        )
        refused(consents.world, own.read(token), "release-refused", "frequency_exceeded")

    @pytest.mark.parametrize("per", ["day", "week", "month", "consent"])
    def test_a_consent_that_is_used_up_is_told_so_while_the_source_is_away(
        self, consents: ConsentWorld, reader: Reader, monkeypatch: pytest.MonkeyPatch, per: Any
    ) -> None:
        given = consents.give(frequency=Frequency(1, per))
        token = reader.token(given)
        assert reader.read(token).status == 200
        fresh = reader.token(consents.give(given.person, frequency=Frequency(1, per)))

        def away(*_given: object) -> None:
            raise SourceUnavailable("away")

        monkeypatch.setattr(InsuranceSource, "_fetch", away)
        problem_in(reader.read(fresh), "source-outage")
        entry = refused(consents.world, reader.read(token), "release-refused", "frequency_exceeded")
        assert is_told_to(consents.world, entry, given)


class TestWhichConsent:
    def test_several_in_one_token_must_be_named(self, consents: ConsentWorld, reader: Reader) -> None:
        first = consents.give()
        second = consents.give(first.person)
        world = consents.world
        world.execute(
            "UPDATE consents SET grant_id = :grant, record = jsonb_set(record, '{grant_id}',"
            " to_jsonb(CAST(:grant AS text))) WHERE consent_id = :consent",
            grant=first.consent.grant_id,
            consent=second.consent_id,
        )
        world.execute(
            "UPDATE grants g SET authorization_details = g.authorization_details || o.authorization_details"
            " FROM grants o WHERE g.grant_id = :grant AND o.grant_id = :other",
            grant=first.consent.grant_id,
            other=second.consent.grant_id,
        )
        token = reader.token(first)
        document = problem_in(reader.read(token), "request-malformed")
        assert document["faults"] == [
            {"pointer": "/consent_id", "remedy": "The token rests on several: name one."}
        ]
        for one in (first, second):
            told = reader.read(token, f"consent_id={one.consent_id}").json()
            assert told["consent_id"] == one.consent_id
        unknown = f"consent_id={'0' * 8}-0000-7000-8000-{'0' * 12}"
        refused(world, reader.read(token, unknown), "release-refused", "authorization_details_insufficient")

    @pytest.mark.parametrize(
        "query", ["consent_id=", "fields=si_status", "consent_id=x", "consent_id=a&consent_id=b", "a"]
    )
    def test_any_other_query_is_none(self, consents: ConsentWorld, reader: Reader, query: str) -> None:
        document = problem_in(reader.read(reader.token(consents.give()), query), "request-malformed")
        assert document["faults"] == [
            {
                "pointer": "/consent_id",
                "remedy": "The only parameter, once: the consent's UUID in lower case.",
            }
        ]


def test_answer_and_refusal_are_as_the_openapi_document_tells(
    app: Flask, consents: ConsentWorld, reader: Reader
) -> None:
    document = Client(app).get(OPENAPI_PATH).get_json()
    given = consents.give(frequency=Frequency(1, "day"))
    token = reader.token(given)
    for answer, status in ((reader.read(token), 200), (reader.read(token), 403)):
        assert answer.status == status
        check(document, "GET", RECORD_PATH, answer)
    [parameter] = [one for one in document["paths"][RECORD_PATH]["get"]["parameters"] if one["in"] == "query"]
    assert parameter["name"] == "consent_id"


def test_every_member_of_the_answer_stands_in_the_integrators_page(
    consents: ConsentWorld, reader: Reader
) -> None:
    told = reader.read(reader.token(consents.give())).json()
    assert sorted(first_column("Read what was given")) == sorted(told)
