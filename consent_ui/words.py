"""Every word of the citizen's pages, Vietnamese and English: the one catalogue, words.toml."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from typing import Final

LANGUAGES: Final = ("vi", "en")

WORDS: Final[Mapping[str, tuple[str, str]]] = {
    key: (pair["vi"], pair["en"])
    for key, pair in tomllib.loads(files("consent_ui").joinpath("words.toml").read_text("utf-8")).items()
}
"""Key → (Vietnamese, English). Names in braces are filled in by the caller."""


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
        grouped = f"{value:,}"
        return grouped.replace(",", ".") if self.language == "vi" else grouped


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
