"""`GET /evidence/proof/{reference}`: that what a client was answered stands in the log.

Authentication: any access token of this broker, with what binds it. Told of entries that a client of the
same organisation has caused, and of no others: nobody learns which of these there are.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Protocol

from broker.actions.published_log import PublishedLog
from broker.api.calls import Call, is_wanted
from broker.api.judging import AccessJudge
from broker.api.problems import Reply
from broker.api.replies import JSON_HEADERS
from broker.errors import EntryNotMerged, EvidenceNotFound
from broker.evidence.history import is_reference

PROOF_PATH: Final = "/evidence/proof"
_PROOF_HEADERS: Final = (
    ("Content-Type", "text/plain; charset=utf-8"),
    ("Cache-Control", "no-store"),
    ("X-Content-Type-Options", "nosniff"),
)


class ClientEntries(Protocol):
    """Knows who caused what; `broker.storage.client_entries.PostgresClientEntries` is one."""

    def find_entry(self, client_id: str, reference: str) -> bytes | None:
        """Return an entry that a client of the same organisation caused, or None. Raises StoreUnavailable."""
        ...


@dataclass(frozen=True, slots=True)
class EvidenceProofFace:
    """The resource, without a web framework."""

    judge: AccessJudge
    entries: ClientEntries
    log: PublishedLog

    def show(self, call: Call) -> tuple[Reply, str]:
        """Give the proof file (C2SP tlog-proof@v1), or with Accept: application/json the evidence file.

        Raises EvidenceNotFound, EntryNotMerged, CheckpointWithdrawn, TokenInvalid, ProofInvalid,
        ReleaseRefused, StoreUnavailable.
        """
        client_id = self.judge.judge(call).client_id
        reference = call.path.removeprefix(f"{PROOF_PATH}/")
        is_one = self.log.is_kept and is_reference(reference)
        entry = self.entries.find_entry(client_id, reference) if is_one else None
        if entry is None:
            raise EvidenceNotFound
        evidence = self.log.prove(reference, entry)
        if evidence is None:
            raise EntryNotMerged
        if is_wanted(call.accept, "application/json"):
            return Reply(200, JSON_HEADERS, evidence.file()), ""
        return Reply(200, _PROOF_HEADERS, evidence.proof.content), ""
