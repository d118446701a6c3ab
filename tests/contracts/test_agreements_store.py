"""Published agreements: revisions only go forward, every text is kept, and two publishers do not cross."""

from __future__ import annotations

import itertools
from collections import Counter
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from hashlib import sha256
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from broker.app import load_policies
from broker.cli.prepare import revisions
from broker.evidence.acting import BY_ITSELF
from broker.evidence.kinds import check_any
from broker.evidence.replay_facts import NotReplayable, revision_then
from broker.storage.agreements import (
    AgreementRevision,
    KeptAgreements,
    RevisionNotNewer,
    publish_agreement,
    published_agreements,
    set_agreement_status,
)
from policies.load import register_texts, registers_hash
from tests.acting import ACTS, OPERATOR, entries, told, without_entries
from tests.doors import at_once
from tests.release_world import TEST_AGREEMENTS, World

_numbers = itertools.count()


def hashed(words: str) -> str:
    """Return the hash by which a test's revision is known."""
    return sha256(words.encode()).hexdigest()


@pytest.fixture
def revision() -> AgreementRevision:
    name = f"agreement_{next(_numbers)}"
    return AgreementRevision(
        agreement_id=name,
        revision=1,
        revision_hash=hashed(f"{name}-1"),
        text="first",
        valid_from=date(2026, 1, 1),
        valid_to=date(2027, 1, 1),
        review_date=date(2026, 12, 1),
    )


def texts(world: World, agreement_id: str) -> list[tuple[int, str]]:
    statement = text(
        "SELECT revision, text FROM agreement_revisions WHERE agreement_id = :id ORDER BY revision"
    )
    with world.engine.connect() as connection:
        return [(row[0], row[1]) for row in connection.execute(statement, {"id": agreement_id})]


def current(world: World, agreement_id: str) -> tuple[str, str]:
    [found] = [one for one in published_agreements(world.engine) if one.agreement_id == agreement_id]
    return found.revision_hash, found.status


def test_a_new_revision_takes_the_place_of_the_old_one_and_both_texts_stay(
    world: World, revision: AgreementRevision
) -> None:
    second = replace(revision, revision=2, revision_hash=hashed(f"{revision.agreement_id}-2"), text="second")
    assert publish_agreement(world.engine, ACTS, revision) is True
    assert publish_agreement(world.engine, ACTS, second) is True
    assert current(world, revision.agreement_id) == (second.revision_hash, "active")
    assert texts(world, revision.agreement_id) == [(1, "first"), (2, "second")]


def test_publishing_again_changes_nothing(world: World, revision: AgreementRevision) -> None:
    publish_agreement(world.engine, ACTS, revision)
    assert publish_agreement(world.engine, ACTS, revision) is False
    assert texts(world, revision.agreement_id) == [(1, "first")]


@pytest.mark.parametrize("number", [1, 0])
def test_a_changed_text_needs_a_higher_number(world: World, revision: AgreementRevision, number: int) -> None:
    publish_agreement(world.engine, ACTS, revision)
    other = replace(revision, revision=number, revision_hash=hashed("other"), text="other")
    with pytest.raises(RevisionNotNewer, match="publish a changed text as revision 2"):
        publish_agreement(world.engine, ACTS, other)
    assert current(world, revision.agreement_id) == (revision.revision_hash, "active")


def test_an_old_revision_does_not_come_back(world: World, revision: AgreementRevision) -> None:
    publish_agreement(world.engine, ACTS, revision)
    publish_agreement(
        world.engine,
        ACTS,
        replace(revision, revision=2, revision_hash=hashed(f"{revision.agreement_id}-2"), text="second"),
    )
    with pytest.raises(RevisionNotNewer):
        publish_agreement(world.engine, ACTS, revision)


def test_dates_come_with_the_revision(world: World, revision: AgreementRevision) -> None:
    publish_agreement(world.engine, ACTS, revision)
    later = replace(
        revision,
        revision=2,
        revision_hash=hashed(f"later-{revision.agreement_id}"),
        review_date=date(2026, 12, 31),
    )
    publish_agreement(world.engine, ACTS, later)
    [found] = [one for one in published_agreements(world.engine) if one.agreement_id == later.agreement_id]
    assert (found.valid_from, found.valid_to) == (date(2026, 1, 1), date(2027, 1, 1))
    assert found.review_date == date(2026, 12, 31)


def test_a_suspension_outlives_a_new_revision(world: World, revision: AgreementRevision) -> None:
    publish_agreement(world.engine, ACTS, revision)
    assert set_agreement_status(world.engine, ACTS, revision.agreement_id, "suspended") is True
    second = replace(revision, revision=2, revision_hash=hashed(f"{revision.agreement_id}-2"), text="second")
    publish_agreement(world.engine, ACTS, second)
    assert current(world, revision.agreement_id) == (second.revision_hash, "suspended")
    assert set_agreement_status(world.engine, ACTS, revision.agreement_id, "active") is True
    assert current(world, revision.agreement_id)[1] == "active"


