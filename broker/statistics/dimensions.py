"""The dimensions and measures that releases are frozen with: categories, hierarchies, words.

Everybody has one category of each dimension. `_Z`: it does not apply (no card, no work); `_U`: the source
does not say, or says what is not in the register.
"""

from __future__ import annotations

from typing import Final

from broker.statistics.dimension_making import (
    SPECIAL,
    UNKNOWN,
    UNKNOWN_LABEL,
    Group,
    flat,
    grouped,
    leaves,
    registered,
)
from broker.statistics.manifest import DimensionAbout, Label, MeasureAbout
from broker.statistics.periods import Quarter, month_code, release_code
from broker.statistics.provinces import PROVINCE_OF_OLD, PROVINCES, REGIONS
from broker.statistics.registry import Dimension, Limits, Registry
from broker.statistics.sectors import GROUPS, SECTIONS
from policies.provinces import OLD_PROVINCES

AGE_BAND_YEARS: Final = 5
OLDEST_BAND: Final = 85
_AGE_GROUPS: Final = {
    "0-14": (0, 14),
    "15-24": (15, 24),
    "25-54": (25, 54),
    "55-64": (55, 64),
    "65+": (65, 200),
}
PAYERS: Final = {
    "employer": Label("Người lao động và người sử dụng lao động đóng", "Employee and employer"),
    "si_fund": Label("Quỹ bảo hiểm xã hội đóng", "Social-insurance fund"),
    "state_budget": Label("Ngân sách nhà nước đóng", "State budget"),
    "state_supported": Label("Ngân sách nhà nước hỗ trợ", "Supported by the state budget"),
    "household": Label("Hộ gia đình", "Household"),
}

MEASURES: Final = (
    MeasureAbout(
        name="contributions",
        unit="VND",
        label=Label("Số tiền đóng", "Contributions"),
        fields=("contribution_amount", "contribution_from", "contribution_to"),
    ),
    MeasureAbout(
        name="salary",
        unit="VND",
        label=Label("Tiền lương làm căn cứ đóng", "Salary base of contributions"),
        fields=("salary_base", "contribution_from", "contribution_to"),
    ),
    MeasureAbout(
        name="benefits",
        unit="VND",
        label=Label("Số tiền hưởng chế độ", "Benefits"),
        fields=("benefit_amount", "benefit_from", "benefit_to", "benefit_kind"),
    ),
    MeasureAbout(
        name="months",
        unit="months",
        label=Label("Số tháng đóng", "Months of contribution"),
        fields=("contribution_from", "contribution_to"),
    ),
)
"""Of each row: amounts of its month. Months count once in each sector in which a person has contributions."""


def registry_of(quarter: Quarter, revision: int, limits: Limits | None = None) -> Registry:
    """Return what a release of a quarter may be asked for."""
    return Registry(
        release=release_code(quarter, revision),
        dimensions=tuple(dimension for dimension, _ in _dimensions(quarter)),
        measures=tuple(measure.name for measure in MEASURES),
        limits=limits or Limits(),
    )


def words_of(quarter: Quarter) -> tuple[DimensionAbout, ...]:
    """Return the same dimensions in words, in the same order."""
    return tuple(about for _, about in _dimensions(quarter))


def band_of(age: int) -> str:
    """Return the band of an age in whole years, 0 or more."""
    if age >= OLDEST_BAND:
        return f"{OLDEST_BAND}+"
    first = age - age % AGE_BAND_YEARS
    return f"{first}-{first + AGE_BAND_YEARS - 1}"


def _dimensions(quarter: Quarter) -> tuple[tuple[Dimension, DimensionAbout], ...]:
    return (
        _period(quarter),
        _residence(),
        flat("sex", Label("Giới tính", "Sex"), ("sex",), _sexes()),
        _ages(),
        _sectors(),
        flat(
            "payer",
            Label("Nhóm đóng", "Payer group"),
            ("payer_group", "valid_from", "valid_to", "card_status"),
            {**PAYERS, **SPECIAL},
            level="payer_group",
            is_sensitive=True,
        ),
        flat(
            "benefit",
            Label("Mức hưởng bảo hiểm y tế", "Health-insurance benefit level"),
            ("benefit_level", "valid_from", "valid_to", "card_status"),
            {**{code: Label(f"Mức hưởng {code}", f"Benefit level {code}") for code in "12345"}, **SPECIAL},
            level="benefit_level",
            is_sensitive=True,
        ),
        _facility(),
    )


