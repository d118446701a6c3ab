"""The parts of the citizen's pages that need no server: words, addresses, form tokens, forms in words."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from html import unescape
from pathlib import Path
from string import Formatter

import pytest
from werkzeug.datastructures import Headers

import consent_ui
from broker.oauth.authorization import AuthorizationRefused
from consent_ui.addresses import Addresses, handle_of, origin_of, request_ref_of
from consent_ui.blueprint import DecisionPage
from consent_ui.form_tokens import FormTokens, is_from_own_page
from consent_ui.form_words import form_in_words
from consent_ui.words import LANGUAGES, WORDS, Words, words_for
from policies.forms import FORMS
from tests.citizen_world import Forms, shipped_policies
from tests.house.project import ROOT

AT = datetime(2026, 11, 22, 3, 0, tzinfo=UTC)
PACKAGE = Path(consent_ui.__file__).parent
# Words that are the same in both languages, because they name the language itself.
_VIETNAMESE = re.compile("[àáâãèéêìíòóôõùúýăđĩũơưạ-ỹ]", re.IGNORECASE)


def names_in(text: str) -> set[str]:
    return {name for _, name, _, _ in Formatter().parse(text) if name is not None}


def said_by_scripts() -> set[str]:
    """Return the words that the check in the browser says: by their key, or by its beginning or end."""
    text = "\n".join(path.read_text("utf-8") for path in sorted(PACKAGE.glob("static/verify/*.js")))
    quoted = set(re.findall(r'"([a-z_]+)"', text))
    begun = tuple(re.findall(r"`([a-z_]+_)\$\{", text))
    ended = set(re.findall(r"`\$\{[a-z]+\}(_[a-z]+)`", text))
    said = {key: key.removeprefix("verify_js_") for key in WORDS if key.startswith("verify_js_")}
    return {
        key
        for key, one in said.items()
        if one in quoted or one.startswith(begun) or any(one.removesuffix(end) in quoted for end in ended)
    }


class TestWords:
    def test_every_entry_is_there_in_both_languages_and_filled_in_alike(self) -> None:
        for key, (vietnamese, english) in WORDS.items():
            assert vietnamese.strip() and english.strip(), key  # noqa: PT018
            assert names_in(vietnamese) == names_in(english), key

    def test_nothing_is_left_untranslated(self) -> None:
        same = {key for key, (vietnamese, english) in WORDS.items() if vietnamese == english}
        assert same == {"edges"}, "only a pattern without words may be the same"
        swapped = {"other_language"}
        english_with_marks = {key for key, (_, english) in WORDS.items() if _VIETNAMESE.search(english)}
        assert english_with_marks == swapped
        plain = {key for key, (vietnamese, _) in WORDS.items() if not _VIETNAMESE.search(vietnamese)}
        without_marks = {"value_sex_male", "representation_father", "verify_js_result_fails"}
        assert plain == {"edges", "other_language", *without_marks}

    def test_every_word_is_used_and_every_word_used_is_there(self) -> None:
        sources = [*PACKAGE.rglob("*.py"), *PACKAGE.rglob("*.html")]
        text = "\n".join(path.read_text("utf-8") for path in sources)
        used = set(re.findall(r"""\b(?:t|words)\(\s*"([a-z_]+)\"""", text))
        used |= set(re.findall(r"""self\("([a-z_]+)" if [a-z_= 0-9]+ else""", text))
        used |= set(re.findall(r"""self\("[a-z_]+" if [a-z_= 0-9]+ else "([a-z_]+)\"""", text))
        used |= set(re.findall(r"""\belse t\("([a-z_]+)"\)""", text))
        used |= set(re.findall(r"""words\(\s*"[a-z_]+" if [a-z_.]+ else "([a-z_]+)\"""", text))
        families = (
            *re.findall(r"""f"([a-z_]+_)\{""", text),
            *re.findall(r"""\("([a-z_]+_)" ~""", text),
            "fault_",
            "scope_",
        )
        computed = {key for key in WORDS if key.startswith(families)}
        # Keys that a view chooses among stand in the sources as plain text.
        computed |= {key for key in WORDS if f'"{key}"' in text}
        computed |= said_by_scripts()
        assert {key for key in used if not key.endswith("_")} - set(WORDS) == set()
        assert set(WORDS) - used - computed - {"fault_title"} == set()

    def test_no_template_speaks_for_itself(self) -> None:
        """Whatever stands between tags comes from the catalogue."""
        paths = sorted((PACKAGE / "templates").glob("*.html"))
        assert len(paths) > 10
        for path in paths:
            text = re.sub(
                r'{%.*?%}|{{.*?}}|<[^>]*>| [a-z-]+="[^"]*"', "", path.read_text("utf-8"), flags=re.DOTALL
            )
            assert not re.search(r"\w", text), path.name

    @pytest.mark.parametrize(
        ("asked", "ui_locales", "accept", "language"),
        [
            (None, "", "", "vi"),
            ("en", "vi", "vi", "en"),
            ("xx", "en-GB vi", "vi", "en"),
            (None, "fr vi-VN en", "en", "vi"),
            (None, "fr", "en-US,en;q=0.9", "en"),
            (None, "", "fr,en", "vi"),
            ("<script>", "", "", "vi"),
        ],
    )
    def test_vietnamese_unless_english_is_wanted_first(
        self, asked: str | None, ui_locales: str, accept: str, language: str
    ) -> None:
        assert words_for(asked, ui_locales, accept).language == language

    def test_one_day_is_a_day(self) -> None:
        assert [Words("en").days(count) for count in (1, 2, 3650)] == ["1 day", "2 days", "3,650 days"]

    def test_numbers_have_the_separators_of_the_language(self) -> None:
        assert [Words(language).number(46_800_000) for language in LANGUAGES] == ["46.800.000", "46,800,000"]

    def test_every_reason_of_the_authorization_server_has_words(self) -> None:
        paths = [*(ROOT / "broker/oauth").glob("authorization*.py"), ROOT / "broker/api/oauth.py"]
        text = "".join(path.read_text("utf-8") for path in paths)
        reasons = set(re.findall(r'AuthorizationRefused\("([a-z_]+)"\)', text))
        reasons |= set(re.findall(r'_page\(page, "([a-z_]+)"', text))
        assert len(reasons) >= 5
        assert {reason for reason in reasons if f"fault_{reason}" not in WORDS} == set()


