"""How grants end, and requests that are taken back: with all that hangs on them, whoever comes in between."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, event

from broker.actions.cancel_request import CancelRequest
from broker.consent.chain import verify_chain
from broker.consent.record import Consent
from broker.errors import ConsentMoved, ConsentTransitionRefused, GrantNotFound
from broker.oauth.client_metadata_schema import CIBA
from broker.storage.grants import PostgresGrants
from tests.citizen_world import Citizen
from tests.contracts.test_consent_evidence import entries
from tests.contracts.test_consents_store import state_of
from tests.doors import at_once
from tests.inbox_flow import ITEM, SECOND, SECOND_AGREEMENT, InboxFlow
from tests.oauth_flow import AGREEMENT
from tests.oauth_world import Party

OTHER_ITEM = {name: value for name, value in SECOND.items() if name != "type"}


class TestWhoComesInBetween:
    def test_two_consents_of_one_grant_that_are_withdrawn_at_once_end_it(self, inbox: InboxFlow) -> None:
        """Neither commits before the other has written: each would take the other for living."""
        person = inbox.citizen()
        body, consents = given_two(inbox, person)
        actor, at = inbox.actor(person), inbox.world.clock()
        with committing_together(inbox.world.engine, 2):
            at_once(lambda one: inbox.verbs.withdraw(actor, one.consent_id, at), consents)
        [grant] = inbox.rows("grants", "grant_id = :id", id=body["grant_id"])
        assert (grant["revoked_at"], grant["revoked_by"]) == (at, "data_subject")
        assert not inbox.is_good(body["access_token"], inbox.desk)

    def test_who_withdraws_across_the_same_grants_from_both_ends_waits_for_no_circle(
        self, inbox: InboxFlow
    ) -> None:
        """Two purposes, given twice: each withdrawal ends consents under both grants, in opposite orders."""
        person = inbox.citizen()
        first_body, (first, _) = given_two(inbox, person)
        last_body, (_, last) = given_two(inbox, person)
        actor, at = inbox.actor(person), inbox.world.clock()
        with holding_grants_together(inbox.world.engine, 2):
            at_once(lambda one: inbox.verbs.withdraw(actor, one.consent_id, at), [first, last])
        states = {one.state for one in inbox.verbs.find_mine(person.citizen_id, at)}
        assert states == {"withdrawn"}
        for body in (first_body, last_body):
            [grant] = inbox.rows("grants", "grant_id = :id", id=body["grant_id"])
            assert grant["revoked_by"] == "data_subject"

    def test_of_two_consents_of_one_grant_the_first_withdrawal_leaves_it(self, inbox: InboxFlow) -> None:
        person = inbox.citizen()
        body, (first, _) = given_two(inbox, person)
        inbox.verbs.withdraw(inbox.actor(person), first.consent_id, inbox.world.clock())
        [grant] = inbox.rows("grants", "grant_id = :id", id=body["grant_id"])
        assert (grant["revoked_at"], grant["revoked_by"]) == (None, None)

    def test_a_grant_that_time_has_ended_was_ended_by_nobody(self, inbox: InboxFlow) -> None:
        consent, body = inbox.given(inbox.citizen())
        inbox.world.clock.move(30 * 86_400)
        inbox.verbs.settle_due(inbox.world.clock())
        [grant] = inbox.rows("grants", "grant_id = :id", id=body["grant_id"])
        assert (grant["revoked_at"], grant["revoked_by"]) == (consent.valid_to_at, "broker")

    def test_a_request_that_a_page_opens_while_it_is_taken_back_is_taken_back_whole(
        self, inbox: InboxFlow
    ) -> None:
        """The client has looked and found nothing opened; the page opens it; then the client writes."""
        person = inbox.citizen()
        request_id = inbox.request(person, items=[ITEM, OTHER_ITEM]).get_json()["request_id"]
        wiring = inbox.world.wiring.consents
        kept = wiring.requests.find_request(request_id)
        assert kept is not None
        opening = _Opening(wiring.consents, lambda: inbox.waiting(person))
        verb = CancelRequest(opening, wiring.writer())
        verb.cancel(kept, inbox.world.clock())
        assert opening.looks == 2
        states = [row["state"] for row in inbox.rows("consents", "request_id = :id", id=request_id)]
        assert states == ["cancelled", "cancelled"]
        assert inbox.waiting(person) == []
        for consent in inbox.verbs.find_mine(person.citizen_id, inbox.world.clock()):
            events = inbox.verbs.history(person.citizen_id, consent.consent_id)
            assert [one.type for one in events] == ["requested", "cancelled"]


class TestTheEndOfAGrant:
    """A client cannot withdraw; it can give up its access, and then nothing shows it as a reader."""

    def ended(self, inbox: InboxFlow, person: Citizen, consent: Consent) -> tuple[str, str, str]:
        """Check what the end of a consent has left behind; return its state, its reason and who ended it."""
        found = inbox.verbs.find_one(person.citizen_id, consent.consent_id, inbox.world.clock())
        assert found is not None
        events = inbox.verbs.history(person.citizen_id, consent.consent_id)
        verify_chain(events)
        assert events[-1].type == "inapplicable"
        told = entries(inbox, person, consent)[-1]
        assert (told["event"], told["state"]) == ("inapplicable", "inapplicable")
        receipts = inbox.rows("consent_receipts", "consent_id = :id", id=consent.consent_id)
        assert [one["event_type"] for one in receipts].count("inapplicable") == 1
        notices = inbox.rows("outbox_messages", "consent_id = :id", id=consent.consent_id)
        [notice] = [one for one in notices if one["kind"] == "consent_expired"]
        assert notice["payload"]["reason"] == found.state_reason
        return found.state, found.state_reason, told["actor"]

    def end(self, inbox: InboxFlow, grant_id: str, party: Party) -> int:
        token = inbox.token_for("grant_management_revoke", party)
        answer = inbox.send("DELETE", f"/oauth/grants/{grant_id}", party, token=token)
        return int(answer.status_code)

    def keeper(self, inbox: InboxFlow, client_id: str) -> Party:
        """Register a bank's program that may end its grants."""
        return inbox.register_bank(
            client_id,
            agreements=(AGREEMENT, SECOND_AGREEMENT),
            scopes=("request_consent", "grant_management_revoke"),
            grant_types=["client_credentials", "refresh_token", CIBA],
        )

    def test_who_ends_a_grant_ends_every_consent_under_it(self, inbox: InboxFlow, person: Citizen) -> None:
        party = self.keeper(inbox, "keeper-a")
        auth_req_id = inbox.request(person, party, items=[ITEM, OTHER_ITEM]).get_json()["auth_req_id"]
        first, second = [inbox.answer(person, one) for one in inbox.waiting(person)]
        grant_id = inbox.poll(auth_req_id, party).get_json()["grant_id"]
        inbox.verbs.pause(inbox.actor(person), second.consent_id, inbox.world.clock())
        assert self.end(inbox, grant_id, party) == 204
        for consent in (first, second):
            assert self.ended(inbox, person, consent) == ("inapplicable", "by_client", "client")
        [grant] = inbox.rows("grants", "grant_id = :id", id=grant_id)
        assert (grant["revoked_at"], grant["revoked_by"]) == (inbox.world.clock(), "client")
        assert self.end(inbox, grant_id, party) == 404

    def test_a_refresh_token_that_is_given_back_ends_them_too(
        self, inbox: InboxFlow, person: Citizen
    ) -> None:
        consent, body = inbox.given(person)
        answer = inbox.post("/oauth/revoke", {"token": body["refresh_token"]}, inbox.desk, proof="")
        assert answer.status_code == 200
        assert self.ended(inbox, person, consent) == ("inapplicable", "by_client", "client")
        [grant] = inbox.rows("grants", "grant_id = :id", id=body["grant_id"])
        assert grant["revoked_by"] == "client"
        again = inbox.post("/oauth/revoke", {"token": body["refresh_token"]}, inbox.desk, proof="")
        assert again.status_code == 200

    def test_an_access_token_that_is_given_back_ends_nothing_else(
        self, inbox: InboxFlow, person: Citizen
    ) -> None:
        consent, body = inbox.given(person)
        inbox.post("/oauth/revoke", {"token": body["access_token"]}, inbox.desk, proof="")
        found = inbox.verbs.find_one(person.citizen_id, consent.consent_id, inbox.world.clock())
        assert found is not None
        assert found.state == "active"

    def test_a_code_that_is_tried_again_ends_them_and_says_why(
        self, inbox: InboxFlow, person: Citizen
    ) -> None:
        attempt = inbox.granted(person)
        assert inbox.redeem(attempt).status_code == 200
        [consent] = inbox.verbs.find_mine(person.citizen_id, inbox.world.clock())
        assert inbox.redeem(attempt).status_code == 400
        assert self.ended(inbox, person, consent) == ("inapplicable", "code_replay", "broker")
        [grant] = inbox.rows("grants", "grant_id = :id", id=consent.grant_id)
        assert grant["revoked_by"] == "code_replay"

    def test_what_ended_before_stays_as_it_ended(self, inbox: InboxFlow, person: Citizen) -> None:
        party = self.keeper(inbox, "keeper-b")
        auth_req_id = inbox.request(person, party, items=[ITEM, OTHER_ITEM]).get_json()["auth_req_id"]
        first, second = [inbox.answer(person, one) for one in inbox.waiting(person)]
        grant_id = inbox.poll(auth_req_id, party).get_json()["grant_id"]
        inbox.verbs.withdraw(inbox.actor(person), first.consent_id, inbox.world.clock())
        assert self.end(inbox, grant_id, party) == 204
        states = {
            one.consent_id: one.state for one in inbox.verbs.find_mine(person.citizen_id, inbox.world.clock())
        }
        assert states == {first.consent_id: "withdrawn", second.consent_id: "inapplicable"}

    def test_a_person_and_a_client_who_end_it_at_once_end_it_once(
        self, inbox: InboxFlow, person: Citizen
    ) -> None:
        consent, body = inbox.given(person)
        actor, at = inbox.actor(person), inbox.world.clock()

        def act(number: int) -> bool:
            try:
                if number % 2:
                    inbox.verbs.withdraw(actor, consent.consent_id, at)
                else:
                    inbox.world.wiring.consents.grant_ender().end(body["grant_id"], "client", at)
            except (ConsentMoved, ConsentTransitionRefused, GrantNotFound):
                return False
            return True

        assert sum(at_once(act, range(8))) == 1
        events = inbox.verbs.history(person.citizen_id, consent.consent_id)
        verify_chain(events)
        assert len(events) == 3
        [grant] = inbox.rows("grants", "grant_id = :id", id=body["grant_id"])
        by = {"withdrawn": "data_subject", "inapplicable": "client"}
        assert grant["revoked_by"] == by[events[-1].type]

    def test_what_rests_on_an_ended_grant_is_neither_extended_nor_resumed(
        self, inbox: InboxFlow, person: Citizen
    ) -> None:
        consent, body = inbox.given(person)
        at = inbox.world.clock() + timedelta(seconds=30)
        PostgresGrants(inbox.world.engine).revoke_grant(body["grant_id"], "operator", at)
        before = state_of(inbox)
        with pytest.raises(ConsentMoved, match="the grant has ended"):
            inbox.verbs.extend(inbox.signer(person), consent.consent_id, inbox.notice(), at)
        assert state_of(inbox) == before


