"""What is fetched from a provider of identities: its metadata and keys, tokens for a code, UserInfo.

Every request goes to an address that was judged, takes no detours and ends in time; at most two of them wait
at once in a process, because the same threads release data.
"""

from __future__ import annotations

import json
import re
import ssl
from base64 import b64encode
from collections.abc import Mapping
from datetime import datetime
from threading import BoundedSemaphore, Thread
from time import monotonic
from typing import Any, Final
from urllib.parse import quote_plus, urlencode

from authlib.oauth2.rfc7523 import private_key_jwt_sign  # type: ignore[import-untyped]

from connectors.client_keys import Accept, ClientKeySets
from connectors.identity_errors import IdentityRefused, IdentityUnavailable
from connectors.identity_providers import LOOPBACK, ProviderEntry, origin_of
from connectors.identity_token import usable_keys
from connectors.pinned_https import Fetched, FetchRefused, PinnedFetch, Sent
from connectors.reachable import Resolve, system_addresses

EXCHANGE_SECONDS: Final = 4.0
AT_ONCE: Final = 2
_ASSERTION_SECONDS: Final = 60
_ASSERTION_TYPE: Final = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
# RFC 6750, 2.1: what a bearer token may look like.
_TOKEN: Final = re.compile(r"[A-Za-z0-9._~+/-]{1,8192}=*")
_FORM: Final = "application/x-www-form-urlencoded"
_NEEDED: Final = ("authorization_endpoint", "token_endpoint", "jwks_uri")
# One bound for all providers of the process.
_places: Final = BoundedSemaphore(AT_ONCE)


