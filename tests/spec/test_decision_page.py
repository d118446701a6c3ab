"""Deciding, over HTTP: what is shown, what counts as an answer, and what the client gets of it."""

from __future__ import annotations

import re
from html import unescape
from itertools import pairwise
from pathlib import Path
from typing import Any, ClassVar

import pytest
from werkzeug.test import TestResponse

import consent_ui
from broker.errors import StoreUnavailable
from broker.storage.requests import PostgresRequests
from consent_ui.notices import NOTICE_VERSION
from consent_ui.words import LANGUAGES, WORDS
from policies.forms import FORMS
from tests.citizen_world import (
    CALLBACK,
    INCOME,
    Citizen,
    CitizenWorld,
    Forms,
    parameters_of,
    shipped_policies,
)
from tests.oauth_world import ISSUER, Database

STYLE = (Path(consent_ui.__file__).parent / "static/citizen.css").read_text("utf-8")
OTHER = {**INCOME, "fields": ["first_contribution_month", "employer_tax_code"], "required_fields": []}


@pytest.fixture
def world(database: Database) -> CitizenWorld:
    return CitizenWorld(database)


@pytest.fixture
def citizen(world: CitizenWorld) -> Citizen:
    return world.citizen()


class TestWhatIsShown:
    @pytest.mark.parametrize("language", LANGUAGES)
    def test_who_why_what_in_which_form_how_long_on_what_basis_and_how_to_withdraw(
        self, world: CitizenWorld, citizen: Citizen, language: str
    ) -> None:
        page = world.browser().sign_in(world.request(INCOME, ui_locales=language), citizen)
        text, index = unescape(re.sub(r"<[^>]+>", " ", page.text)), LANGUAGES.index(language)
        policies = shipped_policies()
        definition = policies.catalogue.fields["salary_base"]
        purpose = policies.registers.purposes["prove_income"]
        basis = policies.registers.legal_bases["CONSENT"]
        organisation = ("Ngân hàng Thử Nghiệm", "Trial Bank")[index]
        for wanted in (
            organisation,
            "Ứng dụng Vay nhanh <b>&",
            (purpose.label_vi, purpose.label_en)[index],
            (definition.label_vi, definition.label_en)[index],
            (FORMS["amount_band"].label_vi, FORMS["amount_band"].label_en)[index],
            (FORMS["year_month"].label_vi, FORMS["year_month"].label_en)[index],
            WORDS["rows_recent"][index].format(months=12),
            WORDS["required"][index],
            WORDS["optional"][index],
            WORDS["retention_days"][index].format(days=("180 ngày", "180 days")[index]),
            (basis.label_vi, basis.label_en)[index],
            WORDS["withdraw_how"][index].format(organisation=organisation),
            WORDS["scope_share_record"][index],
        ):
            assert wanted in text, wanted
        assert re.search(rf"90 {('ngày', 'days')[index]}", text)
        other_fields = {"ethnicity", "bank_account", "copay_ytd"}
        assert not any(policies.catalogue.fields[name].label_en in text for name in other_fields)

    @pytest.mark.parametrize("language", LANGUAGES)
    def test_why_each_field_how_often_of_which_time_what_then_who_else_and_what_harm(
        self, world: CitizenWorld, citizen: Citizen, language: str
    ) -> None:
        detail = {
            **INCOME,
            "mode": "store",
            "data_range": {"first_day": "2026-01-01", "last_day": "2026-06-30"},
            "frequency": {"use_count": 2, "per": "week"},
        }
        page = world.browser().sign_in(world.request(detail, ui_locales=language), citizen)
        shown = " ".join(unescape(re.sub(r"<[^>]+>", " ", page.text)).split())
        index = LANGUAGES.index(language)
        agreement = shipped_policies().tables["bank_income_proof"].agreement
        told = agreement.told
        assert told is not None
        asked = [rule for rule in agreement.rules if set(rule.fields) & set(INCOME["fields"])]
        for wanted in (
            WORDS["terms_mode_store"][index],
            WORDS["terms_range_between"][index].format(first="01/01/2026", last="30/06/2026"),
            WORDS["consents_per_week"][index].format(count=2),
            *(pair[index] for pair in (told.afterwards, told.who_else, told.harm)),
            *(WORDS["why_field"][index].format(why=(rule.why_vi, rule.why)[index]) for rule in asked),
        ):
            assert wanted in shown, wanted

    def test_nothing_is_ticked_and_refusing_is_as_easy_as_giving(
        self, world: CitizenWorld, citizen: Citizen
    ) -> None:
        form = Forms(world.browser().sign_in(world.request(INCOME, OTHER), citizen).text).forms[-1]
        assert set(form.boxes) == {
            *(f"0.{field}" for field in INCOME["fields"]),
            *(f"1.{field}" for field in OTHER["fields"]),
        }
        assert not any(form.boxes.values())
        # The first button is what Enter presses: refusing must be that one.
        assert form.buttons == [("choice", "refuse"), ("choice", "give")]

    def test_sensitive_fields_are_marked(self, world: CitizenWorld, citizen: Citizen) -> None:
        own = {"agreement_id": "citizen_own_record", "purpose": "obtain_own_record", "required_fields": []}
        detail = {**INCOME, **own, "fields": ["full_name", "ethnicity", "subject_type"]}
        page = world.browser().sign_in(world.request(detail), citizen)
        boxes = page.text.split('class="box')[1:]
        marked = {
            name
            for name in detail["fields"]
            for box in boxes
            if f'id="0.{name}"' in box and WORDS["sensitive"][0] in box
        }
        assert marked == {"ethnicity", "subject_type"}, "named by the decree, and by inference"

    def test_a_request_for_a_pseudonym_says_that_nothing_else_is_learned(
        self, world: CitizenWorld, citizen: Citizen
    ) -> None:
        browser = world.browser()
        page = browser.sign_in(world.request(scopes=("openid",)), citizen)
        assert WORDS["openid_only"][0] in page.text
        assert WORDS["scope_openid"][0] in page.text
        assert Forms(page.text).forms[-1].boxes == {}
        assert "code" in parameters_of(browser.decide(page, "give"))
        [grant] = world.grants()
        assert (grant["scope"], grant["authorization_details"]) == ("openid", [])

    def test_names_of_clients_cannot_write_into_the_page(self, world: CitizenWorld, citizen: Citizen) -> None:
        page = world.browser().sign_in(world.request(INCOME), citizen)
        assert "<b>" not in page.text
        assert "Vay nhanh &lt;b&gt;&amp;" in page.text

    @pytest.mark.parametrize(
        "change",
        [
            {"agreement_id": "no_such_agreement"},
            {"fields": ["salary_base", "copay_ytd"]},
            {"fields": ["salary_base", "no_such_field"]},
            {"fields": []},
            {"purpose": "obtain_own_record"},
            {"required_fields": ["first_contribution_month"]},
            {"type": "entitlement_check"},
        ],
    )
    def test_what_the_policies_do_not_permit_is_not_shown_for_decision(
        self, world: CitizenWorld, citizen: Citizen, change: dict[str, Any]
    ) -> None:
        page = world.browser().sign_in(world.request({**INCOME, **change}), citizen)
        assert page.status_code == 409
        assert Forms(page.text).forms == []
        assert WORDS["fault_not_permitted"][0] in page.text


