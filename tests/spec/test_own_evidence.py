"""A person takes an entry about oneself along, with all that somebody else needs to check it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from click.testing import CliRunner
from werkzeug.test import TestResponse

from broker.cli import main
from broker.cli.embedded import EmbeddedCluster
from broker.cli.evidence_options import DOES_NOT_HOLD
from broker.evidence.evidence_file import parse_evidence_file
from tests.citizen_world import Forms
from tests.contracts.source_fixtures import InsuranceDatabase
from tests.doors import wait_until
from tests.e2e.pages import PagesBrowser, PagesWorld, pages_world
from tests.release_world import World
from tests.served_log import ServedLog, served_log
from tests.spec.test_own_looks import hours_begun, looks_of

ISSUER = "https://evidence.example"
HISTORY = "/citizen/history"


@pytest.fixture(scope="module")
def log(cluster: EmbeddedCluster, world: World, tmp_path_factory: pytest.TempPathFactory) -> ServedLog:
    return served_log(cluster, world, tmp_path_factory.mktemp("log"), ISSUER)


@pytest.fixture(scope="module")
def pages(world: World, insurance: InsuranceDatabase, log: ServedLog) -> Iterator[PagesWorld]:
    with pages_world(world, insurance, ISSUER, log.settings.log_directory) as made:
        yield made


@dataclass
class Read:
    """Somebody of whom a bank has just read what was given. answer: the bytes that it got."""

    browser: PagesBrowser
    reference: str
    answer: bytes
    personal_id: str
    citizen_id: str

    def page(self, language: str = "en") -> TestResponse:
        return self.browser.get(f"{HISTORY}/{self.reference}/evidence?lang={language}")

    def file(self) -> TestResponse:
        return self.browser.get(f"{HISTORY}/{self.reference}/evidence.json?lang=en")


def read_by_a_bank(pages: PagesWorld) -> Read:
    citizen, browser, bank = pages.citizen(), pages.browser(), pages.bank()
    location = browser.decide(browser.sign_in(citizen, bank.push())).headers["Location"]
    tokens = bank.redeem(parse_qs(urlsplit(location).query)["code"][0]).json()
    answer = bank.read(tokens["access_token"])
    assert answer.status == 200, answer.body
    return Read(
        browser, answer.json()["evidence_reference"], answer.body, citizen.personal_id, citizen.citizen_id
    )


def verified(path: Path, *more: str) -> tuple[int, dict[str, str]]:
    """Check a file as a stranger does; return the exit code and how each check went."""
    words = ["evidence", "verify", str(path), "--json", *more]
    done = CliRunner().invoke(main, words, catch_exceptions=False)
    [told] = json.loads(done.output)
    return done.exit_code, {one["name"]: one["result"] for one in told["checks"]}


def test_while_it_waits_there_is_a_page_that_says_so_and_no_file(pages: PagesWorld) -> None:
    read = read_by_a_bank(pages)
    shown = read.page()
    assert shown.status_code == 200
    assert "not in the signed log yet" in shown.text
    assert "evidence.json" not in shown.text
    assert "chưa vào nhật ký đã ký" in read.page("vi").text
    refused = read.file()
    assert refused.status_code == 409
    assert refused.mimetype == "text/html"
    assert "not in the signed log yet" in refused.text
    assert refused.headers["Cache-Control"] == "no-store"


def test_from_the_history_to_a_file_that_anybody_can_check(
    pages: PagesWorld, log: ServedLog, tmp_path: Path
) -> None:
    read = read_by_a_bank(pages)
    log.order()
    history = read.browser.get(f"{HISTORY}?lang=en").text
    assert f'href="{HISTORY}/{read.reference}/evidence?lang=en"' in history
    shown = read.page()
    year = datetime.now(UTC).year
    key = log.key(year)
    assert f"of the log {log.origin(year)}" in shown.text
    assert key.vkey in shown.text.replace("&#43;", "+")
    assert "that the entry is about you" in shown.text
    assert f"<code>broker evidence verify {read.reference}.evidence.json</code>" in shown.text
    assert "<code>--vkey</code>" in shown.text
    [link] = re.findall(r'href="([^"]+evidence\.json[^"]*)" download="([^"]+)"', shown.text)
    assert link == (
        f"{HISTORY}/{read.reference}/evidence.json?lang=en",
        f"{read.reference}.evidence.json",
    )
    answer = read.browser.get(link[0])
    assert (answer.status_code, answer.mimetype) == (200, "application/json")
    assert answer.headers["Content-Disposition"] == f'attachment; filename="{link[1]}"'
    assert answer.headers["Cache-Control"] == "no-store"
    path = tmp_path / link[1]
    path.write_bytes(answer.data)
    code, checks = verified(path, "--vkey", key.vkey)
    assert code == 0
    assert checks["inclusion"] == checks["log_signature"] == checks["data_subject"] == "holds"
    assert checks["payload"] == "not_checked"


def test_the_answer_that_a_bank_kept_is_the_one_that_left(
    pages: PagesWorld, log: ServedLog, tmp_path: Path
) -> None:
    """The bank has the answer, the person has the salt: together they open what left, and nothing else."""
    read = read_by_a_bank(pages)
    log.order()
    path, kept = tmp_path / "mine.evidence.json", tmp_path / "answer"
    path.write_bytes(read.file().data)
    kept.write_bytes(read.answer)
    code, checks = verified(path, "--payload", str(kept))
    assert (code, checks["payload"]) == (0, "holds")
    kept.write_bytes(read.answer + b" ")
    code, checks = verified(path, "--payload", str(kept))
    assert (code, checks["payload"]) == (DOES_NOT_HOLD, "fails")


def test_the_file_names_the_person_by_no_number_of_hers(pages: PagesWorld, log: ServedLog) -> None:
    read = read_by_a_bank(pages)
    log.order()
    content = read.file().data
    file = parse_evidence_file(content)
    assert file.data_subject is not None
    assert file.data_subject.content
    assert file.payload is not None
    assert file.payload.content is None
    assert read.personal_id.encode() not in content


def test_a_page_that_brings_the_file_along_is_a_look_at_it_as_the_file_is(
    pages: PagesWorld, world: World, log: ServedLog
) -> None:
    begun, read = datetime.now(UTC), read_by_a_bank(pages)

    def taken() -> list[str]:
        return [one["entry"] for one in looks_of(world, read.citizen_id) if one["what"] == "evidence_file"]

    assert "not in the signed log yet" in read.page().text
    assert taken() == []
    log.order()
    assert "data-file" in read.page().text
    assert set(taken()) == {read.reference}
    assert read.file().status_code == 200
    assert set(taken()) == {read.reference}
    assert len(taken()) <= 1 + hours_begun(begun)


def test_ones_own_look_can_be_taken_along_too(pages: PagesWorld, log: ServedLog, tmp_path: Path) -> None:
    read = read_by_a_bank(pages)
    page = read.browser.get("/citizen/record?lang=en")
    [form] = [one for one in Forms(page.text).forms if "token" in one.fields and "sign-out" not in one.action]
    assert read.browser.post(form.action, form.fields).status_code == 200
    log.order()
    history = read.browser.get(f"{HISTORY}?lang=en").text
    addresses = re.findall(rf'href="({HISTORY}/[0-9a-f-]+/evidence)\?lang=en"', history)
    assert len(addresses) >= 2
    for at, address in enumerate(addresses):
        answer = read.browser.get(f"{address}.json")
        assert answer.status_code == 200, answer.text
        path = tmp_path / f"{at}.evidence.json"
        path.write_bytes(answer.data)
        code, checks = verified(path)
        assert (code, checks["data_subject"]) == (0, "holds")


def test_while_only_a_withdrawn_key_signed_it_the_page_says_so(pages: PagesWorld, log: ServedLog) -> None:
    read = read_by_a_bank(pages)
    log.order()
    year = datetime.now(UTC).year
    withdrawn = log.key(year)
    log.withdraw_key()
    # Workers look at the keys every half minute.
    wait_until(lambda: "has just been withdrawn" in read.page().text, "the server knows it", 120)
    assert "khóa ký nhật ký vừa bị thu hồi" in read.page("vi").text
    assert "data-file" not in read.page().text
    refused = read.file()
    assert refused.status_code == 503
    assert refused.headers["Retry-After"] == "30"
    assert refused.mimetype == "text/html"
    assert "has just been withdrawn" in refused.text
    log.order()
    file = parse_evidence_file(read.file().data)
    assert withdrawn not in file.log_keys
    assert log.key(year) in file.log_keys
    assert "data-file" in read.page().text


def test_who_is_not_signed_in_is_led_to_sign_in(pages: PagesWorld) -> None:
    for rule in ("evidence", "evidence.json"):
        answer = pages.browser().get(f"{HISTORY}/0193f0a0-0000-7000-8000-000000000002/{rule}")
        assert answer.status_code == 303
        assert answer.headers["Location"].startswith("/citizen/sign-in?")


@pytest.mark.parametrize("spelling", ["x", "0193f0a0", "0193f0a0-0000-7000-8000-00000000000g", "..%2f.."])
def test_what_is_no_reference_is_not_there(pages: PagesWorld, spelling: str) -> None:
    read = read_by_a_bank(pages)
    assert read.browser.get(f"{HISTORY}/{spelling}/evidence").status_code == 404


def test_where_no_log_is_kept_the_page_says_so(world: World, insurance: InsuranceDatabase) -> None:
    with pages_world(world, insurance, "https://no-log.example") as pages:
        read = read_by_a_bank(pages)
        assert "no public log is kept here" in read.page().text
        refused = read.file()
        assert refused.status_code == 409
        assert "no public log is kept here" in refused.text
