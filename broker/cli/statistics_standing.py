"""The worker's job of answering statistical exports, put together from settings; None where none are served.

What counts and packs is loaded here and in child processes alone: a worker that answers no exports starts
without the extra `statistics`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

from broker.app import new_reference
from broker.cli.session import Session
from broker.clock import Clock
from broker.oauth.release_secrets import ReleaseSeal
from policies.compile import PolicySet

if TYPE_CHECKING:
    from broker.cli.statistics_worker import ExportsJob
    from broker.export_packing import ChildDoors
    from broker.statistics.export_job import ExportJob

Tell = Callable[[Mapping[str, object]], None]


def exports_job(session: Session, policies: PolicySet, clock: Clock, tell: Tell) -> ExportsJob | None:
    """Return the job, or None where BROKER_STATISTICS_DIRECTORY is not set.

    Raises ClickException where the extra is missing: a worker that is meant to answer must not only seem to.
    """
    settings = session.settings
    if not settings.statistics_directory:
        return None
    try:
        from broker.cli.statistics_worker import Bounds, ExportsJob
        from broker.storage.statistics_kept import KeptTables
        from broker.storage.statistics_releases import PostgresReleaseShelf
        from broker.storage.statistics_work import PostgresWork
    except ModuleNotFoundError as missing:
        raise click.ClickException(
            f"BROKER_STATISTICS_DIRECTORY is set and {missing.name} is missing: "
            "pip install 'insurance-data-broker[statistics]'"
        ) from None
    key = settings.key_encryption_key_file.reveal()
    kept = KeptTables(session.engine, key)
    return ExportsJob(
        PostgresWork(session.engine, kept),
        PostgresReleaseShelf(session.engine, Path(settings.statistics_directory), ReleaseSeal(key)),
        kept,
        Bounds(seconds=settings.statistics_job_seconds, memory_mb=settings.statistics_memory_mb),
        lambda job: _doors(session, policies, job),
        clock,
        new_reference,
        tell,
    )


def exports_backlog(session: Session, clock: Clock) -> Mapping[str, int]:
    """Return how many exports wait, for the heartbeat; nothing where none are served here."""
    settings = session.settings
    if not settings.statistics_directory:
        return {}
    from broker.storage.statistics_jobs import PostgresJobs

    jobs = PostgresJobs(session.engine, settings.key_encryption_key_file.reveal())
    return jobs.backlog(clock())


def _doors(session: Session, policies: PolicySet, job: ExportJob) -> ChildDoors:
    """Return what the child of a job is sent: the engine's name, and what the agreement is called."""
    from broker.export_packing import AgreementWords, ChildDoors
    from broker.statistics.manifest import Label

    agreement = policies.find_agreement(job.agreement)
    owner = session.settings.data_owner
    if agreement is None:
        # It was in force when the question was asked; since then its file is gone.
        words = AgreementWords(
            agreement=job.agreement,
            title=Label(job.agreement, job.agreement),
            owner=owner,
            owner_name=Label(owner, owner),
        )
    else:
        named = agreement.data_owner
        words = AgreementWords(
            agreement=f"{agreement.id}/{agreement.revision}",
            title=Label(agreement.title_vi, agreement.title_en),
            owner=named.id,
            owner_name=Label(named.name, named.name),
        )
    return ChildDoors(engine=session.settings.statistics_engine, words=words)
