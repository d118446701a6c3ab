"""The method note, paragraph by paragraph, in Vietnamese and in English."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from broker.statistics.manifest import Label

NOTE: Final[Mapping[str, Label]] = {
    "heading": Label("GHI CHÚ PHƯƠNG PHÁP: {title}", "METHOD NOTE: {title}"),
    "what": Label("Bảng này là gì", "What this table is"),
    "release": Label(
        "Kỳ công bố {release}: dữ liệu đến ngày {as_of}, chốt lúc {frozen_at}. Dữ liệu đã chốt không thay "
        "đổi; kỳ sau có nhiễu khác.",
        "Release {release}: data as of {as_of}, frozen at {frozen_at}. Frozen data do not change; the next "
        "release has other noise.",
    ),
    "supersedes": Label(
        "Kỳ này thay kỳ {supersedes}. Không so hai kỳ để tìm thay đổi của từng ô: nhiễu cũng khác.",
        "It takes the place of release {supersedes}. Do not compare the two cell by cell: their noise "
        "differs as well.",
    ),
    "agreement": Label(
        "Theo thỏa thuận {agreement}. Bên cung cấp: {owner}.",
        "Under agreement {agreement}. Provided by: {owner}.",
    ),
    "dimension": Label("Chia theo {dimension}, cấp {level}", "By {dimension}, at level {level}"),
    "filter": Label("Chỉ gồm {dimension}: {categories}", "Only {dimension}: {categories}"),
    "measure": Label("Chỉ tiêu: {measure} ({unit})", "Indicator: {measure} ({unit})"),
    "unit": Label(
        "Đơn vị đếm là người, không phải dòng: ai có nhiều dòng trong một ô chỉ được đếm một lần.",
        "What is counted are persons, not rows: whoever has several rows in a cell counts once.",
    ),
    "cells": Label(
        "Bảng có {cells} ô, kể cả dòng tổng và ô không có ai; {hidden} ô bị ẩn số người ({share} %).",
        "The table has {cells} cells, totals and cells without anybody among them; the count of {hidden} is"
        " hidden ({share} %).",
    ),
    "hidden_sums": Label("Chỉ tiêu {measure} bị ẩn ở {hidden} ô.", "{measure} is hidden in {hidden} cells."),
    "done": Label("Đã làm gì với các con số", "What was done to the numbers"),
    "counts": Label(
        "Mỗi số người được cộng một nhiễu nguyên, trung bình 0, phương sai nhiều nhất {variance}, không quá"
        " {bound} người theo mỗi chiều. Số từ 1 đến {barred} không bao giờ xuất hiện; 0 vẫn là 0. Nhiễu chỉ"
        " phụ thuộc vào những người trong ô (phương pháp khóa ô): cùng những người đó thì cùng con số, ở "
        "mọi bảng của kỳ này.",
        "Each count has whole noise with mean 0, variance at most {variance}, at most {bound} persons "
        "either way. Counts of 1 to {barred} never appear; 0 stays 0. Noise depends on who is in the cell "
        "alone (cell-key method): the same persons have the same number, in every table of this release.",
    ),
    "counts_all": Label(
        "Mỗi số người được cộng một nhiễu nguyên, trung bình 0, phương sai nhiều nhất {variance}, không quá"
        " {bound} người theo mỗi chiều; 0 vẫn là 0. Nhiễu chỉ phụ thuộc vào những người trong ô (phương "
        "pháp khóa ô): cùng những người đó thì cùng con số, ở mọi bảng của kỳ này.",
        "Each count has whole noise with mean 0, variance at most {variance}, at most {bound} persons "
        "either way; 0 stays 0. Noise depends on who is in the cell alone (cell-key method): the same "
        "persons have the same number, in every table of this release.",
    ),
    "sums": Label(
        "Mỗi tổng được dịch đi theo ba người đóng góp nhiều nhất trong ô: mỗi người một bội số ngẫu nhiên "
        "của {share} % phần mình (phương sai của bội số nhiều nhất {variance}, không quá {bound}). Tổng "
        "được làm tròn đến {digits} chữ số có nghĩa. Bình quân là tổng đã công bố chia cho số người đã công"
        " bố.",
        "Each sum is moved by the three largest contributors of its cell: each by a random multiple of "
        "{share} % of its own part (variance of the multiple at most {variance}, at most {bound}). Sums are"
        " rounded to {digits} significant digits. A mean is the sum that is told over the count that is "
        "told.",
    ),
    "hiding": Label(
        "Số người và mọi tổng bị ẩn khi số đã có nhiễu nhỏ hơn {threshold}, kể cả ô không có ai. Tổng và "
        "bình quân bị ẩn khi một hoặc hai người chiếm gần hết: phần của những người khác nhỏ hơn {percent} "
        "% phần lớn nhất. Cả nhóm bị ẩn khi chỉ còn một loại của một chiều nhạy cảm được hiện.",
        "A count and all its sums are hidden where the count with its noise is below {threshold}, cells "
        "without anybody too. A sum and its mean are hidden where one or two persons have nearly all of it:"
        " where the others have less than {percent} % of the largest part. A group is hidden where only one"
        " category of a sensitive dimension would be shown.",
    ),
    "audit": Label(
        "Trước khi bảng này được trả ra, mọi bảng của kỳ được kiểm tra chung: không ô bị ẩn nào có thể tính"
        " ra hẹp hơn {persons} người hoặc {percent} % phần lớn nhất.",
        "Before this table left, all tables of the release were looked at together: of no hidden cell can "
        "be told more closely than {persons} persons or {percent} % of its largest part.",
    ),
    "marked": Label("Ô bị ẩn được đánh dấu thế nào", "How hidden cells are marked"),
    "marks": Label(
        "SDMX-CSV: OBS_VALUE để trống, OBS_STATUS là Q, CONF_STATUS là C. CSV, Parquet và Excel: để trống. "
        "Không nơi nào cho biết vì sao ô bị ẩn: lý do cũng là thông tin. Ô trống không có nghĩa là 0.",
        "SDMX-CSV: OBS_VALUE is empty, OBS_STATUS is Q, CONF_STATUS is C. CSV, Parquet and Excel: empty. "
        "Nothing tells why a cell is hidden: the reason is information too. Empty does not mean 0.",
    ),
    "expect": Label("Con số lệch bao nhiêu", "How far numbers are off"),
    "expect_counts": Label(
        "Số người: độ lệch chuẩn {deviation} người, như nhau ở ô lớn và ô nhỏ; 95 % số lệch không quá "
        "{band}. Ở ô 1.000 người đó là {share} %.",
        "Counts: a standard deviation of {deviation} persons, the same in large and in small cells; 95 % "
        "are off by at most {band}. In a cell of 1,000 persons that is {share} %.",
    ),
    "expect_sums": Label(
        "Tổng: độ lệch chuẩn nhiều nhất {share} % phần của người đóng góp nhiều nhất trong ô, cộng với làm "
        "tròn. Ô càng đông người, tỷ lệ lệch càng nhỏ.",
        "Sums: a standard deviation of at most {share} % of the part of the cell's largest contributor, and"
        " rounding. The more persons a cell has, the smaller is that share.",
    ),
    "margins": Label(
        "Các ô KHÔNG cộng lại bằng dòng tổng: mỗi dòng tổng có nhiễu riêng. Tổng của {parts} ô thường lệch "
        "dòng tổng không quá {band} người (95 %). Hãy dùng dòng tổng đã công bố, đừng tự cộng các ô.",
        "Cells do NOT add up to totals: each total has noise of its own. The sum of {parts} cells is "
        "usually off from their total by at most {band} persons (95 %). Use the totals that are told, do "
        "not add cells.",
    ),
    "several": Label(
        "Một người có thể ở nhiều ô của {dimensions}: các ô đó cộng lại nhiều hơn dòng tổng.",
        "A person may be in several cells of {dimensions}: they come to more than their total.",
    ),
    "promised": Label("Điều không được bảo đảm", "What is not guaranteed"),
    "no_formal": Label(
        "Không có bảo đảm hình thức: khóa ô không phải là riêng tư vi phân. Không con số nào giới hạn điều "
        "mà một người đã biết nhiều có thể biết thêm.",
        "No formal guarantee: cell keys are not differential privacy. No number bounds what somebody learns"
        " who knows much already.",
    ),
    "equal": Label(
        "Hai ô có cùng số người và cùng tổng, ô này nằm trong ô kia, cho thấy không có ai ở giữa.",
        "Two cells with the same count and the same sum, one within the other, show that nobody is between.",
    ),
    "chances": Label(
        "Kiểm tra nhìn điều chắc chắn, không nhìn điều có khả năng: giá trị gần con số công bố dễ xảy ra "
        "hơn giá trị ở xa.",
        "What was looked at is what is certain, not what is likely: values near what is told are likelier "
        "than others.",
    ),
    "small": Label(
        "Chênh lệch nhỏ giữa hai ô có thể chỉ là nhiễu. Không tìm cách nhận ra một người từ bảng này: pháp "
        "luật và thỏa thuận cấm việc đó.",
        "A small difference between two cells may be noise alone. Do not try to find out a person from this"
        " table: law and agreement forbid it.",
    ),
    "cite": Label("Trích dẫn", "How to cite"),
    "citation": Label(
        "{owner}, {title}, kỳ công bố {release}, bảng {hash}. Số liệu đã làm nhiễu.",
        "{owner}, {title}, release {release}, table {hash}. Perturbed data.",
    ),
    "plan": Label("Câu hỏi, dạng chuẩn", "The question, in its one form"),
}  # fmt: skip
