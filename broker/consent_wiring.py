"""How consents are put together: for the roof, which hands over stores, keys, policies and the source."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import uuid_utils
from itsdangerous import Signer as TextSigner

from broker.actions.cancel_request import CancelRequest
from broker.actions.consent_doors import People
from broker.actions.consent_writer import ConsentWriter
from broker.actions.decide_consent import DecideConsent
from broker.actions.end_consents import EndConsents
from broker.actions.end_grant import EndGrant
from broker.actions.people import SourcePeople
from broker.actions.request_consent import RequestConsent
from broker.api.grants import GrantFace
from broker.api.inbox import Inbox
from broker.api.judging import AccessJudge
from broker.api.redirect_consents import RedirectConsents
from broker.consent.receipt_names import PolicyNames
from broker.consent.receipts import ReceiptIssuer
from broker.consent.record import Consent, Signer
from broker.consent.terms import terms_to_detail
from broker.consent.writing import KeptRequest
from broker.evidence.pseudonyms import KeyedPseudonyms
from broker.keys import KeyRing
from broker.oauth.authorization import Authorizations
from broker.oauth.citizen_secrets import CitizenSecrets, derived_key
from broker.oauth.registry import ClientFacts
from broker.settings import Settings
from broker.storage.client_registrations import PreparedClients
from broker.storage.consent_requests import PostgresConsentRequests
from broker.storage.consents import PostgresConsents
from broker.storage.due_consents import PostgresDueConsents
from broker.storage.grants import PostgresGrants
from broker.storage.openings import PostgresOpenings
from broker.storage.outbox import PostgresOutbox
from broker.storage.register import PreparedRegister
from broker.storage.session import Store
from connectors.base import Source
from consent_ui.asked import form_labels
from consent_ui.own_consents import ConsentParts
from policies.compile import PolicySet


def new_id() -> str:
    """Return a fresh UUIDv7 as text."""
    return str(uuid_utils.uuid7())


@dataclass(frozen=True, slots=True)
class ConsentWiring:
    """The parts of consents. people: who must sign; salts: 32 fresh random bytes each."""

    settings: Settings
    store: Store
    key_ring: KeyRing
    policy_set: PolicySet
    people: People
    salts: Callable[[], bytes]
    consents: PostgresConsents = field(init=False, repr=False)
    requests: PostgresConsentRequests = field(init=False, repr=False)
    pseudonyms: KeyedPseudonyms = field(init=False, repr=False)
    register: PreparedRegister = field(init=False, repr=False)

    def __post_init__(self) -> None:
        deadline_seconds = self.settings.store_deadline_seconds
        openings = PostgresOpenings(self.store, self.settings.key_encryption_key_file.reveal())
        object.__setattr__(self, "consents", PostgresConsents(self.store.engine, openings))
        object.__setattr__(self, "requests", PostgresConsentRequests(self.store.engine))
        pseudonyms = KeyedPseudonyms(self.settings.pseudonym_key_file.reveal())
        object.__setattr__(self, "pseudonyms", pseudonyms)
        object.__setattr__(self, "register", PreparedRegister(self.store.prepared, deadline_seconds))

    def writer(self) -> ConsentWriter:
        """Return what turns a change into writings."""
        names = PolicyNames(
            policies=self.policy_set,
            issuer=self.settings.issuer,
            find_recipient=lambda consent: self.requests.organisation_names(consent.organisation_id),
            owner_id=self.settings.data_owner,
            owner_address=self.settings.data_owner_address,
            owner_email=self.settings.data_owner_email,
            owner_phone=self.settings.data_owner_phone,
            find_form=form_labels(self.policy_set),
        )
        receipts = ReceiptIssuer(
            sign=self.key_ring.sign_consent_receipt,
            names=names,
            new_id=new_id,
            find_consent=self._find_consent,
        )
        return ConsentWriter(self.pseudonyms, self.salts, receipts, new_id)

    def verbs(self) -> DecideConsent:
        """Return what citizens do with requests and consents."""
        return DecideConsent(
            store=self.consents,
            requests=self.requests,
            people=self.people,
            writer=self.writer(),
            new_id=new_id,
            subject_of=self.pseudonyms.pairwise_subject,
            organisation_of=self._organisation_of,
            grant_of=self._grant_of,
        )

    def page_parts(self) -> ConsentParts:
        """Return what the citizen's own pages of consents need."""
        told_of = PostgresOutbox(self.store.engine).list_of_consent
        return ConsentParts(self.verbs(), self.requests.names_of_organisations, told_of)

    def redirects(self, authorizations: Authorizations) -> RedirectConsents:
        """Return what decides on requests that came by redirect."""
        return RedirectConsents(
            authorizations=authorizations,
            store=self.consents,
            people=self.people,
            policies=self.policy_set,
            writer=self.writer(),
            subjects=self.pseudonyms,
            new_id=new_id,
            citizen_ref_of=self.requests.citizen_ref_of,
        )

    def inbox(self, judge: AccessJudge) -> Inbox:
        """Return the resources of requests for people who are not there."""
        verb = RequestConsent(self.requests, self.policy_set, self.pseudonyms, self._poll_secret_of)
        return Inbox(
            judge=judge,
            verb=verb,
            canceller=CancelRequest(self.consents, self.writer()),
            store=self.requests,
            find_client=self.register.find_client,
            find_consents=self.consents.find_of_request,
            find_grant=PostgresGrants(self.store.engine).find_grant,
            new_id=new_id,
        )

    def ends(self) -> EndConsents:
        """Return what ends consents besides their citizens and their time."""
        return EndConsents(self.consents, PostgresDueConsents(self.store.engine), self.writer())

    def grant_ender(self) -> EndGrant:
        """Return what ends whole grants."""
        return EndGrant(self.consents, self.writer())

    def grant_face(self, judge: AccessJudge) -> GrantFace:
        """Return the resource of grants."""
        grants = PostgresGrants(self.store.engine)
        return GrantFace(judge, grants, self.grant_ender(), self.settings.issuer)

    def _find_consent(self, consent_id: str) -> Consent | None:
        held = self.consents.find_one(consent_id)
        return None if held is None else held.consent

    def _organisation_of(self, client_id: str) -> str:
        facts: ClientFacts | None = self.register.find_client(client_id)
        return "" if facts is None else facts.organisation_id

    def _poll_secret_of(self, request_id: str) -> str:
        """Return a request's auth_req_id: 256 bits that nobody can make without the key, always the same."""
        key = derived_key(self.settings.key_encryption_key_file.reveal(), "backchannel")
        signer = TextSigner(key, salt=b"auth_req_id", key_derivation="hmac", digest_method=hashlib.sha256)
        return signer.get_signature(request_id).decode("ascii")

    def _grant_of(self, kept: KeptRequest, given: Consent, signer: Signer, at: datetime) -> Mapping[str, Any]:
        """Return a grant that begins with a consent given on a request, as the columns of its table."""
        clients = PreparedClients(self.store.prepared, self.settings.store_deadline_seconds)
        client = clients.find_registration(given.client_id)
        return {
            "grant_id": new_id(),
            "client_id": given.client_id,
            "citizen_id": given.citizen_id,
            "subject": given.subject,
            "scope": kept.opening.scope,
            "authorization_details": [dict(terms_to_detail(given))],
            "level": signer.level,
            "authenticated_at": signer.authenticated_at,
            "granted_at": at,
            "expires_at": min([given.valid_to_at or at, *([] if client is None else [client.expires_at])]),
        }


def source_people(settings: Settings, store: Store, source: Source) -> SourcePeople:
    """Return who must sign, as the source says of the person behind an account."""
    secrets = CitizenSecrets(settings.key_encryption_key_file.reveal())
    requests = PostgresConsentRequests(store.engine)

    def personal_id_of(citizen_id: str) -> str:
        sealed = requests.sealed_personal_id(citizen_id)
        return "" if sealed is None else secrets.open("personal_id", citizen_id, sealed)

    return SourcePeople(source, personal_id_of, settings.source_deadline_seconds)
