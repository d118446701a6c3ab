"""Every word of the citizen's pages, Vietnamese and English, and how days, instants and amounts are written.

The words stand in gettext catalogues, one file per family of pages: translations/<language>/LC_MESSAGES/*.po.
A message's id is a key, not a sentence: so neither language is the translation of the other's wording, and a
changed word never loses the other language. Names in braces are filled in by the caller.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from importlib.resources import files
from importlib.resources.abc import Traversable
from io import BytesIO
from typing import Final

from babel.dates import format_date, format_datetime
from babel.messages.pofile import read_po
from babel.numbers import format_currency, format_decimal

from policies.civil_time import VIET_NAM

LANGUAGES: Final = ("vi", "en")
_TRANSLATIONS: Final = files("consent_ui").joinpath("translations")


class CatalogueBroken(Exception):
    """A catalogue says something twice, or not in both languages; the broker does not start with it."""


def read_catalogue(directory: Traversable, language: str) -> dict[str, str]:
    """Return key → words of one language, of all *.po there. Raises CatalogueBroken."""
    told: dict[str, str] = {}
    for path in sorted(directory.joinpath(language, "LC_MESSAGES").iterdir(), key=lambda one: one.name):
        if path.name.endswith(".po"):
            for message in read_po(BytesIO(path.read_bytes()), locale=language, abort_invalid=True):
                key, words = message.id, message.string
                if not key:
                    continue
                if not isinstance(key, str) or not isinstance(words, str) or not words or message.fuzzy:
                    raise CatalogueBroken(f"{language}/{path.name}: {key} has no words, or unsure ones")
                if key in told:
                    raise CatalogueBroken(f"{language}/{path.name}: {key} is said twice")
                told[key] = words
    return told


def read_words(directory: Traversable = _TRANSLATIONS) -> dict[str, tuple[str, str]]:
    """Return key → (Vietnamese, English). Raises CatalogueBroken."""
    vietnamese, english = (read_catalogue(directory, language) for language in LANGUAGES)
    if vietnamese.keys() != english.keys():
        missing = sorted(vietnamese.keys() ^ english.keys())
        raise CatalogueBroken(f"only in one language: {', '.join(missing)}")
    return {key: (words, english[key]) for key, words in vietnamese.items()}


WORDS: Final[Mapping[str, tuple[str, str]]] = read_words()
"""Key → (Vietnamese, English)."""


@dataclass(frozen=True, slots=True)
class Words:
    """The catalogue in one language."""

    language: str

    @property
    def index(self) -> int:
        """Return the place of this language in a pair of labels: 0 Vietnamese, 1 English."""
        return LANGUAGES.index(self.language)

    @property
    def other(self) -> str:
        """Return the other language."""
        return LANGUAGES[1 - self.index]

    def __call__(self, key: str, **values: object) -> str:
        """Return the words of a key. Raises KeyError for an unknown key or a value that is missing."""
        return WORDS[key][self.index].format(**values)

    def days(self, count: int) -> str:
        """Return so many days in words."""
        return self("days_one" if count == 1 else "days_many", days=self.number(count))

    def number(self, value: int) -> str:
        """Return a whole number with the separators of the language: 5.000.000 or 5,000,000."""
        return format_decimal(value, locale=self.language)

    def money(self, dong: int) -> str:
        """Return an amount in đồng: 1.234.567 ₫, in English 1,234,567 ₫."""
        return format_currency(dong, "VND", "#,##0\u00a0¤", locale=self.language)

    def day(self, value: date) -> str:
        """Return a civil day as everybody in Viet Nam writes it, dd/MM/yyyy, in both languages."""
        return format_date(value, "dd/MM/yyyy", locale=self.language)

    def moment(self, instant: datetime) -> str:
        """Return an instant as clocks and calendars in Viet Nam show it: HH:mm dd/MM/yyyy."""
        return format_datetime(instant, "HH:mm dd/MM/yyyy", VIET_NAM, locale=self.language)


def words_for(asked: str | None, ui_locales: str = "", accept_language: str = "") -> Words:
    """Return the words to speak: as asked on the page, else as the request or the browser prefers.

    ui_locales: language tags by preference, space-separated (OpenID Connect Core, 3.1.2.1). Vietnamese
    unless English is wanted first.
    """
    if asked in LANGUAGES:
        return Words(asked)
    for tag in ui_locales.split():
        primary = tag.split("-")[0].lower()
        if primary in LANGUAGES:
            return Words(primary)
    return Words("en" if accept_language.strip().lower().startswith("en") else "vi")
