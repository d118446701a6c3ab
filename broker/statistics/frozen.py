"""A frozen release that answers: the manifest, where its files lie, and what keys and shapes its noise."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from broker.statistics.manifest import ReleaseManifest


@dataclass(frozen=True, slots=True)
class FrozenRelease:
    """A release that answers. directory: where its files lie. is_open: new tables may be asked for.

    secret_table: 32 bytes that key the noise; perturbation: table name (`table_csv.table_name`) → CSV.
    """

    manifest: ReleaseManifest
    directory: str
    is_open: bool
    secret_table: bytes
    perturbation: Mapping[str, str]

    def __repr__(self) -> str:
        return f"FrozenRelease({self.manifest.release})"
