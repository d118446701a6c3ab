"""Receipts on paper: one page, its words, its tags, what is attached, and always the same bytes."""

from __future__ import annotations

import unicodedata
from dataclasses import replace
from datetime import datetime
from io import BytesIO
from typing import Any

import pytest
from pypdf import PdfReader

from broker.consent.receipts import receipt_payload
from broker.consent.record import AskedField, Consent, EventType
from consent_ui.receipt_pdf import receipt_pdf
from consent_ui.receipt_reading import ReceiptUnreadable, ReceiptView, read_receipt
from consent_ui.words import LANGUAGES, Words
from tests.citizen_world import shipped_policies
from tests.receipt_world import (
    AT,
    BANK_EN,
    BANK_VI,
    WITH_LIMITS,
    every_event,
    given,
    names_of,
    naming,
    payload,
    terms,
)

CASES = list(every_event())
EVENTS = pytest.mark.parametrize(
    ("event", "consent", "before", "at"), CASES, ids=[event for event, *_ in CASES]
)
RECEIPT_ID = "0197d2f0-0000-7000-8000-000000000001"
JWS = "eyJhbGciOiJFUzI1NiJ9." + "A" * 9000 + "." + "B" * 86


def view(
    event: EventType, consent: Consent, before: Consent | None, at: datetime, language: str = "vi"
) -> ReceiptView:
    return read_receipt(payload(event, consent, before, at, RECEIPT_ID), Words(language))


def words_of(pdf: bytes) -> str:
    """Return the text of the page as a reader takes it out, in one line."""
    [page] = PdfReader(BytesIO(pdf)).pages
    return unicodedata.normalize("NFC", " ".join(page.extract_text().split()))


def squeezed(text: str) -> str:
    """A long word may stand on two lines."""
    return "".join(text.split())


@EVENTS
@pytest.mark.parametrize("language", LANGUAGES)
def test_every_word_of_a_receipt_can_be_read_from_its_one_page(
    event: EventType, consent: Consent, before: Consent | None, at: datetime, language: str
) -> None:
    shown = view(event, consent, before, at, language)
    told = squeezed(words_of(receipt_pdf(shown, JWS)))
    wanted = [shown.title, shown.statement, shown.withdraw, shown.rights, shown.check_address]
    wanted += [part for row in (*shown.rows, *shown.proofs) for part in row]
    wanted += [part for field in (*shown.fields, *shown.barred) for part in (field.label, field.form)]
    wanted += shown.difference
    assert [text for text in wanted if squeezed(text) not in told] == []
    assert squeezed({"vi": BANK_VI, "en": BANK_EN}[language]) in told


@EVENTS
def test_a_receipt_has_the_same_bytes_each_time(
    event: EventType, consent: Consent, before: Consent | None, at: datetime
) -> None:
    shown = view(event, consent, before, at)
    assert receipt_pdf(shown, JWS) == receipt_pdf(shown, JWS)


def test_what_is_given_and_what_is_not_stand_under_their_headings() -> None:
    told = words_of(receipt_pdf(view("partially_given", given(None, "salary_base").consent, None, AT), JWS))
    first, second = told.index("Dữ liệu được đọc"), told.index("Dữ liệu không được đọc")
    assert first < told.index("Tiền lương làm căn cứ đóng") < second < told.index("Đóng từ tháng")
    assert "Tình trạng tham gia (nhạy cảm)" in told


def test_the_signed_original_is_attached_as_it_is() -> None:
    pdf = receipt_pdf(view("given", given().consent, None, AT), JWS)
    attached = PdfReader(BytesIO(pdf)).attachments
    assert {name: list(contents) for name, contents in attached.items()} == {
        f"{RECEIPT_ID}.jws": [JWS.encode()]
    }
    assert JWS.encode() in pdf


