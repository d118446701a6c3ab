"""Strict reading of TOML: every key is asked for by name and type, and what nobody asked for is refused.

`tomllib` does not say where a key stands, so `find_lines` walks the text once more for the line numbers.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Collection, Mapping
from datetime import date, datetime
from typing import TypeAlias, TypeVar

from policies.model import PolicyError

Path: TypeAlias = tuple[str | int, ...]
T = TypeVar("T")

_HEADER = re.compile(r"\s*\[(\[?)\s*([^\[\]]+?)\s*\]\]?\s*(?:#.*)?$")
_KEY = re.compile(
    r"\s*((?:[A-Za-z0-9_-]+|\"[^\"]*\"|'[^']*')(?:\s*\.\s*(?:[A-Za-z0-9_-]+|\"[^\"]*\"|'[^']*'))*)\s*="
)
_TOKEN = re.compile(r"\"\"\"|'''|\"(?:\\.|[^\"\\])*\"|'[^']*'|#.*|[\[\]{}]")


def _parts(dotted: str) -> tuple[str, ...]:
    return tuple(part.strip().strip("\"'") for part in dotted.split("."))


def _open_after(text: str, depth: int, quote: str) -> tuple[int, str]:
    """Return (bracket depth, open multi-line quote) after a line's text, given those before it."""
    position = 0
    while position < len(text):
        if quote:
            end = text.find(quote, position)
            if end < 0:
                return depth, quote
            position, quote = end + 3, ""
            continue
        token = _TOKEN.search(text, position)
        if token is None:
            break
        position = token.end()
        word = token.group()
        if word in ('"""', "'''"):
            quote = word
        elif word in "[{":
            depth += 1
        elif word in "]}":
            depth -= 1
    return depth, quote


def find_lines(text: str) -> dict[Path, int]:
    """Return key path → line (from 1) for every table header and key that begins a line of TOML text.

    Paths look like ("release", 0, "form"): arrays of tables count from 0. Keys inside an inline table
    are not listed; the caller falls back to the line of the key that holds them.
    """
    lines: dict[Path, int] = {}
    counts: dict[tuple[str, ...], int] = {}
    here: Path = ()
    depth, quote = 0, ""
    for number, line in enumerate(text.splitlines(), start=1):
        if depth or quote:
            depth, quote = _open_after(line, depth, quote)
            continue
        header = _HEADER.match(line)
        if header:
            here = _table_path(_parts(header.group(2)), bool(header.group(1)), counts)
            lines.setdefault(here, number)
            continue
        key = _KEY.match(line)
        if key:
            lines.setdefault((*here, *_parts(key.group(1))), number)
            depth, quote = _open_after(line[key.end() :], 0, "")
    return lines


def _table_path(parts: tuple[str, ...], is_array: bool, counts: dict[tuple[str, ...], int]) -> Path:
    if is_array:
        counts[parts] = counts.get(parts, -1) + 1
    path: list[str | int] = []
    for length, part in enumerate(parts, start=1):
        path.append(part)
        if parts[:length] in counts:
            path.append(counts[parts[:length]])
    return tuple(path)


