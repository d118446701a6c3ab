"""Replay of generated decisions: what was decided is decided again; whatever was changed shows."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from broker.evidence.entry import Circumstances, Outcome, Result, entry_bytes
from broker.evidence.replay import TOLERANCE, Replay, replay
from broker.evidence.replay_facts import ActionFacts, ConsentThen, NotReplayable, RevisionThen
from policies.decide import decide
from policies.forms import is_over_rows
from policies.given_forms import within_given_forms
from policies.model import Agreement, ConsentFacts, Decision, DecisionRequest, FieldRelease
from policies.reasons import CONSENT_STATES, REASONS
from policies.shape import shape_of
from tests.properties.policy_questions import ASKABLE, FIELDS, SUPPLIES, agreements, compiled, some

START = datetime(2026, 1, 1, tzinfo=UTC)
CONSENT_ID = "0197a5b0-0000-7000-8000-00000000000c"
KEYS = ("personal_id", "phone", "si_number")
PERSON = frozenset({"acting_person"})
BY_LAW = ActionFacts(
    supplied=frozenset(SUPPLIES) - PERSON,
    supplied_with_person=PERSON,
    established=frozenset({"presenting_at_facility", "own_employees"}),
    lookup_keys=KEYS,
    asks="all",
    batches=True,
    comparable=frozenset({"full_name", "birth_date"}),
    outcomes=frozenset({"status_only", "not_found"}),
    carried_out=frozenset({"evidence_receipt", "sing_a_song"}),
)
BY_CONSENT = ActionFacts(
    supplied=frozenset(SUPPLIES),
    established=frozenset({"presenting_at_facility", "own_employees"}),
    lookup_keys=("personal_id",),
    asks="some",
    carried_out=frozenset({"evidence_receipt", "sing_a_song"}),
    rests_on_consent=True,
)


class Case:
    """One decision as a verb would have made and recorded it, and what it is replayed from."""

    def __init__(
        self,
        agreement: Agreement,
        request: DecisionRequest,
        facts: ActionFacts,
        consent: ConsentThen | None,
        *,
        acting: bool = True,
    ) -> None:
        self.agreement, self.facts, self.consent = agreement, facts, consent
        self.at = datetime.combine(request.on_date, datetime.min.time(), UTC) + timedelta(hours=3)
        self.policies = compiled(agreement)
        decision = decide(request, self.policies)
        self.decision = decision if consent is None else within_given_forms(decision, consent.given)
        self.circumstances = Circumstances(
            reference="0197",
            request_id="r",
            at=self.at,
            client="client",
            recipient=request.recipient,
            acting_person="a" * 64 if acting else None,
            encounter=None,
            action=request.action,
            purpose=self.decision.purpose,
            legal_basis=self.decision.legal_basis,
            agreement=self.decision.agreement_id,
            agreement_revision=self.decision.revision_hash,
            consent=None if consent is None else consent.consent_id,
            consent_version=None if consent is None else consent.version,
        )

    def entry(self, outcome: Outcome) -> dict[str, Any]:
        return dict(json.loads(entry_bytes(self.circumstances, outcome)))

    def recorded(self, empty_groups: frozenset[str] = frozenset(), later: str = "") -> dict[str, Any]:
        """Return the entry. empty_groups: without rows; later: reason of a refusal after the decision."""
        decision = self.decision
        withheld = tuple((one.field, one.reason) for one in decision.withheld)
        reason = decision.reason if not decision.permitted else later
        if reason:
            kept = tuple((one.field, reason) for one in decision.released) or withheld
            outcome = Outcome("refusal", "refused", reason, (), kept, decision.determining_rules)
            return self.entry(outcome)
        released = tuple(
            (one.field, one.form.name) for one in decision.released if not is_gone(one, empty_groups)
        )
        result: Result = "released" if released else "answered_without_data"
        return self.entry(Outcome("release", result, "", released, withheld, decision.determining_rules))

    def revision(self, agreement: Agreement | None = None, **changes: Any) -> RevisionThen:
        held = agreement or self.agreement
        policies = self.policies if agreement is None else compiled(held)
        found = RevisionThen(policies, held.id, held.revision_hash, START - timedelta(days=9), None)
        return replace(found, **changes)

    def replayed(
        self, entry: Mapping[str, Any], agreement: Agreement | None = None, **changes: Any
    ) -> Replay:
        return replay(entry, self.revision(agreement, **changes), self.consent, self.facts)


def is_gone(release: FieldRelease, empty_groups: frozenset[str]) -> bool:
    return release.group in empty_groups and not is_over_rows(release.form)


@st.composite
def agreements_for(draw: st.DrawFn, action: str, basis: str, *, fits: bool) -> Agreement:
    """An agreement of one action; one that fits asks for nothing that nobody does, and denies only fields."""
    agreement = replace(draw(agreements("a")), revision_hash="a" * 64, action=action, legal_basis=basis)
    if not agreement.lookup_keys or action == "share_record":
        agreement = replace(agreement, lookup_keys=("personal_id",))
    if not fits:
        return agreement
    denies = tuple(replace(rule, fields=rule.fields or frozenset({"phone"})) for rule in agreement.denies)
    return replace(agreement, denies=denies, obligations=frozenset({"evidence_receipt"}))


@st.composite
def by_law(draw: st.DrawFn, *, fits: bool = False) -> Case:
    """A check without consent. fits: to which the agreement has no objection as a whole."""
    agreement = draw(agreements_for("verify_entitlement", "L19_1_c", fits=fits))
    usual = DecisionRequest(
        action="verify_entitlement",
        agreement_id="a",
        recipient=min(agreement.recipients, default="r1"),
        recipient_kind=agreement.recipient_kind,
        purpose=agreement.purpose,
        lookup_key=draw(st.sampled_from(agreement.lookup_keys)),
        on_date=agreement.valid_from,
        supplied=BY_LAW.supplied | PERSON,
        established=BY_LAW.established,
    )
    if fits:
        return Case(agreement, usual, BY_LAW, None)
    acting = draw(st.sampled_from([True, True, False]))
    request = replace(
        usual,
        recipient=draw(st.sampled_from([usual.recipient, usual.recipient, "r2"])),
        recipient_kind=draw(st.sampled_from([agreement.recipient_kind] * 5 + ["stranger"])),
        lookup_key=draw(st.sampled_from([*agreement.lookup_keys, *KEYS])),
        on_date=draw(st.sampled_from([agreement.valid_from, agreement.valid_to, date(2026, 3, 2)])),
        supplied=BY_LAW.supplied | (PERSON if acting else frozenset()),
        item_count=draw(st.sampled_from([1, 1, 2, agreement.batch_maximum + 1])),
    )
    return Case(agreement, request, BY_LAW, None, acting=acting)


@st.composite
def by_consent(draw: st.DrawFn, *, fits: bool = False) -> Case:
    """A release that rests on a consent to some of the fields, some in a form that is no longer agreed."""
    agreement = draw(agreements_for("share_record", "CONSENT", fits=fits))
    table = compiled(agreement).tables["a"]
    names = draw(some(FIELDS, least=1))
    if fits and table.permitted:
        names = names | {draw(st.sampled_from(sorted(table.permitted)))}
    shapes = {name: shape_of(one, table.row_scopes) for name, one in table.permitted.items()}
    old = draw(some(FIELDS)) if draw(st.booleans()) else frozenset()
    if fits and table.permitted:
        # One field at least is still in the form that was consented to.
        old = old - {min(names & table.permitted.keys())}
    recipient = min(agreement.recipients, default="r1")
    day = agreement.valid_from if fits else draw(st.sampled_from([agreement.valid_from, agreement.valid_to]))
    last = day if fits else draw(st.sampled_from([day, day, day - timedelta(days=1)]))
    consent = ConsentThen(
        consent_id=CONSENT_ID,
        version=2,
        client="client",
        recipient=recipient,
        agreement="a",
        terms_revision="a" * 64,
        purpose=agreement.purpose,
        state="active",
        given={name: "" if name in old else shapes.get(name, "") for name in names},
        days=(date(2025, 1, 1), last),
    )
    kinds = [agreement.recipient_kind] * 5 + ([] if fits else ["stranger"])
    request = DecisionRequest(
        action="share_record",
        agreement_id="a",
        recipient=recipient,
        recipient_kind=draw(st.sampled_from(kinds)),
        purpose=agreement.purpose,
        lookup_key="personal_id",
        on_date=day,
        supplied=BY_CONSENT.supplied,
        established=BY_CONSENT.established,
        asked_fields=draw(st.sampled_from([names, names, frozenset(sorted(names)[:2])])),
        consent=ConsentFacts(
            CONSENT_ID, 2, "given", agreement.purpose, recipient, frozenset(names), date(2025, 1, 1), last
        ),
    )
    return Case(agreement, request, BY_CONSENT, consent)


cases = st.one_of(by_law(), by_consent(), by_law(fits=True), by_consent(fits=True))
permitted = st.one_of(by_law(fits=True), by_consent(fits=True))
groups = st.frozensets(st.sampled_from(["hi_cards", "contributions", "benefits"]))


def is_told(decision: Decision) -> bool:
    """Nothing was decided about an entry without an agreement; that is another matter."""
    return bool(decision.agreement_id)


@given(cases, groups)
def test_what_was_decided_is_decided_again(case: Case, empty: frozenset[str]) -> None:
    assume(is_told(case.decision))
    found = case.replayed(case.recorded(empty))
    assert found.differences == ()
    assert found.result == "same"
    assert found.replayed == found.recorded


@given(permitted, st.sampled_from(["limit_reached", "token_not_active", "agreement_not_active"]))
def test_a_refusal_after_the_decision_is_the_decision_and_says_that_its_reason_is_not_replayed(
    case: Case, later: str
) -> None:
    assume(case.decision.permitted)
    found = case.replayed(case.recorded(later=later))
    assert found.result == "same"
    assert any(later in note for note in found.not_replayed)


@given(by_law(fits=True), st.sampled_from(["status_only", "not_found"]))
def test_an_answer_without_a_card_is_the_decision_of_a_check(case: Case, reason: str) -> None:
    assume(case.decision.permitted)
    withheld = tuple((one.field, one.reason) for one in case.decision.withheld)
    outcome = Outcome(
        "release", "answered_without_data", reason, (), withheld, case.decision.determining_rules
    )
    found = case.replayed(case.entry(outcome))
    assert found.result == "same"
    assert any("compared at matching" in note for note in found.not_replayed)


@given(permitted, groups, st.sampled_from(ASKABLE))
def test_a_field_added_to_the_released_shows(case: Case, empty: frozenset[str], name: str) -> None:
    assume(case.decision.permitted)
    entry = case.recorded(empty)
    assume(name not in {one.field for one in case.decision.released})
    consent = case.consent
    # What was given, permitted and simply not asked for may have been asked for.
    assume(consent is None or not (name in consent.given and name in case.revision().table.permitted))
    entry["released"] = [*entry["released"], [name, "value"]]
    found = case.replayed(entry)
    assert found.result == "differs"
    assert "released" in {one.member for one in found.differences}


@given(permitted, st.sampled_from(sorted(set(REASONS) - {"permitted", "policy_error"})))
def test_a_refusal_after_the_decision_has_no_reason_of_the_policies(case: Case, reason: str) -> None:
    assume(case.decision.permitted)
    assert case.replayed(case.recorded(later=reason)).result == "differs"


@given(by_law(fits=True), groups, st.integers(0, 11))
def test_a_field_left_out_of_a_release_shows(case: Case, empty: frozenset[str], number: int) -> None:
    """Unless it is the only one of a group: the record may have held no rows of it."""
    entry = case.recorded(empty)
    assume(entry["released"])
    name = entry["released"].pop(number % len(entry["released"]))[0]
    released = {one.field: one for one in case.decision.released}
    left = {released[one].group for one, _ in entry["released"] if not is_over_rows(released[one].form)}
    gone = released[name]
    assume(entry["released"] and (not gone.group or is_over_rows(gone.form) or gone.group in left))
    found = case.replayed(entry)
    assert [one.member for one in found.differences] == ["released"]


@given(by_consent(fits=True), groups)
def test_a_field_in_a_form_that_was_not_consented_to_shows(case: Case, empty: frozenset[str]) -> None:
    assert case.consent is not None
    entry = case.recorded(empty)
    assume(len(entry["released"]) > 1)
    name = entry["released"][0][0]
    case.consent = replace(case.consent, given={**case.consent.given, name: "another shape"})
    found = case.replayed(entry)
    assert found.result == "differs"
    assert [name, "form_not_consented"] in found.replayed["withheld"]  # type: ignore[operator]


@given(permitted, groups, st.sampled_from(["value", "year", "present", "amount_band"]))
def test_another_form_shows(case: Case, empty: frozenset[str], form: str) -> None:
    entry = case.recorded(empty)
    assume(entry["released"] and form != entry["released"][0][1])
    entry["released"][0] = [entry["released"][0][0], form]
    found = case.replayed(entry)
    assert [one.member for one in found.differences] == ["released"]


@given(cases, groups, st.sampled_from(sorted(set(REASONS) - {"permitted", "policy_error"})))
def test_another_reason_of_the_policies_shows(case: Case, empty: frozenset[str], reason: str) -> None:
    assume(is_told(case.decision))
    entry = case.recorded(empty)
    assume(reason != entry["reason"])
    entry["reason"] = reason
    found = case.replayed(entry)
    assert found.result == "differs"
    assert "reason" in {one.member for one in found.differences}


@given(cases, groups)
def test_a_refusal_by_the_policies_is_not_taken_for_one_after_them(case: Case, empty: frozenset[str]) -> None:
    assume(is_told(case.decision) and not case.decision.permitted)
    entry = {**case.recorded(empty), "reason": "limit_reached"}
    assert case.replayed(entry).result == "differs"


@given(cases, groups, st.sampled_from(["released_twice", "rules", "withheld", "basis", "purpose", "result"]))
def test_every_other_decided_member_shows(case: Case, empty: frozenset[str], member: str) -> None:
    assume(is_told(case.decision))
    entry = case.recorded(empty)
    if member == "released_twice":
        assume(entry["released"])
        entry["released"].append(entry["released"][0])
    elif member == "rules":
        entry["determining_rules"] = [*entry["determining_rules"], "a/nobody_wrote_this"]
    elif member == "withheld":
        assume(entry["withheld"])
        entry["withheld"][0] = [entry["withheld"][0][0], "told_otherwise"]
    elif member == "result":
        entry["result"] = (
            "answered_without_data" if entry["result"] != "answered_without_data" else "released"
        )
    else:
        entry["legal_basis" if member == "basis" else "purpose"] = "another"
    assert case.replayed(entry).result == "differs"


@given(permitted, groups, st.sampled_from(["hash", "wider", "time"]))
def test_another_revision_shows(case: Case, empty: frozenset[str], how: str) -> None:
    assume(case.decision.permitted)
    entry = case.recorded(empty)
    if how == "hash":
        other = replace(case.agreement, revision_hash="b" * 64)
        found = case.replayed(entry, other)
        assert "agreement_revision" in {one.member for one in found.differences}
    elif how == "wider":
        entry["agreement_revision"] = "b" * 64
        rules = tuple(replace(rule, id=f"{rule.id}_two") for rule in case.agreement.rules)
        found = case.replayed(entry, replace(case.agreement, revision_hash="b" * 64, rules=rules))
        assert "determining_rules" in {one.member for one in found.differences}
    else:
        found = case.replayed(entry, in_force_until=case.at - TOLERANCE - timedelta(seconds=1))
        assert [one.member for one in found.differences] == ["in_force"]
        late = case.replayed(entry, in_force_from=case.at + TOLERANCE + timedelta(seconds=1))
        assert [one.member for one in late.differences] == ["in_force"]
    assert found.result == "differs"


@given(by_consent(fits=True), groups, st.sampled_from(["paused", "withdrawn", "expired", "requested"]))
def test_a_release_on_a_consent_that_was_not_active_shows(
    case: Case, empty: frozenset[str], state: str
) -> None:
    assume(case.decision.permitted and case.consent is not None)
    entry = case.recorded(empty)
    assert case.consent is not None
    case.consent = replace(case.consent, state=state)
    found = case.replayed(entry)
    assert found.result == "differs"
    assert found.replayed["reason"] == f"not_active_{state}"


@given(by_consent(fits=True), groups)
def test_a_release_to_another_client_than_the_consents_shows(case: Case, empty: frozenset[str]) -> None:
    assume(case.decision.permitted)
    found = case.replayed({**case.recorded(empty), "client": "another"})
    assert found.replayed["reason"] == "recipient_mismatch"
    assert found.result == "differs"


@given(by_consent(fits=True), groups)
def test_a_field_taken_out_of_the_consent_shows(case: Case, empty: frozenset[str]) -> None:
    assert case.consent is not None
    entry = case.recorded(empty)
    assume(entry["released"])
    name = entry["released"][0][0]
    given_then = {one: shape for one, shape in case.consent.given.items() if one != name}
    case.consent = replace(case.consent, given=given_then)
    found = case.replayed(entry)
    assert found.result == "differs"
    assert "released" in {one.member for one in found.differences}


@pytest.mark.parametrize("state", ["withdrawn", "paused", "expired"])
@given(case=by_consent())
def test_a_refusal_by_the_consents_state_is_made_again(case: Case, state: str) -> None:
    assert case.consent is not None
    case.consent = replace(case.consent, state=state)
    case.circumstances = replace(case.circumstances, legal_basis="")
    entry = case.entry(Outcome("refusal", "refused", f"not_active_{state}"))
    assert case.replayed(entry).result == "same"
    assert case.replayed({**entry, "reason": "not_active_refused"}).result == "differs"
    assert case.replayed({**entry, "reason": "recipient_mismatch"}).result == "differs"
    by_token = case.replayed({**entry, "reason": "token_not_active"})
    assert by_token.result == "same"
    assert "token_not_active" in by_token.not_replayed[0]
    assert case.replayed({**entry, "reason": "frequency_exceeded"}).result == "differs", (
        "the state comes first"
    )


@given(by_consent(fits=True), groups)
def test_days_that_are_not_known_any_more_are_named(case: Case, empty: frozenset[str]) -> None:
    assert case.consent is not None
    assume(case.decision.permitted)
    entry = case.recorded(empty)
    case.consent = replace(case.consent, days=None)
    found = case.replayed(entry)
    assert found.result == "same"
    assert any("days for which the consent was given" in note for note in found.not_replayed)


@given(by_law(fits=True))
def test_facts_that_the_entry_does_not_hold_are_named_with_what_fits(case: Case) -> None:
    assume(case.decision.permitted)
    notes = case.replayed(case.recorded()).not_replayed
    [key] = [note for note in notes if note.startswith("by which number")]
    fitting = set(key.removesuffix(")").split("the entry fits: ")[1].split(", "))
    assert fitting <= set(KEYS)
    # Without a deny rule about keys, every key that the agreement permits fits.
    if not any(rule.lookup_keys for rule in case.agreement.denies):
        assert fitting == set(case.agreement.lookup_keys) & set(KEYS)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"kind": "consent"}, "an entry of kind consent is no decision of the policies"),
        (
            {"agreement": "", "reason": "no_agreement"},
            "refused before any agreement was found (no_agreement)",
        ),
        ({"reason": "policy_error"}, "deciding failed then"),
        ({"extra": 1}, "not of its schema"),
        ({"at": "2026-13-40T00:00:00.000Z"}, "not of its schema"),
        ({"consent": "no-uuid", "consent_version": 1}, "not of its schema"),
        ({"consent": CONSENT_ID}, "not of its schema"),
        ({"consent_version": 3}, "not of its schema"),
    ],
)
@given(case=by_law())
def test_what_no_decision_stands_behind_cannot_be_replayed(
    case: Case, changes: dict[str, Any], told: str
) -> None:
    assume(is_told(case.decision))
    with pytest.raises(NotReplayable, match=told.replace("(", r"\(").replace(")", r"\)")):
        case.replayed({**case.recorded(), **changes})


def test_the_words_for_states_of_a_consent_that_the_policies_have_are_reasons() -> None:
    assert set(CONSENT_STATES.values()) <= set(REASONS)
