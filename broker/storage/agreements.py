"""Published sharing agreements: every revision kept by hash, one current revision per agreement."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

from sqlalchemy import Connection, Engine, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import IntegrityError

from broker.storage.faults import store_answers
from broker.storage.tables import agreement_revisions, agreements


@dataclass(frozen=True, slots=True)
class AgreementRevision:
    """One revision of one agreement, as published. text: the TOML a lawyer reads."""

    agreement_id: str
    revision: int
    revision_hash: str
    text: str
    valid_from: date
    valid_to: date
    review_date: date


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


def publish_agreement(engine: Engine, revision: AgreementRevision) -> bool:
    """Make a revision the current one; return whether anything changed.

    Releases decided on the revision before are refused by the recording statement from this commit on.
    Raises RevisionNotNewer when the current revision has a higher number, or the same and another text.
    """
    try:
        with store_answers(), engine.begin() as connection:
            return _publish(connection, revision)
    except IntegrityError:
        raise RevisionNotNewer(
            f"{revision.agreement_id}: somebody else published revision {revision.revision} with another text"
        ) from None


def _publish(connection: Connection, revision: AgreementRevision) -> bool:
    current = _current(connection, revision.agreement_id)
    if current is not None and current[1] == revision.revision_hash:
        return False
    if current is not None and current[0] >= revision.revision:
        raise RevisionNotNewer(
            f"{revision.agreement_id}: revision {current[0]} is in force; "
            f"publish a changed text as revision {current[0] + 1}"
        )
    connection.execute(
        insert(agreement_revisions)
        .values(
            revision_hash=revision.revision_hash,
            agreement_id=revision.agreement_id,
            revision=revision.revision,
            text=revision.text,
        )
        .on_conflict_do_nothing(index_elements=["revision_hash"])
    )
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
    return True


def _current(connection: Connection, agreement_id: str) -> tuple[int, str] | None:
    """Lock the agreement first, look up its revision then: a publisher that had to wait sees the other's."""
    revision_hash = connection.execute(
        select(agreements.c.revision_hash).where(agreements.c.agreement_id == agreement_id).with_for_update()
    ).scalar_one_or_none()
    if revision_hash is None:
        return None
    revision = select(agreement_revisions.c.revision).where(
        agreement_revisions.c.revision_hash == revision_hash
    )
    return connection.execute(revision).scalar_one(), revision_hash


def set_agreement_status(engine: Engine, agreement_id: str, status: str) -> bool:
    """Suspend or resume an agreement (status: suspended | active); return whether it exists."""
    with store_answers(), engine.begin() as connection:
        done = connection.execute(
            update(agreements).where(agreements.c.agreement_id == agreement_id).values(status=status)
        )
    return done.rowcount == 1


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
