"""`broker prepare`: everything a database needs before the first request, safe to say again."""

from __future__ import annotations

import json

import click

from broker.app import load_policies, policy_directory
from broker.cli.operator import operator_acting
from broker.cli.output import refusals
from broker.clock import system_clock
from broker.errors import SettingsInvalid
from broker.evidence.acting import BY_ITSELF, Acting
from broker.keys import KeyRing
from broker.settings import Settings, companion, read_settings
from broker.storage.acts import acts_of
from broker.storage.agreements import AgreementRevision, RevisionNotNewer, publish_agreement
from broker.storage.faults import store_answers
from broker.storage.log_heads import create_head_store
from broker.storage.migrate import migrate
from broker.storage.session import open_store
from broker.storage.signing_keys import PostgresSigningKeys
from policies.compile import PolicySet
from policies.hidden import extended_days_maximum
from policies.load import register_texts


def prepare(owner_url: str, settings: Settings, acting: Acting = BY_ITSELF) -> dict[str, object]:
    """Migrate, make the missing signing keys, publish new agreement revisions; return what was done.

    owner_url: the owner role's URL, for migrations; the rest is done as the application role. acting: whose
    acts these are in the evidence.
    Raises RevisionNotNewer when an agreement's text changed without a new revision number,
    SigningKeyUnavailable under another key-encryption key than before, StoreUnavailable.
    """
    with store_answers():
        revision = migrate(owner_url)
    store = open_store(settings.database_url, deadline_seconds=10.0)
    acts = acts_of(store, settings, acting)
    try:
        signing_keys = PostgresSigningKeys(store.engine, acts)
        keys = KeyRing(signing_keys, settings.key_encryption_key_file.reveal(), system_clock)
        made = keys.ensure_keys()
        registers = register_texts(policy_directory(settings))
        published = [
            one.agreement_id
            for one in revisions(load_policies(settings))
            if publish_agreement(store.engine, acts, one, registers)
        ]
    finally:
        store.close()
    return {"revision": revision, "keys_made": made, "agreements_published": published}


def revisions(policy_set: PolicySet) -> list[AgreementRevision]:
    """Return the loaded agreements as revisions to publish."""
    return [
        AgreementRevision(
            agreement_id=agreement.id,
            revision=agreement.revision,
            revision_hash=agreement.revision_hash,
            text=agreement.text,
            valid_from=agreement.valid_from,
            valid_to=agreement.valid_to,
            review_date=agreement.review_date,
            hidden_days=agreement.hidden_days or None,
            hidden_days_maximum=(
                extended_days_maximum(agreement.recipients, policy_set.registers.hidden_reads)
                if agreement.hidden_days
                else None
            ),
        )
        for agreement in (table.agreement for table in policy_set.tables.values())
    ]


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def prepare_command(as_json: bool) -> None:
    """Bring the broker's own database to the point where it can serve.

    Runs migrations as the owner role (BROKER_OWNER_DATABASE_URL), makes signing keys where none live, and
    publishes agreement revisions that are new, with their registers. With BROKER_LOG_HEAD_OWNER_URL it makes
    the table of the log's head store too. Saying it again changes nothing.
    """
    owner_url = companion("BROKER_OWNER_DATABASE_URL")
    if owner_url is None:
        raise click.ClickException(
            "BROKER_OWNER_DATABASE_URL is missing: the owner role's URL, for migrations only"
        )
    head_owner_url = companion("BROKER_LOG_HEAD_OWNER_URL")
    try:
        with refusals():
            if head_owner_url is not None:
                create_head_store(head_owner_url.replace("postgresql://", "postgresql+psycopg://", 1))
            settings = _settings()
            engine_url = owner_url.replace("postgresql://", "postgresql+psycopg://", 1)
            done = prepare(engine_url, settings, operator_acting(settings))
    except RevisionNotNewer as fault:
        raise click.ClickException(str(fault)) from None
    if as_json:
        click.echo(json.dumps(done))
        return
    click.echo(f"database at revision {done['revision']}")
    for name in ("keys_made", "agreements_published"):
        # Both are lists; the members of the row are told apart by name only.
        for one in done[name]:  # type: ignore[attr-defined]
            click.echo(f"{name.replace('_', ' ')}: {one}")


def _settings() -> Settings:
    try:
        return read_settings()
    except SettingsInvalid as fault:
        raise click.ClickException(str(fault)) from None
