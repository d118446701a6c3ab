"""Persons I represent: one's children as the source proves them, and their requests to decide."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from flask import Response, request

from broker.actions.own_reading import LEVEL
from broker.actions.represent import Represent, RepresentativeSignIn, RepresentedChild
from broker.consent.record import Consent
from broker.errors import ConsentMoved, ConsentNotFound, ConsentTransitionRefused, StoreUnavailable
from consent_ui.addresses import (
    CHILD_CONSENT_RULE,
    CHILD_EXTENSION_RULE,
    CHILD_REQUEST_RULE,
    CHILD_WITHDRAWAL_RULE,
    REPRESENTATION_RULE,
)
from consent_ui.consent_presenting import ConsentView, consent_view
from consent_ui.extension_page import extension_address
from consent_ui.first_look import note_first_look
from consent_ui.frame import SignedInVisitor, own_page, visitor
from consent_ui.giving_less import Less, NotOffered, less_of
from consent_ui.notices import notice_of
from consent_ui.previews import Previewing, PreviewView, asked_in_inbox
from consent_ui.representation import ChildRequestView, request_view
from consent_ui.sign_in_page import BUSY_SECONDS
from consent_ui.told import Told
from consent_ui.visit import Visit
from consent_ui.words import Words
from policies.compile import PolicySet

REPRESENTATION_PAGE: Final = "representation"
_CONSENT_ID: Final = "<consent_id>"
Names: TypeAlias = Mapping[str, tuple[str, str]]
"""Organisation → its Vietnamese and its English name."""


@dataclass(frozen=True, slots=True)
class RepresentationParts:
    """What these pages need from behind. names_of: organisations → two names of each.

    told_of: consent → how far the notices of it have come, the oldest first.
    """

    verb: Represent
    names_of: Callable[[Collection[str]], Names]
    told_of: Callable[[str], Sequence[Told]]


class RepresentationViews:
    """Views of /citizen/representation. Level 2 only: what a source says of a child is not for a password."""

    def __init__(
        self, visit: Visit, policies: PolicySet, parts: RepresentationParts, previewing: Previewing
    ) -> None:
        self._visit = visit
        self._policies = policies
        self._parts = parts
        self._previewing = previewing

    def show(self) -> Response:
        """List the children and what waits. 503 where the source cannot prove anything now."""
        whose = visitor(self._visit, REPRESENTATION_PAGE)
        if isinstance(whose, Response):
            return whose
        if whose.session.level < LEVEL:
            return self.too_low(whose)
        try:
            children = self._parts.verb.children(whose.citizen_id, whose.at)
        except (StoreUnavailable, ConsentTransitionRefused):
            return self.away(whose)
        named = [two for one in children for two in (*one.pending, *one.living, *one.ended)]
        names = self._parts.names_of({one.organisation_id for one in named})
        return self._list(whose, [self._listed(one, whose, names) for one in children])

    def show_request(self, consent_id: str) -> Response:
        """Show one request of a child; 404 for any other, whether or not it exists.

        The first look at it is written down, whoever of those who sign it was; where that fails, the page is
        shown all the same.
        """
        found = self._found(consent_id)
        if isinstance(found, Response):
            return found
        whose, child, view = found
        if view.is_unseen:
            verb = self._parts.verb
            note_first_look(lambda: verb.view(whose.citizen_id, child, view.consent_id, whose.at))
            found = self._found(consent_id)
        return found if isinstance(found, Response) else self._page(*found)

    def decide(self, consent_id: str) -> Response:
        """Take the answer: 303 to the list; the page again (403, 409, 422) where it is none."""
        found = self._found(consent_id)
        if isinstance(found, Response):
            return found
        whose, child, view = found
        visit, words = self._visit, whose.words
        shown_at = visit.form_shown_at(whose.cookie, _bound(view), whose.at)
        if shown_at is None:
            return self._page(whose, child, view, 403, words("form_stale"))
        choice, given = request.form.get("choice", ""), _given(view)
        if choice == "show" and not view.is_signed:
            [asked] = [one for one in child.pending if one.consent_id == view.consent_id]
            look = asked_in_inbox(asked, self._policies)
            preview = self._previewing.show(whose.session, look, REPRESENTATION_PAGE, words, child)
            return self._page(whose, child, view, preview=preview)
        is_whole = all(one.name in given for one in view.fields if one.is_required)
        if choice not in ("give", "refuse") or (choice == "give" and not (given and is_whole)):
            return self._page(whose, child, view, 422, words("representation_tick"))
        if choice == "give" and not whose.session.is_recent(whose.at):
            again = visit.addresses.sign_in(REPRESENTATION_PAGE, words.language, again=True)
            return visit.pages.redirect(again)
        try:
            less = less_of(request.form, view.lengths, view.asked_range) if choice == "give" else Less()
        except NotOffered as wrong:
            return self._page(whose, child, view, 422, words(wrong.key))
        session = whose.session
        notice = notice_of(view.fingerprint, words, shown_at)
        who = RepresentativeSignIn(
            citizen_id=session.citizen_id, level=session.level, authenticated_at=session.authenticated_at
        )
        try:
            decided = given if choice == "give" else frozenset()
            days, rows = less.valid_days, less.data_range
            self._parts.verb.decide(
                who, view.consent_id, decided, notice, whose.at, valid_days=days, data_range=rows
            )
        except (ConsentMoved, ConsentNotFound, ConsentTransitionRefused):
            return self._page(whose, child, view, 409, words("representation_moved"))
        return visit.pages.redirect(visit.addresses.page(REPRESENTATION_RULE, words.language))

    def _found(
        self, consent_id: str
    ) -> tuple[SignedInVisitor, RepresentedChild, ChildRequestView] | Response:
        whose = visitor(self._visit, REPRESENTATION_PAGE)
        if isinstance(whose, Response):
            return whose
        words = whose.words
        if whose.session.level < LEVEL:
            return self.too_low(whose)
        try:
            found = self._parts.verb.find_request(whose.citizen_id, consent_id, whose.at)
        except (StoreUnavailable, ConsentTransitionRefused):
            return self.away(whose)
        if found is None:
            return self.unknown(whose, "representation_unknown")
        names = self._parts.names_of((found[1].organisation_id,))
        return whose, found[0], self._view(*found, names, words)

    def _view(
        self, child: RepresentedChild, consent: Consent, names: Names, words: Words
    ) -> ChildRequestView:
        return request_view(child, consent, names[consent.organisation_id], self._policies, words)

    def _listed(self, child: RepresentedChild, whose: SignedInVisitor, names: Names) -> dict[str, Any]:
        """Return a child with all that waits, lives and has ended, each with the addresses where one acts."""
        addresses, language = self._visit.addresses, whose.words.language
        living = [
            (
                self._consent_view(one, whose, names),
                addresses.page(CHILD_CONSENT_RULE.replace(_CONSENT_ID, one.consent_id), language),
                addresses.page(CHILD_WITHDRAWAL_RULE.replace(_CONSENT_ID, one.consent_id), language),
                extension_address(self._visit, self._policies, whose, one, CHILD_EXTENSION_RULE),
            )
            for one in child.living
        ]
        requests = [
            (view, self._address(view.consent_id, language))
            for view in (self._view(child, one, names, whose.words) for one in child.pending)
        ]
        ended = [self._consent_view(one, whose, names) for one in child.ended]
        return {
            **self._child(child, whose.words),
            "requests": requests,
            "living": living,
            "is_complete": child.is_complete,
            "ended": ended,
        }

    def consent_view(self, consent: Consent, whose: SignedInVisitor) -> ConsentView:
        """Return a child's consent in words, as its representative may act on it."""
        return self._consent_view(consent, whose, self._parts.names_of((consent.organisation_id,)))

    def _consent_view(self, consent: Consent, whose: SignedInVisitor, names: Names) -> ConsentView:
        return consent_view(
            consent,
            names[consent.organisation_id],
            self._policies,
            whose.words,
            whose.citizen_id,
            whose.at,
            "representative",
        )

    def _child(self, child: RepresentedChild, words: Words) -> dict[str, Any]:
        born = {"month": f"{child.birth_date:%m/%Y}", "year": f"{child.birth_date:%Y}"}
        return {
            "number": child.citizen_id,
            "name": child.full_name,
            "born": born.get(child.birth_precision, words.day(child.birth_date)),
            "relation": words(f"representation_{child.relation}"),
            "signing": words("representation_both" if child.both_sign else "representation_alone"),
        }

    def too_low(self, whose: SignedInVisitor) -> Response:
        """Return the page that asks for a sign-in of level 2."""
        return self._list(whose, (), whose.words("representation_level"), 403)

    def unknown(self, whose: SignedInVisitor, key: str) -> Response:
        """Return the page for what is not one's child's, whether or not it exists. key: of what it says."""
        words = whose.words
        back = self._visit.addresses.page(REPRESENTATION_RULE, words.language)
        return self._visit.pages.notice(words, 404, words("representation_title"), words(key), back)

    def away(self, whose: SignedInVisitor) -> Response:
        """Return the page that says that nothing can be proven now."""
        response = self._list(whose, (), whose.words("representation_unavailable"), 503)
        response.headers["Retry-After"] = str(BUSY_SECONDS)
        return response

    def _list(self, whose: SignedInVisitor, children: Any, error: str = "", status: int = 200) -> Response:
        return own_page(
            self._visit,
            whose,
            "representation.html",
            REPRESENTATION_PAGE,
            status,
            is_error=bool(error),
            error=error,
            children=children,
            other_address=self._visit.addresses.page(REPRESENTATION_RULE, whose.words.other),
        )

    def _page(
        self,
        whose: SignedInVisitor,
        child: RepresentedChild,
        view: ChildRequestView,
        status: int = 200,
        error: str = "",
        preview: PreviewView | None = None,
    ) -> Response:
        visit = self._visit
        if preview is None and not view.is_signed:
            preview = self._previewing.offer(whose.session, REPRESENTATION_PAGE, whose.words, child)
        return own_page(
            visit,
            whose,
            "represented_request.html",
            REPRESENTATION_PAGE,
            status,
            is_error=bool(error),
            error=error,
            child=self._child(child, whose.words),
            view=view,
            preview=preview,
            ticked=frozenset(request.form.getlist("field")) if error else frozenset(),
            chosen=request.form if error else {},
            action=self._address(view.consent_id),
            token=visit.tokens.token(whose.cookie, _bound(view), whose.at),
            other_address=self._address(view.consent_id, whose.words.other),
        )

    def _address(self, consent_id: str, language: str = "") -> str:
        return self._visit.addresses.page(CHILD_REQUEST_RULE.replace(_CONSENT_ID, consent_id), language)


def _given(view: ChildRequestView) -> frozenset[str]:
    """Return what is ticked, of what stands on the page; what was signed before is taken as it is."""
    if not view.may_choose:
        return frozenset(one.name for one in view.fields if one.is_given)
    return frozenset(request.form.getlist("field")) & {one.name for one in view.fields}


def _bound(view: ChildRequestView) -> str:
    return f"represent {view.consent_id} {view.fingerprint}"
