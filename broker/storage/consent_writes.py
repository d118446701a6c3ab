"""What one action upon consents writes, statement by statement, inside the caller's transaction."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, ScalarSelect, func, literal, select

from broker.consent.codec import consent_document
from broker.consent.record import ActorKind, Consent
from broker.consent.terms import terms_to_detail
from broker.consent.writing import CarriedCount, ChainedEvent, ConsentWriting, IssuedReceipt
from broker.errors import ConsentMoved, GrantNotFound
from broker.oauth.authorization_request import Grant, IssuedCode
from broker.oauth.grant_ends import GrantEnd
from broker.storage.grants import revoke_in
from broker.storage.outbox import outbox_values
from broker.storage.requests import approve_in, refuse_in
from broker.storage.tables import (
    clients,
    consent_events,
    consent_receipts,
    consents,
    grants,
    outbox_messages,
    refresh_tokens,
    usage_counters,
)


def decide_redirect(
    connection: Connection, redirect: tuple[bytes, datetime, Grant | None, IssuedCode | None]
) -> None:
    """Decide a pushed request, with grant and code or without. Raises ConsentMoved."""
    request_ref, at, grant, code = redirect
    if grant is None or code is None:
        done = refuse_in(connection, request_ref, at)
    else:
        done = approve_in(connection, request_ref, grant, code)
    if not done:
        raise ConsentMoved("the authorization request was decided or has expired")


def hold_consents(connection: Connection, writings: Sequence[ConsentWriting]) -> None:
    """Hold the rows of several consents in one order, then those of their grants: nobody waits in a circle.

    Releases under way hold a row until they have committed; whoever comes later waits for this transaction.
    """
    known = [one.consent.consent_id for one in writings if one.expected_version]
    if len(known) > 1:
        held = select(consents.c.consent_id).where(consents.c.consent_id.in_(known))
        connection.execute(held.order_by(consents.c.consent_id).with_for_update(key_share=True))
        under = {one.consent.grant_id for one in writings if one.grant_ended_by is not None}
        ending = select(grants.c.grant_id).where(grants.c.grant_id.in_(under - {None}))
        connection.execute(ending.order_by(grants.c.grant_id).with_for_update(key_share=True))


def write_consent(connection: Connection, writing: ConsentWriting) -> None:
    """Write one new version; its expected predecessor must still be the one that lies there."""
    consent = writing.consent
    values = {
        "state": consent.state,
        "version": consent.version,
        "grant_id": consent.grant_id,
        "valid_from_at": consent.valid_from_at,
        "valid_to_at": consent.valid_to_at,
        "refresh_due_at": consent.refresh_due_at,
        "request_expires_at": consent.request_expires_at,
        "state_since_at": consent.state_since_at,
        "record": consent_document(consent),
    }
    if writing.expected_version == 0:
        fixed = {
            "consent_id": consent.consent_id,
            "request_id": consent.request_id,
            "client_id": consent.client_id,
            "organisation_id": consent.organisation_id,
            "citizen_id": consent.citizen_id,
            "purpose": consent.terms.purpose,
            "agreement_id": consent.terms.agreement_id,
        }
        connection.execute(consents.insert().values({**fixed, **values}))
        if consent.supersedes is not None and consent.grant_id is not None:
            _take_over(connection, consent)
    else:
        # Waits for releases under way that hold the row, and is waited for by those that come later.
        moved = connection.execute(
            consents.update()
            .where(consents.c.consent_id == consent.consent_id)
            .where(consents.c.version == writing.expected_version)
            .values(values)
        )
        if moved.rowcount != 1:
            raise ConsentMoved("the consent was changed in the meantime")
        if consent.grant_id is not None and consent.state == "active":
            # Given on a request of which more was given before, it comes under that grant. Confirmed after
            # a birthday, it is signed by others: another agreement, with another hash.
            _speak_of(connection, consent, consent.consent_id)
    for count in writing.counts:
        _carry(connection, count)
    for event in writing.events:
        connection.execute(consent_events.insert().values(_event_values(event)))
    if writing.grant_ended_by is not None and consent.grant_id is not None:
        _end_grant(connection, consent, writing.grant_ended_by)
    if writing.receipt is not None:
        connection.execute(consent_receipts.insert().values(_receipt_values(writing.receipt)))
    for notice in writing.notices:
        connection.execute(outbox_messages.insert().values(outbox_values(notice)))


def end_grant(connection: Connection, ended: tuple[str, GrantEnd, datetime], *, is_empty: bool) -> None:
    """End a grant after all that lives under it was ended. is_empty: nothing did.

    The rows of consents are held before that of their grant, here as everywhere.
    Raises ConsentMoved (something came under it in the meantime), GrantNotFound (there was nothing to end).
    """
    grant_id, ended_by, at = ended
    if not revoke_in(connection, grant_id, ended_by, at) and is_empty:
        raise GrantNotFound
    living = select(consents.c.consent_id).where(consents.c.grant_id == grant_id, is_living())
    if connection.execute(living.limit(1)).one_or_none() is not None:
        raise ConsentMoved("another consent has come under the grant in the meantime")


def _take_over(connection: Connection, consent: Consent) -> None:
    """Let a grant speak of the consent that superseded another: the next token is for the new terms.

    It and its refresh tokens last as long as the longest consent under it, at most as long as the client's
    registration: longer than before where a consent was extended, less long where its end was brought nearer.
    """
    _speak_of(connection, consent, consent.supersedes)
    living = (
        select(func.max(consents.c.valid_to_at))
        .where(consents.c.grant_id == consent.grant_id, is_living())
        .scalar_subquery()
    )
    lasting = grants.update().where(grants.c.grant_id == consent.grant_id)
    until = connection.execute(
        lasting.values(expires_at=func.least(living, _registered(consent))).returning(grants.c.expires_at)
    ).scalar_one()
    connection.execute(
        refresh_tokens.update()
        .where(refresh_tokens.c.grant_id == consent.grant_id, refresh_tokens.c.revoked_at.is_(None))
        .values(expires_at=until)
    )


def _speak_of(connection: Connection, consent: Consent, told_id: str | None) -> None:
    """Let the grant of a consent tell what was agreed now, in the place of what it told of told_id.

    Where it told nothing of it the grant grows: it lasts as long as the longest consent under it, at most as
    long as the client's registration. Raises ConsentMoved if it has ended: no token could be made of it.
    """
    held = grants.c.grant_id == consent.grant_id
    found = select(grants.c.authorization_details, grants.c.revoked_at).where(held)
    before, revoked_at = connection.execute(found.with_for_update(key_share=True)).one()
    if revoked_at is not None:
        raise ConsentMoved("the grant has ended in the meantime")
    detail = dict(terms_to_detail(consent))
    if all(one.get("consent_id") != told_id for one in before):
        grown = {"authorization_details": [*before, detail], "expires_at": _until(consent)}
        connection.execute(grants.update().where(held).values(grown))
        return
    after = [detail if one.get("consent_id") == told_id else one for one in before]
    if after != before:
        connection.execute(grants.update().where(held).values(authorization_details=after))


def _until(consent: Consent) -> ColumnElement[Any]:
    """Return until when the grant of a consent lasts from now on, in an UPDATE of its row."""
    longest = func.greatest(grants.c.expires_at, consent.valid_to_at)
    return func.least(longest, _registered(consent))


def _registered(consent: Consent) -> ScalarSelect[Any]:
    """Return until when the client of a consent is registered."""
    return select(clients.c.expires_at).where(clients.c.client_id == consent.client_id).scalar_subquery()


def _carry(connection: Connection, count: CarriedCount) -> None:
    """Go on counting where another consent stopped. Its row is held: no release comes in between."""
    counter = usage_counters.c
    before = select(
        literal(count.to_seconds), literal(count.to_ref), counter.used_count, counter.limit_count
    ).where(counter.counter_ref == count.from_ref, counter.window_start_seconds == count.from_seconds)
    columns = ["window_start_seconds", "counter_ref", "used_count", "limit_count"]
    connection.execute(usage_counters.insert().from_select(columns, before))


def _end_grant(connection: Connection, consent: Consent, ended_by: ActorKind) -> None:
    """End the grant, unless another consent under it still lives: one redirect may have given several.

    Of two consents that end at one moment each would take the other for living: so the second waits for the
    grant's row and looks after the first has committed.
    """
    held = select(grants.c.grant_id).where(grants.c.grant_id == consent.grant_id)
    connection.execute(held.with_for_update(key_share=True))
    living = (
        select(consents.c.consent_id)
        .where(consents.c.grant_id == consent.grant_id, consents.c.consent_id != consent.consent_id)
        .where(is_living())
    )
    if connection.execute(living.limit(1)).one_or_none() is None:
        revoke_in(connection, str(consent.grant_id), ended_by, consent.state_since_at)


def is_living() -> ColumnElement[bool]:
    """Return the condition that a consent was given and is kept as not having ended."""
    return consents.c.state.in_(("active", "paused", "refresh_due"))


def _event_values(event: ChainedEvent) -> dict[str, Any]:
    return {
        "consent_id": event.consent_id,
        "number": event.number,
        "type": event.type,
        "entry": event.entry,
        "entry_hash": event.entry_hash,
        "recorded_at": event.at,
    }


def _receipt_values(receipt: IssuedReceipt) -> dict[str, Any]:
    return {
        "receipt_id": receipt.receipt_id,
        "consent_id": receipt.consent_id,
        "citizen_id": receipt.citizen_id,
        "event_type": receipt.event_type,
        "receipt": receipt.receipt,
        "issued_at": receipt.issued_at,
    }
