"""What may be asked of a release, as `GET /v1/statistics/catalogue` tells it; and questions in its words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from broker.cli.demo_steps import Lang

Document: TypeAlias = Mapping[str, Any]
_LISTED: Final = 20


class NotRegistered(ValueError):
    """A question names what the release does not have; the text says what there is."""


@dataclass(frozen=True, slots=True)
class Where:
    """A filter of whole categories."""

    dimension: str
    level: str
    categories: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What is asked of a release. by: dimensions with their levels, in the order in which they are shown."""

    release: str
    by: tuple[tuple[str, str], ...]
    where: tuple[Where, ...]
    measures: tuple[str, ...]

    def body(self, format_code: str) -> dict[str, Any]:
        """Return the JSON of the request."""
        return {
            "release": self.release,
            "dimensions": [{"name": name, "level": level} for name, level in self.by],
            "filters": [
                {"dimension": one.dimension, "level": one.level, "categories": list(one.categories)}
                for one in self.where
            ],
            "measures": list(self.measures),
            "format": format_code,
        }


def find_release(catalogue: Document, name: str | None) -> Document:
    """Return a release, or the newest that may be asked. Raises NotRegistered."""
    releases: Sequence[Document] = catalogue["releases"]
    for one in releases:
        if one["release"] == name or (name is None and one["is_open"] and one["is_strict_enough"]):
            return one
    there = ", ".join(str(one["release"]) for one in releases[:_LISTED]) or "none"
    raise NotRegistered(f"no release {name or 'is open'}; there are: {there}")


def question_of(
    release: Document, by: Sequence[str], where: Sequence[str], measures: Sequence[str]
) -> Question:
    """Return the question of command-line texts. Raises NotRegistered, ValueError where a text has no form.

    by: name or name:level. where: name=CODE,CODE or name:level=CODE,CODE.
    """
    for name in measures:
        _found("measure", name, release["measures"])
    return Question(
        release=str(release["release"]),
        by=tuple(_by(release, text) for text in by),
        where=tuple(_where(release, text) for text in where),
        measures=tuple(measures),
    )


def find_dimension(release: Document, name: str) -> Document:
    """Return a dimension. Raises NotRegistered."""
    return _found("dimension", name, release["dimensions"])


def find_level(dimension: Document, name: str) -> Document:
    """Return a level; "" for the one named like its dimension, else the finest. Raises NotRegistered."""
    levels: Sequence[Document] = dimension["levels"]
    if name:
        return _found(f"level of {dimension['name']}", name, levels)
    return next((one for one in levels if one["name"] == dimension["name"]), levels[0])


def label_of(one: Document, lang: Lang) -> str:
    """Return what something is called."""
    return str(one["label"][lang])


def _by(release: Document, text: str) -> tuple[str, str]:
    name, _, level = text.partition(":")
    return name, str(find_level(find_dimension(release, name), level)["name"])


def _where(release: Document, text: str) -> Where:
    head, sign, codes = text.partition("=")
    if not sign or not codes:
        raise ValueError(f"{text}: a filter is NAME=CODE,CODE or NAME:LEVEL=CODE,CODE")
    name, _, level = head.partition(":")
    dimension, asked = find_dimension(release, name), tuple(codes.split(","))
    wanted = [find_level(dimension, level)] if level else dimension["levels"]
    for one in wanted:
        if {*asked} <= {category["code"] for category in one["categories"]}:
            return Where(name, str(one["name"]), asked)
    known = find_level(dimension, level)
    unknown = [code for code in asked if code not in {one["code"] for one in known["categories"]}]
    raise NotRegistered(_listed(f"category of {name}", unknown[0], known["categories"], "code"))


def _found(kind: str, name: str, there: Sequence[Document]) -> Document:
    for one in there:
        if one["name"] == name:
            return one
    raise NotRegistered(_listed(kind, name, there, "name"))


def _listed(kind: str, name: str, there: Sequence[Document], member: str) -> str:
    names = [str(one[member]) for one in there[:_LISTED]] + ["…"] * (len(there) > _LISTED)
    return f"no {kind} {name!r}; there are: {', '.join(names)}"
