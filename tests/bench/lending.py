"""Banks that read by consent, for the bench: consents as deciding makes them, loaded by the thousand."""

from __future__ import annotations

import hashlib
import json
import os
import random
import secrets
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from time import time
from uuid import UUID, uuid4

import psycopg
from joserfc import jws
from joserfc.jwk import ECKey
from sqlalchemy import create_engine, insert

from broker.app import load_policies, new_reference
from broker.clock import system_clock
from broker.consent import life
from broker.consent.chain import chained
from broker.consent.change import Change
from broker.consent.codec import consent_document
from broker.consent.record import Consent, Notice, Signer
from broker.consent.terms import AskedTerms, terms_of, terms_to_detail
from broker.evidence.pseudonyms import KeyedPseudonyms
from broker.keys import KeyRing
from broker.oauth.citizen_secrets import CitizenSecrets
from broker.settings import Settings
from broker.storage.session import open_store
from broker.storage.signing_keys import PostgresSigningKeys
from broker.storage.tables import clients, organisations
from connectors.postgres import conninfo_of_url
from policies.civil_time import civil_date
from tests.acting import ACTS
from tests.bench.callers import _PROOFS, _base64url, _random

RECORD_PATH = "/v1/consented-record"
AGREEMENT = "bank_income_proof"
FIELDS = ("contribution_from", "contribution_to", "salary_base", "si_status")
BANKS = 40
TOKEN_SECONDS = 600
_BATCH = 50_000
_PERSONS = """
SELECT p.personal_id FROM person p
WHERE EXISTS (SELECT FROM contribution c WHERE c.person_key = p.person_key
                AND c.contribution_to >= (now() - interval '12 months')::date)
  AND (SELECT count(*) FROM person q WHERE q.personal_id = p.personal_id) = 1
ORDER BY hashtext(p.person_key::text) LIMIT %(limit)s
"""


@dataclass(frozen=True, slots=True)
class Lender:
    """One synthetic bank's client."""

    client_id: str
    key: ECKey


@dataclass(frozen=True, slots=True)
class Lent:
    """One consent and what a request under it needs."""

    consent: Consent
    lender: Lender


