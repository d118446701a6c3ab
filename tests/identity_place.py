"""A broker with one e-ID provider, and the provider: what tests of signing in through it act on."""

from __future__ import annotations

from typing import Any

from sqlalchemy import text
from werkzeug.test import TestResponse

from connectors.identity import IdentityProvider
from connectors.identity_exchange import Exchange
from connectors.identity_providers import ProviderEntry
from tests.citizen_world import INCOME, Browser, CitizenWorld, Form, Forms
from tests.identity_host import (
    CLIENT_ID,
    IdentityHost,
)
from tests.oauth_world import Database, MovableClock

SECRET = "a secret of many characters: & + %"


def trial_entry(host: IdentityHost, authorities: str) -> ProviderEntry:
    """Return the entry of the provider; authorities: PEM."""
    return ProviderEntry(
        key="vneid",
        issuer=host.issuer,
        client_id=CLIENT_ID,
        labels=("Định danh Thử", "Trial identity"),
        acr_levels={"loa1": 1, "loa2": 2},
        private_key=None,
        key_id="",
        key_algorithm="",
        assertion_audience="issuer",
        client_secret=SECRET,
        scopes=("openid",),
        algorithms=("ES256", "RS256"),
        personal_id_claim="SoDinhDanh",
        personal_id_from="id_token",
        form_origins=(host.issuer,),
        authorities=authorities,
        private_host=True,
        plain_loopback=False,
    )


class Place:
    """A broker with one provider, and the provider. seconds: how long the broker waits for its answers."""

    def __init__(
        self, database: Database, host: IdentityHost, entry: ProviderEntry, seconds: float = 60.0
    ) -> None:
        self.host = host
        exchange = Exchange(entry, resolve=host.resolve, seconds=seconds)
        self.world = CitizenWorld(database, providers={"vneid": IdentityProvider(entry, exchange)})
        assert isinstance(self.world.clock, MovableClock)
        self.clock = self.world.clock
        host.now = lambda: self.clock().timestamp()

    def form(self, browser: Browser, **request: Any) -> Form:
        """Return the provider's form on the sign-in page of a request."""
        asked_for = self.world.request(INCOME, **request)
        led = browser.get(self.world.page.address(asked_for.request_ref))
        shown = browser.get(led.headers["Location"])
        return next(one for one in Forms(shown.text).forms if one.action.endswith("/with/vneid"))

    def leave(self, browser: Browser, **request: Any) -> str:
        """Press the provider's button, and return where that leads."""
        form = self.form(browser, **request)
        answer = browser.post(form.action, form.fields)
        assert answer.status_code == 303, answer.text
        return answer.headers["Location"]

    def come_back(self, browser: Browser, answer: dict[str, str]) -> TestResponse:
        query = "&".join(f"{name}={value}" for name, value in answer.items())
        return browser.get(f"/citizen/sign-in/callback/vneid?{query}")

    def go_through(self, browser: Browser | None = None, **request: Any) -> TestResponse:
        """Leave, sign in there, and come back."""
        browser = browser or self.world.browser()
        return self.come_back(browser, self.host.sign_in(self.leave(browser, **request)))

    def accounts(self) -> list[Any]:
        with self.world.owner.connect() as connection:
            return list(connection.execute(text("SELECT * FROM citizens ORDER BY registered_at")).mappings())

    def is_nobody_signed_in(self) -> bool:
        return self.world.count("citizen_sessions") == 0
