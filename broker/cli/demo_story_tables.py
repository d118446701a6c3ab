"""The last part of the day: a ministry asks for tables, and for what is none."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from broker.cli.demo_ministry import has_table
from broker.cli.demo_steps import Exchange, Expected, Step, Words

if TYPE_CHECKING:
    from broker.cli.demo_play import Play

_EITHER: Final = Expected(
    202,
    evidence=("requested:", "released:", "downloaded:"),
    otherwise=Expected(
        202,
        evidence=("requested:", "refused:cell_narrowed"),
        otherwise=Expected(422, evidence=("refused:cell_narrowed",)),
    ),
)
"""Noise goes by a secret of the release: nobody knows before whether the auditor lets a table out.

What it kept back in an earlier run of the demo is refused at the door.
"""
FINE: Final = ("province", "age:age_band", "benefit")
COARSE: Final = ("province:region", "benefit", "age:age_group")
COARSER: Final = ("province:region", "age:age_group")


def _looks(play: Play) -> Sequence[Exchange]:
    """Read what may be asked for."""
    return [play.ministry.look()]


def _fine(play: Play) -> Sequence[Exchange]:
    """Ask as finely as the release goes."""
    return [play.ministry.table("fine.zip", FINE)]


def _coarse(play: Play) -> Sequence[Exchange]:
    """Ask for regions and age groups; without benefit levels too where those would tell too much."""
    exchanges = [play.ministry.table("coarse.zip", COARSE)]
    if not has_table(exchanges[-1]):
        exchanges.append(play.ministry.table("coarse.zip", COARSER))
    return exchanges


def _persons(play: Play) -> Sequence[Exchange]:
    """Ask for a list of persons."""
    return [play.ministry.cross([("person", "personal_id"), ("sex", "sex")])]


def _too_fine(play: Play) -> Sequence[Exchange]:
    """Cross everything with everything."""
    crossed = [
        ("province", "province"),
        ("age", "age_band"),
        ("facility", "facility_province"),
        ("sex", "sex"),
    ]
    return [play.ministry.cross(crossed)]


TABLES: Final = (
    Step(
        "tables_offered",
        Words("Bộ Y tế xem có thể hỏi gì", "The ministry looks at what may be asked"),
        Words(
            "Chỉ có các chiều và các mã đã đăng ký; không có chỗ cho số thẻ, họ tên hay điều kiện tự do.",
            "There are registered dimensions and codes alone; no place for numbers, names or conditions.",
        ),
        _looks,
        Expected(200),
    ),
    Step(
        "table_fine",
        Words(
            "Bảng theo tỉnh, nhóm 5 tuổi và mức hưởng", "By province, five-year age band and benefit level"
        ),
        Words(
            "Dân số thử nghiệm nhỏ: gần như mọi ô bị ẩn, hoặc cả bảng bị bộ kiểm tra giữ lại.",
            "The trial population is small: nearly all is hidden, or the auditor keeps the whole table back.",
        ),
        _fine,
        _EITHER,
    ),
    Step(
        "table_coarse",
        Words("Bảng theo vùng và nhóm tuổi", "By region and age group"),
        Words(
            "Ô lớn hơn nên thấy được nhiều hơn. Mỗi số có nhiễu cố định; gói SDMX được đọc lại bằng pysdmx.",
            "Larger cells can be told, with noise that stays the same; pysdmx reads the package back.",
        ),
        _coarse,
        _EITHER,
        is_persistent=True,
    ),
    Step(
        "list_of_persons",
        Words("Bộ hỏi danh sách từng người", "The ministry asks for a list of persons"),
        Words(
            "Không có chiều nào là một người: 422, nói rõ hỏi được gì, và lần hỏi được ghi lại.",
            "No dimension is a person: 422 says what may be asked instead, and the attempt is recorded.",
        ),
        _persons,
        Expected(422, evidence=("refused:name_unregistered",)),
    ),
    Step(
        "table_too_fine",
        Words("Bộ hỏi bảng quá chi tiết", "The ministry asks for too fine a crossing"),
        Words(
            "Tỉnh × nhóm tuổi × nơi khám × giới tính có quá nhiều ô: bị từ chối trước khi đếm.",
            "Province × age band × facility × sex has too many cells: refused before anything is counted.",
        ),
        _too_fine,
        Expected(422, evidence=("refused:plan_too_large",)),
    ),
)
