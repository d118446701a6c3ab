"""Sensitive fields are given at level 2 only: with an agreement that permits one, as no shipped one does."""

from __future__ import annotations

import json
from collections.abc import Iterator
from shutil import copytree

import pytest

import tests.oauth_world
from broker.cli.embedded import EmbeddedCluster
from policies.compile import compile_policies
from policies.load import SHIPPED, load_directory
from tests.citizen_world import Forms
from tests.oauth_flow import INCOME, Attempt, Flow, parts_of
from tests.oauth_world import World, oauth_database


@pytest.fixture(scope="module")
def sensitive(cluster: EmbeddedCluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Flow]:
    """An authorization server at which banks may ask for the payer group of a card."""
    directory = tmp_path_factory.mktemp("policies")
    copytree(SHIPPED / "agreements", directory / "agreements")
    path = directory / "agreements/bank_income_proof.toml"
    written = path.read_text(encoding="utf-8")
    assert written.count('fields = ["si_status"]') == 1
    wider = written.replace('fields = ["si_status"]', 'fields = ["si_status", "payer_group"]')
    path.write_text(wider, encoding="utf-8")
    bundle = load_directory(directory)
    policies = compile_policies(bundle.agreements, bundle.catalogue, bundle.registers)
    assert policies.catalogue.fields["payer_group"].is_sensitive
    with pytest.MonkeyPatch.context() as patch, oauth_database(cluster) as database:
        patch.setattr(tests.oauth_world, "policy_set", lambda: policies)
        yield Flow(World(database))


def test_a_password_alone_does_not_give_a_sensitive_field(sensitive: Flow) -> None:
    weak, strong, attempt = sensitive.citizen(with_codes=False), sensitive.citizen(), Attempt()
    detail = {**INCOME, "fields": ["salary_base", "payer_group"]}
    sensitive.push(attempt, authorization_details=json.dumps([detail]), acr_values="level-1")
    page = sensitive.decision_page(weak, attempt)
    assert Forms(page.text).forms[-1].boxes == {}
    assert sensitive.press(weak, page, attempt).status_code == 422
    assert sensitive.decide(strong, attempt).status_code == 303
    body = sensitive.redeem(attempt).get_json()
    assert set(body["authorization_details"][0]["fields"]) == {"salary_base", "payer_group"}
    assert parts_of(body["access_token"])[1]["acr"] == "level-2"


def test_a_forged_form_gives_nothing_at_level_1(sensitive: Flow) -> None:
    weak, attempt = sensitive.citizen(with_codes=False), Attempt()
    before = sensitive.world.count("grants")
    detail = {**INCOME, "fields": ["salary_base", "payer_group"]}
    sensitive.push(attempt, authorization_details=json.dumps([detail]))
    page = sensitive.decision_page(weak, attempt)
    answer = sensitive.press(weak, page, attempt, fields=("0.salary_base", "0.payer_group"))
    assert answer.status_code == 422
    assert sensitive.world.count("grants") == before


def test_the_same_agreement_without_it_needs_a_password_only(sensitive: Flow) -> None:
    assert sensitive.tokens(sensitive.citizen(with_codes=False))["scope"] == "share_record"