class Exchange:
    """Talks to one provider, safe for many threads. seconds: how long anybody waits for one answer."""

    def __init__(
        self,
        entry: ProviderEntry,
        *,
        resolve: Resolve = system_addresses,
        seconds: float = EXCHANGE_SECONDS,
    ) -> None:
        self._entry = entry
        self._resolve = resolve
        self._seconds = seconds
        self._private = frozenset({entry.host} if entry.private_host else ())
        self._plain = LOOPBACK if entry.plain_loopback else frozenset[str]()
        self._context = ssl.create_default_context(cadata=entry.authorities or None)
        self._context.minimum_version = ssl.TLSVersion.TLSv1_2
        self._documents = self._kept(self._accepted, "the metadata of an identity provider")
        self._keys = self._kept(usable_keys, "the keys of an identity provider")

    def _kept(self, accept: Accept, what: str) -> ClientKeySets:
        return ClientKeySets(
            accept,
            authorities=self._entry.authorities,
            private_hosts=self._private,
            plain_hosts=self._plain,
            resolve=self._resolve,
            what=what,
        )

    def metadata(self) -> Mapping[str, Any]:
        """Return the provider's metadata (OpenID Connect Discovery, 4). Raises IdentityUnavailable."""
        text = self._documents.find_jwks(f"{self._entry.issuer.rstrip('/')}/.well-known/openid-configuration")
        if text is None:
            raise IdentityUnavailable("the metadata of the provider cannot be had now")
        document: Mapping[str, Any] = json.loads(text)
        return document

    def jwks(self, renew: bool) -> str | None:
        """Return the provider's usable keys as JSON text. Raises IdentityUnavailable."""
        return self._keys.find_jwks(str(self.metadata()["jwks_uri"]), renew=renew)

    def redeem(self, code: str, verifier: str, redirect_uri: str, at: datetime) -> Mapping[str, Any]:
        """Return the token response for a code (OpenID Connect Core, 3.1.3).

        Raises IdentityRefused where the provider does not take the code, IdentityUnavailable.
        """
        endpoint = str(self.metadata()["token_endpoint"])
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": redirect_uri,
            "code_verifier": verifier,
        }
        headers: dict[str, str] = {}
        entry = self._entry
        if entry.private_key is None:
            # RFC 6749, 2.3.1: both are form-encoded before they are joined.
            pair = f"{quote_plus(entry.client_id)}:{quote_plus(entry.client_secret)}"
            headers["Authorization"] = "Basic " + b64encode(pair.encode()).decode("ascii")
        else:
            form |= {
                "client_id": entry.client_id,
                "client_assertion_type": _ASSERTION_TYPE,
                "client_assertion": self._assertion(endpoint, at),
            }
        fetched = self._ask(endpoint, Sent(_FORM, urlencode(form).encode("ascii"), headers), (200, 400, 401))
        if fetched.status != 200:
            raise IdentityRefused("the provider does not take the code")
        return _object(fetched)

    def userinfo(self, tokens: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return what UserInfo says (OpenID Connect Core, 5.3).

        Raises IdentityRefused, IdentityUnavailable.
        """
        endpoint, token = self.metadata().get("userinfo_endpoint"), tokens.get("access_token")
        if not isinstance(endpoint, str) or not isinstance(token, str) or not _TOKEN.fullmatch(token):
            raise IdentityRefused("there is no UserInfo, or no token for it")
        return _object(self._ask(endpoint, Sent(_FORM, b"", {"Authorization": f"Bearer {token}"}), (200,)))

    def _assertion(self, endpoint: str, at: datetime) -> str:
        """Return a client assertion (RFC 7523) for the issuer, or its token endpoint, good for a minute."""
        entry = self._entry
        assertion: str = private_key_jwt_sign(
            entry.private_key,
            entry.client_id,
            entry.issuer if entry.assertion_audience == "issuer" else endpoint,
            alg=entry.key_algorithm,
            header={"kid": entry.key_id} if entry.key_id else {},
            issued_at=int(at.timestamp()),
            expires_in=_ASSERTION_SECONDS,
        )
        return assertion

    def _ask(self, url: str, sent: Sent, statuses: tuple[int, ...]) -> Fetched:
        """Return the answer to a POST. Raises IdentityUnavailable."""
        if not _places.acquire(blocking=False):
            raise IdentityUnavailable("too many sign-ins wait for a provider")
        fetch = PinnedFetch(
            url,
            context=self._context,
            resolve=self._resolve,
            private_hosts=self._private,
            until=monotonic() + self._seconds,
            sent=sent,
            statuses=statuses,
            plain_hosts=self._plain,
        )
        outcome: list[Fetched | str] = []

        def run() -> None:
            try:
                outcome.append(fetch.run())
            except FetchRefused as refused:
                outcome.append(str(refused))
            finally:
                _places.release()

        # A thread of its own: no resolver can be told to stop, and it keeps its place until it has.
        thread = Thread(target=run, name="identity", daemon=True)
        try:
            thread.start()
        except RuntimeError:
            _places.release()
            raise IdentityUnavailable("too many sign-ins wait for a provider") from None
        thread.join(self._seconds)
        fetch.abort()
        fetched = outcome[0] if outcome else "the host does not answer in time"
        if isinstance(fetched, str):
            raise IdentityUnavailable(fetched)
        return fetched

    def _accepted(self, text: str) -> str:
        """Return the metadata to keep. Raises ValueError (fixed words)."""
        try:
            document = json.loads(text)
        except RecursionError:
            raise ValueError("the document is not JSON") from None
        entry = self._entry
        if not isinstance(document, dict) or document.get("issuer") != entry.issuer:
            raise ValueError("the document is not of this issuer")
        if any(type(document.get(name)) is not str for name in _NEEDED):
            raise ValueError("the document does not name what is needed")
        # A browser follows the form of the sign-in page only to where the page's policy lets it.
        if origin_of(document["authorization_endpoint"]) not in entry.form_origins:
            raise ValueError("the authorization endpoint is at none of the form_origins")
        # An assertion for an endpoint that somebody else runs would be good there, for us.
        is_own = origin_of(document["token_endpoint"]) == origin_of(entry.issuer)
        if entry.assertion_audience != "issuer" and not is_own:
            raise ValueError("the token endpoint is at another origin than the issuer")
        kept = (*_NEEDED, "userinfo_endpoint", "authorization_response_iss_parameter_supported")
        return json.dumps({name: document[name] for name in kept if name in document})


def _object(fetched: Fetched) -> Mapping[str, Any]:
    """Return a JSON object that was fetched. Raises IdentityUnavailable."""
    try:
        document = json.loads(fetched.body) if fetched.media_type == "application/json" else None
    except (ValueError, RecursionError):
        document = None
    if not isinstance(document, dict):
        raise IdentityUnavailable("the provider answers with something else than a JSON object")
    return document
