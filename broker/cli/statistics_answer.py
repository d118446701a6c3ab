"""From a question to its table: the job with its bar, the download, the terminal, the chart."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from broker.cli.demo_steps import Lang, Words
from broker.cli.output import CommandRefused
from broker.cli.progress import progress_bar
from broker.cli.statistics_bands import bands_of
from broker.cli.statistics_catalogue import Document, Question
from broker.cli.statistics_chart import chart_bytes
from broker.cli.statistics_chart_plan import ChartTooLarge
from broker.cli.statistics_door import CANCELLED, JOB_FAILED, StatisticsDoor
from broker.cli.statistics_download import download
from broker.cli.statistics_package import PackageUnreadable, read_cells
from broker.cli.statistics_shown import ShownTable
from broker.cli.statistics_table import show_table
from broker.cli.statistics_view import shown_of
from broker.cli.statistics_words import CHART, EXPORT, REASONS, number


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What becomes of the answer. rows: of the table in the terminal, 0 for all."""

    format_code: str
    out: Path | None
    chart: Path | None
    rows: int
    as_json: bool


def fetched(door: StatisticsDoor, question: Question, wanted: Wanted) -> tuple[Path, Mapping[str, Any]]:
    """Return the file of the answer and the job that made it. Raises CommandRefused."""
    body = json.dumps(question.body(wanted.format_code)).encode()
    lang = door.lang
    with progress_bar(100, EXPORT["progress"].say(lang), False) as on_percent:
        job = door.wait(door.ask(body), on_percent)
    if job["state"] != "done":
        raise _refused(job, lang)
    result = job["result"]
    # The name comes from the server: only its last part may say where a file goes.
    file = wanted.out or Path(Path(str(result["file_name"])).name)
    with progress_bar(int(result["bytes_count"]), EXPORT["bytes"].say(lang), False) as on_bytes:
        download(door, job, file, on_bytes)
    return file, job


def show_answer(
    release: Document, question: Question, wanted: Wanted, file: Path, job: Mapping[str, Any], lang: Lang
) -> None:
    """Show what a file tells, and draw it where that is wanted. Raises CommandRefused."""
    result = job["result"]
    table = _read(release, question, file, lang)
    if wanted.as_json:
        told = {"file": str(file), "chart": None if wanted.chart is None else str(wanted.chart), "job": job}
        click.echo(json.dumps(told, ensure_ascii=False, indent=2))
    else:
        show_table(table, lang, Console(highlight=False), wanted.rows)
        size = number(int(result["bytes_count"]), lang)
        click.echo(EXPORT["file"].say(lang).format(file=file, size=size, hash=result["content_hash"]))
    if wanted.chart is not None:
        _draw(table, wanted.chart, lang)
        if not wanted.as_json:
            click.echo(EXPORT["chart"].say(lang).format(chart=wanted.chart))


def _read(release: Document, question: Question, file: Path, lang: Lang) -> ShownTable:
    try:
        cells = read_cells(file, tuple(name for name, _ in question.by), question.measures)
    except (PackageUnreadable, ModuleNotFoundError) as fault:
        raise CommandRefused(EXPORT["unread"].say(lang).format(file=file, fault=fault)) from None
    return shown_of(release, question, cells, bands_of(release), lang)


def _draw(table: ShownTable, chart: Path, lang: Lang) -> None:
    measure = 1 if len(table.measures) > 1 else 0
    try:
        picture = chart_bytes(table, lang, "svg" if chart.suffix == ".svg" else "png", measure)
    except ChartTooLarge as fault:
        raise CommandRefused(CHART[fault.key].say(lang).format(count=fault.count, most=fault.most)) from None
    chart.write_bytes(picture)


def _refused(job: Mapping[str, Any], lang: Lang) -> CommandRefused:
    """Return why a job came to nothing, and what to do."""
    reason, state = str(job["reason"] or ""), job["state"]
    if state == "cancelled":
        return CommandRefused(EXPORT["cancelled"].say(lang).format(job_id=job["job_id"]), CANCELLED)
    words = REASONS.get(reason, Words(reason, reason)).say(lang)
    text = EXPORT["refused" if state == "refused" else "failed"].say(lang)
    return CommandRefused(text.format(job_id=job["job_id"], reason=reason, words=words), JOB_FAILED)
