"""Complaints in PostgreSQL: ciphertexts, who complained about which evidence, and until when it is due."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, Literal, Protocol, TypeAlias

from sqlalchemy import Engine, select
from sqlalchemy.dialects.postgresql import insert

from broker.consent.complaint import Complaint, ComplaintStatus
from broker.storage.acts import Acts, acting_in
from broker.storage.clients import NotRegistered
from broker.storage.faults import store_answers
from broker.storage.tables import complaints

_Purpose: TypeAlias = Literal["complaint", "complaint_answer"]


class Secrets(Protocol):
    """Seals and opens under the key of a purpose, bound to a name."""

    def seal(self, purpose: _Purpose, citizen_id: str, plain: str) -> bytes:
        """Return nonce and ciphertext."""
        ...

    def open(self, purpose: _Purpose, citizen_id: str, sealed: bytes) -> str:
        """Return what was sealed. Raises CitizenSecretUnreadable."""
        ...


class PostgresComplaints:
    """Keeps complaints. All methods raise StoreUnavailable.

    acts: of whoever reads, acknowledges and answers them; None is for the citizens' own pages.
    """

    def __init__(self, engine: Engine, secrets: Secrets, acts: Acts | None = None) -> None:
        self._acts = acts
        self._engine = engine
        self._secrets = secrets

    def keep(self, complaint: Complaint) -> bool:
        """Keep a complaint; False if its id is taken: whoever sends a form twice complains once."""
        sealed = self._secrets.seal(
            "complaint", name_of(complaint.citizen_id, complaint.complaint_id), complaint.text
        )
        statement = insert(complaints).values(
            complaint_id=complaint.complaint_id,
            citizen_id=complaint.citizen_id,
            reference=complaint.reference or None,
            text_encrypted=sealed,
            status=complaint.status,
            received_at=complaint.received_at,
            acknowledge_by=complaint.acknowledge_by,
        )
        once = statement.on_conflict_do_nothing().returning(complaints.c.complaint_id)
        with store_answers(), self._engine.begin() as connection:
            return connection.execute(once).one_or_none() is not None

    def find_of_citizen(self, citizen_id: str, limit: int = 200) -> Sequence[Complaint]:
        """Return a person's complaints with their words, the newest first."""
        statement = select(complaints).where(complaints.c.citizen_id == citizen_id)
        newest = statement.order_by(complaints.c.received_at.desc(), complaints.c.complaint_id)
        with store_answers(), self._engine.connect() as connection:
            return [self._opened(row) for row in connection.execute(newest.limit(limit))]

    def list_complaints(self, status: ComplaintStatus | None = None, limit: int = 100) -> Sequence[Complaint]:
        """Return complaints without their words, those that are due first at the beginning."""
        statement = select(complaints).order_by(complaints.c.acknowledge_by, complaints.c.complaint_id)
        if status is not None:
            statement = statement.where(complaints.c.status == status)
        with store_answers(), self._engine.connect() as connection:
            return [_complaint(row) for row in connection.execute(statement.limit(limit))]

    def get_complaint(self, complaint_id: str) -> Complaint:
        """Return a complaint with its words, once it is recorded who reads it. Raises NotRegistered."""
        acts = acting_in(self._acts)
        statement = select(complaints).where(complaints.c.complaint_id == complaint_id)
        with store_answers(), self._engine.begin() as connection:
            row = connection.execute(statement).one_or_none()
            if row is None:
                raise NotRegistered("there is no such complaint")
            acts.administration(
                connection, "complaint_read", str(row.complaint_id), citizen_id=str(row.citizen_id)
            )
        return self._opened(row)

    def acknowledge(self, complaint_id: str, at: datetime) -> None:
        """Acknowledge a complaint that was received. Raises NotRegistered (none, or one further on)."""
        self._change(
            "complaint_acknowledged",
            complaint_id,
            ("received",),
            lambda _row: {"status": "acknowledged", "acknowledged_at": at},
        )

    def answer(self, complaint_id: str, answer: str, at: datetime) -> None:
        """Answer a complaint that nobody has answered. Raises NotRegistered (none, or one answered)."""

        def answered(row: Any) -> dict[str, Any]:
            name = name_of(str(row.citizen_id), str(row.complaint_id))
            return {
                "status": "answered",
                "acknowledged_at": row.acknowledged_at or at,
                "answered_at": at,
                "answer_encrypted": self._secrets.seal("complaint_answer", name, answer),
            }

        self._change("complaint_answered", complaint_id, ("received", "acknowledged"), answered)

    def _change(
        self,
        act: str,
        complaint_id: str,
        before: tuple[str, ...],
        values: Callable[[Any], dict[str, Any]],
    ) -> None:
        acts = acting_in(self._acts)
        wanted = complaints.c.complaint_id == complaint_id
        with store_answers(), self._engine.begin() as connection:
            row = connection.execute(select(complaints).where(wanted).with_for_update()).one_or_none()
            if row is None or row.status not in before:
                raise NotRegistered(f"there is no such complaint that is {' or '.join(before)}")
            connection.execute(complaints.update().where(wanted).values(**values(row)))
            acts.administration(connection, act, str(row.complaint_id), citizen_id=str(row.citizen_id))

    def _opened(self, row: Any) -> Complaint:
        name = name_of(str(row.citizen_id), str(row.complaint_id))
        answer = row.answer_encrypted
        return _complaint(
            row,
            text=self._secrets.open("complaint", name, bytes(row.text_encrypted)),
            answer="" if answer is None else self._secrets.open("complaint_answer", name, bytes(answer)),
        )


def name_of(citizen_id: str, complaint_id: str) -> str:
    """Return what a ciphertext is bound to: not even between complaints of one person can it be moved."""
    return f"{citizen_id}/{complaint_id}"


def _complaint(row: Any, text: str = "", answer: str = "") -> Complaint:
    return Complaint(
        complaint_id=str(row.complaint_id),
        citizen_id=str(row.citizen_id),
        reference="" if row.reference is None else str(row.reference),
        status=row.status,
        received_at=row.received_at,
        acknowledge_by=row.acknowledge_by,
        acknowledged_at=row.acknowledged_at,
        answered_at=row.answered_at,
        text=text,
        answer=answer,
    )