def test_an_agreement_that_is_not_published_cannot_be_suspended(world: World) -> None:
    assert set_agreement_status(world.engine, ACTS, "unheard_of", "suspended") is False


def test_of_two_publishers_of_one_number_one_wins(world: World, revision: AgreementRevision) -> None:
    publish_agreement(world.engine, ACTS, revision)
    rivals = [
        replace(
            revision, revision=2, revision_hash=hashed(f"{revision.agreement_id}-2{at}"), text=f"rival {at}"
        )
        for at in range(6)
    ]

    def publish(one: AgreementRevision) -> str:
        try:
            publish_agreement(world.engine, ACTS, one)
        except RevisionNotNewer:
            return "refused"
        return "published"

    assert Counter(at_once(publish, rivals)) == {"published": 1, "refused": 5}
    assert [number for number, _ in texts(world, revision.agreement_id)] == [1, 2]


def test_what_prepare_published_is_what_this_process_loads(world: World) -> None:
    loaded = {one.agreement_id: one.revision_hash for one in revisions(load_policies(world.settings))}
    published = {one.agreement_id: one.revision_hash for one in published_agreements(world.engine)}
    assert loaded.keys() >= {"hospital_entitlement_check", *TEST_AGREEMENTS}
    assert loaded.items() <= published.items()


class TestRegistersThatAreKept:
    """A text alone does not say what was decided: the registers of the time stand beside it."""

    def test_they_stand_beside_the_revision_from_its_publication_on(
        self, world: World, revision: AgreementRevision
    ) -> None:
        texts_then = {"fields.toml": "first"}
        publish_agreement(world.engine, ACTS, revision, texts_then)
        kept = KeptAgreements(world.engine)
        now = datetime.now(UTC) + timedelta(seconds=1)
        found = kept.find_revision(revision.revision_hash, now)
        assert found is not None
        assert (found.agreement_id, found.text) == (revision.agreement_id, "first")
        assert found.superseded_at is None
        assert found.registers is not None
        assert found.registers.documents == texts_then
        assert found.registers.registers_hash == registers_hash(texts_then)
        before = kept.find_revision(revision.revision_hash, found.published_at - timedelta(seconds=1))
        assert before is not None
        assert before.registers is None

    def test_registers_that_change_without_a_new_revision_are_kept_from_then_on(
        self, world: World, revision: AgreementRevision
    ) -> None:
        kept = KeptAgreements(world.engine)
        assert publish_agreement(world.engine, ACTS, revision, {"fields.toml": "first"}) is True
        first_until = datetime.now(UTC)
        for _ in range(2):
            assert publish_agreement(world.engine, ACTS, revision, {"fields.toml": "second"}) is False
        times = "revision_hash = :hash"
        assert world.count("agreement_registers", times, hash=revision.revision_hash) == 2
        late = kept.find_revision(revision.revision_hash, datetime.now(UTC) + timedelta(seconds=1))
        assert late is not None
        assert late.registers is not None
        assert late.registers.documents == {"fields.toml": "second"}
        early = kept.find_revision(revision.revision_hash, first_until)
        assert early is not None
        assert early.registers is not None
        assert early.registers.documents == {"fields.toml": "first"}

    def test_the_next_revision_ends_the_one_before(self, world: World, revision: AgreementRevision) -> None:
        second = replace(
            revision, revision=2, revision_hash=hashed(f"{revision.agreement_id}-2"), text="second"
        )
        for one in (revision, second):
            publish_agreement(world.engine, ACTS, one, {"fields.toml": "same"})
        kept = KeptAgreements(world.engine)
        at = datetime.now(UTC) + timedelta(seconds=1)
        first, last = (kept.find_revision(one.revision_hash, at) for one in (revision, second))
        assert first is not None
        assert last is not None
        assert first.superseded_at == last.published_at
        assert last.superseded_at is None
        assert kept.find_revision("nobody", at) is None

    def test_what_is_published_as_served_can_be_decided_with_again(self, world: World) -> None:
        kept = KeptAgreements(world.engine)
        policy_set = load_policies(world.settings)
        for table in policy_set.tables.values():
            held = kept.find_revision(table.agreement.revision_hash, datetime.now(UTC))
            assert held is not None
            assert revision_then(held).table.permitted == table.permitted
            assert revision_then(held).table.denies == table.denies

    def test_what_is_not_what_its_hash_says_is_not_decided_with(self, world: World) -> None:
        policy_set = load_policies(world.settings)
        agreement = next(iter(policy_set.tables.values())).agreement
        held = KeptAgreements(world.engine).find_revision(agreement.revision_hash, datetime.now(UTC))
        assert held is not None
        assert held.registers is not None
        changed = held.text.replace("retention_days", "retention_days_", 1)
        with pytest.raises(NotReplayable, match="cannot be read"):
            revision_then(replace(held, text=changed))
        reworded = held.text.replace('complaint_contact = "', 'complaint_contact = "x', 1)
        with pytest.raises(NotReplayable, match="text of the agreement is not what its hash says"):
            revision_then(replace(held, text=reworded))
        other = replace(held.registers, documents={**register_texts(), "fields.toml": ""})
        with pytest.raises(NotReplayable, match="registers are not what their hash says"):
            revision_then(replace(held, registers=other))
        with pytest.raises(NotReplayable, match="were not kept"):
            revision_then(replace(held, registers=None))


