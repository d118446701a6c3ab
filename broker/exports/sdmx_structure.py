"""The structure of a table as SDMX-ML 3.0: dataflow, data structure, concepts, code lists, hierarchies.

pysdmx writes it, with one language to a name. Names go through it in both languages, with a character between
them that no label has (`plain` takes it out), and are taken apart in what it wrote.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from datetime import UTC
from typing import Any, Final

from pysdmx.io.xml.sdmx30.writer.structure import write
from pysdmx.model import (
    Annotation,
    Code,
    Codelist,
    Component,
    Components,
    Concept,
    ConceptScheme,
    Dataflow,
    DataStructureDefinition,
    DataType,
    HierarchicalCode,
    Hierarchy,
    Organisation,
    Role,
)
from pysdmx.model.message import Header

from broker.exports import words
from broker.exports.about import DimensionColumn, TableAbout, columns_of, indicators_of, total_category
from broker.exports.sdmx_components import SdmxComponent, components_of
from broker.exports.sdmx_names import (
    VERSION,
    agency_id,
    codelist_id,
    component_id,
    dataflow_id,
    release_part,
    sdmx_code,
    table_id,
    unit_code,
)
from broker.exports.texts import plain_label
from broker.statistics.manifest import Label

_BETWEEN: Final = "\ue000"
_NAMES: Final = re.compile(rf'<com:Name xml:lang="en">([^<{_BETWEEN}]*){_BETWEEN}([^<]*)</com:Name>')
_URN: Final = "urn:sdmx:org.sdmx.infomodel."
_ROLES: Final = {"dimension": Role.DIMENSION, "measure": Role.MEASURE, "attribute": Role.ATTRIBUTE}
_TYPES: Final = {"text": DataType.STRING, "whole": DataType.LONG, "decimal": DataType.DECIMAL}


def structure_xml(about: TableAbout) -> bytes:
    """Return the structure message of a table."""
    lists = {one.id: one for one in _codelists(about)}
    structures = (
        *lists.values(),
        *(_hierarchy(about, column) for column in columns_of(about)),
        _concepts(about),
        *_dataflow(about, lists),
    )
    header = Header(
        id=f"{dataflow_id(about)}_STRUCTURE",
        prepared=about.manifest.frozen_at.astimezone(UTC),
        sender=Organisation(id=agency_id(about)),
    )
    text: str = write(structures, prettyprint=True, header=header)
    both = _NAMES.sub(r'<com:Name xml:lang="vi">\1</com:Name><com:Name xml:lang="en">\2</com:Name>', text)
    return both.encode()


def _dataflow(about: TableAbout, lists: dict[str, Codelist]) -> tuple[Any, Any]:
    called = _name(Label(f"{words.TABLE.vi}: {about.title.vi}", f"{words.TABLE.en}: {about.title.en}"))
    structure = DataStructureDefinition(
        id=f"DSD_{table_id(about)}",
        name=called,
        agency=agency_id(about),
        version=VERSION,
        components=Components([_component(about, one, lists) for one in components_of(about)]),
    )
    flow = Dataflow(
        id=dataflow_id(about), name=called, agency=agency_id(about), version=VERSION, structure=structure
    )
    return structure, flow


def _component(about: TableAbout, one: SdmxComponent, lists: dict[str, Codelist]) -> Component:
    return Component(
        id=one.name,
        # A measure is optional: a hidden observation is there without its value.
        required=one.role != "measure",
        role=_ROLES[one.role],
        concept=Concept(
            id=one.name,
            urn=f"{_URN}conceptscheme.Concept={agency_id(about)}:{_scheme_id(about)}({VERSION}).{one.name}",
        ),
        local_codes=lists.get(one.codelist),
        local_dtype=None if one.codelist else _TYPES[one.kind],
        attachment_level=one.attached or None,
    )


def _concepts(about: TableAbout) -> ConceptScheme:
    return ConceptScheme(
        id=_scheme_id(about),
        name=_name(words.TABLE),
        agency=agency_id(about),
        version=VERSION,
        items=[Concept(id=one.name, name=_name(one.label)) for one in components_of(about)],
    )


def _codelists(about: TableAbout) -> Iterator[Codelist]:
    for column in columns_of(about):
        for at, (level, label) in enumerate(column.levels):
            found = [(one.code, one.label) for one in column.categories[at]]
            if at == 0:
                found = [(total_category().code, total_category().label), *found]
            yield _codelist(about, codelist_id(about, column.name, level), label, found)
    table, told = table_id(about), indicators_of(about)
    units = {unit_code(one.unit): one.unit_label for one in told}
    of_table = {
        "INDICATOR": (words.INDICATOR, {one.name.upper(): one.label for one in told}),
        "OBS_STATUS": (words.OBSERVATION_STATUS, words.STATUSES),
        "CONF_STATUS": (words.CONFIDENTIALITY, words.CONFIDENTIALITIES),
        "UNIT_MEASURE": (words.UNIT, units),
        "NOISE_METHOD": (words.NOISE_METHOD, words.NOISE_METHODS),
    }
    for name, (label, codes) in of_table.items():
        yield _codelist(about, f"CL_{name}_{table}", label, codes.items())


def _codelist(about: TableAbout, name: str, label: Label, codes: Iterable[tuple[str, Label]]) -> Codelist:
    return Codelist(
        id=name,
        name=_name(label),
        agency=agency_id(about),
        version=VERSION,
        items=[
            Code(id=sdmx_code(code), name=_name(called), annotations=_registered(code))
            for code, called in codes
        ],
    )


def _registered(code: str) -> tuple[Annotation, ...]:
    """Return what tells the registered code where SDMX has another one for it."""
    return () if sdmx_code(code) == code else (Annotation(id="REGISTERED_CODE", title=code),)


def _hierarchy(about: TableAbout, column: DimensionColumn) -> Hierarchy:
    """Return all levels from the total down to the one that the table has."""
    total = total_category().code
    return Hierarchy(
        id=f"H_{component_id(column.name)}_{release_part(about)}",
        name=_name(
            Label(
                words.HIERARCHY.vi.format(dimension=column.label.vi),
                words.HIERARCHY.en.format(dimension=column.label.en),
            )
        ),
        agency=agency_id(about),
        version=VERSION,
        codes=[
            HierarchicalCode(
                id=total,
                urn=_code_urn(about, column, 0, total),
                codes=_within(about, column, len(column.levels) - 1, ""),
            )
        ],
    )


def _within(about: TableAbout, column: DimensionColumn, level: int, parent: str) -> list[HierarchicalCode]:
    # Two levels may have a code in common; in a hierarchy an identifier stands once.
    return [
        HierarchicalCode(
            id=f"{column.levels[level][0]}@{sdmx_code(one.code)}",
            urn=_code_urn(about, column, level, one.code),
            codes=_within(about, column, level - 1, one.code) if level else (),
        )
        for one in column.categories[level]
        if one.parent == parent
    ]


def _code_urn(about: TableAbout, column: DimensionColumn, level: int, code: str) -> str:
    name = codelist_id(about, column.name, column.levels[level][0])
    return f"{_URN}codelist.Code={agency_id(about)}:{name}({VERSION}).{sdmx_code(code)}"


def _scheme_id(about: TableAbout) -> str:
    return f"CS_{table_id(about)}"


def _name(label: Label) -> str:
    both = plain_label(label)
    return f"{both.vi}{_BETWEEN}{both.en}"
