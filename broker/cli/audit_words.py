"""The words of `broker evidence audit`, Vietnamese and English."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from broker.cli.demo_steps import Words

AUDIT: Final[Mapping[str, Words]] = {
    "log": Words(
        "{origin}: {tree_size:,} mục theo điểm kiểm tra", "{origin}: {tree_size:,} entries by its checkpoint"
    ),
    "read": Words(
        "đã đọc lại {entries_read:,} mục, từ mục số {since:,}, trong {seconds:.1f} giây",
        "{entries_read:,} entries read again, from entry {since:,} on, in {seconds:.1f} s",
    ),
    "witness": Words(
        "nhân chứng {name} đã cùng ký cỡ {size:,} lúc {at}",
        "size {size:,} cosigned by witness {name} at {at}",
    ),
    "stamped": Words(
        "{count:,} dấu thời gian, sớm nhất trên cỡ {first_size:,} lúc {first_at}, "
        "muộn nhất trên cỡ {last_size:,} lúc {last_at}",
        "{count:,} time stamps, the first over size {first_size:,} at {first_at}, "
        "the last over size {last_size:,} at {last_at}",
    ),
    "unstamped": Words("không có dấu thời gian nào", "there are no time stamps"),
    "entry": Words(", mục số {number}", ", entry {number}"),
    "size": Words(", cỡ {number}", ", size {number}"),
    "more": Words("  và {count:,} phát hiện nữa", "  and {count:,} findings more"),
    "faultless": Words("Nhật ký không có lỗi.", "The log is faultless."),
    "found": Words(
        "{finding_count:,} phát hiện: nhật ký này KHÔNG đứng vững.",
        "{finding_count:,} findings: this log does NOT hold.",
    ),
}  # fmt: skip
