"""Several consents, two persons who sign, a clock that moves, and everybody who tries what is not theirs."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Final, TypeVar

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from broker.consent import life
from broker.consent.chain import chained, verify_chain
from broker.consent.check import FetchFacts, find_denial, released_fields
from broker.consent.codec import agreed_hash, consent_document, consent_from, record_hash
from broker.consent.life import Change
from broker.consent.record import (
    FINAL,
    Actor,
    ActorKind,
    AskedField,
    Consent,
    DataRange,
    Frequency,
    Notice,
    Signer,
    SignerRole,
    Signing,
    Terms,
)
from broker.consent.terms import is_within_terms
from broker.consent.writing import ChainedEvent
from broker.errors import ConsentTransitionRefused
from tests.reference import consent as reference

T = TypeVar("T")
START: Final = datetime(2026, 11, 20, tzinfo=UTC)
FIELDS: Final = (
    AskedField("salary_base", "amount_band", True, True),
    AskedField("si_status", "value", False, False),
    AskedField("contribution_from", "year_month", False, False),
)
TERMS: Final = Terms(
    agreement_id="bank_income_proof",
    revision_hash="a" * 64,
    purpose="prove_income",
    fields=FIELDS,
    valid_days=40,
    retention_days=90,
    data_range=DataRange(None, START.date()),
    frequency=Frequency(3, "consent"),
)
PLAIN_TERMS: Final = replace(TERMS, fields=FIELDS[1:], frequency=None)
NAMES: Final = [field.name for field in FIELDS] + ["full_name"]
PERSON, PARENT, STRANGER = "citizen-person", "citizen-parent", "citizen-stranger"
PEOPLE: Final = [PERSON, PARENT, STRANGER, ""]
NOTICE: Final = Notice(version="1", language="vi", rendered_hash="b" * 64, served_at=START)
ADULT: Final = Signing()
PERSON_ACTS: Final = Actor(kind="data_subject", reference=PERSON)
PARENT_ACTS: Final = Actor(kind="representative", reference=PARENT)
BANK_ACTS: Final = Actor(kind="client", reference="bank-a")
OPERATOR_ACTS: Final = Actor(kind="operator", reference="operator-1")


@dataclass
class Kept:
    """One consent as a store keeps it, beside its model."""

    consent: Consent
    model: reference.Model
    chain: tuple[ChainedEvent, ...]


KINDS: Final[tuple[ActorKind, ...]] = ("data_subject", "representative", "client", "operator", "broker")
ROLES: Final[tuple[SignerRole, ...]] = ("data_subject", "representative")


def mostly(good: st.SearchStrategy[T], hostile: st.SearchStrategy[T]) -> st.SearchStrategy[T]:
    """Draw what may work three times out of four."""
    return st.sampled_from([True, True, True, False]).flatmap(lambda is_good: good if is_good else hostile)


def actors(*good: Actor) -> st.SearchStrategy[Actor]:
    """Draw one of those whose act it is, or anybody."""
    anybody = st.builds(
        lambda kind, reference: Actor(kind=kind, reference=reference),
        st.sampled_from(KINDS),
        st.sampled_from([*PEOPLE, "bank-a"]),
    )
    return mostly(st.sampled_from(good), anybody)


@dataclass(frozen=True)
class Hand:
    """Somebody who signs: who, as what, how well signed in, how long ago, and whether related."""

    citizen_id: str
    role: SignerRole
    level: int
    age_seconds: int
    is_related: bool

    def signer(self, at: datetime) -> Signer:
        return Signer(
            role=self.role,
            citizen_id=self.citizen_id,
            level=self.level,
            authenticated_at=at - timedelta(seconds=self.age_seconds),
            signed_at=START,
            relation_hash="c" * 64 if self.is_related else "",
        )

    def may_sign(self, roles: set[str]) -> bool:
        """Whether it is theirs to sign, by the simplest reading."""
        if self.role not in roles:
            return False
        if self.role == "data_subject":
            return self.citizen_id == PERSON
        return self.citizen_id not in (PERSON, "") and self.is_related

    def opens(self, names: set[str]) -> bool:
        """Whether the sign-in is fresh and strong enough to give these fields."""
        return 0 <= self.age_seconds <= 300 and self.level >= (2 if "salary_base" in names else 1)


GOOD_HANDS: Final[Mapping[str, Hand]] = {
    "data_subject": Hand(PERSON, "data_subject", 2, 0, False),
    "representative": Hand(PARENT, "representative", 2, 300, True),
}


def hands(roles: set[str]) -> st.SearchStrategy[Hand]:
    """Draw one who should sign in one of the roles, or anybody."""
    anybody = st.builds(
        Hand,
        st.sampled_from(PEOPLE),
        st.sampled_from(ROLES),
        st.sampled_from([0, 1, 2]),
        st.sampled_from([-1, 0, 299, 301]),
        st.booleans(),
    )
    anybody |= st.builds(
        lambda hand, level, age_seconds: replace(hand, level=level, age_seconds=age_seconds),
        st.sampled_from(list(GOOD_HANDS.values())),
        st.sampled_from([1, 2]),
        st.sampled_from([0, 301]),
    )
    return mostly(st.sampled_from([GOOD_HANDS[role] for role in sorted(roles or set(ROLES))]), anybody)


def outcome(call: Callable[[Consent], Change], consent: Consent) -> tuple[Change | None, str]:
    """Return the change, or the reason why there is none."""
    try:
        return call(consent), ""
    except ConsentTransitionRefused as refused:
        return None, refused.reason


def given_names(wanted: set[str]) -> st.SearchStrategy[frozenset[str]]:
    """Draw what was asked for, some of it, or anything."""
    some = st.frozensets(st.sampled_from(sorted(wanted))).map(lambda one: one | wanted & {"salary_base"})
    return mostly(st.just(frozenset(wanted)) | some, st.frozensets(st.sampled_from(NAMES)))


class ConsentLife(RuleBasedStateMachine):
    """Every function of the life, called by anybody at any time, against the table."""

    def __init__(self) -> None:
        super().__init__()
        self.now = START
        self.kept: dict[str, Kept] = {}
        self.finals: dict[str, Consent] = {}

    @initialize(data=st.data())
    def begin(self, data: st.DataObject) -> None:
        for _ in range(3):
            self.open(data)

    @precondition(lambda self: len(self.kept) < 12)
    @rule(data=st.data())
    def open(self, data: st.DataObject) -> None:
        quarters = data.draw(st.integers(1, 120))
        signing = data.draw(
            st.sampled_from(
                [
                    ADULT,
                    Signing(
                        required_roles=("data_subject", "representative"),
                        refresh_due_at=self.now + quarters * reference.TICK,
                        refresh_roles=("data_subject",),
                    ),
                    Signing(
                        required_roles=("representative",),
                        refresh_due_at=self.now + quarters * reference.TICK,
                        refresh_roles=("data_subject", "representative"),
                    ),
                ]
            )
        )
        terms = data.draw(st.sampled_from([TERMS, PLAIN_TERMS]))
        consent_id, until = f"consent-{len(self.kept)}", self.now + timedelta(days=7)
        change = life.open_request(
            consent_id=consent_id,
            request_id="request-1",
            client_id="bank-a",
            organisation_id="bank-1",
            citizen_id=PERSON,
            subject="citizen:pairwise",
            terms=terms,
            at=self.now,
            expires_at=until,
            signing=signing,
        )
        model = reference.Model(
            now=self.now,
            asked_until=min(until, signing.refresh_due_at or until),
            roles=set(signing.required_roles),
            birthday=signing.refresh_due_at,
            later_roles=set(signing.refresh_roles),
            wanted={field.name for field in terms.fields},
            required={field.name for field in terms.fields if field.is_required},
            asked_days=terms.valid_days,
        )
        assert (change.ends_grant, change.told, change.receipt) == (False, None, None)
        self.kept[consent_id] = Kept(change.consent, model, chained(change.events, 0, b""))

    @rule(quarters=st.sampled_from([1, 1, 1, 1, 3, 4, 27, 28, 119, 120]))
    def time_passes(self, quarters: int) -> None:
        self.now += quarters * reference.TICK
        for kept in self.kept.values():
            kept.model.tick_to(self.now)

    def is_crowded(self) -> bool:
        """Whether something may end without ending the story."""
        return sum(kept.model.state not in FINAL for kept in self.kept.values()) > 3

    def attempt(
        self, kept: Kept, verb: str, call: Callable[[Consent], Change], is_allowed: bool, target: str
    ) -> Change | None:
        """Try one act; what comes of it must be what the table and the model say."""
        model, before = kept.model, kept.consent
        state = model.state
        known = reference.TRANSITIONS.get((state, verb), set())
        change, reason = outcome(call, before)
        if change is None:
            assert not (is_allowed and known), (verb, state, reason)
            assert (reason == "final_state") == (state in FINAL)
            return None
        assert is_allowed, (verb, state)
        assert target in known, (verb, state, target)
        model.go(target)
        assert change.consent.state == model.state
        self.keep(kept, change, state)
        return change

    def keep(self, kept: Kept, change: Change, state: str) -> None:
        before, after = kept.consent, change.consent
        assert after.version == before.version + 1
        assert after.terms == before.terms
        assert {event.version for event in change.events} == {after.version}
        was_given = before.valid_from_at is not None
        assert change.ends_grant == (was_given and after.state in FINAL)
        opened = state not in ("active",) and after.state == "active"
        assert (change.told in ("consent_given", "consent_resumed")) == opened
        assert change.told is None or was_given or opened
        kept.consent = after
        kept.chain += chained(change.events, len(kept.chain), kept.chain[-1].entry_hash)
        self.check_kept(kept)

    def check_kept(self, kept: Kept) -> None:
        """Every chain of events verifies, and a record comes back from JSON as it was."""
        verify_chain(kept.chain)
        assert kept.chain[0].type in ("requested", "amended", "extended")
        text = json.dumps(consent_document(kept.consent), ensure_ascii=False)
        assert consent_from(json.loads(text)) == kept.consent
        assert agreed_hash(json.loads(text)) == record_hash(kept.consent), "a release hashes what is kept"

    def pick(self, data: st.DataObject, verb: str) -> Kept:
        """Draw a consent, mostly one whose state has a way for the verb."""
        fitting = [
            name for name, kept in self.kept.items() if (kept.model.state, verb) in reference.TRANSITIONS
        ]
        anyone = st.sampled_from(sorted(self.kept))
        return self.kept[data.draw(mostly(st.sampled_from(sorted(fitting)), anyone) if fitting else anyone)]

    def tool(self, kept: Kept, actor: Actor) -> bool:
        return kept.model.may_close(actor.kind, actor.reference == PERSON, actor.reference == "")

    @rule(
        data=st.data(),
        actor=actors(PERSON_ACTS, PERSON_ACTS, PARENT_ACTS),
        verb=st.sampled_from(["view", "refuse", "pause", "pause", "pause", "withdraw", "withdraw"]),
    )
    def a_citizen_acts(self, data: st.DataObject, actor: Actor, verb: str) -> None:
        kept = self.pick(data, verb)
        act: Callable[[Consent, Actor, datetime], Change] = getattr(life, verb)
        target = {"view": "requested", "refuse": "refused", "pause": "paused", "withdraw": "withdrawn"}[verb]
        is_allowed = self.tool(kept, actor)
        if self.attempt(kept, verb, lambda one: act(one, actor, self.now), is_allowed, target):
            kept.model.paused_by = actor.kind

    @precondition(lambda self: self.is_crowded())
    @rule(data=st.data(), actor=actors(BANK_ACTS, PERSON_ACTS))
    def a_client_cancels(self, data: st.DataObject, actor: Actor) -> None:
        is_allowed = actor == BANK_ACTS
        kept = self.pick(data, "cancel")
        self.attempt(kept, "cancel", lambda one: life.cancel(one, actor, self.now), is_allowed, "cancelled")

    @precondition(lambda self: self.is_crowded())
    @rule(data=st.data(), actor=actors(OPERATOR_ACTS, PERSON_ACTS, BANK_ACTS))
    def an_operator_acts(self, data: st.DataObject, actor: Actor) -> None:
        verb = data.draw(st.sampled_from(["invalidate", "make_inapplicable"]))
        kept = self.pick(data, verb)
        if verb == "invalidate":
            is_allowed = actor.kind == "operator" and actor.reference != ""
            self.attempt(
                kept,
                "invalidate",
                lambda one: life.invalidate(one, actor, "court_order", self.now),
                is_allowed,
                "invalidated",
            )
        else:
            self.attempt(
                kept,
                "make_inapplicable",
                lambda one: life.make_inapplicable(one, actor, "agreement_ended", self.now),
                actor.kind in ("operator", "broker")
                or (actor == BANK_ACTS and kept.model.state in ("active", "paused", "refresh_due")),
                "inapplicable",
            )

    @rule(data=st.data(), used_count=st.integers(0, 4))
    def uses_are_counted(self, data: st.DataObject, used_count: int) -> None:
        kept = self.pick(data, "exhaust")
        is_allowed = used_count >= 3 and "salary_base" in kept.model.wanted
        self.attempt(
            kept, "exhaust", lambda one: life.exhaust(one, used_count, self.now), is_allowed, "expired"
        )

    @rule(data=st.data(), days=st.sampled_from([None, None, None, 0, 1, 40, 41]))
    def somebody_decides(self, data: st.DataObject, days: int | None) -> None:
        kept = self.pick(data, "decide")
        model = kept.model
        self.decided(kept, data.draw(hands(model.roles)), data.draw(given_names(model.wanted)), days)

    def decided(self, kept: Kept, hand: Hand, names: frozenset[str], days: int | None) -> None:
        model = kept.model
        if names:
            is_allowed = (
                hand.may_sign(model.roles)
                and hand.opens(set(names))
                and model.required <= names <= model.wanted
                and days in (None, 1, 40)
            )
            target = "active" if model.roles == {hand.role} else "pending_cosign"
        else:
            actor = Actor(kind=hand.role, reference=hand.citizen_id)
            is_allowed, target = self.tool(kept, actor), "refused"
        signer = hand.signer(self.now)
        change = self.attempt(
            kept,
            "decide",
            lambda one: life.decide(one, names, signer, NOTICE, self.now, valid_days=days),
            is_allowed,
            target,
        )
        if change is not None and names:
            model.signed, model.given = {hand.role}, set(names)
            model.given_days = model.asked_days if days is None else days
            self.opened(kept)
            is_whole = names == model.wanted and days is None
            assert change.events[-1].type == ("given" if is_whole else "partially_given")
            assert change.receipt == (change.events[-1].type if target == "active" else None)

    @precondition(lambda self: any(kept.model.state == "requested" for kept in self.kept.values()))
    @rule()
    def all_who_must_sign_give_all(self) -> None:
        kept = next(kept for kept in self.kept.values() if kept.model.state == "requested")
        model = kept.model
        first, *others = [GOOD_HANDS[role] for role in sorted(model.roles)]
        self.decided(kept, first, frozenset(model.wanted), None)
        for other in others:
            self.signed(kept, other)
        assert model.state == "active"

    def opened(self, kept: Kept) -> None:
        if kept.model.state == "active":
            kept.model.ends = self.now + timedelta(days=kept.model.given_days)

    @rule(data=st.data())
    def the_other_signs(self, data: st.DataObject) -> None:
        kept = self.pick(data, "cosign")
        self.signed(kept, data.draw(hands(kept.model.roles - kept.model.signed)))

    def signed(self, kept: Kept, hand: Hand) -> None:
        model = kept.model
        is_allowed = hand.may_sign(model.roles - model.signed) and hand.opens(model.given)
        signer = hand.signer(self.now)
        change = self.attempt(
            kept, "cosign", lambda one: life.cosign(one, signer, NOTICE, self.now), is_allowed, "active"
        )
        if change is not None:
            self.opened(kept)
            assert {one.role for one in change.consent.signers} == model.roles

    @rule(data=st.data())
    def somebody_resumes(self, data: st.DataObject) -> None:
        kept = self.pick(data, "resume")
        model = kept.model
        pausing = model.present_roles & {model.paused_by} or model.present_roles
        hand = data.draw(hands(pausing))
        is_allowed = hand.may_sign(pausing) and hand.opens(model.given)
        signer = hand.signer(self.now)
        self.attempt(kept, "resume", lambda one: life.resume(one, signer, self.now), is_allowed, "active")

    @rule(data=st.data())
    def somebody_confirms(self, data: st.DataObject) -> None:
        kept = self.pick(data, "confirm")
        model = kept.model
        roles = model.later_roles or model.roles
        signing = Signing(required_roles=tuple(role for role in ROLES if role in roles))
        hand = data.draw(hands(roles - model.confirmed))
        is_allowed = hand.may_sign(roles - model.confirmed) and hand.opens(model.given)
        is_last = model.confirmed | {hand.role} >= roles
        if model.state == "refresh_due" and is_allowed and is_last:
            model.birthday = None
        signer = hand.signer(self.now)
        change = self.attempt(
            kept,
            "confirm",
            lambda one: life.confirm(one, signer, NOTICE, self.now, signing=signing),
            is_allowed,
            "active" if is_last else "refresh_due",
        )
        if change is not None:
            model.confirmed |= {hand.role}
            model.roles = roles
            assert change.events[-1].type == ("confirmed" if is_last else "cosigned")

    @precondition(lambda self: len(self.kept) < 14)
    @rule(data=st.data(), days=st.sampled_from([None, None, 1, 40]))
    def somebody_amends(self, data: st.DataObject, days: int | None) -> None:
        kept = self.pick(data, "amend")
        model, consent_id = kept.model, f"consent-{len(self.kept)}"
        hand, names = data.draw(hands(model.roles)), data.draw(given_names(model.wanted))
        ends = model.ends if days is None else self.now + timedelta(days=days)
        is_less = names <= model.given and model.ends is not None and ends is not None and ends <= model.ends
        is_allowed = (
            hand.may_sign(model.roles)
            and bool(names)
            and model.required <= names <= model.wanted
            and (is_less or (hand.opens(set(names)) and model.roles == {hand.role}))
        )
        signer = hand.signer(self.now)
        change = self.attempt(
            kept,
            "amend",
            lambda one: life.amend(one, consent_id, names, signer, NOTICE, self.now, valid_days=days),
            is_allowed,
            "superseded",
        )
        self.succeeded(kept, change, names, ends)

    @precondition(lambda self: len(self.kept) < 14)
    @rule(data=st.data(), days=st.sampled_from([None, None, 1, 40, 41]))
    def somebody_extends(self, data: st.DataObject, days: int | None) -> None:
        kept = self.pick(data, "extend")
        model, consent_id = kept.model, f"consent-{len(self.kept)}"
        hand = data.draw(hands(model.roles))
        ends = self.now + timedelta(days=model.asked_days if days is None else days)
        is_allowed = (
            hand.may_sign(model.roles)
            and hand.opens(model.given)
            and model.roles == {hand.role}
            and days != 41
            and model.ends is not None
            and ends > model.ends
        )
        signer = hand.signer(self.now)
        change = self.attempt(
            kept,
            "extend",
            lambda one: life.extend(one, consent_id, signer, NOTICE, self.now, valid_days=days),
            is_allowed,
            "superseded",
        )
        self.succeeded(kept, change, frozenset(model.given), ends)

    def succeeded(
        self, kept: Kept, change: Change | None, names: frozenset[str], ends: datetime | None
    ) -> None:
        if change is None:
            return
        successor = change.successor
        assert successor is not None
        assert change.told == "consent_changed"
        after = successor.consent
        assert (after.state, after.version, after.grant_id) == ("active", 1, None)
        assert (after.supersedes, change.consent.superseded_by) == (kept.consent.consent_id, after.consent_id)
        assert after.valid_to_at == ends
        assert after.given_names == names
        assert (successor.told, successor.ends_grant) == (None, False)
        model = replace(
            kept.model,
            state="active",
            since=self.now,
            ends=ends,
            given=set(names),
            signed=set(),
        )
        self.kept[after.consent_id] = Kept(after, model, chained(successor.events, 0, b""))
        self.check_kept(self.kept[after.consent_id])

    @rule(data=st.data())
    def a_sweeper_comes_by(self, data: st.DataObject) -> None:
        kept = self.pick(data, "time")
        change = life.settled(kept.consent, self.now)
        assert (change is None) == (kept.consent.state == kept.model.state)
        if change is not None:
            assert change.consent.state == kept.model.state
            assert {event.actor.kind for event in change.events} == {"broker"}
            path = [kept.consent.state, *(dict(event.details)["state"] for event in change.events)]
            assert all(after in reference.TRANSITIONS[before, "time"] for before, after in pairwise(path))
            self.keep(kept, change, kept.consent.state)
            assert life.settled(kept.consent, self.now) is None

    @invariant()
    def the_state_is_what_the_table_says_whether_or_not_anybody_swept(self) -> None:
        for kept in self.kept.values():
            assert life.state_at(kept.consent, self.now) == kept.model.state
            change = life.settled(kept.consent, self.now)
            assert (kept.consent if change is None else change.consent).state == kept.model.state

    @invariant()
    def final_states_never_change(self) -> None:
        for consent_id, consent in self.finals.items():
            assert self.kept[consent_id].consent == consent
        for consent_id, kept in self.kept.items():
            if kept.consent.state in FINAL:
                self.finals.setdefault(consent_id, kept.consent)

    @invariant()
    def what_is_given_was_asked_for(self) -> None:
        for kept in self.kept.values():
            assert is_within_terms(kept.consent.decisions, kept.consent.terms)

    @invariant()
    def nothing_leaves_but_what_an_active_consent_gives(self) -> None:
        for kept in self.kept.values():
            one = kept.consent
            facts = FetchFacts(
                consent=one,
                agreed_hash=record_hash(one),
                token_valid=True,
                client_id=one.client_id,
                organisation_id=one.organisation_id,
                subject=one.subject,
                agreement_id=one.terms.agreement_id,
                record_hash=record_hash(one),
                purpose=one.terms.purpose,
            )
            is_active = kept.model.state == "active"
            assert find_denial(facts, self.now) == (None if is_active else f"not_active_{kept.model.state}")
            if is_active:
                assert set(released_fields(one)) == kept.model.given
                assert {signer.role for signer in one.signers} >= kept.model.roles


TestConsentLife = ConsentLife.TestCase
TestConsentLife.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
