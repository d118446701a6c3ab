"""The evidence of how a job of a statistical export ended: a table lies ready, or nothing leaves and why."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from broker.evidence.export_entry import Export, ExportStep, export_row
from broker.evidence.recording import EvidenceRow
from broker.statistics.export_job import ExportJob, ExportResult


def released_row(job: ExportJob, result: ExportResult, reference: str, at: datetime) -> EvidenceRow:
    """Return the row of a table that lies ready. reference: fresh UUIDv7 as text."""
    ended = _ended(job, "released", reference, at)
    return export_row(
        replace(
            ended,
            content_hash=result.content_hash,
            table_hash=result.table_hash,
            cell_count=result.cell_count,
            suppressed_permille=result.suppressed_permille,
        )
    )


def refused_row(job: ExportJob, reason: str, reference: str, at: datetime) -> EvidenceRow:
    """Return the row of a question that the auditor refused. reason: closed code."""
    return export_row(replace(_ended(job, "refused", reference, at), reason=reason))


def _ended(job: ExportJob, step: ExportStep, reference: str, at: datetime) -> Export:
    return Export(
        reference=reference,
        at=at,
        step=step,
        client=job.client_id,
        recipient=job.recipient,
        agreement=job.agreement,
        agreement_revision=job.agreement_revision,
        job=job.job_id,
        release=job.release,
        plan_hash=job.plan_hash,
        format=job.format,
        acting_person=job.acting_person,
    )
