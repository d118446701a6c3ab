"""A hospital's day in scenes: what happens, why it matters, and what must come of it."""

from __future__ import annotations

from typing import Final

from broker.cli import demo_play as play
from broker.cli.demo_steps import Expected, Step, Words

_CARD: Final = "card"
_BOTH: Final = "card+new_card"
RELEASED: Final = Expected(answers=(("000", _CARD),), evidence=("released:",))


def _answered(code: str, reason: str) -> Expected:
    """An answer that carries no card."""
    return Expected(answers=((code, ""),), evidence=(f"answered_without_data:{reason}",))


def refused(
    status: int, reason: str, code: str = "", error: str = "", *, retry_after: bool = False
) -> Expected:
    """A refusal that stands in the evidence."""
    return Expected(status, ((code, ""),), error, (f"refused:{reason}",), retry_after)


RECEPTION: Final = (
    Step(
        "valid_card",
        Words("Thẻ còn giá trị, số in 15 ký tự", "A valid card, number of 15 characters"),
        Words(
            "Họ tên và ngày sinh khớp hồ sơ, nên bệnh viện nhận các trường mà thỏa thuận nêu, không hơn.",
            "Name and birth date fit the record, so the fields that the agreement names leave, and no more.",
        ),
        play.check("long", "valid_card_15"),
        RELEASED,
    ),
    Step(
        "valid_card_10",
        Words("Thẻ mẫu mới, mã số 10 chữ số", "A newer card, number of 10 digits"),
        Words(
            "Thẻ cấp từ 2021 chỉ in mã số bảo hiểm xã hội; câu trả lời như nhau.",
            "Cards since 2021 print the social-insurance number only; the answer is the same.",
        ),
        play.check("short", "valid_card_10"),
        RELEASED,
    ),
    Step(
        "personal_id",
        Words("Tra cứu bằng số định danh cá nhân", "Look-up by personal identification number"),
        Words(
            "Không cần mang thẻ: căn cước công dân là đủ.",
            "No card needs to be carried: the identity number is enough.",
        ),
        play.check("identity", "valid", play.by_personal_id),
        RELEASED,
    ),
    Step(
        "qr_text",
        Words("Quét nguyên văn mã QR của căn cước", "The raw QR text of an ID card"),
        Words(
            "Chỉ số định danh trong mã QR được dùng; địa chỉ và phần còn lại bị bỏ ngay, không lưu.",
            "Only the number in it is used; address and the rest are dropped at once and kept nowhere.",
        ),
        play.check("scanned", "valid", play.by_qr),
        RELEASED,
    ),
    Step(
        "expired",
        Words("Thẻ hết hạn", "An expired card"),
        Words(
            "Mã 010 kèm ngày hết hạn, để quầy tiếp đón giải thích được cho người bệnh.",
            "Code 010 with the day it ended, so that the desk can explain it.",
        ),
        play.check("expired", "expired"),
        Expected(answers=(("010", _CARD),), evidence=("released:",)),
    ),
    Step(
        "name_mismatch",
        Words("Họ tên của người khác", "Somebody else's name"),
        Words(
            "Sai họ tên: nói là sai, không cho biết gì thêm về chủ thẻ.",
            "The name is wrong: that is said, and nothing else about the holder.",
        ),
        play.somebody_else,
        _answered("060", "name_mismatch"),
    ),
    Step(
        "near_miss",
        Words("Họ tên sai một chữ cái", "A name misspelt by a letter"),
        Words(
            "Đúng các chữ cái đầu: mã 061 gợi ý gõ lại. Vẫn chưa có thẻ nào được trả ra.",
            "The initials agree: code 061 says to type it again. Still no card leaves.",
        ),
        play.check("name", "valid", play.misspelt),
        _answered("061", "name_near_mismatch"),
    ),
    Step(
        "birth_date_mismatch",
        Words("Ngày sinh lệch một ngày", "A birth date that is a day off"),
        Words(
            "Mã 070 nói rõ là sai ngày sinh, thay vì báo không tìm thấy.",
            "Code 070 says that the birth date is wrong, instead of claiming that nobody was found.",
        ),
        play.check("name", "valid", play.a_day_off),
        _answered("070", "birth_date_mismatch"),
    ),
    Step(
        "pair_003",
        Words("Thẻ cũ hết hạn, đã có thẻ mới", "Old card expired, new card issued"),
        Words(
            "Mã 003: cả hai thẻ được trả ra, dùng thẻ mới.",
            "Code 003: both cards leave, the new one counts.",
        ),
        play.check("pair 003", "pair_003", play.by_long_card),
        Expected(answers=(("003", _BOTH),), evidence=("released:",)),
    ),
    Step(
        "pair_004",
        Words("Thẻ cũ còn hạn, thẻ mới cấp trước", "Old card still valid, new card issued in advance"),
        Words(
            "Mã 004: cả hai thẻ, giữ thẻ cũ đến hết hạn; không còn mất thẻ vì phần mềm lấy nhầm thẻ mới.",
            "Code 004: both cards; the old one is kept to its end, which software used to get wrong.",
        ),
        play.check("pair 004", "pair_004", play.by_long_card),
        Expected(answers=(("004", _BOTH),), evidence=("released:",)),
    ),
    Step(
        "unknown_card",
        Words("Số thẻ không có ai mang", "A number that nobody has"),
        Words("Mã 050: không có thông tin thẻ.", "Code 050: no such card."),
        play.check("name", "valid", play.nobodys_card),
        _answered("050", "not_found"),
    ),
    Step(
        "revoked",
        Words("Thẻ bị thu hồi", "A revoked card"),
        Words(
            "Mã 110; bằng chứng chỉ ghi là đã báo tình trạng, không ghi tình trạng của ai.",
            "Code 110; the evidence says that a status was told, not whose or which.",
        ),
        play.check("revoked", "revoked"),
        _answered("110", "status_only"),
    ),
    Step(
        "army_card",
        Words("Thẻ do Bộ Quốc phòng quản lý", "A card managed by the Ministry of Defence"),
        Words(
            "Mã 001: kiểm tra thẻ và giấy tờ tại chỗ. Dữ liệu quân nhân không được chia sẻ.",
            "Code 001: look at card and papers at the desk. Data of the army's insured are not shared.",
        ),
        play.check("army", "defence"),
        _answered("001", "status_only"),
    ),
    Step(
        "malformed",
        Words("Số gồm 11 chữ số", "A number of 11 digits"),
        Words(
            "Sai mẫu: mã 205, chỉ đúng chỗ sai và cách sửa, không nhắc lại giá trị.",
            "Not in any form: code 205 says where and how to mend it, and never repeats the value.",
        ),
        play.check("name", "valid", play.eleven_digits),
        Expected(422, (("205", ""),)),
    ),
    Step(
        "staff_unknown",
        Words("Nhân viên không có trong danh sách", "A staff member who is not registered"),
        Words(
            "Mã 054: không ai tra cứu nếu chưa được phân công bằng văn bản.",
            "Code 054: nobody looks up a record without a written assignment.",
        ),
        play.unknown_staff,
        refused(403, "acting_person_unknown", "054"),
    ),
    Step(
        "staff_mismatch",
        Words("Mượn số của đồng nghiệp", "A colleague's number, another name"),
        Words("Mã 055: tài khoản không được cho mượn.", "Code 055: accounts are not lent."),
        play.misnamed_staff,
        refused(403, "acting_person_mismatch", "055"),
    ),
    Step(
        "batch",
        Words("Kiểm tra một danh sách bốn dòng", "A list of four, checked at once"),
        Words(
            "Mỗi dòng có câu trả lời và bằng chứng riêng; tất cả được ghi cùng lúc, hoặc không dòng nào.",
            "Each line has an answer and evidence of its own; all are recorded in one commit, or none.",
        ),
        play.batch,
        Expected(
            answers=(("000", _CARD), ("010", _CARD), ("050", ""), ("061", "")),
            evidence=(
                "released:",
                "released:",
                "answered_without_data:not_found",
                "answered_without_data:name_near_mismatch",
            ),
        ),
    ),
)
