"""A citizen's receipts in four shapes, and the public page where any of them is checked."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

import orjson
from flask import Blueprint, Response, request

from broker.consent.writing import IssuedReceipt
from consent_ui.addresses import CHECK_RULE, RECEIPTS_RULE, Addresses
from consent_ui.frame import SignedInVisitor, own_page, visitor
from consent_ui.pages import guarded
from consent_ui.receipt_check import (
    CurrentState,
    KeptReceipts,
    ReceiptCheck,
    ReceiptKeys,
    payload_of,
)
from consent_ui.receipt_pdf import receipt_pdf
from consent_ui.receipt_reading import ReceiptUnreadable, read_receipt
from consent_ui.visit import Visit, before_of_request, words_of_request
from consent_ui.words import Words

RECEIPTS_PAGE: Final = "receipts"
LISTED_MAX: Final = 50
"""How many receipts one page lists; the next one lists what is older."""
_FILES: Final[Mapping[str, str]] = {
    "receipt_pdf": ".pdf",
    "receipt_jws": ".jws",
    "receipt_iso": ".json",
    "receipt_kantara": "/kantara.json",
}
"""Endpoint → what follows the receipt's number in its address."""


class Receipts(KeptReceipts, Protocol):
    """Receipts as they are kept; `broker.storage.consents.PostgresConsents` has them."""

    def find_receipts(self, citizen_id: str, limit: int = 51, before: str = "") -> Sequence[IssuedReceipt]:
        """Return a person's receipts, the latest first; those after one of them. Raises StoreUnavailable."""
        ...


@dataclass(frozen=True, slots=True)
class ReceiptParts:
    """What the pages of receipts need from behind."""

    receipts: Receipts
    keys: ReceiptKeys


class ReceiptViews:
    """Views of /citizen/receipts and /receipts/check."""

    def __init__(self, visit: Visit, parts: ReceiptParts) -> None:
        self._visit = visit
        self._receipts = parts.receipts
        self._check = ReceiptCheck(visit.addresses.issuer, parts.keys, parts.receipts)

    def add_to(self, blueprint: Blueprint) -> None:
        """Add the routes to the blueprint of the citizen's pages."""
        views: Mapping[str, Callable[[SignedInVisitor, IssuedReceipt], Response]] = {
            "receipt_pdf": self._pdf,
            "receipt_jws": self._jws,
            "receipt_iso": self._iso,
            "receipt_kantara": self._kantara,
        }
        blueprint.add_url_rule(RECEIPTS_RULE, "receipts", self.show_all, methods=["GET"])
        for name, view in views.items():
            rule = f"{RECEIPTS_RULE}/<uuid:receipt_id>{_FILES[name]}"
            blueprint.add_url_rule(rule, name, self._own(view), methods=["GET"])
        blueprint.add_url_rule(CHECK_RULE, "check_page", self.show_check, methods=["GET"])
        blueprint.add_url_rule(CHECK_RULE, "check_receipt", self.check, methods=["POST"])

    def show_all(self) -> Response:
        """List the receipts of whoever is signed in; 303 to the sign-in page otherwise."""
        whose = visitor(self._visit, RECEIPTS_PAGE)
        if isinstance(whose, Response):
            return whose
        before = before_of_request()
        kept = self._receipts.find_receipts(whose.citizen_id, LISTED_MAX + 1, before)
        addresses = self._visit.addresses
        listed, is_more = kept[:LISTED_MAX], len(kept) > LISTED_MAX
        following = listed[-1].receipt_id if is_more else ""
        return own_page(
            self._visit,
            whose,
            "receipts.html",
            RECEIPTS_PAGE,
            receipts=[_listed(one, whose.words, addresses) for one in listed],
            check_address=addresses.page(CHECK_RULE, whose.words.language),
            **self._visit.paging(RECEIPTS_RULE, whose.words, before, following),
        )

    def show_check(self) -> Response:
        """Show the page on which a receipt is checked. Public; it needs no session and sets no cookie."""
        return self._check_page(words_of_request())

    def check(self) -> Response:
        """Say whether what was sent is a genuine receipt, and how its consent stands. Nothing is kept.

        Public: the receipt itself is the proof that its holder may learn that. 422 for nothing sent.
        """
        words = words_of_request()
        file = request.files.get("file")
        # Mail programs break long lines; a file is taken as it is, letter by letter.
        pasted = "".join(request.form.get("receipt", "").split())
        content = pasted or ("" if file is None else file.read().decode("latin-1"))
        if not content:
            return self._check_page(words, 422, errors={"receipt": words("receipt_check_nothing")})
        genuine = self._check.check(content, self._visit.clock())
        if genuine is None:
            return self._check_page(words, is_genuine=False)
        try:
            view = read_receipt(genuine.payload, words)
        except ReceiptUnreadable:
            return self._check_page(words, is_genuine=False)
        return self._check_page(words, is_genuine=True, view=view, state=_state(genuine.state, words))

    def _check_page(self, words: Words, status: int = 200, **content: Any) -> Response:
        addresses = self._visit.addresses
        shown = {"is_genuine": None, "view": None, "state": "", "errors": {}, **content}
        return self._visit.pages.page(
            "receipt_check.html",
            words,
            status,
            action=addresses.page(CHECK_RULE),
            other_address=addresses.page(CHECK_RULE, words.other),
            is_error=bool(shown["errors"]),
            **shown,
        )

    def _own(self, view: Callable[[SignedInVisitor, IssuedReceipt], Response]) -> Callable[..., Response]:
        """Return a view that shows a receipt to the person whose it is; to others there is none (404)."""

        def show(receipt_id: Any) -> Response:
            whose = visitor(self._visit, RECEIPTS_PAGE)
            if isinstance(whose, Response):
                return whose
            receipt = self._receipts.find_receipt(str(receipt_id))
            if receipt is None or receipt.citizen_id != whose.citizen_id:
                words = whose.words
                title, told = words("receipt_unknown_title"), words("receipt_unknown")
                return self._visit.pages.notice(words, 404, title, told)
            return view(whose, receipt)

        return show

    def _pdf(self, whose: SignedInVisitor, receipt: IssuedReceipt) -> Response:
        """Return the page to print, in the language of the visit."""
        view = read_receipt(payload_of(receipt), whose.words)
        return _file(receipt_pdf(view, receipt.receipt), "application/pdf", f"{receipt.receipt_id}.pdf")

    def _jws(self, _whose: SignedInVisitor, receipt: IssuedReceipt) -> Response:
        """Return the signed original (RFC 7515, 9.2.1)."""
        return _file(receipt.receipt.encode("ascii"), "application/jose", f"{receipt.receipt_id}.jws")

    def _iso(self, _whose: SignedInVisitor, receipt: IssuedReceipt) -> Response:
        """Return the form of ISO/IEC TS 27560, in JSON-LD."""
        content = orjson.dumps(payload_of(receipt)["receipt_27560"], option=orjson.OPT_SORT_KEYS)
        return _file(content, "application/ld+json", f"{receipt.receipt_id}.json")

    def _kantara(self, _whose: SignedInVisitor, receipt: IssuedReceipt) -> Response:
        """Return Kantara's form."""
        content = orjson.dumps(payload_of(receipt)["receipt_kantara"], option=orjson.OPT_SORT_KEYS)
        return _file(content, "application/json", f"{receipt.receipt_id}-kantara.json")


