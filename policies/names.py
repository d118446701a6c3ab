"""When two spellings are one name: NFC, blanks collapsed, case folded, the place of the tone mark free.

The gateway's practice (domain knowledge, not law): hoà = hòa, thuý = thúy; every other mark is significant.
"""

from __future__ import annotations

import unicodedata
from functools import lru_cache
from typing import Final

_TONES: Final = frozenset("\u0300\u0301\u0303\u0309\u0323")
_APOSTROPHES: Final = str.maketrans({"\u2019": "'", "\u02bc": "'", "\u2018": "'", "`": "'"})


def name_syllables(name: str) -> tuple[tuple[str, str], ...]:
    """Return the syllables of a name as (letters, tone marks): equal for names that count as equal."""
    folded = unicodedata.normalize("NFC", name).translate(_APOSTROPHES).casefold()
    return tuple(_syllable(word) for word in folded.split())


def _syllable(word: str) -> tuple[str, str]:
    if word.isascii():
        return word, ""
    letters: list[str] = []
    tones: list[str] = []
    for character in unicodedata.normalize("NFD", word):
        (tones if character in _TONES else letters).append(character)
    return unicodedata.normalize("NFC", "".join(letters)), "".join(tones)


@lru_cache(maxsize=8192)
def name_key(name: str) -> str:
    """Return one text for all spellings of a name: equal keys, equal names.

    Remembered, because the few staff of a desk are named in every request.
    """
    return " ".join(letters + tones for letters, tones in name_syllables(name))