class TestGiving:
    def test_what_was_ticked_is_given_and_nothing_else(self, world: CitizenWorld, citizen: Citizen) -> None:
        browser = world.browser()
        page = browser.sign_in(world.request(INCOME), citizen)
        answer = parameters_of(browser.decide(page, "give", "0.salary_base", "0.si_status"))
        assert sorted(answer) == ["code", "iss", "state"]
        assert (answer["iss"], answer["state"]) == (ISSUER, "state-1")
        [grant] = world.grants()
        assert str(grant["citizen_id"]) == citizen.citizen_id
        assert grant["authorization_details"] == [{**INCOME, "fields": ["salary_base", "si_status"]}]
        assert (grant["level"], grant["authenticated_at"]) == (1, world.clock())

    @pytest.mark.parametrize("choice", ["give", "refuse"])
    def test_the_notice_says_when_the_page_was_shown_not_when_it_was_answered(
        self, world: CitizenWorld, citizen: Citizen, choice: str
    ) -> None:
        browser, shown_at = world.browser(), world.clock().replace(microsecond=0)
        page = browser.sign_in(world.request(INCOME, ui_locales="en"), citizen)
        world.clock.move(120)
        parameters_of(browser.decide(page, choice, "0.salary_base"))
        [(_, notice)] = world.told
        assert notice is not None
        assert notice.served_at == shown_at
        assert (notice.version, notice.language, len(notice.rendered_hash)) == (NOTICE_VERSION, "en", 64)

    def test_a_part_without_a_tick_is_left_out(self, world: CitizenWorld, citizen: Citizen) -> None:
        browser = world.browser()
        page = browser.sign_in(world.request(INCOME, OTHER, scopes=("openid", "share_record")), citizen)
        parameters_of(browser.decide(page, "give", "1.employer_tax_code"))
        [grant] = world.grants()
        assert grant["authorization_details"] == [{**OTHER, "fields": ["employer_tax_code"]}]
        assert grant["scope"] == "openid share_record"

    @pytest.mark.parametrize(
        "invented", ["0.ethnicity", "1.salary_base", "7.salary_base", "salary_base", "x"]
    )
    def test_a_box_that_is_not_on_the_page_gives_nothing(
        self, world: CitizenWorld, citizen: Citizen, invented: str
    ) -> None:
        browser = world.browser()
        page = browser.sign_in(world.request(INCOME), citizen)
        assert browser.decide(page, "give", invented).status_code == 422
        parameters_of(browser.decide(page, "give", "0.salary_base", invented))
        [grant] = world.grants()
        assert grant["authorization_details"][0]["fields"] == ["salary_base"]


