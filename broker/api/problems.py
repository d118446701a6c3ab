"""The one error table: which error kind becomes which answer (RFC 9457 problem+json).

Nothing else in the broker knows an HTTP status. A problem never carries a value of a record, a stack or
SQL; what is not in the table is 500 with a fixed text and a reference.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from broker.errors import (
    BrokerError,
    ConsentTermsRefused,
    ConsentTransitionRefused,
    ExportNotReady,
    InputFault,
    ProofInvalid,
    ProofNonceNeeded,
    RangeNotSatisfiable,
    ReleaseRefused,
    RequestMalformed,
    ScopeInsufficient,
    SourceOutage,
    StatisticsQuestionRefused,
    TokenInvalid,
    TokenMissing,
)
from broker.oauth.client_metadata import MetadataRefused

MEDIA_TYPE: Final = "application/problem+json"


@dataclass(frozen=True, slots=True)
class Problem:
    """One row of the table. slug: last part of the type URI and name of the page in docs/problems."""

    slug: str
    status: int
    title_vi: str
    title_en: str


_HEADERS: Final = (
    ("Content-Type", MEDIA_TYPE),
    ("Cache-Control", "no-store"),
    ("X-Content-Type-Options", "nosniff"),
)

INTERNAL: Final = Problem("internal", 500, "Lỗi của hệ thống", "The broker failed")

PROBLEMS: Final[Mapping[str, Problem]] = {
    problem.slug: problem
    for problem in (
        Problem("request-malformed", 422, "Yêu cầu không đúng mẫu", "The request does not fit its schema"),
        Problem(
            "client-metadata-refused", 400, "Không đăng ký được hệ thống", "The client cannot be registered"
        ),
        Problem("body-unreadable", 400, "Không đọc được nội dung", "The body cannot be read"),
        Problem("body-too-large", 413, "Nội dung quá lớn", "The body is too large"),
        Problem(
            "media-type-unsupported", 415, "Kiểu nội dung không hỗ trợ", "The media type is not supported"
        ),
        Problem("not-found", 404, "Không có địa chỉ này", "There is nothing here"),
        Problem(
            "entries-not-public", 404, "Mục bằng chứng không công khai", "Entries of evidence are not public"
        ),
        Problem("method-not-allowed", 405, "Phương thức không được phép", "The method is not allowed"),
        Problem("token-invalid", 401, "Mã truy cập không hợp lệ", "The access token is not valid"),
        Problem("proof-invalid", 401, "Bằng chứng DPoP không hợp lệ", "The DPoP proof is not valid"),
        Problem("scope-insufficient", 403, "Thiếu phạm vi truy cập", "The token lacks the scope"),
        Problem(
            "consent-terms-refused", 422, "Không được xin đồng ý như vậy", "Consent cannot be asked for so"
        ),
        Problem(
            "consent-transition-refused", 409, "Sự đồng ý không đổi được", "The consent cannot change so"
        ),
        Problem(
            "consent-request-conflict",
            409,
            "Mã yêu cầu đã được dùng",
            "The request id stands for something else",
        ),
        Problem("consent-asked-too-soon", 429, "Hỏi lại quá sớm", "It is too soon to ask again"),
        Problem("consent-moved", 409, "Sự đồng ý vừa thay đổi", "The consent has just changed"),
        Problem("entry-not-merged", 409, "Mục chưa vào nhật ký", "The entry is not in the log yet"),
        Problem("checkpoint-withdrawn", 503, "Khóa của nhật ký đã bị thu hồi", "The log's key was withdrawn"),
        Problem("release-refused", 403, "Từ chối chia sẻ", "The release is refused"),
        Problem(
            "acting-person-refused", 403, "Nhân viên tra cứu không hợp lệ", "The acting person is refused"
        ),
        Problem(
            "statistics-question-refused", 422, "Không lập được bảng này", "The table cannot be asked for so"
        ),
        Problem("statistics-result-not-ready", 409, "Chưa có kết quả", "There is no result to fetch"),
        Problem("statistics-unavailable", 503, "Không phục vụ thống kê", "Statistics are not served"),
        Problem("range-not-satisfiable", 416, "Không có phần này", "There are no such bytes"),
        Problem("limit-reached", 429, "Vượt giới hạn tra cứu", "A limit of the agreement is reached"),
        Problem(
            "source-answer-refused", 502, "Dữ liệu nguồn không dùng được", "The source's answer is refused"
        ),
        Problem("source-outage", 503, "Cơ sở dữ liệu tạm ngừng", "The insurance database does not answer"),
        Problem("evidence-unavailable", 503, "Không ghi được bằng chứng", "Evidence cannot be recorded"),
        Problem("log-stopped", 503, "Nhật ký bằng chứng đang dừng", "The log of evidence stands still"),
        Problem("clock-skewed", 503, "Đồng hồ hệ thống lệch", "The clocks disagree"),
        INTERNAL,
    )
}

_BY_KIND: Final[Mapping[str, str]] = {
    "request_malformed": "request-malformed",
    "client_metadata_refused": "client-metadata-refused",
    "token_invalid": "token-invalid",
    "proof_invalid": "proof-invalid",
    "evidence_unavailable": "evidence-unavailable",
    "store_unavailable": "evidence-unavailable",
    "signing_key_unavailable": "evidence-unavailable",
    "source_outage": "source-outage",
    "grant_not_found": "not-found",
    "consent_terms_refused": "consent-terms-refused",
    "consent_not_found": "not-found",
    "consent_moved": "consent-moved",
    "consent_request_conflict": "consent-request-conflict",
    "consent_asked_too_soon": "consent-asked-too-soon",
    "consent_transition_refused": "consent-transition-refused",
    "notice_not_found": "not-found",
    "evidence_not_found": "not-found",
    "entries_not_public": "entries-not-public",
    "entry_not_merged": "entry-not-merged",
    "checkpoint_withdrawn": "checkpoint-withdrawn",
    "statistics_question_refused": "statistics-question-refused",
    "export_not_found": "not-found",
    "export_not_ready": "statistics-result-not-ready",
    "statistics_unavailable": "statistics-unavailable",
    "range_not_satisfiable": "range-not-satisfiable",
}
_BY_REASON: Final[Mapping[str, str]] = {
    "scope_insufficient": "scope-insufficient",
    "client_not_active": "token-invalid",
    "token_not_active": "token-invalid",
    "proof_replayed": "proof-invalid",
    "limit_reached": "limit-reached",
    "clock_skewed": "clock-skewed",
    "log_stopped": "log-stopped",
    "acting_person_unknown": "acting-person-refused",
    "acting_person_mismatch": "acting-person-refused",
}
_OAUTH_ERROR: Final[Mapping[str, str]] = {
    "token-invalid": "invalid_token",
    "proof-invalid": "invalid_dpop_proof",
    "scope-insufficient": "insufficient_scope",
}
"""RFC 6750, 3.1 and RFC 9449, 7.1: error codes of the WWW-Authenticate challenge."""
PROOF_ALGORITHMS: Final = "ES256 EdDSA PS256"


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer, independent of the web framework."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes


def problem_of(error: Exception) -> Problem:
    """Return the row of the table for an error."""
    if isinstance(error, ReleaseRefused):
        # Of what the source answered, not of the address that a request came from.
        if error.reason.startswith("source_") and error.reason != "source_address_refused":
            return PROBLEMS["source-answer-refused"]
        return PROBLEMS[_BY_REASON.get(error.reason, "release-refused")]
    if isinstance(error, BrokerError):
        return PROBLEMS.get(_BY_KIND.get(error.kind, ""), INTERNAL)
    return INTERNAL


def problem_reply(
    error: Exception,
    *,
    issuer: str,
    request_id: str,
    vietnamese: bool,
    members: Mapping[str, Any] | None = None,
) -> Reply:
    """Return the problem document for an error. members: further members (a signed receipt, for one)."""
    problem = problem_of(error)
    document = _document(problem, issuer, request_id, vietnamese)
    headers = list(_HEADERS)
    document |= _particulars(error)
    retry_after_seconds = getattr(error, "retry_after_seconds", None)
    if retry_after_seconds is not None:
        headers.append(("Retry-After", str(retry_after_seconds)))
    if problem.slug in ("evidence-unavailable", "clock-skewed"):
        headers.append(("Retry-After", "5"))
    if isinstance(error, RangeNotSatisfiable):
        headers.append(("Content-Range", f"bytes */{error.length}"))
    if problem.slug in _OAUTH_ERROR:
        headers += _challenge_headers(problem.slug, error)
    document.update(members or {})
    return Reply(problem.status, tuple(headers), _encoded(document))


def _particulars(error: Exception) -> dict[str, Any]:
    """Return what one kind of error tells besides what all tell."""
    if isinstance(error, RequestMalformed):
        told: dict[str, Any] = {"faults": _faults(error.faults)}
        if any(_GATEWAY_FAULT.fullmatch(fault.pointer) for fault in error.faults):
            told["gateway_code"] = "205"
        return told
    if isinstance(error, MetadataRefused):
        return {
            "faults": _faults(error.faults),
            "error": error.error,
            "error_description": error.detail,
        }
    if isinstance(error, ReleaseRefused):
        told = {"reason": error.reason, "determining_rules": list(error.determining_rules)}
        if error.reference:
            told["instance"] = f"urn:uuid:{error.reference}"
        return told if error.gateway_code is None else {**told, "gateway_code": error.gateway_code}
    if isinstance(error, StatisticsQuestionRefused):
        named = {"reason": error.reason, "allowed": error.allowed}
        return {**named, "instance": f"urn:uuid:{error.reference}"}
    if isinstance(error, ConsentTermsRefused | ConsentTransitionRefused | ExportNotReady):
        return {"reason": error.reason}
    if isinstance(error, SourceOutage):
        return {"instance": f"urn:uuid:{error.reference}"}
    return {}


def _faults(faults: Sequence[InputFault]) -> list[dict[str, str]]:
    return [{"pointer": fault.pointer, "remedy": fault.remedy} for fault in faults]


# Of the card, alone or as an item of a batch; the acting person has codes of their own.
_GATEWAY_FAULT: Final = re.compile(r"(/items/[0-9]+)?/(card_number|birth_date|personal_id)")


def plain_problem(slug: str, *, issuer: str, request_id: str, vietnamese: bool) -> Reply:
    """Return the problem document of a row that no error kind stands behind (404, 405, 413, 415, 400)."""
    problem = PROBLEMS.get(slug, INTERNAL)
    return Reply(problem.status, _HEADERS, _encoded(_document(problem, issuer, request_id, vietnamese)))


def _document(problem: Problem, issuer: str, request_id: str, vietnamese: bool) -> dict[str, Any]:
    return {
        "type": f"{issuer}/problems/{problem.slug}",
        "title": problem.title_vi if vietnamese else problem.title_en,
        "status": problem.status,
        "instance": f"urn:uuid:{request_id}",
        "request_id": request_id,
    }


def _challenge_headers(slug: str, error: Exception) -> list[tuple[str, str]]:
    """Return the challenge, and the nonce where only that is missing (RFC 9449, 7.1 and 9)."""
    headers = [("WWW-Authenticate", _challenge(slug, error))]
    if isinstance(error, ProofNonceNeeded):
        headers.append(("DPoP-Nonce", error.nonce))
    return headers


def _challenge(slug: str, error: Exception) -> str:
    if isinstance(error, TokenMissing):
        return f'DPoP algs="{PROOF_ALGORITHMS}"'
    name = "use_dpop_nonce" if isinstance(error, ProofNonceNeeded) else _OAUTH_ERROR[slug]
    challenge = f'DPoP error="{name}", algs="{PROOF_ALGORITHMS}"'
    if isinstance(error, TokenInvalid | ProofInvalid) and error.detail.isascii() and '"' not in error.detail:
        challenge += f', error_description="{error.detail}"'
    if isinstance(error, ScopeInsufficient):
        challenge += f', scope="{error.scope}"'
    return challenge


def _encoded(document: Mapping[str, Any]) -> bytes:
    return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()
