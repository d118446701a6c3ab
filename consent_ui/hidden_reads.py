"""How many looks were kept out of people's histories: a page and a file for everybody."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from flask import Response

from broker.evidence.disclosure import CountedQuarter
from consent_ui.addresses import HIDDEN_READS_FILE_RULE, HIDDEN_READS_RULE, HISTORY_RULE
from consent_ui.pages import guarded
from consent_ui.visit import Visit, words_of_request
from policies.compile import PolicySet

RULE: Final = "quarter, organisation, every look, once the quarter is over"
"""How figures are told: exact, because a look that is hidden is an act of a public body and no person's."""


@dataclass(frozen=True, slots=True)
class HiddenReadParts:
    """What is counted. names: organisation ids → (Vietnamese, English)."""

    list_quarters: Callable[[], Sequence[CountedQuarter]]
    names: Callable[[Collection[str]], Mapping[str, tuple[str, str]]]


class HiddenReadViews:
    """Views of /citizen/hidden-reads: the same for everybody, whoever is signed in."""

    def __init__(self, visit: Visit, policies: PolicySet, parts: HiddenReadParts) -> None:
        self._visit = visit
        self._policies = policies
        self._parts = parts

    def show(self) -> Response:
        """Say whose looks may be hidden, by which article, and how many were."""
        words, document = words_of_request(), self._document()
        named = {
            *(one["organisation"] for one in document["recipients"]),
            *(one["organisation"] for quarter in document["quarters"] for one in quarter["recipients"]),
        }
        names = {one: pair[words.index] or one for one, pair in self._parts.names(named).items()}
        bases, instruments = self._policies.registers.legal_bases, self._policies.registers.instruments
        return self._visit.pages.page(
            "hidden_reads.html",
            words,
            recipients=[
                {
                    **one,
                    "name": names[one["organisation"]],
                    "basis": (bases[one["legal_basis"]].label_vi, bases[one["legal_basis"]].label_en)[
                        words.index
                    ],
                    "law": (instruments[one["instrument"]].title_vi, instruments[one["instrument"]].title_en)[
                        words.index
                    ],
                }
                for one in document["recipients"]
            ],
            quarters=[
                (quarter["quarter"], names[one["organisation"]], one["reads"], one["extensions"])
                for quarter in document["quarters"]
                for one in quarter["recipients"]
            ],
            file=self._visit.addresses.page(HIDDEN_READS_FILE_RULE),
            history=self._visit.addresses.page(HISTORY_RULE, words.language),
            other_address=self._visit.addresses.page(HIDDEN_READS_RULE, words.other),
        )

    def file(self) -> Response:
        """Give the same as JSON."""
        content = json.dumps(self._document(), ensure_ascii=False, indent=2)
        return guarded(Response(content, mimetype="application/json"))

    def _document(self) -> dict[str, Any]:
        tables = self._policies.tables
        return {
            "rule": RULE,
            "recipients": [
                {
                    "organisation": one.organisation,
                    "kind": one.kind,
                    "legal_basis": one.legal_basis,
                    "instrument": one.instrument,
                    "article": one.article,
                    "certainty": one.certainty,
                    "days_maximum": one.days_maximum,
                    "extended_days_maximum": one.extended_days_maximum,
                }
                for _, one in sorted(self._policies.registers.hidden_reads.items())
            ],
            "agreements": [
                {"agreement": name, "hidden_days": tables[name].agreement.hidden_days}
                for name in sorted(tables)
                if tables[name].agreement.hidden_days
            ],
            "quarters": [_quarter(one) for one in self._parts.list_quarters()],
        }


def _quarter(one: CountedQuarter) -> dict[str, Any]:
    return {
        "quarter": one.name,
        "reads": sum(one.counts.values()),
        "recipients": [
            {
                "organisation": organisation,
                "reads": one.counts.get(organisation, 0),
                "extensions": one.extension_counts.get(organisation, 0),
            }
            for organisation in sorted({*one.counts, *one.extension_counts})
        ],
    }
