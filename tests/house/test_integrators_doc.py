"""docs/integrators.md says what the interface does; its example works against a real server."""

from __future__ import annotations

import importlib.util
import json
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from joserfc.errors import BadSignatureError

from broker.actions import entitlement_outcome
from broker.actions.entitlement_outcome import EntitlementOutcome
from broker.api.entitlement import BATCH_ITEMS_MAX, ActingPersonSchema, CheckSchema
from policies.load import SHIPPED, load_directory
from tests.doors import Server
from tests.house.project import ROOT, table_rows
from tests.oauth_world import Party
from tests.release_world import AGREEMENT, Hospital, World

TEXT = (ROOT / "docs/integrators.md").read_text(encoding="utf-8")
EXAMPLE = ROOT / "docs/examples/check_card.py"


def section(heading: str) -> str:
    return re.split(r"^##+ ", TEXT.split(f"# {heading}\n")[1], flags=re.MULTILINE)[0]


def first_column(heading: str) -> list[str]:
    rows = list(table_rows(section(heading)))[1:]
    return [name for row in rows for name in re.findall(r"`([^`]+)`", row[0])]


def known_codes() -> set[tuple[str, str]]:
    """Return every (code, outcome) that the verb can answer with."""
    values = [*vars(entitlement_outcome).values(), *entitlement_outcome._ENDED.values()]
    pairs = {(one.gateway_code, one.name) for one in values if isinstance(one, EntitlementOutcome)}
    tuples = [one for one in values if isinstance(one, tuple) and len(one) == 2]
    return pairs | {(code, name) for name, code in tuples if re.fullmatch(r"[0-9]{3}", code)}


def test_every_member_of_a_request_has_a_row_and_says_whether_it_is_required() -> None:
    declared = {name: one.required for name, one in CheckSchema().fields.items()}
    declared |= {f"acting_person.{name}": one.required for name, one in ActingPersonSchema().fields.items()}
    told = {row[0].strip("`"): row[1] == "yes" for row in list(table_rows(section("Check a card")))[1:]}
    assert told == declared


def test_every_code_has_a_row_with_its_outcome() -> None:
    rows = list(table_rows(section("Codes")))[1:]
    assert {(row[0], row[1].strip("`")) for row in rows} == known_codes()
    assert len(rows) == len(known_codes())


def test_the_fields_of_a_card_are_those_of_the_agreement_that_ships() -> None:
    agreement = load_directory(SHIPPED).find_agreement(AGREEMENT)
    assert agreement is not None
    released = [name for rule in agreement.rules for name in rule.fields]
    told = section("The answer").split("agreement that ships:")[1].split(". ")[0]
    assert sorted(re.findall(r"`([a-z_]+)`", told)) == sorted(released)
    assert f"{agreement.retention_days} days in the one that ships" in TEXT


def test_the_size_of_a_batch_is_the_codes() -> None:
    assert f"1 to {BATCH_ITEMS_MAX} items" in section("Many at once")


def test_the_example_is_short() -> None:
    lines = [line for line in EXAMPLE.read_text(encoding="utf-8").splitlines() if line.strip()]
    assert len([line for line in lines if not line.startswith(("import ", "from "))]) <= 60


@pytest.fixture(scope="module")
def hospital(world: World) -> Hospital:
    """A registered hospital whose client signs with the key of PARTY."""
    made = world.register_hospital()
    [record] = world.clients.list_clients(made.client_id)
    metadata = {**record.client_metadata, "jwks": {"keys": [PARTY.public_jwk]}}
    world.clients.register_client(replace(record, client_id=PARTY.client_id, client_metadata=metadata))
    return made


PARTY = Party("example-hospital")
PRIVATE_JWK = {
    **PARTY.key.as_dict(private=True),
    "kid": PARTY.kid,
    "alg": "ES256",
    "client_id": PARTY.client_id,
}


def run_example(server: Server, directory: Path, question: dict[str, Any]) -> tuple[int, dict[str, Any]]:
    """Run the example as a hospital would, with its key in a file and the question on standard input."""
    (directory / "key.jwk").write_text(json.dumps(PRIVATE_JWK), encoding="ascii")
    command = [sys.executable, str(EXAMPLE), server.issuer, str(directory / "key.jwk")]
    done = subprocess.run(command, input=json.dumps(question), capture_output=True, text=True, check=True)
    status, content = json.loads(done.stdout)
    return status, content


def test_the_example_checks_a_card_and_what_it_gets_stands_on_the_page(
    server: Server, world: World, hospital: Hospital, tmp_path: Path
) -> None:
    document = world.document(world.of_case("pair_004"), hospital)
    status, claims = run_example(server, tmp_path, document)
    answer = claims["entitlement_check"]
    assert (status, answer["gateway_code"], answer["outcome"]) == (200, "004", "valid_with_successor")
    assert set(answer) == set(first_column("The answer"))
    assert set(claims) == set(first_column("Receipts")) - {"outage"}
    assert world.evidence(answer["evidence_reference"]).entry["client"] == PARTY.client_id


def test_the_example_hands_on_a_problem(
    server: Server, world: World, hospital: Hospital, tmp_path: Path
) -> None:
    stranger = {"full_name": "Không Có Tên", "personal_id": "001099999999"}
    status, problem = run_example(server, tmp_path, world.document(None, hospital, acting_person=stranger))
    assert (status, problem["gateway_code"]) == (403, "054")
    assert problem["type"] == f"{server.issuer}/problems/acting-person-refused"


def test_the_example_believes_no_receipt_that_is_not_its_own(
    server: Server, world: World, hospital: Hospital, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = importlib.util.spec_from_file_location("check_card", EXAMPLE)
    assert spec is not None
    assert spec.loader is not None
    example = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(example)
    real = example.verify
    monkeypatch.setattr(example, "verify", lambda *given: (given, real(*given))[0])
    status, given = example.check_card(server.issuer, PRIVATE_JWK, world.document(None, hospital))
    assert status == 200
    issuer, client_id, receipt, body = given
    header, payload, signature = receipt.split(".")
    for told in [(issuer, client_id, receipt, body + b" "), (issuer, "another", receipt, body)]:
        with pytest.raises(ValueError, match="not about this question"):
            real(*told)
    forged = payload[:-2] + ("AA" if payload[-2:] != "AA" else "BB")
    with pytest.raises(BadSignatureError):
        real(issuer, client_id, f"{header}.{forged}.{signature}", body)
