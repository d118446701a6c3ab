"""Requests for consent in PostgreSQL: kept for whoever is asked about, with an account or without."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Engine, Select, func, or_, select
from sqlalchemy.dialects.postgresql import insert

from broker.consent.codec import terms_document, terms_from
from broker.consent.writing import KeptRequest, RequestOpening, RequestStep
from broker.storage.faults import store_answers
from broker.storage.tables import citizens, clients, consent_requests, consents, organisations


class PostgresConsentRequests:
    """Keeps requests. All methods raise StoreUnavailable."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def find_request(self, request_id: str) -> KeptRequest | None:
        """Return a request by its id, or None."""
        return self._one(consent_requests.c.request_id == request_id)

    def find_by_auth_request(self, auth_request_hash: bytes) -> KeptRequest | None:
        """Return the request that an auth_req_id stands for (CIBA), or None."""
        return self._one(consent_requests.c.auth_request_hash == auth_request_hash)

    def find_unopened(self, citizen_id: str, at: datetime, limit: int) -> Sequence[KeptRequest]:
        """Return the requests that no page of an account's holder has opened yet, the oldest first."""
        opened = select(consents.c.consent_id).where(consents.c.request_id == consent_requests.c.request_id)
        statement = (
            select(consent_requests)
            .join(citizens, citizens.c.personal_id_ref == consent_requests.c.citizen_ref)
            .where(citizens.c.citizen_id == citizen_id, _is_pending(at), ~opened.exists())
            .where(consent_requests.c.channel != "redirect")
            .order_by(consent_requests.c.requested_at)
            .limit(limit)
        )
        with store_answers(), self._engine.connect() as connection:
            return [_kept(row) for row in connection.execute(statement)]

    def keep(self, opening: RequestOpening, organisation_id: str) -> KeptRequest:
        """Keep a request and return what lies there now.

        That is another one where its id is taken, or where one of the organisation for one of its purposes
        waits for the person already. Of two at one moment the second waits for the first, which is why the
        pair of organisation and person is held until the end of the transaction.
        """
        purposes = [one.purpose for one in opening.items]
        waiting = _waiting(organisation_id, opening.citizen_ref, purposes, opening.requested_at)
        pair = f"{organisation_id}\x1f{opening.citizen_ref.hex()}"
        held = select(func.pg_advisory_xact_lock(func.hashtextextended(pair, 0)))
        taken = select(consent_requests).where(consent_requests.c.request_id == opening.request_id)
        with store_answers(), self._engine.begin() as connection:
            connection.execute(held)
            found = connection.execute(taken).first() or connection.execute(waiting).first()
            if found is None:
                statement = insert(consent_requests).values(_values(opening)).on_conflict_do_nothing()
                connection.execute(statement)
                # Another organisation, or person, may have taken the id at this moment.
                found = connection.execute(taken).one()
            return _kept(found)

    def find_waiting(
        self, organisation_id: str, citizen_ref: bytes, purposes: Collection[str], at: datetime
    ) -> KeptRequest | None:
        """Return a request of an organisation for one of these purposes that waits for a person, or None."""
        statement = _waiting(organisation_id, citizen_ref, purposes, at)
        with store_answers(), self._engine.connect() as connection:
            row = connection.execute(statement).first()
        return None if row is None else _kept(row)

    def note_polled(self, request_id: str, at: datetime) -> datetime | None:
        """Remember that the client asked for its token now; return when it asked before (CIBA, 11)."""
        before = select(consent_requests.c.polled_at).where(consent_requests.c.request_id == request_id)
        statement = (
            consent_requests.update().where(consent_requests.c.request_id == request_id).values(polled_at=at)
        )
        with store_answers(), self._engine.begin() as connection:
            earlier: datetime | None = connection.execute(before.with_for_update()).scalar_one_or_none()
            connection.execute(statement)
            return earlier

    def citizen_ref_of(self, citizen_id: str) -> bytes:
        """Return the reference under which requests about an account's holder are found, b"" for none."""
        statement = select(citizens.c.personal_id_ref).where(citizens.c.citizen_id == citizen_id)
        with store_answers(), self._engine.connect() as connection:
            found = connection.execute(statement).scalar_one_or_none()
        return b"" if found is None else bytes(found)

    def sealed_personal_id(self, citizen_id: str) -> bytes | None:
        """Return the encrypted personal id of an account, or None."""
        statement = select(citizens.c.personal_id_encrypted).where(citizens.c.citizen_id == citizen_id)
        with store_answers(), self._engine.connect() as connection:
            found = connection.execute(statement).scalar_one_or_none()
        return None if found is None else bytes(found)

    def organisation_names(self, organisation_id: str) -> tuple[str, str]:
        """Return the Vietnamese and the English name of an organisation; its id where it is not known."""
        return self.names_of_organisations((organisation_id,))[organisation_id]

    def names_of_organisations(self, organisation_ids: Collection[str]) -> Mapping[str, tuple[str, str]]:
        """Return what organisation_names does, of several at one look."""
        statement = select(
            organisations.c.organisation_id, organisations.c.name_vi, organisations.c.name_en
        ).where(organisations.c.organisation_id.in_(sorted(set(organisation_ids))))
        with store_answers(), self._engine.connect() as connection:
            found = {row[0]: (row[1], row[2]) for row in connection.execute(statement)}
        return {one: found.get(one, (one, one)) for one in organisation_ids}

    def find_refusal(self, organisation_id: str, citizen_ref: bytes, purpose: str) -> datetime | None:
        """Return when the person last refused this organisation for this purpose, or None."""
        statement = (
            select(func.max(consents.c.state_since_at))
            .join(consent_requests, consent_requests.c.request_id == consents.c.request_id)
            .where(consents.c.organisation_id == organisation_id, consents.c.purpose == purpose)
            .where(consent_requests.c.citizen_ref == citizen_ref, consents.c.state == "refused")
        )
        with store_answers(), self._engine.connect() as connection:
            found: datetime | None = connection.execute(statement).scalar_one()
            return found

    def _one(self, condition: Any) -> KeptRequest | None:
        with store_answers(), self._engine.connect() as connection:
            row = connection.execute(select(consent_requests).where(condition)).one_or_none()
        return None if row is None else _kept(row)


