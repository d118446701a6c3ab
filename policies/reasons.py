"""Why a decision went as it did: the closed list of reason codes, in the order in which they are looked for.

Each stands with the clause of the agreement it comes from (for `determining_rules`) and with its words in
Vietnamese and English. A recipient is not shown more than the face decides to show.
"""

from __future__ import annotations

from collections.abc import Mapping

PERMITTED = "permitted"
POLICY_ERROR = "policy_error"
DEFAULT_DENY = "default_deny"
"""Determining rule of a refusal that no written rule made: what is not permitted is refused."""

REASONS: Mapping[str, tuple[str, str, str]] = {
    "permitted": ("release", "được phép", "permitted"),
    "policy_error": ("", "lỗi khi quyết định, nên từ chối", "deciding failed, so the answer is no"),
    "no_agreement": ("", "không có thỏa thuận chia sẻ này", "there is no such sharing agreement"),
    "unknown_obligation": (
        "obligations",
        "thỏa thuận đặt nghĩa vụ mà hệ thống không hiểu",
        "the agreement lays down an obligation that is not understood",
    ),
    "agreement_not_yet_valid": (
        "valid_from",
        "thỏa thuận chưa có hiệu lực",
        "the agreement is not yet valid",
    ),
    "agreement_expired": ("valid_to", "thỏa thuận đã hết hiệu lực", "the agreement has expired"),
    "review_overdue": ("review_date", "thỏa thuận đã quá hạn rà soát", "the agreement's review is overdue"),
    "legal_basis_not_in_force": (
        "legal_basis",
        "cơ sở pháp lý không có hiệu lực vào ngày này",
        "the legal basis is not in force on this day",
    ),
    "action_not_covered": (
        "action",
        "thỏa thuận không cho phép thao tác này",
        "the agreement is for another action",
    ),
    "recipient_kind_not_covered": (
        "recipients",
        "thỏa thuận dành cho loại bên nhận khác",
        "the agreement is for another kind of recipient",
    ),
    "recipient_not_covered": (
        "recipients",
        "bên nhận không có tên trong thỏa thuận",
        "the recipient is not named",
    ),
    "purpose_not_covered": (
        "purpose",
        "thỏa thuận dành cho mục đích khác",
        "the agreement is for another purpose",
    ),
    "lookup_key_not_permitted": (
        "lookup_keys",
        "không được tra cứu bằng khóa này",
        "this lookup key is not permitted",
    ),
    "batch_not_permitted": ("batch_maximum", "không được tra cứu theo lô", "batches are not permitted"),
    "batch_too_large": ("batch_maximum", "lô tra cứu quá lớn", "the batch is too large"),
    "data_subject_not_in_scope": (
        "conditions",
        "chủ thể dữ liệu không thuộc phạm vi thỏa thuận",
        "the data subject is not in scope",
    ),
    "match_field_missing": (
        "must_match",
        "thiếu thông tin phải khớp trước khi trả lời",
        "a field that must match before anything is said was not given",
    ),
    "supplied_fact_missing": (
        "must_supply",
        "thiếu thông tin bên hỏi phải cung cấp",
        "the asker left out a fact",
    ),
    "consent_missing": ("legal_basis", "không có sự đồng ý", "there is no consent"),
    "consent_requested": ("legal_basis", "sự đồng ý còn chờ trả lời", "consent is requested, not given"),
    "consent_refused": ("legal_basis", "chủ thể dữ liệu đã từ chối", "consent was refused"),
    "consent_withdrawn": ("legal_basis", "sự đồng ý đã được rút lại", "consent was withdrawn"),
    "consent_expired": ("legal_basis", "sự đồng ý đã hết hạn", "consent has expired"),
    "consent_not_given": (
        "legal_basis",
        "sự đồng ý không ở trạng thái đã cho",
        "consent is not in the state given",
    ),
    "consent_for_other_purpose": (
        "legal_basis",
        "sự đồng ý cho mục đích khác",
        "consent is for another purpose",
    ),
    "consent_for_other_recipient": (
        "legal_basis",
        "sự đồng ý cho bên nhận khác",
        "consent is for another recipient",
    ),
    "consent_not_valid_today": (
        "legal_basis",
        "ngày này nằm ngoài thời hạn đồng ý",
        "this day lies outside the time consented to",
    ),
    "denied_by_rule": ("deny", "một quy tắc cấm áp dụng", "a deny rule applies"),
    "no_rule_permits": ("", "không quy tắc nào cho phép", "no rule permits it"),
}
"""Code → (clause, Vietnamese, English)."""

CONSENT_STATES: Mapping[str, str] = {
    "requested": "consent_requested",
    "refused": "consent_refused",
    "withdrawn": "consent_withdrawn",
    "expired": "consent_expired",
}

FIELD_REASONS: Mapping[str, tuple[str, str]] = {
    "unknown_field": ("không có trong danh mục trường", "not in the field catalogue"),
    "not_in_agreement": ("thỏa thuận không có trường này", "not in the agreement"),
    "matching_only": ("chỉ dùng để đối chiếu, không trả ra", "used for matching only, never released"),
    "computing_only": (
        "chỉ dùng để tính kết quả, không trả ra",
        "used to compute the outcome only, never released",
    ),
    "prohibited": ("bị cấm với loại bên nhận này", "prohibited for this kind of recipient"),
    "denied_by_rule": ("một quy tắc cấm áp dụng", "a deny rule takes it away"),
    "not_consented": (
        "chủ thể dữ liệu không đồng ý cho trường này",
        "the data subject did not consent to it",
    ),
}
"""Why one asked field is withheld from a permitted answer; a refusal withholds all with its own reason."""
