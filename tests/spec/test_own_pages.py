"""Who saw my data, my record, complaints: through the real doors, on synthetic persons."""

from __future__ import annotations

import json
import re
import secrets
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit
from uuid import uuid4

import pytest
from flask import Flask

from broker.cli.caller import Caller
from broker.evidence.history import PAGE_SIZE
from broker.storage.clients import Organisation
from connectors.base import SourceUnavailable
from connectors.national_insurance.cases import SyntheticPerson
from connectors.national_insurance.source import InsuranceSource
from tests.doors import InProcessCaller
from tests.history_world import Told, keep, reference_at
from tests.own_pages_world import COMPLAINTS, HISTORY, RECORD, Text, Visitor, signed_in
from tests.release_world import CHECKS, World

ATTACK = '"><script>alert(1)</script><b onclick=x>&'


@pytest.fixture
def person(world: World) -> SyntheticPerson:
    return world.unseen_person()


@pytest.fixture
def visitor(app: Flask, world: World, person: SyntheticPerson) -> Visitor:
    return signed_in(app, world, person.personal_id)


def check(local: Caller, world: World, person: SyntheticPerson, **changes: Any) -> str:
    """Let the hospital check a person's card; return the evidence reference of what came of it."""
    answer = local.request("POST", CHECKS, json.dumps(world.document(person, **changes)).encode())
    document = json.loads(answer.body)
    named = document.get("evidence_reference") or document["instance"]
    return str(named).removeprefix("urn:uuid:")


def ref_of(world: World, visitor: Visitor) -> bytes:
    return world.pseudonyms.data_subject_ref(f"citizen:{visitor.citizen_id}")


def told(world: World, visitor: Visitor, at: datetime, **changes: object) -> Told:
    given = {"recipient": "some-clinic", **changes}
    return Told(reference_at(at, secrets.randbits(48)), at, ref_of(world, visitor), **given)  # type: ignore[arg-type]


def test_a_hospitals_check_stands_on_the_page_with_the_next_request(
    visitor: Visitor, local: InProcessCaller, world: World, person: SyntheticPerson
) -> None:
    assert "Chưa có ai hỏi dữ liệu của bạn" in visitor.page(HISTORY).words
    reference = check(local, world, person)
    words = visitor.page(HISTORY).words
    assert reference in words
    assert f"Bệnh viện {world.hospital.facility_code}" in words
    assert "Đã chia sẻ" in words
    assert "Thẻ có giá trị đến ngày" in words
    assert "Một nhân viên đã đăng ký của tổ chức này" in words
    english = visitor.page(f"{HISTORY}?lang=en").words
    assert f"Hospital {world.hospital.facility_code}" in english
    assert "Card valid to" in english


def test_a_check_that_was_stopped_is_shown_with_its_reason_in_words(
    visitor: Visitor, local: InProcessCaller, world: World, person: SyntheticPerson
) -> None:
    reference = check(local, world, person, full_name="Người Khác Hẳn")
    page = visitor.page(f"{HISTORY}?lang=en").words
    assert reference in page
    assert "the name given does not fit" in page


def test_nobody_sees_anybody_elses_history(
    app: Flask,
    visitor: Visitor,
    local: InProcessCaller,
    world: World,
    person: SyntheticPerson,
) -> None:
    reference = check(local, world, person)
    other = signed_in(app, world, world.unseen_person().personal_id)
    assert reference not in other.get(HISTORY).text
    assert f"<code>{reference}" not in other.get(f"{HISTORY}?before={reference[:-1]}f").text
    form = f"{COMPLAINTS}/new?reference={reference}"
    assert other.get(form).status_code == 404
    unknown = other.get(f"{COMPLAINTS}/new?reference={uuid4()}")
    assert unknown.text == other.get(form).text
    assert visitor.get(form).status_code == 200


