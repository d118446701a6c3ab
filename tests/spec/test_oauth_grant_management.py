"""OAuth Grant Management (draft 3): a client looks at what it was given, and gives it back."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

import pytest
from sqlalchemy import text
from werkzeug.test import TestResponse

from broker.app import new_reference, new_salt
from broker.cli.prepare import revisions
from broker.evidence.entry import Circumstances, Outcome, entry_bytes
from broker.evidence.person_keys import key_year
from broker.evidence.recording import AccessContext, EvidenceRow, Judgement, ReleaseRecord
from broker.storage.agreements import publish_agreement
from broker.storage.ledger import PostgresLedger
from broker.storage.openings import PostgresOpenings
from policies.model import Decision
from tests.acting import ACTS
from tests.doors import at_once
from tests.oauth_flow import COMPLETED, Flow, agreed
from tests.oauth_world import ISSUER, KEY_ENCRYPTION_KEY, Database, Party, World, policy_set
from tests.spec.test_oauth_introspection import MTLS, MTLS_URL, CertificateBank, machine_token

AGREEMENT = "bank_income_proof"
BOTH = "grant_management_query grant_management_revoke"


@pytest.fixture
def flow(database: Database) -> Flow:
    return Flow(World(database))


def look(flow: Flow, grant_id: str, token: str | None = None, party: Party | None = None) -> TestResponse:
    """Ask for a grant, with a fresh token for it unless one is given."""
    token = token or machine_token(flow, BOTH, party)
    return flow.get(f"/oauth/grants/{grant_id}", token, party)


def end(flow: Flow, grant_id: str, token: str | None = None, party: Party | None = None) -> TestResponse:
    """End a grant, with a fresh token for it unless one is given."""
    token = token or machine_token(flow, BOTH, party)
    return flow.get(f"/oauth/grants/{grant_id}", token, party, method="DELETE")


def problem(answer: TestResponse, status: int, slug: str) -> dict[str, Any]:
    """Check a problem document and return it."""
    assert answer.status_code == status, answer.get_data(as_text=True)
    assert answer.content_type == "application/problem+json"
    assert answer.headers["Cache-Control"] == "no-store"
    document: dict[str, Any] = answer.get_json()
    assert document["type"].endswith(f"/problems/{slug}")
    return document


def gone(answer: TestResponse) -> None:
    """Check the one answer for every grant that is not there for the caller (6.5)."""
    document = problem(answer, 404, "not-found")
    assert set(document) == {"type", "title", "status", "instance", "request_id"}


class TestQuery:
    def test_gm_6_3_a_grant_is_told_as_the_citizen_gave_it(self, flow: Flow) -> None:
        body = flow.tokens()
        answer = look(flow, body["grant_id"])
        assert answer.status_code == 200, answer.get_data(as_text=True)
        assert answer.headers["Content-Type"] == "application/json"
        assert answer.headers["Cache-Control"] == "no-store"
        at = flow.world.clock().replace(microsecond=0)
        told = answer.get_json()
        assert agreed(told["authorization_details"]) == [COMPLETED]
        assert told == {
            "scopes": [{"scope": "share_record", "resources": [flow.world.issuer]}],
            "authorization_details": body["authorization_details"],
            "granted_at": at.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "expires_at": (at + timedelta(days=30)).strftime("%Y-%m-%dT%H:%M:%SZ"),
        }

    def test_gm_6_3_only_what_was_ticked_is_told(self, flow: Flow) -> None:
        attempt = flow.granted(fields=("0.salary_base",))
        grant_id = flow.redeem(attempt).get_json()["grant_id"]
        details = look(flow, grant_id).get_json()["authorization_details"]
        assert [detail["fields"] for detail in details] == [["salary_base"]]

    def test_gm_6_3_nobody_is_named(self, flow: Flow) -> None:
        citizen = flow.citizen()
        answer = look(flow, flow.tokens(citizen)["grant_id"]).get_data(as_text=True)
        assert citizen.citizen_id not in answer
        assert citizen.personal_id not in answer

    def test_gm_6_3_looking_changes_nothing(self, flow: Flow) -> None:
        body = flow.tokens()
        assert look(flow, body["grant_id"]).get_json() == look(flow, body["grant_id"]).get_json()
        assert flow.is_good(body["access_token"])

    def test_gm_6_3_a_client_with_a_certificate_may_look_too(self, database: Database) -> None:
        flow = Flow(World(database, **MTLS))
        bank = CertificateBank(flow)
        headers = {"Authorization": f"Bearer {bank.token()}"}
        gone(bank.send("/oauth/grants/unknown", "GET", headers=headers))

    def test_gm_7_1_metadata_tells_where(self, flow: Flow) -> None:
        path = "/.well-known/oauth-authorization-server"
        metadata = flow.world.http.get(path, base_url=flow.world.issuer).get_json()
        assert metadata["grant_management_endpoint"] == f"{flow.world.issuer}/oauth/grants"
        assert metadata["grant_management_actions_supported"] == ["create", "query", "revoke"]


class TestRevoke:
    def test_gm_6_4_everything_of_the_grant_ends_at_the_next_request(self, flow: Flow) -> None:
        body = flow.tokens()
        renewed = flow.refresh(body["refresh_token"]).get_json()["access_token"]
        assert flow.is_good(body["access_token"])
        assert flow.is_good(renewed)
        answer = end(flow, body["grant_id"])
        assert (answer.status_code, answer.get_data()) == (204, b"")
        assert answer.headers["Cache-Control"] == "no-store"
        assert not flow.is_good(body["access_token"])
        assert not flow.is_good(renewed)
        refused = flow.refresh(body["refresh_token"])
        assert (refused.status_code, refused.get_json()["error"]) == (400, "invalid_grant")

    def test_gm_6_4_a_code_of_the_grant_cannot_be_redeemed_any_more(self, flow: Flow) -> None:
        attempt = flow.granted()
        with flow.world.engine.connect() as connection:
            grant_id: str = connection.execute(text("SELECT grant_id FROM grants")).scalar_one()
        assert end(flow, grant_id).status_code == 204
        refused = flow.redeem(attempt)
        assert (refused.status_code, refused.get_json()["error"]) == (400, "invalid_grant")

    def test_gm_6_4_who_ended_it_and_when_is_kept(self, flow: Flow) -> None:
        end(flow, flow.tokens()["grant_id"])
        with flow.world.engine.connect() as connection:
            kept = connection.execute(text("SELECT revoked_at, revoked_by FROM grants")).one()
        assert tuple(kept) == (flow.world.clock(), "client")

    def test_gm_6_4_other_grants_and_the_clients_own_tokens_stay(self, flow: Flow) -> None:
        citizen = flow.citizen()
        first, second = flow.tokens(citizen), flow.tokens(citizen)
        token = machine_token(flow, BOTH)
        assert end(flow, first["grant_id"], token).status_code == 204
        assert flow.is_good(second["access_token"])
        assert flow.is_good(token)
        assert look(flow, second["grant_id"], token).status_code == 200

    def test_gm_6_5_what_has_ended_is_gone(self, flow: Flow) -> None:
        body = flow.tokens()
        assert end(flow, body["grant_id"]).status_code == 204
        gone(end(flow, body["grant_id"]))
        gone(look(flow, body["grant_id"]))

    def test_gm_6_4_of_four_at_once_one_ends_it(self, flow: Flow) -> None:
        grant_id = flow.tokens()["grant_id"]
        tokens = [machine_token(flow, BOTH) for _ in range(4)]
        path, world = f"/oauth/grants/{grant_id}", flow.world

        def ask(token: str) -> int:
            proof = flow.bank.proof(world.clock(), "DELETE", world.issuer + path, token)
            headers = {"Authorization": f"DPoP {token}", "DPoP": proof}
            answer = world.app.test_client().delete(path, headers=headers, base_url=world.issuer)
            return int(answer.status_code)

        assert sorted(at_once(ask, tokens)) == [204, 404, 404, 404]


class TestTheReleaseStatement:
    """The statement that records a release looks at the grant itself (docs/request-cycle.md)."""

    @pytest.fixture
    def ledger(self, database: Database) -> PostgresLedger:
        published = {one.agreement_id: one for one in revisions(policy_set())}
        publish_agreement(database.application, ACTS, published[AGREEMENT])
        openings = PostgresOpenings(database.store, KEY_ENCRYPTION_KEY)
        return PostgresLedger(
            database.store.prepared, openings, deadline_seconds=5.0, clock_skew_seconds=5.0, needs_log=False
        )

    def record(self, token: str) -> ReleaseRecord:
        """Return a release on the strength of an access token, as the record station hands it in."""
        at, reference = datetime.now(UTC), new_reference()
        revision_hash = policy_set().tables[AGREEMENT].agreement.revision_hash
        context = AccessContext(
            client_id="bank-a",
            scopes=frozenset({"share_record"}),
            token_hash=hashlib.sha256(token.encode()).digest(),
            proof_hash=hashlib.sha256(reference.encode()).digest(),
            proof_issued_at_seconds=int(at.timestamp()),
            at=at,
            reference=reference,
            request_id=reference,
        )
        decision = Decision(True, "permitted", (), agreement_id=AGREEMENT, revision_hash=revision_hash)
        circumstances = Circumstances(
            reference, reference, at, "bank-a", "r", None, None, "share_record", "", "", AGREEMENT, "1"
        )
        row = EvidenceRow(
            reference=reference,
            kind="release",
            entry=entry_bytes(circumstances, Outcome("release", "released", "")),
            year=key_year(at),
            data_subject_ref=None,
            data_subject_salt=new_salt(),
            payload_salt=new_salt(),
        )
        return ReleaseRecord(context, decision, None, None, (), [row])

    def test_gm_6_4_nothing_is_released_once_the_grant_has_ended(
        self, flow: Flow, ledger: PostgresLedger
    ) -> None:
        body = flow.tokens()
        other = flow.tokens()["access_token"]
        assert ledger.record_release(self.record(body["access_token"])) == Judgement("recorded")
        assert end(flow, body["grant_id"]).status_code == 204
        entries = flow.world.count("evidence_entries")
        refused = ledger.record_release(self.record(body["access_token"]))
        assert refused == Judgement("token_not_active")
        assert flow.world.count("evidence_entries") == entries, "and nothing is written"
        assert ledger.record_release(self.record(other)) == Judgement("recorded")

    def test_rfc7009_2_1_nor_once_its_refresh_token_was_given_back(
        self, flow: Flow, ledger: PostgresLedger
    ) -> None:
        body = flow.tokens()
        assert ledger.record_release(self.record(body["access_token"])) == Judgement("recorded")
        form = {"token": body["refresh_token"]}
        assert flow.post("/oauth/revoke", form, proof="").status_code == 200
        refused = ledger.record_release(self.record(body["access_token"]))
        assert refused == Judgement("token_not_active")

    def test_nor_once_the_grant_has_expired(self, flow: Flow, ledger: PostgresLedger) -> None:
        body = flow.tokens()
        with flow.world.engine.begin() as connection:
            connection.execute(text("UPDATE grants SET expires_at = now()"))
        refused = ledger.record_release(self.record(body["access_token"]))
        assert refused == Judgement("token_not_active")

    def test_a_token_of_another_client_releases_nothing(self, flow: Flow, ledger: PostgresLedger) -> None:
        flow.register_bank("bank-b")
        record = self.record(flow.tokens()["access_token"])
        foreign = replace(record, context=replace(record.context, client_id="bank-b"))
        assert ledger.record_release(foreign) == Judgement("token_not_active")


class TestWhoMay:
    @pytest.mark.parametrize("act", [look, end])
    def test_gm_6_5_unknown_and_foreign_grants_look_alike(self, flow: Flow, act: Any) -> None:
        body = flow.tokens()
        flow.register_bank("bank-b", organisation_id="bank-2")
        colleague = flow.register_bank("bank-a2")
        gone(act(flow, body["grant_id"], party=colleague))
        gone(act(flow, "no-such-grant", party=colleague))
        assert flow.is_good(body["access_token"]), "and it lives on"

    @pytest.mark.parametrize("act", [look, end])
    def test_gm_6_5_an_expired_grant_is_gone(self, flow: Flow, act: Any) -> None:
        body = flow.tokens()
        flow.world.clock.move(31 * 86_400)
        gone(act(flow, body["grant_id"]))

    @pytest.mark.parametrize("grant_id", ["x" * 2000, "é", "\x00", "a b", "'; --", "..", "%"])
    def test_gm_6_5_what_cannot_be_a_grant_is_unknown(self, flow: Flow, grant_id: str) -> None:
        token, path = machine_token(flow, BOTH), f"/oauth/grants/{grant_id}"
        proof = flow.bank.proof(flow.world.clock(), "GET", flow.world.issuer + path, token)
        headers = {"Authorization": f"DPoP {token}", "DPoP": proof}
        gone(flow.world.http.get(f"/oauth/grants/{quote(grant_id)}", headers=headers, base_url=ISSUER))

    @pytest.mark.parametrize(
        ("act", "needed", "held"),
        [
            (look, "grant_management_query", "grant_management_revoke"),
            (end, "grant_management_revoke", "grant_management_query"),
        ],
    )
    def test_fapi_5_3_4_4_and_gm_6_1_each_scope_opens_one_door(
        self, flow: Flow, act: Any, needed: str, held: str
    ) -> None:
        body = flow.tokens()
        answer = act(flow, body["grant_id"], machine_token(flow, held))
        document = problem(answer, 403, "scope-insufficient")
        assert document["reason"] == "scope_insufficient"
        assert document["instance"] == f"urn:uuid:{document['request_id']}", "nothing is recorded"
        challenge = answer.headers["WWW-Authenticate"]
        assert 'error="insufficient_scope"' in challenge
        assert f'scope="{needed}"' in challenge
        assert flow.is_good(body["access_token"])
        allowed = act(flow, body["grant_id"], machine_token(flow, needed))
        assert allowed.status_code in (200, 204)

    @pytest.mark.parametrize("act", [look, end])
    def test_gm_6_1_the_citizens_own_token_does_not_open_it(self, flow: Flow, act: Any) -> None:
        body = flow.tokens()
        problem(act(flow, body["grant_id"], body["access_token"]), 403, "scope-insufficient")
        assert flow.is_good(body["access_token"])

    def test_gm_6_1_the_scopes_cannot_be_asked_of_a_citizen(self, flow: Flow) -> None:
        answer = flow.push(scope="grant_management_revoke")
        assert (answer.status_code, answer.get_json()["error"]) == (400, "invalid_scope")

    @pytest.mark.parametrize("method", ["GET", "DELETE"])
    def test_gm_6_5_without_a_token_nothing_is_told(self, flow: Flow, method: str) -> None:
        body = flow.tokens()
        path = f"/oauth/grants/{body['grant_id']}"
        answer = flow.world.http.open(path, method=method, base_url=flow.world.issuer)
        problem(answer, 401, "token-invalid")
        assert answer.headers["WWW-Authenticate"] == 'DPoP algs="ES256 EdDSA PS256"'
        assert flow.is_good(body["access_token"])

    def test_rfc9449_7_1_the_proof_is_for_this_method_and_grant_and_used_once(self, flow: Flow) -> None:
        body = flow.tokens()
        token, path = machine_token(flow, BOTH), f"/oauth/grants/{body['grant_id']}"
        url, at = flow.world.issuer + path, flow.world.clock()

        def send(proof: str, method: str = "DELETE") -> TestResponse:
            headers = {"Authorization": f"DPoP {token}", "DPoP": proof}
            answer: TestResponse = flow.world.http.open(
                path, method=method, headers=headers, base_url=flow.world.issuer
            )
            return answer

        for spoilt in (
            flow.bank.proof(at, "GET", url, token),
            flow.bank.proof(at, "DELETE", url + "x", token),
            flow.bank.proof(at, "DELETE", url, token + "x"),
            Party("bank-a").proof(at, "DELETE", url, token),
        ):
            problem(send(spoilt), 401, "proof-invalid")
        proof = flow.bank.proof(at, "GET", url, token)
        assert send(proof, "GET").status_code == 200
        problem(send(proof, "GET"), 401, "proof-invalid")
        assert flow.is_good(body["access_token"])

    def test_rfc8705_3_a_certificate_bound_token_needs_its_certificate(self, database: Database) -> None:
        flow = Flow(World(database, **MTLS))
        bank, other = CertificateBank(flow), CertificateBank(flow, "bank-other")
        headers = {"Authorization": f"Bearer {bank.token()}"}
        shown = bank.send("/oauth/grants/unknown", "GET", other.credential, headers=headers)
        problem(shown, 401, "token-invalid")
        bare = flow.world.http.get("/oauth/grants/unknown", headers=headers, base_url=MTLS_URL)
        problem(bare, 401, "token-invalid")

    def test_a_suspended_client_neither_looks_nor_ends(self, flow: Flow) -> None:
        body, token = flow.tokens(), machine_token(flow, BOTH)
        flow.world.clients.suspend_client("bank-a", flow.world.clock())
        problem(look(flow, body["grant_id"], token), 401, "token-invalid")
        problem(end(flow, body["grant_id"], token), 401, "token-invalid")
        with flow.world.engine.connect() as connection:
            assert connection.execute(text("SELECT revoked_at FROM grants")).scalar_one() is None