def given_two(inbox: InboxFlow, person: Citizen) -> tuple[dict[str, Any], list[Consent]]:
    """Let a person give two consents on one request; return the token response and the consents."""
    auth_req_id = inbox.request(person, items=[ITEM, OTHER_ITEM]).get_json()["auth_req_id"]
    consents = [inbox.answer(person, one) for one in inbox.waiting(person)]
    answer = inbox.poll(auth_req_id)
    assert answer.status_code == 200, answer.get_json()
    return answer.get_json(), consents


@contextmanager
def committing_together(engine: Engine, count: int) -> Iterator[None]:
    """Hold each commit until so many transactions have come to theirs, or for a second where they cannot."""
    barrier = threading.Barrier(count)

    def wait(_: Connection) -> None:
        with suppress(threading.BrokenBarrierError):
            barrier.wait(1)

    event.listen(engine, "commit", wait)
    try:
        yield
    finally:
        event.remove(engine, "commit", wait)


@contextmanager
def holding_grants_together(engine: Engine, count: int) -> Iterator[None]:
    """Let each thread wait after it first holds a grant, until so many do, or for a second."""
    barrier, seen = threading.Barrier(count), threading.local()

    def wait(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        is_first = "FROM grants" in statement and "FOR NO KEY UPDATE" in statement
        if is_first and not getattr(seen, "once", False):
            seen.once = True
            with suppress(threading.BrokenBarrierError):
                barrier.wait(1)

    event.listen(engine, "after_cursor_execute", wait)
    try:
        yield
    finally:
        event.remove(engine, "after_cursor_execute", wait)


class _Opening:
    """A store on which something happens after the first look at the consents of a request."""

    def __init__(self, store: Any, happen: Callable[[], object]) -> None:
        self._store, self._happen, self.looks = store, happen, 0

    def find_of_request(self, request_id: str) -> Any:
        found = self._store.find_of_request(request_id)
        self.looks += 1
        if self.looks == 1:
            self._happen()
        return found

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)
