"""Templates, and the response around them: what the browser may do with a citizen's page."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from importlib.resources import files
from typing import Any, Final

from flask import Response
from jinja2 import Environment, PackageLoader, StrictUndefined

from consent_ui.addresses import HELP_RULE, Addresses
from consent_ui.words import WORDS, Words

_STATIC: Final = files("consent_ui").joinpath("static")
_DESIGN: Final = "vendor/govuk-frontend-6.6.0/govuk-frontend.min.css"
_LETTERS: Final = "vendor/be-vietnam-pro-5.3.0"
# One sheet, so that a page asks once: the design system, and after it what makes it ours.
STYLE: Final = b"".join(_STATIC.joinpath(name).read_bytes() for name in (_DESIGN, "citizen.css"))
FONTS: Final[Mapping[str, bytes]] = {
    one.name: one.read_bytes() for one in _STATIC.joinpath(_LETTERS).iterdir() if one.name.endswith(".woff2")
}
"""Name → the letters of all pages, Vietnamese among them; nothing else can be asked for by name."""
STYLE_VERSION: Final = hashlib.sha256(STYLE).hexdigest()[:12]
STYLE_SECONDS: Final = 86_400

_OWN_FORMS: Final = "form-action 'self'"
SCRIPT: Final = files("consent_ui").joinpath("static/passkey.js").read_bytes()
SCRIPT_VERSION: Final = hashlib.sha256(SCRIPT).hexdigest()[:12]
GUARDS: Final[Mapping[str, str]] = {
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self'; font-src 'self'; img-src 'self'; "
        f"{_OWN_FORMS}; frame-ancestors 'none'; base-uri 'none'"
    ),
    "X-Frame-Options": "DENY",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}
"""What every page tells the browser to keep from it; CORS is never allowed."""

_ENVIRONMENT: Final = Environment(
    loader=PackageLoader("consent_ui"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


class Pages:
    """Renders pages for one broker."""

    def __init__(self, addresses: Addresses) -> None:
        self.addresses = addresses

    def html(self, template: str, words: Words, **content: Any) -> str:
        """Return a complete HTML document. content: what the template names; escaped wherever it goes."""
        shown = {"other_address": "", "is_error": False, "signed_in_as": "", **content}
        help_address = self.addresses.page(HELP_RULE, words.language)
        return rendered(
            template, t=words, style=self.addresses.style(STYLE_VERSION), help_address=help_address, **shown
        )

    def page(
        self,
        template: str,
        words: Words,
        status: int = 200,
        *,
        goes_to: str = "",
        script: str = "",
        **content: Any,
    ) -> Response:
        """Return a page. goes_to: origins to which the answer to its form may redirect, with spaces between.

        script: address of the one script that it may run, of our own; "" for none.
        Browsers hold form-action against redirects of a form's answer too, so that origin must be named.
        """
        response = Response(
            self.html(template, words, script=script, **content), status, mimetype="text/html"
        )
        response.headers["Content-Language"] = words.language
        return guarded(response, goes_to, has_script=bool(script))

    def notice(
        self, words: Words, status: int, heading: str, told: str, again: str = "", home: str = ""
    ) -> Response:
        """Return a page that says one thing.

        again: path of the page where one may try again. home: path of the page where one begins.
        """
        return self.page(
            "notice.html",
            words,
            status,
            heading=heading,
            told=told,
            again=again,
            home=home,
            is_error=status >= 400,
        )

    def redirect(self, address: str) -> Response:
        """Return a 303: whatever was posted is not posted again elsewhere (RFC 9700, 4.12)."""
        response = Response(status=303)
        response.headers["Location"] = address
        # Werkzeug would otherwise complete a path with the Host that the request named.
        response.autocorrect_location_header = False
        return guarded(response)

    def fault(self, reason: str, words: Words) -> str:
        """Return the document that says why a request cannot go on; an unknown reason says less."""
        key = f"fault_{reason}"
        return self.html("fault.html", words, reason=words(key if key in WORDS else "fault_request_unknown"))


def rendered(template: str, **content: Any) -> str:
    """Return what a template makes of a content; it is escaped wherever it goes."""
    return _ENVIRONMENT.get_template(template).render(**content)


def guarded(response: Response, goes_to: str = "", *, has_script: bool = False) -> Response:
    """Return a response with what keeps other sites, caches and scripts away from it."""
    response.headers.update(GUARDS)
    policy = GUARDS["Content-Security-Policy"]
    if goes_to:
        policy = policy.replace(_OWN_FORMS, f"{_OWN_FORMS} {goes_to}")
    if has_script:
        policy += "; script-src 'self'"
    response.headers["Content-Security-Policy"] = policy
    return response


def style_response() -> Response:
    """Return the style sheet; its address changes with it, so it may be kept."""
    return to_keep(Response(STYLE, mimetype="text/css"))


def script_response() -> Response:
    """Return the script of passkeys; its address changes with it, so it may be kept."""
    return to_keep(Response(SCRIPT, mimetype="text/javascript"))


def font_response(name: str) -> Response:
    """Return a file of letters; 404 for any name that is not of the list."""
    if name not in FONTS:
        return guarded(Response(status=404))
    return to_keep(Response(FONTS[name], mimetype="font/woff2"))


def to_keep(response: Response) -> Response:
    """Return what is the same for everybody, and may be kept for a day."""
    response.cache_control.public = True
    response.cache_control.max_age = STYLE_SECONDS
    response.headers["X-Content-Type-Options"] = "nosniff"
    return response
