"""Words that stand in every package, in Vietnamese and in English."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from broker.statistics.manifest import Label

TOTAL: Final = Label("Tổng số", "Total")
PERSONS: Final = Label("Số người", "Persons")
SUM: Final = Label("{measure}, tổng", "{measure}, sum")
MEAN: Final = Label("{measure}, bình quân một người", "{measure}, mean of a person")
UNIT_PER_PERSON: Final = Label("{unit} trên một người", "{unit} per person")
UNITS: Final[Mapping[str, Label]] = {
    "persons": Label("người", "persons"),
    "VND": Label("đồng", "VND"),
    "months": Label("tháng", "months"),
}
TABLE: Final = Label("Bảng thống kê", "Statistical table")
INDICATOR: Final = Label("Chỉ tiêu", "Indicator")
VALUE: Final = Label("Giá trị", "Value")
UNIT: Final = Label("Đơn vị tính", "Unit of measure")
OBSERVATION_STATUS: Final = Label("Tình trạng quan sát", "Observation status")
CONFIDENTIALITY: Final = Label("Tình trạng bảo mật", "Confidentiality status")
STATUSES: Final[Mapping[str, Label]] = {
    "A": Label("Bình thường", "Normal value"),
    "Q": Label("Không có: bị ẩn", "Missing value; suppressed"),
}
"""SDMX's codes of OBS_STATUS that a table uses."""

CONFIDENTIALITIES: Final[Mapping[str, Label]] = {
    "F": Label("Được công bố tự do", "Free (free for publication)"),
    "C": Label("Thông tin thống kê mật", "Confidential statistical information"),
}
"""SDMX's codes of CONF_STATUS that a table uses. Others would say why a cell is hidden."""

NOISE_METHOD: Final = Label("Phương pháp làm nhiễu", "Method of perturbation")
NOISE_METHODS: Final[Mapping[str, Label]] = {
    "CELL_KEY": Label(
        "Khóa ô: nhiễu cố định theo những người trong ô", "Cell key: fixed noise of who is in a cell"
    ),
}
NOISE_BOUND: Final = Label("Nhiễu lớn nhất của số người (D)", "Largest noise of counts (D)")
NOISE_VARIANCE: Final = Label("Phương sai nhiễu của số người (V)", "Variance of the noise of counts (V)")
SUM_NOISE_BOUND: Final = Label(
    "Nhiễu lớn nhất của tổng, tính theo phần (D)", "Largest noise of sums, in shares (D)"
)
SUM_NOISE_VARIANCE: Final = Label(
    "Phương sai nhiễu của tổng, tính theo phần (V)", "Variance of the noise of sums, in shares (V)"
)
SUM_NOISE_SHARE: Final = Label(
    "Một phần: tỷ lệ của người đóng góp nhiều nhất", "A share: of the largest contributor"
)
RELEASE: Final = Label("Kỳ công bố", "Release")
HIERARCHY: Final = Label("{dimension}: các cấp", "{dimension}: levels")
NAME_VI: Final = Label("Tên tiếng Việt", "Name in Vietnamese")
NAME_EN: Final = Label("Tên tiếng Anh", "Name in English")
SHEET_DATA: Final = "Dữ liệu – Data"
SHEET_NOTES: Final = "Ghi chú – Notes"
SHEET_CODES: Final = "Mã – Codes"
HIDDEN_NULL: Final = Label(
    "Ô trống là ô bị ẩn; lý do không được cho biết.", "An empty cell is hidden; why is not told."
)
