"""The evidence of how a job of a statistical export ended: a table lies ready, or nothing leaves and why."""

from __future__ import annotations

from datetime import datetime

from broker.evidence.export_entry import Export, export_row
from broker.evidence.recording import EvidenceRow
from broker.statistics.export_job import ExportJob, ExportResult


def released_row(job: ExportJob, result: ExportResult, reference: str, at: datetime) -> EvidenceRow:
    """Return the row of a table that lies ready. reference: fresh UUIDv7 as text."""
    return export_row(
        Export(
            reference=reference,
            at=at,
            step="released",
            client=job.client_id,
            recipient=job.recipient,
            agreement=job.agreement,
            agreement_revision=job.agreement_revision,
            job=job.job_id,
            release=job.release,
            plan_hash=job.plan_hash,
            format=job.format,
            content_hash=result.content_hash,
            table_hash=result.table_hash,
            cell_count=result.cell_count,
            suppressed_permille=result.suppressed_permille,
            acting_person=job.acting_person,
        )
    )


def refused_row(job: ExportJob, reason: str, reference: str, at: datetime) -> EvidenceRow:
    """Return the row of a question that the auditor refused. reason: closed code."""
    return export_row(
        Export(
            reference=reference,
            at=at,
            step="refused",
            client=job.client_id,
            recipient=job.recipient,
            agreement=job.agreement,
            agreement_revision=job.agreement_revision,
            job=job.job_id,
            release=job.release,
            plan_hash=job.plan_hash,
            format=job.format,
            reason=reason,
            acting_person=job.acting_person,
        )
    )
