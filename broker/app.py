"""The roof: wires stores, keys, policies, verbs and faces. gunicorn serves `broker.app:create_app()`.

Everything is built from `Settings` and handed down explicitly; there is no global state besides metrics.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import uuid_utils
from flask import Flask

from broker.actions.enforcement import Enforcement
from broker.actions.find_usage import ACTION as FIND_USAGE
from broker.actions.own_reading import ACTION as EXTRACT_OWN_RECORD
from broker.actions.share_record import ACTION as SHARE_RECORD
from broker.actions.verify_entitlement import ACTION as VERIFY_ENTITLEMENT
from broker.actions.verify_entitlement import VerifyEntitlement
from broker.api.entitlement import EntitlementFace
from broker.api.exchange import Exchange
from broker.api.hot_routes import HotRoutes
from broker.api.log_alarm import LATE, STOPPED, Alarm
from broker.api.operations import operations_blueprint
from broker.api.operations_log import start_logging
from broker.api.resources import BODY_BYTES_MAX, install, resources_blueprint
from broker.citizen_wiring import CitizenWiring
from broker.clock import countdown, system_clock
from broker.consent_wiring import ConsentWiring, source_people
from broker.errors import BrokerError, SettingsInvalid
from broker.evidence.pseudonyms import KeyedPseudonyms
from broker.keys import KeyRing
from broker.log_wiring import LogWiring
from broker.oauth.proxies import TrustedProxies
from broker.oauth.scopes import EXPORT_STATISTICS
from broker.reading_wiring import ReadingWiring
from broker.settings import Settings, read_settings
from broker.statistics.agreed import check_agreements
from broker.statistics_wiring import StatisticsWiring
from broker.storage.agreements import published_agreements
from broker.storage.ledger import PostgresLedger
from broker.storage.openings import PostgresOpenings
from broker.storage.readiness import find_fault
from broker.storage.register import CachedRegister, PreparedRegister
from broker.storage.session import Store, open_store
from broker.storage.signing_keys import PostgresSigningKeys
from broker.usage_wiring import UsageWiring
from broker.wiring import Wiring
from connectors.national_insurance.children import InsuranceFamilies
from connectors.national_insurance.source import InsuranceSource
from consent_ui.fault_pages import FaultPages
from policies.compile import PolicySet, compile_policies
from policies.decide import decide
from policies.load import SHIPPED, load_directory
from policies.model import Decision, DecisionRequest, PolicyError

RELEASE_SCOPES: Final = frozenset(
    {VERIFY_ENTITLEMENT, SHARE_RECORD, EXTRACT_OWN_RECORD, FIND_USAGE, EXPORT_STATISTICS}
)
"""The actions that a route serves: their agreements must be in force as loaded."""


@dataclass(frozen=True, slots=True)
class CompiledPolicies:
    """The policies of this process, as loaded at start."""

    policy_set: PolicySet

    def agreement_for(self, action: str, agreement_ids: Sequence[str]) -> tuple[str, str] | None:
        """Return (agreement id, purpose) of the one agreement for the action among ids.

        None when there is none, and when there are several: nobody guesses which one was meant.
        """
        found = [
            (agreement.id, agreement.purpose)
            for agreement in map(self.policy_set.find_agreement, agreement_ids)
            if agreement is not None and agreement.action == action
        ]
        return found[0] if len(found) == 1 else None

    def decide(self, request: DecisionRequest) -> Decision:
        """Return the decision; never raises."""
        return decide(request, self.policy_set)


def new_reference() -> str:
    """Return a fresh UUIDv7 as text: evidence references sort by time, and tell nothing else."""
    return str(uuid_utils.uuid7())


def new_salt() -> bytes:
    """Return 32 fresh random bytes."""
    return secrets.token_bytes(32)


def policy_directory(settings: Settings) -> Path:
    """Return the configured policy directory, or the one that comes with the broker."""
    return Path(settings.policy_directory) if settings.policy_directory else SHIPPED


def load_policies(settings: Settings) -> PolicySet:
    """Return the compiled policies of the configured directory. Raises SettingsInvalid with the remedy."""
    try:
        bundle = load_directory(policy_directory(settings))
        check_agreements(bundle.agreements)
        return compile_policies(bundle.agreements, bundle.catalogue, bundle.registers)
    except PolicyError as fault:
        raise SettingsInvalid(f"the policies cannot be used: {fault}") from fault


def create_app(settings: Settings | None = None) -> Flask:
    """Return the broker as a WSGI application.

    settings: read from the environment when not given. Connects to nothing yet: the first request does, so
    that a worker may be forked before. Raises SettingsInvalid when it cannot be right.
    """
    settings = settings or read_settings()
    start_logging(settings.log_level)
    policy_set = load_policies(settings)
    store = open_store(
        settings.database_url, deadline_seconds=settings.store_deadline_seconds, pool_size=settings.threads
    )
    source = InsuranceSource(
        settings.source_url, settings.source_deadline_seconds, concurrency=settings.source_concurrency
    )
    key_ring = KeyRing(
        PostgresSigningKeys(store.engine), settings.key_encryption_key_file.reveal(), system_clock
    )
    enforcement = enforcement_of(settings, store, policy_set)
    verb = VerifyEntitlement(
        enforcement=enforcement,
        source=source,
        countdown=countdown,
        source_deadline_seconds=settings.source_deadline_seconds,
    )
    callers = TrustedProxies(settings.trusted_proxies)
    people = source_people(settings, store, source)
    consents = ConsentWiring(settings, store, key_ring, policy_set, people, new_salt)
    whole = ReadingWiring(settings, store, key_ring, policy_set, enforcement, source)
    families = InsuranceFamilies(settings.source_url, settings.source_deadline_seconds)
    logs = LogWiring(settings, store, key_ring, system_clock)
    citizens = CitizenWiring(settings, store, source, families, logs.published())
    own = citizens.own_parts(whole.own_record(), whole.preview(), consents.verbs())
    wiring = Wiring(settings, store, key_ring, policy_set, callers, consents, system_clock, own)
    caller = wiring.caller()
    app = Flask("broker", static_folder=None)
    exchange = Exchange(settings.issuer, new_reference)
    install(app, exchange, FaultPages(settings.issuer))
    face = EntitlementFace(caller, verb, key_ring.sign_receipt, settings.data_owner)
    routes = {"/v1/entitlement-checks": face.check, "/v1/entitlement-checks/batch": face.batch}
    reading = whole.routes(caller)
    judge = wiring.judge(caller)
    tables, about_tables = StatisticsWiring(settings, store, policy_set, enforcement).routes(judge)
    beside = {**routes, **wiring.json_routes(judge), **tables}
    usage = UsageWiring(settings, store, policy_set, enforcement, source, system_clock)
    bodiless = {**wiring.bodiless_routes(judge), **logs.routes(judge), **usage.routes(judge), **about_tables}
    bodiless |= {("GET", path): one for path, one in reading.items()}
    app.register_blueprint(resources_blueprint(exchange, beside, bodiless, callers))
    for blueprint in wiring.blueprints():
        app.register_blueprint(blueprint)
    app.register_blueprint(logs.blueprint())
    log_delay = logs.delay()
    app.register_blueprint(
        operations_blueprint(
            needed={
                "ledger": lambda: find_fault(store.engine),
                "signing": lambda: _signing_fault(key_ring),
                "policies": lambda: policies_fault(store, policy_set),
            },
            informative={
                "source": lambda: None if source.is_available() else "unavailable",
                "releases": Alarm(logs.standing().fault, STOPPED, "ordinary releases go on"),
                **({} if log_delay is None else {"log": Alarm(log_delay.fault, LATE, "the log is in time")}),
            },
            metrics_directory=settings.metrics_directory,
            log_delay=None if log_delay is None else log_delay.seconds,
        )
    )
    # Flask's own way to put something before an application; mypy sees a method there.
    app.wsgi_app = HotRoutes(  # type: ignore[method-assign]
        app.wsgi_app, exchange, routes, BODY_BYTES_MAX, callers, reading
    )
    return app


def enforcement_of(settings: Settings, store: Store, policy_set: PolicySet) -> Enforcement:
    """Return what every verb does around its own work, on this store and these policies."""
    return Enforcement(
        ledger=PostgresLedger(
            store.prepared,
            PostgresOpenings(store, settings.key_encryption_key_file.reveal()),
            deadline_seconds=settings.store_deadline_seconds,
            clock_skew_seconds=settings.clock_skew_seconds,
            needs_log=settings.log_required == "yes",
        ),
        facts=CachedRegister(
            PreparedRegister(store.prepared, settings.store_deadline_seconds).find_client,
            system_clock,
            settings.facts_seconds,
        ),
        policies=CompiledPolicies(policy_set),
        pseudonyms=KeyedPseudonyms(settings.pseudonym_key_file.reveal()),
        salts=new_salt,
        new_reference=new_reference,
    )


def _signing_fault(key_ring: KeyRing) -> str | None:
    try:
        key_ring.sign_receipt({"probe": "readyz"})
    except BrokerError as fault:
        return fault.kind
    return None


def policies_fault(store: Store, policy_set: PolicySet) -> str | None:
    """Return unpublished if an agreement that opens a route here is not in force as loaded, or None."""
    try:
        published = {one.agreement_id: one.revision_hash for one in published_agreements(store.engine)}
    except Exception:
        return "unreachable"
    loaded = {
        name: table.agreement.revision_hash
        for name, table in policy_set.tables.items()
        if table.agreement.action in RELEASE_SCOPES
    }
    return None if loaded.items() <= published.items() else "unpublished"
