"""What a browser reads under the citizen's paths where no view has answered."""

from __future__ import annotations

from typing import Final

from flask import Response, request
from werkzeug.exceptions import HTTPException

from consent_ui.addresses import HOME_RULE, Addresses
from consent_ui.pages import Pages
from consent_ui.words import WORDS, Words, words_for

_ROOTS: Final = ("/citizen", "/receipts")


class FaultPages:
    """Implements `broker.api.resources.FaultPages` for one broker. issuer: its public URL."""

    def __init__(self, issuer: str) -> None:
        self._pages = Pages(Addresses(issuer))

    def serves(self, path: str) -> bool:
        """Return whether people, not programs, come to a path."""
        return any(path == root or path.startswith(f"{root}/") for root in _ROOTS)

    def page(self, status: int, request_id: str) -> Response:
        """Return the page for a status, in the language of the request.

        request_id: under which the log has it. 502 to 504 say that the system is busy; other statuses
        without words of their own say what 400 and 500 say.
        """
        words = _words()
        if status in (502, 503, 504):
            return self._pages.notice(words, status, words("busy_title"), words("unavailable"))
        key = f"page_fault_{status}"
        if key not in WORDS:
            key = f"page_fault_{500 if status >= 500 else 400}"
        home = self._pages.addresses.page(HOME_RULE, words.language)
        told = words(f"{key}_told", request_id=request_id)
        return self._pages.notice(words, status, words(key), told, home=home)


def _words() -> Words:
    """Return the words of the request under way; what was posted may be unreadable."""
    try:
        asked = request.values.get("lang")
    except HTTPException:
        asked = request.args.get("lang")
    return words_for(asked, "", request.headers.get("Accept-Language", ""))
