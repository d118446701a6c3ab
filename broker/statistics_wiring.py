"""How the door of statistical exports is put together: for the roof.

Without a directory of releases, or without the extra `statistics`, the routes are there and say that nothing
is served: the broker starts all the same, and imports none of the extra's packages.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NoReturn

from broker.actions.enforcement import Enforcement
from broker.api.calls import Call
from broker.api.exchange import Handler
from broker.api.judging import AccessJudge
from broker.api.statistics_paths import CATALOGUE_PATH, EXPORTS_PATH
from broker.errors import StatisticsUnavailable
from broker.oauth.registration import encryption_key
from broker.oauth.release_secrets import ReleaseSeal
from broker.oauth.scopes import EXPORT_STATISTICS
from broker.settings import Settings
from broker.storage.client_registrations import PreparedClients
from broker.storage.session import Store
from policies.compile import PolicySet

if TYPE_CHECKING:
    from broker.actions.statistics_doors import ReleaseShelf

_NEEDED: Final = ("numpy",)
"""What the resource server itself needs of the extra; counting and packing are the worker's."""


@dataclass(frozen=True, slots=True)
class _Unserved:
    """Lets the same callers in as the resources would, and tells them that there is nothing."""

    judge: AccessJudge

    def answer(self, call: Call) -> NoReturn:
        """Raise StatisticsUnavailable, once the token is judged."""
        self.judge.judge(call, EXPORT_STATISTICS)
        raise StatisticsUnavailable


@dataclass(frozen=True, slots=True)
class StatisticsWiring:
    """The parts of that door. enforcement: as every verb has it."""

    settings: Settings
    store: Store
    policy_set: PolicySet
    enforcement: Enforcement

    def routes(self, judge: AccessJudge) -> tuple[Mapping[str, Handler], Mapping[tuple[str, str], Handler]]:
        """Return the resources: path → handler of what takes a body; (method, rule) → handler of the rest."""
        face = self._face(judge)
        nothing = _Unserved(judge).answer
        asked = nothing if face is None else face.ask
        one = f"{EXPORTS_PATH}/<job_id>"
        return {EXPORTS_PATH: asked}, {
            ("GET", CATALOGUE_PATH): nothing if face is None else face.catalogue,
            ("GET", one): nothing if face is None else face.show,
            ("DELETE", one): nothing if face is None else face.cancel,
            ("GET", f"{one}/result"): nothing if face is None else face.result,
        }

    def _face(self, judge: AccessJudge) -> Any:
        """Return the face, or None where nothing is served."""
        if not self.settings.statistics_directory or not all(find_spec(name) for name in _NEEDED):
            return None
        # Only now: these modules compute with the extra's packages.
        from broker.actions.export_statistics import ExportStatistics
        from broker.api.statistics import StatisticsFace
        from broker.storage.statistics_jobs import PostgresJobs

        verb = ExportStatistics(
            enforcement=self.enforcement,
            shelf=self._shelf(),
            jobs=PostgresJobs(self.store.engine, self.settings.key_encryption_key_file.reveal()),
            find_agreement=self.policy_set.find_agreement,
            recipient_key=self._recipient_key,
        )
        return StatisticsFace(judge, verb)

    def _shelf(self) -> ReleaseShelf:
        from broker.storage.statistics_releases import PostgresReleaseShelf

        seal = ReleaseSeal(self.settings.key_encryption_key_file.reveal())
        return PostgresReleaseShelf(self.store.engine, Path(self.settings.statistics_directory), seal)

    def _recipient_key(self, client_id: str) -> Mapping[str, Any] | None:
        """Return the public key that a client has registered to be encrypted to. Raises StoreUnavailable."""
        clients = PreparedClients(self.store.prepared, self.settings.store_deadline_seconds)
        found = clients.find_registration(client_id)
        return None if found is None or not found.jwks else encryption_key(found.jwks)
