"""Published sharing agreements: every revision kept by hash, one current revision per agreement.

Beside each revision stands with which registers (field catalogue, legal bases, prohibitions ...) it was
published, and from when on: they are kept by hash too, so that a decision can be made again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Literal

from sqlalchemy import Connection, Engine, func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import IntegrityError

from broker.evidence.replay_facts import KeptRegisters, KeptRevision
from broker.storage.acts import Acts
from broker.storage.faults import store_answers
from broker.storage.tables import agreement_registers, agreement_revisions, agreements, policy_registers
from policies.load import registers_hash


@dataclass(frozen=True, slots=True)
class AgreementRevision:
    """One revision of one agreement, as published. text: the TOML a lawyer reads.

    hidden_days: for how long its looks stay out of the person's own history, hidden_days_maximum: with every
    extension; None where nothing is hidden.
    """

    agreement_id: str
    revision: int
    revision_hash: str
    text: str
    valid_from: date
    valid_to: date
    review_date: date
    hidden_days: int | None = None
    hidden_days_maximum: int | None = None


@dataclass(frozen=True, slots=True)
class PublishedAgreement:
    """What is in force: id, hash of the current revision, and whether it is suspended."""

    agreement_id: str
    revision_hash: str
    status: str
    valid_from: date
    valid_to: date
    review_date: date


class RevisionNotNewer(Exception):
    """A revision number may not go back, and one number may not name two texts."""


def publish_agreement(
    engine: Engine, acts: Acts, revision: AgreementRevision, registers: Mapping[str, str] | None = None
) -> bool:
    """Make a revision the current one; return whether it was not that already.

    acts: of whoever publishes: what changes is an entry of evidence, in this transaction. registers: file →
    text of what it is read with (`policies.load.register_texts`), kept with it and again whenever it
    changes; None keeps nothing, and decisions cannot be replayed.
    Releases decided on the revision before are refused by the recording statement from this commit on.
    Raises RevisionNotNewer when the current revision has a higher number, or the same and another text.
    """
    try:
        with store_answers(), engine.begin() as connection:
            before = _current(connection, revision.agreement_id)
            if before is None and not _keep_text(connection, revision):
                # Somebody else has just published it for the first time: this transaction had to wait for it.
                before = _current(connection, revision.agreement_id)
            is_new = before is None or before.revision_hash != revision.revision_hash
            if is_new:
                _publish(connection, revision, before)
            _record_change(connection, acts, revision, before, registers)
            return is_new
    except IntegrityError:
        raise RevisionNotNewer(
            f"{revision.agreement_id}: somebody else published revision {revision.revision} with another text"
        ) from None


@dataclass(frozen=True, slots=True)
class _Current:
    """What is in force: number and hash of the revision, and hash of what it is read with, "" for none."""

    revision: int
    revision_hash: str
    registers_hash: str


def _publish(connection: Connection, revision: AgreementRevision, before: _Current | None) -> None:
    if before is not None and before.revision >= revision.revision:
        raise RevisionNotNewer(
            f"{revision.agreement_id}: revision {before.revision} is in force; "
            f"publish a changed text as revision {before.revision + 1}"
        )
    _keep_text(connection, revision)
    values = {
        "revision_hash": revision.revision_hash,
        "valid_from": revision.valid_from,
        "valid_to": revision.valid_to,
        "review_date": revision.review_date,
    }
    connection.execute(
        insert(agreements)
        .values(agreement_id=revision.agreement_id, **values)
        .on_conflict_do_update(index_elements=["agreement_id"], set_=values)
    )


def _keep_text(connection: Connection, revision: AgreementRevision) -> bool:
    """Keep the text of a revision; return whether it was not kept yet."""
    kept = insert(agreement_revisions).values(
        revision_hash=revision.revision_hash,
        agreement_id=revision.agreement_id,
        revision=revision.revision,
        text=revision.text,
        hidden_days=revision.hidden_days,
        hidden_days_maximum=revision.hidden_days_maximum,
    )
    once = kept.on_conflict_do_nothing(index_elements=["revision_hash"])
    return connection.execute(once.returning(agreement_revisions.c.revision_hash)).one_or_none() is not None


def _record_change(
    connection: Connection,
    acts: Acts,
    revision: AgreementRevision,
    before: _Current | None,
    registers: Mapping[str, str] | None,
) -> None:
    """Keep the registers, and record what is in force from now on if it is anything else than before."""
    old = ("", "") if before is None else (before.revision_hash, before.registers_hash)
    kept = "" if registers is None else _keep_registers(connection, revision.revision_hash, registers)
    is_same = old[0] == revision.revision_hash
    new = (revision.revision_hash, kept or (old[1] if is_same else ""))
    if new == old:
        return
    acts.policy_change(
        connection,
        revision.agreement_id,
        "registers_changed" if is_same else "published",
        revisions=(old[0], new[0]),
        registers=(old[1], new[1]),
    )


def _keep_registers(connection: Connection, revision_hash: str, registers: Mapping[str, str]) -> str:
    """Put down with which registers a revision is in force from now on, if with others than before.

    Return their hash.
    """
    content_hash = registers_hash(registers)
    if _last_registers(connection, revision_hash) == content_hash:
        return content_hash
    connection.execute(
        insert(policy_registers)
        .values(registers_hash=content_hash, documents=dict(registers))
        .on_conflict_do_nothing(index_elements=["registers_hash"])
    )
    connection.execute(
        insert(agreement_registers)
        .values(revision_hash=revision_hash, registers_hash=content_hash)
        .on_conflict_do_nothing(index_elements=["revision_hash", "published_at"])
    )
    return content_hash


def _last_registers(connection: Connection, revision_hash: str) -> str:
    """Return the hash of the registers that a revision is read with now, "" where none were kept."""
    last = (
        select(agreement_registers.c.registers_hash)
        .where(agreement_registers.c.revision_hash == revision_hash)
        .order_by(agreement_registers.c.published_at.desc())
        .limit(1)
    )
    return connection.execute(last).scalar_one_or_none() or ""


def _current(connection: Connection, agreement_id: str) -> _Current | None:
    """Lock the agreement first, look up its revision then: a publisher that had to wait sees the other's."""
    revision_hash = connection.execute(
        select(agreements.c.revision_hash).where(agreements.c.agreement_id == agreement_id).with_for_update()
    ).scalar_one_or_none()
    if revision_hash is None:
        return None
    revision = select(agreement_revisions.c.revision).where(
        agreement_revisions.c.revision_hash == revision_hash
    )
    number = connection.execute(revision).scalar_one()
    return _Current(number, revision_hash, _last_registers(connection, revision_hash))


