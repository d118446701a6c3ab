"""Named staff of facilities who may look up records, in PostgreSQL; the 12-digit id itself is not kept."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

from sqlalchemy import Engine, select
from sqlalchemy.dialects.postgresql import insert

from broker.evidence.administration_entry import Given
from broker.storage.acts import Acts, acting_in
from broker.storage.clients import AlreadyRegistered, NotRegistered
from broker.storage.faults import store_answers
from broker.storage.tables import facility_staff, organisations
from policies.names import name_key


@dataclass(frozen=True, slots=True, kw_only=True)
class StaffRecord:
    """A staff member. staff_ref: keyed hash of organisation and 12-digit id (32 bytes).

    assignment_reference: number of the written assignment of tasks.
    """

    staff_ref: bytes
    organisation_id: str
    full_name: str
    assignment_reference: str
    status: str = "active"


class PostgresStaff:
    """The register of staff, for the command line; look-ups are judged by the recording statement."""

    def __init__(self, engine: Engine, acts: Acts | None = None) -> None:
        """acts: of whoever registers and revokes; None is for reading."""
        self._engine = engine
        self._acts = acts

    def register_staff(self, record: StaffRecord) -> None:
        """Register a staff member, or renew name and assignment of one who was revoked.

        Raises AlreadyRegistered when the person is active, NotRegistered when there is no such
        organisation, StoreUnavailable.
        """
        values = {**asdict(record), "name_key": name_key(record.full_name)}
        renewed = {name: values[name] for name in ("full_name", "name_key", "assignment_reference", "status")}
        statement = (
            insert(facility_staff)
            .values(**values)
            .on_conflict_do_update(
                index_elements=[facility_staff.c.staff_ref],
                set_=renewed,
                where=facility_staff.c.status == "revoked",
            )
            .returning(facility_staff.c.status)
        )
        acts = acting_in(self._acts)
        known = select(organisations.c.organisation_id).where(
            organisations.c.organisation_id == record.organisation_id
        )
        with store_answers(), self._engine.begin() as connection:
            if connection.execute(known).one_or_none() is None:
                raise NotRegistered(f"there is no organisation {record.organisation_id}")
            if connection.execute(statement).one_or_none() is None:
                raise AlreadyRegistered("this person is already registered at this organisation")
            of: tuple[tuple[Given, str], ...] = (("organisation", record.organisation_id),)
            acts.administration(connection, "staff_registered", record.staff_ref.hex(), given=of)

    def revoke_staff(self, staff_ref: bytes) -> None:
        """End an assignment: the next look-up is refused. Raises NotRegistered, StoreUnavailable."""
        acts = acting_in(self._acts)
        statement = (
            facility_staff.update().where(facility_staff.c.staff_ref == staff_ref).values(status="revoked")
        )
        with store_answers(), self._engine.begin() as connection:
            if not connection.execute(statement).rowcount:
                raise NotRegistered("this person is not registered at this organisation")
            acts.administration(connection, "staff_revoked", staff_ref.hex())

    def list_staff(self, organisation_id: str | None = None) -> Sequence[StaffRecord]:
        """Return the staff of all organisations, or of one, by name. Raises StoreUnavailable."""
        columns = [facility_staff.c[name] for name in StaffRecord.__dataclass_fields__]
        statement = select(*columns).order_by(facility_staff.c.organisation_id, facility_staff.c.full_name)
        if organisation_id is not None:
            statement = statement.where(facility_staff.c.organisation_id == organisation_id)
        with store_answers(), self._engine.connect() as connection:
            return [StaffRecord(**row) for row in connection.execute(statement).mappings()]
