"""Signed receipts: of an answer (Accept: application/jwt) and of a look-up that an outage prevented."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from joserfc import jws
from joserfc.jwk import KeySet

from broker.cli.caller import Answer, Caller
from broker.evidence.canonical import canonical_bytes, commitment
from tests.answers import problem_in
from tests.doors import InProcessCaller, Server, in_process_caller, post, running_app
from tests.release_world import BATCH, CHECKS, Hospital, World

CLAIMS = {"iss", "aud", "iat", "jti", "data_owner", "asked_digest"}


def opened(receipt: str, keys: Answer) -> dict[str, Any]:
    """Return the claims of a receipt that verifies with the published keys and is of the right type."""
    found = jws.deserialize_compact(receipt, KeySet.import_key_set(keys.json()), algorithms=["ES256"])
    assert found.protected["typ"] == "entitlement-receipt+jwt"
    claims: dict[str, Any] = json.loads(found.payload)
    return claims


def digest(body: bytes) -> str:
    return "sha-256:" + hashlib.sha256(body).hexdigest()


class TestOfAnAnswer:
    def test_the_receipt_says_what_the_answer_says_and_what_was_asked(
        self, caller: Caller, server: Server, world: World
    ) -> None:
        body = json.dumps(world.document()).encode()
        answer = post(caller, body, Accept="application/jwt")
        assert answer.status == 200
        assert answer.headers["content-type"] == "application/jwt"
        claims = opened(answer.body.decode(), server.get("/oauth/jwks"))
        assert claims.keys() == CLAIMS | {"entitlement_check"}
        content = claims["entitlement_check"]
        assert claims["jti"] == content["evidence_reference"]
        assert (claims["iss"], claims["aud"]) == (server.issuer, world.hospital.client_id)
        assert claims["data_owner"] == "vss"
        assert claims["asked_digest"] == digest(body)
        assert abs(datetime.now(UTC).timestamp() - claims["iat"]) < 10
        assert (content["outcome"], content["gateway_code"]) == ("valid", "000")

    def test_the_evidence_commits_to_the_content_of_the_receipt(
        self, caller: Caller, server: Server, world: World
    ) -> None:
        receipt = post(caller, world.document(), Accept="application/jwt").body.decode()
        content = opened(receipt, server.get("/oauth/jwks"))["entitlement_check"]
        evidence = world.evidence(content["evidence_reference"])
        assert evidence.payload_salt is not None
        assert evidence.entry["payload_commit"] == commitment(evidence.payload_salt, canonical_bytes(content))

    def test_a_batch_has_one_receipt_over_all_its_answers(self, server: Server, world: World) -> None:
        hospital = world.register_hospital(staff=1)
        items = [
            world.document(acting_person=...),
            world.document(acting_person=..., birth_date="01/01/1951"),
        ]
        body = json.dumps({"acting_person": hospital.staff[0].as_document(), "items": items}).encode()
        answer = post(server.caller(hospital), body, BATCH, Accept="application/jwt")
        assert (answer.status, answer.headers["content-type"]) == (200, "application/jwt")
        claims = opened(answer.body.decode(), server.get("/oauth/jwks"))
        assert claims.keys() == CLAIMS | {"entitlement_checks"}
        assert [one["gateway_code"] for one in claims["entitlement_checks"]] == ["000", "070"]
        assert claims["asked_digest"] == digest(body)
        for content in claims["entitlement_checks"]:
            evidence = world.evidence(content["evidence_reference"])
            assert evidence.payload_salt is not None
            assert evidence.entry["payload_commit"] == commitment(
                evidence.payload_salt, canonical_bytes(content)
            )

    def test_a_receipt_that_was_changed_does_not_verify(
        self, caller: Caller, server: Server, world: World
    ) -> None:
        header, payload, signature = post(caller, world.document(), Accept="application/jwt").body.split(b".")
        other = payload[:-5] + (b"A" if payload[-5:-4] != b"A" else b"B") + payload[-4:]
        changed = b".".join([header, other, signature]).decode()
        with pytest.raises(Exception, match="bad_signature"):
            opened(changed, server.get("/oauth/jwks"))

    def test_a_mismatch_is_certified_as_well(self, caller: Caller, server: Server, world: World) -> None:
        receipt = post(caller, world.document(birth_date="01/01/1950"), Accept="text/html, application/jwt")
        content = opened(receipt.body.decode(), server.get("/oauth/jwks"))["entitlement_check"]
        assert content["gateway_code"] == "070"
        assert "card" not in content

    def test_a_refusal_stays_a_problem_document(self, caller: Caller, world: World) -> None:
        answer = post(caller, world.document(birth_date="x" * 5), Accept="application/jwt")
        problem_in(answer, "request-malformed")


@pytest.fixture(scope="module")
def dead(world: World, app_log: Path) -> Iterator[tuple[InProcessCaller, Hospital]]:
    """A hospital that calls a broker whose source is away."""
    hospital = world.register_hospital(staff=1)
    away = "postgresql+psycopg://insurance_reader@/insurance?host=/nonexistent"
    with running_app(replace(world.settings, source_url=away)) as app:
        yield in_process_caller(app, world.settings.issuer, hospital), hospital


class TestOfAnOutage:
    """Decree 188/2025 art. 38: care goes on; the hospital keeps a signed word that it tried."""

    def outage_in(self, answer: Answer, caller: InProcessCaller, body: bytes) -> dict[str, Any]:
        document = problem_in(answer, "source-outage")
        assert document["gateway_code"] == "101"
        assert int(answer.headers["retry-after"]) >= 1
        keys = caller.exchange("GET", f"{caller.issuer}/oauth/jwks", None, {})
        claims = opened(document["receipt"], keys)
        assert claims.keys() == CLAIMS | {"outage"}
        assert f"urn:uuid:{claims['jti']}" == document["instance"]
        assert claims["asked_digest"] == digest(body)
        return claims

    @pytest.mark.parametrize("path", ["/v1/entitlement-checks", BATCH])
    def test_the_look_up_that_failed_is_recorded_and_certified(
        self, dead: tuple[InProcessCaller, Hospital], world: World, path: str
    ) -> None:
        caller, hospital = dead
        document = world.document(hospital=hospital)
        staff = document["acting_person"]
        single = {name: value for name, value in document.items() if name != "acting_person"}
        asked = document if path != BATCH else {"acting_person": staff, "items": [single, single]}
        body = json.dumps(asked).encode()
        claims = self.outage_in(post(caller, body, path), caller, body)
        assert claims["aud"] == hospital.client_id
        assert claims["outage"].keys() == {"facility", "outcome", "gateway_code", "tried_at"}
        assert claims["outage"]["facility"] == hospital.facility_code
        assert (claims["outage"]["outcome"], claims["outage"]["gateway_code"]) == ("unavailable", "101")
        tried = datetime.fromisoformat(claims["outage"]["tried_at"])
        assert abs((datetime.now(UTC) - tried).total_seconds()) < 10
        entry = world.evidence(claims["jti"]).entry
        assert (entry["kind"], entry["result"]) == ("refusal", "error")
        assert entry["reason"] == "source_unavailable"
        assert {reason for _, reason in entry["withheld"]} == {"source_unavailable"}

    def test_what_the_policies_refuse_is_refused_all_the_same(
        self, dead: tuple[InProcessCaller, Hospital], world: World
    ) -> None:
        caller, _ = dead
        answer = post(caller, world.document(acting_person=...))
        assert problem_in(answer, "release-refused")["reason"] == "supplied_fact_missing"

    def test_a_proof_that_was_used_before_gets_no_receipt(
        self, dead: tuple[InProcessCaller, Hospital], world: World
    ) -> None:
        caller, hospital = dead
        body = json.dumps(world.document(hospital=hospital)).encode()
        problem_in(post(caller, body), "source-outage")
        again = caller.request("POST", CHECKS, body, proof=caller.last_proof)
        assert "receipt" not in problem_in(again, "proof-invalid")
