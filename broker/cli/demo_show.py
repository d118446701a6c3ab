"""How the demo looks: what was asked, what left, what stayed and why, and the evidence of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from broker.cli.demo_steps import Exchange, Lang, Played, answers_in, cards_in, outcome
from broker.cli.demo_words import REASONS, WORDS
from policies.catalogue import Catalogue
from policies.explain import describe_form, describe_reason
from policies.model import Agreement, Form

_PLAIN_WIDTH: Final = 120
EXPORT_KIND: Final = "export"
"""Kind of entries about nobody individually: they have steps, and no fields of anybody."""


class Screen:
    """Writes the story to the terminal in one language; nothing it writes names a person or a number."""

    def __init__(self, lang: Lang, agreement: Agreement, catalogue: Catalogue, console: Console) -> None:
        self._lang: Lang = lang
        self._agreement = agreement
        self._catalogue = catalogue
        self._console = console

    def scene(self, number: int, played: Played) -> None:
        """Show one step."""
        step, exchange = played.step, played.exchange
        mark = "[green]✔[/]" if not played.differences else f"[bold red]✘ {self._word('differs')}[/]"
        self._console.print(f"\n[bold]{number:>2}. {escape(step.title.say(self._lang))}[/] {mark}")
        self._console.print(f"    [italic]{escape(step.comment.say(self._lang))}[/]")
        grid = Table.grid(padding=(0, 2))
        grid.add_column(style="cyan", no_wrap=True)
        grid.add_column(overflow="fold")
        for name, text in (
            ("asked", self._asked(exchange)),
            ("answer", self._answered(exchange)),
            ("released", self._released(played)),
            ("withheld", self._withheld(played)),
            ("evidence", self._evidence(played)),
        ):
            grid.add_row("    " + self._word(name), escape(text))
        for difference in played.differences:
            grid.add_row("", f"[red]{escape(difference)}[/]")
        self._console.print(grid)
        for line in exchange.shown:
            self._console.print(f"    {line}", markup=False, soft_wrap=True)

    def summary(self, story: Sequence[Played]) -> None:
        """Show all evidence that the story left, as it stands in the database."""
        table = Table(title=self._word("summary"), title_justify="left", header_style="bold", expand=True)
        table.add_column(self._word("step"), justify="right", width=5)
        table.add_column(self._word("entry"), width=38)
        for name in ("released", "withheld"):
            table.add_column(self._word(name), ratio=1)
        for number, played in enumerate(story, start=1):
            for entry in _ends(played.entries):
                words = [one for one in (entry["kind"], *outcome(entry)) if one]
                lines = f"{entry['reference']}\n{' · '.join(words)}"
                table.add_row(str(number), lines, *self._pairs_of(entry))
        self._console.print()
        self._console.print(table)

    def _word(self, name: str, **values: object) -> str:
        return WORDS[name].say(self._lang).format(**values)

    def _asked(self, exchange: Exchange) -> str:
        request = exchange.request
        if not request:
            return "–"
        line, body = f"{request['method']} {request['path']}", request["body"] or {}
        told: list[str] = []
        if "items" in body:
            told.append(self._word("persons", count=len(body["items"])))
        if "card_number" in body:
            told.append(self._number(body["card_number"]))
        others = ("personal_id", "full_name", "birth_date", "acting_person")
        told += [self._word(name) for name in others if name in body]
        told += [self._fields(detail) for detail in body.get("authorization_details", ())]
        if "choice" in body:
            told.append(f"choice={body['choice']}")
        if "scope" in body:
            told.append(f"scope={body['scope']}")
        return f"{line}: {', '.join(told)}" if told else line

    def _number(self, text: str) -> str:
        """Say of what kind a number is, never the number."""
        if "|" in text:
            return self._word("qr")
        return f"{self._word('card_number')} ({self._word('characters', count=len(text))})"

    def _answered(self, exchange: Exchange) -> str:
        parts = [str(exchange.status or "–")]
        for answer in answers_in(exchange):
            words = [
                str(answer[name]) for name in ("gateway_code", "outcome", "reason", "error") if name in answer
            ]
            words += [self._card(name, card) for name, card in cards_in(answer).items()]
            parts.append(" ".join(words))
        response = exchange.response if isinstance(exchange.response, Mapping) else {}
        parts += [f"{name}: {value}" for name, value in response.get("header_fields", {}).items()]
        parts += [
            f"{self._word('given')}: {self._fields(detail)}"
            for detail in response.get("authorization_details", ())
        ]
        if "browser_goes_to" in response:
            parts.append(str(response["browser_goes_to"]))
        if "source" in response:
            parts.append(f"{response.get('status')}, source: {response['source']}")
        if isinstance(response.get("receipt"), Mapping) and response["receipt"].get("signature_verified"):
            parts.append(self._word("verified"))
        return " · ".join(part for part in parts if part)

    def _card(self, name: str, card: Mapping[str, Any]) -> str:
        """Say from when to when a card counts, and its level; never its number."""
        days = f"{card.get('valid_from')} {self._word('until')} {card.get('valid_to')}"
        return f"[{self._word(name)}: {days}, {self._word('level')} {card.get('benefit_level')}]"

    def _released(self, played: Played) -> str:
        pairs = [pair for entry in played.entries for pair in entry.get("released", ())]
        language = 0 if self._lang == "vi" else 1
        lines = [
            f"{describe_form(Form(form), language)}: {', '.join(map(self._field, names))}"
            for form, names in _grouped(pairs).items()
        ]
        lines += [self._table(entry) for entry in played.entries if _is_table(entry)]
        return "; ".join(lines) or self._word("nothing")

    def _withheld(self, played: Played) -> str:
        pairs = [pair for entry in played.entries for pair in entry.get("withheld", ())]
        lines = [
            f"{', '.join(map(self._field, names))} ({self._reason(reason)})"
            for reason, names in _grouped(pairs).items()
        ]
        if any(map(_is_table, played.entries)):
            lines.append(self._word("individually"))
        bare = [one for one in played.entries if not one.get("released") and not one.get("withheld")]
        bare = [one for one in bare if one["kind"] != EXPORT_KIND or one["step"] == "refused"]
        reasons = dict.fromkeys(self._reason(entry["reason"]) for entry in bare)
        lines += [f"{self._word('everything')} ({reason})" for reason in reasons]
        if any(entry.get("released") for entry in played.entries):
            lines.append(self._never_released())
        return "; ".join(lines) or self._word("everything")

    def _table(self, entry: Mapping[str, Any]) -> str:
        return self._word("table", cells=entry["cell_count"], hidden=entry["suppressed_permille"])

    def _pairs_of(self, entry: Mapping[str, Any]) -> tuple[str, str]:
        """Return what left and what stayed, as an entry has it."""
        if entry["kind"] == EXPORT_KIND:
            return (self._table(entry), self._word("individually")) if _is_table(entry) else ("–", "–")
        return _pairs(entry["released"]), _pairs(entry["withheld"])

    def _never_released(self) -> str:
        """Say what the agreement keeps back from every answer: it is read for matching, or never read."""
        agreement = self._agreement
        given = {name for rule in agreement.rules for name in rule.fields}
        computing = {*agreement.computing_fields} - given
        others = self._catalogue.fields.keys() - given - computing - {*agreement.must_match}
        lines = [
            f"{', '.join(map(self._field, agreement.must_match))} ({self._reason('matching_only')})",
            f"{self._word('fields', count=len(computing))} ({self._reason('computing_only')})",
            self._word("other_fields", count=len(others)),
        ]
        return "; ".join(lines)

    def _evidence(self, played: Played) -> str:
        if not played.entries:
            return self._word(_why_unrecorded(played.exchange))
        lines = [f"{one['reference']} {one['kind']}: {outcome(one)[0]}" for one in _ends(played.entries)]
        left_out = len(played.entries) - len(lines)
        return "; ".join(lines) + (f" {self._word('more', count=left_out)}" if left_out else "")

    def _fields(self, detail: Mapping[str, Any]) -> str:
        return ", ".join(map(self._field, detail.get("fields", ())))

    def _field(self, name: str) -> str:
        known = self._catalogue.fields.get(name)
        return name if known is None else (known.label_vi if self._lang == "vi" else known.label_en)

    def _reason(self, code: str) -> str:
        words = REASONS.get(code)
        return words.say(self._lang) if words else describe_reason(code, 0 if self._lang == "vi" else 1)


def plain_console() -> Console:
    """Return a console; where nobody watches it is wide enough for the tables."""
    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=_PLAIN_WIDTH)


def _why_unrecorded(exchange: Exchange) -> str:
    """Return the word that says why an exchange left no evidence."""
    request = exchange.request
    if request.get("method") == "GET" and not request.get("headers"):
        return "public"
    return "unrecorded" if exchange.status >= 400 or not exchange.status else "not_yet"


def _ends(entries: Sequence[Mapping[str, Any]]) -> Sequence[Mapping[str, Any]]:
    """The first and the last of many entries; all of a few."""
    return entries if len(entries) <= 4 else (entries[0], entries[-1])


def _is_table(entry: Mapping[str, Any]) -> bool:
    return bool(entry["kind"] == EXPORT_KIND and entry["step"] == "released")


def _grouped(pairs: Sequence[Sequence[str]]) -> dict[str, list[str]]:
    """Return form or reason → the names it stands with, each once."""
    found: dict[str, dict[str, None]] = {}
    for name, word in pairs:
        found.setdefault(word, {})[name] = None
    return {word: list(names) for word, names in found.items()}


def _pairs(pairs: Sequence[Sequence[str]]) -> str:
    return "; ".join(f"{word}: {', '.join(names)}" for word, names in _grouped(pairs).items()) or "–"
