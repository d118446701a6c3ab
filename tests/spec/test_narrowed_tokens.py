"""authorization_details at a release (RFC 9396, 9): a narrowed token does what it names and no more."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest

from tests.doors import InProcessCaller, post
from tests.release_world import AGREEMENT, BATCH, CHECKS, SCOPE, World

CHECK: Mapping[str, Any] = {"type": "entitlement_check"}


def token(caller: InProcessCaller, *details: Mapping[str, Any], **form: str) -> str:
    """Ask for a token narrowed to these details."""
    full = {"grant_type": "client_credentials", "authorization_details": json.dumps(details), **form}
    answer = caller.post_form("token_endpoint", full)
    assert answer.status == 200, answer.body
    assert answer.json()["scope"] == SCOPE
    return str(answer.json()["access_token"])


def ask(caller: InProcessCaller, token: str, document: Any, path: str = CHECKS) -> Any:
    """Ask with a token of one's own choice."""
    return caller.request("POST", path, json.dumps(document).encode(), token=token)


def by_personal_id(world: World) -> dict[str, Any]:
    """Return a good request by personal id, not by the number of a card."""
    person = world.person()
    return world.document(person, card_number=..., personal_id=person.personal_id)


@pytest.mark.parametrize(
    "detail",
    [
        CHECK,
        {**CHECK, "agreement_id": AGREEMENT},
        {**CHECK, "actions": ["verify"]},
        {**CHECK, "lookup_keys": ["personal_id", "si_number"]},
    ],
    ids=repr,
)
def test_what_the_token_names_is_released(
    local: InProcessCaller, world: World, detail: dict[str, Any]
) -> None:
    answer = ask(local, token(local, detail), by_personal_id(world))
    assert answer.status == 200, answer.body
    assert answer.json()["gateway_code"] == "000"


@pytest.mark.parametrize("keys", [["hi_card"], ["si_number"], ["hi_card", "si_number"]], ids=repr)
def test_what_the_token_does_not_name_is_refused_and_recorded(
    local: InProcessCaller, world: World, keys: list[str]
) -> None:
    answer = ask(local, token(local, {**CHECK, "lookup_keys": keys}), by_personal_id(world))
    assert answer.status == 403, answer.body
    document = answer.json()
    assert document["reason"] == "authorization_details_insufficient"
    evidence = world.evidence(document["instance"])
    assert (evidence.kind, evidence.entry["reason"]) == ("refusal", "authorization_details_insufficient")
    assert evidence.entry["released"] == []


def test_one_of_several_details_is_enough(local: InProcessCaller, world: World) -> None:
    details = [{**CHECK, "lookup_keys": ["hi_card"]}, {**CHECK, "lookup_keys": ["personal_id"]}]
    assert ask(local, token(local, *details), by_personal_id(world)).status == 200


def test_a_token_without_details_is_as_wide_as_its_agreement(local: InProcessCaller, world: World) -> None:
    assert post(local, by_personal_id(world)).status == 200


def test_a_narrowed_token_is_narrow_in_a_batch_too(local: InProcessCaller, world: World) -> None:
    narrowed = token(local, {**CHECK, "lookup_keys": ["si_number"]})
    staff = world.hospital.staff[0].as_document()
    item = {name: value for name, value in by_personal_id(world).items() if name != "acting_person"}
    answer = ask(local, narrowed, {"acting_person": staff, "items": [item]}, BATCH)
    assert answer.status == 403
    assert answer.json()["reason"] == "authorization_details_insufficient"
