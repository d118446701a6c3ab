"""Makes a dimension and its words together, so that neither can be without the other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from broker.statistics.manifest import DimensionAbout, Label
from broker.statistics.registry import Dimension, Level

NONE: Final = "_Z"
UNKNOWN: Final = "_U"
NONE_LABEL: Final = Label("Không áp dụng", "Not applicable")
UNKNOWN_LABEL: Final = Label("Không rõ", "Unknown")
SPECIAL: Final = {NONE: NONE_LABEL, UNKNOWN: UNKNOWN_LABEL}


@dataclass(frozen=True, slots=True)
class Group:
    """A category of a level: its code, name, and finest categories."""

    code: str
    label: Label
    leaves: tuple[str, ...]


def flat(
    name: str,
    label: Label,
    fields: tuple[str, ...],
    categories: dict[str, Label],
    *,
    level: str = "",
    is_sensitive: bool = False,
) -> tuple[Dimension, DimensionAbout]:
    """Return a dimension of one level, which has the dimension's own words."""
    levels = [(level or name, label, leaves(categories))]
    return registered(name, label, fields, levels, is_sensitive=is_sensitive)


def leaves(categories: dict[str, Label]) -> list[Group]:
    """Return finest categories, each of itself."""
    return [Group(code, label, (code,)) for code, label in categories.items()]


def grouped(
    labels: Mapping[str, Label], homes: Mapping[str, tuple[str, ...]], alone: tuple[str, ...]
) -> list[Group]:
    """Return groups of leaves by where each has its home; `alone` are groups of themselves."""
    groups = [
        Group(code, label, tuple(leaf for leaf, (home,) in homes.items() if home == code))
        for code, label in labels.items()
    ]
    return [*groups, *(Group(code, SPECIAL[code], (code,)) for code in alone)]


def registered(
    name: str,
    label: Label,
    fields: tuple[str, ...],
    levels: Sequence[tuple[str, Label, Sequence[Group]]],
    *,
    is_sensitive: bool = False,
    one_each: bool = True,
) -> tuple[Dimension, DimensionAbout]:
    """Return a dimension and its words. levels: name, words and categories of each, finest first."""
    dimension = Dimension(
        name=name,
        levels=tuple(Level(one, tuple((g.code, g.leaves) for g in groups)) for one, _, groups in levels),
        is_sensitive=is_sensitive,
        one_each=one_each,
    )
    about = DimensionAbout(
        name=name,
        label=label,
        fields=fields,
        levels={one: words for one, words, _ in levels},
        categories={(one, group.code): group.label for one, _, groups in levels for group in groups},
    )
    return dimension, about
