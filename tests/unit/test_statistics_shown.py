"""Tables in the terminal and as pictures: hidden cells are marked, nothing pretends to add up."""

from __future__ import annotations

from dataclasses import replace
from io import StringIO
from xml.etree import ElementTree

import pytest
from rich.console import Console

from broker.cli.demo_steps import Lang
from broker.cli.statistics_chart import chart_bytes
from broker.cli.statistics_chart_plan import ChartTooLarge, chart_plan
from broker.cli.statistics_shown import ShownAxis, ShownTable
from broker.cli.statistics_table import show_table
from tests.shown_tables import AGE, PROVINCE, SEX, shown

SVG = "{http://www.w3.org/2000/svg}"


def printed(table: ShownTable, lang: Lang = "vi", rows: int = 0) -> list[str]:
    out = StringIO()
    show_table(table, lang, Console(file=out, width=120), rows)
    return [line.strip() for line in out.getvalue().splitlines()]


def test_totals_stand_first_and_hidden_cells_are_dashes_with_a_footnote() -> None:
    lines = printed(shown(PROVINCE, hidden=(("48",),)))
    rows = [line.split("  ") for line in lines if line.startswith(("Tổng", "Hà", "Thành", "Đà"))]
    assert [row[0] for row in rows] == ["Tổng số", "Hà Nội", "Thành phố Hồ Chí Minh", "Đà Nẵng"]
    assert [row[-1].strip() for row in rows] == ["1.000.000.000", "2.000.000.000", "3.000.000.000", "–"]
    assert lines[0] == "Số người theo tỉnh, thành phố · Bản phát hành 2026-q3.1"
    assert "–  không công bố: 1 trong 4 ô." in lines
    assert "±  Số người: 95 % lệch không quá 4 người." in lines
    assert "±  Tiền đóng: 95 % lệch không quá 100.000.000 đến 300.000.000 đồng, tùy ô." in lines
    assert lines[-1] == "Mỗi ô có nhiễu riêng; các ô không cộng lại bằng tổng."


def test_a_small_last_dimension_stands_across_once_for_each_measure() -> None:
    lines = printed(shown(PROVINCE, SEX, hidden=(("79", "F"),)), "en")
    heads = [line for line in lines if line.startswith("Tỉnh, thành phố")]
    assert [head.split()[-3:] for head in heads] == [["Total", "Nữ", "Nam"]] * 2
    assert next(line for line in lines if line.startswith("Thành phố")).split()[-3:] == [
        "7,000",
        "–",
        "9,000",
    ]
    assert "Số người by tỉnh, thành phố and giới tính · Release 2026-q3.1" in lines


def test_a_long_table_is_cut_off_and_says_how_much_is_left() -> None:
    long = printed(shown(PROVINCE, AGE), rows=3)
    assert "… và 1 dòng nữa trong tệp; --rows 0 cho xem hết." in long
    assert not any("--rows" in line for line in printed(shown(PROVINCE, AGE), rows=4))


def test_filters_stand_in_the_title() -> None:
    table = replace(shown(PROVINCE), filters=(("Giới tính", ("Nữ",)),))
    assert printed(table)[0].endswith(" · chỉ Giới tính: Nữ")


def test_a_chart_has_a_bar_for_each_cell_and_none_for_margins() -> None:
    plan = chart_plan(shown(PROVINCE, SEX, AGE, hidden=(("01", "F", "0-9"), ("_T", "F", "0-9"))), 0)
    assert (len(plan.bars), plan.hidden) == (3 * 2 * 6, 1)
    assert plan.rows == tuple(name for _, name in AGE.categories)
    assert plan.groups == ("Nữ", "Nam")
    assert plan.panels == ("Hà Nội", "Thành phố Hồ Chí Minh", "Đà Nẵng")
    assert {one.width for one in plan.bars if one.value is not None} == {3.4}


def test_of_three_long_dimensions_two_make_rows_together() -> None:
    years = replace(AGE, name="years", categories=AGE.categories[:5])
    plan = chart_plan(shown(years, AGE, replace(PROVINCE, categories=AGE.categories)), 0)
    assert (plan.groups, plan.panels) == (("",), tuple(name for _, name in years.categories))
    assert plan.rows[:2] == ("0–9 · 0–9", "0–9 · 10–19")
    assert len({(one.row, one.panel) for one in plan.bars}) == len(plan.bars) == 5 * 6 * 6


def test_long_names_are_cut_so_that_the_second_one_still_tells_rows_apart() -> None:
    far = replace(
        PROVINCE, categories=tuple((f"{n}", "Duyên hải Nam Trung Bộ và Tây Nguyên") for n in range(6))
    )
    assert chart_plan(shown(far), 0).rows[0] == "Duyên hải Nam Trung Bộ và Tây Nguyên"
    together = chart_plan(shown(far, AGE, replace(AGE, name="years")), 0)
    assert {"Duyên hải Nam Trung Bộ … · 0–9", "Duyên hải Nam Trung Bộ … · 10–19"} <= {*together.rows}


def test_a_period_makes_the_rows_however_few_there_are() -> None:
    months = ShownAxis("period", "Tháng", (("2026-07", "7/2026"), ("2026-08", "8/2026")))
    assert chart_plan(shown(PROVINCE, months), 0).rows == ("7/2026", "8/2026")


@pytest.mark.parametrize(
    ("axes", "key", "count"),
    [
        ((PROVINCE, SEX, SEX, SEX), "too_many_axes", 4),
        ((replace(AGE, categories=tuple((f"{n}", f"{n}") for n in range(601))),), "too_many_bars", 601),
    ],
)
def test_what_no_chart_can_show_is_refused(axes: tuple[ShownAxis, ...], key: str, count: int) -> None:
    with pytest.raises(ChartTooLarge) as refused:
        chart_plan(shown(*axes), 0)
    assert (refused.value.key, refused.value.count) == (key, count)


def test_an_svg_is_always_the_same_and_tells_what_it_shows() -> None:
    table = shown(PROVINCE, SEX, hidden=(("79", "F"),))
    first = chart_bytes(table, "vi", "svg")
    assert chart_bytes(table, "vi", "svg") == first
    root = ElementTree.fromstring(first)  # noqa: S314 - our own picture
    assert root.attrib["role"] == "img"
    named = {one.attrib["id"]: one.text for one in (*root.iter(f"{SVG}title"), *root.iter(f"{SVG}desc"))}
    assert list(named) == root.attrib["aria-labelledby"].split()
    assert named["title"] == "Số người theo tỉnh, thành phố và giới tính"
    assert named["desc"] == (
        "Biểu đồ thanh: Số người theo tỉnh, thành phố và giới tính. 6 thanh, 1 không công bố. Lớn nhất: "
        "Đà Nẵng, Nam: 12.000 người. Các ô có nhiễu riêng, không cộng lại bằng tổng."
    )
    assert b"2026-1" not in first
    assert b"dc:date" not in first


def test_a_png_is_always_the_same_and_differs_with_language_and_hidden_cells() -> None:
    table = shown(SEX)
    first = chart_bytes(table, "vi", "png", 1)
    assert first.startswith(b"\x89PNG")
    assert first == chart_bytes(table, "vi", "png", 1)
    assert first != chart_bytes(table, "en", "png", 1)
    assert first != chart_bytes(shown(SEX, hidden=(("F",),)), "vi", "png", 1)


def test_a_chart_in_which_all_is_hidden_is_drawn_all_the_same() -> None:
    picture = chart_bytes(shown(SEX, hidden=(("F",), ("M",))), "en", "svg")
    assert b"2 bars, 2 not told. Largest: none." in picture
