"""The page on evidence knows every kind with its members, every check, every reason and every status."""

from __future__ import annotations

import re
from typing import Final, get_args

from broker.evidence.kinds import CHECKS
from broker.evidence.reasons import REASONS
from broker.evidence.verifier import CHECK_NAMES
from broker.evidence.witness import Status
from broker.storage.privileges import APPLICATION_GRANTS, SEQUENCER_GRANTS
from tests.evidence_entries import decoded, one_of_each_kind
from tests.house.project import ROOT, table_rows

PAGE: Final = (ROOT / "docs/evidence.md").read_text(encoding="utf-8")
EVERYWHERE: Final = {"kind", "schema", "at", "reference"}


def rows(heading: str) -> list[list[str]]:
    """Return the rows of the table under a heading, its head left out."""
    [section] = [one for one in re.split(r"^## ", PAGE, flags=re.MULTILINE) if one.startswith(heading + "\n")]
    return list(table_rows(section))[1:]


def names(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


def test_every_kind_stands_there_with_exactly_its_members() -> None:
    told = {names(row[0])[0]: sorted(names(row[2])) for row in rows("Entries")}
    made = one_of_each_kind()
    assert told == {kind: sorted(decoded(made[kind]).keys() - EVERYWHERE) for kind in CHECKS}


def test_every_reason_stands_there_in_its_words() -> None:
    assert [(names(row[0])[0], row[1]) for row in rows("Reasons")] == list(REASONS.items())


def test_every_check_stands_there_in_its_order() -> None:
    assert tuple(names(row[0])[0] for row in rows("Checking one entry")) == CHECK_NAMES


def test_every_answer_of_a_witness_stands_there() -> None:
    assert {int(row[0]) for row in rows("Witnesses")} == set(get_args(Status))


def test_who_may_write_is_what_is_granted() -> None:
    told = {names(row[0])[0]: tuple(row[1:]) for row in rows("Who may write")}
    tables = [name for name in APPLICATION_GRANTS if name.startswith(("evidence_", "log_"))]
    assert told == {name: (APPLICATION_GRANTS[name], SEQUENCER_GRANTS.get(name, "none")) for name in tables}
