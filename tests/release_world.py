"""A broker's store with all it needs for tests of the release path: hospitals, staff, synthetic persons."""

from __future__ import annotations

import itertools
import json
import re
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

from sqlalchemy import Engine, create_engine, event, text

from broker.actions.consent_writer import CITIZEN_PREFIX
from broker.cli.caller import ClientKey
from broker.evidence.person_keys import link_of, seal_key_of
from broker.evidence.pseudonyms import KeyedPseudonyms
from broker.oauth.evidence_secrets import open_salts
from broker.settings import Settings
from broker.storage.clients import ClientRecord, Organisation, PostgresClients
from broker.storage.evidence_keys import PostgresEvidenceKeys
from broker.storage.openings import NOBODY, PostgresOpenings
from broker.storage.session import Store, open_store
from broker.storage.staff import PostgresStaff, StaffRecord
from connectors.national_insurance.cases import SyntheticPerson, find_cases
from policies.load import SHIPPED
from tests.acting import ACTS
from tests.adults import take
from tests.contracts.source_fixtures import AS_OF, InsuranceDatabase
from tests.oauth_world import Party

AGREEMENT = "hospital_entitlement_check"
SCOPE = "verify_entitlement"
CHECKS = "/v1/entitlement-checks"
BATCH = f"{CHECKS}/batch"
SERVICE_DATE: date = AS_OF
"""The day for which the synthetic population is true; outcomes are decided for the day of service."""
AGENCY = "insurance_agency"
ALONE = 80
"""Persons whom hospitals of other tests do not ask about; see `World.unseen_person`."""


PORTAL_AGREEMENT = "citizen_portal_history"
EXAMPLE_OF_PORTALS = Path(__file__).parents[1] / "docs/examples/citizen_portal_history.toml"

TEST_AGREEMENTS: Mapping[str, Mapping[str, str]] = {
    "hospital_without_batch": {"batch_maximum = 200": "batch_maximum = 0"},
    "hospital_ten_a_day": {"client_day = 20000": "client_day = 10"},
    "hospital_ten_an_hour": {"acting_person_hour = 300": "acting_person_hour = 10"},
}
"""Agreements of the tests: the hospitals' own under another id, with other words in its text."""


def write_policies(directory: Path) -> Path:
    """Write a policy directory that holds the shipped agreements and those of the tests; return it."""
    agreements = directory / "agreements"
    shutil.copytree(SHIPPED / "agreements", agreements)
    text_of_hospitals = (agreements / f"{AGREEMENT}.toml").read_text(encoding="utf-8")
    for name, changes in TEST_AGREEMENTS.items():
        changed = text_of_hospitals
        for old, new in {f'id = "{AGREEMENT}"': f'id = "{name}"', **changes}.items():
            assert changed.count(old) == 1, f"{old} does not stand once in the hospitals' agreement"
            changed = changed.replace(old, new)
        (agreements / f"{name}.toml").write_text(changed, encoding="utf-8")
    portal = EXAMPLE_OF_PORTALS.read_text(encoding="utf-8")
    named = 'organisations = ["national_public_service_portal"]'
    assert portal.count(named) == 1
    everyone = portal.replace(named, 'accession_framework = "Every portal of these tests."')
    (agreements / f"{PORTAL_AGREEMENT}.toml").write_text(everyone, encoding="utf-8")
    return directory


@dataclass(frozen=True, slots=True)
class StaffMember:
    """A named person who may look up records."""

    full_name: str
    personal_id: str

    def as_document(self) -> dict[str, str]:
        return {"full_name": self.full_name, "personal_id": self.personal_id}


@dataclass(frozen=True, slots=True)
class Hospital:
    """A registered hospital: its client, its key, its staff."""

    client_id: str
    organisation_id: str
    facility_code: str
    key: ClientKey
    staff: tuple[StaffMember, ...]


@dataclass(frozen=True, slots=True)
class Evidence:
    """One entry as it lies in the store, with what opens its commitments."""

    reference: str
    kind: str
    content: bytes
    entry: Mapping[str, Any]
    data_subject_ref: bytes | None
    data_subject_salt: bytes | None
    payload_salt: bytes | None


_ENTRY = text(
    """SELECT e.reference::text, e.kind, e.entry, o.key_year, o.person_link, o.sealed_salts
       FROM evidence_entries e JOIN evidence_openings o USING (reference)
       WHERE e.reference::text = ANY (:references)"""
)


