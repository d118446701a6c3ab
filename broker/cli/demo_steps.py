"""What a step of the demo is: words, one request, what must come of it; and whether it did."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

if TYPE_CHECKING:
    from broker.cli.demo_play import Play

Lang: TypeAlias = Literal["vi", "en"]


@dataclass(frozen=True, slots=True)
class Words:
    """The same in Vietnamese and in English."""

    vi: str
    en: str

    def say(self, lang: Lang) -> str:
        """Return the text in one of the two languages."""
        return self.vi if lang == "vi" else self.en


@dataclass(frozen=True, slots=True)
class Exchange:
    """One request and its answer, without token, proof or key.

    request: method, path, headers and body as sent, secrets replaced by placeholders. status: HTTP. response:
    the decoded body; header fields that matter stand under header_fields, a signed receipt is opened into
    header, payload and signature_verified. references: evidence references that the answer names. faults:
    what the asker found wrong itself (a signature that does not verify). shown: lines for the screen, as they
    are: what came of it, where that is more than a word.
    """

    request: Mapping[str, Any]
    status: int
    response: Any
    references: tuple[str, ...] = ()
    faults: tuple[str, ...] = ()
    shown: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Expected:
    """What a step must give.

    answers: per answer (several in a batch) the gateway code, "" where there is none, and which cards it
    carries. error: OAuth error code, of the body or of the WWW-Authenticate challenge. evidence: per entry
    its result and reason, joined by a colon. retry_after: whether Retry-After must say how many seconds.
    otherwise: another outcome that is right, where chance decides.
    """

    status: int = 200
    answers: tuple[tuple[str, str], ...] = (("", ""),)
    error: str = ""
    evidence: tuple[str, ...] = ()
    retry_after: bool = False
    otherwise: Expected | None = None


@dataclass(frozen=True, slots=True)
class Step:
    """One scene. act returns what was exchanged: usually one pair, several where the step repeats itself.

    is_persistent: answers before the last may have another status than the expected one.
    """

    name: str
    title: Words
    comment: Words
    act: Callable[[Play], Sequence[Exchange]]
    expected: Expected
    is_persistent: bool = False


@dataclass(frozen=True, slots=True)
class Played:
    """A step that was played: its last exchange, the evidence it left, and what differed from expectation."""

    step: Step
    exchange: Exchange
    entries: tuple[Mapping[str, Any], ...]
    differences: tuple[str, ...]

    def row(self) -> dict[str, Any]:
        """Return the step's row of the transcript."""
        evidence = list(self.entries)
        return {
            "step": self.step.name,
            "request": self.exchange.request,
            "status": self.exchange.status or None,
            "response": self.exchange.response,
            "evidence": None if not evidence else evidence[0] if len(evidence) == 1 else evidence,
        }


def outcome(entry: Mapping[str, Any]) -> tuple[str, str]:
    """Return what became of it, and why: an entry of an export has steps where others have results."""
    return str(entry.get("result") or entry["step"]), str(entry["reason"] or "")


def answers_in(exchange: Exchange) -> list[Mapping[str, Any]]:
    """Return the answers in a response: the items of a batch, the content of a receipt, else the body."""
    response = exchange.response
    if not isinstance(response, Mapping):
        return []
    if "items" in response:
        return list(response["items"])
    if exchange.status == 200 and "receipt" in response:
        return [response["receipt"]["payload"]["entitlement_check"]]
    return [response]


def cards_in(answer: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """Return the cards that an answer carries: card, new_card, both or none."""
    return {name: answer[name] for name in ("card", "new_card") if name in answer}


def differences(
    expected: Expected,
    exchange: Exchange,
    entries: Sequence[Mapping[str, Any]],
    permitted_fields: frozenset[str],
) -> tuple[str, ...]:
    """Return what differs from what was expected, in words that name no value of a record.

    permitted_fields: all that a card in an answer may hold.
    """
    answers = answers_in(exchange)
    found = tuple((str(one.get("gateway_code", "")), "+".join(cards_in(one))) for one in answers)
    recorded = tuple(":".join(outcome(entry)) for entry in entries)
    checks = (
        ("status", expected.status, exchange.status),
        ("codes and cards", expected.answers, found),
        ("error", expected.error, _error_in(exchange)),
        ("evidence", expected.evidence, recorded),
        ("Retry-After", expected.retry_after, _retry_after(exchange) >= 1),
    )
    faults = [
        f"{name}: {wanted} expected, {given} found" for name, wanted, given in checks if wanted != given
    ]
    if faults and expected.otherwise is not None:
        return differences(expected.otherwise, exchange, entries, permitted_fields)
    surplus = {
        field for one in answers for card in cards_in(one).values() for field in card
    } - permitted_fields
    if surplus:
        faults.append("fields outside the agreement: " + ", ".join(sorted(surplus)))
    return (*faults, *exchange.faults)


def _header_fields(exchange: Exchange) -> Mapping[str, str]:
    if not isinstance(exchange.response, Mapping):
        return {}
    fields: Mapping[str, str] = exchange.response.get("header_fields", {})
    return fields


def _error_in(exchange: Exchange) -> str:
    if isinstance(exchange.response, Mapping) and "error" in exchange.response:
        return str(exchange.response["error"])
    _, _, rest = _header_fields(exchange).get("WWW-Authenticate", "").partition('error="')
    return rest.partition('"')[0]


def _retry_after(exchange: Exchange) -> int:
    text = _header_fields(exchange).get("Retry-After", "0")
    return int(text) if text.isdecimal() else 0
