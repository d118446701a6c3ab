"""How reading by consent and looking at one's own record are put together: for the roof."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Final

from broker.actions.enforcement import Enforcement
from broker.actions.extract_own_record import ExtractOwnRecord
from broker.actions.own_reading import OwnReading
from broker.actions.preview_record import PreviewRecord
from broker.actions.share_record import ShareRecord
from broker.api.calls import Caller
from broker.api.consented_record import ConsentedRecordFace
from broker.api.exchange import Handler
from broker.keys import KeyRing
from broker.oauth.citizen_secrets import CitizenSecrets
from broker.settings import Settings
from broker.storage.consented import PreparedConsentFacts
from broker.storage.session import Store
from connectors.base import Source
from connectors.national_insurance.schema import SOURCE_NAME
from policies.compile import PolicySet

CONSENTED_RECORD_PATH: Final = "/v1/consented-record"


@dataclass(frozen=True, slots=True)
class ReadingWiring:
    """The parts of all that reads a whole record. enforcement: as every verb has it."""

    settings: Settings
    store: Store
    key_ring: KeyRing
    policy_set: PolicySet
    enforcement: Enforcement
    source: Source

    def routes(self, caller: Caller) -> Mapping[str, Handler]:
        """Return the resources that are read without a body and release a record: path → handler."""
        settings = self.settings
        secrets = CitizenSecrets(settings.key_encryption_key_file.reveal())
        consents = PreparedConsentFacts(
            self.store.prepared, partial(secrets.open, "personal_id"), settings.store_deadline_seconds
        )
        verb = ShareRecord(
            self.enforcement, consents, self.source, SOURCE_NAME, settings.source_deadline_seconds
        )
        face = ConsentedRecordFace(caller, verb, self.key_ring.sign_record, settings.data_owner)
        return {CONSENTED_RECORD_PATH: face.read}

    def own_record(self) -> ExtractOwnRecord:
        """Return what shows citizens their own record."""
        return ExtractOwnRecord(self._own_reading(), SOURCE_NAME, self.policy_set.catalogue)

    def preview(self) -> PreviewRecord:
        """Return what shows citizens what a recipient would get."""
        return PreviewRecord(self._own_reading(), SOURCE_NAME)

    def _own_reading(self) -> OwnReading:
        return OwnReading(self.enforcement, self.source, self.settings.source_deadline_seconds)
