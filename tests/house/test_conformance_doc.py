"""The tables of conformance name modules and tests that are there, verdicts, and every suite module."""

from __future__ import annotations

import ast
import re
from functools import cache
from typing import Final

import pytest

from tests.house.project import ROOT, headings, table_rows
from tests.house.test_links import anchor

CONFORMANCE: Final = (ROOT / "docs/conformance.md").read_text(encoding="utf-8")
DIVERGENCES: Final = (ROOT / "docs/divergences.md").read_text(encoding="utf-8")
VERDICT: Final = re.compile(
    r"conforms|not used|\[(?P<word>differs|not used)\]\(divergences\.md#(?P<place>[\w-]+)\)"
)
SPECIFICATIONS: Final = (
    "FAPI 2.0 Security Profile",
    "RFC 6749",
    "RFC 6750",
    "RFC 6962",
    "RFC 9162",
    "C2SP",
    "RFC 7009",
    "7517",
    "7638",
    "RFC 7521",
    "7523",
    "RFC 7591",
    "RFC 7636",
    "RFC 7662",
    "RFC 8414",
    "RFC 8705",
    "RFC 8707",
    "RFC 9068",
    "RFC 9101",
    "RFC 9126",
    "RFC 9207",
    "RFC 9396",
    "9440",
    "RFC 9449",
    "RFC 9457",
    "RFC 9700",
    "9701",
    "OpenID Connect Core and Discovery",
    "OpenID Connect CIBA Core",
    "Grant Management",
    "OpenID conformance suite",
    "Cell-key method",
)
# Of the plan fapi2-security-profile-final-test-plan, without that prefix; national profiles are left aside.
SUITE: Final = (
    "discovery-end-point-verification",
    "happy-flow",
    "user-rejects-authentication",
    "ensure-authorization-request-without-state-success",
    "ensure-authorization-request-without-nonce-success",
    "ensure-authorization-request-with-64-char-nonce-success",
    "ensure-other-scope-order-succeeds",
    "test-claims-parameter-identity-claims",
    "access-token-type-header-case-sensitivity",
    "check-dpop-proof-nbf-exp",
    "ensure-dpopproof-with-iat-10seconds-before-succeeds",
    "ensure-dpopproof-with-iat-10seconds-after-succeeds",
    "ensure-mismatched-dpop-jkt-fails",
    "ensure-token-endpoint-fails-with-mismatched-dpop-proof-jkt",
    "ensure-token-endpoint-fails-with-mismatched-dpop-jkt",
    "ensure-dpopproof-at-par-endpoint-binding-success",
    "ensure-dpop-auth-code-binding-success",
    "ensure-different-nonce-inside-and-outside-request-object",
    "ensure-different-state-inside-and-outside-request-object",
    "ensure-authorization-request-with-long-nonce",
    "ensure-authorization-request-with-long-state",
    "state-only-outside-request-object-not-used",
    "ensure-request-object-without-redirect-uri-fails",
    "ensure-redirect-uri-in-authorization-request",
    "ensure-registered-redirect-uri",
    "plain-fapi-tolerate-unregistered-redirect-uri",
    "ensure-unsigned-authorization-request-without-using-par-fails",
    "ensure-response-type-code-idtoken-fails",
    "ensure-response-type-token-fails",
    "ensure-client-id-in-token-endpoint",
    "ensure-holder-of-key-required",
    "ensure-authorization-code-is-bound-to-client",
    "attempt-reuse-authorization-code-after-one-second",
    "ensure-token-endpoint-fails-with-expired-auth-code",
    "ensure-signed-client-assertion-with-RS256-fails",
    "ensure-client-assertion-in-token-endpoint",
    "ensure-client-assertion-with-exp-is-5-minutes-in-past-fails",
    "ensure-client-assertion-with-wrong-aud-fails",
    "ensure-client-assertion-with-no-sub-fails",
    "ensure-invalid-client-assertions-fail",
    "dpop-negative-tests",
    "refresh-token",
    "par-ensure-reused-request-uri-prior-to-auth-completion-succeeds",
    "par-attempt-reuse-request_uri",
    "par-attempt-to-use-expired-request_uri",
    "par-ensure-jwt-client-assertions-nbf-8-seconds-in-the-future-is-accepted",
    "par-ensure-jwt-client-assertions-nbf-over-60-seconds-in-the-future-fails",
    "par-attempt-to-use-request_uri-for-different-client",
    "par-authorization-request-containing-request_uri-form-param",
    "par-attempt-invalid-http-method",
    "par-ensure-pkce-required",
    "par-plain-pkce-rejected",
    "ensure-pkce-code-verifier-required",
    "incorrect-pkce-code-verifier-rejected",
    "par-without-duplicate-parameters",
    "par-test-array-as-audience-fails",
    "par-test-par-endpoint-url-as-audience-fails",
    "par-test-token-endpoint-url-as-audience-fails",
    "grant-management-query-and-revoke",
    "grant-management-merge",
    "grant-management-replace",
    "grant-management-ensure-invalid-grant-id-fails",
    "grant-management-ensure-query-nonexistent-grant-fails",
    "grant-management-ensure-wrong-client-cannot-query-grant",
    "grant-management-ensure-wrong-client-cannot-revoke-grant",
)


