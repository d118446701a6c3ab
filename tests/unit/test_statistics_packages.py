"""What `broker statistics export` reads of a package is what the table tells, in every format."""

from __future__ import annotations

from pathlib import Path

import pytest

from broker.cli.statistics_package import read_cells, read_note
from broker.exports.package import FORMATS, packed
from tests.packages_world import about_of, asked, table_of

PLAN = asked("sector", "age", measures=("contributions", "months"))


@pytest.mark.parametrize("format_code", sorted(FORMATS))
def test_a_package_is_read_back_in_the_order_asked_for(format_code: str, tmp_path: Path) -> None:
    table, file = table_of(PLAN), tmp_path / "table.zip"
    file.write_bytes(packed(table, about_of(PLAN), format_code).content)
    found = read_cells(file, ("sector", "age"), ("months", "contributions"))
    wanted = {
        (sector, age): (row.persons, months, contributions)
        for row in table.rows()
        for age, sector in [row.codes]
        for contributions, months in [row.sums]
    }
    assert found == wanted
    assert any("65+" in codes for codes in found)
    assert read_note(file, "vi").startswith("GHI CHÚ PHƯƠNG PHÁP")
    assert read_note(file, "en").startswith("METHOD NOTE")
