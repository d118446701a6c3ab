"""The field catalogue: every field of the insurance record, its type, class and group (Decree 43/2021, 6)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

from policies.reading import Table, read_toml

FieldType: TypeAlias = Literal["text", "code", "integer", "amount", "date", "month", "datetime", "boolean"]
FieldClass: TypeAlias = Literal["basic", "sensitive", "sensitive_by_inference", "organisation"]

FIELD_TYPES: frozenset[str] = frozenset(get_args(FieldType))
FIELD_CLASSES: frozenset[str] = frozenset(get_args(FieldClass))
TOPICS: frozenset[str] = frozenset(
    {"health", "ethnicity", "social_status", "finance", "whereabouts", "third_person"}
)
"""What a field can give away beyond what it says; the prohibitions speak of topics."""


@dataclass(frozen=True, slots=True)
class Group:
    """Fields that are held together; repeats = several rows per person (cards, contributions ...)."""

    name: str
    repeats: bool
    label_vi: str
    label_en: str


@dataclass(frozen=True, slots=True)
class FieldDefinition:
    """One field. reveals: topics it gives away. precision_field: which field says how exact a date is.

    held: whether the insurance source holds it now. values: the closed list of its codes, if it has one.
    position: order in the catalogue, used wherever an order must not depend on who wrote first.
    """

    name: str
    group: str
    repeats: bool
    type: str
    field_class: str
    label_vi: str
    label_en: str
    reveals: frozenset[str]
    values: tuple[str, ...]
    precision_field: str
    held: bool
    position: int

    @property
    def is_sensitive(self) -> bool:
        """Whether Decree 356/2025 art. 4 names it, or it gives away something that art. 4 names."""
        return self.field_class in ("sensitive", "sensitive_by_inference")


@dataclass(frozen=True, slots=True)
class Catalogue:
    """All fields and groups by name."""

    fields: Mapping[str, FieldDefinition]
    groups: Mapping[str, Group]

    def in_order(self, names: frozenset[str] | set[str]) -> tuple[str, ...]:
        """Return known names in catalogue order."""
        return tuple(sorted(names, key=lambda name: self.fields[name].position))

    def fields_of(self, group: str) -> tuple[FieldDefinition, ...]:
        """Return the fields of one group in catalogue order."""
        return tuple(definition for definition in self.fields.values() if definition.group == group)


def _read_field(name: str, entry: Table, groups: Mapping[str, Group], position: int) -> FieldDefinition:
    group = groups[entry.word("group", groups)]
    definition = FieldDefinition(
        name=name,
        group=group.name,
        repeats=group.repeats,
        type=entry.word("type", FIELD_TYPES),
        field_class=entry.word("class", FIELD_CLASSES),
        label_vi=entry.text("label_vi"),
        label_en=entry.text("label_en"),
        reveals=frozenset(entry.words("reveals", TOPICS, optional=True)),
        values=entry.words("values", None, optional=True),
        precision_field=entry.text("precision_field", optional=True),
        held=not entry.flag("not_held"),
        position=position,
    )
    entry.finish()
    return definition


def read_catalogue(text: str, file: str) -> Catalogue:
    """Read fields.toml. Raises PolicyError for anything not understood."""
    top = read_toml(text, file)
    groups: dict[str, Group] = {}
    for name in (group_table := top.table("groups")).keys:
        entry = group_table.table(name)
        groups[name] = Group(name, entry.flag("repeats"), entry.text("label_vi"), entry.text("label_en"))
        entry.finish()
    fields: dict[str, FieldDefinition] = {}
    for position, name in enumerate((field_table := top.table("fields")).keys):
        fields[name] = _read_field(name, field_table.table(name), groups, position)
    top.finish()
    for definition in fields.values():
        companion = definition.precision_field
        if companion and (companion not in fields or fields[companion].group != definition.group):
            entry = field_table.table(definition.name)
            raise entry.refusal("precision_field", "must name a field of the same group")
    return Catalogue(fields, groups)