def _listed(receipt: IssuedReceipt, words: Words, addresses: Addresses) -> dict[str, Any]:
    view = read_receipt(payload_of(receipt), words)
    root = f"{RECEIPTS_RULE}/{receipt.receipt_id}"
    labels = {
        "receipt_pdf": words("receipt_pdf"),
        "receipt_jws": words("receipt_jws"),
        "receipt_iso": words("receipt_iso"),
        "receipt_kantara": words("receipt_kantara"),
    }
    return {
        "view": view,
        "files": [
            {"label": labels[name], "address": addresses.page(root + end, words.language)}
            for name, end in _FILES.items()
        ],
    }


def _state(state: CurrentState, words: Words) -> str:
    states: Mapping[CurrentState, str] = {
        "requested": words("receipt_state_requested"),
        "pending_cosign": words("receipt_state_pending_cosign"),
        "active": words("receipt_state_active"),
        "paused": words("receipt_state_paused"),
        "refresh_due": words("receipt_state_refresh_due"),
        "refused": words("receipt_state_refused"),
        "request_expired": words("receipt_state_request_expired"),
        "cancelled": words("receipt_state_cancelled"),
        "withdrawn": words("receipt_state_withdrawn"),
        "expired": words("receipt_state_expired"),
        "inapplicable": words("receipt_state_inapplicable"),
        "invalidated": words("receipt_state_invalidated"),
        "superseded": words("receipt_state_superseded"),
        "unknown": words("receipt_state_unknown"),
    }
    return states[state]


def _file(content: bytes, mimetype: str, name: str) -> Response:
    """Return a file to keep: never shown within a page, never kept by caches."""
    response = Response(content, mimetype=mimetype)
    response.headers["Content-Disposition"] = f'attachment; filename="{name}"'
    return guarded(response)
