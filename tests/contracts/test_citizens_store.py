"""Accounts, sessions and counted attempts on real PostgreSQL, many at once where it matters."""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import text

from broker.oauth.citizens import AttemptCounter, SessionOpening
from broker.storage.citizens import CitizenRecord
from broker.storage.clients import AlreadyRegistered, NotRegistered
from tests.citizen_world import Citizen, CitizenWorld
from tests.doors import at_once
from tests.oauth_world import Database

WINDOW = 1_800_000_000


@pytest.fixture
def world(database: Database) -> CitizenWorld:
    return CitizenWorld(database)


def counter(who: str, limit: int = 10) -> AttemptCounter:
    return AttemptCounter(WINDOW, hashlib.sha256(who.encode()).digest()[:16], limit)


def used(world: CitizenWorld, one: AttemptCounter) -> int:
    with world.owner.connect() as connection:
        return int(
            connection.execute(
                text("SELECT coalesce(max(used_count), 0) FROM usage_counters WHERE counter_ref = :ref"),
                {"ref": one.counter_ref},
            ).scalar_one()
        )


def verified_hash(world: CitizenWorld, citizen: Citizen) -> str:
    account = world.store.find_account(world.references.citizen_ref(citizen.personal_id))
    assert account is not None
    assert account.password_hash is not None
    return account.password_hash


def opening(world: CitizenWorld, citizen: Citizen, **changes: Any) -> SessionOpening:
    at = world.clock()
    made = SessionOpening(
        session_ref=secrets.token_bytes(32),
        citizen_id=citizen.citizen_id,
        level=2 if citizen.totp_secret else 1,
        authenticated_at=at,
        expires_at=at + timedelta(minutes=30),
        totp_step=None,
        verified_hash=verified_hash(world, citizen),
        renewed_hash=None,
        replaced_ref=None,
        counted=(counter("account"),),
    )
    return replace(made, **changes)


