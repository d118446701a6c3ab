"""A frozen release as others need to know it: what may be asked, in which words, and what lies on disk."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from broker.statistics.disclosure import DisclosureParameters
from broker.statistics.registry import Registry


@dataclass(frozen=True, slots=True)
class Label:
    """What something is called, in Vietnamese and in English."""

    vi: str
    en: str


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasureAbout:
    """A measure. unit: "VND" or "months"; fields: of the catalogue, from which it is made."""

    name: str
    unit: str
    label: Label
    fields: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class DimensionAbout:
    """A dimension in words. fields: of the catalogue, from which it is made.

    levels: level → its name. categories: (level, code) → its name.
    """

    name: str
    label: Label
    fields: tuple[str, ...]
    levels: Mapping[str, Label]
    categories: Mapping[tuple[str, str], Label]


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleaseFile:
    """One Parquet file. path: below the release's directory. sha256: hex."""

    path: str
    sha256: str
    bytes_count: int
    rows_count: int
    period: str
    province: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleaseManifest:
    """Everything about a release but its secrets; the same on disk as `manifest.json`.

    release: its code, which the registry has too, such as "2026-q3.1". period: "2026-q3". revision: from 1.
    supersedes: the release before of the same period, or "". as_of: until when the source's data were true.
    perturbation: name of a table (`table_csv.table_name`) → SHA-256 of its CSV in hex.
    """

    release: str
    period: str
    revision: int
    supersedes: str
    frozen_at: datetime
    as_of: datetime
    registry: Registry
    dimensions: tuple[DimensionAbout, ...]
    measures: tuple[MeasureAbout, ...]
    parameters: DisclosureParameters
    perturbation: Mapping[str, str]
    files: tuple[ReleaseFile, ...]
    persons_count: int
    rows_count: int