class TestAddresses:
    def test_a_handle_is_the_reference_and_back(self) -> None:
        reference = bytes(range(224, 256))
        assert request_ref_of(handle_of(reference)) == reference
        assert re.fullmatch(r"[A-Za-z0-9_-]{43}", handle_of(reference))

    @pytest.mark.parametrize(
        "handle",
        [
            *("", "A", "A" * 42, "A" * 44, "A" * 42 + "B", "A" * 42 + "=", "A" * 42 + "\n"),
            *("+" * 43, "é" * 43, "https://evil.example/", "//evil.example/" + "A" * 28),
        ],
    )
    def test_nothing_else_is_a_handle(self, handle: str) -> None:
        assert request_ref_of(handle) is None

    def test_the_path_of_the_issuer_stands_before_every_path(self) -> None:
        addresses = Addresses("https://broker.example/vn")
        assert addresses.sign_in("h", "en") == "/vn/citizen/sign-in?next=h&lang=en"
        assert addresses.origin == "https://broker.example"
        assert (
            DecisionPage("https://broker.example/vn").address(bytes(32)) == f"/vn/citizen/requests/{'A' * 43}"
        )

    @pytest.mark.parametrize(
        ("url", "origin"),
        [
            ("https://bank.example/callback?a=1", "https://bank.example"),
            ("https://BANK.example:443/cb", "https://bank.example"),
            ("https://bank.example:8443/cb", "https://bank.example:8443"),
            ("http://127.0.0.1:50123/cb", "http://127.0.0.1:50123"),
            ("http://[::1]:50123/cb", "http://[::1]:50123"),
            ("com.example.app:/cb", "com.example.app:"),
        ],
    )
    def test_an_origin_is_what_a_policy_can_name(self, url: str, origin: str) -> None:
        assert origin_of(url) == origin