class Lending:
    """Banks, citizens and consents in the store of a stage. owner_url: of the broker's own database."""

    def __init__(self, settings: Settings, owner_url: str, source_owner_url: str) -> None:
        self.settings = settings
        self.owner = conninfo_of_url(owner_url)
        self.source = conninfo_of_url(source_owner_url)
        self.policies = load_policies(settings)
        self.pseudonyms = KeyedPseudonyms(settings.pseudonym_key_file.reveal())
        self.sealing = CitizenSecrets(settings.key_encryption_key_file.reveal())
        self.store = open_store(settings.database_url, deadline_seconds=60, pool_size=2)
        self.ring = KeyRing(
            PostgresSigningKeys(self.store.engine, ACTS),
            settings.key_encryption_key_file.reveal(),
            system_clock,
        )
        self.lenders = self._register(owner_url)
        self.at = datetime.now(UTC)
        self.dice = random.Random(20261122)
        self.turns: dict[str, int] = {}

    def close(self) -> None:
        """Close the connections."""
        self.store.close()

    def persons(self, limit: int) -> list[str]:
        """Return personal ids of persons who paid contributions in the last months."""
        with psycopg.connect(self.source) as connection:
            return [str(row[0]) for row in connection.execute(_PERSONS, {"limit": limit})]

    def load_citizens(self, personal_ids: Sequence[str]) -> list[str]:
        """Register an account for each person; return the citizens' ids, in order."""
        ids = [str(uuid4()) for _ in personal_ids]
        columns = "citizen_id, personal_id_ref, personal_id_encrypted, password_hash"
        self._copy(
            "citizens",
            columns,
            (
                (
                    citizen_id,
                    self.pseudonyms.citizen_ref(personal_id),
                    self.sealing.seal("personal_id", citizen_id, personal_id),
                    "bench",
                )
                for citizen_id, personal_id in zip(ids, personal_ids, strict=True)
            ),
        )
        return ids

    def _copy(self, table: str, columns: str, rows: Iterable[tuple[object, ...]]) -> None:
        with (
            psycopg.connect(self.owner) as connection,
            connection.cursor() as cursor,
            cursor.copy(f"COPY {table} ({columns}) FROM STDIN") as copy,
        ):
            for row in rows:
                copy.write_row(row)

    def load_consents(self, citizen_ids: Iterable[str]) -> Iterator[Lent]:
        """Write one active consent per given citizen; yield each once all are written."""
        made = list(self._made(citizen_ids))
        for table, columns, row in _COPIES:
            self._copy(table, columns, (row(consent, change) for consent, change in made))
        by_client = {lender.client_id: lender for lender in self.lenders}
        for consent, _ in made:
            yield Lent(consent, by_client[consent.client_id])

    def tokens(self, issuer: str, lent: Sequence[Lent]) -> list[str]:
        """Return a fresh access token for each consent, signed and stored as the token endpoint does it."""
        now = int(time())
        tokens = [self.ring.sign_access_token(_claims(issuer, one, now)) for one in lent]
        columns = "token_hash, client_id, grant_id, scope, issued_at, expires_at"
        begun = datetime.fromtimestamp(now, UTC)
        until = begun + timedelta(seconds=TOKEN_SECONDS)
        self._copy(
            "access_tokens",
            columns,
            (
                (
                    hashlib.sha256(token.encode()).digest(),
                    one.lender.client_id,
                    one.consent.grant_id,
                    "share_record",
                    begun,
                    until,
                )
                for token, one in zip(tokens, lent, strict=True)
            ),
        )
        return tokens

    def load_crowd(self, citizen_ids: Sequence[str], count: int) -> None:
        """Write so many consents more, spread over citizens, whom nobody will ask about: copies of one."""
        [(pattern, change)] = self._made(citizen_ids[:1])
        for done in range(0, count, _BATCH):
            made = [
                (
                    replace(
                        pattern,
                        consent_id=str(uuid4()),
                        request_id=str(uuid4()),
                        citizen_id=citizen_ids[(done + at) % len(citizen_ids)],
                        client_id=(client_id := self.lenders[(done + at) % len(self.lenders)].client_id),
                        organisation_id=client_id,
                        grant_id=secrets.token_hex(16),
                    ),
                    change,
                )
                for at in range(min(_BATCH, count - done))
            ]
            record = json.dumps(consent_document(pattern))
            for table, columns, row in _COPIES:
                if table == "consents":
                    self._copy(table, columns, (_copied_row(one, pattern, record) for one, _ in made))
                elif table == "consent_events":
                    self._copy(table, columns, (_copied_event(one, change) for one, _ in made))
                else:
                    self._copy(table, columns, (row(*one) for one in made))

    def requests(self, issuer: str, lent: Sequence[Lent]) -> list[bytes]:
        """Return one request per consent, each with a token and a proof of its own."""
        return [
            rendered_read(issuer, one.lender, token)
            for one, token in zip(lent, self.tokens(issuer, lent), strict=True)
        ]

    def _register(self, owner_url: str) -> list[Lender]:
        engine, made = create_engine(owner_url), []
        with engine.begin() as connection:
            for number in range(BANKS):
                lender = Lender(f"bench-bank-{number}-{secrets.token_hex(4)}", ECKey.generate_key("P-256"))
                public = lender.key.as_dict(private=False)
                public = {**public, "kid": lender.key.thumbprint(), "alg": "ES256", "use": "sig"}
                connection.execute(
                    insert(organisations).values(
                        organisation_id=lender.client_id, kind="bank", name_vi=f"Ngân hàng {number}",
                        name_en=f"Bank {number}",
                    )
                )  # fmt: skip
                connection.execute(
                    insert(clients).values(
                        client_id=lender.client_id, organisation_id=lender.client_id, name="bench",
                        scopes=["share_record"], agreement_ids=[AGREEMENT],
                        client_metadata={
                            "jwks": {"keys": [public]}, "token_endpoint_auth_method": "private_key_jwt",
                            "grant_types": ["refresh_token"], "token_endpoint_auth_signing_alg": "ES256",
                        },
                        expires_at=datetime.now(UTC) + timedelta(days=30),
                    )
                )  # fmt: skip
                made.append(lender)
        engine.dispose()
        return made

    def _made(self, citizen_ids: Iterable[str]) -> Iterator[tuple[Consent, Change]]:
        """Yield consents as deciding makes them: the first by the heart, the others as its copies."""
        terms = terms_of(
            self.policies,
            AGREEMENT,
            AskedTerms(purpose="prove_income", field_names=FIELDS),
            civil_date(self.at),
        )
        notice = Notice(version="1", language="vi", rendered_hash="0" * 64, served_at=self.at)
        for citizen_id in citizen_ids:
            # One bank after the other: nobody meets one so often that a day's limit is reached.
            turn = self.turns[citizen_id] = self.turns.get(citizen_id, self.dice.randrange(BANKS)) + 1
            client_id = self.lenders[turn % len(self.lenders)].client_id
            asking = life.open_request(
                consent_id=new_reference(),
                request_id=new_reference(),
                client_id=client_id,
                organisation_id=client_id,
                citizen_id=citizen_id,
                subject=self.pseudonyms.pairwise_subject(client_id, citizen_id),
                terms=terms,
                at=self.at,
                expires_at=self.at + timedelta(days=1),
            )
            signer = Signer(
                role="data_subject", citizen_id=citizen_id, level=2,
                authenticated_at=self.at, signed_at=self.at,
            )  # fmt: skip
            change = life.decide(asking.consent, terms.field_names, signer, notice, self.at)
            consent = replace(change.consent, grant_id=_base64url(os.urandom(24)))
            yield consent, change


