"""Names in SDMX: identifiers have fewer characters than the registry's codes, and some are taken."""

from __future__ import annotations

import re
from typing import Final

from broker.exports.about import TableAbout

VERSION: Final = "1.0.0"
_CODE_OTHERS: Final = re.compile(r"[^A-Za-z0-9_-]|^-")
_NO_NAME: Final = re.compile(r"[^A-Za-z0-9_-]")
_NAME_OTHERS: Final = re.compile(r"[^A-Za-z0-9-]")
_TAKEN: Final = frozenset(
    {
        "INDICATOR",
        "OBS_VALUE",
        "OBS_STATUS",
        "CONF_STATUS",
        "UNIT_MEASURE",
        "NOISE_METHOD",
        "NOISE_BOUND",
        "NOISE_VARIANCE",
        "SUM_NOISE_BOUND",
        "SUM_NOISE_VARIANCE",
        "SUM_NOISE_SHARE",
        "RELEASE",
        "STRUCTURE",
        "STRUCTURE_ID",
        "STRUCTURE_NAME",
        "ACTION",
        "DATAFLOW",
        "SERIES_KEY",
        "OBS_KEY",
        "TIME_PERIOD",
    }
)


def sdmx_code(code: str) -> str:
    """Return a registered code as SDMX's IDType: `$` and two hex digits for what that has no place for.

    `65+` is `65$2B`. A hyphen at the beginning is written so too: spreadsheets would obey it. Different codes
    stay different, as no registered code has a `$`.
    """
    return _CODE_OTHERS.sub(lambda found: f"${ord(found[0]):02X}", code)


def component_id(name: str) -> str:
    """Return a dimension's name as a component: upper case, apart from those that every table has."""
    upper = name.upper()
    return f"{upper}_" if upper.rstrip("_") in _TAKEN else upper


def table_id(about: TableAbout) -> str:
    """Return what distinguishes a table: the beginning of its question's hash."""
    return about.plan.hash[:16].upper()


def agency_id(about: TableAbout) -> str:
    """Return the data owner as SDMX names an agency: letters, digits, `_` and `-`, a letter first."""
    name = _NO_NAME.sub("_", about.owner)
    return name if name[:1].isalpha() else f"A_{name}"


def dataflow_id(about: TableAbout) -> str:
    """Return the identifier of the table's dataflow."""
    return f"DF_{table_id(about)}"


def codelist_id(about: TableAbout, dimension: str, level: str) -> str:
    """Return the identifier of a code list: the same in all tables of a release."""
    return f"CL_{component_id(dimension)}_{level.upper()}_{release_part(about)}"


def release_part(about: TableAbout) -> str:
    """Return the release as a part of a name: `_` and two hex digits for what names have no place for."""
    return _NAME_OTHERS.sub(lambda found: f"_{ord(found[0]):02X}", about.manifest.release)


def unit_code(unit: str) -> str:
    """Return a unit as a code; a measure of which nothing is said has none."""
    return re.sub(r"[^A-Z0-9_]", "_", unit.upper()) or "_U"
