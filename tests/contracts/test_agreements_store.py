"""Published agreements: revisions only go forward, every text is kept, and two publishers do not cross."""

from __future__ import annotations

import itertools
from collections import Counter
from dataclasses import replace
from datetime import date

import pytest
from sqlalchemy import text

from broker.app import load_policies
from broker.cli.prepare import revisions
from broker.storage.agreements import (
    AgreementRevision,
    RevisionNotNewer,
    publish_agreement,
    published_agreements,
    set_agreement_status,
)
from tests.doors import at_once
from tests.release_world import TEST_AGREEMENTS, World

_numbers = itertools.count()


@pytest.fixture
def revision() -> AgreementRevision:
    name = f"agreement_{next(_numbers)}"
    return AgreementRevision(
        agreement_id=name,
        revision=1,
        revision_hash=f"{name}-1",
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
    second = replace(revision, revision=2, revision_hash=f"{revision.agreement_id}-2", text="second")
    assert publish_agreement(world.engine, revision) is True
    assert publish_agreement(world.engine, second) is True
    assert current(world, revision.agreement_id) == (second.revision_hash, "active")
    assert texts(world, revision.agreement_id) == [(1, "first"), (2, "second")]


def test_publishing_again_changes_nothing(world: World, revision: AgreementRevision) -> None:
    publish_agreement(world.engine, revision)
    assert publish_agreement(world.engine, revision) is False
    assert texts(world, revision.agreement_id) == [(1, "first")]


@pytest.mark.parametrize("number", [1, 0])
def test_a_changed_text_needs_a_higher_number(world: World, revision: AgreementRevision, number: int) -> None:
    publish_agreement(world.engine, revision)
    other = replace(revision, revision=number, revision_hash="other", text="other")
    with pytest.raises(RevisionNotNewer, match="publish a changed text as revision 2"):
        publish_agreement(world.engine, other)
    assert current(world, revision.agreement_id) == (revision.revision_hash, "active")


def test_an_old_revision_does_not_come_back(world: World, revision: AgreementRevision) -> None:
    publish_agreement(world.engine, revision)
    publish_agreement(world.engine, replace(revision, revision=2, revision_hash="2nd", text="second"))
    with pytest.raises(RevisionNotNewer):
        publish_agreement(world.engine, revision)


def test_dates_come_with_the_revision(world: World, revision: AgreementRevision) -> None:
    publish_agreement(world.engine, revision)
    later = replace(
        revision, revision=2, revision_hash=f"later-{revision.agreement_id}", review_date=date(2026, 12, 31)
    )
    publish_agreement(world.engine, later)
    [found] = [one for one in published_agreements(world.engine) if one.agreement_id == later.agreement_id]
    assert (found.valid_from, found.valid_to) == (date(2026, 1, 1), date(2027, 1, 1))
    assert found.review_date == date(2026, 12, 31)


def test_a_suspension_outlives_a_new_revision(world: World, revision: AgreementRevision) -> None:
    publish_agreement(world.engine, revision)
    assert set_agreement_status(world.engine, revision.agreement_id, "suspended") is True
    second = replace(revision, revision=2, revision_hash=f"{revision.agreement_id}-2", text="second")
    publish_agreement(world.engine, second)
    assert current(world, revision.agreement_id) == (second.revision_hash, "suspended")
    assert set_agreement_status(world.engine, revision.agreement_id, "active") is True
    assert current(world, revision.agreement_id)[1] == "active"


def test_an_agreement_that_is_not_published_cannot_be_suspended(world: World) -> None:
    assert set_agreement_status(world.engine, "unheard_of", "suspended") is False


def test_of_two_publishers_of_one_number_one_wins(world: World, revision: AgreementRevision) -> None:
    publish_agreement(world.engine, revision)
    rivals = [
        replace(revision, revision=2, revision_hash=f"{revision.agreement_id}-2{at}", text=f"rival {at}")
        for at in range(6)
    ]

    def publish(one: AgreementRevision) -> str:
        try:
            publish_agreement(world.engine, one)
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