def _is_pending(at: datetime) -> ColumnElement[bool]:
    return (
        consent_requests.c.decided_at.is_(None)
        & consent_requests.c.cancelled_at.is_(None)
        & (consent_requests.c.expires_at > at)
    )


def _waiting(
    organisation_id: str, citizen_ref: bytes, purposes: Collection[str], at: datetime
) -> Select[Any]:
    """Return the statement for a pending request of an organisation, for one of the purposes."""
    asks = or_(*(consent_requests.c["items"].contains([{"purpose": purpose}]) for purpose in purposes))
    return (
        select(consent_requests)
        .join(clients, clients.c.client_id == consent_requests.c.client_id)
        .where(consent_requests.c.citizen_ref == citizen_ref, _is_pending(at), asks)
        .where(clients.c.organisation_id == organisation_id)
        .limit(1)
    )


def keep_request(connection: Connection, opening: RequestOpening) -> None:
    """Keep a request on a connection whose transaction holds more."""
    connection.execute(consent_requests.insert().values(_values(opening)))


def decide_request(connection: Connection, request_id: str, at: datetime, grant_id: str | None) -> bool:
    """Mark a request as decided, on a connection whose transaction holds more; False if it is over."""
    decided = connection.execute(
        consent_requests.update()
        .where(consent_requests.c.request_id == request_id, consent_requests.c.decided_at.is_(None))
        .where(consent_requests.c.cancelled_at.is_(None), consent_requests.c.expires_at > at)
        .values(decided_at=at, grant_id=grant_id)
    )
    return decided.rowcount == 1


def cancel_request(connection: Connection, request_id: str, at: datetime) -> bool:
    """Mark a request as taken back, on a connection whose transaction holds more; False if it is over."""
    cancelled = connection.execute(
        consent_requests.update()
        .where(consent_requests.c.request_id == request_id, consent_requests.c.decided_at.is_(None))
        .where(consent_requests.c.cancelled_at.is_(None), consent_requests.c.expires_at > at)
        .values(cancelled_at=at)
    )
    return cancelled.rowcount == 1


