"""The words of `broker statistics export`, its terminal table and its charts, Vietnamese and English."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from broker.cli.demo_steps import Lang, Words

TABLE: Final[Mapping[str, Words]] = {
    "persons": Words("Số người", "Persons"),
    "persons_unit": Words("người", "persons"),
    "VND": Words("đồng", "VND"),
    "months": Words("tháng", "months"),
    "total": Words("Tổng số", "Total"),
    "by": Words("{measure} theo {axes}", "{measure} by {axes}"),
    "and": Words(" và ", " and "),
    "only": Words("chỉ {name}: {categories}", "only {name}: {categories}"),
    "release": Words("Bản phát hành {release}", "Release {release}"),
    "hidden": Words(
        "–  không công bố: {hidden} trong {cells} ô.",
        "–  not told: {hidden} of {cells} cells.",
    ),
    "none_hidden": Words("Không ô nào bị ẩn.", "No cell is hidden."),
    "margins": Words(
        "Mỗi ô có nhiễu riêng; các ô không cộng lại bằng tổng.",
        "Each cell has noise of its own; cells do not add up to totals.",
    ),
    "band": Words("±  {measure}: {about}.", "±  {measure}: {about}."),
    "same": Words("95 % lệch không quá {most} {unit}", "95 % are off by at most {most} {unit}"),
    "varied": Words(
        "95 % lệch không quá {least} đến {most} {unit}, tùy ô",
        "95 % are off by at most {least} to {most} {unit}, by cell",
    ),
    "cut_off": Words(
        "… và {count} dòng nữa trong tệp; --rows 0 cho xem hết.",
        "… and {count} more rows in the file; --rows 0 shows all.",
    ),
}  # fmt: skip

CHART: Final[Mapping[str, Words]] = {
    "hidden": Words("–  không công bố", "–  not told"),
    "band": Words("vạch đen: khoảng do nhiễu, 95 %", "black lines: how far noise moves 95 % of them"),
    "margins": Words(
        "Các ô có nhiễu riêng, không cộng lại bằng tổng.",
        "Cells have noise of their own and do not add up.",
    ),
    "bars": Words(
        "Biểu đồ thanh: {title}. {count} thanh, {hidden} không công bố. Lớn nhất: {largest}.",
        "Bar chart: {title}. {count} bars, {hidden} not told. Largest: {largest}.",
    ),
    "all_hidden": Words("không có", "none"),
    "too_many_axes": Words(
        "biểu đồ vẽ được nhiều nhất 3 chiều; bảng có {count}",
        "a chart shows at most 3 dimensions; the table has {count}",
    ),
    "too_many_bars": Words(
        "biểu đồ vẽ được nhiều nhất {most} thanh; bảng có {count}: hãy hỏi ở cấp thô hơn",
        "a chart shows at most {most} bars; the table has {count}: ask at a coarser level",
    ),
}  # fmt: skip


def number(value: int | None, lang: Lang) -> str:
    """Return a number with its thousands apart as the language writes it; – for what is hidden."""
    if value is None:
        return "–"
    text = f"{value:,}"
    return text.replace(",", ".") if lang == "vi" else text


def heading(measure: str, axes: list[str], lang: Lang) -> str:
    """Return what a table or chart is of: "Persons by province and sex"."""
    *first, last = [one[:1].lower() + one[1:] for one in axes]
    listed = TABLE["and"].say(lang).join([", ".join(first), last]) if first else last
    return TABLE["by"].say(lang).format(measure=measure, axes=listed)
