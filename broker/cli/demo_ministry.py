"""A ministry in the demo: asks for tables as its people do, and shows what comes and what is refused."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from io import StringIO
from itertools import islice
from pathlib import Path
from typing import Any, Final
from zipfile import ZipFile

from rich.console import Console

from broker.cli.demo_desk import Desk
from broker.cli.demo_stage import Role, Stage
from broker.cli.demo_steps import Exchange, Lang
from broker.cli.statistics_bands import bands_of
from broker.cli.statistics_catalogue import Question, find_release, question_of
from broker.cli.statistics_door import CATALOGUE, EXPORTS, SCOPE, StatisticsDoor
from broker.cli.statistics_download import download
from broker.cli.statistics_package import read_cells, read_note
from broker.cli.statistics_table import show_table
from broker.cli.statistics_view import shown_of
from broker.cli.statistics_words import REASONS
from broker.oauth.client_credentials import CLIENT_CREDENTIALS

COUNTING: Final = Role((SCOPE,), "ministry_of_health_statistics", {"grant_types": [CLIENT_CREDENTIALS]})
FORMAT: Final = "sdmx-csv"
_TABLE_ROWS: Final = 6
_NOTE_LINES: Final = 8
_WIDTH: Final = 110
_ACCEPTED: Final = 202
_HEADERS: Final = {"Authorization": "DPoP <token>", "DPoP": "<proof>"}


@dataclass(slots=True)
class Ministry:
    """A client that asks for tables. directory: where its packages go."""

    stage: Stage
    door: StatisticsDoor
    directory: Path
    _release: Mapping[str, Any] = field(default_factory=dict, init=False)

    def look(self) -> Exchange:
        """Read the catalogue; the transcript has names and numbers of codes, not all codes."""
        catalogue = self.door.catalogue()
        self._release = find_release(catalogue, None)
        return Exchange(_request("GET", CATALOGUE, None), 200, _in_short(self._release))

    def table(self, file_name: str, by: Sequence[str]) -> Exchange:
        """Ask for a table, fetch its package, read it back with somebody else's program, and show its top."""
        release, lang = self._release, self.door.lang
        question = question_of(release, by, (), ())
        asked = self.ask(question.body(FORMAT))
        if asked.status != _ACCEPTED:
            return asked
        job = self.door.wait(asked.response, lambda _: None)
        exchange = replace(asked, response=job, references=self.stage.exports(str(job["job_id"])))
        if job["state"] != "done":
            return replace(exchange, shown=_why(str(job["reason"]), lang))
        file = self.directory / file_name
        download(self.door, job, file, lambda _: None)
        shown = [*self._top(question, file), "", *_note(file, lang)]
        references = self.stage.exports(str(job["job_id"]))
        return replace(exchange, references=references, shown=tuple(shown), faults=_misread(file, job))

    def cross(self, dimensions: Sequence[tuple[str, str]]) -> Exchange:
        """Ask for what is no table that may be told."""
        named = [{"name": name, "level": level} for name, level in dimensions]
        return self.ask({"release": self._release["release"], "dimensions": named, "format": FORMAT})

    def ask(self, document: Mapping[str, Any]) -> Exchange:
        """Send a question, and say what is allowed where it is refused."""
        exchange = Desk(self.door.caller, self.door.lang).ask(EXPORTS, document)
        response = exchange.response or {}
        allowed = str(response.get("allowed") or "")
        told = (allowed,) if allowed else _why(str(response.get("reason", "")), self.door.lang)
        return exchange if exchange.status == _ACCEPTED else replace(exchange, shown=told)

    def close(self) -> None:
        """Close all connections."""
        self.door.caller.close()

    def _top(self, question: Question, file: Path) -> list[str]:
        release, lang, out = self._release, self.door.lang, StringIO()
        cells = read_cells(file, tuple(name for name, _ in question.by), question.measures)
        table = shown_of(release, question, cells, bands_of(release), lang)
        show_table(table, lang, Console(file=out, width=_WIDTH, highlight=False), _TABLE_ROWS)
        return [line.rstrip() for line in out.getvalue().splitlines() if line.strip()]


def has_table(exchange: Exchange) -> bool:
    """Whether a question has come to a table."""
    return bool(exchange.status == _ACCEPTED and exchange.response["state"] == "done")


def _request(method: str, path: str, body: Mapping[str, Any] | None) -> Mapping[str, Any]:
    return {"method": method, "path": path, "headers": dict(_HEADERS), "body": body}


def _in_short(release: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "release": release["release"],
        "limits": release["limits"],
        "dimensions": {
            one["name"]: {level["name"]: len(level["categories"]) for level in one["levels"]}
            for one in release["dimensions"]
        },
        "measures": [one["name"] for one in release["measures"]],
    }


def _why(reason: str, lang: Lang) -> tuple[str, ...]:
    return (REASONS[reason].say(lang),) if reason in REASONS else ()


def _note(file: Path, lang: Lang) -> list[str]:
    return [*islice((line for line in read_note(file, lang).splitlines() if line.strip()), _NOTE_LINES)]


def _misread(file: Path, job: Mapping[str, Any]) -> tuple[str, ...]:
    """Return what is wrong with a package in the eyes of pysdmx, whose structure names every code of it."""
    from pysdmx.io import get_datasets

    with ZipFile(file) as package:
        place = file.with_suffix("")
        place.mkdir(exist_ok=True)
        package.extractall(place)
    [dataset] = get_datasets(place / "data.csv", place / "structure.xml")
    rows = len(dataset.data)
    cells = int(job["result"]["cell_count"])
    return () if rows == cells else (f"pysdmx reads {rows} rows of {cells} cells",)
