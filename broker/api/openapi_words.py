"""The words of the OpenAPI document, Vietnamese and English: what the members of requests are for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple


class Words(NamedTuple):
    """Vietnamese, English, and an example that is made up; None where the schema says enough."""

    vi: str
    en: str
    example: Any = None

    def __str__(self) -> str:
        """Return both languages, as every title of the document stands there."""
        return f"{self.vi} / {self.en}"


MEMBERS: Final[Mapping[str, Words]] = {
    "card_number": Words(
        "số in trên thẻ, hoặc mã QR của căn cước; hoặc dùng personal_id",
        "number on the card, or QR text of an identity card; either this or personal_id",
        "HS4010123456789",
    ),
    "personal_id": Words("số định danh cá nhân, 12 chữ số", "personal identification number, 12 digits"),
    "full_name": Words("họ và tên đầy đủ dấu", "full name with all marks", "Nguyễn Thị Thử"),
    "birth_date": Words(
        "ngày sinh; chỉ ghi tháng hoặc năm khi không biết rõ hơn",
        "birth date; month or year only where no more is known",
        "07/03/1990",
    ),
    "service_date": Words(
        "ngày khám chữa bệnh, trong vòng hai năm",
        "day of the treatment, within two years",
        "2026-11-22",
    ),
    "encounter_reference": Words(
        "số lượt khám của cơ sở; chỉ lưu mã băm có khóa",
        "the visit in your own numbering; kept as a keyed hash",
        "KB-2026/0001",
    ),
    "acting_person": Words(
        "nhân viên tra cứu, đã đăng ký; thỏa thuận quyết định có bắt buộc không",
        "the registered staff member who looks up; the agreement says whether it is needed",
    ),
    "items": Words("các thẻ cần kiểm tra", "the cards to check"),
    "organisation": Words(
        "tổ chức chịu trách nhiệm về hệ thống", "the organisation that answers for the client"
    ),
    "organisation_id": Words("mã của tổ chức trong sổ đăng ký", "its id in the register", "bank-1"),
    "kind": Words("loại bên nhận theo chính sách", "kind of recipient, a word of the policies", "bank"),
    "name_vi": Words("tên tiếng Việt", "Vietnamese name", "Ngân hàng Thử Nghiệm"),
    "name_en": Words("tên tiếng Anh", "English name", "Trial Bank"),
    "facility_code": Words("mã cơ sở khám chữa bệnh", "code of a health facility"),
    "contact_officer": Words("đầu mối liên hệ", "whom to reach"),
    "agreements": Words("các thỏa thuận chia sẻ", "its sharing agreements", ["bank_income_proof"]),
    "source_networks": Words(
        "mạng nguồn được phép, CIDR", "networks that it calls from, CIDR", ["203.0.113.0/24"]
    ),
    "max_events": Words("số thông báo nhiều nhất", "at most so many", 20),
    "return_immediately": Words(
        "luôn trả lời ngay: true hoặc bỏ trống", "answers come at once: true, or leave it out", True
    ),
    "ack": Words("jti của các thông báo đã nhận", "jti of the tokens that you have"),
    "errors": Words(
        "jti của các thông báo bị từ chối, kèm mã lỗi", "jti of the tokens that you refuse, and why"
    ),
    "err": Words("mã lỗi", "why, a code of RFC 8935", "invalid_audience"),
    "description": Words("giải thích, không được lưu", "explanation, kept nowhere"),
    "message_id": Words("jti của thông báo", "jti of the token"),
    "deletion_attested": Words(
        "cam kết đã xóa mọi dữ liệu đã nhận", "whether all that was received is deleted, on your word"
    ),
    "request_id": Words(
        "UUID do hệ thống hỏi tự chọn; gửi lại không hỏi hai lần",
        "a UUID of your own choice; sending it again asks nothing twice",
        "0193f0a0-0000-7000-8000-000000000004",
    ),
    "ConsentRequestSchema.items": Words(
        "điều được xin, mỗi mục đích một lần, quyết định riêng",
        "what is asked, each purpose once, decided on one by one",
    ),
    "purpose": Words("mục đích theo thỏa thuận", "a purpose of an agreement", "prove_income"),
    "field_names": Words("các trường được xin", "the fields asked for", ["si_status", "salary_base"]),
    "required_fields": Words(
        "các trường thiếu thì phần còn lại vô ích",
        "the fields without which the rest is of no use",
        ["salary_base"],
    ),
    "data_range": Words("khoảng thời gian của dữ liệu", "which time the rows may speak of"),
    "first_day": Words("ngày đầu, kể cả", "first day, inclusive", "2026-01-01"),
    "last_day": Words("ngày cuối, kể cả", "last day, inclusive", "2026-10-31"),
    "frequency": Words("đọc nhiều nhất bao nhiêu lần", "how often it is read at most"),
    "use_count": Words("số lần", "so many times", 2),
    "per": Words("trong mỗi khoảng này", "in each of these", "day"),
    "mode": Words("chỉ xem, hay được lưu", "whether it is only seen, or kept", "view"),
    "valid_days": Words("được đọc trong bao nhiêu ngày", "how many days it may be read", 30),
    "retention_days": Words("được giữ trong bao nhiêu ngày", "how many days it is kept", 90),
    "message": Words("lời nhắn với người được hỏi", "your own words to the person"),
    "vi": Words("bằng tiếng Việt", "in Vietnamese", "Để xét khoản vay."),
    "en": Words("bằng tiếng Anh", "in English", "For your loan."),
    "expires_in_seconds": Words(
        "chờ trả lời bao lâu; im lặng không phải là đồng ý",
        "how long it waits for an answer; silence is no consent",
        604_800,
    ),
    "release": Words("mã của bản phát hành", "code of a release, from the catalogue", "2026-q3.1"),
    "dimensions": Words("các chiều của bảng", "what the table is cut by"),
    "level": Words("mức của chiều", "a level of the dimension", "region"),
    "filters": Words(
        "chỉ giữ những nhóm này; không cắt ngang một nhóm", "whole categories that are kept, no others"
    ),
    "dimension": Words("chiều được lọc", "the dimension that is filtered", "sex"),
    "categories": Words("mã của các nhóm được giữ", "codes of the categories that are kept", ["F"]),
    "measures": Words(
        "các số đo; số người luôn được đếm", "measures; persons are always counted", ["contributions"]
    ),
    "format": Words("dạng tệp", "what kind of package", "csv"),
    "encrypt_to": Words(
        "mã hóa cho khóa đã đăng ký của hệ thống hỏi",
        "encrypts to the key that you have registered",
        "recipient",
    ),
    "name": Words("tên của chiều", "name of a dimension", "province"),
    "expires_on": Words("ngày cuối có hiệu lực", "last day of the registration", "2027-12-31"),
}
"""Member of a request → words. Members of RFC 7591 carry the RFC's names and meaning."""

