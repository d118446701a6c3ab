"""How a data subject is named at a desk: card numbers, personal ids, and the QR text of an ID card."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

_CARD_15: Final = re.compile(r"[A-Z]{2}[1-5][0-9]{2}[0-9]{10}")
_SI_NUMBER: Final = re.compile(r"[0-9]{10}")
_PERSONAL_ID: Final = re.compile(r"[0-9]{12}")
_QR_FIELD_COUNT: Final = 7


@dataclass(frozen=True, slots=True)
class CardNumber:
    """One identifier as presented.

    lookup_field, lookup_value: how the source is asked (a 15-character card is found by the SI number it
    ends with). printed: the number without blanks, upper case. prefix: the first five characters of a
    15-character card (object 2, benefit 1, province 2), else empty.
    """

    lookup_field: str
    lookup_value: str
    printed: str
    prefix: str


class NumberMalformed(ValueError):
    """The text is neither a card number of 10, 12 or 15 characters nor the QR text of an ID card."""


def parse_card_number(text: str) -> CardNumber:
    """Return the identifier in a card number, a personal id or a raw QR text.

    text: 10 digits (SI number, cards since 2021), 12 digits (personal id), 15 characters (printed until
    2021), with blanks anywhere; or the ID card's QR text, seven parts between bars, of which only the
    first is used: everything else in it (address, old id) is none of our business and is dropped here.
    Raises NumberMalformed without repeating the text.
    """
    if "|" in text:
        text = _personal_id_of_qr(text)
    number = "".join(text.split()).upper()
    if _PERSONAL_ID.fullmatch(number):
        return CardNumber("personal_id", number, number, "")
    if _SI_NUMBER.fullmatch(number):
        return CardNumber("si_number", number, number, "")
    if _CARD_15.fullmatch(number):
        return CardNumber("hi_card", number, number, number[:5])
    raise NumberMalformed("a card number has 10, 12 or 15 characters")


def parse_personal_id(text: str) -> CardNumber:
    """Return the identifier in a 12-digit personal id. Raises NumberMalformed."""
    number = "".join(text.split())
    if not _PERSONAL_ID.fullmatch(number):
        raise NumberMalformed("a personal id has 12 digits")
    return CardNumber("personal_id", number, number, "")


def _personal_id_of_qr(text: str) -> str:
    """The order of the parts is not published [U]; the first is checked to be an id."""
    parts = text.strip().split("|")
    if len(parts) < _QR_FIELD_COUNT or not _PERSONAL_ID.fullmatch(parts[0].strip()):
        raise NumberMalformed("the QR text of an ID card has seven parts, the first a 12-digit id")
    return parts[0]