def rendered_read(issuer: str, lender: Lender, token: str) -> bytes:
    """Return the bytes of one GET with a fresh proof."""
    claims = {
        "htm": "GET", "htu": issuer + RECORD_PATH, "iat": int(time()), "jti": _random(),
        "ath": _base64url(hashlib.sha256(token.encode()).digest()),
    }  # fmt: skip
    header = {"alg": "ES256", "typ": "dpop+jwt", "jwk": lender.key.as_dict(private=False)}
    proof = jws.serialize_compact(header, json.dumps(claims), lender.key, registry=_PROOFS)
    lines = [
        f"GET {RECORD_PATH} HTTP/1.1",
        "Host: 127.0.0.1",
        f"Authorization: DPoP {token}",
        f"DPoP: {proof}",
    ]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("ascii")


def _claims(issuer: str, one: Lent, now: int) -> dict[str, object]:
    return {
        "iss": issuer, "sub": one.consent.subject, "client_id": one.lender.client_id, "aud": issuer,
        "iat": now, "exp": now + TOKEN_SECONDS, "jti": secrets.token_urlsafe(16), "scope": "share_record",
        "cnf": {"jkt": one.lender.key.thumbprint()}, "grant_id": one.consent.grant_id,
        "authorization_details": [dict(terms_to_detail(one.consent))], "acr": "level-2", "auth_time": now,
    }  # fmt: skip


def _request_row(consent: Consent, _: Change) -> tuple[object, ...]:
    digest = UUID(consent.request_id).bytes * 2
    until = consent.request_expires_at
    return (
        consent.request_id, consent.client_id, digest, "redirect", digest, "[]", "share_record",
        consent.requested_at, until, consent.valid_from_at, None,
    )  # fmt: skip


def _grant_row(consent: Consent, _: Change) -> tuple[object, ...]:
    return (
        consent.grant_id, consent.client_id, consent.citizen_id, consent.subject, "share_record", "[]", 2,
        consent.requested_at, consent.requested_at, consent.valid_to_at,
    )  # fmt: skip


def _consent_row(consent: Consent, _: Change) -> tuple[object, ...]:
    return (*_consent_row_but_record(consent), json.dumps(consent_document(consent)))


def _consent_row_but_record(consent: Consent) -> tuple[object, ...]:
    return (
        consent.consent_id, consent.request_id, consent.client_id, consent.organisation_id,
        consent.citizen_id, consent.terms.purpose, consent.terms.agreement_id, consent.state,
        consent.version, consent.grant_id, consent.valid_from_at, consent.valid_to_at,
        consent.refresh_due_at, consent.state_since_at,
    )  # fmt: skip


def _event_row(consent: Consent, change: Change) -> tuple[object, ...]:
    [event] = chained(change.events[-1:], 0, b"")
    return event.consent_id, event.number, event.type, event.entry, event.entry_hash, event.at


def _copied_row(consent: Consent, pattern: Consent, record: str) -> tuple[object, ...]:
    for name in ("consent_id", "request_id", "citizen_id", "client_id", "grant_id"):
        record = record.replace(str(getattr(pattern, name)), str(getattr(consent, name)))
    return (*_consent_row_but_record(consent), record)


def _copied_event(consent: Consent, change: Change) -> tuple[object, ...]:
    event = change.events[-1]
    entry = f'{{"consent":"{consent.consent_id}","type":"{event.type}"}}'.encode()
    return consent.consent_id, 1, event.type, entry, hashlib.sha256(entry).digest(), event.at


_COPIES = (
    (
        "consent_requests",
        (
            "request_id, client_id, citizen_ref, channel, request_hash, items, scope, requested_at,"
            " expires_at, decided_at, grant_id"
        ),
        _request_row,
    ),
    (
        "grants",
        (
            "grant_id, client_id, citizen_id, subject, scope, authorization_details, level, authenticated_at,"
            " granted_at, expires_at"
        ),
        _grant_row,
    ),
    (
        "consents",
        (
            "consent_id, request_id, client_id, organisation_id, citizen_id, purpose, agreement_id, state,"
            " version, grant_id, valid_from_at, valid_to_at, refresh_due_at, state_since_at, record"
        ),
        _consent_row,
    ),
    ("consent_events", "consent_id, number, type, entry, entry_hash, recorded_at", _event_row),
)
