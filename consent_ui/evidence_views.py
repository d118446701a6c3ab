"""An entry about whoever is signed in, with all that somebody else needs to check it: a page and a file."""

from __future__ import annotations

from typing import Final
from uuid import UUID

from flask import Response

from broker.actions.own_looks import OwnLooks
from broker.actions.published_log import Evidence, PublishedLog
from broker.actions.show_history import OpenedEntry, ShowHistory
from broker.errors import CheckpointWithdrawn
from broker.evidence.evidence_file import Sealed
from consent_ui.addresses import EVIDENCE_FILE_RULE, EVIDENCE_RULE, HISTORY_RULE, VERIFY_RULE, Addresses
from consent_ui.frame import SignedInVisitor, own_page, visitor
from consent_ui.history_views import HISTORY_PAGE
from consent_ui.pages import guarded
from consent_ui.verifying import KEY_OPTION, PROGRAM, SCRIPT_VERSION, SENTENCES
from consent_ui.visit import Visit

SUFFIX: Final = ".evidence.json"
WITHDRAWN: Final = "evidence_withdrawn"


class EvidenceViews:
    """Views of /citizen/history/<reference>/evidence. What is another's is as what is not there (404)."""

    def __init__(self, visit: Visit, history: ShowHistory, looks: OwnLooks, log: PublishedLog) -> None:
        self._visit = visit
        self._history = history
        self._looks = looks
        self._log = log

    def show(self, reference: UUID) -> Response:
        """Say how the entry stands in the log, what its file tells, and how anybody checks it.

        The page brings the file along, for the script that checks it there: it asks for nothing more.
        """
        whose = visitor(self._visit, HISTORY_PAGE)
        if isinstance(whose, Response):
            return whose
        self._looks.record(whose.citizen_id, whose.session.authenticated_at, whose.at)
        opened = self._history.open_entry(whose.citizen_id, str(reference), whose.at)
        if opened is None:
            return self._unknown(whose)
        evidence, waits = self._proven(str(reference), opened)
        if evidence is not None:
            self._note_taken(whose, str(reference))
        addresses, language = self._visit.addresses, whose.words.language
        return own_page(
            self._visit,
            whose,
            "evidence.html",
            HISTORY_PAGE,
            reference=str(reference),
            waits="" if evidence is not None else whose.words(waits),
            evidence=evidence,
            script=addresses.verify_script(SCRIPT_VERSION) if evidence is not None else "",
            sentences=SENTENCES[language],
            content="" if evidence is None else _content(evidence, opened).decode(),
            verify=addresses.page(VERIFY_RULE, language),
            number="" if evidence is None else whose.words.number(evidence.proof.leaf_index + 1),
            program=PROGRAM,
            option=KEY_OPTION,
            file_name=f"{reference}{SUFFIX}",
            file=evidence_address(addresses, EVIDENCE_FILE_RULE, str(reference), language),
            history=addresses.page(HISTORY_RULE, language),
        )

    def file(self, reference: UUID) -> Response:
        """Give the evidence file; 409 while nothing proves the entry, 503 while only a withdrawn key does."""
        whose = visitor(self._visit, HISTORY_PAGE)
        if isinstance(whose, Response):
            return whose
        opened = self._history.open_entry(whose.citizen_id, str(reference), whose.at)
        if opened is None:
            return self._unknown(whose)
        evidence, waits = self._proven(str(reference), opened)
        if evidence is None:
            return self._waits(whose, str(reference), waits)
        self._note_taken(whose, str(reference))
        response = Response(_content(evidence, opened), mimetype="application/json")
        response.headers["Content-Disposition"] = f'attachment; filename="{reference}{SUFFIX}"'
        return guarded(response)

    def _note_taken(self, whose: SignedInVisitor, reference: str) -> None:
        """Record that an entry is handed out with what opens it: as a file, or in the page that checks it."""
        signed_in_at = whose.session.authenticated_at
        self._looks.record(whose.citizen_id, signed_in_at, whose.at, "evidence_file", reference)

    def _proven(self, reference: str, opened: OpenedEntry) -> tuple[Evidence | None, str]:
        """Return what proves an entry; or None, and the key of the words that say why it waits."""
        try:
            evidence = self._log.prove(reference, opened.entry)
        except CheckpointWithdrawn:
            return None, WITHDRAWN
        return evidence, "evidence_waits" if self._log.is_kept else "evidence_no_log"

    def _waits(self, whose: SignedInVisitor, reference: str, why: str) -> Response:
        words = whose.words
        back = evidence_address(self._visit.addresses, EVIDENCE_RULE, reference, words.language)
        is_withdrawn = why == WITHDRAWN
        status = 503 if is_withdrawn else 409
        response = self._visit.pages.notice(words, status, words("evidence_title"), words(why), back)
        if is_withdrawn:
            response.headers["Retry-After"] = str(CheckpointWithdrawn().retry_after_seconds)
        return response

    def _unknown(self, whose: SignedInVisitor) -> Response:
        words = whose.words
        back = self._visit.addresses.page(HISTORY_RULE, words.language)
        return self._visit.pages.notice(words, 404, words("evidence_title"), words("complaint_unknown"), back)


def evidence_address(addresses: Addresses, rule: str, reference: str, language: str) -> str:
    """Return the path of the page or the file of one entry."""
    return addresses.page(rule.replace("<uuid:reference>", reference), language)


def _content(evidence: Evidence, opened: OpenedEntry) -> bytes:
    """Return the file. Of the answer the broker has the salt alone: who got the answer can add it."""
    subject, payload = opened.data_subject_salt, opened.payload_salt
    return evidence.file(
        None if subject is None else Sealed(subject, opened.data_subject.encode()),
        None if payload is None else Sealed(payload),
    )
