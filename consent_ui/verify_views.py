"""The page on which anybody checks evidence, its script, and the same page as one file to keep."""

from __future__ import annotations

from flask import Blueprint, Response

from consent_ui.addresses import VERIFY_OFFLINE_RULE, VERIFY_RULE, VERIFY_SCRIPT_RULE
from consent_ui.pages import guarded, to_keep
from consent_ui.verifying import (
    KEY_OPTION,
    OFFLINE,
    OFFLINE_HASH,
    OFFLINE_NAME,
    PROGRAM,
    SCRIPT,
    SCRIPT_VERSION,
    SENTENCES,
)
from consent_ui.visit import Visit, words_of_request


class VerifyViews:
    """Views of /citizen/verify. Public: they know nobody, set no cookie and are told nothing."""

    def __init__(self, visit: Visit) -> None:
        self._visit = visit

    def add_to(self, blueprint: Blueprint) -> None:
        """Add the routes to the blueprint of the citizen's pages."""
        blueprint.add_url_rule(VERIFY_RULE, "verify_page", self.show, methods=["GET"])
        blueprint.add_url_rule(VERIFY_SCRIPT_RULE, "verify_script", script_response, methods=["GET"])
        blueprint.add_url_rule(VERIFY_OFFLINE_RULE, "verify_offline", offline_response, methods=["GET"])

    def show(self) -> Response:
        """Show the page: a file is chosen, and checked in the browser."""
        words, addresses = words_of_request(), self._visit.addresses
        return self._visit.pages.page(
            "verify.html",
            words,
            script=addresses.verify_script(SCRIPT_VERSION),
            sentences=SENTENCES[words.language],
            program=PROGRAM,
            option=KEY_OPTION,
            offline=addresses.page(VERIFY_OFFLINE_RULE),
            offline_name=OFFLINE_NAME,
            offline_hash=OFFLINE_HASH,
            other_address=addresses.page(VERIFY_RULE, words.other),
        )


def script_response() -> Response:
    """Return the script that checks evidence; its address changes with it, so it may be kept."""
    return to_keep(Response(SCRIPT, mimetype="text/javascript"))


def offline_response() -> Response:
    """Return the page to keep. It is a file to take along: no browser shows it as a page of this server."""
    response = Response(OFFLINE, mimetype="application/octet-stream")
    response.headers["Content-Disposition"] = f'attachment; filename="{OFFLINE_NAME}"'
    return guarded(response)
