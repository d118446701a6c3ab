"""One's own consents as their pages find them, what is offered of each, and where its pages are."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from flask import Response

from broker.actions.decide_consent import DecideConsent
from broker.consent.record import Actor, Consent, Signer
from consent_ui.addresses import CHANGE_RULE, CONSENT_RULE, CONSENTS_RULE, EXTENSION_RULE
from consent_ui.changing import change_offered
from consent_ui.consent_presenting import ConsentView, consent_view
from consent_ui.extending import lengths_of
from consent_ui.frame import SignedInVisitor, visitor
from consent_ui.told import Told
from consent_ui.visit import Visit
from policies.compile import PolicySet

CONSENTS_PAGE: Final = "consents"
_CONSENT_ID: Final = "<consent_id>"


@dataclass(frozen=True, slots=True)
class ConsentParts:
    """What these pages need from behind. names_of: organisations → two names of each.

    told_of: consent → how far the notices of it have come, the oldest first.
    """

    verb: DecideConsent
    names_of: Callable[[Collection[str]], Mapping[str, tuple[str, str]]]
    told_of: Callable[[str], Sequence[Told]]


@dataclass(frozen=True, slots=True)
class OwnConsents:
    """What all pages of own consents share."""

    visit: Visit
    policies: PolicySet
    parts: ConsentParts

    @property
    def verb(self) -> DecideConsent:
        """What is done to consents."""
        return self.parts.verb

    def find(
        self, consent_id: str, page: str = CONSENTS_PAGE
    ) -> tuple[SignedInVisitor, Consent, ConsentView] | Response:
        """Return who is signed in with one of the own consents; 404 for any other, 303 to the sign-in.

        page: where the sign-in leads, as in `next`. What is another's looks like what there is not.
        """
        whose = visitor(self.visit, page)
        if isinstance(whose, Response):
            return whose
        try:
            found = self.verb.find_one(whose.citizen_id, str(UUID(consent_id)), whose.at)
        except ValueError:
            found = None
        words = whose.words
        if found is None:
            back = self.visit.addresses.page(CONSENTS_RULE, words.language)
            told = words("consents_unknown")
            return self.visit.pages.notice(words, 404, words("consents_title"), told, back)
        return whose, found, self.views(whose, [found])[0]

    def views(self, whose: SignedInVisitor, consents: Sequence[Consent]) -> list[ConsentView]:
        """Return consents in words."""
        names = self.parts.names_of({one.organisation_id for one in consents})
        return [
            consent_view(
                one, names[one.organisation_id], self.policies, whose.words, whose.citizen_id, whose.at
            )
            for one in consents
        ]

    def address(self, consent: Consent, rule: str = CONSENT_RULE, language: str = "") -> str:
        """Return the path of a page of a consent."""
        return self.visit.addresses.page(rule.replace(_CONSENT_ID, consent.consent_id), language)

    def extension(self, whose: SignedInVisitor, consent: Consent) -> str:
        """Return where a consent is extended, "" where it cannot be."""
        lengths = lengths_of(consent, self.policies, whose.at, whose.words)
        return self.address(consent, EXTENSION_RULE, whose.words.language) if lengths else ""

    def change(self, whose: SignedInVisitor, consent: Consent) -> str:
        """Return where a consent is changed, "" where it cannot be."""
        offered = change_offered(consent, self.policies, whose.at, whose.words)
        return "" if offered is None else self.address(consent, CHANGE_RULE, whose.words.language)


def actor_of(whose: SignedInVisitor) -> Actor:
    """Return the signed-in person as the one who acts in the own matter."""
    return Actor(kind="data_subject", reference=whose.citizen_id)


def signer_of(whose: SignedInVisitor) -> Signer:
    """Return the signed-in person as the one who signs in the own matter, as the session was opened."""
    session = whose.session
    return Signer(
        role="data_subject",
        citizen_id=session.citizen_id,
        level=session.level,
        authenticated_at=session.authenticated_at,
        signed_at=whose.at,
    )


def bound_to(view: ConsentView) -> str:
    """Return what a form token of a consent's page vouches for: this consent, as it was shown."""
    return f"consent {view.consent_id} {view.fingerprint}"
