"""The page on which a consent is made to last longer: an own one, or a child's as its representative."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from flask import Response, request

from broker.consent.record import Consent, Notice, SignerRole
from broker.errors import ConsentMoved, ConsentNotFound, ConsentTransitionRefused
from broker.evidence.canonical import Json
from consent_ui.consent_presenting import ConsentView
from consent_ui.extending import Length, lengths_of, needs_both
from consent_ui.frame import SignedInVisitor, own_page
from consent_ui.notices import hash_of_shown, notice_of
from consent_ui.visit import Visit
from consent_ui.words import Words
from policies.compile import PolicySet


@dataclass(frozen=True, slots=True, kw_only=True)
class Extendable:
    """A consent that was found for whoever is signed in.

    role: in which that person would sign. name: of the child, "" for an own consent. page: where a fresh
    sign-in leads back to. address_of: language → path of this page; back: path of the consent's own page.
    """

    whose: SignedInVisitor
    consent: Consent
    view: ConsentView
    role: SignerRole
    name: str
    page: str
    address_of: Callable[[str], str]
    back: str


class ExtensionPage:
    """Shows the lengths to choose from, and takes the answer."""

    def __init__(self, visit: Visit, policies: PolicySet) -> None:
        self._visit = visit
        self._policies = policies

    def show(self, one: Extendable, status: int = 200, error: str = "") -> Response:
        """Show the lengths, or why there is none."""
        whose, lengths = one.whose, self._lengths(one)
        return own_page(
            self._visit,
            whose,
            "extension.html",
            one.page,
            status,
            is_error=bool(error),
            error=error,
            name=one.name,
            view=one.view,
            lengths=lengths,
            needs_both=needs_both(one.consent),
            action=one.address_of(""),
            back=one.back,
            token=self._visit.tokens.token(
                whose.cookie, _bound(one, _hash(one.view, lengths, whose.words)), whose.at
            ),
            other_address=one.address_of(whose.words.other),
        )

    def answer(self, one: Extendable, extend: Callable[[Notice, int], str]) -> Response:
        """Extend: 303 to the page of the new consent; the form again (403, 409, 422) where it cannot be.

        extend: does it, and returns that page's path. Needs a sign-in of the last 300 s, as all giving does.
        """
        whose, visit, words = one.whose, self._visit, one.whose.words
        lengths = self._lengths(one)
        shown = _hash(one.view, lengths, words)
        shown_at = visit.form_shown_at(whose.cookie, _bound(one, shown), whose.at)
        if shown_at is None:
            return self.show(one, 403, words("form_stale"))
        days = {str(each.days): each.days for each in lengths}.get(request.form.get("days", ""))
        if days is None:
            return self.show(one, 422, words("extension_choose"))
        if not whose.session.is_recent(whose.at):
            return visit.pages.redirect(visit.addresses.sign_in(one.page, words.language, again=True))
        try:
            return visit.pages.redirect(extend(notice_of(shown, words, shown_at), days))
        except ConsentTransitionRefused as refused:
            key = "consents_level" if refused.reason == "level_too_low" else "consents_moved"
            return self.show(one, 409, words(key))
        except (ConsentMoved, ConsentNotFound):
            return self.show(one, 409, words("consents_moved"))

    def _lengths(self, one: Extendable) -> tuple[Length, ...]:
        return lengths_of(one.consent, self._policies, one.whose.at, one.whose.words, one.role)


def extension_address(
    visit: Visit, policies: PolicySet, whose: SignedInVisitor, consent: Consent, rule: str
) -> str:
    """Return where a child's consent is extended by its representative, "" where it cannot be."""
    if not lengths_of(consent, policies, whose.at, whose.words, "representative"):
        return ""
    return visit.addresses.page(rule.replace("<consent_id>", consent.consent_id), whose.words.language)


def _hash(view: ConsentView, lengths: tuple[Length, ...], words: Words) -> str:
    """Return SHA-256 hex of what is shown; until when is left out: it moves on with every minute."""
    lasting: list[Json] = [{"days": one.days, "label": one.label} for one in lengths]
    return hash_of_shown("extension", {"consent": view.fingerprint, "lengths": lasting}, words)


def _bound(one: Extendable, shown: str) -> str:
    return f"extend {one.consent.consent_id} {one.role} {shown}"