def set_agreement_status(
    engine: Engine, acts: Acts, agreement_id: str, status: Literal["suspended", "active"]
) -> bool:
    """Suspend or resume an agreement; return whether it exists. acts: of whoever does it.

    What is so already stays so, and is no entry of evidence.
    """
    held = select(agreements.c.status).where(agreements.c.agreement_id == agreement_id).with_for_update()
    with store_answers(), engine.begin() as connection:
        before = connection.execute(held).scalar_one_or_none()
        current = _current(connection, agreement_id)
        if current is None or before == status:
            return current is not None
        changed = update(agreements).where(agreements.c.agreement_id == agreement_id)
        connection.execute(changed.values(status=status))
        acts.policy_change(
            connection,
            agreement_id,
            "suspended" if status == "suspended" else "resumed",
            revisions=(current.revision_hash, current.revision_hash),
            registers=(current.registers_hash, current.registers_hash),
        )
    return True


def published_agreements(engine: Engine) -> list[PublishedAgreement]:
    """Return what is in force, by id."""
    statement = select(
        agreements.c.agreement_id,
        agreements.c.revision_hash,
        agreements.c.status,
        agreements.c.valid_from,
        agreements.c.valid_to,
        agreements.c.review_date,
    ).order_by(agreements.c.agreement_id)
    with store_answers(), engine.connect() as connection:
        return [PublishedAgreement(*row) for row in connection.execute(statement)]


class KeptAgreements:
    """Implements `broker.actions.replay_decision.KeptRevisions`."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def find_revision(self, revision_hash: str, at: datetime) -> KeptRevision | None:
        """Return a revision as it was kept, with the registers of an instant; None if never published."""
        following = agreement_revisions.alias()
        superseded_at = (
            select(func.min(following.c.published_at))
            .where(
                following.c.agreement_id == agreement_revisions.c.agreement_id,
                following.c.revision > agreement_revisions.c.revision,
            )
            .scalar_subquery()
        )
        statement = select(
            agreement_revisions.c.agreement_id,
            agreement_revisions.c.text,
            agreement_revisions.c.published_at,
            superseded_at,
        ).where(agreement_revisions.c.revision_hash == revision_hash)
        with store_answers(), self._engine.connect() as connection:
            row = connection.execute(statement).one_or_none()
            registers = None if row is None else _registers_at(connection, revision_hash, at)
        return None if row is None else KeptRevision(row[0], revision_hash, row[1], row[2], row[3], registers)


def _registers_at(connection: Connection, revision_hash: str, at: datetime) -> KeptRegisters | None:
    """Return the registers with which a revision was in force at an instant, None where none were kept."""
    statement = (
        select(policy_registers.c.registers_hash, policy_registers.c.documents)
        .join(
            agreement_registers,
            agreement_registers.c.registers_hash == policy_registers.c.registers_hash,
        )
        .where(agreement_registers.c.revision_hash == revision_hash, agreement_registers.c.published_at <= at)
        .order_by(agreement_registers.c.published_at.desc())
        .limit(1)
    )
    row = connection.execute(statement).one_or_none()
    return None if row is None else KeptRegisters(row[0], row[1])
