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

EXPORT: Final[Mapping[str, Words]] = {
    "progress": Words("phần trăm của bảng", "per cent of the table"),
    "bytes": Words("byte", "bytes"),
    "interrupted": Words("Đã dừng.", "Stopped."),
    "cancelled": Words("Công việc {job_id} đã hủy.", "The job {job_id} is cancelled."),
    "refused": Words(
        "Bảng này không được công bố ({reason}): {words}", "This table may not be told ({reason}): {words}"
    ),
    "failed": Words(
        "Công việc {job_id} không thành ({reason}): {words}",
        "The job {job_id} came to nothing ({reason}): {words}",
    ),
    "file": Words(
        "{file}: {size} byte, SHA-256 {hash}; có ghi chú phương pháp.",
        "{file}: {size} bytes, SHA-256 {hash}; the method note is in it.",
    ),
    "chart": Words("{chart}: biểu đồ.", "{chart}: the chart."),
    "unread": Words(
        "Tệp đã nằm ở {file}, nhưng không đọc được để hiện bảng: {fault}",
        "The file lies at {file}, but cannot be read here for a table: {fault}",
    ),
}  # fmt: skip

CATALOGUE: Final[Mapping[str, Words]] = {
    "open": Words("đang mở", "open"),
    "closed": Words("đã đóng", "closed"),
    "dimensions": Words("Bản phát hành {release} chia được theo", "Release {release} can be cut by"),
    "measures": Words("Ngoài số người còn có tổng của", "Besides persons there are sums of"),
    "categories": Words("{count} mã", "{count} codes"),
    "sensitive": Words("nhạy cảm: chia được, không lọc được", "sensitive: to cut by, not to filter by"),
}  # fmt: skip

REASONS: Final[Mapping[str, Words]] = {
    "cell_narrowed": Words(
        "cùng với những bảng đã công bố, một ô bị ẩn có thể bị suy ra quá sát. Hãy hỏi ở cấp thô hơn.",
        "with what is told already, a hidden cell could be told too closely. Ask at a coarser level.",
    ),
    "audit_unsolved": Words(
        "không kiểm chứng được là an toàn, nên không trả ra. Hãy hỏi ở cấp thô hơn.",
        "it could not be shown to be safe, so nothing leaves. Ask at a coarser level.",
    ),
    "tables_exhausted": Words(
        "bản phát hành này đã trả lời đủ số bảng.", "this release has told as many tables as it may."
    ),
    "deadline_exceeded": Words(
        "đếm quá lâu. Hãy hỏi ít ô hơn.", "counting took too long. Ask for fewer cells."
    ),
    "memory_exceeded": Words("bảng quá lớn. Hãy hỏi ít ô hơn.", "the table is too large: fewer cells."),
    "engine_away": Words("máy đếm không trả lời. Hãy hỏi lại sau.", "the engine is away. Ask again later."),
    "release_away": Words(
        "không đọc được bản phát hành. Hãy báo cơ quan bảo hiểm.",
        "the release cannot be read. Tell the agency.",
    ),
    "answer_failed": Words("máy chủ có lỗi. Hãy hỏi lại.", "the broker failed. Ask again."),
    "worker_lost": Words("máy chủ bị dừng nhiều lần. Hãy hỏi lại.", "workers were lost. Ask again."),
    "overlap_exhausted": Words(
        "quá nhiều bảng chỉ khác bảng này ở một bộ lọc. Hãy chia theo chiều đó thay vì lọc.",
        "too many tables differ from this one by a filter alone. Cut by that dimension instead.",
    ),
}  # fmt: skip
"""Why a job was refused, and what to do; other reasons are told by their codes."""


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