class World:
    """The broker's store and the insurance database, both filled, and what tests ask of them.

    owner_url: owner role of the broker's own database. database: the loaded insurance database.
    """

    def __init__(self, settings: Settings, owner_url: str, database: InsuranceDatabase) -> None:
        self.settings = settings
        self.owner_url = owner_url
        self.store: Store = open_store(settings.database_url, deadline_seconds=5.0, pool_size=16)
        self.engine: Engine = self.store.engine
        event.listen(self.engine, "connect", _tell_apart)
        self.owner: Engine = create_engine(owner_url)
        self.pseudonyms = KeyedPseudonyms(settings.pseudonym_key_file.reveal())
        self.openings = PostgresOpenings(self.store, settings.key_encryption_key_file.reveal())
        self._keys = PostgresEvidenceKeys(self.store, settings.key_encryption_key_file.reveal())
        self._links: dict[bytes, bytes] = {}
        self.clients = PostgresClients(self.engine, ACTS)
        self.staff = PostgresStaff(self.engine, ACTS)
        self.cases = _cases(database)
        self._insurance = database
        self._valid: Iterator[SyntheticPerson] = itertools.cycle(self.cases["valid"][:-ALONE])
        self._alone = reversed(self.cases["valid"][-ALONE:])
        self._numbers = itertools.count(1)
        self.identifiers: set[str] = _identifiers(itertools.chain(*self.cases.values()))
        self.hospital = self.register_hospital()

    def close(self) -> None:
        self.store.close()
        self.owner.dispose()

    def register_hospital(
        self,
        *,
        agreements: Sequence[str] = (AGREEMENT,),
        staff: int = 20,
        days: int = 30,
        organisation_id: str = "",
        kind: str = "hospital",
        scopes: Sequence[str] = (SCOPE,),
    ) -> Hospital:
        """Register a hospital of its own for one test: nobody else's limits, suspensions or evidence.

        organisation_id, kind, scopes: of a body of another kind.
        """
        number = next(self._numbers)
        code = f"{70000 + number:05d}"
        organisation_id = organisation_id or f"facility-{code}"
        party = Party(f"hospital-{code}")
        self.clients.register_organisation(
            Organisation(
                organisation_id=organisation_id,
                kind=kind,
                name_vi=f"Bệnh viện {code}",
                name_en=f"Hospital {code}",
                facility_code=code,
            )
        )
        self.clients.register_client(
            ClientRecord(
                client_id=party.client_id,
                organisation_id=organisation_id,
                name=party.client_id,
                scopes=tuple(scopes),
                agreement_ids=tuple(agreements),
                client_metadata={
                    "grant_types": ["client_credentials"],
                    "jwks": {"keys": [party.public_jwk]},
                },
                expires_at=datetime.now(UTC) + timedelta(days=days),
            )
        )
        members = tuple(
            StaffMember(f"Trần Thị Tiếp Đón {code} {at}", f"0010{90 + at % 10:02d}{code[1:]}{at:02d}")
            for at in range(staff)
        )
        for member in members:
            self.register_staff(organisation_id, member)
        private = json.dumps({**party.key.as_dict(private=True), "kid": party.kid})
        return Hospital(party.client_id, organisation_id, code, ClientKey.read(private), members)

    def register_staff(self, organisation_id: str, member: StaffMember) -> None:
        self.identifiers |= {member.personal_id, member.full_name}
        self.staff.register_staff(
            StaffRecord(
                staff_ref=self.pseudonyms.staff_ref(organisation_id, member.personal_id),
                organisation_id=organisation_id,
                full_name=member.full_name,
                assignment_reference="12/QĐ-BV",
            )
        )

    def person(self) -> SyntheticPerson:
        """Return the next person with one card in force, so that nobody's daily limit is reached."""
        return next(self._valid)

    def unseen_person(self) -> SyntheticPerson:
        """Return a person with a card in force who has no account and whom nobody has asked about, once each.

        Raises LookupError when they are used up.
        """
        for person in self._alone:
            account = bytes(self.pseudonyms.citizen_ref(person.personal_id))
            asked = bytes(self.pseudonyms.data_subject_ref(str(person.person_key)))
            if (
                take(self._insurance, person.personal_id)
                and not self.count("citizens", "personal_id_ref = :ref", ref=account)
                and not self.count_about(asked)
            ):
                return person
        raise LookupError(f"all {ALONE} are used up")

    def of_case(self, case: str) -> SyntheticPerson:
        """Return the first person of a case whose cards the insurance agency itself manages."""
        for person in self.cases[case]:
            if all(card.managed_by == AGENCY for card in person.cards):
                return person
        raise LookupError(case)

    def document(
        self, person: SyntheticPerson | None = None, hospital: Hospital | None = None, **changes: Any
    ) -> dict[str, Any]:
        """Return a good request about a person; a change to ... leaves the member out."""
        person = person or self.person()
        staff = (hospital or self.hospital).staff
        full = {
            "card_number": person.si_number,
            "full_name": person.full_name,
            "birth_date": birth_date_text(person),
            "service_date": SERVICE_DATE.isoformat(),
            "encounter_reference": "KB-2026/0001",
            "acting_person": staff[next(self._numbers) % len(staff)].as_document() if staff else ...,
            **changes,
        }
        return {name: value for name, value in full.items() if value is not ...}

    def find_evidence(self, *references: str) -> list[Evidence]:
        """Return the entries under these references, in their order, as far as there are any."""
        with self.engine.connect() as connection:
            rows = {row[0]: row for row in connection.execute(_ENTRY, {"references": list(references)})}
        found = [rows[reference] for reference in references if reference in rows]
        return [
            Evidence(row[0], row[1], bytes(row[2]), json.loads(row[2]), *self._opened(row)) for row in found
        ]

    def _opened(self, row: Any) -> tuple[bytes | None, bytes | None, bytes | None]:
        """Return whom an entry is about (keyed hash) and its salts, by trying everybody."""
        if row.person_link is None:
            if row.sealed_salts is None:
                return None, None, None
            [nobody] = [one for one in self._keys.find_all([NOBODY]) if one.year == row.key_year]
            key = seal_key_of(nobody.key, NOBODY)
            return None, *open_salts(key, UUID(row.reference).bytes, bytes(row.sealed_salts))
        ref = self._links.get(bytes(row.person_link))
        if ref is None:
            everybody = self._everybody()
            self._links = {link_of(one.key, one.ref): one.ref for one in self._keys.find_all(everybody)}
            ref = self._links[bytes(row.person_link)]
        kept = self.openings.find_opening([ref], row.reference)
        assert kept is not None
        return kept.ref, kept.data_subject_salt, kept.payload_salt

    def _everybody(self) -> list[bytes]:
        """Return the keyed hashes of everybody in the source and of all accounts."""
        with self.engine.connect() as connection:
            accounts = connection.execute(text("SELECT citizen_id::text FROM citizens")).scalars().all()
        engine = create_engine(self._insurance.owner_url)
        with engine.connect() as connection:
            persons = connection.execute(text("SELECT person_key FROM person")).scalars().all()
        engine.dispose()
        names = [*map(str, persons), *(CITIZEN_PREFIX + one for one in accounts)]
        return [self.pseudonyms.data_subject_ref(one) for one in names]

    def count_about(self, ref: bytes) -> int:
        """Return how many entries are found under a person's reference."""
        links = list(self.openings.links([ref]))
        return self.count("evidence_openings", "person_link = ANY(CAST(:links AS bytea[]))", links=links)

    def evidence(self, reference: str) -> Evidence:
        """Return the entry under a reference, with or without urn:uuid: before it."""
        plain = reference.removeprefix("urn:uuid:")
        found = self.find_evidence(plain)
        assert found, f"nothing is recorded under {plain}"
        return found[0]

    def count(self, table: str, condition: str = "true", **values: object) -> int:
        """Return how many rows of a table of the broker fulfil a condition."""
        with self.engine.connect() as connection:
            statement = text(f"SELECT count(*) FROM {table} WHERE {condition}")  # noqa: S608
            return int(connection.execute(statement, values).scalar_one())

    def entries_of(self, hospital: Hospital, kind: str = "release") -> list[Mapping[str, Any]]:
        """Return the entries of one kind that a hospital's client has caused."""
        statement = text("SELECT entry FROM evidence_entries WHERE kind = :kind ORDER BY reference")
        with self.engine.connect() as connection:
            found = [json.loads(row[0]) for row in connection.execute(statement, {"kind": kind})]
        return [entry for entry in found if entry["client"] == hospital.client_id]

    def execute(self, statement: str, **values: object) -> None:
        """Run a statement on the broker's own database, as its owner."""
        with self.owner.begin() as connection:
            connection.execute(text(statement), values)


