"""Numbers as presented at a desk: which are read, how they are looked up, and what of a QR text is kept."""

from __future__ import annotations

import pytest

from broker.actions.card_numbers import CardNumber, NumberMalformed, parse_card_number, parse_personal_id

QR = "001090123456|012345678|Nguyễn Văn A|01011990|Nam|Số 1, Hà Nội|01012021"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("7912345678", CardNumber("si_number", "7912345678", "7912345678", "")),
        ("001090123456", CardNumber("personal_id", "001090123456", "001090123456", "")),
        ("GD4797912345678", CardNumber("hi_card", "GD4797912345678", "GD4797912345678", "GD479")),
        ("gd4797912345678", CardNumber("hi_card", "GD4797912345678", "GD4797912345678", "GD479")),
        (" GD 4 79 79 1234 5678\t", CardNumber("hi_card", "GD4797912345678", "GD4797912345678", "GD479")),
        ("0010 9012 3456", CardNumber("personal_id", "001090123456", "001090123456", "")),
        ("TE1010000000000", CardNumber("hi_card", "TE1010000000000", "TE1010000000000", "TE101")),
    ],
)
def test_a_number_is_read_in_each_of_its_three_lengths(text: str, expected: CardNumber) -> None:
    assert parse_card_number(text) == expected


def test_of_a_qr_text_only_the_id_is_kept() -> None:
    assert parse_card_number(QR) == CardNumber("personal_id", "001090123456", "001090123456", "")
    assert parse_card_number(f"\n{QR}|more|parts\r\n") == parse_card_number("001090123456")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "   ",
        "791234567",
        "79123456789",
        "0010901234567",
        "00109012345a",
        "GD0797912345678",
        "GD6797912345678",
        "G14797912345678",
        "GDX797912345678",
        "GD479791234567",
        "GD47979123456789",
        "ĐĐ4797912345678",
        "٧٩١٢٣٤٥٦٧٨",
        "7912345678;DROP",
        "7912345678\x00",
        "001090123456|012345678",
        "0010901234|012345678|A|01011990|Nam|X|01012021",
        "|012345678|A|01011990|Nam|X|01012021",
        "||||||",
    ],
)
def test_everything_else_is_malformed_and_not_repeated(text: str) -> None:
    with pytest.raises(NumberMalformed) as malformed:
        parse_card_number(text)
    assert not text.strip() or text.strip() not in str(malformed.value)


def test_a_personal_id_has_twelve_digits() -> None:
    assert parse_personal_id(" 001090 123456 ").lookup_value == "001090123456"
    for text in ("7912345678", "GD4797912345678", "00109012345", "0010901234567", QR, "٠٠١٠٩٠١٢٣٤٥٦"):
        with pytest.raises(NumberMalformed):
            parse_personal_id(text)