def test_the_document_says_its_language_title_and_kind() -> None:
    reader = PdfReader(BytesIO(receipt_pdf(view("given", given().consent, None, AT), JWS)))
    catalogue: Any = reader.trailer["/Root"]
    assert catalogue["/Lang"] == "vi"
    assert catalogue["/ViewerPreferences"]["/DisplayDocTitle"]
    described = reader.xmp_metadata
    assert described is not None
    assert described.dc_title == {"x-default": "Biên nhận về sự đồng ý: Bạn đã đồng ý"}
    assert described.xmp_create_date == AT.replace(tzinfo=None)
    assert (described.pdfaid_part, described.pdfaid_conformance) == ("3", "U")


def test_all_that_is_drawn_is_tagged_or_an_artifact() -> None:
    reader = PdfReader(BytesIO(receipt_pdf(view("given", given().consent, None, AT), JWS)))
    catalogue: Any = reader.trailer["/Root"]
    assert catalogue["/MarkInfo"]["/Marked"]
    document = catalogue["/StructTreeRoot"]["/K"][0].get_object()
    elements = [one.get_object() for one in document["/K"]]
    kinds = [element["/S"] for element in elements]
    assert kinds.count("/H1") == 1
    assert kinds.count("/H2") == 1
    assert set(kinds) == {"/H1", "/H2", "/P", "/Figure"}
    [figure] = [element for element in elements if element["/S"] == "/Figure"]
    assert figure["/Alt"] == "Mã QR dẫn đến trang kiểm tra biên nhận"
    [page] = reader.pages
    drawn: Any = page.get_contents()
    depth, outside = 0, []
    for operands, operator in drawn.operations:
        depth += (operator in (b"BDC", b"BMC")) - (operator == b"EMC")
        if operator in (b"Tj", b"TJ", b"re", b"S") and not depth:
            outside.append((operands, operator))
    assert (depth, outside) == (0, [])


def test_a_font_with_every_vietnamese_letter_is_embedded() -> None:
    reader = PdfReader(BytesIO(receipt_pdf(view("given", given().consent, None, AT), JWS)))
    [page] = reader.pages
    fonts: Any = page["/Resources"]
    assert len(fonts["/Font"]) >= 1
    for font in fonts["/Font"].values():
        descriptor = font["/DescendantFonts"][0]["/FontDescriptor"]
        assert "BeVietnamPro" in descriptor["/FontName"]
        assert len(descriptor["/FontFile2"].get_data()) > 1000


def test_many_fields_make_the_words_smaller_and_not_the_page_longer() -> None:
    names = [name for name, field in shipped_policies().catalogue.fields.items() if field.held][:40]
    asked = terms(fields=tuple(AskedField(name, "value", name == names[0], False) for name in names))
    shown = view("given", given(asked).consent, None, AT)
    told = squeezed(words_of(receipt_pdf(shown, JWS)))
    assert [field.label for field in shown.fields if squeezed(field.label) not in told] == []
    assert len(shown.fields) == 40


def test_marks_in_a_name_are_taken_for_letters() -> None:
    names = replace(names_of(consent := given().consent), purpose=("**Vay** __vốn__ --", "x"))
    shown = read_receipt(receipt_payload(consent, "given", names, RECEIPT_ID, AT, "evidence"), Words("vi"))
    assert "* *Vay* * _ _vốn_ _ - -" in words_of(receipt_pdf(shown, JWS))


def test_a_change_of_range_and_keeping_is_told_in_words() -> None:
    before = given(None, "salary_base").consent
    after = given(terms(retention_days=90, data_range=WITH_LIMITS["data_range"])).consent
    after = replace(after, supersedes=before.consent_id)
    signed = receipt_payload(after, "amended", naming().names_of(after), RECEIPT_ID, AT, "e", before)
    assert read_receipt(signed, Words("en")).difference == (
        "Added: Contribution from, Contribution to, Participation status",
        "Days kept: was 180, now 90",
        "Time that the data speak of: was without bound, now 2025-01-01 – …",
    )


@pytest.mark.parametrize("member", ["receipt_27560", "issued_at", "difference", "record_hash"])
def test_what_is_no_receipt_is_refused(member: str) -> None:
    signed = payload("given", given().consent, None, AT)
    del signed[member]
    with pytest.raises(ReceiptUnreadable, match="no receipt that can be shown"):
        read_receipt(signed, Words("vi"))