def _tell_apart(connection: Any, _record: object) -> None:
    """Give a connection of the tests another name than those of the broker under test have."""
    connection.execute("SET application_name = 'tests'")
    connection.commit()


def birth_date_text(person: SyntheticPerson) -> str:
    """Return a birth date as a reception desk writes it, as precisely as the record knows it."""
    pattern = {"day": "%d/%m/%Y", "month": "%m/%Y", "year": "%Y"}[person.birth_precision]
    return person.birth_date.strftime(pattern)


def numbers_in(told: str) -> set[str]:
    """Return everything in a text that has the form of a person's number, hashes and UUIDs left aside."""
    words = _HASHES.sub("#", told)
    return {match[1] for form in _NUMBER_FORMS for match in form.finditer(words)}


_HASHES = re.compile(r"\b(?:[0-9a-f]{32}|[0-9a-f]{64}|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})\b")
# Looking ahead finds numbers that overlap.
_NUMBER_FORMS = [re.compile(rf"(?=({form}))") for form in ("[0-9]{10}", "[0-9]{12}", "[A-Z]{2}[0-9]{13}")]


def _cases(database: InsuranceDatabase) -> dict[str, list[SyntheticPerson]]:
    engine = create_engine(database.owner_url)
    try:
        with engine.connect() as connection:
            return find_cases(connection, 400, SERVICE_DATE)
    finally:
        engine.dispose()


def _identifiers(persons: Iterable[SyntheticPerson]) -> set[str]:
    return {
        value
        for person in persons
        for value in (
            person.personal_id,
            person.si_number,
            person.full_name,
            *(card.hi_card for card in person.cards),
            *(card.hi_card_15 for card in person.cards),
        )
    }
