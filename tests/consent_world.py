"""A bank and persons who have consented, on the release world: consents as decided, real tokens."""

from __future__ import annotations

import hashlib
import itertools
import json
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

from flask import Flask
from sqlalchemy import text

from broker.actions.consent_writer import ConsentWriter
from broker.app import load_policies, new_reference, new_salt
from broker.cli.caller import Answer, Caller, ClientKey
from broker.consent import life
from broker.consent.change import Change
from broker.consent.record import Actor, Consent, DataRange, Frequency, Notice, Signer, Signing
from broker.consent.terms import AskedTerms, terms_of, terms_to_detail
from broker.consent.writing import IssuedReceipt, RequestOpening
from broker.oauth.citizen_secrets import CitizenSecrets
from broker.storage.citizens import CitizenRecord, PostgresCitizens
from broker.storage.clients import ClientRecord, Organisation
from broker.storage.consents import PostgresConsents
from policies.civil_time import civil_date
from tests.acting import ACTS
from tests.adults import grown_ups
from tests.contracts.source_fixtures import InsuranceDatabase
from tests.doors import InProcessCaller
from tests.oauth_world import Party
from tests.release_world import World

RECORD_PATH = "/v1/consented-record"
AGREEMENT = "bank_income_proof"
FIELDS = ("contribution_from", "contribution_to", "salary_base", "si_status")
_numbers = itertools.count(1)


class FixedReceipts:
    """Issues receipts that say nothing: receipts have tests of their own."""

    def issue(self, consent: Consent, event_type: str, at: datetime, evidence_reference: str) -> Any:  # noqa: ARG002
        return IssuedReceipt(
            receipt_id=new_reference(),
            consent_id=consent.consent_id,
            citizen_id=consent.citizen_id,
            event_type=event_type,  # type: ignore[arg-type]
            receipt="a.b.c",
            issued_at=at,
        )


@dataclass(frozen=True)
class Bank:
    """A registered client that reads by consent."""

    client_id: str
    organisation_id: str
    key: ClientKey


@dataclass(frozen=True)
class Person:
    """A synthetic person with an account."""

    citizen_id: str
    personal_id: str
    person_key: str


@dataclass(frozen=True)
class Given:
    """A consent that was given, and the refresh token that renews its tokens."""

    consent: Consent
    person: Person
    bank: Bank
    refresh_token: str

    @property
    def consent_id(self) -> str:
        return self.consent.consent_id