class TestWhatIsNoAnswer:
    def check_shown_again(self, world: CitizenWorld, answer: TestResponse, key: str, **values: str) -> None:
        assert answer.status_code == 422
        assert WORDS[key][0].format(**values) in answer.text
        assert 'role="alert"' in answer.text
        assert world.grants() == []

    def test_giving_without_a_tick_is_never_a_consent(self, world: CitizenWorld, citizen: Citizen) -> None:
        browser = world.browser()
        page = browser.sign_in(world.request(INCOME), citizen)
        answer = browser.decide(page, "give")
        self.check_shown_again(world, answer, "nothing_ticked")
        assert not any(Forms(answer.text).forms[-1].boxes.values())

    def test_leaving_out_what_is_needed_is_told_at_its_place_with_the_ticks_kept(
        self, world: CitizenWorld, citizen: Citizen
    ) -> None:
        browser = world.browser()
        page = browser.sign_in(world.request(INCOME), citizen)
        answer = browser.decide(page, "give", "0.si_status")
        label = shipped_policies().catalogue.fields["salary_base"].label_vi
        self.check_shown_again(world, answer, "required_missing", field=label)
        assert '<a href="#0.salary_base">' in answer.text
        boxes = Forms(answer.text).forms[-1].boxes
        assert [name for name, ticked in boxes.items() if ticked] == ["0.si_status"]
        parameters_of(browser.decide(answer, "give", "0.si_status", "0.salary_base"))

    @pytest.mark.parametrize("choice", [None, "", "yes", "GIVE"])
    def test_no_choice_is_no_answer(self, world: CitizenWorld, citizen: Citizen, choice: str | None) -> None:
        browser = world.browser()
        page = browser.sign_in(world.request(INCOME), citizen)
        answer = browser.decide(page, choice, "0.salary_base")
        self.check_shown_again(world, answer, "choose_one")

    def test_two_choices_are_none(self, world: CitizenWorld, citizen: Citizen) -> None:
        browser = world.browser()
        form = Forms(browser.sign_in(world.request(INCOME), citizen).text).forms[-1]
        data = {**form.fields, "field": ["0.salary_base"], "choice": ["give", "refuse"]}
        self.check_shown_again(world, browser.post(form.action, data), "choose_one")

    @pytest.mark.parametrize("token", ["", "x", "W10.AAAA"])
    def test_a_form_that_we_did_not_make_decides_nothing(
        self, world: CitizenWorld, citizen: Citizen, token: str
    ) -> None:
        browser = world.browser()
        page = browser.sign_in(world.request(INCOME), citizen)
        for choice in ("give", "refuse"):
            answer = browser.decide(page, choice, "0.salary_base", token=token)
            assert answer.status_code == 403
            assert WORDS["form_stale"][0] in answer.text
            assert not any(Forms(answer.text).forms[-1].boxes.values())
        assert world.grants() == []

    def test_a_form_of_another_site_decides_nothing(self, world: CitizenWorld, citizen: Citizen) -> None:
        browser = world.browser()
        form = Forms(browser.sign_in(world.request(INCOME), citizen).text).forms[-1]
        data = {**form.fields, "field": ["0.salary_base"], "choice": "give"}
        for headers in ({"Sec_Fetch_Site": "cross-site"}, {"Origin": "https://evil.example"}):
            assert browser.post(form.action, data, **headers).status_code == 403
        assert world.grants() == []

    def test_a_form_of_another_person_or_request_decides_nothing(self, world: CitizenWorld) -> None:
        mine, theirs = world.browser(), world.browser()
        request = world.request(INCOME)
        my_form = Forms(mine.sign_in(request, world.citizen()).text).forms[-1]
        their_form = Forms(theirs.sign_in(request, world.citizen()).text).forms[-1]
        other_form = Forms(mine.get(world.page.address(world.request(INCOME).request_ref)).text).forms[-1]
        ticked = {"field": ["0.salary_base"], "choice": "give"}
        assert mine.post(my_form.action, {**their_form.fields, **ticked}).status_code == 403
        assert mine.post(my_form.action, {**other_form.fields, **ticked}).status_code == 403
        assert world.grants() == []
        assert mine.post(my_form.action, {**my_form.fields, **ticked}).status_code == 303

    def test_nobody_decides_without_being_signed_in(self, world: CitizenWorld, citizen: Citizen) -> None:
        browser = world.browser()
        request = world.request(INCOME)
        form = Forms(browser.sign_in(request, citizen).text).forms[-1]
        data = {**form.fields, "field": ["0.salary_base"], "choice": "give"}
        assert world.browser().post(form.action, data).headers["Location"].startswith("/citizen/sign-in?")
        world.sign_in.sign_out(browser.cookie())
        assert browser.post(form.action, data).headers["Location"].startswith("/citizen/sign-in?")
        assert world.grants() == []

    def test_an_account_that_was_closed_meanwhile_decides_nothing(
        self, world: CitizenWorld, citizen: Citizen
    ) -> None:
        browser = world.browser()
        page = browser.sign_in(world.request(INCOME), citizen)
        world.store.suspend_citizen(world.references.citizen_ref(citizen.personal_id))
        answer = browser.decide(page, "give", "0.salary_base")
        assert (answer.status_code, answer.headers["Location"][:16]) == (303, "/citizen/sign-in")
        assert world.grants() == []


