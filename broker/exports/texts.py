"""Texts and numbers as files hold them: nothing that a program would obey, numbers in one form."""

from __future__ import annotations

from decimal import Decimal
from typing import Final

from broker.statistics.manifest import Label

_OBEYED: Final = frozenset("=+-@\uff1d\uff0b\uff0d\uff20")
"""What spreadsheets take for the beginning of a formula, in both widths."""
_MARK: Final = "'"


def plain(text: str) -> str:
    """Return a text on one line: what is not printed (tabs, line ends, what XML refuses) is a space."""
    return text if text.isprintable() else "".join(one if one.isprintable() else " " for one in text)


def plain_label(label: Label) -> Label:
    """Return a label whose texts are on one line each."""
    return Label(plain(label.vi), plain(label.en))


def is_obeyed(text: str) -> bool:
    """Whether a spreadsheet could take a text for a formula."""
    return text.lstrip()[:1] in _OBEYED and text.strip() != ""


def defused(text: str) -> str:
    """Return a text for a cell of CSV: with an apostrophe before it where a spreadsheet would obey it.

    A text that begins with an apostrophe has one more, so that `fused` finds every text again.
    """
    text = plain(text)
    return _MARK + text if is_obeyed(text) or text.startswith(_MARK) else text


def fused(text: str) -> str:
    """Return the text that `defused` was given."""
    return text[1:] if text.startswith(_MARK) else text


def number_text(number: float) -> str:
    """Return a number as xs:decimal: all its digits, no exponent; whole numbers without a point."""
    text = repr(number)
    if "e" in text:
        text = format(Decimal(text), "f")
    return text.removesuffix(".0")
