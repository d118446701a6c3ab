"""docs/problems has one page per row of the error table; every error kind and every reason has its page."""

from __future__ import annotations

import ast
import re
from typing import get_args

import pytest

import broker.app  # noqa: F401 - so that every kind of error is known
from broker.api.problems import PROBLEMS, problem_of, problem_reply
from broker.consent.chain import ConsentChainBroken
from broker.consent.change import TransitionReason
from broker.consent.check import DENIALS
from broker.consent.record import State
from broker.consent.terms import TermsReason
from broker.errors import (
    BrokerError,
    CheckpointWithdrawn,
    ConsentAskedTooSoon,
    ConsentMoved,
    ConsentNotFound,
    ConsentRequestConflict,
    ConsentTermsRefused,
    ConsentTransitionRefused,
    EntriesNotPublic,
    EntryNotMerged,
    EvidenceNotFound,
    EvidenceUnavailable,
    ExportNotFound,
    ExportNotReady,
    GrantNotFound,
    InputFault,
    LogStopped,
    MigrationRefused,
    NoticeNotFound,
    ProofInvalid,
    ProofNonceNeeded,
    RangeNotSatisfiable,
    ReleaseRefused,
    RequestMalformed,
    ScopeInsufficient,
    SettingsInvalid,
    SourceOutage,
    StatisticsQuestionRefused,
    StatisticsUnavailable,
    StoreUnavailable,
    TokenInvalid,
    TokenMissing,
)
from broker.evidence.recording import Verdict
from broker.keys import SigningKeyUnavailable
from broker.oauth.citizen_secrets import CitizenSecretUnreadable
from broker.oauth.client_metadata import MetadataRefused
from broker.oauth.evidence_secrets import EvidenceSecretUnreadable
from broker.oauth.release_secrets import ReleaseSecretUnreadable
from broker.oauth.statistics_secrets import ExportSecretUnreadable
from policies.reasons import REASONS
from tests.house.project import ROOT, headings, table_rows

DIRECTORY = ROOT / "docs/problems"
PAGES = {path.stem: path.read_text("utf-8") for path in DIRECTORY.glob("*.md") if path.stem != "README"}
INDEX = (DIRECTORY / "README.md").read_text(encoding="utf-8")
VIETNAMESE = ("Nghĩa là gì.", "Vì sao.", "Cần làm gì.", "Gửi lại?")
ENGLISH = ("What it means.", "Why.", "What to do.", "Ask again?")
OUTAGE = SourceOutage(reference="r", organisation_id="o", facility_code=None, retry_after_seconds=5)
# One error of every kind, and the row that it must get.
EXPECTED: dict[type[BrokerError], tuple[BrokerError, str]] = {
    BrokerError: (BrokerError(), "internal"),
    RequestMalformed: (RequestMalformed((InputFault("/x", "y"),)), "request-malformed"),
    TokenInvalid: (TokenInvalid(), "token-invalid"),
    TokenMissing: (TokenMissing(), "token-invalid"),
    ProofInvalid: (ProofInvalid(), "proof-invalid"),
    ProofNonceNeeded: (ProofNonceNeeded("n"), "proof-invalid"),
    ScopeInsufficient: (ScopeInsufficient("s"), "scope-insufficient"),
    ReleaseRefused: (ReleaseRefused("no_agreement", reference="r"), "release-refused"),
    GrantNotFound: (GrantNotFound(), "not-found"),
    NoticeNotFound: (NoticeNotFound(), "not-found"),
    EvidenceUnavailable: (EvidenceUnavailable(), "evidence-unavailable"),
    EvidenceNotFound: (EvidenceNotFound(), "not-found"),
    EntryNotMerged: (EntryNotMerged(), "entry-not-merged"),
    CheckpointWithdrawn: (CheckpointWithdrawn(), "checkpoint-withdrawn"),
    EntriesNotPublic: (EntriesNotPublic(), "entries-not-public"),
    StoreUnavailable: (StoreUnavailable(), "evidence-unavailable"),
    LogStopped: (LogStopped(), "internal"),
    MigrationRefused: (MigrationRefused(), "internal"),
    SettingsInvalid: (SettingsInvalid(), "internal"),
    MetadataRefused: (MetadataRefused([InputFault("/scope", "y")]), "client-metadata-refused"),
    SigningKeyUnavailable: (SigningKeyUnavailable(), "evidence-unavailable"),
    CitizenSecretUnreadable: (CitizenSecretUnreadable(), "internal"),
    EvidenceSecretUnreadable: (EvidenceSecretUnreadable(), "internal"),
    ExportSecretUnreadable: (ExportSecretUnreadable(), "internal"),
    ReleaseSecretUnreadable: (ReleaseSecretUnreadable(), "internal"),
    SourceOutage: (OUTAGE, "source-outage"),
    ConsentTermsRefused: (ConsentTermsRefused("range_too_wide"), "consent-terms-refused"),
    ConsentTransitionRefused: (ConsentTransitionRefused("final_state"), "consent-transition-refused"),
    ConsentChainBroken: (ConsentChainBroken(1), "internal"),
    ConsentNotFound: (ConsentNotFound(), "not-found"),
    ConsentRequestConflict: (ConsentRequestConflict(), "consent-request-conflict"),
    ConsentAskedTooSoon: (ConsentAskedTooSoon(5), "consent-asked-too-soon"),
    ConsentMoved: (ConsentMoved(), "consent-moved"),
    StatisticsQuestionRefused: (
        StatisticsQuestionRefused("plan_malformed", "…", reference="r"),
        "statistics-question-refused",
    ),
    ExportNotFound: (ExportNotFound(), "not-found"),
    ExportNotReady: (ExportNotReady("running", 2), "statistics-result-not-ready"),
    RangeNotSatisfiable: (RangeNotSatisfiable(9), "range-not-satisfiable"),
    StatisticsUnavailable: (StatisticsUnavailable(), "statistics-unavailable"),
}


