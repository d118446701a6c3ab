"""The second half of the day: receipts, attacks, limits, a suspension and an outage; then the whole story."""

from __future__ import annotations

from typing import Final

from broker.cli import demo_play as play
from broker.cli.demo_steps import Expected, Step, Words
from broker.cli.demo_story import RECEPTION, RELEASED, refused
from broker.cli.demo_story_consent import CONSENT
from broker.cli.demo_story_tables import TABLES

GUARDS: Final = (
    Step(
        "signed_receipt",
        Words("Biên nhận có chữ ký số", "A signed receipt"),
        Words(
            "Câu trả lời được ký; ai cũng kiểm được bằng khóa công khai, kể cả nhiều năm sau.",
            "The answer is signed; anybody can verify it with the published keys, years later too.",
        ),
        play.receipt,
        RELEASED,
    ),
    Step(
        "replayed_proof",
        Words("Gửi lại nguyên bằng chứng DPoP vừa dùng", "The DPoP proof just used, sent again"),
        Words(
            "Mỗi bằng chứng chỉ dùng một lần; cơ sở dữ liệu từ chối lần thứ hai và ghi lại.",
            "A proof is good once; the database refuses the second use and records it.",
        ),
        play.replay,
        refused(401, "proof_replayed", error="invalid_dpop_proof"),
    ),
    Step(
        "stolen_token",
        Words("Mã truy cập bị đánh cắp, khóa khác", "A stolen token with another key"),
        Words(
            "Mã truy cập gắn với khóa của bệnh viện; kẻ lấy trộm mã không có khóa.",
            "The token is bound to the hospital's key; who steals the token has not got the key.",
        ),
        play.theft,
        Expected(401, error="invalid_dpop_proof"),
    ),
    Step(
        "foreign_scope",
        Words("Xin phạm vi không được cấp", "A scope that the client does not have"),
        Words(
            "Bệnh viện xin quyền xuất thống kê: không có mã truy cập nào được cấp.",
            "The hospital asks for the right to export statistics: no token is given.",
        ),
        play.foreign_scope,
        Expected(400, error="invalid_scope"),
    ),
    Step(
        "bank_refused",
        Words("Ngân hàng hỏi thẻ bảo hiểm y tế", "A bank asks about a health card"),
        Words(
            "Dù cán bộ gắn nhầm thỏa thuận, chính sách vẫn từ chối: thỏa thuận chỉ dành cho bệnh viện.",
            "A clerk put it under the wrong agreement; the policy refuses: it is for hospitals only.",
        ),
        play.bank_asks,
        refused(403, "recipient_kind_not_covered"),
    ),
    Step(
        "day_used_up",
        Words("Tra cứu một người hết số lần trong ngày", "One person, as often as a day allows"),
        Words(
            "Thỏa thuận giới hạn số lần trả lời về mỗi người trong ngày.",
            "The agreement limits how many answers a day may be given about one person.",
        ),
        play.use_up_the_day,
        RELEASED,
    ),
    Step(
        "over_limit",
        Words("Thêm một lần nữa", "And once more"),
        Words(
            "429 kèm Retry-After; lần bị từ chối cũng nằm trong lịch sử của công dân.",
            "429 with Retry-After; the refused attempt stands in the citizen's history too.",
        ),
        play.once_too_often,
        refused(429, "limit_reached", retry_after=True),
        is_persistent=True,
    ),
    Step(
        "suspended_client",
        Words("Tạm ngừng hệ thống của bệnh viện", "The hospital's client is suspended"),
        Words(
            "Có hiệu lực ngay ở yêu cầu kế tiếp, dù mã truy cập còn hạn.",
            "It counts from the very next request, though the token has not expired.",
        ),
        play.suspended,
        refused(401, "client_not_active", error="invalid_token"),
    ),
    Step(
        "token_from_before",
        Words("Cho hoạt động lại, nhưng dùng mã cũ", "Resumed, but with the token from before"),
        Words(
            "Mã truy cập đã thu hồi thì vẫn bị thu hồi.",
            "A revoked token stays revoked.",
        ),
        play.early_token,
        refused(401, "token_not_active", error="invalid_token"),
    ),
    Step(
        "resumed_client",
        Words("Mã truy cập mới", "A new token"),
        Words("Bệnh viện làm việc trở lại.", "The hospital is at work again."),
        play.resumed,
        RELEASED,
    ),
    Step(
        "source_outage",
        Words("Cơ sở dữ liệu bảo hiểm ngừng hoạt động", "The insurance database is down"),
        Words(
            "Trả lời ngay 503, Retry-After và biên nhận có chữ ký: người bệnh vẫn được khám.",
            "503 at once, Retry-After and a signed receipt: care goes on, the check is made up for.",
        ),
        play.outage,
        Expected(503, (("101", ""),), evidence=("error:source_unavailable",), retry_after=True),
    ),
    Step(
        "ready_in_outage",
        Words("Hệ thống tự báo tình trạng", "What the broker says of itself"),
        Words(
            "Vẫn sẵn sàng: bằng chứng và chữ ký hoạt động; nguồn được báo là gián đoạn.",
            "Still ready: evidence and signatures work; the source is told to be unavailable.",
        ),
        play.readiness,
        Expected(200),
    ),
    Step(
        "recovery",
        Words("Cơ sở dữ liệu hoạt động lại", "The insurance database is back"),
        Words(
            "Không cần khởi động lại gì: yêu cầu kế tiếp được trả lời.",
            "Nothing needs a restart: the next request is answered.",
        ),
        play.recovery,
        RELEASED,
        is_persistent=True,
    ),
)

STORY: Final = (*RECEPTION, *GUARDS, *CONSENT, *TABLES)
