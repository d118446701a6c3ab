"""Where the citizen's pages are, and the handle by which a page names an authorization request."""

from __future__ import annotations

import binascii
from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlencode, urlsplit

HOME_RULE: Final = "/citizen/"
HELP_RULE: Final = "/citizen/help"
REQUEST_RULE: Final = "/citizen/requests/<handle>"
SIGN_IN_RULE: Final = "/citizen/sign-in"
SIGN_IN_WITH_RULE: Final = "/citizen/sign-in/with/<provider>"
CALLBACK_RULE: Final = "/citizen/sign-in/callback/<provider>"
PASSKEY_SIGN_IN_RULE: Final = "/citizen/sign-in/passkey"
SESSIONS_RULE: Final = "/citizen/sessions"
PASSKEYS_RULE: Final = "/citizen/passkeys"
NEW_PASSKEY_RULE: Final = "/citizen/passkeys/new"
RECEIPTS_RULE: Final = "/citizen/receipts"
CHECK_RULE: Final = "/receipts/check"
HISTORY_RULE: Final = "/citizen/history"
EVIDENCE_RULE: Final = "/citizen/history/<uuid:reference>/evidence"
EVIDENCE_FILE_RULE: Final = "/citizen/history/<uuid:reference>/evidence.json"
HIDDEN_READS_RULE: Final = "/citizen/hidden-reads"
HIDDEN_READS_FILE_RULE: Final = "/citizen/hidden-reads.json"
RECORD_RULE: Final = "/citizen/record"
COMPLAINTS_RULE: Final = "/citizen/complaints"
COMPLAINT_RULE: Final = "/citizen/complaints/new"
VERIFY_RULE: Final = "/citizen/verify"
VERIFY_SCRIPT_RULE: Final = "/citizen/verify.js"
VERIFY_OFFLINE_RULE: Final = "/citizen/verify.html"
REPRESENTATION_RULE: Final = "/citizen/representation"
CHILD_REQUEST_RULE: Final = "/citizen/representation/<consent_id>"
CHILD_CONSENT_RULE: Final = "/citizen/representation/consents/<consent_id>"
CHILD_WITHDRAWAL_RULE: Final = "/citizen/representation/consents/<consent_id>/withdraw"
CHILD_EXTENSION_RULE: Final = "/citizen/representation/consents/<consent_id>/extend"
CONSENTS_RULE: Final = "/citizen/consents"
CONSENT_RULE: Final = "/citizen/consents/<consent_id>"
WITHDRAWAL_RULE: Final = "/citizen/consents/<consent_id>/withdraw"
EXTENSION_RULE: Final = "/citizen/consents/<consent_id>/extend"
CHANGE_RULE: Final = "/citizen/consents/<consent_id>/change"
SIGN_OUT_RULE: Final = "/citizen/sign-out"
STYLE_RULE: Final = "/citizen/style.css"
FONT_RULE: Final = "/citizen/fonts/<name>"
SCRIPT_RULE: Final = "/citizen/passkey.js"
_REF_BYTES: Final = 32


def handle_of(request_ref: bytes) -> str:
    """Return the handle of a request: base64url of its 32-byte reference, without padding."""
    return urlsafe_b64encode(request_ref).rstrip(b"=").decode("ascii")


def request_ref_of(handle: str) -> bytes | None:
    """Return the reference that a handle names, or None: one spelling for every reference, nothing else.

    So nothing that comes from outside is ever an address to go to.
    """
    try:
        request_ref = urlsafe_b64decode(handle.encode("ascii") + b"=")
    except (UnicodeEncodeError, binascii.Error):
        return None
    return request_ref if len(request_ref) == _REF_BYTES and handle_of(request_ref) == handle else None


@dataclass(frozen=True, slots=True)
class Addresses:
    """Paths as the browser must ask for them. issuer: public URL of this broker; it may have a path."""

    issuer: str

    @property
    def root(self) -> str:
        """Return what stands before every path of ours, "" for nothing."""
        return urlsplit(self.issuer).path.rstrip("/")

    @property
    def origin(self) -> str:
        """Return the origin of our own pages (RFC 6454)."""
        return origin_of(self.issuer)

    @property
    def is_secure(self) -> bool:
        """Whether browsers come over TLS; only a demonstration on the loopback does without."""
        return self.issuer.startswith("https://")

    def request(self, handle: str, language: str = "") -> str:
        """Return the path of a decision page."""
        path = self.root + REQUEST_RULE.replace("<handle>", handle)
        return path + "?" + urlencode({"lang": language}) if language else path

    def sign_in(self, name: str, language: str, *, again: bool = False) -> str:
        """Return the path of the sign-in page that leads to a destination. again: to be sure."""
        asked = {"next": name, "lang": language, **({"again": "1"} if again else {})}
        return f"{self.root}{SIGN_IN_RULE}?" + urlencode(asked)

    def sign_in_form(self) -> str:
        """Return where the sign-in form is posted."""
        return self.root + SIGN_IN_RULE

    def sign_in_with(self, provider: str) -> str:
        """Return where the form is posted that leads to a provider of identities."""
        return self.root + SIGN_IN_WITH_RULE.replace("<provider>", provider)

    def callback(self, provider: str) -> str:
        """Return the URL to which a provider sends browsers back: for each provider its own."""
        return self.issuer + CALLBACK_RULE.replace("<provider>", provider)

    def page(self, rule: str, language: str = "", **asked: str) -> str:
        """Return the path of a page without variable parts. asked: more of its query, "" for nothing."""
        query = {name: value for name, value in {**asked, "lang": language}.items() if value}
        return self.root + rule + ("?" + urlencode(query) if query else "")

    def sign_out(self) -> str:
        """Return where the sign-out form is posted."""
        return self.root + SIGN_OUT_RULE

    def style(self, version: str) -> str:
        """Return the path of the style sheet; another version is another address."""
        return f"{self.root}{STYLE_RULE}?v={version}"

    def script(self, version: str) -> str:
        """Return the path of the script of passkeys; another version is another address."""
        return f"{self.root}{SCRIPT_RULE}?v={version}"

    def verify_script(self, version: str) -> str:
        """Return the path of the script that checks evidence; another version is another address."""
        return f"{self.root}{VERIFY_SCRIPT_RULE}?v={version}"


def origin_of(url: str) -> str:
    """Return what a content security policy calls the place of a URL: origin, or scheme of a private one.

    An origin is written as browsers write it (RFC 6454, 6.2): lower case, no port where it is the usual one.
    """
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or parts.hostname is None:
        return f"{parts.scheme}:"
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    usual = {"http": 80, "https": 443}[parts.scheme]
    return f"{parts.scheme}://{host}" + ("" if parts.port in (None, usual) else f":{parts.port}")
