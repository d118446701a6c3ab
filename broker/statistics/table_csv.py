"""Perturbation tables as CSV: what a release keeps, and what its method note may publish.

Columns i (category), j (what is shown for it), v (noise), p (probability), ub (upper bound of the draw);
above them one comment line with the parameters. Reading checks everything again: a table that somebody
changed is refused, and a table made for other parameters too.
"""

from __future__ import annotations

import csv
from decimal import Decimal, InvalidOperation
from hashlib import sha256
from io import StringIO
from itertools import groupby

from broker.statistics.parameters import CountParameters, Parameters
from broker.statistics.perturbation_table import PARTS, PerturbationTable, Row
from broker.statistics.reasons import StatisticsRefused

COLUMNS = ("i", "j", "v", "p", "ub")
_CHARACTERS_MAX = 4 * 1024 * 1024


def table_name(parameters: Parameters) -> str:
    """Return the parameters in one line: the head of the CSV, and a name that distinguishes tables."""
    reaches = " reaches" if parameters.reaches else ""
    if isinstance(parameters, CountParameters):
        free = "".join(f" free{row}" for row in parameters.free_rows)
        return (
            f"counts D={parameters.bound} V={_variance(parameters)} js={parameters.barred}"
            f" pstay={float(parameters.stay)!r}{reaches}{free}"
        )
    rows = ",".join(str(row) for row in parameters.icat)
    return (
        f"magnitudes D={parameters.bound} V={_variance(parameters)} step={parameters.step}"
        f" icat={rows}{reaches}"
    )


def _variance(parameters: Parameters) -> str:
    """Return V: 3 and 3.0 are one parameter, and have one table."""
    variance = parameters.variance
    return repr(int(variance)) if float(variance).is_integer() else repr(variance)


def table_to_csv(table: PerturbationTable) -> str:
    """Return the CSV, always the same text for the same table."""
    step = table.parameters.step
    lines = [f"# {table_name(table.parameters)}", ",".join(COLUMNS)]
    for row in table.rows:
        for noise, parts, bound in zip(row.steps, row.parts, row.bounds, strict=True):
            shown = _number(Decimal(row.category * step + noise) / step)
            value = _number(Decimal(noise) / step)
            lines.append(
                f"{row.category},{shown},{value},{_number(Decimal(parts) / PARTS)},"
                f"{_number(Decimal(bound) / PARTS)}"
            )
    return "\n".join(lines) + "\n"


def table_from_csv(text: str, parameters: Parameters) -> PerturbationTable:
    """Return the table that a CSV holds. Raises StatisticsRefused("table_malformed")."""
    head, _, body = text.partition("\n")
    if len(text) > _CHARACTERS_MAX or head != f"# {table_name(parameters)}":
        raise StatisticsRefused("table_malformed", "it is of other parameters")
    try:
        rows = tuple(_rows(body, parameters.step))
    except (InvalidOperation, ValueError, KeyError, TypeError, csv.Error) as error:
        if isinstance(error, StatisticsRefused):
            raise
        raise StatisticsRefused("table_malformed", "a line is not of its form") from error
    table = PerturbationTable(parameters, rows)
    if table_to_csv(table) != text:
        raise StatisticsRefused("table_malformed", "j, v, p and ub do not belong together")
    return table


def table_hash(table: PerturbationTable) -> str:
    """Return the SHA-256 of the CSV in hex: which table a release used."""
    return sha256(table_to_csv(table).encode()).hexdigest()


def _rows(body: str, step: int) -> list[Row]:
    lines = list(csv.DictReader(StringIO(body)))
    rows = []
    for category, members in groupby(lines, key=lambda line: int(line["i"])):
        values = [(Decimal(line["v"]) * step, Decimal(line["p"]) * PARTS) for line in members]
        if any(number != number.to_integral_value() for pair in values for number in pair):
            raise ValueError("not a whole number of steps or parts")
        rows.append(Row(category, tuple(int(v) for v, _ in values), tuple(int(p) for _, p in values)))
    return rows


def _number(value: Decimal) -> str:
    """Return a decimal without exponent and without zeros at its end."""
    text = f"{value:.12f}".rstrip("0").rstrip(".")
    return "0" if text == "-0" else text
