"""The words an agreement may use that code must understand: actions, obligations, conditions, supplied facts.

They are closed lists here, because an enforcement point must know what to do with each. Statutes, purposes
and kinds of recipients are data: see `policies.registers`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, TypeAlias

Label: TypeAlias = tuple[str, str]
"""Vietnamese, English."""

DPV = "https://w3id.org/dpv#"
CERTAINTIES = frozenset({"S", "S-full", "U"})
NEEDS = frozenset({"consent", "procedure", "nothing"})
SECTORS = frozenset({"public", "private", "person"})

ACTIONS: Mapping[str, Label] = {
    "verify_entitlement": ("kiểm tra quyền lợi", "verify entitlement"),
    "share_record": ("chia sẻ hồ sơ", "share record"),
    "export_statistics": ("kết xuất thống kê", "export statistics"),
    "extract_own_record": ("trích lục hồ sơ của mình", "extract own record"),
    "show_history": ("xem lịch sử chia sẻ", "show history"),
    "find_usage": ("hỏi lịch sử cho công dân qua cổng", "ask for a citizen's history at a portal"),
}

NO_FIELDS: frozenset[str] = frozenset({"find_usage"})
"""Actions that give no field of the record: what leaves is the person's own history, in a fixed shape."""

OBLIGATIONS: Mapping[str, Label] = {
    "acting_person_registered": (
        "người thực hiện tra cứu phải có trong danh sách đã đăng ký",
        "the acting person must stand in the recipient's registered list",
    ),
    "evidence_receipt": ("trả biên nhận có thể kiểm chứng", "give a receipt that can be verified"),
    "notify_data_subject": ("báo cho chủ thể dữ liệu", "tell the data subject"),
    "disclosure_control": ("kiểm soát tiết lộ thống kê", "apply statistical disclosure control"),
    "sender_constrained_token": (
        "mã truy cập gắn với khóa của bên nhận",
        "take a sender-constrained token only",
    ),
    "delete_after_retention": (
        "xóa khi hết thời hạn lưu trữ và xác nhận việc xóa",
        "delete when the retention ends, and attest it",
    ),
}

CARRIED_OUT: Mapping[str, frozenset[str]] = {
    "verify_entitlement": frozenset({"acting_person_registered", "evidence_receipt"}),
    # By consent: no staff member stands between the citizen's word and the recipient's system.
    "share_record": frozenset({"evidence_receipt"}),
    "extract_own_record": frozenset({"evidence_receipt"}),
    "export_statistics": frozenset({"disclosure_control", "evidence_receipt"}),
    # The shape of the answer is somebody else's and has no place for a receipt.
    "find_usage": frozenset(),
}
"""Obligations that the enforcement point of an action carries out; a decision with any other is a refusal.

An action that is missing here has no enforcement point yet.
"""

CONDITIONS: Mapping[str, Label] = {
    "presenting_at_facility": (
        "cơ sở khai báo người bệnh đang có mặt tại cơ sở (nêu lượt khám, ngày và người thực hiện)",
        "the facility declares that the person presents there (naming encounter, day and acting person)",
    ),
    "own_employees": ("là người lao động của chính đơn vị", "is an employee of the recipient's own unit"),
    "has_consented": ("đã đồng ý", "has consented"),
    "residents_of_province": ("cư trú trong tỉnh của bên nhận", "resides in the recipient's province"),
    "is_the_data_subject": ("là chính chủ thể dữ liệu", "is the data subject in person"),
    "represents_the_data_subject": (
        "là người đại diện của chủ thể dữ liệu dưới 18 tuổi, theo cơ sở dữ liệu ngay lúc đó",
        "represents the data subject, who is under 18, as the source says at that moment",
    ),
    "signed_in_at_portal": (
        "đã đăng nhập tại cổng và tự hỏi, theo lời cổng",
        "is signed in at the portal and asks in person, as the portal says",
    ),
    "nobody_individually": (
        "không cá nhân nào, chỉ số liệu tổng hợp",
        "nobody individually: aggregates only",
    ),
}

DERIVED_CONDITIONS = frozenset({"has_consented", "nobody_individually"})
"""Conditions that the decision proves itself (by the consent, by the absence of a lookup key)."""

SUPPLIED: Mapping[str, Label] = {
    "acting_person": ("người thực hiện tra cứu", "the acting person"),
    "encounter_reference": ("mã lượt khám", "the reference of the encounter"),
    "case_reference": ("mã hồ sơ vụ việc", "the reference of the case"),
    "written_request": ("yêu cầu bằng văn bản", "the written request"),
}

LIMIT_SCOPES: Mapping[Literal["client_day", "acting_person_hour", "data_subject_day"], Label] = {
    "client_day": ("mỗi hệ thống mỗi ngày", "per client and day"),
    "acting_person_hour": ("mỗi người thực hiện mỗi giờ", "per acting person and hour"),
    "data_subject_day": ("mỗi chủ thể dữ liệu mỗi ngày", "per data subject and day"),
}

ITEMS: Mapping[str, Label] = {
    "parties": ("các bên", "parties"),
    "content": ("nội dung", "content"),
    "place": ("địa điểm", "place"),
    "term": ("thời hạn", "term"),
    "method": ("phương thức", "method"),
    "handling_after_receipt": ("xử lý sau khi nhận", "handling after receipt"),
    "limits": ("giới hạn", "limits"),
    "commitments": ("cam kết", "commitments"),
    "security": ("an toàn, bảo mật", "security"),
    "storage": ("lưu trữ", "storage"),
    "deletion_method": ("phương thức xóa", "deletion method"),
    "other": ("nội dung khác", "other"),
}
"""The twelve items of Decree 47/2020 art. 38; an agreement without one of them is refused."""
