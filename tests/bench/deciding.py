"""Citizens in front of the decision page, for the bench: signed in, each with a pushed request that waits."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import cycle, islice

from sqlalchemy import Engine

from broker.oauth.authorization_request import (
    DECISION_SECONDS,
    REQUEST_URI_PREFIX,
    PushedParameters,
    PushedRequest,
    request_ref_of,
    waits_until,
)
from broker.oauth.citizens import SessionOpening, session_ref_of
from broker.storage.citizens import PostgresCitizens
from broker.storage.requests import PostgresRequests
from consent_ui.addresses import Addresses, handle_of
from tests.acting import ACTS
from tests.bench.lending import AGREEMENT, FIELDS, Lending

PAGES = 200
"""How many different citizens and requests one round has: each page is asked for several times."""


@dataclass(frozen=True, slots=True)
class Deciding:
    """Makes requests for pages in the store of a lending. citizen_ids: accounts that the store has."""

    lending: Lending
    citizen_ids: Sequence[str]

    def requests(self, issuer: str, request_count: int) -> list[bytes]:
        """Return so many requests for decision pages, in Vietnamese, at level 2.

        Sessions and pushed requests are made anew: they live for a quarter of an hour.
        """
        pages = [self._page(issuer, number) for number in range(min(PAGES, request_count))]
        return list(islice(cycle(pages), request_count))

    def _page(self, issuer: str, number: int) -> bytes:
        handle = handle_of(self._push(number))
        session = sign_in(self.lending.store.engine, self.citizen_ids[number % len(self.citizen_ids)])
        return page_request(Addresses(issuer).request(handle, "vi"), session)

    def _push(self, number: int) -> bytes:
        lenders, at = self.lending.lenders, datetime.now(UTC)
        client_id = lenders[number % len(lenders)].client_id
        request_ref = request_ref_of(REQUEST_URI_PREFIX + secrets.token_urlsafe(32))
        detail = {
            "type": "insurance_record",
            "purpose": "prove_income",
            "fields": list(FIELDS),
            "required_fields": ["salary_base"],
            "valid_days": 90,
            "retention_days": 180,
            "agreement_id": AGREEMENT,
        }
        store = PostgresRequests(self.lending.store.engine)
        store.push_request(
            PushedRequest(
                request_ref=request_ref,
                client_id=client_id,
                parameters=PushedParameters(
                    redirect_uri="https://bank.example/callback",
                    scopes=("share_record",),
                    details=(detail,),
                    code_challenge=secrets.token_urlsafe(32),
                    state="bench",
                ),
                pushed_at=at,
                expires_at=waits_until(at),
            )
        )
        store.open_request(request_ref, client_id, at, at + timedelta(seconds=DECISION_SECONDS))
        return request_ref


def sign_in(engine: Engine, citizen_id: str) -> str:
    """Open a session of level 2 for half an hour; return the value of its cookie."""
    value, at = secrets.token_urlsafe(32), datetime.now(UTC)
    opening = SessionOpening(
        session_ref=session_ref_of(value),
        citizen_id=citizen_id,
        level=2,
        authenticated_at=at,
        expires_at=at + timedelta(minutes=30),
    )
    if not PostgresCitizens(engine, ACTS).open_session(opening):
        raise RuntimeError("a citizen of the bench could not sign in")
    return value


def page_request(address: str, session: str) -> bytes:
    """Return the request for a page by a citizen who is signed in."""
    lines = [f"GET {address} HTTP/1.1", "Host: 127.0.0.1", f"Cookie: broker-citizen={session}"]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("ascii")
