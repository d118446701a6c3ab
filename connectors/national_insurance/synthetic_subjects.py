"""Object codes of the health-insurance card: payer group, share of the population, benefit digit, ages.

Shares of the payer groups are those of 2023; the split inside a group is our estimate. Benefit digits follow
Decision 1351/QD-BHXH; CN has 3 until the end of 2025 and 2 from then on.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

NEAR_POOR_HIGHER_SINCE = date(2026, 1, 1)
_GROUP_SHARES = {
    "employer": 0.165,
    "si_fund": 0.036,
    "state_budget": 0.295,
    "state_supported": 0.238,
    "household": 0.266,
}
_CODES = {
    "employer": (
        "DN:70:4:18-60 HC:13:4:20-61 CH:8:4:20-61 HX:3:4:18-60 XK:3:4:18-60 TK:2:4:18-60 NN:1:4:18-60"
    ),
    "si_fund": "HT:88:3:55-92 TN:8:4:21-57 NO:1:4:25-60 CT:2:4:60-95 XB:1:4:60-95",
    "state_budget": (
        "TE:30:1:0-5 HN:12:2:6-85 DT:15:2:6-85 DK:12:2:6-85 BT:12:2:40-95 CC:2:1:55-95 CK:3:2:50-95 "
        "CB:2:2:55-95 KC:2:2:60-95 TQ:2:4:6-75 TA:2:4:6-75 XD:1:2:6-85 TS:1:2:50-90 TC:0.5:3:50-90 "
        "QN:1:5:19-55 CA:1:5:20-58 CY:0.2:5:20-58 TY:0.2:4:6-75 HG:0.1:4:20-70 LS:0.2:4:18-30 "
        "PV:0.3:4:20-70 XN:0.2:4:40-80 MS:0.2:4:60-95 HD:0.1:4:25-75"
    ),
    "state_supported": "HS:78:4:6-17 SV:12:4:18-23 CN:7:3:6-80 GB:3:4:6-80",
    "household": "GD:1:4:6-85",
}
_MINORITY = {"HN": 0.5, "DT": 0.95, "DK": 0.4, "XD": 0.3, "TE": 0.15, "CN": 0.2, "GB": 0.1}
_MINORITY_ELSEWHERE = 0.06
_INSURED = {**dict.fromkeys(("HN", "DT", "DK", "CN", "CB", "CK", "XD", "GB"), 0.12), "GD": 0.16}
"""Share of those who pay contributions although another payer covers their health insurance."""


@dataclass(frozen=True, slots=True)
class Subject:
    """One object code. share: of all persons. benefit: digit of the card before 2026. Ages in whole years.

    minority: share of ethnic minorities. insured: share that pays social-insurance contributions.
    """

    code: str
    payer_group: str
    share: float
    benefit: int
    youngest: int
    oldest: int
    minority: float
    insured: float


def _subjects() -> tuple[Subject, ...]:
    found: list[Subject] = []
    for group, share in _GROUP_SHARES.items():
        rows = [row.split(":") for row in _CODES[group].split()]
        whole = sum(float(weight) for _, weight, _, _ in rows)
        for code, weight, digit, ages in rows:
            youngest, oldest = ages.split("-")
            found.append(
                Subject(
                    code,
                    group,
                    share * float(weight) / whole,
                    int(digit),
                    int(youngest),
                    int(oldest),
                    _MINORITY.get(code, _MINORITY_ELSEWHERE),
                    1.0 if group == "employer" else _INSURED.get(code, 0.0),
                )
            )
    return tuple(found)


SUBJECTS = _subjects()
SUBJECT = {subject.code: number for number, subject in enumerate(SUBJECTS)}
"""Object code → position in SUBJECTS."""


def benefit_digit(code: str, on_date: date) -> int:
    """Return the benefit digit of an object code on a day."""
    if code == "CN" and on_date >= NEAR_POOR_HIGHER_SINCE:
        return 2
    return SUBJECTS[SUBJECT[code]].benefit
