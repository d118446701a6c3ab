"""A random day at the broker: several clients and people, every route that leaves evidence about a person.

Everything is drawn from one generator, and played through the broker's own doors.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlsplit

from sqlalchemy import create_engine, text
from werkzeug.test import TestResponse

from broker.cli.caller import Caller
from connectors.national_insurance.cases import SyntheticPerson
from tests.adults import next_adult, next_parent
from tests.citizen_world import Citizen, Forms
from tests.contracts.source_fixtures import InsuranceDatabase
from tests.doors import in_process_caller, post
from tests.e2e.pages import PagesBank, PagesBrowser, PagesWorld
from tests.own_pages_world import REPRESENTATION, open_session
from tests.release_world import BATCH, Hospital, World

CONSENTS = "/citizen/consents"
RECORD = "/citizen/record"
_PERSON = text(
    """SELECT person_key, personal_id, si_number, full_name, birth_date, birth_precision, sex
       FROM person WHERE personal_id = :personal_id"""
)


@dataclass
class Someone:
    """A person with an account. consents: paths of pages of consents given; tokens: of their recipients."""

    facts: SyntheticPerson
    citizen: Citizen
    consents: list[str] = field(default_factory=list)
    tokens: list[tuple[PagesBank, str]] = field(default_factory=list)

    @property
    def names(self) -> list[str]:
        """By what evidence knows this person."""
        return [str(self.facts.person_key), f"citizen:{self.citizen.citizen_id}"]


class Day:
    """Who is there, and what they do."""

    def __init__(self, pages: PagesWorld, world: World, insurance: InsuranceDatabase, seed: int) -> None:
        self.pages, self.world, self.insurance = pages, world, insurance
        self.drawn = random.Random(seed)
        self.hospitals = [
            world.hospital,
            world.register_hospital(staff=3),
            world.register_hospital(staff=3, agreements=("hospital_ten_a_day",)),
        ]
        self.banks = [pages.bank(), pages.bank()]
        adults = [next_adult(insurance) for _ in range(4)]
        self.people = [Someone(self._facts(one), pages.citizen(one, with_codes=False)) for one in adults]
        parent, child = next_parent(insurance)
        self.parent = Someone(self._facts(parent), pages.citizen(parent, with_codes=False))
        self.child = self._facts(child)
        self.people.append(self.parent)
        # Hospitals ask about whoever comes: one who has no account, and the child, are among them.
        self.asked_about = [
            *(one.facts for one in self.people),
            self._facts(next_adult(insurance)),
            self.child,
        ]
        self.acts: list[Callable[[], None]] = [
            *[self.check] * 6,
            self.check_by_nobodys_staff,
            *[self.check_batch] * 2,
            *[self.give] * 3,
            *[self.ask_inbox] * 2,
            *[self.read_consented] * 6,
            self.read_paused,
            *[self.change_consent] * 3,
            *[self.read_own] * 2,
            self.read_own_too_weakly,
            self.look_at_history,
            self.preview,
            self.represent,
        ]

    def play(self, count: int) -> None:
        """Do something so many times; every act happens at least once."""
        acts = [*dict.fromkeys(self.acts)] + [self.drawn.choice(self.acts) for _ in range(count)]
        # A day begins with what the rest needs, and goes on in any order.
        rest = acts[:]
        self.drawn.shuffle(rest)
        self._decide(self.people[0], None, "give")
        for act in rest:
            act()

    def check(self) -> None:
        """A hospital asks: about somebody as it should, or with a name, day or number that does not fit."""
        hospital, person = self.drawn.choice(self.hospitals), self.drawn.choice(self.asked_about)
        changes: Mapping[str, Any] = self.drawn.choice(
            [
                {},
                {},
                {"full_name": "Ông Ích Khiêm Xy"},
                {"birth_date": "01/01/1951"},
                {"card_number": person.personal_id},
                {"card_number": "0000000000"},
            ]
        )
        answer = post(self._caller(hospital), self.world.document(person, hospital, **changes))
        assert answer.status in (200, 403, 429), answer.body

    def check_by_nobodys_staff(self) -> None:
        """Somebody who is none of its staff asks in a hospital's name about somebody who is found."""
        hospital, someone = self.drawn.choice(self.hospitals), self.drawn.choice(self.people)
        stranger = {"full_name": "Trần Thị Tiếp Đón 9", "personal_id": "001090000009"}
        self.world.identifiers |= set(stranger.values())
        document = self.world.document(someone.facts, hospital, acting_person=stranger)
        assert post(self._caller(hospital), document).status == 403

    def check_batch(self) -> None:
        """A hospital asks about several at once, one of them perhaps twice."""
        hospital = self.drawn.choice(self.hospitals)
        asked = self.drawn.choices(self.asked_about, k=self.drawn.randint(2, 4))
        items = [self.world.document(one, hospital, acting_person=...) for one in asked]
        document = {"acting_person": hospital.staff[0].as_document(), "items": items}
        answer = post(self._caller(hospital), document, BATCH)
        assert answer.status in (200, 403, 429), answer.body

    def give(self) -> None:
        """A bank asks by redirect; the person gives all, a part or nothing."""
        fields = self.drawn.choice([None, ["salary_base"], ["salary_base", "si_status"]])
        choice = self.drawn.choice(["give", "give", "give", "refuse"])
        self._decide(self.drawn.choice(self.people), fields, choice)

    def _decide(self, someone: Someone, fields: list[str] | None, choice: str) -> None:
        bank, browser = self.drawn.choice(self.banks), self.browser(someone)
        page = browser.follow(browser.get(bank.push()))
        answer = browser.decide(page, fields, choice)
        assert answer.status_code == 303, answer.text
        code = parse_qs(urlsplit(answer.headers["Location"]).query).get("code")
        if code is None:
            return
        tokens = bank.redeem(code[0]).json()
        someone.tokens.append((bank, tokens["access_token"]))
        someone.consents.append(f"{CONSENTS}/{tokens['authorization_details'][0]['consent_id']}")

    def ask_inbox(self) -> None:
        """A bank puts a request into an inbox; the person finds it there, and decides or lets it lie."""
        someone, bank = self.drawn.choice(self.people), self.drawn.choice(self.banks)
        if bank.ask(someone.citizen.personal_id).status != 201:
            return
        browser = self.browser(someone)
        listed = browser.get(CONSENTS)
        assert listed.status_code == 200, listed.text
        page = browser.get(self.drawn.choice(_below(listed, CONSENTS)))
        assert page.status_code == 200, page.text
        if any(("choice", "give") in form.buttons for form in Forms(page.text).forms):
            answer = browser.decide(page, None, self.drawn.choice(["give", "refuse"]))
            assert answer.status_code == 303, answer.text

    def read_consented(self) -> None:
        """A bank reads what was given to it; perhaps it has ended since."""
        someone = self.drawn.choice([one for one in self.people if one.tokens])
        bank, token = self.drawn.choice(someone.tokens)
        assert bank.read(token).status in (200, 401, 403, 429)

    def read_paused(self) -> None:
        """A person pauses a consent, and the bank that has a token for it tries all the same."""
        someone = self.drawn.choice([one for one in self.people if one.consents])
        at = self.drawn.randrange(len(someone.consents))
        browser = self.browser(someone)
        page = browser.get(someone.consents[at])
        for form in Forms(page.text).forms:
            if ("choice", "pause") in form.buttons:
                assert browser.post(form.action, {**form.fields, "choice": "pause"}).status_code == 303
        bank, token = someone.tokens[at]
        assert bank.read(token).status in (401, 403)

    def change_consent(self) -> None:
        """A person withdraws, pauses or resumes a consent, if it is one of which that can be said."""
        someone = self.drawn.choice([one for one in self.people if one.consents])
        browser, path = self.browser(someone), self.drawn.choice(someone.consents)
        page = browser.get(path)
        choices = {
            value: form
            for form in Forms(page.text).forms
            for name, value in form.buttons
            if name == "choice" and value in ("withdraw", "pause", "resume")
        }
        wanted = self.drawn.choice(["withdraw", "pause", "resume"])
        if wanted == "withdraw":
            page = browser.get(f"{path}/withdraw")
            choices = {value: form for form in Forms(page.text).forms for name, value in form.buttons if name}
        if wanted in choices:
            form = choices[wanted]
            assert browser.post(form.action, {**form.fields, "choice": wanted}).status_code == 303

    def read_own(self) -> None:
        """A person reads the own record."""
        browser = self.browser(self.drawn.choice(self.people))
        form = _form_to(browser.get(RECORD), RECORD)
        assert browser.post(form.action, form.fields).status_code in (200, 429)

    def read_own_too_weakly(self) -> None:
        """A person's sign-in turns out to be weaker than the page took it for."""
        someone = self.drawn.choice(self.people)
        browser = self.browser(someone)
        form = _form_to(browser.get(RECORD), RECORD)
        weaken = "UPDATE citizen_sessions SET level = 1 WHERE citizen_id = CAST(:citizen AS uuid)"
        self.world.execute(weaken, citizen=someone.citizen.citizen_id)
        assert browser.post(form.action, form.fields).status_code == 403

    def look_at_history(self) -> None:
        """A person looks who saw the own data: that too is evidence about the person."""
        assert self.browser(self.drawn.choice(self.people)).get("/citizen/history").status_code == 200

    def preview(self) -> None:
        """A person looks at the very values that a bank would get, and refuses."""
        someone = self.drawn.choice(self.people)
        browser = self.browser(someone)
        page = browser.follow(browser.get(self.drawn.choice(self.banks).push()))
        form = next(one for one in Forms(page.text).forms if ("choice", "show") in one.buttons)
        shown = browser.post(form.action, {**form.fields, "choice": "show"})
        assert shown.status_code == 200, shown.text
        assert browser.decide(shown, None, "refuse").status_code == 303

    def represent(self) -> None:
        """Banks ask about a child; the parent looks at its values, gives, refuses or lets it lie."""
        answer = self.drawn.choice(self.banks).ask(self.child.personal_id)
        if answer.status != 201:
            return
        browser = self.browser(self.parent)
        page = browser.get(self.drawn.choice(_below(browser.get(REPRESENTATION), REPRESENTATION)))
        assert page.status_code == 200, page.text
        shown = [one for one in Forms(page.text).forms if ("choice", "show") in one.buttons]
        if shown and self.drawn.random() < 0.5:
            page = browser.post(shown[0].action, {**shown[0].fields, "choice": "show"})
            assert page.status_code == 200, page.text
        if any(("choice", "give") in form.buttons for form in Forms(page.text).forms):
            choice = self.drawn.choice(["give", "refuse", ""])
            if choice:
                assert browser.decide(page, None, choice).status_code == 303

    def _caller(self, hospital: Hospital) -> Caller:
        return in_process_caller(self.pages.app, self.pages.issuer, hospital)

    def browser(self, someone: Someone) -> PagesBrowser:
        """Return a browser in which somebody has just signed in."""
        browser = self.pages.browser()
        name, value = open_session(self.world, someone.citizen.citizen_id, issuer=self.pages.issuer)
        browser.http.set_cookie(name, value, domain=urlsplit(self.pages.issuer).hostname or "", secure=True)
        return browser

    def _facts(self, personal_id: str) -> SyntheticPerson:
        engine = create_engine(self.insurance.owner_url)
        with engine.connect() as connection:
            row = connection.execute(_PERSON, {"personal_id": personal_id}).one()
        engine.dispose()
        self.world.identifiers |= {row.personal_id, row.full_name, row.si_number}
        return SyntheticPerson(**row._mapping, cards=())


def _below(page: TestResponse, path: str) -> list[str]:
    """Return the pages of single things below a path to which a page leads."""
    return sorted(set(re.findall(rf'href="({path}/[0-9a-f-]{{36}})[?"]', page.text)))


def _form_to(page: TestResponse, path: str) -> Any:
    assert page.status_code == 200, page.text
    return next(form for form in Forms(page.text).forms if form.action.startswith(path))
