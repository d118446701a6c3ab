"""`export_statistics`: an organisation asks for tables about nobody individually, and fetches them.

The stations of every other release: facts, decision, record; then the question is kept, and a worker counts,
protects and packs. Each step is an entry of the log (kind export): the question before the cap of the release
is touched, each download before a byte of it leaves.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final, NoReturn

from broker.actions.enforcement import Enforcement
from broker.actions.matter import Matter
from broker.actions.statistics_doors import JobStore, ReleaseShelf
from broker.actions.statistics_openings import Opening, OpenRelease, ready_result
from broker.errors import ExportNotFound, ExportNotReady, ReleaseRefused, StatisticsQuestionRefused
from broker.evidence.export_entry import Export, ExportStep, export_row
from broker.evidence.recording import AccessContext
from broker.oauth.detail_types import details_for
from broker.statistics.agreed import parameters_of
from broker.statistics.disclosure import is_as_strict
from broker.statistics.export_job import ExportJob
from broker.statistics.frozen import FrozenRelease
from broker.statistics.narrowing import is_within, opened, planned_within
from broker.statistics.plan import TablePlan
from broker.statistics.plan_parse import kept_plan
from broker.statistics.question import Question, check_format, read_question
from broker.statistics.reasons import StatisticsRefused
from broker.statistics.registry import unregistered
from policies.model import Agreement

ACTION: Final = "export_statistics"
_SENT: Final = re.compile(r"""'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*\"""")
"""What a detail repeats of a question, as `repr` writes it."""