class TestFormTokens:
    tokens = FormTokens(bytes(32))

    def test_a_token_is_good_for_its_cookie_its_page_and_half_an_hour(self) -> None:
        token = self.tokens.token("cookie", "page", AT)
        assert self.tokens.is_good(token, "cookie", "page", AT)
        assert self.tokens.is_good(token, "cookie", "page", AT + timedelta(minutes=30))
        assert not self.tokens.is_good(token, "cookie", "page", AT + timedelta(minutes=30, seconds=1))
        assert not self.tokens.is_good(token, "cookie", "page", AT - timedelta(seconds=5))
        assert not self.tokens.is_good(token, "other", "page", AT)
        assert not self.tokens.is_good(token, "cookie", "other", AT)
        assert not self.tokens.is_good(token, "cooki", "epage", AT)
        assert not FormTokens(bytes([1]) * 32).is_good(token, "cookie", "page", AT)

    def test_no_cookie_is_no_browser(self) -> None:
        assert not self.tokens.is_good(self.tokens.token("", "page", AT), "", "page", AT)

    @pytest.mark.parametrize("token", ["", ".", "x.y", "e30.AAAA", "\ud800", "W10." + "A" * 43])
    def test_what_is_no_token_is_refused(self, token: str) -> None:
        assert not self.tokens.is_good(token, "cookie", "page", AT)

    def test_every_changed_character_is_found(self) -> None:
        token = self.tokens.token("cookie", "page", AT)
        for place in range(len(token) - 1):
            changed = token[:place] + ("A" if token[place] != "A" else "B") + token[place + 1 :]
            assert not self.tokens.is_good(changed, "cookie", "page", AT), place

    @pytest.mark.parametrize(
        ("headers", "is_own"),
        [
            ({}, True),
            ({"Sec-Fetch-Site": "same-origin", "Origin": "null"}, True),
            ({"Sec-Fetch-Site": "same-origin", "Origin": "https://broker.example"}, True),
            ({"Sec-Fetch-Site": "cross-site"}, False),
            ({"Sec-Fetch-Site": "same-site"}, False),
            ({"Sec-Fetch-Site": "none"}, False),
            ({"Origin": "https://evil.example"}, False),
            ({"Origin": "https://broker.example.evil.example"}, False),
            ({"Origin": "http://broker.example"}, False),
        ],
    )
    def test_what_a_browser_says_of_a_forms_origin_is_believed(
        self, headers: dict[str, str], is_own: bool
    ) -> None:
        assert is_from_own_page(Headers(headers), "https://broker.example") is is_own


class TestFormsInWords:
    policies = shipped_policies()

    @pytest.mark.parametrize("language", LANGUAGES)
    def test_every_release_of_every_shipped_agreement_can_be_said(self, language: str) -> None:
        words = Words(language)
        told = {
            form_in_words(release, table, self.policies.catalogue, words)
            for table in self.policies.tables.values()
            for release in table.permitted.values()
        }
        assert len(told) > 8
        assert not any("{" in one or "_" in one for one in told)

    def test_bands_are_named_with_both_ends(self) -> None:
        table = self.policies.tables["bank_income_proof"]
        told = form_in_words(table.permitted["salary_base"], table, self.policies.catalogue, Words("en"))
        assert told.startswith("a band of amounts: below 5,000,000, 5,000,000 to below 10,000,000, ")
        assert told.endswith("46,800,000 and above; the last 12 months only")

    def test_what_of_a_number_is_kept_is_told(self) -> None:
        table = self.policies.tables["citizen_own_record"]
        told = form_in_words(table.permitted["bank_account"], table, self.policies.catalogue, Words("en"))
        assert told == f"{FORMS['masked_keep_last'].label_en} (4 characters)"


class TestFaults:
    page = DecisionPage("https://broker.example")

    @pytest.mark.parametrize("vietnamese", [True, False])
    @pytest.mark.parametrize("reason", [key[6:] for key in WORDS if key.startswith("fault_")])
    def test_a_fault_is_a_whole_page_that_says_nothing_was_shared(
        self, reason: str, vietnamese: bool
    ) -> None:
        html = unescape(self.page.fault(reason, vietnamese))
        index = 0 if vietnamese else 1
        assert html.startswith(f'<!DOCTYPE html>\n<html lang="{LANGUAGES[index]}">')
        assert WORDS[f"fault_{reason}"][index] in html
        assert WORDS["nothing_shared"][index] in html
        assert Forms(html).forms == []

    def test_a_reason_without_words_says_less_and_is_never_printed(self) -> None:
        html = self.page.fault("<script>alert(1)</script>", vietnamese=False)
        assert "script" not in html
        assert WORDS["fault_request_unknown"][1] in html

    def test_the_authorization_servers_refusals_carry_a_reason(self) -> None:
        assert AuthorizationRefused("request_unknown").reason == "request_unknown"
