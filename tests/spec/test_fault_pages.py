"""Under the citizen's paths people read a page, in their language, also where no view has answered."""

from __future__ import annotations

from typing import Final

import pytest
from werkzeug.test import Client, TestResponse

from broker.errors import EvidenceUnavailable
from consent_ui.pages import GUARDS
from tests.oauth_flow import Flow

LANGUAGES: Final = {"vi": "vi,en;q=0.5", "en": "en-GB"}
NO_PAGE: Final = {"vi": "Không có trang này", "en": "There is no such page"}
NOT_THAT: Final = {"vi": "Trang này không làm được việc đó", "en": "This page cannot do that"}
TOO_MUCH: Final = {"vi": "Nội dung gửi lên quá lớn", "en": "Too much was sent"}
FAULT: Final = {"vi": "Hệ thống gặp lỗi", "en": "Something went wrong"}
BUSY: Final = {"vi": "Hệ thống đang bận", "en": "Busy at the moment"}

pytestmark = pytest.mark.parametrize("language", LANGUAGES)


@pytest.fixture
def browser(flow: Flow) -> Client:
    return flow.browser()


def is_page(answer: TestResponse, status: int, heading: str, language: str) -> None:
    """Check that an answer is a whole page of ours, with all that guards pages."""
    assert (answer.status_code, answer.mimetype) == (status, "text/html")
    assert answer.headers["Content-Language"] == language
    assert f'<html lang="{language}"' in answer.text
    assert f'<h1 class="govuk-heading-l">{heading}</h1>' in answer.text
    assert {name: answer.headers[name] for name in GUARDS} == dict(GUARDS)
    assert answer.headers["X-Request-Id"]


@pytest.mark.parametrize("path", ["/citizen/nowhere", "/citizen/consents/a/b/c", "/receipts", "/receipts/x"])
def test_there_is_no_such_page(browser: Client, flow: Flow, language: str, path: str) -> None:
    answer = browser.get(path, base_url=flow.world.issuer, headers={"Accept-Language": LANGUAGES[language]})
    is_page(answer, 404, NO_PAGE[language], language)
    assert 'href="/citizen/?lang=' + language in answer.text
    assert "nowhere" not in answer.text


def test_the_language_of_the_address_goes_before_the_browsers(
    browser: Client, flow: Flow, language: str
) -> None:
    other = next(one for one in LANGUAGES if one != language)
    answer = browser.get(
        f"/citizen/nowhere?lang={language}",
        base_url=flow.world.issuer,
        headers={"Accept-Language": LANGUAGES[other]},
    )
    is_page(answer, 404, NO_PAGE[language], language)


def test_a_page_cannot_do_that(browser: Client, flow: Flow, language: str) -> None:
    answer = browser.delete(f"/citizen/consents?lang={language}", base_url=flow.world.issuer)
    is_page(answer, 405, NOT_THAT[language], language)
    assert "POST" in answer.headers["Allow"].split(", ")


def test_too_much_was_sent(browser: Client, flow: Flow, language: str) -> None:
    answer = browser.post(
        f"/citizen/sign-in?lang={language}",
        data={"personal_id": "0" * 300_000},
        base_url=flow.world.issuer,
    )
    is_page(answer, 413, TOO_MUCH[language], language)


@pytest.mark.parametrize(
    ("fault", "status", "headings"),
    [(ValueError("salary_base=12"), 500, FAULT), (EvidenceUnavailable("the ledger"), 503, BUSY)],
)
def test_a_fault_is_told_in_words_and_says_nothing_of_itself(
    browser: Client,
    flow: Flow,
    monkeypatch: pytest.MonkeyPatch,
    language: str,
    fault: Exception,
    status: int,
    headings: dict[str, str],
) -> None:
    def fails(*_: object) -> None:
        raise fault

    monkeypatch.setattr("consent_ui.home.visitor", fails)
    answer = browser.get(f"/citizen/?lang={language}", base_url=flow.world.issuer)
    is_page(answer, status, headings[language], language)
    assert str(fault) not in answer.text
    if status == 500:
        assert answer.headers["X-Request-Id"] in answer.text
    else:
        assert int(answer.headers["Retry-After"]) >= 1


def test_a_program_gets_its_problem_document_as_before(browser: Client, flow: Flow, language: str) -> None:
    answer = browser.get(
        "/v1/nowhere", base_url=flow.world.issuer, headers={"Accept-Language": LANGUAGES[language]}
    )
    assert (answer.status_code, answer.mimetype) == (404, "application/problem+json")
    assert answer.get_json()["type"].endswith("/not-found")