class TestCounting:
    def test_exactly_as_many_attempts_as_the_limit_are_let_through_at_once(self, world: CitizenWorld) -> None:
        counters = (counter("source", 100), counter("account", 10))
        answers = at_once(lambda _: world.store.count_attempt(counters), range(16))
        assert sorted(answers) == [False] * 6 + [True] * 10
        assert used(world, counters[1]) == 10

    def test_a_full_counter_counts_nothing_at_the_other(self, world: CitizenWorld) -> None:
        source, account = counter("source", 100), counter("account", 1)
        assert world.store.count_attempt((source, account))
        assert not world.store.count_attempt((source, account))
        assert (used(world, source), used(world, account)) == (1, 1)

    def test_what_is_given_back_can_be_used_again_and_never_goes_below_nothing(
        self, world: CitizenWorld
    ) -> None:
        account = counter("account", 1)
        assert world.store.count_attempt((account,))
        world.store.give_back((account, counter("nobody")))
        world.store.give_back((account,))
        assert used(world, account) == 0
        assert world.store.count_attempt((account,))
        assert not world.store.count_attempt((account,))

    def test_another_window_is_another_count(self, world: CitizenWorld) -> None:
        account = counter("account", 1)
        assert world.store.count_attempt((account,))
        assert world.store.count_attempt((replace(account, window_start_seconds=WINDOW + 900),))

    def test_crossing_attempts_never_wait_in_a_circle(self, world: CitizenWorld) -> None:
        sources = [counter("source-1", 1000), counter("source-2", 1000)]
        accounts = [counter("account-1", 1000), counter("account-2", 1000)]

        def many(position: int) -> bool:
            pair = sources[position % 2], accounts[position // 2 % 2]
            return all(world.store.count_attempt(pair) for _ in range(10))

        assert all(at_once(many, range(8)))
        assert [used(world, one) for one in (*sources, *accounts)] == [40, 40, 40, 40]


class TestSessions:
    def test_of_many_sign_ins_with_one_code_exactly_one_succeeds(self, world: CitizenWorld) -> None:
        citizen = world.citizen(with_codes=True)
        openings = [opening(world, citizen, level=2, totp_step=59_000_000) for _ in range(8)]
        assert sorted(at_once(world.store.open_session, openings)) == [False] * 7 + [True]
        assert world.count("citizen_sessions") == 1

    def test_a_step_before_the_last_one_is_never_accepted_again(self, world: CitizenWorld) -> None:
        citizen = world.citizen(with_codes=True)
        steps = [59_000_000, 59_000_001, 59_000_000, 59_000_001, 58_999_999, 59_000_002]
        accepted = [world.store.open_session(opening(world, citizen, totp_step=step)) for step in steps]
        assert accepted == [True, True, False, False, False, True]

    def test_a_sign_in_without_a_code_leaves_the_last_step_alone(self, world: CitizenWorld) -> None:
        citizen = world.citizen(with_codes=True)
        assert world.store.open_session(opening(world, citizen, totp_step=59_000_000))
        assert world.store.open_session(opening(world, citizen))
        assert not world.store.open_session(opening(world, citizen, totp_step=59_000_000))

    def test_a_session_takes_the_place_of_the_one_before(self, world: CitizenWorld) -> None:
        citizen = world.citizen()
        first = opening(world, citizen)
        second = opening(world, citizen, replaced_ref=first.session_ref)
        assert world.store.open_session(first)
        assert world.store.open_session(second)
        assert world.store.find_session(first.session_ref, world.clock()) is None
        assert world.store.find_session(second.session_ref, world.clock()) is not None

    def test_a_refused_opening_ends_nothing_and_gives_nothing_back(self, world: CitizenWorld) -> None:
        citizen = world.citizen(with_codes=True)
        first = opening(world, citizen, totp_step=59_000_000)
        assert world.store.open_session(first)
        assert world.store.count_attempt(first.counted)
        again = opening(world, citizen, totp_step=59_000_000, replaced_ref=first.session_ref)
        assert not world.store.open_session(again)
        assert world.store.find_session(first.session_ref, world.clock()) is not None
        assert used(world, first.counted[0]) == 1

    def test_a_session_ends_at_its_instant(self, world: CitizenWorld) -> None:
        made = opening(world, world.citizen())
        assert world.store.open_session(made)
        found = world.store.find_session(made.session_ref, made.expires_at - timedelta(microseconds=1))
        assert found is not None
        assert (found.citizen_id, found.level) == (made.citizen_id, 1)
        assert found.authenticated_at == made.authenticated_at
        assert world.store.find_session(made.session_ref, made.expires_at) is None

    def test_a_session_begun_gives_back_what_was_counted_for_it(self, world: CitizenWorld) -> None:
        both = (counter("source", 100), counter("account", 10))
        assert world.store.count_attempt(both)
        assert world.store.count_attempt(both)
        assert world.store.open_session(opening(world, world.citizen(), counted=both))
        assert [used(world, one) for one in both] == [1, 1]

    def test_a_hash_made_anew_is_kept_with_the_session(self, world: CitizenWorld) -> None:
        citizen = world.citizen()
        assert world.store.open_session(opening(world, citizen, renewed_hash="$argon2id$newer"))
        assert verified_hash(world, citizen) == "$argon2id$newer"

    def test_a_sign_in_under_way_with_an_old_password_comes_too_late(self, world: CitizenWorld) -> None:
        citizen = world.citizen(with_codes=True)
        before, under_way = opening(world, citizen), opening(world, citizen, totp_step=59_000_000)
        assert world.store.open_session(before)
        reference = world.references.citizen_ref(citizen.personal_id)
        assert world.store.renew_citizen(reference, world.passwords.hash("another long one"), None) == 1
        assert not world.store.open_session(under_way)
        assert world.count("citizen_sessions") == 0
        assert world.store.open_session(opening(world, citizen))

    def test_ending_a_session_twice_is_no_fault(self, world: CitizenWorld) -> None:
        made = opening(world, world.citizen())
        assert world.store.open_session(made)
        world.store.end_session(made.session_ref)
        world.store.end_session(made.session_ref)
        assert world.store.find_session(made.session_ref, world.clock()) is None


class TestAccounts:
    def test_a_person_has_one_account(self, world: CitizenWorld) -> None:
        citizen = world.citizen()
        record = CitizenRecord(
            citizen_id=str(uuid4()),
            personal_id_ref=world.references.citizen_ref(citizen.personal_id),
            personal_id_encrypted=b"x",
            password_hash="y",
            totp_secret_encrypted=None,
        )
        with pytest.raises(AlreadyRegistered):
            world.store.register_citizen(record)
        assert world.count("citizens") == 1

    def test_a_closed_account_has_no_sessions_and_gets_none_until_it_is_opened(
        self, world: CitizenWorld
    ) -> None:
        citizen, other = world.citizen(), world.citizen()
        reference = world.references.citizen_ref(citizen.personal_id)
        mine, theirs = opening(world, citizen), opening(world, other)
        assert world.store.open_session(mine)
        assert world.store.open_session(theirs)
        assert world.store.suspend_citizen(reference) == 1
        assert world.store.find_session(mine.session_ref, world.clock()) is None
        assert world.store.find_session(theirs.session_ref, world.clock()) is not None
        assert not world.store.open_session(opening(world, citizen))
        world.store.resume_citizen(reference)
        assert world.store.open_session(opening(world, citizen))

    def test_a_sign_in_and_a_suspension_at_once_leave_no_session(self, world: CitizenWorld) -> None:
        citizen = world.citizen()
        reference = world.references.citizen_ref(citizen.personal_id)

        def act(position: int) -> None:
            if position == 4:
                world.store.suspend_citizen(reference)
            else:
                world.store.open_session(opening(world, citizen))

        at_once(act, range(8))
        assert world.count("citizen_sessions") == 0

    def test_nobody_is_told_about_who_is_not_there(self, world: CitizenWorld) -> None:
        nobody = world.references.citizen_ref("001099999999")
        assert world.store.find_account(nobody) is None
        with pytest.raises(NotRegistered):
            world.store.suspend_citizen(nobody)
        with pytest.raises(NotRegistered):
            world.store.resume_citizen(nobody)
        with pytest.raises(NotRegistered):
            world.store.renew_citizen(nobody, "x", None)

    def test_the_list_says_what_operators_need_and_who_nobody_is(self, world: CitizenWorld) -> None:
        plain, with_codes = world.citizen(), world.citizen(with_codes=True)
        world.store.suspend_citizen(world.references.citizen_ref(plain.personal_id))
        listed = {one.citizen_id: (one.status, one.level) for one in world.store.list_citizens()}
        assert listed == {plain.citizen_id: ("suspended", 1), with_codes.citizen_id: ("active", 2)}

    def test_no_number_password_code_or_cookie_lies_in_the_tables(self, world: CitizenWorld) -> None:
        citizen = world.citizen(with_codes=True)
        browser = world.browser()
        browser.sign_in(world.request(), citizen, one_time_code=world.code(citizen))
        secrets_ = [citizen.personal_id, citizen.totp_secret, citizen.password, browser.cookie()]
        assert all(secrets_)
        with world.owner.connect() as connection:
            for table in ("citizens", "citizen_sessions", "usage_counters"):
                for row in connection.execute(text(f"SELECT * FROM {table}")):  # noqa: S608
                    kept = b"\x00".join(
                        bytes(value) if isinstance(value, bytes | memoryview) else str(value).encode()
                        for value in row
                    )
                    assert not any(secret.encode() in kept for secret in secrets_), table
                    assert b"192.0.2.1" not in kept, table
