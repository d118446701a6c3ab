"""How the authorization server is put together: for the roof, which hands it the stores and the keys."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from flask import Blueprint

from broker.api.calls import Caller
from broker.api.clients import ClientsFace
from broker.api.details import detail_reader
from broker.api.events import EventsFace
from broker.api.exchange import Handler
from broker.api.judging import AccessJudge
from broker.api.oauth import authorization_blueprint, oauth_blueprint
from broker.api.openapi import openapi_blueprint
from broker.api.token_info import TokenInfoFace
from broker.clock import Clock, system_clock
from broker.consent_wiring import ConsentWiring
from broker.evidence.acting import BY_ITSELF, Acting
from broker.evidence.pseudonyms import KeyedPseudonyms
from broker.keys import KeyRing
from broker.oauth.authorization import Authorizations
from broker.oauth.backchannel import BackchannelEndpoint
from broker.oauth.binding import SenderCheck
from broker.oauth.bound_tokens import TokenIssuer
from broker.oauth.caller_facts import CallerReader
from broker.oauth.citizen_passwords import Passwords
from broker.oauth.citizen_secrets import CitizenSecrets, derived_key
from broker.oauth.citizens import CitizenSignIn
from broker.oauth.client_jwks import usable_jwks
from broker.oauth.dpop import ProofVerifier
from broker.oauth.endpoints import GRANTS_PATH, Addresses
from broker.oauth.id_tokens import IdTokens
from broker.oauth.identity_sign_in import IdentitySignIn
from broker.oauth.introspection import IntrospectionEndpoint
from broker.oauth.metadata import authorization_server_metadata
from broker.oauth.nonces import SignedNonces
from broker.oauth.passkeys import CitizenPasskeys
from broker.oauth.protector import Protector
from broker.oauth.pushed_requests import PushedRequestEndpoint
from broker.oauth.revocation import RevocationEndpoint
from broker.oauth.scopes import SCOPES
from broker.oauth.server import AuthorizationServer
from broker.oauth.tls_clients import tls_methods
from broker.settings import Settings
from broker.storage.access import PostgresAccess
from broker.storage.acts import Acts, acts_of
from broker.storage.citizen_sessions import PostgresSessions
from broker.storage.citizens import PostgresCitizens
from broker.storage.client_registrations import PreparedClients
from broker.storage.clients import PostgresClients
from broker.storage.event_polls import PostgresEventPolls
from broker.storage.grants import PostgresGrants
from broker.storage.identities import PostgresIdentities
from broker.storage.passkeys import PostgresPasskeys
from broker.storage.requests import PostgresRequests
from broker.storage.session import Store
from broker.storage.sign_in_challenges import PostgresChallenges
from broker.storage.tokens import PostgresTokens
from connectors.client_keys import ClientKeySets
from connectors.identity import IdentityProvider
from connectors.identity_providers import load_providers
from consent_ui.blueprint import DecisionPage, citizen_blueprint
from consent_ui.own_parts import OwnParts
from consent_ui.receipt_views import ReceiptParts
from consent_ui.ways import Ways
from policies.compile import PolicySet

CONSENT_REQUESTS_PATH: Final = "/v1/consent-requests"


@dataclass(frozen=True, slots=True)
class Wiring:
    """The parts that everything below shares. clock: says what instant it is, everywhere the same.

    own: verbs behind the pages about one's own data.

    published_keys: one for the process, because its bound on threads that wait is one for the process.
    """

    settings: Settings
    store: Store
    key_ring: KeyRing
    policy_set: PolicySet
    callers: CallerReader
    consents: ConsentWiring
    clock: Clock = system_clock
    own: OwnParts | None = None
    published_keys: ClientKeySets = field(init=False, repr=False)
    identity_providers: Mapping[str, IdentityProvider] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        sets = ClientKeySets(
            usable_jwks,
            authorities=self.settings.client_keys_ca_file,
            private_hosts=self.settings.client_keys_private_hosts,
        )
        object.__setattr__(self, "published_keys", sets)
        entries = load_providers(
            self.settings.identity_providers_file,
            on_loopback=self.settings.issuer.startswith("http://"),
        )
        providers = {key: IdentityProvider(entry) for key, entry in entries.items()}
        object.__setattr__(self, "identity_providers", providers)

    @property
    def addresses(self) -> Addresses:
        """The public URLs of this broker."""
        return Addresses(self.settings.issuer, self.settings.mtls_url)

    def proofs(self) -> ProofVerifier:
        """Return a verifier of DPoP proofs, with nonces if the settings ask for them."""
        settings = self.settings
        nonces = None
        if settings.dpop_nonce_seconds:
            key = derived_key(settings.key_encryption_key_file.reveal(), "dpop-nonces")
            nonces = SignedNonces(key, settings.dpop_nonce_seconds)
        return ProofVerifier(max_age_seconds=settings.proof_age_seconds, nonces=nonces)

    def caller(self) -> Caller:
        """Return what tells the faces who calls."""
        issuer = self.settings.issuer
        protector = Protector(issuer, issuer, self.key_ring, proofs=self.proofs())
        return Caller(issuer, protector, self.clock, self.settings.mtls_url)

    def judge(self, caller: Caller) -> AccessJudge:
        """Return what lets calls in to resources that release no record."""
        return AccessJudge(caller, PostgresAccess(self.store.prepared, self.settings.store_deadline_seconds))

    def json_routes(self, judge: AccessJudge) -> Mapping[str, Handler]:
        """Return the resources that take a JSON body and release no record: path → handler."""

        def register(acting: Acting) -> PostgresClients:
            return PostgresClients(self.store.engine, self._acts().by(acting))

        kinds = self.policy_set.registers.recipient_kinds
        polls = PostgresEventPolls(self.store.engine)
        events = EventsFace(judge, polls, self.key_ring.sign_security_event, self.settings.issuer)
        inbox = self.consents.inbox(judge)
        return {
            "/v1/clients": ClientsFace(judge, register, self.policy_set, kinds, self.clock).post,
            CONSENT_REQUESTS_PATH: inbox.post,
            "/v1/events": events.poll,
            "/v1/events/acknowledgements": events.acknowledge,
        }

    def bodiless_routes(self, judge: AccessJudge) -> Mapping[tuple[str, str], Handler]:
        """Return the resources that take no body and release no record: (method, rule) → handler."""
        face = self.consents.grant_face(judge)
        inbox = self.consents.inbox(judge)
        return {
            ("GET", "/v1/token-info"): TokenInfoFace(judge).show,
            ("GET", f"{GRANTS_PATH}/<grant_id>"): face.show,
            ("DELETE", f"{GRANTS_PATH}/<grant_id>"): face.revoke,
            ("GET", f"{CONSENT_REQUESTS_PATH}/<request_id>"): inbox.show,
            ("DELETE", f"{CONSENT_REQUESTS_PATH}/<request_id>"): inbox.cancel,
        }

    def blueprints(self) -> list[Blueprint]:
        """Return the routes of clients' programs, of browsers on their way, and of citizens."""
        settings = self.settings
        server = self.server(self.judge(self.caller()))
        authorizations = self.authorizations()
        metadata = authorization_server_metadata(
            self.addresses, SCOPES, tls_methods(self.settings, self.published_keys)
        )
        return [
            oauth_blueprint(server, self.key_ring, metadata),
            openapi_blueprint(self.addresses),
            authorization_blueprint(authorizations, DecisionPage(settings.issuer), self.clock),
            citizen_blueprint(
                issuer=settings.issuer,
                sign_in=self.sign_in(),
                ways=self.ways(),
                authorizations=self.consents.redirects(authorizations),
                policies=self.policy_set,
                callers=self.callers,
                clock=self.clock,
                form_key=derived_key(settings.key_encryption_key_file.reveal(), "citizen/forms"),
                receipts=ReceiptParts(self.consents.consents, self.key_ring),
                consents=self.consents.page_parts(),
                own=self.own,
            ),
        ]

    def server(self, judge: AccessJudge) -> AuthorizationServer:
        """Return the authorization server for clients' programs."""
        inbox = self.consents.inbox(judge)
        settings = self.settings
        sender = SenderCheck(self.proofs())
        details = detail_reader(self.policy_set, settings.issuer)
        issuer = TokenIssuer(
            issuer=settings.issuer,
            audience=settings.issuer,
            signer=self.key_ring,
            store=PostgresTokens(self.store.prepared, settings.store_deadline_seconds),
            sender=sender,
            lifetime_seconds=settings.access_token_seconds,
            consent_lifetime_seconds=settings.consent_token_seconds,
        )
        catalogue = self.policy_set.catalogue.fields
        sensitive = frozenset(name for name, field in catalogue.items() if field.is_sensitive)
        requests = PostgresRequests(self.store.engine)
        grants = PostgresGrants(self.store.engine)
        return AuthorizationServer(
            addresses=self.addresses,
            token_issuer=issuer,
            clients=self._clients(),
            grants=grants,
            grant_ender=self.consents.grant_ender(),
            id_tokens=IdTokens(settings.issuer, self.key_ring),
            details=details,
            pushed_requests=PushedRequestEndpoint(issuer, sender, requests, details, sensitive),
            introspection=self._introspection(grants),
            revocation=RevocationEndpoint(grants, self.consents.grant_ender()),
            backchannel=inbox,
            backchannel_endpoint=BackchannelEndpoint(issuer, details, inbox),
            callers=self.callers,
            clock=self.clock,
            published_keys=self.published_keys,
            tls_methods=tls_methods(self.settings, self.published_keys),
        )

    def _introspection(self, grants: PostgresGrants) -> IntrospectionEndpoint:
        issuer = self.settings.issuer
        protector = Protector(issuer, issuer, self.key_ring, kept_tokens=1)
        access = PostgresAccess(self.store.prepared, self.settings.store_deadline_seconds)
        return IntrospectionEndpoint(issuer, protector, access, grants, self.key_ring)

    def authorizations(self) -> Authorizations:
        """Return the steps of the authorization endpoint."""
        pseudonyms = KeyedPseudonyms(self.settings.pseudonym_key_file.reveal())
        requests = PostgresRequests(self.store.engine)
        return Authorizations(self.settings.issuer, requests, self._clients(), pseudonyms)

    def sign_in(self) -> CitizenSignIn:
        """Return what signs citizens in."""
        return CitizenSignIn(
            store=PostgresCitizens(self.store.engine),
            references=KeyedPseudonyms(self.settings.pseudonym_key_file.reveal()),
            secrets_=CitizenSecrets(self.settings.key_encryption_key_file.reveal()),
            passwords=Passwords(),
        )

    def ways(self) -> Ways:
        """Return the ways in besides a password, and the sessions that all of them open."""
        engine = self.store.engine
        challenges = PostgresChallenges(engine)
        return Ways(
            sessions=PostgresSessions(engine),
            passkeys=CitizenPasskeys(PostgresPasskeys(engine), challenges, self.settings.issuer),
            identities=IdentitySignIn(
                identities=PostgresIdentities(engine, self._acts()),
                challenges=challenges,
                references=KeyedPseudonyms(self.settings.pseudonym_key_file.reveal()),
                secrets_=CitizenSecrets(self.settings.key_encryption_key_file.reveal()),
            ),
            providers=self.identity_providers,
        )

    def _acts(self) -> Acts:
        return acts_of(self.store, self.settings, BY_ITSELF, self.clock)

    def _clients(self) -> PreparedClients:
        return PreparedClients(self.store.prepared, self.settings.store_deadline_seconds)
