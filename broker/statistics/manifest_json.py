"""A release's manifest as JSON: one form, canonical bytes, and the SHA-256 by which the database knows it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any, Final

from broker.statistics.manifest import DimensionAbout, Label, MeasureAbout, ReleaseManifest
from broker.statistics.registry import Dimension

FORM: Final = "statistics-release/1"
"""Changes whenever a member comes, goes or means something else."""


def manifest_bytes(manifest: ReleaseManifest) -> bytes:
    """Return the bytes of `manifest.json`: sorted members, no spaces, ASCII, one line."""
    return json_bytes(manifest_document(manifest))


def manifest_hash(content: bytes) -> str:
    """Return the SHA-256 of the bytes of a manifest in hex."""
    return sha256(content).hexdigest()


def json_bytes(document: object) -> bytes:
    """Return canonical JSON of a document of plain values."""
    text = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    return text.encode() + b"\n"


def manifest_document(manifest: ReleaseManifest) -> dict[str, Any]:
    """Return a manifest as plain values."""
    registry = manifest.registry
    return {
        "as_of": instant_text(manifest.as_of),
        "dimensions": [
            _dimension(dimension, about)
            for dimension, about in zip(registry.dimensions, manifest.dimensions, strict=True)
        ],
        "files": [asdict(one) for one in manifest.files],
        "form": FORM,
        "frozen_at": instant_text(manifest.frozen_at),
        "limits": asdict(registry.limits),
        "measures": [_measure(one) for one in manifest.measures],
        "parameters": asdict(manifest.parameters),
        "period": manifest.period,
        "persons_count": manifest.persons_count,
        "perturbation": dict(manifest.perturbation),
        "release": manifest.release,
        "revision": manifest.revision,
        "rows_count": manifest.rows_count,
        "supersedes": manifest.supersedes,
    }


def instant_text(instant: datetime) -> str:
    """Return an aware instant in UTC, to the microsecond."""
    return instant.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def _dimension(dimension: Dimension, about: DimensionAbout) -> Mapping[str, Any]:
    return {
        "fields": list(about.fields),
        "is_sensitive": dimension.is_sensitive,
        "label": _label(about.label),
        "levels": [
            {
                "categories": [
                    {
                        "code": code,
                        "label": _label(about.categories[level.name, code]),
                        "leaves": list(leaves),
                    }
                    for code, leaves in level.categories
                ],
                "label": _label(about.levels[level.name]),
                "name": level.name,
            }
            for level in dimension.levels
        ],
        "name": dimension.name,
        "one_each": dimension.one_each,
    }


def _measure(measure: MeasureAbout) -> Mapping[str, Any]:
    return {
        "fields": list(measure.fields),
        "label": _label(measure.label),
        "name": measure.name,
        "unit": measure.unit,
    }


def _label(label: Label) -> Mapping[str, str]:
    return {"en": label.en, "vi": label.vi}
