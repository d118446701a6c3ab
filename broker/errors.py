"""Error kinds of the broker: facts with closed fields, and no knowledge of HTTP.

`broker.api.problems` is the one table that turns a kind into an answer. No field ever holds a value of a
person's record.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True, slots=True)
class InputFault:
    """One thing wrong with a request: where (JSON pointer, RFC 6901) and how to mend it; never the value."""

    pointer: str
    remedy: str


class BrokerError(Exception):
    """Base of all kinds. `kind` is the stable name used in problem types, logs, metrics and evidence."""

    kind: ClassVar[str] = "internal"

    def __init__(self, detail: str = "") -> None:
        super().__init__(detail)
        self.detail = detail


class RequestMalformed(BrokerError):
    """The request is not what the schema says: unknown key, wrong type, bad format."""

    kind = "request_malformed"

    def __init__(self, faults: tuple[InputFault, ...], detail: str = "") -> None:
        super().__init__(detail or "; ".join(f"{f.pointer}: {f.remedy}" for f in faults))
        self.faults = faults


class TokenInvalid(BrokerError):
    """The access token is missing, malformed, expired, revoked or not for this server (RFC 6750, 3.1)."""

    kind = "token_invalid"


class TokenMissing(TokenInvalid):
    """The request carries no access token at all: the challenge then names no error (RFC 6750, 3.1)."""

    kind = "token_invalid"


class ProofInvalid(BrokerError):
    """The DPoP proof is missing or does not fit this request (RFC 9449, 4.3)."""

    kind = "proof_invalid"


class ProofNonceNeeded(ProofInvalid):
    """The proof must be made anew with a nonce of this server (RFC 9449, 8 and 9). nonce: the one to use."""

    kind = "proof_invalid"

    def __init__(self, nonce: str) -> None:
        super().__init__("the proof needs the nonce that is told in the DPoP-Nonce header")
        self.nonce = nonce


class ReleaseRefused(BrokerError):
    """A station said no.

    reason: stable code. reference: under which the refusal stands in the evidence; "" where a call was turned
    away before any release began, and nothing is recorded. determining_rules: ids of the rules that decided.
    retry_after_seconds: only for limits. gateway_code: the gateway's three-digit code where one exists
    (054, 055).
    """

    kind = "release_refused"

    def __init__(
        self,
        reason: str,
        *,
        reference: str,
        determining_rules: tuple[str, ...] = (),
        retry_after_seconds: int | None = None,
        gateway_code: str | None = None,
    ) -> None:
        super().__init__(reason)
        self.reason = reason
        self.reference = reference
        self.determining_rules = determining_rules
        self.retry_after_seconds = retry_after_seconds
        self.gateway_code = gateway_code


class ScopeInsufficient(ReleaseRefused):
    """The token lacks the scope that opens this door (RFC 6750, 3.1); recorded if it has a reference."""

    kind = "scope_insufficient"

    def __init__(self, scope: str, *, reference: str = "", determining_rules: tuple[str, ...] = ()) -> None:
        super().__init__("scope_insufficient", reference=reference, determining_rules=determining_rules)
        self.scope = scope


class GrantNotFound(BrokerError):
    """There is no living grant of this client under this identifier (OAuth Grant Management, 6.5)."""

    kind = "grant_not_found"


class ConsentTransitionRefused(BrokerError):
    """A consent cannot go where somebody wants it to (`broker.consent.life`). reason: closed word."""

    kind = "consent_transition_refused"

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class ConsentTermsRefused(BrokerError):
    """What is asked is not within the agreement (`broker.consent.terms`). reason: a closed word."""

    kind = "consent_terms_refused"

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class NoticeNotFound(BrokerError):
    """There is no notice to this client under this identifier."""

    kind = "notice_not_found"


class EvidenceNotFound(BrokerError):
    """There is no entry of the evidence for this caller under this reference: none, or somebody else's."""

    kind = "evidence_not_found"


class EntryNotMerged(BrokerError):
    """The entry is recorded, and no published tree holds it yet. retry_after_seconds: when to look again."""

    kind = "entry_not_merged"

    def __init__(self, retry_after_seconds: int = 10) -> None:
        super().__init__("the sequencer has not taken the entry into a published tree yet")
        self.retry_after_seconds = retry_after_seconds


