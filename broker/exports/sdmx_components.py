"""The components of a table in SDMX 3.0: what each column of its SDMX-CSV is, and which code list it has."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from broker.exports import words
from broker.exports.about import TableAbout, columns_of, indicators_of
from broker.exports.sdmx_names import codelist_id, component_id, table_id
from broker.exports.texts import number_text
from broker.statistics.manifest import Label

METHOD: Final = "CELL_KEY"
OBSERVATION: Final = "O"
DATASET: Final = "D"
INDICATOR_ID: Final = "INDICATOR"


@dataclass(frozen=True, slots=True, kw_only=True)
class SdmxComponent:
    """A component. codelist: its identifier, or "". kind: what it holds where it has no code list.

    attached: of attributes, "O" observation, "D" dataset, or the dimension on which they depend.
    """

    name: str
    label: Label
    role: Literal["dimension", "measure", "attribute"]
    codelist: str = ""
    kind: Literal["text", "whole", "decimal"] = "text"
    attached: str = ""


def components_of(about: TableAbout) -> tuple[SdmxComponent, ...]:
    """Return all components in the order of the columns of SDMX-CSV."""
    table = table_id(about)
    dimensions = [
        SdmxComponent(
            name=component_id(column.name),
            label=column.label,
            role="dimension",
            codelist=codelist_id(about, column.name, column.levels[0][0]),
        )
        for column in columns_of(about)
    ]
    # Counts and sums are whole; a mean is not, and one column holds them all.
    has_means = len(indicators_of(about)) > 1
    return (
        *dimensions,
        SdmxComponent(
            name=INDICATOR_ID, label=words.INDICATOR, role="dimension", codelist=f"CL_INDICATOR_{table}"
        ),
        SdmxComponent(
            name="OBS_VALUE", label=words.VALUE, role="measure", kind="decimal" if has_means else "whole"
        ),
        _coded("OBS_STATUS", words.OBSERVATION_STATUS, f"CL_OBS_STATUS_{table}", OBSERVATION),
        _coded("CONF_STATUS", words.CONFIDENTIALITY, f"CL_CONF_STATUS_{table}", OBSERVATION),
        _coded("UNIT_MEASURE", words.UNIT, f"CL_UNIT_MEASURE_{table}", INDICATOR_ID),
        _coded("NOISE_METHOD", words.NOISE_METHOD, f"CL_NOISE_METHOD_{table}", DATASET),
        *(component for component, _ in _of_dataset(about)),
    )


def dataset_values(about: TableAbout) -> tuple[str, ...]:
    """Return the values of the attributes of the whole dataset, in the order of their components."""
    return (METHOD, *(value for _, value in _of_dataset(about)))


def _of_dataset(about: TableAbout) -> list[tuple[SdmxComponent, str]]:
    parameters, found = about.manifest.parameters, []
    counts, sums = parameters.counts, parameters.sums
    found += [
        (_number("NOISE_BOUND", words.NOISE_BOUND, "whole"), number_text(counts.bound)),
        (_number("NOISE_VARIANCE", words.NOISE_VARIANCE, "decimal"), number_text(counts.variance)),
    ]
    if about.plan.measures:
        found += [
            (_number("SUM_NOISE_BOUND", words.SUM_NOISE_BOUND, "whole"), number_text(sums.bound)),
            (_number("SUM_NOISE_VARIANCE", words.SUM_NOISE_VARIANCE, "decimal"), number_text(sums.variance)),
            (
                _number("SUM_NOISE_SHARE", words.SUM_NOISE_SHARE, "decimal"),
                number_text(parameters.share_large),
            ),
        ]
    release = SdmxComponent(name="RELEASE", label=words.RELEASE, role="attribute", attached=DATASET)
    return [*found, (release, about.manifest.release)]


def _coded(name: str, label: Label, codelist: str, attached: str) -> SdmxComponent:
    return SdmxComponent(name=name, label=label, role="attribute", codelist=codelist, attached=attached)


def _number(name: str, label: Label, kind: Literal["whole", "decimal"]) -> SdmxComponent:
    return SdmxComponent(name=name, label=label, role="attribute", kind=kind, attached=DATASET)
