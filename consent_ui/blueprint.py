"""The citizen's pages as the roof takes them: a blueprint, and what the authorization endpoint must know."""

from __future__ import annotations

from dataclasses import dataclass

from flask import Blueprint, Response

from broker.clock import Clock
from broker.errors import StoreUnavailable
from broker.oauth.caller_facts import CallerReader
from broker.oauth.citizens import CitizenSignIn
from consent_ui.addresses import (
    CALLBACK_RULE,
    FONT_RULE,
    NEW_PASSKEY_RULE,
    PASSKEY_SIGN_IN_RULE,
    PASSKEYS_RULE,
    REQUEST_RULE,
    SCRIPT_RULE,
    SESSIONS_RULE,
    SIGN_IN_RULE,
    SIGN_IN_WITH_RULE,
    SIGN_OUT_RULE,
    STYLE_RULE,
    Addresses,
    handle_of,
)
from consent_ui.change_views import ChangeViews
from consent_ui.consent_changes import ConsentChangeViews
from consent_ui.consent_list import ConsentListViews
from consent_ui.consent_views import ConsentViews
from consent_ui.cookies import Cookies
from consent_ui.decision import DecisionViews
from consent_ui.doors import Authorizations
from consent_ui.form_tokens import FormTokens
from consent_ui.home import HomeViews
from consent_ui.identity_views import IdentityViews
from consent_ui.own_consents import ConsentParts, OwnConsents
from consent_ui.own_parts import OwnParts, add_own_pages
from consent_ui.pages import Pages, font_response, script_response, style_response
from consent_ui.passkey_views import PasskeyViews
from consent_ui.previews import Previewing
from consent_ui.receipt_views import ReceiptParts, ReceiptViews
from consent_ui.sessions import SessionViews
from consent_ui.sign_in import SignInViews
from consent_ui.sign_in_page import BUSY_SECONDS, SignInPage
from consent_ui.verify_views import VerifyViews
from consent_ui.visit import Visit, words_of_request
from consent_ui.ways import Ways, can_have_passkeys
from consent_ui.words import Words
from policies.compile import PolicySet


@dataclass(frozen=True, slots=True)
class DecisionPage:
    """What the authorization endpoint needs to know of the pages. issuer: public URL of this broker."""

    issuer: str

    def address(self, request_ref: bytes) -> str:
        """Return the path of the page on which a pushed request is decided. request_ref: 32 bytes."""
        return Addresses(self.issuer).request(handle_of(request_ref))

    def fault(self, reason: str, vietnamese: bool) -> str:
        """Return a complete HTML document for a request that cannot be redirected to its client.

        reason: of AuthorizationRefused; one without words of its own says what request_unknown says.
        Status and headers are the caller's.
        """
        return Pages(Addresses(self.issuer)).fault(reason, Words("vi" if vietnamese else "en"))


def citizen_blueprint(
    *,
    issuer: str,
    sign_in: CitizenSignIn,
    ways: Ways,
    authorizations: Authorizations,
    policies: PolicySet,
    callers: CallerReader,
    clock: Clock,
    form_key: bytes,
    receipts: ReceiptParts,
    consents: ConsentParts | None = None,
    own: OwnParts | None = None,
) -> Blueprint:
    """Return the routes under /citizen: every way in and out, sessions, passkeys, decision, style, script.

    form_key: 32 bytes that sign form tokens and nothing else, the same on all workers
    (`broker.oauth.citizen_secrets.derived_key(key_encryption_key, "citizen/forms")`). own: verbs behind the
    pages about one's own data, None for a server without them.
    """
    addresses = Addresses(issuer)
    visit = Visit(
        pages=Pages(addresses),
        cookies=Cookies(addresses.is_secure),
        tokens=FormTokens(form_key),
        sign_in=sign_in,
        authorizations=authorizations,
        clock=clock,
    )
    page = SignInPage(visit, ways.buttons, can_have_passkeys(issuer))
    previewing = Previewing(visit, policies, None if own is None else own.preview)
    signing, deciding = SignInViews(visit, callers, page), DecisionViews(visit, policies, previewing)
    listing, others = SessionViews(visit, ways.sessions), IdentityViews(visit, callers, page, ways)
    passkeys = PasskeyViews(visit, callers, page, ways)
    blueprint = Blueprint("citizen", __name__)
    blueprint.add_url_rule(REQUEST_RULE, "decision", deciding.show, methods=["GET"])
    blueprint.add_url_rule(REQUEST_RULE, "decide", deciding.decide, methods=["POST"])
    blueprint.add_url_rule(SIGN_IN_RULE, "sign_in_page", signing.show, methods=["GET"])
    blueprint.add_url_rule(SIGN_IN_RULE, "sign_in", signing.sign_in, methods=["POST"])
    blueprint.add_url_rule(SIGN_IN_WITH_RULE, "sign_in_with", others.leave, methods=["POST"])
    blueprint.add_url_rule(CALLBACK_RULE, "sign_in_callback", others.arrive, methods=["GET"])
    blueprint.add_url_rule(PASSKEY_SIGN_IN_RULE, "passkey_sign_in", passkeys.sign_in, methods=["POST"])
    blueprint.add_url_rule(PASSKEYS_RULE, "passkeys", passkeys.show, methods=["GET"])
    blueprint.add_url_rule(PASSKEYS_RULE, "change_passkey", passkeys.change, methods=["POST"])
    blueprint.add_url_rule(NEW_PASSKEY_RULE, "add_passkey", passkeys.add, methods=["POST"])
    blueprint.add_url_rule(SIGN_OUT_RULE, "sign_out", signing.sign_out, methods=["POST"])
    blueprint.add_url_rule(SESSIONS_RULE, "sessions", listing.show, methods=["GET"])
    blueprint.add_url_rule(SESSIONS_RULE, "end_sessions", listing.end, methods=["POST"])
    blueprint.add_url_rule(STYLE_RULE, "style", style_response, methods=["GET"])
    blueprint.add_url_rule(FONT_RULE, "font", font_response, methods=["GET"])
    blueprint.add_url_rule(SCRIPT_RULE, "script", script_response, methods=["GET"])

    HomeViews(visit, consents).add_to(blueprint)
    VerifyViews(visit).add_to(blueprint)
    ReceiptViews(visit, receipts).add_to(blueprint)
    if consents is not None:
        mine = OwnConsents(visit, policies, consents)
        ConsentListViews(mine).add_to(blueprint)
        ConsentViews(mine, previewing).add_to(blueprint)
        ConsentChangeViews(mine).add_to(blueprint)
        ChangeViews(mine).add_to(blueprint)
    if own is not None:
        add_own_pages(blueprint, visit, policies, own)

    @blueprint.errorhandler(StoreUnavailable)
    def store_unavailable(_error: StoreUnavailable) -> Response:
        """Say so in words. Whether a decision was kept is unknown here; the page, opened again, tells."""
        words = words_of_request()
        response = visit.pages.notice(words, 503, words("busy_title"), words("unavailable"))
        response.headers["Retry-After"] = str(BUSY_SECONDS)
        return response

    return blueprint