class CheckpointWithdrawn(BrokerError):
    """What is published is signed with a key that is not the log's any more, and by no other one yet.

    retry_after_seconds: when to look again.
    """

    kind = "checkpoint_withdrawn"

    def __init__(self, retry_after_seconds: int = 30) -> None:
        super().__init__("the published checkpoint is not signed with the log's present keys yet")
        self.retry_after_seconds = retry_after_seconds


class EntriesNotPublic(BrokerError):
    """Entries of the log are not handed to anybody who asks; hashes, checkpoints and proofs are."""

    kind = "entries_not_public"


class EvidenceUnavailable(BrokerError):
    """Nothing can be recorded now, so nothing may leave."""

    kind = "evidence_unavailable"


class StoreUnavailable(BrokerError):
    """The broker's own store does not answer in time."""

    kind = "store_unavailable"


class LogStopped(BrokerError):
    """Nothing may be signed in the log until somebody has looked. detail: why, and what to do."""

    kind = "log_stopped"


class MigrationRefused(BrokerError):
    """The database is not brought to the newest revision: something has to be done before. detail: what."""

    kind = "migration_refused"


class ConsentNotFound(BrokerError):
    """There is no such consent for this person: none at all, or somebody else's; nobody can tell which."""

    kind = "consent_not_found"


class ConsentRequestConflict(BrokerError):
    """The id of a request for consent stands for other words already, or belongs to somebody else."""

    kind = "consent_request_conflict"


class ConsentAskedTooSoon(BrokerError):
    """The same waits for the person already, or was refused. retry_after_seconds: until it may be asked."""

    kind = "consent_asked_too_soon"

    def __init__(self, retry_after_seconds: int) -> None:
        super().__init__("the person is being asked already, or refused a short while ago")
        self.retry_after_seconds = retry_after_seconds


class ConsentMoved(BrokerError):
    """Somebody else changed the consent or decided the request in the meantime: nothing was written."""

    kind = "consent_moved"


class StatisticsQuestionRefused(BrokerError):
    """A question for a table is refused, and recorded.

    reason: a closed code (`broker.statistics.reasons`). allowed: what may be asked instead, in English,
    without what was sent. reference: of the entry of the refusal.
    """

    kind = "statistics_question_refused"

    def __init__(self, reason: str, allowed: str, *, reference: str) -> None:
        super().__init__(reason)
        self.reason = reason
        self.allowed = allowed
        self.reference = reference


class ExportNotFound(BrokerError):
    """There is no export of this client under this identifier: none at all, or somebody else's."""

    kind = "export_not_found"


class ExportNotReady(BrokerError):
    """There is no result to fetch. reason: the state of the job, or expired.

    retry_after_seconds: when to look again; None where there will never be one.
    """

    kind = "export_not_ready"

    def __init__(self, reason: str, retry_after_seconds: int | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.retry_after_seconds = retry_after_seconds


class RangeNotSatisfiable(BrokerError):
    """The bytes that are asked for lie outside of what there is. length: of the whole, in bytes."""

    kind = "range_not_satisfiable"

    def __init__(self, length: int) -> None:
        super().__init__(f"there are {length} bytes")
        self.length = length


class StatisticsUnavailable(BrokerError):
    """This broker serves no statistics: no directory of releases is set, or the extra is not installed."""

    kind = "statistics_unavailable"


class SettingsInvalid(BrokerError):
    """The broker refuses to start: a setting is missing, unknown, or cannot be right."""

    kind = "settings_invalid"


class SourceOutage(BrokerError):
    """The source is down or too slow. Recorded; the asker gets a signed receipt so that care is not blocked.

    reference: evidence reference. organisation_id, facility_code: who asked. retry_after_seconds: when
    asking again may make sense.
    """

    kind = "source_outage"

    def __init__(
        self, *, reference: str, organisation_id: str, facility_code: str | None, retry_after_seconds: int
    ) -> None:
        super().__init__("the insurance database does not answer now")
        self.reference = reference
        self.organisation_id = organisation_id
        self.facility_code = facility_code
        self.retry_after_seconds = retry_after_seconds
