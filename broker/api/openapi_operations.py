"""The resources as the OpenAPI document tells them, one row each: what they ask, answer, and refuse with."""

from __future__ import annotations

from typing import Final

from broker.api.entitlement import BatchSchema, CheckSchema
from broker.api.events import AcknowledgementSchema, PollSchema
from broker.api.inbox import ConsentRequestSchema
from broker.api.openapi_operation import Operation
from broker.api.openapi_schemas import (
    AcknowledgedSchema,
    BatchAnswerSchema,
    CheckAnswerSchema,
    ClientSchema,
    ConsentedRecordSchema,
    EventsSchema,
    EvidenceFileSchema,
    GrantSchema,
    HeartbeatSchema,
    RegisteredClientSchema,
    RequestKeptSchema,
    RequestStatusSchema,
    TokenInfoSchema,
    UsageAnswerSchema,
    UsagePeriodSchema,
)
from broker.api.openapi_statistics import STATISTICS
from broker.api.openapi_words import Words
from broker.oauth.scopes import (
    CONSENT_EVENTS,
    FIND_USAGE,
    MANAGE_CLIENTS,
    QUERY_GRANTS,
    REQUEST_CONSENT,
    REVOKE_GRANTS,
    SHARE_RECORD,
    VERIFY_ENTITLEMENT,
)

_TERMS: Final = ("request-malformed", "consent-terms-refused")
_RELEASE: Final = (
    "request-malformed",
    "acting-person-refused",
    "limit-reached",
    "source-answer-refused",
    "source-outage",
    "clock-skewed",
)

OPERATIONS: Final = (
    *STATISTICS,
    Operation(
        method="POST",
        rule="/v1/entitlement-checks",
        name="checkEntitlement",
        words=Words("Kiểm tra một thẻ bảo hiểm y tế", "Check one health-insurance card"),
        scope=VERIFY_ENTITLEMENT,
        asks=CheckSchema,
        tells=CheckAnswerSchema,
        receipt=True,
        refuses=_RELEASE,
    ),
    Operation(
        method="POST",
        rule="/v1/entitlement-checks/batch",
        name="checkEntitlements",
        words=Words("Kiểm tra nhiều thẻ cùng lúc", "Check many cards at once"),
        scope=VERIFY_ENTITLEMENT,
        asks=BatchSchema,
        tells=BatchAnswerSchema,
        receipt=True,
        refuses=_RELEASE,
    ),
    Operation(
        method="GET",
        rule="/v1/consented-record",
        name="readConsentedRecord",
        words=Words("Đọc những gì công dân đã đồng ý chia sẻ", "Read what a citizen has consented to share"),
        scope=SHARE_RECORD,
        tells=ConsentedRecordSchema,
        receipt=True,
        query=("consent_id",),
        refuses=(*(one for one in _RELEASE if one != "acting-person-refused"), "log-stopped"),
    ),
    Operation(
        method="GET",
        rule="/v1/token-info",
        name="showToken",
        words=Words("Mã truy cập đang dùng được làm gì", "What the token in hand may do"),
        scope=None,
        tells=TokenInfoSchema,
    ),
    Operation(
        method="GET",
        rule="/facade/findusage/findUsage",
        name="findUsage",
        words=Words("Ai đã dùng dữ liệu của một công dân", "Who used a citizen's data"),
        scope=FIND_USAGE,
        tells=UsageAnswerSchema,
        query=("userCode", "periodStart", "periodEnd", "offset", "limit"),
        headers=("X-Road-UserId",),
        refuses=(*(one for one in _RELEASE if one != "acting-person-refused"), "log-stopped"),
    ),
    Operation(
        method="GET",
        rule="/facade/findusage/usagePeriod",
        name="usagePeriod",
        words=Words("Lịch sử được giữ từ khi nào", "Since when histories are kept"),
        scope=FIND_USAGE,
        tells=UsagePeriodSchema,
    ),
    Operation(
        method="GET",
        rule="/facade/findusage/heartbeat",
        name="heartbeat",
        words=Words("Có đọc được lịch sử không", "Whether histories can be read"),
        scope=FIND_USAGE,
        tells=HeartbeatSchema,
    ),
    Operation(
        method="GET",
        rule="/evidence/proof/<reference>",
        name="showProof",
        words=Words(
            "Chứng minh một lần trả lời nằm trong nhật ký", "Prove that what was answered stands in the log"
        ),
        scope=None,
        tells=EvidenceFileSchema,
        plain=True,
        refuses=("not-found", "entry-not-merged", "checkpoint-withdrawn"),
    ),
    Operation(
        method="GET",
        rule="/oauth/grants/<grant_id>",
        name="showGrant",
        words=Words("Xem một sự cho phép của công dân", "Read a grant that a citizen has given"),
        scope=QUERY_GRANTS,
        tells=GrantSchema,
        refuses=("not-found",),
    ),
    Operation(
        method="DELETE",
        rule="/oauth/grants/<grant_id>",
        name="revokeGrant",
        words=Words(
            "Trả lại một sự cho phép, với mọi mã và sự đồng ý của nó",
            "Give a grant back, and with it all its tokens and consents",
        ),
        scope=REVOKE_GRANTS,
        status=204,
        refuses=("not-found", "consent-moved"),
    ),
    Operation(
        method="POST",
        rule="/v1/clients",
        name="registerClient",
        words=Words("Đăng ký một hệ thống", "Register a client"),
        scope=MANAGE_CLIENTS,
        asks=ClientSchema,
        tells=RegisteredClientSchema,
        status=201,
        refuses=("client-metadata-refused",),
    ),
    Operation(
        method="POST",
        rule="/v1/consent-requests",
        name="requestConsent",
        words=Words("Xin sự đồng ý của người vắng mặt", "Ask for the consent of a person who is not there"),
        scope=REQUEST_CONSENT,
        asks=ConsentRequestSchema,
        tells=RequestKeptSchema,
        status=201,
        refuses=(*_TERMS, "consent-request-conflict", "consent-asked-too-soon"),
    ),
    Operation(
        method="GET",
        rule="/v1/consent-requests/<request_id>",
        name="showConsentRequest",
        words=Words("Xem một yêu cầu đã đến đâu", "See how a request stands"),
        scope=REQUEST_CONSENT,
        tells=RequestStatusSchema,
        refuses=("not-found",),
    ),
    Operation(
        method="DELETE",
        rule="/v1/consent-requests/<request_id>",
        name="cancelConsentRequest",
        words=Words(
            "Rút lại một yêu cầu chưa ai quyết định", "Take a request back that nobody has decided yet"
        ),
        scope=REQUEST_CONSENT,
        status=204,
        refuses=("not-found", "consent-transition-refused", "consent-moved"),
    ),
    Operation(
        method="POST",
        rule="/v1/events",
        name="pollEvents",
        words=Words("Nhận thông báo về các sự đồng ý (RFC 8936)", "Fetch what became of consents (RFC 8936)"),
        scope=CONSENT_EVENTS,
        asks=PollSchema,
        tells=EventsSchema,
        refuses=("request-malformed",),
    ),
    Operation(
        method="POST",
        rule="/v1/events/acknowledgements",
        name="acknowledgeEvent",
        words=Words(
            "Xác nhận đã dừng, và đã xóa nếu phải xóa", "Attest that you stopped, and deleted where told to"
        ),
        scope=CONSENT_EVENTS,
        asks=AcknowledgementSchema,
        tells=AcknowledgedSchema,
        refuses=("request-malformed", "not-found"),
    ),
)
