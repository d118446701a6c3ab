"""What one thinks over before it is done to an own consent: taking it back, and letting it last longer."""

from __future__ import annotations

from flask import Blueprint, Response

from broker.consent.record import Consent, Notice
from consent_ui.addresses import CONSENT_RULE, EXTENSION_RULE, WITHDRAWAL_RULE
from consent_ui.consent_presenting import ConsentView, GoingWith
from consent_ui.extension_page import Extendable, ExtensionPage
from consent_ui.frame import SignedInVisitor, own_page
from consent_ui.own_consents import CONSENTS_PAGE, OwnConsents, actor_of, bound_to, signer_of


class ConsentChangeViews:
    """Views of /citizen/consents/<consent id>/withdraw and /extend."""

    def __init__(self, own: OwnConsents) -> None:
        self._own = own
        self._visit = own.visit
        self._page = ExtensionPage(own.visit, own.policies)

    def add_to(self, blueprint: Blueprint) -> None:
        """Add the routes to the blueprint of the citizen's pages."""
        blueprint.add_url_rule(WITHDRAWAL_RULE, "withdrawal", self.show_withdrawal, methods=["GET"])
        blueprint.add_url_rule(EXTENSION_RULE, "extension", self.show_extension, methods=["GET"])
        blueprint.add_url_rule(EXTENSION_RULE, "extend_consent", self.extend, methods=["POST"])

    def show_withdrawal(self, consent_id: str) -> Response:
        """Say what follows from withdrawing, with the button that does it; 404 for what is not one's own.

        303 to the consent's page where there is nothing to withdraw.
        """
        found = self._own.find(consent_id)
        if isinstance(found, Response):
            return found
        whose, consent, view = found
        if "withdraw" not in view.can:
            return self._visit.pages.redirect(self._address(consent, CONSENT_RULE, whose))
        return own_page(
            self._visit,
            whose,
            "withdrawal.html",
            CONSENTS_PAGE,
            name="",
            view=view,
            action=self._address(consent, CONSENT_RULE),
            back=self._address(consent, CONSENT_RULE, whose),
            others=[
                GoingWith.of(one, self._address(one, CONSENT_RULE, whose), whose.words)
                for one in self._own.verb.withdrawn_with(actor_of(whose), consent, whose.at)
            ],
            token=self._visit.tokens.token(whose.cookie, bound_to(view), whose.at),
        )

    def show_extension(self, consent_id: str) -> Response:
        """Show the lengths to choose from, or why there is none; 404 for what is not one's own."""
        found = self._own.find(consent_id)
        return found if isinstance(found, Response) else self._page.show(self._extendable(*found))

    def extend(self, consent_id: str) -> Response:
        """Extend: 303 to the page of the new consent; the form again where it cannot be."""
        found = self._own.find(consent_id)
        if isinstance(found, Response):
            return found
        whose, consent, view = found
        signer, at = signer_of(whose), whose.at

        def extended(notice: Notice, days: int) -> str:
            after = self._own.verb.extend(signer, consent.consent_id, notice, at, valid_days=days)
            return self._address(after, CONSENT_RULE, whose)

        return self._page.answer(self._extendable(whose, consent, view), extended)

    def _extendable(self, whose: SignedInVisitor, consent: Consent, view: ConsentView) -> Extendable:
        return Extendable(
            whose=whose,
            consent=consent,
            view=view,
            role="data_subject",
            name="",
            page=CONSENTS_PAGE,
            address_of=lambda language: self._own.address(consent, EXTENSION_RULE, language),
            back=self._address(consent, CONSENT_RULE, whose),
        )

    def _address(self, consent: Consent, rule: str, whose: SignedInVisitor | None = None) -> str:
        return self._own.address(consent, rule, "" if whose is None else whose.words.language)
