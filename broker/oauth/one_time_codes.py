"""One-time codes of an authenticator app (RFC 6238): SHA-1, 6 digits, 30 s, one step of drift either way."""

from __future__ import annotations

import hmac
import re
from datetime import datetime
from typing import Final

import pyotp

STEP_SECONDS: Final = 30
_DRIFT: Final = (-1, 0, 1)
_CODE: Final = re.compile(r"[0-9]{6}", re.ASCII)


def new_secret() -> str:
    """Return a fresh secret of 160 bits in base32 (RFC 4226, 4, R6)."""
    return pyotp.random_base32(32)


def enrolment_uri(secret: str, account: str, issuer_name: str) -> str:
    """Return the otpauth:// URI that an authenticator app reads. account: never a personal id."""
    return pyotp.TOTP(secret, interval=STEP_SECONDS).provisioning_uri(name=account, issuer_name=issuer_name)


def matching_step(secret: str, code: str, at: datetime) -> int | None:
    """Return the time step whose code this is (RFC 6238, 5.2), or None.

    code: spaces are ignored. Whether the step was used before is the store's to say. All steps are compared,
    so that the time taken tells nothing.
    """
    given = "".join(code.split())
    totp = pyotp.TOTP(secret, interval=STEP_SECONDS)
    present = int(at.timestamp()) // STEP_SECONDS
    found = None
    for step in [present + drift for drift in _DRIFT]:
        if hmac.compare_digest(totp.generate_otp(step).encode(), given.encode("utf-8", "replace")):
            found = step
    return found if _CODE.fullmatch(given) else None
