"""What the citizen's pages have for looks at the own record: the two doors, and persons who are signed in."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from broker.actions.own_reading import OwnReader
from broker.actions.preview_record import AskedRecord
from broker.app import enforcement_of
from broker.clock import system_clock
from broker.consent.record import DataRange
from broker.keys import KeyRing
from broker.reading_wiring import ReadingWiring
from broker.storage.signing_keys import PostgresSigningKeys
from connectors.national_insurance.source import InsuranceSource
from tests.acting import ACTS
from tests.consent_world import AGREEMENT, FIELDS, ConsentWorld, Person


@dataclass
class Pages:
    """What the citizen's pages have: the two doors, and persons who are signed in."""

    consents: ConsentWorld
    wiring: ReadingWiring

    def sign_in(self, person: Person | None = None, level: int = 2) -> OwnReader:
        person, at = person or self.consents.person(), datetime.now(UTC)
        self.consents.world.execute(
            "INSERT INTO citizen_sessions (session_ref, citizen_id, level, authenticated_at, expires_at)"
            " VALUES (:ref, :citizen, :level, :at, :until)",
            ref=person.citizen_id.encode() + at.isoformat().encode(),
            citizen=person.citizen_id,
            level=level,
            at=at,
            until=at + timedelta(minutes=15),
        )
        return OwnReader(
            citizen_id=person.citizen_id, level=level, authenticated_at=at, personal_id=person.personal_id
        )


@contextmanager
def reading_pages(consents: ConsentWorld) -> Iterator[Pages]:
    """Give the pages of a world, and close their source afterwards."""
    world = consents.world
    settings = world.settings
    source = InsuranceSource(settings.source_url, settings.source_deadline_seconds)
    ring = KeyRing(
        PostgresSigningKeys(world.engine, ACTS), settings.key_encryption_key_file.reveal(), system_clock
    )
    enforcement = enforcement_of(settings, world.store, consents.policies)
    try:
        yield Pages(
            consents, ReadingWiring(settings, world.store, ring, consents.policies, enforcement, source)
        )
    finally:
        source.close()


def asked(pages: Pages, names: Sequence[str] = FIELDS, days: DataRange | None = None) -> AskedRecord:
    return AskedRecord(
        agreement_id=AGREEMENT,
        purpose="prove_income",
        organisation_id=pages.consents.bank.organisation_id,
        organisation_kind="bank",
        field_names=frozenset(names),
        data_range=days,
    )
