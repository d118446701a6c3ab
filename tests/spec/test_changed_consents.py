"""A citizen changes what was given: fewer or more fields, an earlier end, a shorter range; and gives less."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import text
from werkzeug.test import Client, TestResponse

from broker.consent.record import Consent
from broker.errors import ConsentMoved
from broker.storage.consents import PostgresConsents
from consent_ui.words import WORDS
from policies.civil_time import VIET_NAM
from tests.citizen_world import Citizen, Form, Forms
from tests.oauth_flow import Flow
from tests.oauth_world import stored_consents

CONSENTS = "/citizen/consents"
RANGE = {"first_day": "2026-02-01", "last_day": "2026-03-31"}
GIVEN = ("0.salary_base", "0.si_status")


def get(flow: Flow, browser: Client, path: str) -> TestResponse:
    return browser.get(path, base_url=flow.world.issuer)


def own_form(page: TestResponse) -> Form:
    assert page.status_code == 200, page.text
    return next(form for form in Forms(page.text).forms if form.action.startswith(CONSENTS))


def ticked(form: Form) -> list[str]:
    return [name for name, is_ticked in form.boxes.items() if is_ticked]


def send(
    flow: Flow, browser: Client, form: Form, fields: list[str] | None = None, **more: Any
) -> TestResponse:
    """Send a form; fields: instead of those that are ticked on it."""
    data = {**form.fields, "field": ticked(form) if fields is None else fields, **more}
    return browser.post(form.action, data=data, base_url=flow.world.issuer)


def change(
    flow: Flow, browser: Client, path: str, fields: list[str] | None = None, **more: Any
) -> TestResponse:
    return send(flow, browser, own_form(get(flow, browser, f"{path}/change")), fields, **more)


def said(answer: TestResponse, status: int, key: str, **values: str) -> None:
    assert (answer.status_code, answer.mimetype) == (status, "text/html")
    alert = answer.text.split('role="alert"')[1].split("</div>")[0]
    assert WORDS[key][0].format(**values) in alert


def kept(flow: Flow, consent_id: str) -> Consent:
    held = stored_consents(flow.world.wiring.store).find_one(consent_id)
    assert held is not None
    return held.consent


def count(flow: Flow, table: str) -> int:
    with flow.world.engine.connect() as connection:
        return int(connection.execute(text(f"SELECT count(*) FROM {table}")).scalar_one())  # noqa: S608


class TestByRedirect:
    @pytest.fixture
    def citizen(self, flow: Flow) -> Citizen:
        return flow.citizen()

    @pytest.fixture
    def tokens(self, flow: Flow, citizen: Citizen) -> dict[str, Any]:
        """The bank may read two of the four fields."""
        body: dict[str, Any] = flow.redeem(flow.granted(citizen, GIVEN)).get_json()
        return body

    @pytest.fixture
    def browser(self, flow: Flow, citizen: Citizen, tokens: dict[str, Any]) -> Client:  # noqa: ARG002 (gives first)
        return flow.signed_in(citizen)

    @pytest.fixture
    def path(self, tokens: dict[str, Any]) -> str:
        return f"{CONSENTS}/{tokens['authorization_details'][0]['consent_id']}"

    def test_every_field_that_was_asked_stands_there_as_it_was_decided(
        self, flow: Flow, browser: Client, path: str
    ) -> None:
        assert f'href="{path}/change?lang=vi"' in get(flow, browser, path).text
        page = get(flow, browser, f"{path}/change?lang=en")
        form = own_form(page)
        assert form.boxes == {
            "si_status": True, "contribution_from": False, "contribution_to": False, "salary_base": True,
        }  # fmt: skip
        assert re.findall(r'<option value="(\d*)"', page.text) == ["", "7", "1"]
        assert "as it is, until" in page.text
        assert f'href="{path}/withdraw?lang=en"' in page.text
        assert 'type="date"' not in page.text, "no range was asked for"

    def test_giving_less_needs_no_fresh_sign_in_and_the_recipient_goes_on(
        self, flow: Flow, browser: Client, path: str, tokens: dict[str, Any]
    ) -> None:
        flow.world.clock.move(400)
        done = change(flow, browser, path, ["salary_base"])
        assert done.status_code == 303, done.text
        new = done.headers["Location"].split("?")[0]
        assert new.startswith(CONSENTS)
        assert new != path
        before, after = (kept(flow, one.rpartition("/")[2]) for one in (path, new))
        assert (before.state, before.superseded_by) == ("superseded", after.consent_id)
        assert (after.state, after.supersedes, [*after.given_names]) == (
            "active", before.consent_id, ["salary_base"],
        )  # fmt: skip
        assert after.valid_to_at == before.valid_to_at
        assert (after.grant_id, after.notice is not None) == (before.grant_id, True)
        page = get(flow, browser, new)
        assert "Sửa đổi" in page.text
        assert "đã được thay bằng sự đồng ý mới" in get(flow, browser, path).text
        renewed = flow.refresh(tokens["refresh_token"]).get_json()
        [detail] = renewed["authorization_details"]
        assert (detail["consent_id"], detail["fields"]) == (after.consent_id, ["salary_base"])

    def test_its_receipt_is_there_in_every_form_and_says_what_is_different(
        self, flow: Flow, browser: Client, path: str
    ) -> None:
        new = change(flow, browser, path, ["salary_base"]).headers["Location"].split("?")[0]
        consent = kept(flow, new.rpartition("/")[2])
        receipts = stored_consents(flow.world.wiring.store).find_receipts(consent.citizen_id)
        [receipt] = [one for one in receipts if one.event_type == "amended"]
        assert receipt.consent_id == consent.consent_id
        for language, title in (("vi", "Bạn đã thay đổi sự đồng ý"), ("en", "You changed your consent")):
            assert title in get(flow, browser, f"/citizen/receipts?lang={language}").text
        address = f"/citizen/receipts/{receipt.receipt_id}"
        pdf = get(flow, browser, f"{address}.pdf")
        assert (pdf.status_code, pdf.data[:5]) == (200, b"%PDF-")
        iso, kantara = get(flow, browser, f"{address}.json"), get(flow, browser, f"{address}/kantara.json")
        assert consent.consent_id in iso.text
        assert kantara.get_json()["services"], "the same by Kantara's form"
        checked = flow.browser().post(
            "/receipts/check?lang=en", data={"receipt": receipt.receipt}, base_url=flow.world.issuer
        )
        assert "You changed your consent" in checked.text

    def test_giving_more_leads_to_a_fresh_sign_in_and_back_to_the_very_page(
        self, flow: Flow, browser: Client, path: str, citizen: Citizen
    ) -> None:
        flow.world.clock.move(400)
        consent_id = path.rpartition("/")[2]
        more = ["salary_base", "si_status", "contribution_from"]
        led = change(flow, browser, path, more)
        assert led.status_code == 303
        assert led.headers["Location"] == f"/citizen/sign-in?next=change.{consent_id}&lang=vi&again=1"
        assert kept(flow, consent_id).state == "active", "nothing is changed by being led away"
        page = flow._sign_in(browser, get(flow, browser, led.headers["Location"]), citizen, {})
        assert (page.status_code, page.request.path) == (200, f"{path}/change")
        assert ticked(own_form(page)) == ["si_status", "salary_base"], "it is chosen again"
        new = change(flow, browser, path, more).headers["Location"].split("?")[0]
        assert kept(flow, new.rpartition("/")[2]).given_names == set(more)

    def test_whoever_is_not_signed_in_is_led_back_to_the_very_page(self, flow: Flow, path: str) -> None:
        led = get(flow, flow.browser(), f"{path}/change")
        name = f"change.{path.rpartition('/')[2]}"
        assert led.headers["Location"] == f"/citizen/sign-in?next={name}&lang=vi"
        assert get(flow, flow.browser(), led.headers["Location"]).status_code == 200

    @pytest.mark.parametrize(
        "name", ["change.", "change.x", "CHANGE.0E4F7A9C-1B2D-4C3E-8F5A-6B7C8D9E0F1A", "extend.x", "change"]
    )
    def test_next_names_nothing_else(self, flow: Flow, name: str) -> None:
        assert get(flow, flow.browser(), f"/citizen/sign-in?next={name}").status_code == 404

    def test_nothing_changed_is_said_and_nothing_is_written(
        self, flow: Flow, browser: Client, path: str
    ) -> None:
        tables = ("consents", "consent_events", "consent_receipts", "outbox_messages", "evidence_entries")
        before = [count(flow, table) for table in tables]
        said(change(flow, browser, path), 422, "change_nothing")
        assert [count(flow, table) for table in tables] == before

    def test_what_is_needed_cannot_be_taken_away(self, flow: Flow, browser: Client, path: str) -> None:
        answer = change(flow, browser, path, ["si_status"])
        label = re.findall(r'<label for="f-salary_base".*?<span class="name">(.*?)</span>', answer.text)[0]
        said(answer, 422, "change_required", field=label)
        assert ticked(own_form_of(answer)) == ["si_status"], "what was chosen stands there again"
        said(change(flow, browser, path, []), 422, "change_all")
        assert kept(flow, path.rpartition("/")[2]).state == "active"

    def test_an_earlier_end_ends_the_grant_and_its_refresh_tokens_earlier(
        self, flow: Flow, browser: Client, path: str, tokens: dict[str, Any]
    ) -> None:
        flow.world.clock.move(400)
        for days in ("30", "365", "0", "-1", "x"):
            said(change(flow, browser, path, valid_days=days), 422, "less_days_choose")
        new = change(flow, browser, path, valid_days="7").headers["Location"].split("?")[0]
        after, until = kept(flow, new.rpartition("/")[2]), flow.world.clock() + timedelta(days=7)
        assert (after.valid_to_at, after.given_days) == (until, 7)
        assert f"{until.astimezone(VIET_NAM):%H:%M %d/%m/%Y}" in get(flow, browser, new).text
        with flow.world.engine.connect() as connection:
            ends = connection.execute(
                text(
                    "SELECT g.expires_at, r.expires_at FROM grants g JOIN refresh_tokens r USING (grant_id)"
                    " WHERE g.grant_id = :grant AND r.revoked_at IS NULL"
                ),
                {"grant": after.grant_id},
            ).all()
        assert [tuple(row) for row in ends] == [(until, until)]
        assert flow.refresh(tokens["refresh_token"]).get_json()["authorization_details"][0]["valid_days"] == 7
        page = get(flow, browser, f"{new}/change").text
        assert re.findall(r'<option value="(\d*)"', page) == ["", "1"], "seven days would be longer by now"

    def test_what_rests_has_ended_or_was_changed_meanwhile_is_not_changed(
        self, flow: Flow, browser: Client, path: str
    ) -> None:
        form = own_form(get(flow, browser, f"{path}/change"))
        assert change(flow, browser, path, ["salary_base"]).status_code == 303
        said(send(flow, browser, form, ["salary_base"]), 403, "form_stale")
        page = get(flow, browser, f"{path}/change?lang=en")
        assert (page.status_code, "cannot be changed" in page.text) == (200, True)
        assert "<form" not in page.text.split("<main")[1].split("</main")[0]
        assert "/change" not in get(flow, browser, path).text.split("<main")[1]

    def test_of_two_changes_at_one_moment_one_counts(
        self, flow: Flow, browser: Client, path: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def moves(*_given: Any, **_named: Any) -> None:
            raise ConsentMoved("another was faster")

        form = own_form(get(flow, browser, f"{path}/change"))
        with monkeypatch.context() as patch:
            patch.setattr(PostgresConsents, "write", moves)
            said(send(flow, browser, form, ["salary_base"]), 409, "consents_moved")
        assert kept(flow, path.rpartition("/")[2]).state == "active"

    @pytest.mark.parametrize("data", [{}, {"token": "x"}])
    def test_a_form_that_we_did_not_make_changes_nothing(
        self, flow: Flow, browser: Client, path: str, data: dict[str, str]
    ) -> None:
        answer = browser.post(
            f"{path}/change", data={**data, "field": "salary_base"}, base_url=flow.world.issuer
        )
        said(answer, 403, "form_stale")
        assert ticked(own_form_of(answer)) == ["si_status", "salary_base"], "as it is, not as the form said"

    def test_a_field_that_was_not_asked_for_is_not_given(
        self, flow: Flow, browser: Client, path: str
    ) -> None:
        said(change(flow, browser, path, ["salary_base", "si_status", "ethnicity"]), 422, "change_nothing")

    def test_what_the_agreement_no_longer_covers_is_only_taken_away(
        self, flow: Flow, browser: Client, path: str
    ) -> None:
        consent_id = path.rpartition("/")[2]
        with flow.world.engine.begin() as connection:
            connection.execute(
                text(
                    "UPDATE consents SET record = jsonb_set(record, '{terms,fields,1,shape}', '\"another\"')"
                    " WHERE consent_id = CAST(:id AS uuid)"
                ),
                {"id": consent_id},
            )
        page = get(flow, browser, f"{path}/change")
        assert list(own_form(page).boxes) == ["si_status", "salary_base"]
        assert WORDS["change_fields_less"][0] in page.text
        more = ["salary_base", "si_status", "contribution_from"]
        said(change(flow, browser, path, more), 422, "change_nothing")
        assert change(flow, browser, path, ["salary_base"]).status_code == 303


def own_form_of(answer: TestResponse) -> Form:
    return next(form for form in Forms(answer.text).forms if form.action.startswith(CONSENTS))


def test_sensitive_fields_are_added_at_level_2_only(flow: Flow) -> None:
    citizen = flow.citizen()
    tokens = flow.redeem(flow.granted(citizen, GIVEN)).get_json()
    path = f"{CONSENTS}/{tokens['authorization_details'][0]['consent_id']}"
    with flow.world.engine.begin() as connection:
        connection.execute(
            text(
                "UPDATE consents SET record = jsonb_set(record, '{terms,fields,1,is_sensitive}', 'true')"
                " WHERE consent_id = CAST(:id AS uuid)"
            ),
            {"id": path.rpartition("/")[2]},
        )
        connection.execute(
            text("UPDATE citizen_sessions SET level = 1 WHERE citizen_id = CAST(:id AS uuid)"),
            {"id": citizen.citizen_id},
        )
    more = ["salary_base", "si_status", "contribution_from"]
    said(change(flow, flow.signed_in(citizen), path, more), 409, "consents_level")
    assert kept(flow, path.rpartition("/")[2]).state == "active"