def _sexes() -> dict[str, Label]:
    return {"F": Label("Nữ", "Women"), "M": Label("Nam", "Men"), UNKNOWN: UNKNOWN_LABEL}


def _period(quarter: Quarter) -> tuple[Dimension, DimensionAbout]:
    months = {
        month_code(month): Label(f"Tháng {month.month}/{month.year}", month_code(month))
        for month in quarter.months
    }
    whole = Label(f"Quý {quarter.number}/{quarter.year}", f"Quarter {quarter.number} of {quarter.year}")
    return registered(
        "period",
        Label("Kỳ", "Period"),
        ("contribution_from", "contribution_to", "benefit_from", "benefit_to"),
        [
            ("month", Label("Tháng", "Month"), leaves(months)),
            (
                "quarter",
                Label("Quý", "Quarter"),
                [Group(f"{quarter.year}-Q{quarter.number}", whole, tuple(months))],
            ),
        ],
        one_each=False,
    )


def _residence() -> tuple[Dimension, DimensionAbout]:
    names = {code: Label(one.name, one.name) for code, one in PROVINCES.items()}
    homes = {code: (one.region,) for code, one in PROVINCES.items()}
    return registered(
        "province",
        Label("Nơi cư trú", "Residence"),
        ("province",),
        [
            ("province", Label("Tỉnh, thành phố", "Province"), leaves({**names, UNKNOWN: UNKNOWN_LABEL})),
            ("region", Label("Vùng", "Region"), grouped(REGIONS, homes, (UNKNOWN,))),
        ],
    )


def _facility() -> tuple[Dimension, DimensionAbout]:
    old = {code: Label(f"{name} (cũ)", f"{name} (until 2025)") for code, name in OLD_PROVINCES.items()}
    new = {code: Label(one.name, one.name) for code, one in PROVINCES.items()}
    homes = {code: (PROVINCE_OF_OLD[code],) for code in OLD_PROVINCES}
    regions = {code: (PROVINCES[PROVINCE_OF_OLD[code]].region,) for code in OLD_PROVINCES}
    return registered(
        "facility",
        Label("Nơi đăng ký khám chữa bệnh ban đầu", "Primary health facility"),
        ("primary_facility", "valid_from", "valid_to", "card_status"),
        [
            (
                "facility_province_old",
                Label("Tỉnh, thành phố trước 01/07/2025", "Province until 30 June 2025"),
                leaves({**old, **SPECIAL}),
            ),
            (
                "facility_province",
                Label("Tỉnh, thành phố", "Province"),
                grouped(new, homes, tuple(SPECIAL)),
            ),
            ("facility_region", Label("Vùng", "Region"), grouped(REGIONS, regions, tuple(SPECIAL))),
        ],
    )


def _ages() -> tuple[Dimension, DimensionAbout]:
    firsts = range(0, OLDEST_BAND + 1, AGE_BAND_YEARS)
    bands = {band_of(first): Label(f"{band_of(first)} tuổi", f"{band_of(first)} years") for first in firsts}
    groups = [
        Group(
            code,
            Label(f"{code} tuổi", f"{code} years"),
            tuple(band_of(one) for one in firsts if first <= one <= last),
        )
        for code, (first, last) in _AGE_GROUPS.items()
    ]
    unknown = Group(UNKNOWN, UNKNOWN_LABEL, (UNKNOWN,))
    return registered(
        "age",
        Label("Tuổi vào ngày cuối kỳ", "Age on the period's last day"),
        ("birth_date",),
        [
            ("age_band", Label("Nhóm 5 tuổi", "Five-year band"), leaves({**bands, UNKNOWN: UNKNOWN_LABEL})),
            ("age_group", Label("Nhóm tuổi", "Age group"), [*groups, unknown]),
        ],
    )


def _sectors() -> tuple[Dimension, DimensionAbout]:
    sections = {code: label for code, (_, label) in SECTIONS.items()}
    homes = {
        code: tuple(name for name, (letters, _) in GROUPS.items() if code in letters) for code in SECTIONS
    }
    groups = {name: label for name, (_, label) in GROUPS.items()}
    return registered(
        "sector",
        Label("Ngành của đơn vị đóng", "Sector of the contributing unit"),
        ("contribution_unit_code", "employer_industry"),
        [
            ("sector", Label("Ngành cấp 1 (VSIC)", "VSIC section"), leaves({**sections, **SPECIAL})),
            (
                "sector_group",
                Label("Khu vực kinh tế", "Sector group"),
                grouped(groups, homes, tuple(SPECIAL)),
            ),
        ],
        one_each=False,
    )
