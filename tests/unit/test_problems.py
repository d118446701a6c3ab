"""The one error table: every kind has its row, and a problem says what it may say and no more."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from broker import errors
from broker.api.problems import INTERNAL, PROBLEMS, Reply, plain_problem, problem_of, problem_reply
from broker.errors import (
    BrokerError,
    ConsentAskedTooSoon,
    ConsentTermsRefused,
    ConsentTransitionRefused,
    EvidenceUnavailable,
    ExportNotReady,
    InputFault,
    LogStopped,
    MigrationRefused,
    ProofInvalid,
    ProofNonceNeeded,
    RangeNotSatisfiable,
    ReleaseRefused,
    RequestMalformed,
    ScopeInsufficient,
    SettingsInvalid,
    SourceOutage,
    StatisticsQuestionRefused,
    StoreUnavailable,
    TokenInvalid,
    TokenMissing,
)

OUTAGE = SourceOutage(reference="r-1", organisation_id="o", facility_code=None, retry_after_seconds=7)


def kinds(of: type[BrokerError] = BrokerError) -> Iterator[type[BrokerError]]:
    for kind in of.__subclasses__():
        if kind.__module__ == errors.__name__:
            yield kind
        yield from kinds(kind)


def reply_to(error: Exception, *, vietnamese: bool = False, **members: Any) -> tuple[Reply, dict[str, Any]]:
    reply = problem_reply(
        error, issuer="https://b.example", request_id="q-1", vietnamese=vietnamese, members=members
    )
    return reply, json.loads(reply.body)


@pytest.mark.parametrize(
    ("error", "slug", "status"),
    [
        (RequestMalformed((InputFault("/x", "y"),)), "request-malformed", 422),
        (TokenInvalid("x"), "token-invalid", 401),
        (TokenMissing("x"), "token-invalid", 401),
        (ProofInvalid("x"), "proof-invalid", 401),
        (ScopeInsufficient("verify_entitlement"), "scope-insufficient", 403),
        (EvidenceUnavailable("x"), "evidence-unavailable", 503),
        (StoreUnavailable("x"), "evidence-unavailable", 503),
        (ConsentTermsRefused("range_too_wide"), "consent-terms-refused", 422),
        (ConsentTransitionRefused("final_state"), "consent-transition-refused", 409),
        (OUTAGE, "source-outage", 503),
        (SettingsInvalid("x"), "internal", 500),
        (LogStopped("x"), "internal", 500),
        (ValueError("secret"), "internal", 500),
        (BrokerError("secret"), "internal", 500),
        *(
            (ReleaseRefused(reason, reference="r-1"), slug, status)
            for reason, slug, status in (
                ("scope_insufficient", "scope-insufficient", 403),
                ("client_not_active", "token-invalid", 401),
                ("token_not_active", "token-invalid", 401),
                ("proof_replayed", "proof-invalid", 401),
                ("limit_reached", "limit-reached", 429),
                ("clock_skewed", "clock-skewed", 503),
                ("log_stopped", "log-stopped", 503),
                ("acting_person_unknown", "acting-person-refused", 403),
                ("acting_person_mismatch", "acting-person-refused", 403),
                ("source_several_persons", "source-answer-refused", 502),
                ("source_wrong_type", "source-answer-refused", 502),
                ("agreement_not_active", "release-refused", 403),
                ("a_reason_not_thought_of", "release-refused", 403),
            )
        ),
    ],
)
def test_every_error_has_its_row(error: Exception, slug: str, status: int) -> None:
    assert problem_of(error) is PROBLEMS[slug]
    reply, document = reply_to(error)
    assert (reply.status, document["status"]) == (status, status)
    assert document["type"] == f"https://b.example/problems/{slug}"
    assert ("Content-Type", "application/problem+json") in reply.headers
    assert ("Cache-Control", "no-store") in reply.headers


def test_every_kind_of_error_is_in_the_table_or_ends_the_start() -> None:
    never_answered = {SettingsInvalid, LogStopped, MigrationRefused}
    reasons: dict[type[errors.BrokerError], dict[str, Any]] = {
        ReleaseRefused: {"reason": "x", "reference": "r"},
        ScopeInsufficient: {"scope": "s"},
        ConsentAskedTooSoon: {"retry_after_seconds": 1},
        ConsentTermsRefused: {"reason": "x"},
        ConsentTransitionRefused: {"reason": "x"},
        StatisticsQuestionRefused: {"reason": "x", "allowed": "y", "reference": "r"},
        ExportNotReady: {"reason": "x"},
        RangeNotSatisfiable: {"length": 1},
    }
    for kind in kinds():
        given: dict[str, Any] = reasons.get(kind, {})
        if kind is ProofNonceNeeded:
            given = {"nonce": "n"}
        elif kind is RequestMalformed:
            given = {"faults": ()}
        elif kind is SourceOutage:
            given = {
                "reference": "r",
                "organisation_id": "o",
                "facility_code": None,
                "retry_after_seconds": 1,
            }
        assert (problem_of(kind(**given)) is INTERNAL) == (kind in never_answered), kind.__name__


def test_slugs_and_titles_are_one_of_a_kind() -> None:
    assert all(slug == row.slug for slug, row in PROBLEMS.items())
    assert len({row.title_en for row in PROBLEMS.values()}) == len(PROBLEMS)
    assert len({row.title_vi for row in PROBLEMS.values()}) == len(PROBLEMS)
    assert all(400 <= row.status < 600 for row in PROBLEMS.values())


def test_an_unknown_exception_says_nothing_of_itself() -> None:
    reply, document = reply_to(ValueError("001090123456 Nguyễn Văn An SELECT *"))
    assert document.keys() == {"type", "title", "status", "instance", "request_id"}
    assert document["title"] == "The broker failed"
    assert b"001090123456" not in reply.body


def test_a_refusal_is_told_with_its_reference_reason_and_rules() -> None:
    refused = ReleaseRefused(
        "acting_person_unknown", reference="r-1", determining_rules=("a/b",), gateway_code="054"
    )
    _, document = reply_to(refused)
    assert document["instance"] == "urn:uuid:r-1"
    assert document["request_id"] == "q-1"
    assert (document["reason"], document["determining_rules"]) == ("acting_person_unknown", ["a/b"])
    assert document["gateway_code"] == "054"


@pytest.mark.parametrize(
    "error",
    [ReleaseRefused("source_address_refused", reference=""), ScopeInsufficient("manage_clients")],
    ids=repr,
)
def test_what_is_not_recorded_has_no_evidence_reference(error: Exception) -> None:
    _, document = reply_to(error)
    assert document["instance"] == "urn:uuid:q-1", "the request id"
    assert document["determining_rules"] == []


@pytest.mark.parametrize(
    ("error", "seconds"),
    [
        (ReleaseRefused("limit_reached", reference="r", retry_after_seconds=61), "61"),
        (OUTAGE, "7"),
        (EvidenceUnavailable("x"), "5"),
        (ReleaseRefused("clock_skewed", reference="r"), "5"),
        (ReleaseRefused("log_stopped", reference="r", retry_after_seconds=60), "60"),
        (ReleaseRefused("no_agreement", reference="r"), None),
        (TokenInvalid("x"), None),
    ],
)
def test_who_may_come_again_is_told_when(error: Exception, seconds: str | None) -> None:
    assert dict(reply_to(error)[0].headers).get("Retry-After") == seconds


@pytest.mark.parametrize(
    ("error", "challenge"),
    [
        (TokenMissing("no token"), 'DPoP algs="ES256 EdDSA PS256"'),
        (
            TokenInvalid("expired"),
            'DPoP error="invalid_token", algs="ES256 EdDSA PS256", error_description="expired"',
        ),
        (TokenInvalid('quo"te'), 'DPoP error="invalid_token", algs="ES256 EdDSA PS256"'),
        (TokenInvalid("hết hạn"), 'DPoP error="invalid_token", algs="ES256 EdDSA PS256"'),
        (
            ProofInvalid("htm"),
            'DPoP error="invalid_dpop_proof", algs="ES256 EdDSA PS256", error_description="htm"',
        ),
        (
            ScopeInsufficient("verify_entitlement"),
            'DPoP error="insufficient_scope", algs="ES256 EdDSA PS256", scope="verify_entitlement"',
        ),
        (
            ReleaseRefused("proof_replayed", reference="r"),
            'DPoP error="invalid_dpop_proof", algs="ES256 EdDSA PS256"',
        ),
        (ReleaseRefused("no_agreement", reference="r"), None),
    ],
)
def test_a_token_or_proof_that_will_not_do_is_challenged(error: Exception, challenge: str | None) -> None:
    assert dict(reply_to(error)[0].headers).get("WWW-Authenticate") == challenge


@pytest.mark.parametrize(
    ("pointer", "code"),
    [
        ("/card_number", "205"),
        ("/birth_date", "205"),
        ("/personal_id", "205"),
        ("/service_date", None),
        ("/acting_person/personal_id", None),
    ],
)
def test_a_bad_number_or_birth_date_has_the_gateways_code(pointer: str, code: str | None) -> None:
    _, document = reply_to(RequestMalformed((InputFault(pointer, "mend it"),)))
    assert document["faults"] == [{"pointer": pointer, "remedy": "mend it"}]
    assert document.get("gateway_code") == code


@pytest.mark.parametrize("kind", [ConsentTermsRefused, ConsentTransitionRefused])
def test_why_a_consent_is_refused_is_told_as_a_word(
    kind: type[ConsentTermsRefused | ConsentTransitionRefused],
) -> None:
    assert reply_to(kind("not_narrower"))[1]["reason"] == "not_narrower"


def test_titles_follow_the_language() -> None:
    assert reply_to(TokenInvalid("x"), vietnamese=True)[1]["title"] == "Mã truy cập không hợp lệ"
    assert reply_to(TokenInvalid("x"))[1]["title"] == "The access token is not valid"


def test_further_members_come_along() -> None:
    assert reply_to(OUTAGE, receipt="a.b.c")[1]["receipt"] == "a.b.c"


def test_what_no_kind_stands_behind_has_its_row_too() -> None:
    reply = plain_problem("not-found", issuer="https://b.example", request_id="q", vietnamese=False)
    assert (reply.status, json.loads(reply.body)["title"]) == (404, "There is nothing here")
    unknown = plain_problem("unheard-of", issuer="https://b.example", request_id="q", vietnamese=False)
    assert (unknown.status, json.loads(unknown.body)["type"]) == (500, "https://b.example/problems/internal")