def note_viewed(connection: Connection, request_id: str, at: datetime) -> None:
    """Remember when a request was first looked at, on a connection whose transaction holds more.

    The row of a request is held before those of its consents, here as everywhere.
    """
    connection.execute(
        consent_requests.update()
        .where(consent_requests.c.request_id == request_id, consent_requests.c.viewed_at.is_(None))
        .values(viewed_at=at)
    )


def is_unopened(connection: Connection, request_id: str, at: datetime) -> bool:
    """Return whether a request is pending and has no consent yet; whoever asks next waits for this one."""
    pending = (
        select(consent_requests.c.request_id)
        .where(consent_requests.c.request_id == request_id, consent_requests.c.decided_at.is_(None))
        .where(consent_requests.c.cancelled_at.is_(None), consent_requests.c.expires_at > at)
        .with_for_update()
    )
    opened = select(consents.c.consent_id).where(consents.c.request_id == request_id).limit(1)
    if connection.execute(pending).one_or_none() is None:
        return False
    return connection.execute(opened).one_or_none() is None


def is_undecided(connection: Connection, request_id: str, besides: str | None = None) -> bool:
    """Return whether a consent of a request waits for its decision. The request's row is held already.

    besides: one that does not count.
    """
    waiting = (
        select(consents.c.consent_id)
        .where(consents.c.request_id == request_id, consents.c.state.in_(("requested", "pending_cosign")))
        .limit(1)
    )
    if besides is not None:
        waiting = waiting.where(consents.c.consent_id != besides)
    return connection.execute(waiting).one_or_none() is not None


def take_step(connection: Connection, step: RequestStep) -> bool:
    """Let a request go where a decision takes it, on a connection whose transaction holds more.

    False if the request is over, or if a decision came in between: decisions wait for one another.
    """
    pending = (
        select(consent_requests.c.grant_id)
        .where(consent_requests.c.request_id == step.request_id, consent_requests.c.decided_at.is_(None))
        .where(consent_requests.c.cancelled_at.is_(None), consent_requests.c.expires_at > step.at)
        .with_for_update()
    )
    found = connection.execute(pending).one_or_none()
    if found is None or found.grant_id != step.grant_before:
        return False
    if is_undecided(connection, step.request_id, besides=step.consent_id) is step.is_last:
        return False
    connection.execute(
        consent_requests.update()
        .where(consent_requests.c.request_id == step.request_id)
        .values(grant_id=step.grant_id, decided_at=step.at if step.is_last else None)
    )
    return True


def _values(opening: RequestOpening) -> dict[str, Any]:
    return {
        "request_id": opening.request_id,
        "client_id": opening.client_id,
        "citizen_ref": opening.citizen_ref,
        "channel": opening.channel,
        "request_hash": opening.request_hash,
        "auth_request_hash": opening.auth_request_hash,
        "items": [terms_document(terms) for terms in opening.items],
        "scope": opening.scope,
        "requested_at": opening.requested_at,
        "expires_at": opening.expires_at,
    }


def _kept(row: Any) -> KeptRequest:
    opening = RequestOpening(
        request_id=str(row.request_id),
        client_id=row.client_id,
        citizen_ref=bytes(row.citizen_ref),
        channel=row.channel,
        request_hash=bytes(row.request_hash),
        auth_request_hash=None if row.auth_request_hash is None else bytes(row.auth_request_hash),
        items=tuple(terms_from(document) for document in row.items),
        scope=row.scope,
        requested_at=row.requested_at,
        expires_at=row.expires_at,
    )
    return KeptRequest(
        opening=opening,
        viewed_at=row.viewed_at,
        decided_at=row.decided_at,
        cancelled_at=row.cancelled_at,
        polled_at=row.polled_at,
        redeemed_at=row.redeemed_at,
        grant_id=row.grant_id,
    )
