"""The last act of the demo: a bank asks a citizen, who gives some of it, takes it back, and refuses."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from broker.cli.demo_play import Play
from broker.cli.demo_steps import Exchange, Expected, Step, Words


def _asks(play: Play) -> Sequence[Exchange]:
    return [play.borrowing.push()]


def _gives(play: Play) -> Sequence[Exchange]:
    return [play.borrowing.decide("give")]


def _redeems(play: Play) -> Sequence[Exchange]:
    return [play.borrowing.redeem()]


def _looks(play: Play) -> Sequence[Exchange]:
    return [play.borrowing.token_info()]


def _renews(play: Play) -> Sequence[Exchange]:
    return [play.borrowing.refresh()]


def _reads(play: Play) -> Sequence[Exchange]:
    return [play.borrowing.read_record()]


def _withdraws(play: Play) -> Sequence[Exchange]:
    return [play.borrowing.withdraw()]


def _refuses(play: Play) -> Sequence[Exchange]:
    return [play.borrowing.push(), play.borrowing.decide("refuse")]


CONSENT: Final = (
    Step(
        "bank_asks",
        Words("Ngân hàng hỏi xin chứng minh thu nhập", "A bank asks for proof of income"),
        Words(
            "Ngân hàng gửi trước yêu cầu: trường nào, để làm gì. Trình duyệt chỉ mang một mã tham chiếu.",
            "The bank pushes what it asks and what for. The browser will carry a reference and nothing else.",
        ),
        _asks,
        Expected(201),
    ),
    Step(
        "give",
        Words("Công dân đăng nhập và đồng ý một phần", "The citizen signs in and gives some of it"),
        Words(
            "Trên trang của cơ quan bảo hiểm, không ô nào được chọn sẵn; công dân bỏ lại một trường.",
            "On the agency's own page no box is ticked beforehand; the citizen leaves one field out.",
        ),
        _gives,
        Expected(303),
    ),
    Step(
        "code_redeemed",
        Words("Ngân hàng đổi mã lấy mã truy cập", "The bank redeems the code"),
        Words(
            "Mã truy cập gắn với khóa của ngân hàng và chỉ nói đến những gì công dân đã cho.",
            "The token is bound to the bank's key, and speaks of what the citizen gave and of no more.",
        ),
        _redeems,
        Expected(200),
    ),
    Step(
        "token_told",
        Words("Mã truy cập cho phép gì", "What the token may do"),
        Words(
            "Ngân hàng hỏi chính mã của mình; chưa có dữ liệu nào rời đi.",
            "The bank asks about its own token; no data have left so far.",
        ),
        _looks,
        Expected(200),
    ),
    Step(
        "token_renewed",
        Words("Mã truy cập mới", "A new access token"),
        Words(
            "Mỗi mã sống hai phút; sự đồng ý sống lâu hơn, đến khi hết hạn hoặc được rút lại.",
            "A token lives for two minutes; what was given lives on, until it ends or is taken back.",
        ),
        _renews,
        Expected(200),
    ),
    Step(
        "release",
        Words("Ngân hàng đọc những gì công dân đã cho", "The bank reads what the citizen gave"),
        Words(
            "Chỉ những trường đã cho, ở dạng đã thỏa thuận; mỗi lần đọc là một bằng chứng công dân xem được.",
            "Only the fields given, in the form agreed; each reading is evidence that the citizen can see.",
        ),
        _reads,
        Expected(200, evidence=("released:",)),
    ),
    Step(
        "withdraw",
        Words("Công dân rút lại trên trang của mình", "The citizen takes it back, on their own pages"),
        Words(
            "Mở sự đồng ý, bấm rút lại; từ lúc trang trả lời, không mã nào còn dùng được.",
            "Open the consent, press withdraw; from the moment the page answers no token is good any more.",
        ),
        _withdraws,
        Expected(200, answers=()),
    ),
    Step(
        "after_withdrawal",
        Words("Dùng mã còn hạn sau khi rút lại", "An unexpired token after the withdrawal"),
        Words(
            "Yêu cầu kế tiếp đã bị từ chối, dù mã chưa hết hạn.",
            "The very next request is refused, though the token has not expired.",
        ),
        _looks,
        Expected(401, error="invalid_token"),
    ),
    Step(
        "refused",
        Words("Đọc lại sau khi rút lại", "Reading again after the withdrawal"),
        Words(
            "Không còn gì rời đi; lần thử bị từ chối cũng nằm trong lịch sử của công dân.",
            "Nothing leaves any more; the attempt stands in the citizen's history as refused.",
        ),
        _reads,
        Expected(403, evidence=("refused:not_active_withdrawn",)),
    ),
    Step(
        "no_new_token",
        Words("Xin mã mới sau khi rút lại", "A new token after the withdrawal"),
        Words("Cũng bị từ chối: không còn gì để gia hạn.", "Refused too: there is nothing left to renew."),
        _renews,
        Expected(400, error="invalid_grant"),
    ),
    Step(
        "citizen_refuses",
        Words("Ngân hàng hỏi lại, công dân từ chối", "The bank asks again, and the citizen refuses"),
        Words(
            "Từ chối chỉ là một nút bấm, ngang với đồng ý; ngân hàng chỉ biết là không được.",
            "Refusing is one button, equal to giving; the bank learns that the answer is no.",
        ),
        _refuses,
        Expected(303, error="access_denied"),
        is_persistent=True,
    ),
)
