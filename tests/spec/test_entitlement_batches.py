"""`POST /v1/entitlement-checks/batch`: one answer per card, in order, in one commit, or no answer at all."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import text

from broker.cli.caller import Answer, Caller
from connectors.national_insurance.cases import SyntheticPerson
from tests.answers import problem_in, refusal_in
from tests.doors import Server, post
from tests.release_world import BATCH, CHECKS, Hospital, World


def item(world: World, person: SyntheticPerson | None = None, **changes: Any) -> dict[str, Any]:
    """Return one card to check, without the staff member, who stands once in a batch."""
    return world.document(person, acting_person=..., **changes)


def post_batch(caller: Caller, hospital: Hospital, items: list[dict[str, Any]], **headers: str) -> Answer:
    return post(caller, {"acting_person": hospital.staff[0].as_document(), "items": items}, BATCH, **headers)


@pytest.fixture
def hospital(world: World) -> Hospital:
    return world.register_hospital(staff=2)


@pytest.fixture
def asking(server: Server, hospital: Hospital) -> Caller:
    return server.caller(hospital)


def mixed(world: World) -> tuple[list[dict[str, Any]], list[str]]:
    """Return items of many kinds and the code that each is answered with."""
    revoked, pair = world.of_case("revoked"), world.of_case("pair_004")
    given = [
        (item(world), "000"),
        (item(world, card_number="0000000000"), "050"),
        (item(world, revoked), "110"),
        (item(world, pair, card_number=pair.personal_id), "004"),
        (item(world, world.cases["duplicate_si_number"][0]), "100"),
        (item(world, full_name="Ông Ích Khiêm Xy"), "060"),
        (item(world, birth_date="01/01/1951"), "070"),
        (item(world, world.cases["defence"][1]), "001"),
    ]
    return [one for one, _ in given], [code for _, code in given]


def test_every_item_has_its_own_answer_in_the_order_asked(
    asking: Caller, hospital: Hospital, world: World
) -> None:
    items, codes = mixed(world)
    for order in (1, -1):
        answer = post_batch(asking, hospital, items[::order])
        assert answer.status == 200, answer.body
        assert answer.json().keys() == {"items"}
        assert [one["gateway_code"] for one in answer.json()["items"]] == codes[::order]


def test_all_items_are_recorded_in_one_commit(asking: Caller, hospital: Hospital, world: World) -> None:
    items, _ = mixed(world)
    answers = post_batch(asking, hospital, items).json()["items"]
    references = [one["evidence_reference"] for one in answers]
    assert len(set(references)) == len(items)
    found = world.find_evidence(*references)
    assert [one.reference for one in found] == references
    assert {one.entry["acting_person"] for one in found} == {
        world.pseudonyms.staff_ref(hospital.organisation_id, hospital.staff[0].personal_id).hex()
    }
    with world.engine.connect() as connection:
        transactions = connection.execute(
            text(
                "SELECT DISTINCT xmin::text FROM evidence_entries WHERE reference::text = ANY (:references)"
            ),
            {"references": references},
        )
        assert len(transactions.all()) == 1


def test_a_single_check_says_the_same_as_the_item_of_a_batch(
    asking: Caller, hospital: Hospital, world: World
) -> None:
    items, codes = mixed(world)
    answers = post_batch(asking, hospital, items).json()["items"]
    staff = hospital.staff[0].as_document()
    for one, code, in_batch in zip(items, codes, answers, strict=True):
        if code in {"050", "100"}:
            continue  # "as of" is the instant of asking; the one that cannot be read is refused when alone
        alone = post(asking, {**one, "acting_person": staff}).json()
        assert {**alone, "evidence_reference": ""} == {**in_batch, "evidence_reference": ""}


def test_two_hundred_items_are_the_most(asking: Caller, hospital: Hospital, world: World) -> None:
    items = [item(world) for _ in range(200)]
    answer = post_batch(asking, hospital, items)
    assert answer.status == 200
    assert {one["gateway_code"] for one in answer.json()["items"]} == {"000"}
    for too_many in ([*items, item(world)], []):
        document = problem_in(post_batch(asking, hospital, too_many), "request-malformed")
        assert [fault["pointer"] for fault in document["faults"]] == ["/items"]
    assert len(world.entries_of(hospital)) == 200


def test_a_fault_is_told_by_the_items_position(asking: Caller, hospital: Hospital, world: World) -> None:
    for bad, pointer in (
        (item(world, birth_date="31/02/1990"), "/items/1/birth_date"),
        (item(world, card_number="12345"), "/items/1/card_number"),
        (item(world, surname="x"), "/items/1/surname"),
        (item(world, full_name=...), "/items/1/full_name"),
        ({**item(world), "acting_person": hospital.staff[0].as_document()}, "/items/1/acting_person"),
    ):
        answer = post_batch(asking, hospital, [item(world), bad, item(world)])
        document = problem_in(answer, "request-malformed")
        assert [fault["pointer"] for fault in document["faults"]] == [pointer]
    assert world.entries_of(hospital) == []


def test_a_limit_refuses_the_whole_batch_and_counts_none_of_it(
    asking: Caller, hospital: Hospital, world: World
) -> None:
    person = world.person()
    twenty_one = [item(world, person)] * 21
    before = world.count("usage_counters")
    answer = post_batch(asking, hospital, [item(world), *twenty_one])
    document = refusal_in(answer, "limit-reached", "limit_reached", world)
    assert 0 < int(answer.headers["retry-after"]) <= 86_400
    assert "items" not in document
    assert world.entries_of(hospital) == []
    assert world.count("usage_counters") == before
    assert post_batch(asking, hospital, twenty_one[:20]).status == 200
    assert post_batch(asking, hospital, twenty_one[:1]).status == 429


def test_a_staff_member_who_is_unknown_spoils_the_whole_batch(
    asking: Caller, hospital: Hospital, world: World
) -> None:
    stranger = {"full_name": "Lê Văn Khác", "personal_id": "001090888888"}
    answer = post(asking, {"acting_person": stranger, "items": [item(world), item(world)]}, BATCH)
    assert (
        refusal_in(answer, "acting-person-refused", "acting_person_unknown", world)["gateway_code"] == "054"
    )
    assert world.entries_of(hospital) == []
    assert len(world.entries_of(hospital, "refusal")) == 1


def test_a_batch_is_no_single_check_and_the_other_way_round(
    asking: Caller, hospital: Hospital, world: World
) -> None:
    batch = {"acting_person": hospital.staff[0].as_document(), "items": [item(world)]}
    problem_in(post(asking, batch, CHECKS), "request-malformed")
    problem_in(post(asking, world.document(hospital=hospital), BATCH), "request-malformed")
