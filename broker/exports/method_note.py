"""The method note: what was done to a table, how far its numbers are off, and what is not guaranteed."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from textwrap import fill
from typing import Any, Final, Literal, TypeAlias

import numpy as np
from babel.dates import format_date, format_time
from babel.numbers import format_decimal

from broker.exports.about import TableAbout, columns_of, filters_of, indicators_of
from broker.exports.note_words import NOTE
from broker.exports.texts import plain
from broker.statistics.manifest import Label
from broker.statistics.noise_band import count_band, count_deviation, margin_band, sum_share
from broker.statistics.output import HIDDEN, OutputTable

Language: TypeAlias = Literal["vi", "en"]
_WIDTH: Final = 100
_VIETNAM: Final = timezone(timedelta(hours=7))


def method_note(table: OutputTable, about: TableAbout, language: str) -> str:
    """Return the note in one of both languages, lines of 100 characters."""
    note = _Note(table, about, language)
    blocks = (note.what(), note.done(), note.marked(), note.expected(), note.promised(), note.cited())
    return "\n\n".join("\n".join(block) for block in blocks) + "\n"


class _Note:
    def __init__(self, table: OutputTable, about: TableAbout, language: str) -> None:
        self._table, self._about, self._language = table, about, language
        self._manifest, self._parameters = about.manifest, about.manifest.parameters

    def what(self) -> Iterator[str]:
        manifest = self._manifest
        yield self._line("heading", title=self._of(self._about.title))
        yield ""
        yield self._heading("what")
        yield self._line(
            "release",
            release=manifest.release,
            as_of=self._instant(manifest.as_of),
            frozen_at=self._instant(manifest.frozen_at),
        )
        if manifest.supersedes:
            yield self._line("supersedes", supersedes=manifest.supersedes)
        yield self._line("agreement", agreement=self._about.agreement, owner=self._of(self._about.owner_name))
        yield from self._asked()
        yield self._line("unit")
        yield from self._hidden()

    def _asked(self) -> Iterator[str]:
        for column in columns_of(self._about):
            level = self._of(column.levels[0][1])
            yield self._item("dimension", dimension=self._of(column.label), level=level)
        for dimension, categories in filters_of(self._about):
            kept = "; ".join(self._of(one) for one in categories)
            yield self._item("filter", dimension=self._of(dimension), categories=kept)
        for one in indicators_of(self._about):
            yield self._item("measure", measure=self._of(one.label), unit=self._of(one.unit_label))

    def _hidden(self) -> Iterator[str]:
        count = int(np.count_nonzero(self._table.persons == HIDDEN))
        yield self._line(
            "cells",
            cells=self._number(self._table.cells),
            hidden=self._number(count),
            share=self._number(100 * count / self._table.cells, 1),
        )
        for one in indicators_of(self._about):
            if one.kind == "sum":
                hidden = int(np.count_nonzero(self._table.sums[one.measure] == HIDDEN))
                yield self._line("hidden_sums", measure=self._of(one.label), hidden=self._number(hidden))

    def done(self) -> Iterator[str]:
        parameters = self._parameters
        counts, sums, audit = parameters.counts, parameters.sums, parameters.audit
        yield self._heading("done")
        yield self._item(
            "counts" if counts.barred else "counts_all",
            variance=self._number(counts.variance, 2),
            bound=self._number(counts.bound),
            barred=self._number(counts.barred),
        )
        if self._about.plan.measures:
            yield self._item(
                "sums",
                share=self._number(100 * parameters.share_large, 1),
                variance=self._number(sums.variance, 2),
                bound=self._number(sums.bound),
                digits=self._number(parameters.digits),
            )
        threshold, percent = self._number(parameters.threshold), self._number(parameters.dominance_percent)
        yield self._item("hiding", threshold=threshold, percent=percent)
        yield self._item("audit", persons=self._number(audit.persons), percent=self._number(audit.percent))

    def marked(self) -> Iterator[str]:
        yield self._heading("marked")
        yield self._line("marks")

    def expected(self) -> Iterator[str]:
        parameters, parts = self._parameters, max(len(codes) for _, codes in self._table.dimensions)
        band = count_band(parameters)
        yield self._heading("expect")
        yield self._item(
            "expect_counts",
            deviation=self._number(count_deviation(parameters), 1),
            band=self._number(band, 1),
            share=self._number(band / 10, 1),
        )
        if self._about.plan.measures:
            yield self._item("expect_sums", share=self._number(100 * sum_share(parameters), 1))
        yield self._item(
            "margins", parts=self._number(parts), band=self._number(margin_band(parameters, parts), 0)
        )
        several = [
            self._of(column.label)
            for column in columns_of(self._about)
            if not self._manifest.registry.dimension(column.name).one_each
        ]
        if several:
            yield self._item("several", dimensions=", ".join(several))

    def promised(self) -> Iterator[str]:
        yield self._heading("promised")
        for name in ("no_formal", "equal", "chances", "small"):
            yield self._item(name)

    def cited(self) -> Iterator[str]:
        yield self._heading("cite")
        yield self._line(
            "citation",
            owner=self._of(self._about.owner_name),
            title=self._of(self._about.title),
            release=self._manifest.release,
            hash=self._about.plan.hash,
        )
        yield ""
        yield self._heading("plan")
        yield self._about.plan.canonical()

    def _of(self, label: Label) -> str:
        return plain(label.vi if self._language == "vi" else label.en)

    def _heading(self, name: str) -> str:
        said = self._of(NOTE[name])
        return f"{said}\n{'-' * len(said)}"

    def _line(self, name: str, **values: Any) -> str:
        return fill(self._said(name, values), _WIDTH, break_long_words=False)

    def _item(self, name: str, **values: Any) -> str:
        return fill(
            self._said(name, values),
            _WIDTH,
            initial_indent="- ",
            subsequent_indent="  ",
            break_long_words=False,
            break_on_hyphens=False,
        )

    def _said(self, name: str, values: dict[str, Any]) -> str:
        """Return a paragraph in which no line ends between a number and its percent sign."""
        return self._of(NOTE[name]).format(**values).replace(" %", "\u00a0%")

    def _instant(self, at: datetime) -> str:
        local = at.astimezone(_VIETNAM)
        day, hour = (
            format_date(local, "long", locale=self._language),
            format_time(local, "HH:mm", locale=self._language),
        )
        return f"{day}, {hour} (UTC+7)"

    def _number(self, number: float, digits: int = 0) -> str:
        return str(format_decimal(round(number, digits), locale=self._language))
