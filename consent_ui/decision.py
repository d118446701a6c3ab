"""The decision page: what is asked, box by box, and the citizen's answer. Nothing is ticked beforehand."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from flask import Response, request

from broker.consent.record import Notice
from broker.oauth.authorization import AuthorizationRefused
from broker.oauth.authorization_details import scopes_of
from broker.oauth.authorization_request import Approval, AuthorizationRequest
from broker.oauth.citizens import CitizenSession
from broker.oauth.detail_types import SCOPE_OF
from consent_ui.addresses import origin_of
from consent_ui.giving_less import AS_ASKED, NotOffered, days_chosen
from consent_ui.notices import notice_of
from consent_ui.presenting import DetailView, NotShowable, RequestView, field_name, present
from consent_ui.previews import Previewing, PreviewView, asked_by_redirect
from consent_ui.sign_in import SIGN_OUT_PAGE
from consent_ui.visit import Visit, words_of_request
from consent_ui.words import Words
from policies.compile import PolicySet


class DecisionViews:
    """Views of /citizen/requests/<handle>."""

    def __init__(self, visit: Visit, policies: PolicySet, previewing: Previewing) -> None:
        self._visit = visit
        self._policies = policies
        self._previewing = previewing

    def show(self, handle: str) -> Response:
        """Show a request to whoever is signed in for it; 303 to the sign-in page otherwise.

        404 when it is unknown, expired or decided; 409 when the policies no longer permit what it asks.
        """
        at, visit = self._visit.clock(), self._visit
        asked_for = visit.find_request(handle, at)
        words = words_of_request(asked_for)
        if asked_for is None:
            return visit.fault("request_unknown", words, 404)
        session = visit.find_session(at)
        if session is None or not _is_recent(session, asked_for):
            return visit.pages.redirect(visit.addresses.sign_in(handle, words.language))
        try:
            view = present(asked_for, self._policies, words, at)
        except NotShowable:
            return visit.fault("not_permitted", words, 409)
        return self._page(asked_for, view, session, handle, words, at)

    def decide(self, handle: str) -> Response:
        """Take the answer: 303 to the client, or the page again (422) where the answer is none.

        Whoever asks for the values has not answered: the page again, with what would leave.

        Only a form that stood on this very page, for this very content and session, is an answer.
        """
        at, visit = self._visit.clock(), self._visit
        asked_for = visit.find_request(handle, at)
        words = words_of_request(asked_for)
        if asked_for is None:
            return visit.fault("request_unknown", words, 404)
        session = visit.find_session(at)
        if session is None or not _is_recent(session, asked_for):
            return visit.pages.redirect(visit.addresses.sign_in(handle, words.language))
        ticked = frozenset(request.form.getlist("field"))
        try:
            view = present(asked_for, self._policies, words, at, ticked)
        except NotShowable:
            return visit.fault("not_permitted", words, 409)
        shown_at = visit.form_shown_at(visit.cookies.session(request), _page(handle, view), at)
        if shown_at is None:
            unticked = present(asked_for, self._policies, words, at)
            return self._page(asked_for, unticked, session, handle, words, at, 403, {"": words("form_stale")})
        if request.form.getlist("choice") == ["show"]:
            asked = asked_by_redirect(asked_for)
            preview = self._previewing.show(session, asked, handle, words)
            return self._page(asked_for, view, session, handle, words, at, preview=preview)
        try:
            notice = notice_of(view.fingerprint, words, shown_at)
            return self._answered(asked_for, view, session, handle, words, at, notice)
        except AuthorizationRefused as refused:
            return visit.fault(refused.reason, words, 409)

    def _answered(
        self,
        asked_for: AuthorizationRequest,
        view: RequestView,
        session: CitizenSession,
        handle: str,
        words: Words,
        at: datetime,
        notice: Notice,
    ) -> Response:
        authorizations, pages = self._visit.authorizations, self._visit.pages
        choice = request.form.getlist("choice")
        if choice == ["refuse"]:
            return pages.redirect(authorizations.refuse(asked_for, at, session.citizen_id, notice))
        errors = {"": words("choose_one")} if choice != ["give"] else _errors(view, words)
        if errors or session.level < asked_for.level:
            return self._page(asked_for, view, session, handle, words, at, 422, errors)
        if not session.is_recent(at):
            # Who gives must surely be the person. What was ticked is not carried along: it is chosen again.
            return pages.redirect(self._visit.addresses.sign_in(handle, words.language, again=True))
        details = _narrowed(asked_for, view)
        approval = Approval(
            citizen_id=session.citizen_id,
            level=session.level,
            authenticated_at=session.authenticated_at,
            details=details,
            scopes=_scopes(asked_for, details),
        )
        return pages.redirect(authorizations.approve(asked_for, approval, at, notice))

    def _page(
        self,
        asked_for: AuthorizationRequest,
        view: RequestView,
        session: CitizenSession,
        handle: str,
        words: Words,
        at: datetime,
        status: int = 200,
        errors: Mapping[str, str] | None = None,
        preview: PreviewView | None = None,
    ) -> Response:
        """Return the page. errors: by name of a box, "" for the whole form. preview: None for none yet."""
        visit = self._visit
        cookie = visit.cookies.session(request)
        return visit.pages.page(
            "decision.html" if session.level >= asked_for.level else "level.html",
            words,
            status,
            goes_to=origin_of(asked_for.redirect_uri),
            is_error=bool(errors),
            errors=dict(errors or {}),
            days={one.days_name: request.form.get(one.days_name, "") for one in view.details if errors},
            view=view,
            preview=preview or self._previewing.offer(session, handle, words),
            action=visit.addresses.request(handle),
            handle=handle,
            token=visit.tokens.token(cookie, _page(handle, view), at),
            sign_out_token=visit.tokens.token(cookie, SIGN_OUT_PAGE, at),
            sign_out_action=visit.addresses.sign_out(),
            signed_in_as=visit.last_digits(session),
            other_address=visit.addresses.request(handle, words.other),
        )


def _is_recent(session: CitizenSession, asked_for: AuthorizationRequest) -> bool:
    """Whether the sign-in is as fresh as the client wants it (prompt=login, max_age)."""
    since = asked_for.must_sign_in_since
    return since is None or session.authenticated_at > since


def _page(handle: str, view: RequestView) -> str:
    """Return what a decision form means: this request, with all that was shown of it."""
    return f"decision {handle} {view.fingerprint}"


def _errors(view: RequestView, words: Words) -> dict[str, str]:
    """Return what keeps a "give" from being an answer, by the name of a box."""
    errors = {}
    for detail in view.details:
        if any(field.ticked for field in detail.fields):
            for field in detail.fields:
                if field.required and not field.ticked:
                    errors[field.name] = words("required_missing", field=field.label)
    ticked = [field for detail in view.details for field in detail.fields if field.ticked]
    if view.details and not ticked:
        first = view.details[0].fields[0]
        errors[first.name] = words("nothing_ticked")
    for detail in view.details:
        try:
            _days(detail)
        except NotOffered as wrong:
            errors[detail.days_name] = words(wrong.key)
    return errors


def _days(detail: DetailView) -> int | None:
    """Return for how many days a detail was given, None for as asked. Raises NotOffered."""
    return days_chosen(request.form.get(detail.days_name, AS_ASKED), detail.lengths)


def _narrowed(asked_for: AuthorizationRequest, view: RequestView) -> tuple[Mapping[str, Any], ...]:
    """Return the details cut down to what was ticked, and to how long; one without a tick is left out."""
    ticked = {field.name for detail in view.details for field in detail.fields if field.ticked}
    narrowed = []
    for position, (detail, shown) in enumerate(zip(asked_for.details, view.details, strict=True)):
        kept = [field for field in detail["fields"] if field_name(position, field) in ticked]
        if kept:
            days = _days(shown) or detail["valid_days"]
            narrowed.append({**detail, "fields": kept, "valid_days": days})
    return tuple(narrowed)


def _scopes(asked_for: AuthorizationRequest, details: tuple[Mapping[str, Any], ...]) -> tuple[str, ...]:
    """Return the scopes asked for, without those whose every detail was left out."""
    left = scopes_of(details)
    return tuple(scope for scope in asked_for.scopes if scope not in SCOPE_OF.values() or scope in left)
