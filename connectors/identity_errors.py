"""Why a provider of identities recognises nobody: in fixed words, which hold nothing of its answer."""

from __future__ import annotations


class IdentityRefused(Exception):
    """The provider's answer recognises nobody. reason: for the log. is_told: it says so itself."""

    def __init__(self, reason: str, *, is_told: bool = False) -> None:
        super().__init__(reason)
        self.reason = reason
        self.is_told = is_told


class IdentityUnavailable(IdentityRefused):
    """The provider cannot be asked now, or answers what no provider should."""