@pytest.mark.parametrize("path", [HISTORY, RECORD, COMPLAINTS])
def test_whoever_is_not_signed_in_is_led_to_the_sign_in_and_back(app: Flask, world: World, path: str) -> None:
    with app.test_client() as nobody:
        answer = nobody.get(path, base_url=world.settings.issuer)
    assert answer.status_code == 303
    location = urlsplit(answer.headers["Location"])
    assert location.path == "/citizen/sign-in"
    names = {HISTORY: "who_saw", RECORD: "record", COMPLAINTS: "complaints"}
    assert parse_qs(location.query)["next"] == [names[path]]


def test_pages_go_on_by_reference_and_keep_the_filter(visitor: Visitor, world: World) -> None:
    at = datetime.now(UTC)
    made = [told(world, visitor, at - timedelta(minutes=number)) for number in range(PAGE_SIZE + 3)]
    refused = told(world, visitor, at - timedelta(hours=1), result="refused", reason="consent_withdrawn")
    keep(world, [*made, refused])
    found, address = [], f"{HISTORY}?result=released&lang=en"
    for _ in range(2):
        page = visitor.get(address)
        found += re.findall(r"<code>([0-9a-f-]{36})</code>", page.text)
        following = re.search(r'<a href="([^"]+)" rel="next"', page.text)
        address = "" if following is None else following[1].replace("&amp;", "&")
    assert found == [one.reference for one in made]
    assert address == ""
    assert "you withdrew your consent" in visitor.page(f"{HISTORY}?result=refused&lang=en").words


@pytest.mark.parametrize(
    "query", ["before=x", "month=2026-13", "result=all", "recipient=%00%ff", "before=%00", "month=9999-99"]
)
def test_what_nobody_can_ask_for_is_left_out(visitor: Visitor, world: World, query: str) -> None:
    made = told(world, visitor, datetime.now(UTC))
    keep(world, [made])
    answer = visitor.get(f"{HISTORY}?{query}")
    assert answer.status_code == 200
    if not query.startswith("recipient"):
        assert made.reference in answer.text


def test_months_stand_as_a_drawing_and_as_a_table(visitor: Visitor, world: World) -> None:
    at = datetime.now(UTC)
    keep(
        world,
        [
            told(world, visitor, at),
            told(world, visitor, at),
            told(world, visitor, at, result="refused", reason="x"),
        ],
    )
    page = visitor.page(f"{HISTORY}?lang=en")
    month = (at + timedelta(hours=7)).strftime("%m/%Y")
    assert f"{month} 2 1" in page.words
    bars = [given for tag, given in page.tags if tag == "rect"]
    assert [(bar["height"], bar["fill"]) for bar in bars] == [("53", "currentColor"), ("26", "none")]
    assert [tag for tag, _ in page.tags if tag in ("script", "style")] == []


def test_a_source_that_is_down_leaves_what_names_the_account(
    visitor: Visitor, world: World, local: InProcessCaller, person: SyntheticPerson
) -> None:
    made = told(world, visitor, datetime.now(UTC), result="error", reason="source_unavailable")
    keep(world, [made])
    released = check(local, world, person)
    with pytest.MonkeyPatch.context() as patch:

        def away(*_given: object) -> None:
            raise SourceUnavailable("away")

        patch.setattr(InsuranceSource, "_fetch", away)
        page = visitor.page(f"{HISTORY}?lang=en").words
    assert "The insurance database does not answer now, so this list is not complete." in page
    assert made.reference in page
    assert released not in page


def test_an_organisations_name_is_words_and_never_a_page(visitor: Visitor, world: World) -> None:
    organisation = f"clinic-{secrets.token_hex(4)}"
    world.clients.register_organisation(
        Organisation(organisation_id=organisation, kind="hospital", name_vi=ATTACK, name_en=ATTACK)
    )
    made = told(world, visitor, datetime.now(UTC), recipient=organisation)
    keep(world, [made])
    for path in (HISTORY, f"{COMPLAINTS}/new?reference={made.reference}"):
        page = visitor.page(path)
        assert ATTACK in page.words
        assert [tag for tag, given in page.tags if tag in ("script", "b") or "onclick" in given] == []