def rows() -> list[list[str]]:
    """Return the rows of all tables, their heads left out."""
    return [row for row in table_rows(CONFORMANCE) if row[-1] != "verdict"]


def suite_rows() -> dict[str, list[str]]:
    """Return the rows of the conformance suite by module: three columns, where the others have five."""
    return {row[0].strip("`"): row for row in rows() if len(row) == 3}


def names(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


@cache
def defined(path: str) -> frozenset[str]:
    """Return the tests of a file: functions, classes, and functions within classes as class::function."""
    found = set()
    for node in ast.parse((ROOT / "tests" / path).read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef):
            found.add(node.name)
        elif isinstance(node, ast.ClassDef):
            tests = [one.name for one in node.body if isinstance(one, ast.FunctionDef)]
            found |= {node.name, *(f"{node.name}::{name}" for name in tests)}
    return frozenset(found)


def test_every_table_has_one_of_two_forms() -> None:
    assert {len(row) for row in rows()} == {3, 5}
    assert len(rows()) > 200


def test_every_module_that_is_named_is_there() -> None:
    modules = {name for row in rows() if len(row) == 5 for name in names(row[2])}
    assert "broker/oauth/dpop.py" in modules
    assert [name for name in sorted(modules) if not (ROOT / name).is_file()] == []


def test_every_test_that_is_named_is_there() -> None:
    missing = []
    for row in rows():
        for name in names(row[-2]):
            path, _, test = name.partition("::")
            if not (ROOT / "tests" / path).is_file() or test not in defined(path):
                missing.append(name)
    assert missing == []


def test_every_row_has_a_verdict_and_a_test_that_shows_it() -> None:
    without_verdict = [row for row in rows() if not VERDICT.fullmatch(row[-1])]
    assert without_verdict == []
    assert [row for row in rows() if "not used" not in row[-1] and not names(row[-2])] == []
    assert [row for row in rows() if row[-1] == "conforms" and len(row) == 5 and not names(row[2])] == []


def test_what_differs_is_explained_and_nothing_is_explained_that_does_not() -> None:
    told = {anchor(heading) for heading in headings(DIVERGENCES)} - {"divergences"}
    found = {match["place"] for row in rows() if (match := VERDICT.fullmatch(row[-1])) and match["place"]}
    assert found == told


def section_rows(heading: str) -> list[list[str]]:
    """Return the rows of the table under a heading."""
    [section] = [one for one in re.split(r"^## ", CONFORMANCE, flags=re.MULTILINE) if one.startswith(heading)]
    return [row for row in table_rows(section) if row[-1] != "verdict"]


def bears(test: str, prefix: str, clause: str) -> bool:
    """Whether the name of a test has a clause behind the specification that it is of."""
    found = re.search(rf"(?:^test|_and)_{prefix}_(.+)", test.rpartition("::")[2])
    numbers = clause.replace(", note ", "-note-").replace(".", "_").replace("-", "_")
    return found is not None and re.search(rf"(?:^|_(?:and_)?){numbers}_(?!\d)", found[1]) is not None


@pytest.mark.parametrize(
    ("heading", "prefix"), [("FAPI 2.0 Security Profile", "fapi"), ("RFC 9700", "rfc9700")]
)
def test_a_clause_is_named_by_a_test_that_its_row_cites(heading: str, prefix: str) -> None:
    found = section_rows(heading)
    assert len(found) >= 25
    nameless = []
    for clauses, *_, cited, verdict in found:
        tests = [name for name in names(cited) if name.startswith("spec/")]
        one_of = re.findall(r"[0-9.]+(?:-[0-9]+)?(?:, note [0-9])?", clauses)
        if tests and verdict == "conforms" and not any(bears(t, prefix, c) for t in tests for c in one_of):
            nameless.append(clauses)
    assert nameless == []


@pytest.mark.parametrize("specification", SPECIFICATIONS)
def test_every_specification_has_its_table(specification: str) -> None:
    assert [heading for heading in headings(CONFORMANCE) if specification in heading] != []


def test_every_module_of_the_conformance_suite_has_its_row() -> None:
    assert sorted(suite_rows()) == sorted(SUITE)


def test_a_module_of_the_suite_is_tested_under_its_own_name() -> None:
    strangers = {
        module: names(row[1])
        for module, row in suite_rows().items()
        if not module.startswith(("grant-management", "dpop-negative"))
        and f"test_suite_{module.replace('-', '_')}"
        not in {name.rpartition("::")[2] for name in names(row[1])}
    }
    assert strangers == {}


def test_every_test_of_the_suite_stands_in_its_table() -> None:
    listed = {name.rpartition("::")[2] for row in suite_rows().values() for name in names(row[1])}
    written = set()
    for path in ("test_fapi_suite_modules.py", "test_fapi_suite_refusals.py", "test_fapi_dpop.py"):
        every = {name.rpartition("::")[2] for name in defined(f"spec/{path}")}
        written |= {name for name in every if name.startswith("test_suite_")}
    by_their_class = {name for name in written if name.startswith("test_suite_dpop_negative_tests_")}
    assert written - by_their_class - listed == set()
