"""What the resources of statistics tell, as JSON: a job, and the catalogue of what may be asked.

Never how many persons or rows a release has: those are true counts.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any

from broker.actions.statistics_openings import Opening, OpenRelease
from broker.api.replies import instant_text
from broker.statistics.agreed import terms_of
from broker.statistics.export_job import ExportJob
from broker.statistics.manifest import DimensionAbout, Label


def job_document(job: ExportJob, place: str) -> dict[str, Any]:
    """Return how a job stands. place: its path."""
    is_ready = job.state == "done" and job.result is not None
    links = {"self": place, **({"result": f"{place}/result"} if is_ready else {})}
    return {
        "job_id": job.job_id,
        "state": job.state,
        "percent": job.percent,
        "reason": job.reason,
        "release": job.release,
        "format": job.format,
        "is_encrypted": job.recipient_key is not None,
        "plan": _plan(job.plan),
        "plan_hash": job.plan_hash,
        "requested_at": instant_text(job.requested_at),
        "finished_at": _instant(job.finished_at),
        "expires_at": _instant(job.expires_at),
        "evidence_reference": job.reference,
        "result": _result(job, place),
        "links": links,
    }


def _plan(canonical: str) -> dict[str, Any]:
    """Return a plan in the words of a question: filters as the finest categories that are left in."""
    held = json.loads(canonical)
    return {
        "dimensions": [{"name": name, "level": level} for name, level in held["cut"]],
        "filters": [{"dimension": name, "categories": codes} for name, codes in held["kept"]],
        "measures": held["measures"],
    }


def _result(job: ExportJob, place: str) -> dict[str, Any] | None:
    result = job.result
    if result is None or job.state != "done":
        return None
    return {
        "href": f"{place}/result",
        "media_type": result.media_type,
        "file_name": result.file_name,
        "bytes_count": result.bytes_count,
        "content_hash": result.content_hash,
        "table_hash": result.table_hash,
        "cell_count": result.cell_count,
        "suppressed_permille": result.suppressed_permille,
    }


def _instant(at: datetime | None) -> str | None:
    return None if at is None else instant_text(at)


def catalogue_document(opening: Opening, releases: Sequence[OpenRelease]) -> dict[str, Any]:
    """Return what may be asked under an agreement. releases: newest first."""
    agreement, limits = opening.agreement, opening.agreement.export_limits
    return {
        "agreement": {
            "id": agreement.id,
            "revision_hash": agreement.revision_hash,
            "title": {"vi": agreement.title_vi, "en": agreement.title_en},
            "disclosure_control": asdict(agreement.disclosure_control),
        },
        "formats": list(limits.formats),
        "releases": [_release(one) for one in releases],
    }


def _release(one: OpenRelease) -> dict[str, Any]:
    manifest, part = one.manifest, one.part
    limits = part.registry.limits
    return {
        "release": manifest.release,
        "period": manifest.period,
        "revision": manifest.revision,
        "supersedes": manifest.supersedes or None,
        "frozen_at": instant_text(manifest.frozen_at),
        "as_of": instant_text(manifest.as_of),
        "is_open": one.is_open,
        "is_strict_enough": one.is_strict_enough,
        "disclosure_control": asdict(terms_of(manifest.parameters)),
        "limits": {
            "dimensions": limits.dimensions,
            "filters": limits.filters,
            "measures": limits.measures,
            "cells": limits.cells,
            "tables": limits.tables,
            "tables_left": max(0, limits.tables - one.tables_taken),
            "differences": limits.differences,
        },
        "dimensions": [_dimension(about, one) for about in part.dimensions],
        "measures": [
            {"name": about.name, "unit": about.unit, "label": _label(about.label)} for about in part.measures
        ],
    }


def _dimension(about: DimensionAbout, one: OpenRelease) -> dict[str, Any]:
    dimension, open_levels = one.part.registry.dimension(about.name), one.part.levels[about.name]
    return {
        "name": about.name,
        "label": _label(about.label),
        "is_sensitive": dimension.is_sensitive,
        "one_each": dimension.one_each,
        "levels": [
            {
                "name": level.name,
                "label": _label(about.levels[level.name]),
                "categories": [
                    {"code": code, "label": _label(about.categories[level.name, code])}
                    for code, _ in level.categories
                ],
            }
            for level in dimension.levels
            if level.name in open_levels
        ],
    }


def _label(label: Label) -> Mapping[str, str]:
    return {"vi": label.vi, "en": label.en}