class TestRefusing:
    @pytest.mark.parametrize("ticked", [(), ("0.salary_base", "0.si_status")])
    def test_a_refusal_is_a_refusal_whatever_is_ticked(
        self, world: CitizenWorld, citizen: Citizen, ticked: tuple[str, ...]
    ) -> None:
        browser = world.browser()
        page = browser.sign_in(world.request(INCOME), citizen)
        answer = parameters_of(browser.decide(page, "refuse", *ticked))
        assert answer == {"error": "access_denied", "state": "state-1", "iss": ISSUER}
        assert world.grants() == []

    @pytest.mark.parametrize(("first", "second"), [("give", "refuse"), ("refuse", "give"), ("give", "give")])
    def test_a_request_is_decided_once(
        self, world: CitizenWorld, citizen: Citizen, first: str, second: str
    ) -> None:
        browser = world.browser()
        page = browser.sign_in(world.request(INCOME), citizen)
        parameters_of(browser.decide(page, first, "0.salary_base"))
        again = browser.decide(page, second, "0.salary_base")
        assert again.status_code == 404
        assert WORDS["fault_request_unknown"][0] in again.text
        assert len(world.grants()) == (1 if first == "give" else 0)

    def test_a_decision_made_in_another_window_meanwhile_is_told(
        self, world: CitizenWorld, citizen: Citizen, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Between finding the request and keeping the answer, the other window was faster."""
        browser, request = world.browser(), world.request(INCOME)
        page = browser.sign_in(request, citizen)
        keep = PostgresRequests.approve_request

        def late(self: PostgresRequests, *given: Any) -> bool:
            self.refuse_request(request.request_ref, world.clock())
            return keep(self, *given)

        monkeypatch.setattr(PostgresRequests, "approve_request", late)
        answer = browser.decide(page, "give", "0.salary_base")
        assert answer.status_code == 409
        assert WORDS["fault_request_unknown"][0] in answer.text
        assert world.grants() == []

    def test_an_expired_request_cannot_be_decided(self, world: CitizenWorld, citizen: Citizen) -> None:
        browser = world.browser()
        page = browser.sign_in(world.request(INCOME), citizen)
        world.clock.move(901)
        assert browser.decide(page, "give", "0.salary_base").status_code == 404
        assert world.grants() == []

    def test_a_store_that_does_not_answer_keeps_nobody_in_the_dark(
        self, world: CitizenWorld, citizen: Citizen, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        browser = world.browser()
        page = browser.sign_in(world.request(INCOME), citizen)

        def silent(*_: Any) -> Any:
            raise StoreUnavailable("the store does not answer: X")

        with monkeypatch.context() as patch:
            patch.setattr(PostgresRequests, "approve_request", silent)
            answer = browser.decide(page, "give", "0.salary_base")
        assert answer.status_code == 503
        assert WORDS["unavailable"][0] in answer.text
        parameters_of(browser.decide(page, "give", "0.salary_base"))


class TestHowStrongAndHowFresh:
    def test_an_account_without_codes_is_told_so_and_can_only_refuse(
        self, world: CitizenWorld, citizen: Citizen
    ) -> None:
        browser = world.browser()
        page = browser.sign_in(world.request(INCOME, level=2), citizen)
        form = Forms(page.text).forms[-1]
        assert WORDS["level_title"][0] in page.text
        assert (form.boxes, form.buttons) == ({}, [("choice", "refuse")])
        assert browser.decide(page, "give", "0.salary_base").status_code == 422
        assert world.grants() == []
        assert parameters_of(browser.decide(page, "refuse"))["error"] == "access_denied"

    def test_level_2_is_kept_with_what_is_given(self, world: CitizenWorld) -> None:
        citizen, browser = world.citizen(with_codes=True), world.browser()
        page = browser.sign_in(world.request(INCOME, level=2), citizen, one_time_code=world.code(citizen))
        parameters_of(browser.decide(page, "give", "0.salary_base"))
        assert [grant["level"] for grant in world.grants()] == [2]

    def test_a_session_is_good_for_the_next_request(self, world: CitizenWorld, citizen: Citizen) -> None:
        browser = world.browser()
        browser.sign_in(world.request(INCOME), citizen)
        world.clock.move(60)
        address = world.page.address(world.request(INCOME, max_age_seconds=120).request_ref)
        assert browser.get(address).status_code == 200

    def test_a_client_that_wants_a_new_sign_in_gets_one(self, world: CitizenWorld, citizen: Citizen) -> None:
        browser = world.browser()
        browser.sign_in(world.request(INCOME), citizen)
        world.clock.move(60)
        request = world.request(INCOME, max_age_seconds=0)
        led = browser.get(world.page.address(request.request_ref))
        assert (led.status_code, led.headers["Location"][:16]) == (303, "/citizen/sign-in")
        world.clock.move(1)
        page = browser.sign_in(request, citizen)
        parameters_of(browser.decide(page, "give", "0.salary_base"))

    def test_a_page_opened_before_the_new_sign_in_was_wanted_decides_nothing(
        self, world: CitizenWorld, citizen: Citizen
    ) -> None:
        browser = world.browser()
        browser.sign_in(world.request(INCOME), citizen)
        world.clock.move(60)
        request = world.request(INCOME, max_age_seconds=30)
        action = world.page.address(request.request_ref)
        assert browser.post(action, {"choice": "give"}).headers["Location"][:16] == "/citizen/sign-in"


class TestWhatBrowsersMayDo:
    def pages(self, world: CitizenWorld) -> dict[str, TestResponse]:
        citizen, browser, request = world.citizen(), world.browser(), world.request(INCOME)
        led = browser.get(world.page.address(request.request_ref))
        shown = browser.get(led.headers["Location"])
        decision = browser.sign_in(request, citizen)
        return {
            "redirect": led,
            "sign_in": shown,
            "refused": browser.try_sign_in(world.request(INCOME, max_age_seconds=0), personal_id="1"),
            "decision": decision,
            "shown_again": browser.decide(decision, "give"),
            "unknown": browser.get(f"/citizen/requests/{'A' * 43}"),
            "to_the_client": browser.decide(decision, "refuse"),
        }

    def test_every_page_keeps_scripts_frames_caches_and_other_sites_away(self, world: CitizenWorld) -> None:
        pages = self.pages(world)
        assert {name: page.status_code for name, page in pages.items()} == {
            "redirect": 303,
            "sign_in": 200,
            "refused": 422,
            "decision": 200,
            "shown_again": 422,
            "unknown": 404,
            "to_the_client": 303,
        }
        for name, page in pages.items():
            policy = dict(
                part.strip().split(" ", 1) for part in page.headers["Content-Security-Policy"].split(";")
            )
            assert policy["default-src"] == "'none'", name
            for kind in ("style-src", "font-src", "img-src"):
                assert policy[kind] == "'self'", name
            assert policy["frame-ancestors"] == policy["base-uri"] == "'none'", name
            assert "script-src" not in policy, name
            assert page.headers["X-Frame-Options"] == "DENY", name
            assert page.headers["Referrer-Policy"] == "no-referrer", name
            assert page.headers["Cache-Control"] == "no-store", name
            assert not any(field.lower().startswith("access-control") for field, _ in page.headers), name
            assert "<script" not in page.text and "style=" not in page.text, name  # noqa: PT018

    def test_forms_may_lead_to_the_client_only_from_the_page_that_decides(self, world: CitizenWorld) -> None:
        pages = self.pages(world)
        for name, page in pages.items():
            wanted = "form-action 'self' https://bank.example;"
            is_deciding = name in ("decision", "shown_again")
            assert (wanted in page.headers["Content-Security-Policy"]) is is_deciding, name
            assert ("form-action 'self';" in page.headers["Content-Security-Policy"]) is not is_deciding, name
        assert pages["to_the_client"].headers["Location"].startswith(CALLBACK + "?")

    def test_the_style_sheet_may_be_kept_and_is_of_one_origin(self, world: CitizenWorld) -> None:
        page = self.pages(world)["decision"]
        [address] = re.findall(r'<link rel="stylesheet" href="([^"]+)">', page.text)
        answer = world.browser().get(address)
        assert (answer.status_code, answer.mimetype) == (200, "text/css")
        assert answer.text.startswith('@charset "UTF-8";')
        assert answer.text.endswith(STYLE), "what makes it ours comes last"
        assert "max-age=86400" in answer.headers["Cache-Control"]
        assert not re.search(r"@import|https?:", STYLE)

    def test_letters_come_from_the_own_host_and_by_name_alone(self, world: CitizenWorld) -> None:
        names = re.findall(r"url\(([^)]*)\)", STYLE)
        assert len(names) == 6
        for name in names:
            answer = world.browser().get("/citizen/" + name.strip('"'))
            assert (answer.status_code, answer.mimetype) == (200, "font/woff2"), name
            assert answer.data[:4] == b"wOF2"
        for name in ("..", "LICENSE.txt", "citizen.css", "%2e%2e%2fcitizen.css", "x.woff2"):
            assert world.browser().get(f"/citizen/fonts/{name}").status_code == 404, name

    @pytest.mark.parametrize("handle", ["A" * 43, "x", "..", "é", "A" * 42 + "B"])
    def test_an_unknown_request_is_404_for_everybody(self, world: CitizenWorld, handle: str) -> None:
        for answer in (
            world.browser().get(f"/citizen/requests/{handle}"),
            world.browser().post(f"/citizen/requests/{handle}", {"choice": "give"}),
        ):
            assert answer.status_code in (404, 405)
            assert "Location" not in answer.headers


def luminance(colour: str) -> float:
    """Return the relative luminance of #rrggbb (WCAG 2.2)."""
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    bright, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (bright + 0.05) / (dark + 0.05)


class TestColours:
    colours: ClassVar[dict[str, str]] = dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{6});", STYLE))

    def test_contrast_is_computed_as_wcag_says(self) -> None:
        assert contrast("#000000", "#ffffff") == pytest.approx(21)
        assert contrast("#767676", "#ffffff") == pytest.approx(4.54, abs=0.01)

    @pytest.mark.parametrize(
        ("ink", "ground"),
        [
            *(("ink", ground) for ground in ("paper", "note")),
            *((ink, "paper") for ink in ("muted", "link", "wrong", "sensitive")),
            *(("action-ink", "action"), ("bar-ink", "bar"), ("focus-ink", "focus")),
        ],
    )
    def test_text_can_be_read(self, ink: str, ground: str) -> None:
        assert contrast(self.colours[ink], self.colours[ground]) >= 4.5

    @pytest.mark.parametrize("edge", ["ink", "line", "action", "wrong", "sensitive", "focus-ink"])
    def test_edges_of_what_can_be_used_are_seen(self, edge: str) -> None:
        assert contrast(self.colours[edge], self.colours["paper"]) >= 3

    def test_no_colour_stands_outside_the_list(self) -> None:
        rules = STYLE.split("}", 1)[1]
        assert not re.search(r"#[0-9a-f]{3,8}\b|rgb|hsl", rules)
        assert set(re.findall(r"var\(--([a-z-]+)\)", rules)) == set(self.colours)

    def test_headings_go_down_one_step_at_a_time(self, world: CitizenWorld, citizen: Citizen) -> None:
        page = world.browser().sign_in(world.request(INCOME, OTHER), citizen)
        levels = [int(level) for level in re.findall(r"<h([1-6])", page.text)]
        assert levels[0] == 1
        assert levels.count(1) == 1
        assert all(after <= before + 1 for before, after in pairwise(levels))
