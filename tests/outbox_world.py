"""A world with consents whose recipients are told: rows as a consent transaction writes them, a receiver."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any
from uuid import uuid4

import uuid_utils
from joserfc import jwt
from joserfc.jwk import KeySet
from sqlalchemy import text

from broker.cli.outbox_job import OutboxJob
from broker.consent.record import Consent, Terms
from broker.consent.security_events import NoticeKind, queued_notice
from broker.consent.writing import QueuedNotice
from broker.storage.outbox import PostgresOutbox, outbox_values
from broker.storage.tables import citizens, clients, consent_requests, consents, outbox_messages
from connectors.notify import EventPusher
from tests.acting import ACTS
from tests.key_host import HOST, Authority, KeyHost, key_host, plain
from tests.oauth_world import Party, World

ACCEPTED = plain(b"", status=202)


def refusing(err: str, status: int = 400) -> Any:
    """Return the answer of a recipient that refuses a token (RFC 8935, 2.3)."""
    document = {"err": err, "description": "in its own words"}
    return plain(document, status=status, media_type="application/json")


class OutboxWorld:
    """Consents of one citizen to clients of a world, and what is queued for these."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.outbox = PostgresOutbox(world.engine, ACTS)
        self.citizen_id = str(uuid4())
        with world.engine.begin() as connection:
            connection.execute(
                citizens.insert().values(
                    citizen_id=self.citizen_id,
                    personal_id_ref=self.citizen_id.encode(),
                    personal_id_encrypted=b"",
                    password_hash="",
                )
            )

    def recipient(self, client_id: str, events_uri: str | None = None) -> Party:
        """Register a client that may be told of events. events_uri: where, None if it polls."""
        party = self.world.register(client_id, scopes=("consent_events", "share_record"))
        if events_uri is not None:
            with self.world.engine.begin() as connection:
                metadata = clients.c.client_metadata
                more = json.dumps({"events_uri": events_uri})
                connection.execute(
                    clients.update()
                    .where(clients.c.client_id == client_id)
                    .values(client_metadata=metadata.op("||")(text("CAST(:more AS jsonb)"))),
                    {"more": more},
                )
        return party

    def consent(self, client_id: str, **changes: Any) -> Consent:
        """Return a consent to a client that was withdrawn just now, with the rows that it needs."""
        now = self.world.clock()
        terms = Terms(
            agreement_id="bank_income_proof",
            revision_hash="r",
            purpose="prove_income",
            fields=(),
            valid_days=30,
            retention_days=180,
        )
        given: dict[str, Any] = {
            "consent_id": str(uuid4()),
            "request_id": str(uuid4()),
            "client_id": client_id,
            "organisation_id": "79001",
            "citizen_id": self.citizen_id,
            "subject": f"pairwise-{client_id}",
            "terms": terms,
            "state": "withdrawn",
            "state_reason": "data_subject",
            "state_since_at": now,
            "version": 3,
            "requested_at": now - timedelta(days=2),
            "request_expires_at": now - timedelta(days=1),
            "valid_to_at": now + timedelta(days=28),
        }
        consent = Consent(**{**given, **changes})
        self._keep(consent)
        return consent

    def queue(
        self, client_id: str, kind: NoticeKind = "consent_withdrawn", consent: Consent | None = None
    ) -> QueuedNotice:
        """Queue a notice about a consent, a fresh one if none is given, as a transaction of others does."""
        consent = consent or self.consent(client_id)
        notice = queued_notice(consent, kind, message_id=str(uuid_utils.uuid7()), at=self.world.clock())
        with self.world.engine.begin() as connection:
            connection.execute(outbox_messages.insert().values(**outbox_values(notice)))
        return notice

    def job(self, pusher: EventPusher, share: float = 1.0) -> OutboxJob:
        """Return the worker's job at the world's clock. share: of every wait, instead of a random one."""
        world = self.world
        sign = world.ring.sign_security_event
        return OutboxJob(self.outbox, sign, pusher, world.issuer, world.clock, lambda: share)

    def row(self, notice: QueuedNotice) -> dict[str, Any]:
        """Return how a notice lies in the store."""
        wanted = outbox_messages.select().where(outbox_messages.c.message_id == notice.message_id)
        with self.world.engine.connect() as connection:
            return connection.execute(wanted).one()._asdict()

    def claims(self, token: str, audience: str) -> dict[str, Any]:
        """Verify a Security Event Token as its recipient does, with the keys published; return its claims."""
        keys = KeySet.import_key_set(self.world.http.get("/oauth/jwks").get_json())
        decoded = jwt.decode(token, keys, algorithms=["ES256"])
        assert decoded.header["typ"] == "secevent+jwt"
        wanted = {
            "iss": {"essential": True, "value": self.world.issuer},
            "aud": {"essential": True, "value": audience},
        }
        now = int(self.world.clock().timestamp())
        jwt.JWTClaimsRegistry(now, **wanted).validate(decoded.claims)  # type: ignore[arg-type]
        return dict(decoded.claims)

    def _keep(self, consent: Consent) -> None:
        with self.world.engine.begin() as connection:
            connection.execute(
                consent_requests.insert().values(
                    request_id=consent.request_id,
                    client_id=consent.client_id,
                    citizen_ref=b"c",
                    channel="inbox",
                    request_hash=b"h",
                    items=[],
                    scope="share_record",
                    requested_at=consent.requested_at,
                    expires_at=consent.request_expires_at,
                )
            )
            connection.execute(
                consents.insert().values(
                    consent_id=consent.consent_id,
                    request_id=consent.request_id,
                    client_id=consent.client_id,
                    organisation_id=consent.organisation_id,
                    citizen_id=consent.citizen_id,
                    purpose=consent.terms.purpose,
                    agreement_id=consent.terms.agreement_id,
                    state=consent.state,
                    version=consent.version,
                    valid_to_at=consent.valid_to_at,
                    state_since_at=consent.state_since_at,
                    record={},
                )
            )


class Receiver:
    """A recipient's HTTPS host. tokens: of every push that came, in order."""

    def __init__(self, host: KeyHost, authority: Authority) -> None:
        self.host = host
        self.authority = authority
        self.url = f"https://{HOST}:{host.port}/events"

    @property
    def tokens(self) -> list[str]:
        """Return the tokens that were pushed; each as RFC 8935, 2.1 wants it sent."""
        assert {media_type for media_type, _ in self.host.posted} <= {"application/secevent+jwt"}
        return [body.decode("ascii") for _, body in self.host.posted]

    def pusher(self, **changes: Any) -> EventPusher:
        """Return a pusher that knows this host."""
        given: dict[str, Any] = {
            "authorities": self.authority.pem,
            "private_hosts": [HOST],
            "resolve": lambda _host, _port: ["127.0.0.1"],
            "push_seconds": 60.0,
            **changes,
        }
        return EventPusher(**given)


@contextmanager
def receiver(directory: Path) -> Iterator[Receiver]:
    """Run a recipient's host that accepts whatever comes."""
    authority = Authority()
    with key_host(authority.context(directory, HOST)) as host:
        host.answer = ACCEPTED
        yield Receiver(host, authority)


def in_order(answers: Sequence[Any]) -> Any:
    """Return an answer that is each of these in turn, and then the last."""
    left = list(answers)

    def answer(request: BaseHTTPRequestHandler) -> None:
        (left.pop(0) if len(left) > 1 else left[0])(request)

    return answer