@dataclass(frozen=True, slots=True)
class ExportStatistics:
    """The verb with its doors.

    find_agreement: by its id, as in force here. recipient_key: public JWK to encrypt to that a client has
    registered, or None.
    """

    enforcement: Enforcement
    shelf: ReleaseShelf
    jobs: JobStore
    find_agreement: Callable[[str], Agreement | None]
    recipient_key: Callable[[str], Mapping[str, Any] | None]

    def opening(self, context: AccessContext) -> Opening:
        """Return what a client's agreement opens. Raises ReleaseRefused (recorded), EvidenceUnavailable."""
        return self._opening(self._matter(context))

    def releases(self, opening: Opening) -> list[OpenRelease]:
        """Return all frozen releases as they are open, newest first. Raises StoreUnavailable."""
        asked = parameters_of(opening.agreement.disclosure_control)
        return [
            OpenRelease(
                manifest,
                opened(manifest, opening.fields, opening.agreement.export_limits),
                is_open,
                is_as_strict(manifest.parameters, asked),
                self.jobs.count_tables(manifest.release),
            )
            for manifest, is_open in self.shelf.iterate_manifests()
        ]

    def ask(self, context: AccessContext, document: Mapping[str, Any]) -> ExportJob:
        """Keep a question and return its job, once the evidence of the question is committed.

        document: decoded JSON, closed here. Raises ReleaseRefused (recorded), StatisticsQuestionRefused
        (recorded), EvidenceUnavailable, StoreUnavailable.
        """
        matter = self._matter(context)
        opening = self._opening(matter)
        question: Question | None = None
        try:
            question = read_question(document)
            release = self._release(question, opening)
            plan = planned_within(
                question.document, opened(release.manifest, opening.fields, opening.agreement.export_limits)
            )
            check_format(question.format, opening.agreement.export_limits.formats)
            key = self._key(context.client_id) if question.is_encrypted else None
        except StatisticsRefused as refused:
            known = None if question is None or refused.reason == "plan_malformed" else question.release
            self._refuse(matter, refused, release=known)
        job = self._job(matter, plan, question.format, key)
        row = export_row(self._entry(matter, "requested", context.reference, job))
        enforcement = self.enforcement
        enforcement.record(matter, [row], [None], acting_ref=self._acting_ref(matter))
        try:
            self.jobs.admit(job, release.manifest, plan)
        except StatisticsRefused as refused:
            self._refuse(matter, refused, job=job, reference=enforcement.new_reference())
        return job

    def find(self, job_id: str, client_id: str) -> ExportJob:
        """Return a client's own job. Raises ExportNotFound, StoreUnavailable."""
        job = self.jobs.find_job(job_id, client_id)
        if job is None:
            raise ExportNotFound
        return job

    def cancel(self, job_id: str, client_id: str, now: datetime) -> ExportJob:
        """Cancel a client's own job that has not ended; return how it stands. Raises ExportNotFound."""
        job = self.jobs.cancel(job_id, client_id, now)
        if job is None:
            raise ExportNotFound
        return job

    def download(self, context: AccessContext, job: ExportJob, start: int, end: int) -> bytes:
        """Return bytes start <= n < end of a result, once the evidence of the download is committed.

        The agreement must still permit it and open all that the table names, and so must the token.
        Raises ExportNotReady, ReleaseRefused (recorded), EvidenceUnavailable, StoreUnavailable.
        """
        result = ready_result(job, context.at)
        matter = self._matter(context)
        self._check_open(matter, job)
        # What was asked is counted when it is asked: fetching it in parts costs nothing more.
        uncounted = replace(matter, decision=replace(matter.decision, limits=()))
        entry = replace(
            self._entry(uncounted, "downloaded", context.reference, job),
            content_hash=result.content_hash,
            table_hash=result.table_hash,
            cell_count=result.cell_count,
            suppressed_permille=result.suppressed_permille,
        )
        self.enforcement.record(uncounted, [export_row(entry)], [None])
        content = self.jobs.read_result(job.job_id, context.client_id, start, end, context.at)
        if content is None:
            raise ExportNotReady("expired")
        return content

    def _matter(self, context: AccessContext) -> Matter:
        return self.enforcement.matter(
            context,
            ACTION,
            lookup_key="",
            supplied=frozenset(),
            established=frozenset({"nobody_individually"}),
            item_count=1,
            acting_person=None,
            encounter_reference=None,
        )

    def _opening(self, matter: Matter) -> Opening:
        agreement = self.find_agreement(matter.decision.agreement_id)
        if agreement is None:
            self.enforcement.refuse(matter, "no_agreement")
        fields = {one.field for one in matter.decision.released if one.form.name == "aggregate"}
        details = details_for(ACTION, matter.context.authorization_details, "") or ()
        if details:
            # A token that names fields opens those alone; one that names none opens all of the agreement's.
            named = [frozenset(one.get("fields", fields)) for one in details]
            fields &= frozenset().union(*named)
        return Opening(agreement, frozenset(fields))

    def _release(self, question: Question, opening: Opening) -> FrozenRelease:
        """Return the release of a question. Raises StatisticsRefused where it may not be asked."""
        release = self.shelf.find_release(question.release)
        if release is None:
            known = [manifest.release for manifest, is_open in self.shelf.iterate_manifests() if is_open]
            raise unregistered("release", question.release, known)
        if not release.is_open:
            raise StatisticsRefused("release_closed", "the catalogue lists those that are open")
        if not is_as_strict(release.manifest.parameters, parameters_of(opening.agreement.disclosure_control)):
            raise StatisticsRefused("release_less_strict", "releases that are frozen from now on keep more")
        return release

    def _check_open(self, matter: Matter, job: ExportJob) -> None:
        """Refuse a table of which the agreement, or the token, does not open a part (any more)."""
        opening, release = self._opening(matter), self.shelf.find_release(job.release)
        if release is not None:
            part = opened(release.manifest, opening.fields, opening.agreement.export_limits)
            if is_within(kept_plan(job.plan), part):
                return
        is_narrowed = bool(matter.context.authorization_details)
        self.enforcement.refuse(
            matter, "authorization_details_insufficient" if is_narrowed else "no_agreement"
        )

    def _key(self, client_id: str) -> Mapping[str, Any]:
        key = self.recipient_key(client_id)
        if key is None:
            raise StatisticsRefused("recipient_key_missing", "leave encrypt_to out, or register such a key")
        return key

    def _job(self, matter: Matter, plan: TablePlan, package: str, key: Mapping[str, Any] | None) -> ExportJob:
        context = matter.context
        return ExportJob(
            job_id=self.enforcement.new_reference(),
            reference=context.reference,
            client_id=context.client_id,
            recipient=matter.client.organisation_id,
            agreement=matter.decision.agreement_id,
            agreement_revision=matter.decision.revision_hash,
            acting_person=None,
            release=plan.release,
            plan=plan.canonical(),
            plan_hash=plan.hash,
            format=package,
            recipient_key=key,
            state="waiting",
            percent=0,
            reason="",
            requested_at=context.at,
            finished_at=None,
            expires_at=None,
            result=None,
        )

    def _entry(self, matter: Matter, step: ExportStep, reference: str, job: ExportJob) -> Export:
        return Export(
            reference=reference,
            at=matter.context.at,
            step=step,
            client=matter.client.client_id,
            recipient=matter.client.organisation_id,
            agreement=matter.decision.agreement_id,
            agreement_revision=matter.decision.revision_hash,
            job=job.job_id,
            release=job.release,
            plan_hash=job.plan_hash,
            format=job.format,
        )

    def _acting_ref(self, matter: Matter) -> bytes:
        """Return whom the limit per acting person counts: the client, for a program asks."""
        return self.enforcement.pseudonyms.staff_ref(matter.client.organisation_id, matter.client.client_id)

    def _refuse(
        self,
        matter: Matter,
        refused: StatisticsRefused,
        *,
        release: str | None = None,
        job: ExportJob | None = None,
        reference: str = "",
    ) -> NoReturn:
        """Record the refusal, then raise it. reference: where the request's own has an entry already."""
        where = reference or matter.context.reference
        entry = Export(
            reference=where,
            at=matter.context.at,
            step="refused",
            client=matter.client.client_id,
            recipient=matter.client.organisation_id,
            agreement=matter.decision.agreement_id,
            agreement_revision=matter.decision.revision_hash,
            job=None if job is None else job.job_id,
            release=release if job is None else job.release,
            plan_hash=None if job is None else job.plan_hash,
            format=None if job is None else job.format,
            reason=refused.reason,
        )
        fresh = self.enforcement.ledger.record_refusal(matter.context, export_row(entry))
        if not fresh and job is None:
            raise ReleaseRefused("proof_replayed", reference=where) from None
        raise StatisticsQuestionRefused(
            refused.reason, _SENT.sub("…", refused.detail), reference=where
        ) from None