def kinds(kind: type[BrokerError]) -> set[type[BrokerError]]:
    return {kind}.union(*(kinds(inner) for inner in kind.__subclasses__()))


def refusal_reasons() -> set[str]:
    """Return every reason with which a release can be refused: the policies', the statement's, the verbs'."""
    found = (set(REASONS) - {"permitted"}) | (set(get_args(Verdict)) - {"recorded"})
    found |= set(DENIALS) - {"not_active", "token_invalid"}
    found |= {f"not_active_{state}" for state in get_args(State) if state != "active"}
    for path in (ROOT / "broker/actions").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Attribute)
                and node.func.attr == "refuse"
            ):
                found |= {one.value for one in node.args if isinstance(one, ast.Constant)}
    return found


def test_every_row_has_a_page_and_every_page_a_row() -> None:
    assert set(PAGES) == set(PROBLEMS)


@pytest.mark.parametrize("slug", PROBLEMS)
def test_a_page_tells_title_status_and_what_to_do_in_both_languages(slug: str) -> None:
    row, page = PROBLEMS[slug], PAGES[slug]
    assert headings(page) == [f"{row.title_vi} / {row.title_en}", "Tiếng Việt", "English", "For programs"]
    assert f"`{slug}`, HTTP {row.status}\n" in page
    assert [question for question in VIETNAMESE + ENGLISH if f"\n**{question}** " not in page] == []


def test_the_index_lists_every_row_in_order() -> None:
    told = [row[:4] for row in table_rows(INDEX)][1:]
    assert told == [
        [f"[{slug}]({slug}.md)", str(row.status), row.title_vi, row.title_en]
        for slug, row in PROBLEMS.items()
    ]


def test_every_kind_of_error_is_expected_here() -> None:
    ours = {kind for kind in kinds(BrokerError) if kind.__module__.startswith("broker.")}
    assert ours == set(EXPECTED)


@pytest.mark.parametrize("kind", EXPECTED, ids=lambda kind: kind.__name__)
def test_a_kind_of_error_gets_its_row_and_stands_on_its_page(kind: type[BrokerError]) -> None:
    error, slug = EXPECTED[kind]
    assert problem_of(error).slug == slug
    assert f"`{kind.__name__}`" in PAGES[slug]


@pytest.mark.parametrize("reason", sorted(refusal_reasons() | {f"source_{f}" for f in ("several_persons",)}))
def test_a_reason_stands_on_the_page_of_its_row(reason: str) -> None:
    slug = problem_of(ReleaseRefused(reason, reference="r")).slug
    assert f"`{reason}`" in PAGES[slug]


@pytest.mark.parametrize(
    ("slug", "reasons"),
    [
        ("consent-terms-refused", get_args(TermsReason)),
        ("consent-transition-refused", get_args(TransitionReason)),
    ],
)
def test_every_reason_of_a_consent_stands_on_the_page_of_its_row_in_order(
    slug: str, reasons: tuple[str, ...]
) -> None:
    assert [row[0].strip("`") for row in table_rows(PAGES[slug])][1:] == list(reasons)


@pytest.mark.parametrize("reason", sorted(set(REASONS) - {"permitted", "no_agreement"}))
def test_a_policys_reason_is_told_in_the_policys_words(reason: str) -> None:
    rows = {row[0].strip("`"): row[1:] for row in table_rows(PAGES["release-refused"])}
    assert rows[reason] == list(REASONS[reason][1:])


ANSWERED = (
    *(error for error, _ in EXPECTED.values()),
    ReleaseRefused("limit_reached", reference="r", retry_after_seconds=9),
    ReleaseRefused("frequency_exceeded", reference="r", retry_after_seconds=9),
    ReleaseRefused("clock_skewed", reference="r"),
    ReleaseRefused("log_stopped", reference="r", retry_after_seconds=60),
)


@pytest.mark.parametrize("slug", sorted({problem_of(error).slug for error in ANSWERED}))
def test_a_page_speaks_of_retry_after_where_an_answer_has_it(slug: str) -> None:
    answers = [
        dict(problem_reply(one, issuer="https://broker.example", request_id="q", vietnamese=True).headers)
        for one in ANSWERED
        if problem_of(one).slug == slug
    ]
    assert any("Retry-After" in headers for headers in answers) is ("`Retry-After`" in PAGES[slug])


def test_reasons_of_verbs_are_found() -> None:
    assert {"obligation_not_understood", "limit_not_countable", "proof_replayed"} <= refusal_reasons()
    assert not {reason for reason in refusal_reasons() if not re.fullmatch(r"[a-z_]+", reason)}
