"""Signed-in citizens of the release world, and what they see on the pages about their own data."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from typing import Any
from uuid import uuid4

from flask import Flask
from werkzeug.test import Client, TestResponse

from broker.oauth.citizen_secrets import CitizenSecrets
from broker.oauth.citizens import SessionOpening, session_ref_of
from broker.storage.citizens import CitizenRecord, PostgresCitizens
from tests.acting import ACTS
from tests.citizen_world import Form, Forms
from tests.release_world import World

HISTORY = "/citizen/history"
RECORD = "/citizen/record"
COMPLAINTS = "/citizen/complaints"
REPRESENTATION = "/citizen/representation"


class Text(HTMLParser):
    """The words of a page, with single spaces; scripts would be words too."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.parts: list[str] = []
        self.tags: list[tuple[str, Mapping[str, str]]] = []
        self.feed(html)

    def handle_data(self, data: str) -> None:
        self.parts.append(data)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {name: value or "" for name, value in attrs}))

    @property
    def words(self) -> str:
        return " ".join(" ".join(self.parts).split())


@dataclass
class Visitor:
    """A browser in which a citizen is signed in. cookie: name and value of the session."""

    citizen_id: str
    personal_id: str
    issuer: str
    http: Client
    cookie: tuple[str, str]

    def get(self, path: str) -> TestResponse:
        return self.http.get(path, base_url=self.issuer)

    def page(self, path: str) -> Text:
        answer = self.get(path)
        assert answer.status_code == 200, answer.text
        return Text(answer.text)

    def post(self, path: str, data: Mapping[str, Any], **headers: str) -> TestResponse:
        return self.http.post(path, data=data, base_url=self.issuer, headers=headers)

    def form(self, path: str, action: str) -> Form:
        """Return the form of a page that goes to an address."""
        forms = Forms(self.get(path).text).forms
        return next(form for form in forms if form.action == action)


def register(world: World, personal_id: str) -> str:
    """Register an account without a usable password; return its id."""
    citizen_id = str(uuid4())
    sealed = CitizenSecrets(world.settings.key_encryption_key_file.reveal())
    PostgresCitizens(world.engine, ACTS).register_citizen(
        CitizenRecord(
            citizen_id=citizen_id,
            personal_id_ref=world.pseudonyms.citizen_ref(personal_id),
            personal_id_encrypted=sealed.seal("personal_id", citizen_id, personal_id),
            password_hash="$argon2id$",
            totp_secret_encrypted=None,
        )
    )
    world.identifiers.add(personal_id)
    return citizen_id


def signed_in(
    app: Flask, world: World, personal_id: str, *, citizen_id: str = "", level: int = 2, age_seconds: int = 0
) -> Visitor:
    """Return a browser with a session of an account, which is made where none is named."""
    citizen_id = citizen_id or register(world, personal_id)
    name, value = open_session(world, citizen_id, level=level, age_seconds=age_seconds)
    http, issuer = Client(app), world.settings.issuer
    host = issuer.split("//")[1].split(":")[0]
    http.set_cookie(name, value, domain=host, secure=issuer.startswith("https://"))
    return Visitor(citizen_id, personal_id, issuer, http, (name, value))


def open_session(
    world: World, citizen_id: str, *, level: int = 2, age_seconds: int = 0, issuer: str = ""
) -> tuple[str, str]:
    """Sign an account in; return name and value of its cookie. issuer: "" for the world's own."""
    value, at = secrets.token_urlsafe(32), datetime.now(UTC) - timedelta(seconds=age_seconds)
    opened = PostgresCitizens(world.engine, ACTS).open_session(
        SessionOpening(
            session_ref=session_ref_of(value),
            citizen_id=citizen_id,
            level=level,
            authenticated_at=at,
            expires_at=at + timedelta(minutes=30),
            method="one_time_code" if level == 2 else "password",
        )
    )
    assert opened
    is_https = (issuer or world.settings.issuer).startswith("https://")
    return "__Host-broker-citizen" if is_https else "broker-citizen", value