class ConsentWorld:
    """A bank, persons and their consents in a release world."""

    def __init__(self, world: World, insurance: InsuranceDatabase) -> None:
        self.world = world
        self.store = PostgresConsents(world.engine, world.openings)
        self.writer = ConsentWriter(world.pseudonyms, new_salt, FixedReceipts(), new_reference)
        self.policies = load_policies(world.settings)
        self._citizens = PostgresCitizens(world.engine, ACTS)
        self._secrets = CitizenSecrets(world.settings.key_encryption_key_file.reveal())
        self._found = grown_ups(insurance)
        self.bank = self.register_bank()

    def register_bank(
        self,
        agreements: Sequence[str] = (AGREEMENT,),
        scopes: Sequence[str] = ("share_record", "openid"),
    ) -> Bank:
        number = next(_numbers)
        party = Party(f"reading-bank-{number}-{secrets.token_hex(3)}")
        organisation_id = party.client_id
        self.world.clients.register_organisation(
            Organisation(
                organisation_id=organisation_id,
                kind="bank",
                name_vi=f"Ngân hàng Đọc {number}",
                name_en=f"Reading Bank {number}",
            )
        )
        self.world.clients.register_client(
            ClientRecord(
                client_id=party.client_id,
                organisation_id=organisation_id,
                name=party.client_id,
                scopes=tuple(scopes),
                agreement_ids=tuple(agreements),
                client_metadata={
                    "grant_types": ["authorization_code", "refresh_token", "client_credentials"],
                    "response_types": ["code"],
                    "redirect_uris": ["https://bank.example/callback"],
                    "jwks": {"keys": [party.public_jwk]},
                },
                expires_at=datetime.now(UTC) + timedelta(days=30),
            )
        )
        private = json.dumps({**party.key.as_dict(private=True), "kid": party.kid})
        return Bank(party.client_id, organisation_id, ClientKey.read(private))

    def person(self) -> Person:
        """Return the next synthetic person who pays contributions, with an account."""
        personal_id, person_key = next(self._found)
        return self.register_person(personal_id, person_key)

    def persons(self, count: int) -> list[Person]:
        """Return the next persons, at most so many."""
        return [self.register_person(*found) for found in itertools.islice(self._found, count)]

    def register_person(self, personal_id: str, person_key: str = "") -> Person:
        citizen_id = str(uuid4())
        self._citizens.register_citizen(
            CitizenRecord(
                citizen_id=citizen_id,
                personal_id_ref=self.world.pseudonyms.citizen_ref(personal_id),
                personal_id_encrypted=self._secrets.seal("personal_id", citizen_id, personal_id),
                password_hash="$argon2id$",
                totp_secret_encrypted=None,
            )
        )
        self.world.identifiers.add(personal_id)
        return Person(citizen_id, personal_id, person_key)

    def give(
        self,
        person: Person | None = None,
        bank: Bank | None = None,
        *,
        asked: Sequence[str] = FIELDS,
        given: Sequence[str] | None = None,
        valid_days: int = 30,
        retention_days: int | None = None,
        frequency: Frequency | None = None,
        data_range: DataRange | None = None,
        at: datetime | None = None,
        changes: Mapping[str, Any] | None = None,
    ) -> Given:
        """Let a person consent, as the decision does it; with a grant and a refresh token.

        changes: members of the consent that are otherwise than deciding makes them.
        """
        person, bank = person or self.person(), bank or self.bank
        at = at or datetime.now(UTC)
        terms = terms_of(
            self.policies,
            AGREEMENT,
            AskedTerms(
                purpose="prove_income",
                field_names=asked,
                valid_days=valid_days,
                retention_days=retention_days,
                frequency=frequency,
                data_range=data_range,
            ),
            civil_date(at),
        )
        subject = self.world.pseudonyms.pairwise_subject(bank.organisation_id, person.citizen_id)
        until = at + timedelta(days=1)
        request_id, grant_id = new_reference(), secrets.token_urlsafe(24)
        asking = life.open_request(
            consent_id=new_reference(),
            request_id=request_id,
            client_id=bank.client_id,
            organisation_id=bank.organisation_id,
            citizen_id=person.citizen_id,
            subject=subject,
            terms=terms,
            at=at,
            expires_at=until,
        )
        notice = Notice(version="1", language="vi", rendered_hash="0" * 64, served_at=at)
        signer = Signer(
            role="data_subject", citizen_id=person.citizen_id, level=2, authenticated_at=at, signed_at=at
        )
        names = frozenset(asked if given is None else given)
        change = life.decide(asking.consent, names, signer, notice, at)
        consent = replace(change.consent, grant_id=grant_id, **(changes or {}))
        # One writing: the events of asking and giving, and the consent as it stands after both.
        whole = replace(change, consent=consent, events=(*asking.events, *change.events))
        writings, evidence = self.writer.compose(whole, None, at)
        opening = RequestOpening(
            request_id=request_id,
            client_id=bank.client_id,
            citizen_ref=self.world.pseudonyms.citizen_ref(person.personal_id),
            channel="redirect",
            request_hash=hashlib.sha256(request_id.encode()).digest(),
            auth_request_hash=None,
            items=(terms,),
            scope="share_record",
            requested_at=at,
            expires_at=until,
        )
        grant = {
            "grant_id": grant_id,
            "client_id": bank.client_id,
            "citizen_id": person.citizen_id,
            "subject": subject,
            "scope": "share_record",
            "authorization_details": [dict(terms_to_detail(consent))],
            "level": 2,
            "authenticated_at": at,
            "granted_at": at,
            "expires_at": at + timedelta(days=valid_days),
        }
        self.store.write(writings, evidence, opening=opening, grant=grant)
        return Given(consent, person, bank, self._refresh_token(grant_id, bank, at))

    def change(self, given: Given, change: Change, at: datetime | None = None) -> Consent:
        """Write a change of a consent, as the verbs of citizens do."""
        held = self.store.find_one(given.consent_id)
        assert held is not None
        writings, evidence = self.writer.compose(change, held, at or datetime.now(UTC))
        self.store.write(writings, evidence)
        return change.consent

    def withdraw(self, given: Given) -> Consent:
        """Withdraw: whoever is told so may rely on it."""
        at = datetime.now(UTC)
        return self.change(given, life.withdraw(self.consent(given), self.actor(given), at), at)

    def pause(self, given: Given) -> Consent:
        at = datetime.now(UTC)
        return self.change(given, life.pause(self.consent(given), self.actor(given), at), at)

    def confirm(self, given: Given) -> Consent:
        """Sign what has fallen due, as a grown-up does."""
        signer, notice, at = self._signing(given)
        change = life.confirm(self.consent(given), signer, notice, at, signing=Signing())
        return self.change(given, change, at)

    def amend(self, given: Given, names: frozenset[str], valid_days: int | None = None) -> Consent:
        """Change what is given, as the citizen's page does; return the old consent."""
        signer, notice, at = self._signing(given)
        change = life.amend(
            self.consent(given), new_reference(), names, signer, notice, at, valid_days=valid_days
        )
        return self.change(given, change, at)

    def extend(self, given: Given) -> Consent:
        """Let a consent last longer, as the citizen's page does; return the old one."""
        signer, notice, at = self._signing(given)
        return self.change(given, life.extend(self.consent(given), new_reference(), signer, notice, at), at)

    def _signing(self, given: Given) -> tuple[Signer, Notice, datetime]:
        """Return a grown-up's own hand, what was shown, and the instant."""
        at = datetime.now(UTC)
        signer = Signer(
            role="data_subject",
            citizen_id=given.person.citizen_id,
            level=2,
            authenticated_at=at,
            signed_at=at,
        )
        return signer, Notice(version="2", language="vi", rendered_hash="1" * 64, served_at=at), at

    def consent(self, given: Given) -> Consent:
        held = self.store.find_one(given.consent_id)
        assert held is not None
        return held.consent

    def actor(self, given: Given) -> Actor:
        return Actor(kind="data_subject", reference=given.person.citizen_id)

    def _refresh_token(self, grant_id: str, bank: Bank, at: datetime) -> str:
        token = secrets.token_urlsafe(32)
        with self.world.engine.begin() as connection:
            connection.execute(
                text(
                    "INSERT INTO refresh_tokens"
                    " (token_hash, grant_id, client_id, scope, issued_at, expires_at)"
                    " VALUES (:hash, :grant, :client, 'share_record', :at, :until)"
                ),
                {
                    "hash": hashlib.sha256(token.encode()).digest(),
                    "grant": grant_id,
                    "client": bank.client_id,
                    "at": at,
                    "until": at + timedelta(days=30),
                },
            )
        return token


class Reader:
    """A bank at a broker's door: renews tokens and reads records."""

    def __init__(self, caller: Caller) -> None:
        self.caller = caller

    def token(self, given: Given) -> str:
        """Return a fresh access token of a consent's grant."""
        form = {"grant_type": "refresh_token", "refresh_token": given.refresh_token}
        answer = self.caller.post_form("token_endpoint", form)
        assert answer.status == 200, answer.body
        return str(answer.json()["access_token"])

    def read(self, token: str, query: str = "", headers: Mapping[str, str] | None = None) -> Answer:
        """Read what a token lets out."""
        target = RECORD_PATH + (f"?{query}" if query else "")
        return self.caller.request("GET", target, None, headers, token=token)


def reader_of(app: Flask, issuer: str, bank: Bank) -> Reader:
    """Return a bank at the door of an application in this process."""
    caller = InProcessCaller(issuer, bank.client_id, bank.key, "share_record")
    caller.app = app
    return Reader(caller)
