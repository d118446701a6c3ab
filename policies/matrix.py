"""Who may see which field in which form: one row per recipient, purpose and field, as table, CSV or HTML."""

from __future__ import annotations

import csv
import html
import io
from collections.abc import Iterable
from dataclasses import astuple, dataclass, fields

from policies.compare import form_text
from policies.compile import PolicySet


@dataclass(frozen=True, slots=True)
class MatrixRow:
    """One permitted field. recipient: "hospital/*" = every hospital that acceded."""

    recipient: str
    purpose: str
    legal_basis: str
    field: str
    field_class: str
    form: str
    rule: str
    agreement: str
    revision: int


COLUMNS: tuple[str, ...] = tuple(column.name for column in fields(MatrixRow))


def matrix_rows(policies: PolicySet) -> tuple[MatrixRow, ...]:
    """Return every permitted (recipient, purpose, field) after prohibitions, in a fixed order.

    A field that no row names may not leave to anybody: the default is deny.
    """
    rows = []
    for table in policies.tables.values():
        agreement = table.agreement
        for recipient in sorted(agreement.recipients) or ["*"]:
            rows += [
                MatrixRow(
                    f"{agreement.recipient_kind}/{recipient}",
                    agreement.purpose,
                    agreement.legal_basis,
                    name,
                    policies.catalogue.fields[name].field_class,
                    form_text(release.form),
                    table.permitted_by[name],
                    agreement.id,
                    agreement.revision,
                )
                for name, release in table.permitted.items()
            ]
    return tuple(rows)


def matrix_table(rows: Iterable[MatrixRow]) -> str:
    """Return the rows as aligned text for a terminal."""
    lines = [COLUMNS, *(tuple(str(cell) for cell in astuple(row)) for row in rows)]
    widths = [max(len(line[index]) for line in lines) for index in range(len(COLUMNS))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )


def matrix_csv(rows: Iterable[MatrixRow]) -> str:
    """Return the rows as CSV (RFC 4180) with a header."""
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(COLUMNS)
    writer.writerows(astuple(row) for row in rows)
    return out.getvalue()


def matrix_html(rows: Iterable[MatrixRow]) -> str:
    """Return the rows as one HTML page that needs nothing else; everything is escaped."""
    head = "".join(f'<th scope="col">{html.escape(column)}</th>' for column in COLUMNS)
    body = "\n".join(
        "<tr>" + "".join(f"<td>{html.escape(str(cell))}</td>" for cell in astuple(row)) + "</tr>"
        for row in rows
    )
    style = "table{border-collapse:collapse}td,th{border:1px solid #999;padding:.2em .5em;text-align:left}"
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f"<title>Who may see which field in which form</title><style>{style}</style></head>\n<body>"
        "<h1>Who may see which field in which form</h1>"
        "<p>A field that no row names may not leave to anybody.</p>\n"
        f"<table><thead><tr>{head}</tr></thead>\n<tbody>\n{body}\n</tbody></table></body></html>\n"
    )
