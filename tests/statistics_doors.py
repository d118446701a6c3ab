"""A broker that serves statistics, its clients, and a worker beside it: the whole way over the real door."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import pytest
from flask import Flask
from sqlalchemy import text

from broker.app import new_reference
from broker.cli.caller import Answer, ClientKey
from broker.cli.statistics_worker import Bounds, ExportsJob
from broker.export_packing import AgreementWords, ChildDoors
from broker.oauth.release_secrets import ReleaseSeal
from broker.statistics.frozen import FrozenRelease
from broker.statistics.manifest import Label, ReleaseManifest
from broker.statistics.manifest_json import manifest_bytes, manifest_hash
from broker.statistics.periods import parse_quarter
from broker.statistics.release_layout import perturbation_path
from broker.statistics.revision import RevisionPolicy
from broker.statistics_wiring import StatisticsWiring
from broker.storage.clients import ClientRecord, Organisation
from broker.storage.statistics_kept import KeptTables
from broker.storage.statistics_making import PostgresReleaseMaking
from broker.storage.statistics_releases import PostgresReleaseShelf
from broker.storage.statistics_work import PostgresWork
from tests.acting import ACTS
from tests.doors import InProcessCaller, running_app, wait_until
from tests.frozen_release import SmallRelease
from tests.oauth_world import Party
from tests.release_world import World

EXPORTS: Final = "/v1/statistics/exports"
CATALOGUE: Final = "/v1/statistics/catalogue"
FINANCE: Final = "ministry_of_finance_statistics"
HEALTH: Final = "ministry_of_health_statistics"
SCOPE: Final = "export_statistics"
_numbers: Final = itertools.count(1)
_WORDS: Final = AgreementWords(
    agreement=FINANCE,
    title=Label("Số liệu", "Figures"),
    owner="national_insurance_agency",
    owner_name=Label("Cơ quan bảo hiểm xã hội", "Social-insurance agency"),
)


@dataclass
class MemoryShelf:
    """Releases in memory, newest first."""

    releases: list[FrozenRelease] = field(default_factory=list)

    def find_release(self, release: str) -> FrozenRelease | None:
        return next((one for one in self.releases if one.manifest.release == release), None)

    def iterate_manifests(self) -> Sequence[tuple[ReleaseManifest, bool]]:
        return [(one.manifest, one.is_open) for one in self.releases]


class Ministry(InProcessCaller):
    """A ministry's program."""

    def ask(self, language: str = "en", **question: Any) -> Answer:
        body = json.dumps(question).encode()
        return self.request("POST", EXPORTS, body, {"Accept-Language": language})

    def job(self, job_id: str, method: str = "GET") -> Answer:
        return self.request(method, f"{EXPORTS}/{job_id}")

    def fetch(self, job_id: str, method: str = "GET", **headers: str) -> Answer:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.request(method, f"{EXPORTS}/{job_id}/result", None, named)

    def catalogue(self) -> Answer:
        return self.request("GET", CATALOGUE)


class Statistics:
    """A broker that serves statistics. shelf: what is on it may be changed by a test."""

    def __init__(self, world: World, app: Flask | None, shelf: MemoryShelf) -> None:
        self.world, self.app, self.shelf = world, app, shelf
        key = world.settings.key_encryption_key_file.reveal()
        self._kept = KeptTables(world.engine, key)
        self._work = PostgresWork(world.engine, self._kept)

    def ministry(
        self, agreement: str = FINANCE, scope: str = SCOPE, more_keys: Sequence[Mapping[str, Any]] = ()
    ) -> Ministry:
        """Register a client of its own for a ministry."""
        organisation = agreement.removesuffix("_statistics")
        party = Party(f"{organisation.replace('_', '-')}-{next(_numbers)}")
        self.world.clients.register_organisation(
            Organisation(organisation_id=organisation, kind="ministry", name_vi="Bộ", name_en="Ministry")
        )
        self.world.clients.register_client(
            ClientRecord(
                client_id=party.client_id,
                organisation_id=organisation,
                name=party.client_id,
                scopes=(SCOPE, "verify_entitlement"),
                agreement_ids=(agreement,),
                client_metadata={
                    "grant_types": ["client_credentials"],
                    "jwks": {"keys": [party.public_jwk, *more_keys]},
                },
                expires_at=datetime.now(UTC) + timedelta(days=30),
            )
        )
        private = json.dumps({**party.key.as_dict(private=True), "kid": party.kid})
        caller = Ministry(self.world.settings.issuer, party.client_id, ClientKey.read(private), scope)
        if self.app is not None:
            caller.app = self.app
        return caller

    def work(self) -> None:
        """Let a worker answer everything that waits, in processes of their own, from the release's files."""
        job = ExportsJob(
            self._work,
            self.shelf,
            self._kept,
            Bounds(seconds=600.0, memory_mb=2048),
            lambda _job: ChildDoors(engine="duckdb", words=_WORDS),
            lambda: datetime.now(UTC),
            new_reference,
        )

        def is_idle() -> bool:
            return not job.run() and not job.is_busy

        try:
            wait_until(is_idle, "every export is answered", 120)
        finally:
            job.end()

    def ready(self, client: Ministry, **question: Any) -> dict[str, Any]:
        """Ask, let it be answered and nothing else, and return the job."""
        self.world.execute(
            "UPDATE statistics_jobs SET state = 'cancelled', finished_at = now() WHERE state = 'waiting'"
        )
        asked = client.ask(**question)
        assert asked.status == 202, asked.body
        self.work()
        told: dict[str, Any] = client.job(asked.json()["job_id"]).json()
        assert told["state"] == "done", told
        return told

    def entries(self, client: Ministry, kind: str = "export") -> list[dict[str, Any]]:
        """Return the entries of one kind that a client has caused, oldest first."""
        statement = text("SELECT entry FROM evidence_entries WHERE kind = :kind ORDER BY reference")
        with self.world.engine.connect() as connection:
            rows = [json.loads(row[0]) for row in connection.execute(statement, {"kind": kind})]
        return [row for row in rows if row["client"] == client.client_id]

    def steps(self, client: Ministry) -> list[str]:
        return [entry["step"] for entry in self.entries(client)]


def put_on_shelf(world: World, directory: Path, small: SmallRelease) -> FrozenRelease:
    """Let a release that lies in a directory answer from the broker's database; return it as it is there."""
    key = world.settings.key_encryption_key_file.reveal()
    making = PostgresReleaseMaking(world.engine, ReleaseSeal(key), ACTS)
    manifest = small.frozen.manifest
    begun = making.begin(parse_quarter(manifest.period), RevisionPolicy(), supersede=False)
    assert begun.release == manifest.release
    home = directory / manifest.release
    for name, content in small.frozen.perturbation.items():
        place = home / perturbation_path(manifest.perturbation[name])
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content.encode())
    making.freeze(begun.release, manifest_hash(manifest_bytes(manifest)), manifest.frozen_at)
    found = PostgresReleaseShelf(world.engine, directory, ReleaseSeal(key)).find_release(begun.release)
    assert found is not None
    return found


@contextmanager
def serving_statistics(
    world: World, directory: Path, releases: Sequence[FrozenRelease]
) -> Iterator[Statistics]:
    """Give a broker whose shelf has these releases."""
    shelf = MemoryShelf(list(releases))
    settings = replace(world.settings, statistics_directory=str(directory))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(StatisticsWiring, "_shelf", lambda _self: shelf)
        with running_app(settings) as app:
            yield Statistics(world, app, shelf)
