"""The page "my record": what the database holds about whoever is signed in. Opening it is recorded."""

from __future__ import annotations

from datetime import datetime
from typing import Final, Protocol

from flask import Response

from broker.actions.extract_own_record import OwnRecord
from broker.actions.own_reading import LEVEL, OwnReader
from broker.errors import EvidenceUnavailable, ReleaseRefused, SourceOutage
from consent_ui.addresses import HISTORY_RULE, RECORD_RULE
from consent_ui.frame import SignedInVisitor, own_page, visitor
from consent_ui.history import reason_in_words
from consent_ui.record import group_views
from consent_ui.sign_in_page import BUSY_SECONDS
from consent_ui.visit import Visit
from policies.compile import PolicySet

RECORD_PAGE: Final = "record"


class OwnRecords(Protocol):
    """Reads own records; `broker.actions.extract_own_record.ExtractOwnRecord` does."""

    def read(self, reader: OwnReader, at: datetime) -> OwnRecord:
        """Return the own record, recorded. Raises ReleaseRefused, SourceOutage, EvidenceUnavailable."""
        ...


class RecordViews:
    """Views of /citizen/record."""

    def __init__(self, visit: Visit, policies: PolicySet, verb: OwnRecords) -> None:
        self._visit = visit
        self._policies = policies
        self._verb = verb

    def show(self) -> Response:
        """Say what will happen: nothing is read, and no look recorded, before the button is pressed."""
        whose = visitor(self._visit, RECORD_PAGE)
        if isinstance(whose, Response):
            return whose
        return self._page(whose, None)

    def read(self) -> Response:
        """Show the record to whoever signed in at level 2; a look that is refused is recorded too.

        403: sign-in too weak, or a form of another page; 409 refused; 503 source or store away.
        """
        whose = visitor(self._visit, RECORD_PAGE)
        if isinstance(whose, Response):
            return whose
        visit, words = self._visit, whose.words
        if not visit.is_good_form(whose.cookie, RECORD_PAGE, whose.at):
            return self._page(whose, None, 403, words("form_stale"))
        if whose.session.level < LEVEL:
            return self._page(whose, None, 403, reason_in_words("level_too_low", words))
        reader = visit.reader(whose.session)
        try:
            return self._page(whose, self._verb.read(reader, whose.at))
        except ReleaseRefused as refused:
            return self._page(whose, None, 409, reason_in_words(refused.reason, words))
        except (SourceOutage, EvidenceUnavailable):
            response = self._page(whose, None, 503, words("record_unavailable"))
            response.headers["Retry-After"] = str(BUSY_SECONDS)
            return response

    def _page(
        self, whose: SignedInVisitor, record: OwnRecord | None, status: int = 200, error: str = ""
    ) -> Response:
        visit, words = self._visit, whose.words
        return own_page(
            visit,
            whose,
            "record.html",
            RECORD_PAGE,
            status,
            is_error=bool(error),
            error=error,
            can_read=whose.session.level >= LEVEL,
            record=record,
            groups=() if record is None else group_views(record, self._policies.catalogue, words),
            as_of="" if record is None else words.moment(record.as_of),
            read_at=words.moment(whose.at),
            action=visit.addresses.page(RECORD_RULE),
            token=visit.tokens.token(whose.cookie, RECORD_PAGE, whose.at),
            history=visit.addresses.page(HISTORY_RULE, words.language),
        )
