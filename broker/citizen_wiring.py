"""How the pages about one's own data are put together: for the roof."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from pathlib import Path

import uuid_utils

from broker.actions.complain import Complain
from broker.actions.decide_consent import DecideConsent
from broker.actions.own_looks import OwnLooks
from broker.actions.published_log import PublishedLog
from broker.actions.represent import Represent
from broker.actions.show_history import ShowHistory
from broker.evidence.acting import BY_ITSELF
from broker.evidence.pseudonyms import KeyedPseudonyms
from broker.oauth.citizen_secrets import CitizenSecrets
from broker.settings import Settings
from broker.storage.acts import acts_of
from broker.storage.citizens import PostgresCitizens
from broker.storage.complaints import PostgresComplaints
from broker.storage.consent_requests import PostgresConsentRequests
from broker.storage.hidden_reads import PostgresHiddenReads
from broker.storage.history import PostgresHistory
from broker.storage.looks import PostgresLooks
from broker.storage.openings import PostgresOpenings
from broker.storage.outbox import PostgresOutbox
from broker.storage.represented import RepresentedAccounts
from broker.storage.session import Store
from connectors.base import Families, Source
from consent_ui.hidden_reads import HiddenReadParts
from consent_ui.own_parts import OwnParts
from consent_ui.previews import Previews
from consent_ui.record_views import OwnRecords
from consent_ui.representation_views import RepresentationParts
from policies.load import SHIPPED, load_holidays


@dataclass(frozen=True, slots=True)
class CitizenWiring:
    """The parts of these pages."""

    settings: Settings
    store: Store
    source: Source
    families: Families
    log: PublishedLog

    def own_parts(self, record: OwnRecords, preview: Previews, decisions: DecideConsent) -> OwnParts:
        """Return the verbs behind the pages. decisions: on requests.

        record: reads the own record; preview: what of it a recipient would get.
        """
        directory = Path(self.settings.policy_directory) if self.settings.policy_directory else SHIPPED
        history = self.history()
        complaints = Complain(
            store=PostgresComplaints(self.store.engine, self._secrets()),
            holidays=load_holidays(directory),
            find_entry=history.find_entry,
            new_id=_new_id,
        )
        requests = PostgresConsentRequests(self.store.engine)
        told_of = PostgresOutbox(self.store.engine).list_of_consent
        representation = RepresentationParts(
            self._represent(decisions), requests.names_of_organisations, told_of
        )
        hidden = HiddenReadParts(
            PostgresHiddenReads(self.store.engine).list_quarters, requests.names_of_organisations
        )
        return OwnParts(history, self._looks(), record, preview, complaints, representation, self.log, hidden)

    def _represent(self, decisions: DecideConsent) -> Represent:
        pseudonyms = self._pseudonyms()
        acts = acts_of(self.store, self.settings, BY_ITSELF)
        accounts = RepresentedAccounts(
            PostgresCitizens(self.store.engine, acts), self._secrets(), pseudonyms.citizen_ref, _new_id
        )
        return Represent(
            families=self.families,
            accounts=accounts,
            decisions=decisions,
            personal_id_of=self.personal_id_of,
            keyed_hash=pseudonyms.data_subject_ref,
            deadline_seconds=self.settings.source_deadline_seconds,
        )

    def history(self) -> ShowHistory:
        """Return what shows a person who saw the own data."""
        openings = PostgresOpenings(self.store, self.settings.key_encryption_key_file.reveal())
        return ShowHistory(
            store=PostgresHistory(self.store.engine, openings),
            source=self.source,
            data_subject_ref=self._pseudonyms().data_subject_ref,
            personal_id_of=self.personal_id_of,
            deadline_seconds=self.settings.source_deadline_seconds,
        )

    def _looks(self) -> OwnLooks:
        """Return what records a person's looks at the own history."""
        openings = PostgresOpenings(self.store, self.settings.key_encryption_key_file.reveal())
        return OwnLooks(
            store=PostgresLooks(self.store.engine, openings),
            pseudonyms=self._pseudonyms(),
            salts=_new_salt,
            new_reference=_new_id,
        )

    def personal_id_of(self, citizen_id: str) -> str:
        """Return the 12 digits of whose account it is, "" for none. Raises StoreUnavailable."""
        sealed = PostgresConsentRequests(self.store.engine).sealed_personal_id(citizen_id)
        return "" if sealed is None else self._secrets().open("personal_id", citizen_id, sealed)

    def _pseudonyms(self) -> KeyedPseudonyms:
        return KeyedPseudonyms(self.settings.pseudonym_key_file.reveal())

    def _secrets(self) -> CitizenSecrets:
        return CitizenSecrets(self.settings.key_encryption_key_file.reveal())


def _new_salt() -> bytes:
    """Return 32 fresh random bytes."""
    return secrets.token_bytes(32)


def _new_id() -> str:
    """Return a fresh UUIDv7 as text."""
    return str(uuid_utils.uuid7())
