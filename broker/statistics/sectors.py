"""Sectors of work: the sections of the Viet Nam Standard Industrial Classification, from an employer's code.

Sections A to U with their divisions are those of ISIC revision 4, which VSIC 2018 (Decision 27/2018/QD-TTg)
follows; unverified for codes given since a later edition. What has no section here is unknown, not guessed.
"""

from __future__ import annotations

from typing import Final

from broker.statistics.manifest import Label

SECTIONS: Final[dict[str, tuple[str, Label]]] = {
    "A": ("01-03", Label("Nông nghiệp, lâm nghiệp và thủy sản", "Agriculture, forestry and fishing")),
    "B": ("05-09", Label("Khai khoáng", "Mining and quarrying")),
    "C": ("10-33", Label("Công nghiệp chế biến, chế tạo", "Manufacturing")),
    "D": ("35-35", Label("Sản xuất và phân phối điện, khí đốt", "Electricity, gas and steam")),
    "E": ("36-39", Label("Cung cấp nước, xử lý rác thải", "Water supply, sewerage and waste")),
    "F": ("41-43", Label("Xây dựng", "Construction")),
    "G": ("45-47", Label("Bán buôn, bán lẻ, sửa chữa xe có động cơ", "Trade and repair of vehicles")),
    "H": ("49-53", Label("Vận tải, kho bãi", "Transport and storage")),
    "I": ("55-56", Label("Dịch vụ lưu trú và ăn uống", "Accommodation and food services")),
    "J": ("58-63", Label("Thông tin và truyền thông", "Information and communication")),
    "K": ("64-66", Label("Tài chính, ngân hàng và bảo hiểm", "Finance and insurance")),
    "L": ("68-68", Label("Kinh doanh bất động sản", "Real estate")),
    "M": ("69-75", Label("Chuyên môn, khoa học và công nghệ", "Professional and scientific activities")),
    "N": ("77-82", Label("Hành chính và dịch vụ hỗ trợ", "Administrative and support services")),
    "O": ("84-84", Label("Đảng, quản lý nhà nước, an ninh quốc phòng", "Public administration and defence")),
    "P": ("85-85", Label("Giáo dục và đào tạo", "Education")),
    "Q": ("86-88", Label("Y tế và trợ giúp xã hội", "Health and social work")),
    "R": ("90-93", Label("Nghệ thuật, vui chơi và giải trí", "Arts and recreation")),
    "S": ("94-96", Label("Dịch vụ khác", "Other services")),
    "T": ("97-98", Label("Làm thuê trong hộ gia đình", "Households as employers")),
    "U": ("99-99", Label("Tổ chức quốc tế", "International organisations")),
}
"""Section → its first and last division, and its name."""

GROUPS: Final[dict[str, tuple[str, Label]]] = {
    "agriculture": ("A", Label("Nông, lâm nghiệp và thủy sản", "Agriculture, forestry, fishing")),
    "industry": ("BCDEF", Label("Công nghiệp và xây dựng", "Industry and construction")),
    "services": ("GHIJKLMNOPQRSTU", Label("Dịch vụ", "Services")),
}
"""Group → its sections, and its name."""


def _section_of_division() -> dict[str, str]:
    found = {}
    for section, (divisions, _) in SECTIONS.items():
        first, last = divisions.split("-")
        found.update({f"{division:02d}": section for division in range(int(first), int(last) + 1)})
    return found


_SECTION_OF_DIVISION: Final = _section_of_division()


def section_of(industry: str | None) -> str | None:
    """Return the section of an employer's industry, such as C for 14100 or for C; None where it has none."""
    code = (industry or "").strip()
    if code[:1].isalpha():
        letter = code[0].upper()
        return letter if letter in SECTIONS else None
    return _SECTION_OF_DIVISION.get(code[:2])