SCHEMES: Final[Mapping[str, Words]] = {
    "dpop": Words(
        "mã truy cập gắn với khóa, lược đồ DPoP (RFC 9449, 7.1)",
        "access token bound to a key, in the scheme DPoP (RFC 9449, 7.1)",
    ),
    "proof": Words(
        "bằng chứng DPoP mới cho từng yêu cầu, ký bằng khóa của mã truy cập (RFC 9449, 4)",
        "a fresh DPoP proof for each request, signed with the token's key (RFC 9449, 4)",
    ),
    "certificate_token": Words(
        "mã truy cập gắn với chứng thư (RFC 8705, 3)", "access token bound to a certificate (RFC 8705, 3)"
    ),
    "certificate": Words(
        "chứng thư của kết nối, ở địa chỉ riêng cho TLS hai chiều",
        "the certificate of the connection, at the host for mutual TLS",
    ),
    "oauth": Words(
        "phạm vi của mã truy cập; hệ thống tự xác thực bằng private_key_jwt hoặc chứng thư",
        "scopes of the access token; clients authenticate by private_key_jwt or certificate",
    ),
}
SCOPE_WORDS: Final[Mapping[str, Words]] = {
    "verify_entitlement": Words("kiểm tra thẻ bảo hiểm y tế", "check health-insurance cards"),
    "share_record": Words(
        "đọc những gì công dân đã đồng ý chia sẻ", "read what a citizen has consented to share"
    ),
    "export_statistics": Words(
        "xin bảng số liệu tổng hợp, không về riêng ai", "ask for tables about nobody individually"
    ),
    "manage_clients": Words("đăng ký hệ thống", "register clients"),
    "request_consent": Words("xin sự đồng ý của người vắng mặt", "ask for the consent of absent people"),
    "consent_events": Words("nhận thông báo về các sự đồng ý", "be told what became of consents"),
    "grant_management_query": Words("xem một sự cho phép của mình", "read a grant of one's own"),
    "grant_management_revoke": Words("trả lại một sự cho phép", "give a grant back"),
    "find_usage": Words(
        "hỏi lịch sử cho công dân đang đăng nhập", "ask for the history of signed-in citizens"
    ),
}
"""The scopes that the resources in the document ask for."""
PARAMETERS: Final[Mapping[str, Words]] = {
    "X-Request-Id": Words(
        "UUID phiên bản 4 hoặc 7, chữ thường; giá trị khác sẽ được thay",
        "a UUID of version 4 or 7, lower case; anything else is replaced",
        "0193f0a0-0000-7000-8000-000000000001",
    ),
    "Accept-Language": Words(
        "en để nhận tiêu đề lỗi bằng tiếng Anh", "en for problem titles in English", "en"
    ),
    "consent_id": Words(
        "sự đồng ý nào, khi mã truy cập dựa trên nhiều sự đồng ý",
        "which consent, where the token rests on several",
        "0193f0a0-0000-7000-8000-000000000003",
    ),
    "X-Road-UserId": Words(
        "số định danh của người đang đăng nhập tại cổng; phải là userCode",
        "personal id of whoever is signed in at the portal; it must be userCode",
        "001090000002",
    ),
    "userCode": Words(
        "hỏi lịch sử của ai: 12 chữ số, có hoặc không có VN ở trước",
        "whose history: 12 digits, with or without VN before them",
        "001090000002",
    ),
    "periodStart": Words(
        "từ lúc nào; không ghi múi giờ là giờ Việt Nam",
        "from when on; without an offset it is time of Viet Nam",
        "2026-01-31T10:20:30",
    ),
    "periodEnd": Words("đến hết lúc nào", "until when, that instant included", "2026-12-31T10:20:30"),
    "offset": Words("bỏ qua bao nhiêu mục mới nhất", "how many of the newest to leave out", 0),
    "limit": Words("nhiều nhất bao nhiêu mục", "how many at most", 1000),
    "request_id": Words("số của yêu cầu, do hệ thống hỏi đã chọn", "number of the request, as you chose it"),
    "reference": Words(
        "mã tham chiếu bằng chứng, như trong câu trả lời",
        "evidence reference, as told in an answer or a refusal",
    ),
    "job_id": Words(
        "số của yêu cầu bảng, như trong câu trả lời", "number of the export, as told in the answer"
    ),
    "Range": Words(
        "một đoạn của tệp (RFC 9110, 14); nhiều đoạn thì trả cả tệp",
        "one part of the file (RFC 9110, 14); for several the whole is sent",
        "bytes=0-1023",
    ),
    "If-Range": Words(
        "chỉ trả một đoạn khi tệp vẫn là tệp này", "the ETag for which the part is wanted", '"5f1d"'
    ),
    "If-None-Match": Words("ETag của tệp đã có", "ETag of what you have already", '"5f1d"'),
    "grant_id": Words(
        "số của sự cho phép, như trong câu trả lời cấp mã truy cập",
        "number of the grant, as told in the token response",
    ),
}
