"""The rows that tell what a consent would mean, why each field is asked, and the hash of what was shown."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
import rfc8785

from broker.consent.record import Consent, DataRange, Frequency, Notice, Period
from broker.consent.terms import AskedTerms, terms_of
from consent_ui.asked import content_of, requested_view
from consent_ui.consent_presenting import consent_view
from consent_ui.form_tokens import FormTokens
from consent_ui.form_words import form_in_words, released_in_words
from consent_ui.notices import NOTICE_VERSION, hash_of_shown, notice_of
from consent_ui.terms_words import ShownTerms, range_in_words, term_rows, why_of
from consent_ui.words import LANGUAGES, WORDS, Words
from policies.model import FieldRelease, Form, Value
from tests.citizen_world import shipped_policies

POLICIES = shipped_policies()
TABLE = POLICIES.tables["bank_income_proof"]
AT = datetime(2026, 11, 22, 3, 0, tzinfo=UTC)
VI, EN = Words("vi"), Words("en")
ALL = ShownTerms(
    valid_days=90,
    until=date(2027, 2, 20),
    retention_days=60,
    mode="store",
    data_range=DataRange(date(2026, 1, 1), date(2026, 6, 30)),
    frequency=Frequency(2, "week"),
)


def rows(terms: ShownTerms, words: Words = EN, **changes: Any) -> dict[str, str]:
    table = changes.get("table", TABLE)
    return dict(term_rows(terms, table, "Trial Bank", POLICIES, words))


def consent(**changes: Any) -> Consent:
    terms = terms_of(
        POLICIES,
        "bank_income_proof",
        AskedTerms(
            purpose="prove_income",
            field_names=["salary_base", "si_status"],
            required_names=["salary_base"],
            mode="store",
            frequency=Frequency(3, "month"),
            message={"vi": "Để xét khoản vay", "en": "For the loan"},
        ),
        AT.date(),
    )
    return replace(
        Consent(
            consent_id="01a",
            request_id="01b",
            client_id="bank-app",
            organisation_id="bank-1",
            citizen_id="me",
            subject="s",
            terms=terms,
            state="requested",
            state_reason="",
            state_since_at=AT,
            version=1,
            requested_at=AT,
            request_expires_at=AT + timedelta(days=7),
        ),
        **changes,
    )


class TestRows:
    def test_all_that_is_asked_is_told(self) -> None:
        told = rows(ALL)
        assert list(told) == [
            "May be read for at most", "How often it may be read", "Data of which time",
            "What they may do with it", "They may keep it for at most", "Afterwards", "Who else sees it",
            "What harm may come of it", "Legal basis", "Under the agreement", "Withdrawing",
        ]  # fmt: skip
        assert told["May be read for at most"] == "90 days, until 20/02/2027"
        assert told["How often it may be read"] == "at most 2 times a week"
        assert told["Data of which time"] == "from 01/01/2026 to 30/06/2026"
        assert told["What they may do with it"] == "store a copy in their systems"
        assert told["They may keep it for at most"] == "60 days after receipt, then must delete it"
        assert told["Who else sees it"].startswith("Nobody else.")
        assert told["What harm may come of it"].startswith("The bank may refuse the loan")
        assert told["Legal basis"].startswith("The data subject consented (")
        assert "Trial Bank is told to stop using and to delete" in told["Withdrawing"]

    @pytest.mark.parametrize("language", LANGUAGES)
    def test_what_the_agreement_tells_is_told_in_the_language_of_the_page(self, language: str) -> None:
        words, told = Words(language), TABLE.agreement.told
        assert told is not None
        shown = rows(ALL, words)
        assert shown[words("terms_afterwards")] == told.afterwards[words.index]
        assert shown[words("terms_who_else")] == told.who_else[words.index]
        assert shown[words("terms_harm")] == told.harm[words.index]

    def test_where_nothing_is_said_of_how_often_the_limit_of_the_agreement_is(self) -> None:
        told = rows(ShownTerms(valid_days=1, until=None, retention_days=1))
        assert told["How often it may be read"] == "when needed, 3 times a day at most"
        assert told["May be read for at most"] == "1 day from when you agree"
        assert told["What they may do with it"].endswith("not copy it into other databases")

    def test_an_agreement_that_is_gone_leaves_what_the_consent_itself_says(self) -> None:
        told = rows(ALL, table=None)
        assert told["How often it may be read"] == "at most 2 times a week"
        assert rows(replace(ALL, frequency=None), table=None)["How often it may be read"].startswith(
            "repeatedly"
        )
        assert "Who else sees it" not in told
        assert told["Legal basis"] == "The data subject consented"

    @pytest.mark.parametrize("per", ["day", "week", "month", "consent"])
    def test_every_period_has_words(self, per: Period) -> None:
        assert "5" in rows(replace(ALL, frequency=Frequency(5, per)), VI)[VI("terms_often")]

    @pytest.mark.parametrize(
        ("days", "told"),
        [
            (None, "any time, unless an item below says less"),
            (DataRange(None, None), "any time, unless an item below says less"),
            (DataRange(date(2026, 1, 31), None), "from 31/01/2026 on"),
            (DataRange(None, date(2026, 1, 31)), "until 31/01/2026"),
        ],
    )
    def test_ranges(self, days: DataRange | None, told: str) -> None:
        assert range_in_words(days, EN) == told


class TestWhy:
    @pytest.mark.parametrize("language", LANGUAGES)
    def test_every_field_that_citizens_are_asked_for_has_its_reason(self, language: str) -> None:
        words = Words(language)
        told = {name: why_of(name, TABLE, words) for name in TABLE.permitted}
        assert all(told.values())
        [rule] = [rule for rule in TABLE.agreement.rules if "salary_base" in rule.fields]
        assert told["salary_base"] == (rule.why_vi, rule.why)[words.index]

    def test_nothing_is_made_up(self) -> None:
        assert why_of("ethnicity", TABLE, EN) == why_of("salary_base", None, EN) == ""


class TestForms:
    @pytest.mark.parametrize(
        ("form", "told"),
        [
            (
                Form("predicate", (("operator", "in_range"), ("to_field", "valid_to"))),
                "yes or no to one question: from this day to “Card valid to”",
            ),
            (Form("predicate", (("operator", ">="), ("threshold", 5))), "yes or no to one question (>= 5)"),
            (Form("latest", (("by", "card_issued_at"),)), "the newest row's value, by the newest “{field}”"),
            (Form("parent_code", (("digits", 2),)), "the code of what it lies in (the first 2 digits)"),
            (Form("masked_keep_first", (("keep", 3),)), "masked but for the first characters (3 characters)"),
        ],
    )
    def test_what_a_form_is_given_is_told_with_it(self, form: Form, told: str) -> None:
        catalogue = POLICIES.catalogue
        told = told.replace("Card valid to", catalogue.fields["valid_to"].label_en)
        told = told.replace("{field}", catalogue.fields["card_issued_at"].label_en)
        assert form_in_words(FieldRelease("valid_from", form), TABLE, catalogue, EN) == told

    @pytest.mark.parametrize(
        ("name", "form", "value", "told"),
        [
            ("salary_base", "amount_band", "10000000-14999999", "10.000.000-14.999.999"),
            ("salary_base", "amount_band", ">=46800000", ">=46.800.000"),
            ("contribution_from", "year_month", "2026-03", "03/2026"),
            ("contribution_from", "year_month", "2026", "2026"),
            ("birth_date", "year", 1990, "1990"),
            ("first_contribution_month", "months_since", 118, "118"),
            ("employer_tax_code", "present", True, "có"),
            ("employer_tax_code", "present", False, "không"),
            ("salary_base", "value", 12345678, "12.345.678\u00a0₫"),
            ("si_status", "value", None, ""),
            ("salary_base", "amount_band", None, ""),
        ],
    )
    def test_values_are_told_in_the_form_that_leaves(
        self, name: str, form: str, value: Value, told: str
    ) -> None:
        assert released_in_words(name, form, value, POLICIES.catalogue, VI).lower() == told


class TestTheHash:
    def test_whoever_has_the_words_can_make_it_again(self) -> None:
        view = consent_view(consent(), ("Ngân hàng", "Bank"), POLICIES, VI, "me", AT)
        asked = requested_view(consent(), ("Ngân hàng", "Bank"), POLICIES, VI)
        content = {
            **content_of(asked),
            "state": "requested",
            "state_words": VI("consents_state_requested"),
            "until": "10:00 29/11/2026",
            "may_decide": True,
            "can": [],
            "lengths": [
                {"days": 7, "label": "7 ngày"},
                {"days": 1, "label": "1 ngày"},
            ],
            "asked_range": None,
        }
        document = {"page": "consent", "version": NOTICE_VERSION, "language": "vi", "content": content}
        assert view.fingerprint == hashlib.sha256(rfc8785.dumps(plain(document))).hexdigest()
        told = content["terms"]
        assert len(told) == 11
        assert all(WORDS[key][0] in dict(told) for key in ("terms_mode", "terms_range", "terms_harm"))

    @pytest.mark.parametrize(
        "change",
        [
            {"version": 2},
            {"state": "pending_cosign"},
            {"terms": replace(consent().terms, mode="view")},
            {"terms": replace(consent().terms, frequency=None)},
            {"terms": replace(consent().terms, retention_days=3)},
            {"terms": replace(consent().terms, data_range=DataRange(None, date(2026, 1, 1)))},
            {"terms": replace(consent().terms, message=(("vi", "khác"),))},
            {"terms": replace(consent().terms, fields=consent().terms.fields[:1])},
        ],
    )
    def test_whatever_is_told_differently_has_another(self, change: dict[str, Any]) -> None:
        names = ("Ngân hàng", "Bank")
        one, other = (
            consent_view(each, names, POLICIES, VI, "me", AT) for each in (consent(), consent(**change))
        )
        assert one.fingerprint != other.fingerprint

    def test_the_language_and_the_agreements_words_count(self) -> None:
        assert hash_of_shown("consent", {}, VI) != hash_of_shown("consent", {}, EN)
        assert hash_of_shown("consent", {}, VI) != hash_of_shown("child", {}, VI)
        told = TABLE.agreement.told
        assert told is not None
        agreement = replace(TABLE.agreement, told=replace(told, harm=("khác", "other")))
        other = replace(
            POLICIES, tables={**POLICIES.tables, agreement.id: replace(TABLE, agreement=agreement)}
        )
        names = ("Ngân hàng", "Bank")
        before, after = (consent_view(consent(), names, one, VI, "me", AT) for one in (POLICIES, other))
        assert before.fingerprint != after.fingerprint

    def test_the_notice_says_when_it_was_shown(self) -> None:
        assert notice_of("a" * 64, EN, AT) == Notice(
            version=NOTICE_VERSION, language="en", rendered_hash="a" * 64, served_at=AT
        )


class TestWhenAPageWasShown:
    tokens = FormTokens(b"k" * 32)

    def test_a_good_token_says_it_to_the_second(self) -> None:
        token = self.tokens.token("cookie", "page", AT + timedelta(microseconds=900_000))
        shown_at = self.tokens.made_at(token, "cookie", "page", AT + timedelta(minutes=4))
        assert shown_at == AT

    def test_it_is_never_later_than_the_answer(self) -> None:
        token = self.tokens.token("cookie", "page", AT + timedelta(seconds=1))
        assert self.tokens.made_at(token, "cookie", "page", AT) == AT

    @pytest.mark.parametrize(
        ("cookie", "page", "seconds"),
        [("other", "page", 0), ("cookie", "other", 0), ("", "page", 0), ("cookie", "page", 1801)],
    )
    def test_another_token_says_nothing(self, cookie: str, page: str, seconds: int) -> None:
        token = self.tokens.token("cookie", "page", AT)
        assert self.tokens.made_at(token, cookie, page, AT + timedelta(seconds=seconds)) is None


def plain(value: Any) -> Any:
    """Return lists for tuples: the reference encoder takes no tuple."""
    if isinstance(value, dict):
        return {name: plain(member) for name, member in value.items()}
    return [plain(one) for one in value] if isinstance(value, list | tuple) else value