def test_my_record_is_shown_with_words_and_the_look_stands_in_the_history(
    visitor: Visitor, person: SyntheticPerson
) -> None:
    assert person.personal_id not in visitor.get(RECORD).text
    form = visitor.form(RECORD, RECORD)
    shown = visitor.post(RECORD, form.fields)
    assert shown.status_code == 200
    words = Text(shown.text).words
    assert person.full_name in words
    assert person.personal_id in words
    assert {"day": f"{person.birth_date:%d/%m/%Y}", "month": f"{person.birth_date:%m/%Y}"}.get(
        person.birth_precision, f"{person.birth_date:%Y}"
    ) in words
    card = person.cards[0]
    assert f"{card.valid_to:%d/%m/%Y}" in words
    reference = re.search(r"<code>([0-9a-f-]{36})</code>", shown.text)
    assert reference is not None
    history = visitor.page(f"{HISTORY}?lang=en").words
    assert reference[1] in history
    assert "You yourself" in history
    assert shown.headers["Cache-Control"] == "no-store"


def test_my_record_needs_level_two(app: Flask, world: World, person: SyntheticPerson) -> None:
    weak = signed_in(app, world, person.personal_id, level=1)
    assert [form for form in ("token",) if f'name="{form}"' in weak.get(RECORD).text.split("<main")[1]] == []
    token = signed_in(app, world, person.personal_id, citizen_id=weak.citizen_id).form(RECORD, RECORD).fields
    refused = weak.post(RECORD, token)
    assert refused.status_code == 403
    assert person.personal_id not in refused.text


@pytest.mark.parametrize("path", [RECORD, f"{COMPLAINTS}/new"])
@pytest.mark.parametrize("forgery", ["no token", "another browser's", "another site's"])
def test_a_form_that_did_not_stand_on_the_page_does_nothing(
    app: Flask, visitor: Visitor, world: World, person: SyntheticPerson, path: str, forgery: str
) -> None:
    made = told(world, visitor, datetime.now(UTC))
    keep(world, [made])
    shown = f"{path}?reference={made.reference}"
    other = signed_in(app, world, person.personal_id, citizen_id=visitor.citizen_id)
    form = (other if forgery == "another browser's" else visitor).form(shown, path)
    fields = {**form.fields, "text": "sai"}
    if forgery == "no token":
        del fields["token"]
    site = {"Sec-Fetch-Site": "cross-site"} if forgery == "another site's" else {}
    answer = visitor.http.post(path, data=fields, base_url=visitor.issuer, headers=site)
    assert answer.status_code == 403
    assert person.full_name not in answer.text
    assert world.count("complaints", "citizen_id = CAST(:one AS uuid)", one=visitor.citizen_id) == 0


def test_a_complaint_is_kept_once_and_listed_with_its_day(visitor: Visitor, world: World) -> None:
    made = told(world, visitor, datetime.now(UTC))
    keep(world, [made])
    path = f"{COMPLAINTS}/new"
    form = visitor.form(f"{path}?reference={made.reference}", path)
    fields = {**form.fields, "text": f"Tôi không biết nơi này.\r\n{ATTACK}"}
    for _ in range(2):
        answer = visitor.post(path, fields)
        assert (answer.status_code, answer.headers["Location"]) == (303, f"{COMPLAINTS}?lang=vi")
    page = visitor.page(COMPLAINTS)
    assert page.words.count("Khiếu nại số") == 1
    assert f"Tôi không biết nơi này. {ATTACK}" in page.words
    assert [tag for tag, given in page.tags if tag in ("script", "b") or "onclick" in given] == []
    assert re.search(r"Được xác nhận chậm nhất vào ngày \d\d/\d\d/20\d\d", page.words)
    assert "đã nhận" in page.words


