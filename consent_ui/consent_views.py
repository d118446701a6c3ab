"""One of my consents: what was asked and what became of it, deciding, and ending it in two clicks."""

from __future__ import annotations

from flask import Blueprint, Response, request

from broker.consent import life
from broker.consent.record import Consent, Notice
from broker.errors import ConsentMoved, ConsentNotFound, ConsentTransitionRefused
from consent_ui.addresses import CONSENT_RULE, WITHDRAWAL_RULE
from consent_ui.consent_presenting import (
    OPENING,
    ConsentView,
    event_views,
)
from consent_ui.extending import needs_both
from consent_ui.first_look import note_first_look
from consent_ui.frame import SignedInVisitor, own_page
from consent_ui.giving_less import Less, NotOffered, less_of
from consent_ui.notices import notice_of
from consent_ui.own_consents import CONSENTS_PAGE, OwnConsents, actor_of, bound_to, signer_of
from consent_ui.previews import Previewing, PreviewView, asked_in_inbox
from consent_ui.told import told_views


class ConsentViews:
    """Views of /citizen/consents/<consent id>."""

    def __init__(self, own: OwnConsents, previewing: Previewing) -> None:
        self._own = own
        self._visit = own.visit
        self._previewing = previewing

    def add_to(self, blueprint: Blueprint) -> None:
        """Add the routes to the blueprint of the citizen's pages."""
        blueprint.add_url_rule(CONSENT_RULE, "consent", self.show, methods=["GET"])
        blueprint.add_url_rule(CONSENT_RULE, "act_on_consent", self.act, methods=["POST"])

    def show(self, consent_id: str) -> Response:
        """Show one of the person's own consents; 404 for any other, whether or not it exists.

        The first look at a request is written down; where that fails, the page is shown all the same.
        """
        found = self._own.find(consent_id)
        if isinstance(found, Response):
            return found
        whose, consent, _ = found
        if life.is_unseen(consent):
            verb = self._own.verb
            note_first_look(lambda: verb.view(actor_of(whose), consent.consent_id, whose.at))
            # Whoever wrote it, the form is bound to what lies there now.
            found = self._own.find(consent_id)
        return found if isinstance(found, Response) else self._page(*found)

    def act(self, consent_id: str) -> Response:
        """Do what was chosen: 303 to the page; the page again (403, 409, 422) where it cannot be."""
        found = self._own.find(consent_id)
        if isinstance(found, Response):
            return found
        whose, consent, view = found
        words, visit = whose.words, self._visit
        shown_at = visit.form_shown_at(whose.cookie, bound_to(view), whose.at)
        if shown_at is None:
            return self._page(whose, consent, view, 403, words("form_stale"))
        choice = request.form.get("choice", "")
        given = frozenset(request.form.getlist("field")) & consent.terms.field_names
        if choice == "show" and view.may_decide:
            asked = asked_in_inbox(consent, self._own.policies)
            preview = self._previewing.show(whose.session, asked, CONSENTS_PAGE, words)
            return self._page(whose, consent, view, preview=preview)
        allowed = ("give", "refuse") if view.may_decide else view.can
        if choice not in allowed:
            return self._page(whose, consent, view, 422, words("consents_choose"))
        if choice == "give" and not (given and consent.terms.required_names <= given):
            return self._page(whose, consent, view, 422, words("consents_tick"))
        try:
            less = less_of(request.form, view.lengths, view.asked_range) if choice == "give" else Less()
        except NotOffered as wrong:
            return self._page(whose, consent, view, 422, words(wrong.key))
        if choice in OPENING and not whose.session.is_recent(whose.at):
            again = visit.addresses.sign_in(CONSENTS_PAGE, words.language, again=True)
            return visit.pages.redirect(again)
        try:
            self._act(whose, consent, notice_of(view.fingerprint, words, shown_at), choice, given, less)
        except ConsentTransitionRefused as refused:
            key = "consents_level" if refused.reason == "level_too_low" else "consents_moved"
            return self._page(whose, consent, view, 409, words(key))
        except (ConsentMoved, ConsentNotFound):
            return self._page(whose, consent, view, 409, words("consents_moved"))
        return visit.pages.redirect(self._own.address(consent, language=words.language))

    def _act(
        self,
        whose: SignedInVisitor,
        consent: Consent,
        notice: Notice,
        choice: str,
        given: frozenset[str],
        less: Less,
    ) -> None:
        verb, at, consent_id = self._own.verb, whose.at, consent.consent_id
        signer = signer_of(whose)
        if choice in ("give", "refuse"):
            given = given if choice == "give" else frozenset()
            days, rows = less.valid_days, less.data_range
            verb.decide(signer, consent_id, given, notice, at, valid_days=days, data_range=rows)
        elif choice == "withdraw":
            verb.withdraw(actor_of(whose), consent_id, at)
        elif choice == "pause":
            verb.pause(actor_of(whose), consent_id, at)
        elif choice == "resume":
            verb.resume(signer, consent_id, at)
        else:
            verb.confirm(signer, consent_id, notice, at)

    def _page(
        self,
        whose: SignedInVisitor,
        consent: Consent,
        view: ConsentView,
        status: int = 200,
        error: str = "",
        preview: PreviewView | None = None,
    ) -> Response:
        visit = self._visit
        events = self._own.verb.history(whose.citizen_id, consent.consent_id)
        return own_page(
            visit,
            whose,
            "consent.html",
            CONSENTS_PAGE,
            status,
            is_error=bool(error),
            error=error,
            view=view,
            preview=(
                preview or self._previewing.offer(whose.session, CONSENTS_PAGE, whose.words)
                if view.may_decide
                else None
            ),
            events=event_views(events, whose.words),
            withdrawal=self._own.address(consent, WITHDRAWAL_RULE, whose.words.language),
            extension=self._own.extension(whose, consent),
            needs_both=needs_both(consent),
            change=self._own.change(whose, consent),
            notices=told_views(self._own.parts.told_of(consent.consent_id), whose.words),
            ticked=frozenset(request.form.getlist("field")) if error else frozenset(),
            chosen=request.form if error else {},
            action=self._own.address(consent),
            token=visit.tokens.token(whose.cookie, bound_to(view), whose.at),
            other_address=self._own.address(consent, language=whose.words.other),
        )
