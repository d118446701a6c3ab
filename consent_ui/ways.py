"""The ways in besides a password, as the roof hands them to the pages."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from broker.oauth.identity_sign_in import IdentitySignIn
from broker.oauth.passkeys import CitizenPasskeys
from broker.oauth.session_list import SessionStore
from connectors.identity import IdentityProvider
from consent_ui.sign_in_page import ProviderButton


@dataclass(frozen=True, slots=True, kw_only=True)
class Ways:
    """sessions: those that any way has opened. providers: by their key in addresses, in order."""

    sessions: SessionStore
    passkeys: CitizenPasskeys
    identities: IdentitySignIn
    providers: Mapping[str, IdentityProvider] = field(default_factory=dict)

    @property
    def buttons(self) -> list[ProviderButton]:
        """The providers as the sign-in page offers them."""
        return [
            ProviderButton(key, provider.entry.labels, provider.entry.form_origins)
            for key, provider in self.providers.items()
        ]


def can_have_passkeys(issuer: str) -> bool:
    """Return whether browsers make passkeys for this host: a name over TLS, or localhost; no address."""
    parts = urlsplit(issuer)
    host = parts.hostname or ""
    is_address = ":" in host or host.replace(".", "").isdigit()
    return not is_address and (parts.scheme == "https" or host == "localhost")
