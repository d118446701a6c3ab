"""The page on statistics knows every reason, every limit and the parameters that exports have."""

from __future__ import annotations

import json
import re
from dataclasses import asdict
from typing import Final

from broker.exports.described import described
from broker.exports.package import FORMATS
from broker.statistics.audit_rules import AuditRules
from broker.statistics.exact import FEW, FINEST_MAX, LARGE_MAX
from broker.statistics.parameters import SHARE_LARGE_MIN
from broker.statistics.protect import Rules
from broker.statistics.reasons import REASONS
from broker.statistics.registry import Limits
from tests.house.project import ROOT, table_rows
from tests.packages_world import WHOLE, about_of, table_of, unpacked

PAGE: Final = (ROOT / "docs/statistics.md").read_text(encoding="utf-8")


def rows(heading: str) -> list[list[str]]:
    """Return the rows of the table under a heading, its head left out."""
    [section] = [one for one in re.split(r"^## ", PAGE, flags=re.MULTILINE) if one.startswith(heading + "\n")]
    return list(table_rows(section))[1:]


def test_every_reason_stands_there_in_its_words() -> None:
    assert [(row[0].strip("`"), row[1]) for row in rows("Reasons")] == list(REASONS.items())


def test_every_limit_stands_there_with_its_default() -> None:
    assert {row[0].strip("`"): int(row[2]) for row in rows("A question")} == asdict(Limits())


def test_the_defaults_stand_there() -> None:
    rules, audit = Rules(), AuditRules()
    for said in (
        f"n' < {rules.threshold}, empty cells too",
        f"S - x1 - x2 < {rules.dominance_percent} % of x1",
        f"Sums are told to {rules.digits} digits",
        f"`share_large`, is at least {SHARE_LARGE_MIN:.2f}",
        f"at least {audit.persons} persons wide, and every hidden sum one of at least {audit.percent} % of",
        f"up to {FINEST_MAX:,}\n",
        f"up to {FEW} hidden cells for up to {LARGE_MAX:,} (",
        "(D = 5, V = 3, js = 2)",
    ):
        assert said in PAGE, said


def test_what_is_not_guaranteed_is_said() -> None:
    [section] = [one for one in re.split(r"^## ", PAGE, flags=re.MULTILINE) if one.startswith("What is not")]
    assert section.count("\n- ") >= 8
    assert "No formal guarantee" in section


def test_every_format_stands_there_with_its_files() -> None:
    found = rows("Formats")
    assert [row[0].strip("`") for row in found] == list(FORMATS)
    for row in found:
        files = unpacked(table_of(WHOLE), about_of(WHOLE), row[0].strip("`"))
        named = {
            name.replace("<dimension>", "sex")
            for name in re.findall(r"`([a-z<>-]+[.][a-z.-]+)`", row[1] + row[2])
        }
        assert named <= set(files), row[0]


def test_the_examples_of_formats_are_what_is_written() -> None:
    [section] = [one for one in re.split(r"^## ", PAGE, flags=re.MULTILINE) if one.startswith("Formats\n")]
    written = [
        content.decode(errors="ignore")
        for name in FORMATS
        for content in unpacked(table_of(WHOLE), about_of(WHOLE), name).values()
    ]
    written.append(json.dumps(described(about_of(WHOLE)), ensure_ascii=False, separators=(",", ":")))
    examples = re.findall(r"^    (.+)$", section, flags=re.MULTILINE)
    assert len(examples) == 9
    for line in examples:
        assert any(line.strip("{}") in one for one in written), line