class Table:
    """One TOML table being read. Call a reader for each key, then `finish`, which refuses the rest."""

    def __init__(
        self, content: Mapping[str, object], file: str, lines: Mapping[Path, int], path: Path = ()
    ) -> None:
        self._content = content
        self._file = file
        self._lines = lines
        self._path = path
        self._read: set[str] = set()

    @property
    def keys(self) -> tuple[str, ...]:
        """The keys present, in the order of the file."""
        return tuple(self._content)

    def refusal(self, key: str, remedy: str) -> PolicyError:
        """Return the error that names file, key and line; the caller raises it."""
        path: Path = (*self._path, key) if key else self._path
        name = ".".join(str(part) for part in path) or "(file)"
        while path and path not in self._lines:
            path = path[:-1]
        return PolicyError(self._file, name, self._lines.get(path, 0), remedy)

    def has(self, key: str) -> bool:
        """Return whether the key is present; asking counts as knowing the key."""
        self._read.add(key)
        return key in self._content

    def _get(self, key: str, kind: type[T], words: str) -> T:
        if not self.has(key):
            raise self.refusal(key, f"is missing; write {words}")
        value = self._content[key]
        wrong_bool = isinstance(value, bool) and kind is not bool
        wrong_time = isinstance(value, datetime) and kind is date
        if not isinstance(value, kind) or wrong_bool or wrong_time:
            raise self.refusal(key, f"must be {words}")
        return value

    def text(self, key: str, *, optional: bool = False) -> str:
        """Return non-empty text; "" only when optional and absent."""
        if optional and not self.has(key):
            return ""
        value = self._get(key, str, 'text in quotes, for example "..."').strip()
        if not value:
            raise self.refusal(key, "must not be empty; say it in words")
        return value

    def word(self, key: str, known: Collection[str]) -> str:
        """Return text that is one of a closed list."""
        value = self.text(key)
        if value not in known:
            raise self.refusal(key, f'"{value}" is not known; choose one of: {", ".join(sorted(known))}')
        return value

    def integer(self, key: str, *, minimum: int, maximum: int = 2**62) -> int:
        """Return a whole number within minimum..maximum."""
        value = self._get(key, int, "a whole number")
        if not minimum <= value <= maximum:
            raise self.refusal(key, f"must be a whole number from {minimum} to {maximum}")
        return value

    def number(self, key: str, *, maximum: float) -> float:
        """Return a number above 0 and not above maximum, whole or with a decimal point."""
        value = self._content.get(key)
        self._read.add(key)
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= maximum:
            raise self.refusal(key, f"must be a number above 0 and not above {maximum:g}")
        return float(value)

    def flag(self, key: str) -> bool:
        """Return true or false; absent means false."""
        return self._get(key, bool, "true or false") if self.has(key) else False

    def day(self, key: str, default: date | None = None) -> date:
        """Return a civil day; default (if not None) when absent."""
        if default is not None and not self.has(key):
            return default
        return self._get(key, date, "a day without quotes, for example 2026-01-31")

    def value(self, key: str) -> object:
        """Return whatever stands there (form parameters check their own types)."""
        self.has(key)
        return self._content.get(key)

    def words(
        self, key: str, known: Collection[str] | None, *, minimum: int = 0, optional: bool = False
    ) -> tuple[str, ...]:
        """Return a list of texts, each of the closed list (None = free), without repetition."""
        if optional and not self.has(key):
            return ()
        values = self._get(key, list, 'a list of texts, for example ["..."]')
        if len(values) < minimum:
            raise self.refusal(key, f"must name at least {minimum}")
        for value in values:
            if not isinstance(value, str) or not value.strip():
                raise self.refusal(key, 'must be a list of texts, for example ["..."]')
            if known is not None and value not in known:
                raise self.refusal(key, f'"{value}" is not known; choose from: {", ".join(sorted(known))}')
        if len(set(values)) != len(values):
            raise self.refusal(key, "names something twice; say it once")
        return tuple(values)

    def table(self, key: str, *, optional: bool = False) -> Table:
        """Return the inner table [key]; an empty one only when optional and absent."""
        if optional and not self.has(key):
            return Table({}, self._file, self._lines, (*self._path, key))
        content = self._get(key, dict, f"a table [{key}]")
        return Table(content, self._file, self._lines, (*self._path, key))

    def tables(self, key: str, *, optional: bool = False) -> tuple[Table, ...]:
        """Return the inner tables [[key]], in the order of the file."""
        if optional and not self.has(key):
            return ()
        values = self._get(key, list, f"one or more tables [[{key}]]")
        if not all(isinstance(value, dict) for value in values):
            raise self.refusal(key, f"must be one or more tables [[{key}]]")
        return tuple(
            Table(value, self._file, self._lines, (*self._path, key, index))
            for index, value in enumerate(values)
        )

    def finish(self) -> None:
        """Refuse every key that nobody asked for: what is not understood is not accepted."""
        for key in self._content:
            if key not in self._read:
                known = ", ".join(sorted(self._read))
                raise self.refusal(key, f"is not a known key here; remove it or use one of: {known}")


def read_toml(text: str, file: str) -> Table:
    """Parse TOML text and return its top table. Raises PolicyError, with the line, if it is not TOML."""
    try:
        content = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        place = re.search(r"line (\d+)", str(error))
        line = int(place.group(1)) if place else text.count("\n") + 1
        raise PolicyError(file, "(file)", line, f"is not TOML: {error}") from None
    return Table(content, file, find_lines(text))