class TestEveryChangeIsAnEntryOfEvidence:
    """In the transaction of the change, once for each change, whoever says it again."""

    def changes(self, world: World, revision: AgreementRevision, after: str = "") -> list[dict[str, Any]]:
        found = entries(world.engine, "policy_change", after)
        return [one for one in found if one["agreement"] == revision.agreement_id]

    def test_from_its_publication_to_its_resumption(self, world: World, revision: AgreementRevision) -> None:
        registers = {"fields.toml": "first"}
        for _ in range(2):
            publish_agreement(world.engine, ACTS, revision, registers)
        [entry] = self.changes(world, revision)
        known = registers_hash(registers)
        assert entry == {
            "acting_person": OPERATOR.acting_person,
            "actor": "operator",
            "agreement": revision.agreement_id,
            "at": entry["at"],
            "event": "published",
            "kind": "policy_change",
            "new_registers": known,
            "new_revision": revision.revision_hash,
            "old_registers": "",
            "old_revision": "",
            "reference": entry["reference"],
            "schema": 1,
        }
        check_any(entry)
        for _ in range(2):
            set_agreement_status(world.engine, ACTS, revision.agreement_id, "suspended")
        for _ in range(2):
            set_agreement_status(world.engine, ACTS, revision.agreement_id, "active")
        second = replace(revision, revision=2, revision_hash=hashed(f"{revision.agreement_id}-2"), text="2")
        for _ in range(2):
            publish_agreement(world.engine, ACTS.by(BY_ITSELF), second, registers)
        names = ("event", "actor", "old_revision", "new_revision", "old_registers", "new_registers")
        first, last = revision.revision_hash, second.revision_hash
        assert [told(one, *names) for one in self.changes(world, revision, entry["reference"])] == [
            ("suspended", "operator", first, first, known, known),
            ("resumed", "operator", first, first, known, known),
            ("published", "broker", first, last, known, known),
        ]

    def test_registers_that_change_under_a_revision_that_stays(
        self, world: World, revision: AgreementRevision
    ) -> None:
        publish_agreement(world.engine, ACTS, revision)
        for words in ("first", "first", "second", "second", "first"):
            publish_agreement(world.engine, ACTS, revision, {"fields.toml": words})
        publish_agreement(world.engine, ACTS, revision)
        first, second = (registers_hash({"fields.toml": words}) for words in ("first", "second"))
        assert [
            told(one, "event", "old_registers", "new_registers") for one in self.changes(world, revision)
        ] == [
            ("published", "", ""),
            ("registers_changed", "", first),
            ("registers_changed", first, second),
            ("registers_changed", second, first),
        ]

    @pytest.mark.parametrize("is_published", [True, False])
    def test_of_many_who_publish_or_suspend_at_once_one_did_it(
        self, world: World, revision: AgreementRevision, is_published: bool
    ) -> None:
        registers = {"fields.toml": "first"}
        if is_published:
            publish_agreement(world.engine, ACTS, revision, {"fields.toml": "before"})
        at_once(lambda one: publish_agreement(world.engine, ACTS, one, registers), [revision] * 6)
        name = revision.agreement_id
        at_once(lambda _: set_agreement_status(world.engine, ACTS, name, "suspended"), range(6))
        events = [one["event"] for one in self.changes(world, revision)]
        assert events == ["published", *(["registers_changed"] if is_published else []), "suspended"]

    def test_nothing_is_published_or_suspended_where_the_entry_cannot_be_written(
        self, world: World, revision: AgreementRevision
    ) -> None:
        with without_entries(world.owner), pytest.raises(DBAPIError, match="no entry can be written"):
            publish_agreement(world.engine, ACTS, revision, {"fields.toml": "first"})
        assert texts(world, revision.agreement_id) == []
        assert world.count("agreement_registers", "revision_hash = :hash", hash=revision.revision_hash) == 0
        publish_agreement(world.engine, ACTS, revision, {"fields.toml": "first"})
        with without_entries(world.owner):
            with pytest.raises(DBAPIError, match="no entry can be written"):
                set_agreement_status(world.engine, ACTS, revision.agreement_id, "suspended")
            with pytest.raises(DBAPIError, match="no entry can be written"):
                publish_agreement(world.engine, ACTS, revision, {"fields.toml": "second"})
        assert current(world, revision.agreement_id) == (revision.revision_hash, "active")
        assert world.count("agreement_registers", "revision_hash = :hash", hash=revision.revision_hash) == 1
