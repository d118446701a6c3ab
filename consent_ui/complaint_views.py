"""Complaints: a form about one row of the history, and the list of one's own with what came of them."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final
from uuid import UUID

from flask import Response, request

from broker.actions.complain import Complain
from broker.actions.own_looks import OwnLooks
from broker.consent.complaint import TEXT_MAX, Complaint, find_text_fault
from broker.evidence.history import HistoryEntry
from consent_ui.addresses import COMPLAINT_RULE, COMPLAINTS_RULE, HISTORY_RULE
from consent_ui.frame import SignedInVisitor, own_page, visitor
from consent_ui.history import entry_view
from consent_ui.visit import Visit
from consent_ui.words import Words
from policies.compile import PolicySet

COMPLAINTS_PAGE: Final = "complaints"
HISTORY_PAGE: Final = "who_saw"
_TEXT_FORM_MAX: Final = 3 * TEXT_MAX


class ComplaintViews:
    """Views of /citizen/complaints."""

    def __init__(self, visit: Visit, policies: PolicySet, verb: Complain, looks: OwnLooks) -> None:
        self._visit = visit
        self._policies = policies
        self._verb = verb
        self._looks = looks

    def show(self) -> Response:
        """List one's own complaints, the newest first."""
        whose = visitor(self._visit, COMPLAINTS_PAGE)
        if isinstance(whose, Response):
            return whose
        mine = self._verb.list_mine(whose.citizen_id)
        return own_page(
            self._visit,
            whose,
            "complaints.html",
            COMPLAINTS_PAGE,
            complaints=[_listed(one, whose.words, whose.at) for one in mine],
            history=self._visit.addresses.page(HISTORY_RULE, whose.words.language),
        )

    def form(self) -> Response:
        """Show the form about one row of the own history; 404 for anybody else's, and for none.

        That is a look at the history, and recorded. 503 while the source cannot say whose the row is.
        """
        whose = visitor(self._visit, COMPLAINTS_PAGE)
        if isinstance(whose, Response):
            return whose
        self._looks.record(whose.citizen_id, whose.session.authenticated_at, whose.at)
        entry = self._verb.about(whose.citizen_id, request.args.get("reference", ""), whose.at)
        if entry is None:
            return self._unknown(whose)
        return self._form(whose, entry, self._verb.new_id(), "")

    def file(self) -> Response:
        """Keep a complaint: 303 to the list; the form again (403, 422) where it cannot be kept."""
        whose = visitor(self._visit, COMPLAINTS_PAGE)
        if isinstance(whose, Response):
            return whose
        visit, words = self._visit, whose.words
        self._looks.record(whose.citizen_id, whose.session.authenticated_at, whose.at)
        reference, complaint_id = request.form.get("reference", ""), request.form.get("complaint_id", "")
        entry = self._verb.about(whose.citizen_id, reference, whose.at)
        if entry is None:
            return self._unknown(whose)
        text = request.form.get("text", "")[:_TEXT_FORM_MAX]
        if not visit.is_good_form(whose.cookie, _bound(complaint_id, reference), whose.at):
            return self._form(whose, entry, self._verb.new_id(), text, 403, words("form_stale"))
        fault = find_text_fault(text)
        if fault is not None:
            return self._form(
                whose, entry, complaint_id, text, 422, words(f"complaint_{fault}", count=TEXT_MAX)
            )
        self._verb.file(whose.citizen_id, complaint_id, entry, text, whose.at)
        return visit.pages.redirect(visit.addresses.page(COMPLAINTS_RULE, words.language))

    def _unknown(self, whose: SignedInVisitor) -> Response:
        words, addresses = whose.words, self._visit.addresses
        back = addresses.page(HISTORY_RULE, words.language)
        return self._visit.pages.notice(
            words, 404, words("complaint_title"), words("complaint_unknown"), back
        )

    def _form(
        self,
        whose: SignedInVisitor,
        entry: HistoryEntry,
        complaint_id: str,
        text: str,
        status: int = 200,
        error: str = "",
    ) -> Response:
        visit = self._visit
        token = visit.tokens.token(whose.cookie, _bound(complaint_id, entry.reference), whose.at)
        return own_page(
            visit,
            whose,
            "complaint.html",
            HISTORY_PAGE,
            status,
            is_error=bool(error),
            error=error,
            entry=entry_view(entry, self._policies, whose.words),
            complaint_id=complaint_id,
            text=text if text.isprintable() or "\n" in text else "",
            most=TEXT_MAX,
            action=visit.addresses.page(COMPLAINT_RULE),
            token=token,
            other_address=visit.addresses.page(COMPLAINT_RULE, whose.words.other, reference=entry.reference),
        )


def _bound(complaint_id: str, reference: str) -> str:
    """What a form token vouches for: this number was made here, for this row."""
    return f"complaint {complaint_id} {reference}"


def _listed(one: Complaint, words: Words, at: datetime) -> dict[str, Any]:
    return {
        "number": UUID(one.complaint_id).hex[-12:],
        "reference": one.reference,
        "text": one.text,
        "answer": one.answer,
        "status": words(f"complaint_status_{one.status}"),
        "received": words.moment(one.received_at),
        "due": words.day(one.due_day),
        "is_waiting": one.status == "received",
        "is_late": one.is_late(at),
        "acknowledged": "" if one.acknowledged_at is None else words.moment(one.acknowledged_at),
        "answered": "" if one.answered_at is None else words.moment(one.answered_at),
    }
