"""docs/oauth.md names every endpoint and error; docs/problems/scope-insufficient.md every scope."""

from __future__ import annotations

import re
from types import ModuleType

import pytest

from broker.api.openapi_operations import OPERATIONS
from broker.oauth import endpoints, metadata, token_errors
from broker.oauth.stored_keys import PURPOSES
from tests.house.project import ROOT, source_of, table_rows

TEXT = (ROOT / "docs/oauth.md").read_text(encoding="utf-8")
SCOPES = (ROOT / "docs/problems/scope-insufficient.md").read_text(encoding="utf-8")
# RFC 6749, 5.2, and CIBA Core, 11 and 13: what the grants raise of others' words.
STANDARD = {"invalid_request", "invalid_client", "invalid_grant", "invalid_scope", "unauthorized_client"}
CIBA = {"authorization_pending", "slow_down", "expired_token", "access_denied", "invalid_binding_message"}


def section(heading: str) -> str:
    return re.split(r"^## ", TEXT.split(f"## {heading}")[1], maxsplit=1, flags=re.MULTILINE)[0]


def words_of(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


TOLD = {word for row in table_rows(section("Endpoints")) for word in words_of(row[0])}


def paths(module: ModuleType) -> set[str]:
    """Return the addresses that stand in a module as constants."""
    named = vars(module).items()
    return {value for name, value in named if name.isupper() and str(value).startswith("/")}


@pytest.mark.parametrize("path", sorted((paths(endpoints) | paths(metadata)) - {endpoints.GRANTS_PATH}))
def test_every_endpoint_has_a_row(path: str) -> None:
    assert path in {word.split()[-1] for word in TOLD}


# Entitlement checks are no business of the authorization server; the integrators' page has them.
@pytest.mark.parametrize(
    "call",
    [f"{one.method} {one.path}" for one in OPERATIONS if not one.path.startswith("/v1/entitlement-checks")],
)
def test_every_resource_beside_it_has_a_row(call: str) -> None:
    assert call in TOLD


def test_every_error_has_a_row_and_every_row_an_error() -> None:
    rows = table_rows(section("Errors of the OAuth endpoints"))
    told = {word for row in rows if row[0] != "error" for word in words_of(row[0])}
    ours = re.findall(r'^    error = "([a-z_]+)"', source_of(token_errors.__name__).read_text("utf-8"), re.M)
    assert told == {*ours, *STANDARD, *CIBA}


def test_the_keys_that_are_published_are_counted() -> None:
    assert len(PURPOSES) == 7
    assert "public keys of all purposes but the log's" in TEXT


@pytest.mark.parametrize("one", [one for one in OPERATIONS if one.scope], ids=lambda one: one.name)
def test_the_problem_of_a_missing_scope_names_the_scope_of_every_address(one: object) -> None:
    operation = next(known for known in OPERATIONS if known is one)
    rows = {word: row[1] for row in table_rows(SCOPES) for word in words_of(row[0])}
    told = rows.get(operation.path) or rows.get(f"{operation.method} {operation.path}")
    assert told == f"`{operation.scope}`"
