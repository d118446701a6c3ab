"""What ends before the source is asked: the scope, the decision, its obligations. Each is recorded first."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime

import pytest

from broker.actions.enforcement import Enforcement
from broker.actions.matter import ActingPerson
from broker.actions.verify_entitlement import ACTION
from broker.errors import ReleaseRefused, ScopeInsufficient
from broker.evidence.pseudonyms import KeyedPseudonyms
from broker.evidence.recording import AccessContext, EvidenceRow, Judgement, ReleaseRecord
from broker.oauth.registry import ClientFacts
from policies.model import Decision, DecisionRequest
from policies.vocabulary import CARRIED_OUT, OBLIGATIONS

REFERENCE = "01a200bb-0ae9-737c-9070-4c14dc8c3ff8"


class Door:
    """Ledger, register and policies of one test."""

    def __init__(self, decision: Decision, *, fresh: bool = True, agreement: bool = True) -> None:
        self.decision = decision
        self.fresh = fresh
        self.agreement = agreement
        self.rows: list[EvidenceRow] = []

    def record_release(self, record: ReleaseRecord) -> Judgement:
        raise AssertionError(f"nothing may be released here: {record.context.reference}")

    def record_refusal(self, context: AccessContext, row: EvidenceRow) -> bool:
        assert context.reference == row.reference
        self.rows.append(row)
        return self.fresh

    def find_client(self, client_id: str) -> ClientFacts | None:
        if client_id == "nobody":
            return None
        return ClientFacts(client_id, "79024", "hospital", "79024", ("a",))

    def agreement_for(self, action: str, agreement_ids: Sequence[str]) -> tuple[str, str] | None:
        assert (action, agreement_ids) == (ACTION, ("a",))
        return ("a", "check") if self.agreement else None

    def decide(self, request: DecisionRequest) -> Decision:
        assert (request.agreement_id, request.purpose, request.recipient) == ("a", "check", "79024")
        return self.decision


def refused(door: Door, *, scopes: frozenset[str] = frozenset({ACTION}), client: str = "c") -> ReleaseRefused:
    """Return how the request is refused, after looking that it stands in the evidence."""
    enforcement = Enforcement(
        door, door, door, KeyedPseudonyms(b"k" * 32), lambda: b"s" * 32, lambda: REFERENCE
    )
    context = AccessContext(
        client, scopes, b"t" * 32, b"p" * 32, 1, datetime(2026, 11, 22, tzinfo=UTC), REFERENCE, REFERENCE
    )
    with pytest.raises(ReleaseRefused) as caught:
        enforcement.matter(
            context,
            ACTION,
            lookup_key="si_number",
            supplied=frozenset(),
            established=frozenset(),
            item_count=1,
            acting_person=None,
            encounter_reference=None,
        )
    assert len(door.rows) == 1
    assert caught.value.reference == REFERENCE
    return caught.value


def entry(door: Door) -> dict[str, object]:
    found: dict[str, object] = json.loads(door.rows[0].entry)
    return found


PERMITTED = Decision(True, "permitted", ("a/rule",), agreement_id="a", purpose="check", legal_basis="L19_1_c")


def test_a_token_without_the_scope_is_told_which_one_is_missing() -> None:
    door = Door(PERMITTED)
    error = refused(door, scopes=frozenset({"other"}))
    assert isinstance(error, ScopeInsufficient)
    assert error.scope == ACTION
    assert (entry(door)["reason"], entry(door)["result"]) == ("scope_insufficient", "refused")


def test_a_used_proof_is_the_reason_whatever_else_is_wrong() -> None:
    error = refused(Door(PERMITTED, fresh=False), scopes=frozenset())
    assert not isinstance(error, ScopeInsufficient)
    assert error.reason == "proof_replayed"


def test_an_unknown_client_and_a_client_without_agreement_get_no_further() -> None:
    assert refused(Door(PERMITTED), client="nobody").reason == "client_not_active"
    assert refused(Door(PERMITTED, agreement=False)).reason == "no_agreement"


def test_a_refusing_decision_gives_its_reason_and_its_rules() -> None:
    door = Door(Decision(False, "review_overdue", ("a/review",), agreement_id="a"))
    error = refused(door)
    assert (error.reason, error.determining_rules) == ("review_overdue", ("a/review",))
    assert entry(door)["determining_rules"] == ["a/review"]


@pytest.mark.parametrize("obligation", ["new_one", *sorted(set(OBLIGATIONS) - CARRIED_OUT[ACTION])])
def test_an_obligation_that_nobody_here_carries_out_is_a_refusal(obligation: str) -> None:
    obligations = CARRIED_OUT[ACTION] | {obligation}
    decision = Decision(True, "permitted", (), agreement_id="a", obligations=obligations)
    assert refused(Door(decision)).reason == "obligation_not_understood"


def test_where_a_registered_person_must_act_somebody_must_be_named() -> None:
    decision = Decision(
        True, "permitted", (), agreement_id="a", obligations=frozenset({"acting_person_registered"})
    )
    error = refused(Door(decision))
    assert (error.reason, error.gateway_code) == ("acting_person_unknown", "054")


def test_an_acting_person_stands_in_the_evidence_as_a_keyed_hash_only() -> None:
    pseudonyms = KeyedPseudonyms(b"k" * 32)
    door = Door(PERMITTED)
    enforcement = Enforcement(door, door, door, pseudonyms, lambda: b"s" * 32, lambda: REFERENCE)
    context = AccessContext(
        "c",
        frozenset({ACTION}),
        b"t" * 32,
        b"p" * 32,
        1,
        datetime(2026, 11, 22, tzinfo=UTC),
        REFERENCE,
        REFERENCE,
    )
    matter = enforcement.matter(
        context,
        ACTION,
        lookup_key="si_number",
        supplied=frozenset(),
        established=frozenset(),
        item_count=1,
        acting_person=ActingPerson("Trần Thị B", "001090123456"),
        encounter_reference="KB-1",
    )
    told = matter.circumstances(REFERENCE)
    assert told.acting_person == pseudonyms.staff_ref("79024", "001090123456").hex()
    assert told.encounter == pseudonyms.encounter_ref("79024", "KB-1")
    assert "001090123456" not in repr(told)
