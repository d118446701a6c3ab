"""One error for each row of the error table: what the OpenAPI document shows of refusals."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from broker.errors import (
    CheckpointWithdrawn,
    ConsentAskedTooSoon,
    ConsentMoved,
    ConsentRequestConflict,
    ConsentTermsRefused,
    ConsentTransitionRefused,
    EntriesNotPublic,
    EntryNotMerged,
    EvidenceUnavailable,
    ExportNotReady,
    InputFault,
    ProofInvalid,
    RangeNotSatisfiable,
    ReleaseRefused,
    RequestMalformed,
    ScopeInsufficient,
    SourceOutage,
    StatisticsQuestionRefused,
    StatisticsUnavailable,
    TokenInvalid,
)
from broker.oauth.client_metadata import MetadataRefused
from broker.oauth.scopes import VERIFY_ENTITLEMENT

EXAMPLE_REFERENCE: Final = "0193f0a0-0000-7000-8000-000000000002"

EXAMPLES: Final[Mapping[str, Exception]] = {
    "request-malformed": RequestMalformed(
        (InputFault("/birth_date", "dd/MM/yyyy, ddMMyyyy, yyyy-MM-dd, MM/yyyy or yyyy"),)
    ),
    "client-metadata-refused": MetadataRefused(
        [InputFault("/agreements/0", "One of bank_income_proof is needed.")]
    ),
    "token-invalid": TokenInvalid("the access token has expired"),
    "proof-invalid": ProofInvalid("jti of the proof was used before"),
    "scope-insufficient": ScopeInsufficient(VERIFY_ENTITLEMENT, reference=EXAMPLE_REFERENCE),
    "release-refused": ReleaseRefused("agreement_not_active", reference=EXAMPLE_REFERENCE),
    "acting-person-refused": ReleaseRefused(
        "acting_person_unknown", reference=EXAMPLE_REFERENCE, gateway_code="054"
    ),
    "limit-reached": ReleaseRefused("limit_reached", reference=EXAMPLE_REFERENCE, retry_after_seconds=3600),
    "source-answer-refused": ReleaseRefused(
        "source_several_persons", reference=EXAMPLE_REFERENCE, gateway_code="100"
    ),
    "source-outage": SourceOutage(
        reference=EXAMPLE_REFERENCE,
        organisation_id="facility-70001",
        facility_code="70001",
        retry_after_seconds=5,
    ),
    "evidence-unavailable": EvidenceUnavailable(),
    "consent-terms-refused": ConsentTermsRefused("fields_not_covered"),
    "consent-request-conflict": ConsentRequestConflict(),
    "consent-asked-too-soon": ConsentAskedTooSoon(2_592_000),
    "consent-transition-refused": ConsentTransitionRefused("not_requested"),
    "consent-moved": ConsentMoved(),
    "entries-not-public": EntriesNotPublic(),
    "entry-not-merged": EntryNotMerged(),
    "checkpoint-withdrawn": CheckpointWithdrawn(),
    "statistics-question-refused": StatisticsQuestionRefused(
        "name_unregistered", "level of province …; registered: region", reference=EXAMPLE_REFERENCE
    ),
    "statistics-result-not-ready": ExportNotReady("running", 2),
    "statistics-unavailable": StatisticsUnavailable(),
    "range-not-satisfiable": RangeNotSatisfiable(1024),
    "clock-skewed": ReleaseRefused("clock_skewed", reference=EXAMPLE_REFERENCE),
    "log-stopped": ReleaseRefused("log_stopped", reference=EXAMPLE_REFERENCE, retry_after_seconds=60),
}
"""Row of the error table → an error that gets it; rows without one have a page of their own and no kind."""
