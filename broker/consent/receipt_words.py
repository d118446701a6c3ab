"""What a receipt says in words, Vietnamese and English. The words are kept in it, so they never change."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from broker.consent.record import Consent, EventType, SignerRole
from policies.vocabulary import Label

TITLES: Final[Mapping[EventType, Label]] = {
    "given": ("Bạn đã đồng ý", "You consented"),
    "partially_given": ("Bạn đã đồng ý một phần", "You consented in part"),
    "cosigned": ("Sự đồng ý đã đủ chữ ký", "All who must sign have consented"),
    "confirmed": ("Bạn đã xác nhận lại sự đồng ý", "You confirmed your consent"),
    "refused": ("Bạn đã từ chối", "You refused"),
    "amended": ("Bạn đã thay đổi sự đồng ý", "You changed your consent"),
    "extended": ("Bạn đã gia hạn sự đồng ý", "You extended your consent"),
    "paused": ("Sự đồng ý đang tạm dừng", "Your consent is paused"),
    "resumed": ("Sự đồng ý có hiệu lực trở lại", "Your consent is in force again"),
    "withdrawn": ("Bạn đã rút lại sự đồng ý", "You withdrew your consent"),
    "expired": ("Sự đồng ý đã hết hạn", "Your consent has expired"),
    "inapplicable": ("Sự đồng ý không còn áp dụng", "Your consent no longer applies"),
    "invalidated": ("Sự đồng ý đã bị vô hiệu", "Your consent was made void"),
}
"""Every event for which there is a receipt."""

_FROM_NOW: Final[Label] = (
    "{recipient} được đọc những dữ liệu ghi dưới đây, chỉ cho mục đích này và chỉ đến ngày ghi dưới đây.",
    "{recipient} may read the data listed below, for this purpose only and until the day stated below only.",
)
_NO_MORE: Final[Label] = (
    "Từ thời điểm này {recipient} không đọc thêm được gì theo sự đồng ý này.",
    "From this moment {recipient} can read nothing more under this consent.",
)
_STATEMENTS: Final[Mapping[EventType, Label]] = {
    "given": _FROM_NOW,
    "partially_given": _FROM_NOW,
    "cosigned": _FROM_NOW,
    "confirmed": _FROM_NOW,
    "amended": _FROM_NOW,
    "extended": _FROM_NOW,
    "resumed": _FROM_NOW,
    "refused": (
        "{recipient} không nhận được gì. Việc từ chối không được gây bất lợi cho bạn.",
        "{recipient} receives nothing. Refusing must not be held against you.",
    ),
    "paused": (
        "{recipient} không đọc được gì cho đến khi sự đồng ý được mở lại.",
        "{recipient} can read nothing until the consent is resumed.",
    ),
    "withdrawn": (
        (
            "Từ thời điểm này {recipient} không đọc thêm được gì và phải xóa những gì đã nhận theo thỏa "
            "thuận chia sẻ. Những lần đọc trước đó vẫn là hợp pháp."
        ),
        (
            "From this moment {recipient} can read nothing more, and must delete what it received as the "
            "sharing agreement says. What was read before stays lawful."
        ),
    ),
    "expired": _NO_MORE,
    "inapplicable": _NO_MORE,
    "invalidated": _NO_MORE,
}

ENDED: Final[frozenset[EventType]] = frozenset(
    {"refused", "withdrawn", "expired", "inapplicable", "invalidated"}
)
"""Events after which nothing leaves any more."""

SERVICE: Final[Label] = ("Chia sẻ dữ liệu bảo hiểm xã hội", "Social-insurance data sharing")
WITHDRAW: Final[Label] = (
    "Bất cứ lúc nào, không cần lý do: đăng nhập tại {address}, hoặc đến cơ quan bảo hiểm xã hội gần nhất.",
    "At any time, without giving a reason: sign in at {address}, or go to the nearest insurance office.",
)
RIGHTS: Final[Label] = (
    "Bạn có quyền xem ai đã nhận dữ liệu, rút lại sự đồng ý, yêu cầu sửa hoặc xóa, và khiếu nại: {contact}",
    "You may see who received data, withdraw, ask for correction or deletion, and complain: {contact}",
)
METHODS: Final[Mapping[str, Label]] = {
    "web_form": (
        "biểu mẫu trên trang của công dân; không ô nào được đánh dấu sẵn",
        "form on the citizen's pages; nothing ticked beforehand",
    ),
    "assisted": ("có cán bộ giúp thực hiện", "with the help of an officer"),
    "": ("theo thời hạn hoặc quy định", "by time or by rule"),
}
_ROLES: Final[tuple[SignerRole, ...]] = ("data_subject", "representative")
_BY_REASON: Final[frozenset[EventType]] = frozenset({"refused", "paused", "withdrawn"})
_BY_NOBODY: Final[frozenset[EventType]] = frozenset({"expired", "inapplicable", "invalidated"})


def deciders(consent: Consent, event_type: EventType) -> tuple[SignerRole, ...]:
    """Return who brought an event about; () for time, rule or authority. consent: as it is after it."""
    if event_type in _BY_NOBODY:
        return ()
    if event_type not in _BY_REASON:
        return tuple(signer.role for signer in consent.signers)
    return tuple(role for role in _ROLES if consent.state_reason == f"by_{role}")


def statement(event_type: EventType, recipient: Label) -> Label:
    """Return what an event means, in both languages. recipient: name of the organisation."""
    vietnamese, english = _STATEMENTS[event_type]
    return vietnamese.format(recipient=recipient[0]), english.format(recipient=recipient[1])


def termination(consent: Consent, event_type: EventType) -> Label:
    """Return until when the recipient may read, and how long it may keep what it read."""
    kept = consent.terms.retention_days
    if event_type == "refused":
        return "Không đọc gì.", "Nothing is read."
    if event_type in ENDED:
        return (
            f"Đã chấm dứt; dữ liệu đã nhận giữ không quá {kept} ngày.",
            f"Ended; what was received is kept for {kept} days at most.",
        )
    if consent.valid_to_at is None:
        return f"Được đọc {consent.readable_days} ngày.", f"Read for {consent.readable_days} days."
    until = consent.valid_to_at.strftime("%Y-%m-%dT%H:%M:%SZ")
    return (
        f"Được đọc đến {until}; giữ không quá {kept} ngày sau khi nhận.",
        f"Read until {until}; kept for {kept} days at most after receipt.",
    )
