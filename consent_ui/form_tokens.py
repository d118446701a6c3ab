"""Tokens against forged forms: each form is good for one page, one browser and a limited time.

A token is signed (itsdangerous) over what it is bound to: the cookie that only this browser holds, and what
stands on the page. Where the browser says which site a form comes from, that is believed too.
"""

from __future__ import annotations

import hashlib
import hmac
from datetime import UTC, datetime
from typing import Final

from itsdangerous import BadSignature, URLSafeSerializer
from werkzeug.datastructures import Headers

LIFETIME_SECONDS: Final = 1800


class FormTokens:
    """Makes and checks tokens. key: 32 bytes, for nothing else."""

    def __init__(self, key: bytes) -> None:
        self._serializer = URLSafeSerializer(
            key,
            salt=b"citizen form",
            signer_kwargs={"digest_method": hashlib.sha256, "key_derivation": "hmac"},
        )

    def token(self, cookie: str, page: str, at: datetime) -> str:
        """Return a token. cookie: value that this browser holds; page: all that the form means."""
        return str(self._serializer.dumps([int(at.timestamp()), _bound(cookie, page)]))

    def is_good(self, token: str, cookie: str, page: str, at: datetime) -> bool:
        """Return whether a token was made here, for this cookie and page, at most 30 minutes ago."""
        return self.made_at(token, cookie, page, at) is not None

    def made_at(self, token: str, cookie: str, page: str, at: datetime) -> datetime | None:
        """Return when a good token was made, so when its page was shown; None for any other token.

        To the second, rounded down, and never later than at.
        """
        try:
            made_at, bound = self._serializer.loads(token)
        except (BadSignature, ValueError, TypeError):
            return None
        age_seconds = at.timestamp() - made_at
        is_bound = bool(cookie) and hmac.compare_digest(bound, _bound(cookie, page))
        # A second of patience for another worker's clock, and for the fraction cut off.
        if not is_bound or not -1 <= age_seconds <= LIFETIME_SECONDS:
            return None
        return min(datetime.fromtimestamp(made_at, UTC), at)


def is_from_own_page(headers: Headers, own_origin: str) -> bool:
    """Return whether nothing says that a form comes from elsewhere (Fetch Metadata; RFC 6454, 7).

    Pages with Referrer-Policy no-referrer send "Origin: null", so that counts as saying nothing.
    """
    site, origin = headers.get("Sec-Fetch-Site"), headers.get("Origin")
    return site in (None, "same-origin") and origin in (None, "null", own_origin)


def _bound(cookie: str, page: str) -> str:
    return hashlib.sha256(f"{len(cookie)}:{cookie}{page}".encode("utf-8", "surrogatepass")).hexdigest()
