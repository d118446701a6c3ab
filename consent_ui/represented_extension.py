"""Letting what was given for a child last longer, as a parent who alone signs for it."""

from __future__ import annotations

from flask import Blueprint, Response

from broker.actions.represent import RepresentativeSignIn
from broker.consent.record import Notice
from broker.errors import StoreUnavailable
from consent_ui.addresses import CHILD_CONSENT_RULE, CHILD_EXTENSION_RULE
from consent_ui.extension_page import Extendable, ExtensionPage
from consent_ui.representation_views import REPRESENTATION_PAGE, RepresentationParts
from consent_ui.represented_consents import RepresentedConsentViews
from consent_ui.visit import Visit
from policies.compile import PolicySet


class RepresentedExtensionViews:
    """Views of /citizen/representation/consents/<consent id>/extend. The relation is proven each time."""

    def __init__(
        self, visit: Visit, policies: PolicySet, parts: RepresentationParts, given: RepresentedConsentViews
    ) -> None:
        self._visit = visit
        self._verb = parts.verb
        self._given = given
        self._page = ExtensionPage(visit, policies)

    def add_to(self, blueprint: Blueprint) -> None:
        """Add the routes to the blueprint of the citizen's pages."""
        blueprint.add_url_rule(CHILD_EXTENSION_RULE, "child_extension", self.show, methods=["GET"])
        blueprint.add_url_rule(CHILD_EXTENSION_RULE, "extend_for_child", self.extend, methods=["POST"])

    def show(self, consent_id: str) -> Response:
        """Show the lengths to choose from, or why there is none; 404 for what is not of one's child."""
        found = self._found(consent_id)
        return found if isinstance(found, Response) else self._page.show(found)

    def extend(self, consent_id: str) -> Response:
        """Extend: 303 to the page of the new consent; 503 where the relation cannot be proven now."""
        one = self._found(consent_id)
        if isinstance(one, Response):
            return one
        whose, session = one.whose, one.whose.session

        def extended(notice: Notice, days: int) -> str:
            who = RepresentativeSignIn(
                citizen_id=session.citizen_id, level=session.level, authenticated_at=session.authenticated_at
            )
            after = self._verb.extend(who, one.consent.consent_id, notice, whose.at, valid_days=days)
            return self._address(CHILD_CONSENT_RULE, after.consent_id, whose.words.language)

        try:
            return self._page.answer(one, extended)
        except StoreUnavailable:
            return self._given.away(whose)

    def _found(self, consent_id: str) -> Extendable | Response:
        found = self._given.find(consent_id)
        if isinstance(found, Response):
            return found
        whose, child, consent, view = found
        return Extendable(
            whose=whose,
            consent=consent,
            view=view,
            role="representative",
            name=child.full_name,
            page=REPRESENTATION_PAGE,
            address_of=lambda language: self._address(CHILD_EXTENSION_RULE, consent.consent_id, language),
            back=self._address(CHILD_CONSENT_RULE, consent.consent_id, whose.words.language),
        )

    def _address(self, rule: str, consent_id: str, language: str) -> str:
        return self._visit.addresses.page(rule.replace("<consent_id>", consent_id), language)
