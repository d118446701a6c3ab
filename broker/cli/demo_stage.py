"""The demo's stage: a population, a hospital with client and staff, and the switch of the source."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import psycopg
from sqlalchemy import create_engine, select

from broker.actions.limits import counter_steps
from broker.actions.verify_entitlement import ACTION
from broker.cli.demo_cast import CaseMissing, Staff, find_candidates
from broker.cli.embedded import EmbeddedCluster
from broker.cli.operator import operator_acting
from broker.clock import system_clock
from broker.evidence.pseudonyms import KeyedPseudonyms
from broker.oauth.client_credentials import CLIENT_CREDENTIALS
from broker.oauth.registration import PRIVATE_KEY_JWT, registrable_jwks
from broker.oauth.stored_keys import generate_private_key
from broker.settings import Settings
from broker.storage.acts import Acts, acts_of
from broker.storage.clients import ClientRecord, Organisation, PostgresClients
from broker.storage.session import Store
from broker.storage.staff import PostgresStaff, StaffRecord
from broker.storage.tables import evidence_entries, usage_counters
from connectors.national_insurance.cases import SyntheticPerson
from connectors.national_insurance.schema import create_schema, grant_reader, person
from policies.civil_time import day_start_seconds
from policies.model import Agreement

AGREEMENT: Final = "hospital_entitlement_check"
READER: Final = "insurance_reader"
LIMIT_SCOPE: Final = "data_subject_day"
HOSPITAL: Final = Organisation(
    organisation_id="demo-hospital",
    kind="hospital",
    name_vi="Bệnh viện Đa khoa Thử Nghiệm",
    name_en="Trial General Hospital",
    facility_code="79999",
)
BANK: Final = Organisation(
    organisation_id="demo-bank",
    kind="bank",
    name_vi="Ngân hàng Thử Nghiệm",
    name_en="Trial Bank",
)
MINISTRY: Final = Organisation(
    organisation_id="ministry_of_health",
    kind="ministry",
    name_vi="Bộ Y tế (thử nghiệm)",
    name_en="Ministry of Health (trial)",
)
EMPLOYER: Final = Organisation(
    organisation_id="demo-employer",
    kind="employer",
    name_vi="Công ty Thử Nghiệm",
    name_en="Trial Company",
)


@dataclass(frozen=True, slots=True)
class Role:
    """What a client is for: its scopes, its agreement, and what else stands in its registration."""

    scopes: tuple[str, ...]
    agreement_id: str
    metadata: Mapping[str, Any]


AT_THE_DESK: Final = Role((ACTION,), AGREEMENT, {"grant_types": [CLIENT_CREDENTIALS]})


def populate(
    cluster: EmbeddedCluster, persons: int, today: date, on_progress: Callable[[int], None]
) -> tuple[dict[str, list[SyntheticPerson]], bool]:
    """Return persons for each case the story needs, and whether a population had to be made for them.

    One is made when the insurance database is empty, and anew when time has passed the old one by, so that
    nobody is left whose card is, say, about to be replaced. Raises CaseMissing when persons are too few.
    """
    from connectors.national_insurance.synthetic import Manifest  # an optional extra, needed here only
    from connectors.national_insurance.synthetic_load import load_population

    engine = create_engine(cluster.source_owner_url, hide_parameters=True)
    try:
        create_schema(engine)
        grant_reader(engine, READER)
        with engine.connect() as connection:
            if connection.execute(select(person.c.person_key).limit(1)).first() is not None:
                try:
                    return find_candidates(connection, today), False
                except CaseMissing:
                    pass
        manifest = Manifest(persons, seed=1, as_of=today)
        load_population(cluster.source_owner_url, manifest, replace=True, on_progress=on_progress)
        with engine.connect() as connection:
            return find_candidates(connection, today), True
    finally:
        engine.dispose()


@dataclass(frozen=True, slots=True)
class Stage:
    """What the demo changes behind the broker's back, as an operator would, and what it looks up there."""

    cluster: EmbeddedCluster
    settings: Settings
    store: Store
    agreement: Agreement

    @property
    def acts(self) -> Acts:
        """What writes the entries of the demo's operator."""
        return acts_of(self.store, self.settings, operator_acting(self.settings))

    @property
    def permitted_fields(self) -> frozenset[str]:
        """All that a card in an answer may hold, as the agreement says."""
        return frozenset(name for rule in self.agreement.rules for name in rule.fields)

    @property
    def data_subject_limit(self) -> int:
        """How many answers about one data subject the agreement allows per day."""
        return next(limit.count for limit in self.agreement.limits if limit.scope == LIMIT_SCOPE)

    def end_earlier_runs(self) -> None:
        """Suspend clients and revoke staff of earlier runs; turn the source on, should one have died."""
        self.turn_source_on()
        clients, staff = (
            PostgresClients(self.store.engine, self.acts),
            PostgresStaff(self.store.engine, self.acts),
        )
        ours = {one.organisation_id for one in (HOSPITAL, BANK, EMPLOYER, MINISTRY)}
        for client in clients.list_clients():
            if client.organisation_id in ours and client.status == "active":
                clients.suspend_client(client.client_id, system_clock())
        for member in staff.list_staff(HOSPITAL.organisation_id):
            if member.status == "active":
                staff.revoke_staff(member.staff_ref)

    def register_client(
        self,
        organisation: Organisation,
        client_id: str,
        key_file: Path,
        role: Role = AT_THE_DESK,
    ) -> str:
        """Register a client with fresh keys; write its private key to a file, and return it as JSON.

        Raises AlreadyRegistered when the organisation stands there with other particulars.
        """
        key = generate_private_key("ES256")
        private = {
            **key.as_dict(private=True),
            "kid": key.thumbprint(),
            "alg": "ES256",
            "client_id": client_id,
        }
        clients = PostgresClients(self.store.engine, self.acts)
        clients.register_organisation(organisation)
        clients.register_client(
            ClientRecord(
                client_id=client_id,
                organisation_id=organisation.organisation_id,
                name=organisation.name_vi,
                scopes=role.scopes,
                agreement_ids=(role.agreement_id,),
                client_metadata={
                    **role.metadata,
                    "token_endpoint_auth_method": PRIVATE_KEY_JWT,
                    "dpop_bound_access_tokens": True,
                    "jwks": registrable_jwks(json.dumps(key.as_dict(private=False))),
                },
                expires_at=datetime.now(UTC) + timedelta(days=30),
            )
        )
        text = json.dumps(private, indent=2) + "\n"
        write_private(key_file, text)
        return text

    def register_staff(self, staff: Staff, assignment: str) -> None:
        """Register a staff member of the hospital under a written assignment."""
        PostgresStaff(self.store.engine, self.acts).register_staff(
            StaffRecord(
                staff_ref=self._pseudonyms.staff_ref(HOSPITAL.organisation_id, staff.personal_id),
                organisation_id=HOSPITAL.organisation_id,
                full_name=staff.full_name,
                assignment_reference=assignment,
            )
        )

    def suspend(self, client_id: str) -> None:
        """Suspend a client, as `broker client suspend` does."""
        PostgresClients(self.store.engine, self.acts).suspend_client(client_id, system_clock())

    def resume(self, client_id: str) -> None:
        """Let a client ask for tokens again, as `broker client resume` does."""
        PostgresClients(self.store.engine, self.acts).resume_client(client_id)

    def turn_source_off(self) -> None:
        """Refuse the broker's reading role every connection, and end those it has."""
        with psycopg.connect(self.cluster.administrator_url, autocommit=True) as connection:
            connection.execute("ALTER ROLE insurance_reader CONNECTION LIMIT 0")
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = %s", (READER,)
            )

    def turn_source_on(self) -> None:
        """Let the broker's reading role connect again."""
        with psycopg.connect(self.cluster.administrator_url, autocommit=True) as connection:
            connection.execute("ALTER ROLE insurance_reader CONNECTION LIMIT -1")

    def asked_counts(self, persons: Iterable[SyntheticPerson]) -> dict[int, int]:
        """Return, by person_key, how often each person was asked about today, as the agreement counts it."""
        limits = [limit for limit in self.agreement.limits if limit.scope == LIMIT_SCOPE]
        now_seconds = int(system_clock().timestamp())
        keys: dict[bytes, int] = {}
        for one in persons:
            (step,) = counter_steps(
                limits,
                now_seconds=now_seconds,
                agreement_id=self.agreement.id,
                client_id="",
                staff_ref=None,
                data_subject_refs=[self._pseudonyms.data_subject_ref(str(one.person_key))],
            )
            keys[step.counter_ref] = one.person_key
        counters = usage_counters.c
        statement = select(counters.counter_ref, counters.used_count).where(
            counters.window_start_seconds == day_start_seconds(now_seconds),
            counters.counter_ref.in_(list(keys)),
        )
        with self.store.engine.connect() as connection:
            used = {bytes(row.counter_ref): row.used_count for row in connection.execute(statement)}
        return {person_key: used.get(reference, 0) for reference, person_key in keys.items()}

    def exports(self, job_id: str) -> tuple[str, ...]:
        """Return the references of all entries of a statistical job, in their order."""
        entries = evidence_entries.c
        statement = select(entries.reference, entries.entry).where(entries.kind == "export")
        with self.store.engine.connect() as connection:
            found = {str(row.reference): json.loads(row.entry) for row in connection.execute(statement)}
        return tuple(sorted(reference for reference, entry in found.items() if entry["job"] == job_id))

    def evidence(self, references: Sequence[str]) -> list[Mapping[str, Any]]:
        """Return the decoded evidence entries that stand under these references, in their order."""
        statement = select(evidence_entries.c.reference, evidence_entries.c.entry).where(
            evidence_entries.c.reference.in_(references)
        )
        with self.store.engine.connect() as connection:
            found = {str(row.reference): json.loads(row.entry) for row in connection.execute(statement)}
        return [found[reference] for reference in references if reference in found]

    @property
    def _pseudonyms(self) -> KeyedPseudonyms:
        return KeyedPseudonyms(self.settings.pseudonym_key_file.reveal())


def write_private(path: Path, text: str) -> None:
    """Write a file that nobody else may read, in the place of one that was there."""
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        file.write(text)