@pytest.mark.parametrize(
    ("text", "told_"),
    [("  ", "Write what is wrong."), ("a" * 2001, "more than 2000"), ("a\x00", "cannot be read")],
)
def test_a_complaint_without_usable_words_is_asked_again(
    visitor: Visitor, world: World, text: str, told_: str
) -> None:
    made = told(world, visitor, datetime.now(UTC))
    keep(world, [made])
    path = f"{COMPLAINTS}/new"
    form = visitor.form(f"{path}?reference={made.reference}&lang=en", path)
    answer = visitor.post(path, {**form.fields, "text": text})
    assert answer.status_code == 422
    assert told_ in Text(answer.text).words
    assert visitor.page(f"{COMPLAINTS}?lang=en").words.count("Complaint ") == 0


def test_complaints_are_ones_own_only(app: Flask, visitor: Visitor, world: World) -> None:
    made = told(world, visitor, datetime.now(UTC))
    keep(world, [made])
    path = f"{COMPLAINTS}/new"
    form = visitor.form(f"{path}?reference={made.reference}", path)
    visitor.post(path, {**form.fields, "text": "Chỉ tôi đọc"})
    other = signed_in(app, world, world.unseen_person().personal_id)
    assert "Chỉ tôi đọc" not in other.get(COMPLAINTS).text
    stolen = other.post(path, {**form.fields, "text": "không phải của tôi"})
    assert stolen.status_code == 404


def test_while_the_source_is_away_nobody_is_told_that_the_own_row_is_anothers(
    visitor: Visitor, world: World, local: InProcessCaller, person: SyntheticPerson
) -> None:
    named = told(world, visitor, datetime.now(UTC))
    keep(world, [named])
    released, path = check(local, world, person), f"{COMPLAINTS}/new"
    form = visitor.form(f"{path}?reference={released}&lang=en", path)
    fields = {**form.fields, "text": "I was not there."}
    with pytest.MonkeyPatch.context() as patch:

        def away(*_given: object) -> None:
            raise SourceUnavailable("away")

        patch.setattr(InsuranceSource, "_fetch", away)
        nobodys = visitor.get(f"{path}?reference={uuid4()}&lang=en")
        for answer in (visitor.get(f"{path}?reference={released}&lang=en"), visitor.post(path, fields)):
            assert (answer.status_code, "Retry-After" in answer.headers) == (503, True)
            assert answer.text == nobodys.text
        assert visitor.get(f"{path}?reference={named.reference}").status_code == 200
    assert "I was not there." not in visitor.page(COMPLAINTS).words
    assert visitor.post(path, fields).status_code == 303
    assert "I was not there." in visitor.page(COMPLAINTS).words


def test_the_source_is_asked_once_for_one_complaint(
    visitor: Visitor, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = told(world, visitor, datetime.now(UTC))
    keep(world, [made])
    form = visitor.form(f"{COMPLAINTS}/new?reference={made.reference}", f"{COMPLAINTS}/new")
    asked: list[object] = []
    fetch = InsuranceSource.fetch

    def counted(*given: Any, **more: Any) -> Any:
        asked.append(given)
        return fetch(*given, **more)

    monkeypatch.setattr(InsuranceSource, "fetch", counted)
    answer = visitor.post(f"{COMPLAINTS}/new", {**form.fields, "text": "Tôi không biết nơi này."})
    assert (answer.status_code, len(asked)) == (303, 1)


def test_every_page_keeps_the_browser_strict(visitor: Visitor) -> None:
    for path in (HISTORY, RECORD, COMPLAINTS):
        answer = visitor.get(path)
        assert "script-src" not in answer.headers["Content-Security-Policy"]
        assert answer.headers["Content-Security-Policy"].startswith("default-src 'none'")
        assert "style=" not in answer.text
        assert answer.headers["Cache-Control"] == "no-store"
