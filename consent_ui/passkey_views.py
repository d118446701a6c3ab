"""Passkeys: signing in with one, and looking after one's own. Pages with a script."""

from __future__ import annotations

import logging
from datetime import datetime
from typing import Any, Final

from flask import Response, request

from broker.oauth.caller_facts import CallerReader
from broker.oauth.citizens import SignInThrottled
from broker.oauth.passkeys import LABEL_MAX, Passkey, PasskeyRefused, handle_bytes
from consent_ui.addresses import NEW_PASSKEY_RULE, PASSKEY_SIGN_IN_RULE, PASSKEYS_RULE
from consent_ui.browser_kind import browser_kind
from consent_ui.frame import SignedInVisitor, own_page, visitor
from consent_ui.pages import SCRIPT_VERSION
from consent_ui.sign_in_page import SignInPage, form_of
from consent_ui.visit import Visit, words_of_request
from consent_ui.ways import Ways
from consent_ui.words import Words

PASSKEYS_PAGE: Final = "passkeys"
_LEVEL: Final = 2
_log: Final = logging.getLogger("broker.identity")


class PasskeyViews:
    """Views of /citizen/sign-in/passkey, /citizen/passkeys and /citizen/passkeys/new."""

    def __init__(self, visit: Visit, callers: CallerReader, page: SignInPage, ways: Ways) -> None:
        self._visit = visit
        self._callers = callers
        self._page = page
        self._passkeys = ways.passkeys

    def sign_in(self) -> Response:
        """Ask for a passkey, or take what it answered: 303 to where the sign-in leads; 403, 404, 429."""
        at, visit = self._visit.clock(), self._visit
        destination = visit.find_destination(request.form.get("next", ""), at)
        words = words_of_request(destination)
        if destination is None:
            return visit.fault("request_unknown", words, 404)
        cookie = visit.cookies.form(request)
        if not visit.is_good_form(cookie, form_of(destination.name, "passkey"), at):
            return self._page.show(destination, words, at, 403, {"": words("form_stale")})
        answer = request.form.get("answer", "")
        try:
            counter = visit.sign_in.count_source(self._callers.read(request.environ).source_address, at)
            if not answer:
                options = self._passkeys.sign_in_options(cookie, at, (counter,))
                return self._ask(
                    words,
                    options,
                    action=PASSKEY_SIGN_IN_RULE,
                    page=form_of(destination.name, "passkey"),
                    cookie=cookie,
                    at=at,
                    handle=destination.name,
                )
            signed_in = self._passkeys.sign_in(
                answer,
                cookie,
                at,
                replaced=visit.cookies.session(request),
                browser=browser_kind(request.headers.get("User-Agent", "")),
                counted=(counter,),
            )
        except SignInThrottled as throttled:
            return self._page.throttled(destination, words, throttled.retry_after_seconds)
        except PasskeyRefused as refused:
            _log.warning("a sign-in with a passkey is refused: %s", refused.reason)
            return self._page.refused(destination, words, words("passkey_refused"))
        response = visit.go_on(destination, words)
        visit.cookies.set_session(response, signed_in.value)
        return response

    def show(self) -> Response:
        """Show the passkeys of whoever is signed in; 303 to the sign-in page otherwise."""
        whose = visitor(self._visit, PASSKEYS_PAGE)
        return whose if isinstance(whose, Response) else self._list(whose)

    def change(self) -> Response:
        """Name or remove a passkey of one's own: 303 to the list. Needs a sign-in of the last 300 s."""
        whose = self._recent()
        if isinstance(whose, Response):
            return whose
        words = whose.words
        if not self._visit.is_good_form(whose.cookie, PASSKEYS_PAGE, whose.at):
            return self._list(whose, 403, {"": words("form_stale")})
        store, credential_id = self._passkeys.store, handle_bytes(request.form.get("passkey", ""))
        label = label_of(request.form.get("label", ""))
        if request.form.get("do") == "remove":
            store.remove_passkey(whose.citizen_id, credential_id)
        elif label:
            store.rename_passkey(whose.citizen_id, credential_id, label)
        else:
            return self._list(whose, 422, {"": words("passkey_label_missing")})
        return self._visit.pages.redirect(self._visit.addresses.page(PASSKEYS_RULE, words.language))

    def add(self) -> Response:
        """Ask for a new passkey, or keep what was made: 303 to the list; 403, 422.

        Needs a sign-in of level 2 in the last 300 s: who adds a way in must surely be the person.
        """
        whose = self._recent()
        if isinstance(whose, Response):
            return whose
        visit, words, session, at = self._visit, whose.words, whose.session, whose.at
        if session.level < _LEVEL:
            return self._list(whose, 403, {"": words("passkey_needs_level")})
        if not visit.is_good_form(whose.cookie, PASSKEYS_PAGE, at):
            return self._list(whose, 403, {"": words("form_stale")})
        label = label_of(request.form.get("label", ""))
        if not label:
            return self._list(whose, 422, {"label": words("passkey_label_missing")})
        answer = request.form.get("answer", "")
        try:
            if not answer:
                shown = words("passkey_shown", digits=visit.last_digits(session))
                options = self._passkeys.registration_options(session, shown, whose.cookie, at)
                return self._ask(
                    words,
                    options,
                    action=NEW_PASSKEY_RULE,
                    page=PASSKEYS_PAGE,
                    cookie=whose.cookie,
                    at=at,
                    label=label,
                )
            self._passkeys.register(session, answer, label, whose.cookie, at)
        except PasskeyRefused as refused:
            _log.warning("a passkey is not registered: %s", refused.reason)
            return self._list(whose, 403, {"": words("passkey_not_kept")})
        return visit.pages.redirect(visit.addresses.page(PASSKEYS_RULE, words.language))

    def _recent(self) -> SignedInVisitor | Response:
        """Return who is signed in since a short time ago, or the 303 to the sign-in page."""
        whose = visitor(self._visit, PASSKEYS_PAGE)
        if not isinstance(whose, Response) and whose.session.is_recent(whose.at):
            return whose
        language = words_of_request().language
        return self._visit.pages.redirect(self._visit.addresses.sign_in(PASSKEYS_PAGE, language, again=True))

    def _ask(
        self, words: Words, options: str, *, action: str, page: str, cookie: str, at: datetime, **kept: str
    ) -> Response:
        """Return the page whose script talks with the authenticator. kept: what its form carries along."""
        visit = self._visit
        return visit.pages.page(
            "passkey.html",
            words,
            script=self._visit.addresses.script(SCRIPT_VERSION),
            options=options,
            is_new=action == NEW_PASSKEY_RULE,
            action=visit.addresses.page(action),
            token=visit.tokens.token(cookie, page, at),
            kept={"next" if name == "handle" else name: value for name, value in kept.items()},
        )

    def _list(
        self, whose: SignedInVisitor, status: int = 200, errors: dict[str, str] | None = None
    ) -> Response:
        visit = self._visit
        own = self._passkeys.store.list_passkeys(whose.citizen_id)
        return own_page(
            visit,
            whose,
            "passkeys.html",
            PASSKEYS_PAGE,
            status,
            is_error=bool(errors),
            errors=errors or {},
            passkeys=[_row(one, whose.words) for one in own],
            action=visit.addresses.page(PASSKEYS_RULE),
            new_action=visit.addresses.page(NEW_PASSKEY_RULE),
            token=visit.tokens.token(whose.cookie, PASSKEYS_PAGE, whose.at),
            can_add=self._page.has_passkeys,
            label_max=LABEL_MAX,
            other_address=visit.addresses.page(PASSKEYS_RULE, whose.words.other),
        )


def label_of(text: str) -> str:
    """Return what a citizen calls a passkey: one line of at most 40 characters, "" for nothing readable."""
    return " ".join("".join(one if one.isprintable() else " " for one in text).split())[:LABEL_MAX].strip()


def _row(passkey: Passkey, words: Words) -> dict[str, Any]:
    used_at = passkey.last_used_at
    return {
        "handle": passkey.handle,
        "label": passkey.label,
        "registered": words.moment(passkey.registered_at),
        "used": "" if used_at is None else words.moment(used_at),
    }
