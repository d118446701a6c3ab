"""Do name and birth date fit the record?"""

from __future__ import annotations

import unicodedata
from datetime import date

import pytest

from broker.actions.person_match import (
    BirthDate,
    BirthDateMalformed,
    NameMatch,
    Precision,
    match_birth_dates,
    match_names,
    parse_birth_date,
)

TODAY = date(2026, 11, 22)


@pytest.mark.parametrize(
    ("asked", "recorded"),
    [
        ("Nguyễn Văn An", "Nguyễn Văn An"),
        ("NGUYỄN VĂN AN", "Nguyễn Văn An"),
        ("  nguyễn   văn an ", "Nguyễn Văn An"),
        ("Lê Hoà", "Lê Hòa"),
        ("Đặng Thuý", "ĐẶNG THÚY"),
        ("Trần Thị Quỳnh", unicodedata.normalize("NFD", "Trần Thị Quỳnh")),
        ("H’Hen Niê", "H'HEN NIÊ"),
        ("Hʼ Hen Niê", "H` Hen Niê"),
        ("Lê\u00a0Lan", "Lê Lan"),
    ],
)
def test_spellings_of_one_name_are_equal(asked: str, recorded: str) -> None:
    assert match_names(asked, recorded) is NameMatch.EQUAL
    assert match_names(recorded, asked) is NameMatch.EQUAL


@pytest.mark.parametrize(
    ("asked", "recorded"),
    [
        ("Nguyễn Vân Anh", "Nguyễn Văn An"),
        ("Nguyen Van An", "Nguyễn Văn An"),
        ("Lê Lan", "Lê Lân"),
        ("Lê Má", "Lê Mà"),
        ("N V A", "Nguyễn Văn An"),
        ("Ơn Ủy", "Ơi Uyên"),
    ],
)
def test_names_that_agree_in_first_letters_only_are_a_near_miss(asked: str, recorded: str) -> None:
    assert match_names(asked, recorded) is NameMatch.INITIALS
    assert match_names(recorded, asked) is NameMatch.INITIALS


@pytest.mark.parametrize(
    ("asked", "recorded"),
    [
        ("Trần Văn An", "Nguyễn Văn An"),
        ("Nguyễn An", "Nguyễn Văn An"),
        ("Nguyễn Văn An", "Nguyễn Văn An Bình"),
        ("Đỗ An", "Dỗ An"),
        ("Ân", "An"),
        ("", "Nguyễn Văn An"),
        ("   ", "Nguyễn Văn An"),
        ("Nguyễn Văn An", ""),
        ("", ""),
        ("  ", ""),
        ("  ", "  "),
        ("\u00a0", " "),
    ],
)
def test_other_names_are_different(asked: str, recorded: str) -> None:
    assert match_names(asked, recorded) is NameMatch.DIFFERENT


@pytest.mark.parametrize(
    ("text", "day", "precision"),
    [
        ("05/03/1994", date(1994, 3, 5), "day"),
        ("5/3/1994", date(1994, 3, 5), "day"),
        ("05031994", date(1994, 3, 5), "day"),
        ("1994-03-05", date(1994, 3, 5), "day"),
        (" 05/03/1994 ", date(1994, 3, 5), "day"),
        ("29/02/2024", date(2024, 2, 29), "day"),
        ("03/1994", date(1994, 3, 1), "month"),
        ("3/1994", date(1994, 3, 1), "month"),
        ("1994", date(1994, 1, 1), "year"),
        ("1890", date(1890, 1, 1), "year"),
        ("22/11/2026", TODAY, "day"),
        ("11/2026", date(2026, 11, 1), "month"),
    ],
)
def test_a_birth_date_is_read_as_far_as_it_is_known(text: str, day: date, precision: Precision) -> None:
    assert parse_birth_date(text, TODAY) == BirthDate(day, precision)


@pytest.mark.parametrize(
    "text",
    [
        "", "31/02/1990", "29/02/2023", "00/01/1990", "01/13/1990", "13/1990", "0/1990", "1889", "31/12/1889",
        "23/11/2026", "12/2026", "2027", "9999", "0000", "19940305", "05-03-1994", "1994/03/05", "5.3.1994",
        "05/03/94", "1994-3-5", "٠٥/٠٣/١٩٩٤", "05/03/1994x", "1994-03", "x",
    ],
)  # fmt: skip
def test_other_texts_are_no_birth_dates_and_are_not_repeated(text: str) -> None:
    with pytest.raises(BirthDateMalformed) as malformed:
        parse_birth_date(text, TODAY)
    assert not text or text == "x" or text not in str(malformed.value)


@pytest.mark.parametrize(
    ("asked", "recorded", "fits"),
    [
        ("05/03/1994", ("05/03/1994", "day"), True),
        ("06/03/1994", ("05/03/1994", "day"), False),
        ("03/1994", ("05/03/1994", "day"), False),
        ("1994", ("05/03/1994", "day"), False),
        ("1994", ("01/01/1994", "day"), False),
        ("17/03/1994", ("01/03/1994", "month"), True),
        ("03/1994", ("01/03/1994", "month"), True),
        ("04/1994", ("01/03/1994", "month"), False),
        ("1994", ("01/03/1994", "month"), False),
        ("17/03/1993", ("01/03/1994", "month"), False),
        ("1994", ("01/01/1994", "year"), True),
        ("17/08/1994", ("01/01/1994", "year"), True),
        ("08/1994", ("01/01/1994", "year"), True),
        ("1995", ("01/01/1994", "year"), False),
        ("01/01/1995", ("01/01/1994", "year"), False),
    ],
)
def test_the_asker_must_know_as_much_as_the_record(
    asked: str, recorded: tuple[str, Precision], fits: bool
) -> None:
    day = parse_birth_date(recorded[0], TODAY).day
    assert match_birth_dates(parse_birth_date(asked, TODAY), BirthDate(day, recorded[1])) is fits
