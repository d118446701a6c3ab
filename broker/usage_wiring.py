"""How the door of citizens' portals is put together: for the roof."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from broker.actions.enforcement import Enforcement
from broker.actions.find_usage import FindUsage
from broker.api.exchange import Handler
from broker.api.findusage import FACADE_PATH, FindUsageFace
from broker.api.judging import AccessJudge
from broker.clock import Clock
from broker.evidence.pseudonyms import KeyedPseudonyms
from broker.evidence.usage import UsageWords
from broker.settings import Settings
from broker.storage.citizens import PostgresCitizens
from broker.storage.openings import PostgresOpenings
from broker.storage.session import Store
from broker.storage.usages import PostgresUsages
from connectors.base import Source
from policies.compile import PolicySet
from policies.vocabulary import ACTIONS


@dataclass(frozen=True, slots=True)
class UsageWiring:
    """The parts of that door. enforcement: as every verb has it."""

    settings: Settings
    store: Store
    policy_set: PolicySet
    enforcement: Enforcement
    source: Source
    clock: Clock

    def routes(self, judge: AccessJudge) -> Mapping[tuple[str, str], Handler]:
        """Return the three services: (method, rule) → handler."""
        settings = self.settings
        openings = PostgresOpenings(self.store, settings.key_encryption_key_file.reveal())
        usages = PostgresUsages(self.store.engine, openings)
        verb = FindUsage(
            enforcement=self.enforcement,
            store=usages,
            source=self.source,
            citizen_of=self._citizen_of,
            words=(self._words(0), self._words(1)),
            source_deadline_seconds=settings.source_deadline_seconds,
        )
        face = FindUsageFace(judge, verb, usages, self.clock)
        return {
            ("GET", f"{FACADE_PATH}/findUsage"): face.find,
            ("GET", f"{FACADE_PATH}/usagePeriod"): face.period,
            ("GET", f"{FACADE_PATH}/heartbeat"): face.heartbeat,
        }

    def _citizen_of(self, personal_id: str) -> str:
        """Return the id of a person's account, "" for none. Raises StoreUnavailable."""
        ref = KeyedPseudonyms(self.settings.pseudonym_key_file.reveal()).citizen_ref(personal_id)
        account = PostgresCitizens(self.store.engine).find_account(ref)
        return "" if account is None else account.citizen_id

    def _words(self, index: int) -> UsageWords:
        """Return how actions and purposes are called. index: 0 Vietnamese, 1 English."""
        purposes = self.policy_set.registers.purposes.values()
        return UsageWords(
            {name: label[index].capitalize() for name, label in ACTIONS.items()},
            {one.code: (one.label_vi, one.label_en)[index] for one in purposes},
        )
