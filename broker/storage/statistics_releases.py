"""Releases of statistics that answer: rows of PostgreSQL, and the files that their manifests are of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, select

from broker.errors import StoreUnavailable
from broker.oauth.release_secrets import ReleaseSeal
from broker.statistics.frozen import FrozenRelease
from broker.statistics.manifest import ReleaseManifest
from broker.statistics.manifest_json import manifest_hash
from broker.statistics.manifest_read import read_manifest
from broker.statistics.reasons import StatisticsRefused
from broker.statistics.release_layout import MANIFEST, perturbation_path
from broker.storage.faults import store_answers
from broker.storage.tables import statistics_releases


class PostgresReleaseShelf:
    """All releases that were frozen. directory: where they lie, each below its code.

    Methods raise StoreUnavailable, also where files are not those that the database knows; and
    ReleaseSecretUnreadable under another key-encryption key. A manifest is read once in a process: it never
    changes, and its hash is looked at each time.
    """

    def __init__(self, engine: Engine, directory: Path, seal: ReleaseSeal) -> None:
        self._engine = engine
        self._directory = directory
        self._seal = seal
        self._known: dict[str, tuple[ReleaseManifest, Mapping[str, str]]] = {}

    def find_release(self, release: str) -> FrozenRelease | None:
        """Return a frozen release, or None; one that is still being made is none."""
        statement = select(statistics_releases).where(
            statistics_releases.c.release == release, statistics_releases.c.state != "creating"
        )
        with store_answers(), self._engine.connect() as connection:
            row = connection.execute(statement).first()
        if row is None:
            return None
        manifest, perturbation = self._loaded(row)
        return FrozenRelease(
            manifest=manifest,
            directory=str(self._directory / row.release),
            is_open=row.state == "frozen",
            secret_table=self._seal.open(row.release, "tables", bytes(row.table_secret_encrypted)),
            perturbation=perturbation,
        )

    def iterate_manifests(self) -> Sequence[tuple[ReleaseManifest, bool]]:
        """Return all frozen releases, newest first, and whether each is open."""
        columns = statistics_releases.c
        statement = (
            select(columns.release, columns.manifest_hash, columns.state)
            .where(columns.state != "creating")
            .order_by(columns.period.desc(), columns.revision.desc())
        )
        with store_answers(), self._engine.connect() as connection:
            rows = connection.execute(statement).all()
        return [(self._loaded(row)[0], row.state == "frozen") for row in rows]

    def _loaded(self, row: Any) -> tuple[ReleaseManifest, Mapping[str, str]]:
        known = self._known.get(row.manifest_hash)
        if known is None:
            known = load_release(self._directory / row.release, row.release, row.manifest_hash)
            self._known[row.manifest_hash] = known
        return known


def load_release(directory: Path, release: str, known_hash: str) -> tuple[ReleaseManifest, Mapping[str, str]]:
    """Return the manifest below a directory, and its perturbation tables (name → CSV).

    known_hash: of the manifest, as the database has it. Raises StoreUnavailable where another one is there.
    """
    try:
        content = (directory / MANIFEST).read_bytes()
        if manifest_hash(content) != known_hash:
            raise StoreUnavailable(f"the manifest of release {release} is not the one that was frozen")
        manifest = read_manifest(content)
        perturbation = {
            name: _table(directory / perturbation_path(one), one)
            for name, one in manifest.perturbation.items()
        }
    except (OSError, UnicodeDecodeError, StatisticsRefused) as fault:
        raise StoreUnavailable(
            f"the files of release {release} cannot be read: {type(fault).__name__}"
        ) from None
    if manifest.release != release:
        raise StoreUnavailable(f"the manifest of release {release} is of another one")
    return manifest, perturbation


def _table(path: Path, known_hash: str) -> str:
    content = path.read_bytes()
    if sha256(content).hexdigest() != known_hash:
        raise StoreUnavailable("a perturbation table is not the one that was frozen")
    return content.decode()
