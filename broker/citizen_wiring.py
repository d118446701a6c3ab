"""How the pages about one's own data are put together: for the roof."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import uuid_utils

from broker.actions.complain import Complain
from broker.actions.show_history import ShowHistory
from broker.evidence.pseudonyms import KeyedPseudonyms
from broker.oauth.citizen_secrets import CitizenSecrets
from broker.settings import Settings
from broker.storage.complaints import PostgresComplaints
from broker.storage.consent_requests import PostgresConsentRequests
from broker.storage.history import PostgresHistory
from broker.storage.session import Store
from connectors.base import Source
from consent_ui.own_parts import OwnParts
from consent_ui.record_views import OwnRecords
from policies.load import SHIPPED, load_holidays


@dataclass(frozen=True, slots=True)
class CitizenWiring:
    """The parts of these pages."""

    settings: Settings
    store: Store
    source: Source

    def own_parts(self, record: OwnRecords) -> OwnParts:
        """Return the verbs behind the pages. record: reads the own record."""
        directory = Path(self.settings.policy_directory) if self.settings.policy_directory else SHIPPED
        history = self.history()
        complaints = Complain(
            store=PostgresComplaints(self.store.engine, self._secrets()),
            holidays=load_holidays(directory),
            find_entry=history.find_entry,
            new_id=lambda: str(uuid_utils.uuid7()),
        )
        return OwnParts(history, record, complaints)

    def history(self) -> ShowHistory:
        """Return what shows a person who saw the own data."""
        return ShowHistory(
            store=PostgresHistory(self.store.engine),
            source=self.source,
            data_subject_ref=KeyedPseudonyms(self.settings.pseudonym_key_file.reveal()).data_subject_ref,
            personal_id_of=self.personal_id_of,
            deadline_seconds=self.settings.source_deadline_seconds,
        )

    def personal_id_of(self, citizen_id: str) -> str:
        """Return the 12 digits of whose account it is, "" for none. Raises StoreUnavailable."""
        sealed = PostgresConsentRequests(self.store.engine).sealed_personal_id(citizen_id)
        return "" if sealed is None else self._secrets().open("personal_id", citizen_id, sealed)

    def _secrets(self) -> CitizenSecrets:
        return CitizenSecrets(self.settings.key_encryption_key_file.reveal())
