"""The page "who saw my data": releases and refused attempts about whoever is signed in."""

from __future__ import annotations

import re
from datetime import date
from typing import Final

from flask import Response, request

from broker.actions.own_looks import OwnLooks
from broker.actions.show_history import ShowHistory
from broker.evidence.history import RESULTS, HistoryFilter, is_reference
from consent_ui.addresses import (
    COMPLAINT_RULE,
    COMPLAINTS_RULE,
    EVIDENCE_RULE,
    HIDDEN_READS_RULE,
    HISTORY_RULE,
)
from consent_ui.frame import SignedInVisitor, own_page, visitor
from consent_ui.history import CHART_HEIGHT, entry_view, month_views, recipients
from consent_ui.visit import Visit
from policies.compile import PolicySet

HISTORY_PAGE: Final = "who_saw"
EVERYTHING: Final = "everything"
"""What an address says that asks for every entry about the person, not for looks alone."""
_MONTH: Final = re.compile(r"(20\d\d)-(0[1-9]|1[0-2])")


class HistoryViews:
    """Views of /citizen/history."""

    def __init__(self, visit: Visit, policies: PolicySet, verb: ShowHistory, looks: OwnLooks) -> None:
        self._visit = visit
        self._policies = policies
        self._verb = verb
        self._looks = looks

    def show(self) -> Response:
        """Show one page, newest first, once this look is recorded; 303 to whoever is not signed in.

        What an address asks for and cannot be asked for is left out, not answered with an error.
        """
        whose = visitor(self._visit, HISTORY_PAGE)
        if isinstance(whose, Response):
            return whose
        self._looks.record(whose.citizen_id, whose.session.authenticated_at, whose.at)
        wanted = _wanted()
        page, words = self._verb.page(whose.citizen_id, wanted, whose.at), whose.words
        months = month_views(page.counts, page.months)
        return own_page(
            self._visit,
            whose,
            "history.html",
            HISTORY_PAGE,
            entries=[entry_view(one, self._policies, words) for one in page.entries],
            is_complete=page.is_complete,
            months=months,
            chart_height=CHART_HEIGHT,
            recipients=recipients(page.counts, words),
            results=[(one, words(f"history_result_{one}")) for one in RESULTS],
            chosen=_chosen(wanted),
            is_filtered=any(_chosen(wanted).values()),
            action=self._visit.addresses.page(HISTORY_RULE),
            newest=self._address(whose, _chosen(wanted)) if wanted.before else "",
            older=self._address(whose, {**_chosen(wanted), "before": page.following})
            if page.following
            else "",
            evidence={one.reference: self._evidence(whose, one.reference) for one in page.entries},
            complaint_action=self._visit.addresses.page(COMPLAINT_RULE),
            complaints=self._visit.addresses.page(COMPLAINTS_RULE, words.language),
            hidden_reads=self._visit.addresses.page(HIDDEN_READS_RULE, words.language),
            other_address=self._visit.addresses.page(
                HISTORY_RULE, words.other, **{**_chosen(wanted), "before": wanted.before}
            ),
        )

    def _evidence(self, whose: SignedInVisitor, reference: str) -> str:
        rule = EVIDENCE_RULE.replace("<uuid:reference>", reference)
        return self._visit.addresses.page(rule, whose.words.language)

    def _address(self, whose: SignedInVisitor, asked: dict[str, str]) -> str:
        return self._visit.addresses.page(HISTORY_RULE, whose.words.language, **asked)


def _wanted() -> HistoryFilter:
    """Return what the address asks for."""
    asked = request.args
    month = _MONTH.fullmatch(asked.get("month", ""))
    result, before = asked.get("result", ""), asked.get("before", "")
    recipient = asked.get("recipient", "")[:80]
    return HistoryFilter(
        month=date(int(month[1]), int(month[2]), 1) if month else None,
        # PostgreSQL's text holds no NUL, and half a surrogate is no text at all.
        recipient=recipient if recipient.isprintable() else "",
        result=result if result in RESULTS else "",
        before=before if is_reference(before) else "",
        is_everything=asked.get("rows") == EVERYTHING,
    )


def _chosen(wanted: HistoryFilter) -> dict[str, str]:
    """Return the filters as an address has them, "" for one that is not set."""
    month = "" if wanted.month is None else f"{wanted.month:%Y-%m}"
    rows = EVERYTHING if wanted.is_everything else ""
    return {"month": month, "recipient": wanted.recipient, "result": wanted.result, "rows": rows}
