"""What the resources answer, as schemas: for the OpenAPI document, and held to real answers by a test.

Answers are written member by member where they are made; nothing is sent through these. Unlike requests they
are open: new members may come, and programs ignore what they do not know.
"""

from __future__ import annotations

from typing import Final

from marshmallow import INCLUDE, Schema, fields, validate

from broker.api.clients import RegistrationSchema
from broker.oauth.client_metadata_schema import ClientMetadataSchema

OUTCOMES: Final = (
    "valid",
    "valid_manual",
    "replaced",
    "valid_with_successor",
    "not_in_force",
    "not_found",
    "number_wrong",
    "issuing_province_wrong",
    "benefit_code_wrong",
    "name_mismatch",
    "name_near_mismatch",
    "birth_date_mismatch",
    "record_unreadable",
    "revoked",
    "stopped",
    "child_without_card",
)
_CODE: Final = r"^[0-9]{3}\Z"


class Answer(Schema):
    """Base of all: open."""

    class Meta:
        """Members that a program does not know are none of its business."""

        unknown = INCLUDE


class CardSchema(Answer):
    """The fields of a card that the agreement permits, in their permitted form; a missing value is null."""

    hi_card = fields.String(allow_none=True)
    valid_from = fields.Date(allow_none=True)
    valid_to = fields.Date(allow_none=True)
    benefit_level = fields.String(allow_none=True)
    primary_facility = fields.String(allow_none=True)
    five_year_date = fields.Date(allow_none=True)


class CheckAnswerSchema(Answer):
    """The answer to one check."""

    outcome = fields.String(required=True, validate=validate.OneOf(OUTCOMES))
    gateway_code = fields.String(required=True, validate=validate.Regexp(_CODE))
    card = fields.Nested(CardSchema)
    new_card = fields.Nested(CardSchema)
    as_of = fields.DateTime(required=True)
    valid_until = fields.DateTime(required=True)
    evidence_reference = fields.UUID(required=True)


class BatchAnswerSchema(Answer):
    """The answers to a batch, in the order of its items."""

    items = fields.List(fields.Nested(CheckAnswerSchema), required=True, validate=validate.Length(1, 200))


class ProvenValueSchema(Answer):
    """A value with the form it left in, the source, and the instant at which the source was true."""

    value = fields.Raw(required=True, allow_none=True)
    form = fields.String(required=True)
    source = fields.String(required=True)
    as_of = fields.DateTime(required=True)


class RetentionSchema(Answer):
    """How long the answer may be kept."""

    days = fields.Integer(required=True)
    until = fields.Date(required=True)


class WithheldSchema(Answer):
    """A field that was asked for and stayed."""

    field = fields.String(required=True)
    reason = fields.String(required=True)


class ConsentedRecordSchema(Answer):
    """What a citizen has consented to: fields held once, and rows of groups that repeat."""

    as_of = fields.DateTime(required=True)
    consent_id = fields.UUID(required=True)
    evidence_reference = fields.UUID(required=True)
    fields_ = fields.Dict(
        keys=fields.String(), values=fields.Nested(ProvenValueSchema), required=True, data_key="fields"
    )
    groups = fields.Dict(
        keys=fields.String(),
        values=fields.List(fields.Dict(keys=fields.String(), values=fields.Nested(ProvenValueSchema))),
        required=True,
    )
    legal_basis = fields.String(required=True)
    purpose = fields.String(required=True)
    retention = fields.Nested(RetentionSchema, required=True)
    withheld = fields.List(fields.Nested(WithheldSchema), required=True)


class TokenInfoSchema(Answer):
    """What the token in hand may do."""

    client_id = fields.String(required=True)
    sub = fields.String(required=True)
    scope = fields.String(required=True)
    authorization_details = fields.List(fields.Dict())
    grant_id = fields.String()
    acr = fields.String()
    auth_time = fields.Integer()
    issued_at_seconds = fields.Integer(required=True)
    expires_at_seconds = fields.Integer(required=True)
    constraint = fields.String(required=True, validate=validate.OneOf(("dpop", "mtls")))
    cnf = fields.Dict(keys=fields.String(), values=fields.String(), required=True)


class ClientSchema(RegistrationSchema, ClientMetadataSchema):
    """A client to register: its own metadata (RFC 7591, 2), and what the operator says of it."""


class RegisteredClientSchema(Answer, ClientMetadataSchema):
    """A client as registered (RFC 7591, 3.2.1): its metadata with defaults filled in, and the operator's."""

    client_id = fields.String(required=True)
    client_id_issued_at = fields.Integer(required=True)
    client_name = fields.String(required=True)
    grant_types = fields.List(fields.String(), required=True)
    token_endpoint_auth_method = fields.String(required=True)
    organisation = fields.String(required=True)
    agreements = fields.List(fields.String(), required=True)
    source_networks = fields.List(fields.String(), required=True)
    expires_on = fields.Date(required=True)


class FaultSchema(Answer):
    """One thing wrong with a request: where, and how to mend it; never the value."""

    pointer = fields.String(required=True)
    remedy = fields.String(required=True)


class ProblemSchema(Answer):
    """Why a request was not answered as asked (RFC 9457)."""

    type = fields.String(required=True, metadata={"format": "uri"})
    title = fields.String(required=True)
    status = fields.Integer(required=True)
    instance = fields.String(required=True, validate=validate.Regexp(r"^urn:uuid:[0-9a-f-]{36}\Z"))
    request_id = fields.UUID(required=True)
    faults = fields.List(fields.Nested(FaultSchema))
    reason = fields.String()
    determining_rules = fields.List(fields.String())
    gateway_code = fields.String(validate=validate.Regexp(_CODE))
    receipt = fields.String()
    allowed = fields.String()
    error = fields.String()
    error_description = fields.String()


class EventsSchema(Answer):
    """Security Event Tokens by their jti (RFC 8936, 2.3)."""

    sets = fields.Dict(keys=fields.UUID(), values=fields.String(), required=True)
    more_available = fields.Boolean(required=True, data_key="moreAvailable")


class AcknowledgedSchema(Answer):
    """What the recipient has attested of a notice."""

    message_id = fields.UUID(required=True)
    acknowledged_at = fields.DateTime(required=True)
    deletion_attested_at = fields.DateTime()


class ToldConsentSchema(Answer):
    """What its recipient learns of a decision."""

    consent_id = fields.UUID(required=True)
    purpose = fields.String(required=True)
    state = fields.String(required=True)
    fields_ = fields.List(fields.String(), required=True, data_key="fields")
    valid_to = fields.DateTime(required=True, allow_none=True)


class RequestStatusSchema(Answer):
    """How a request for consent stands; whether there is such a person it never tells."""

    request_id = fields.UUID(required=True)
    status = fields.String(
        required=True, validate=validate.OneOf(("pending", "decided", "expired", "cancelled"))
    )
    requested_at = fields.DateTime(required=True)
    expires_at = fields.DateTime(required=True)
    consents = fields.List(fields.Nested(ToldConsentSchema), required=True)


class RequestKeptSchema(RequestStatusSchema):
    """A request that was kept, and with what its token is fetched (CIBA, 10.1)."""

    auth_req_id = fields.String(required=True)
    interval_seconds = fields.Integer(required=True)


class GrantedScopeSchema(Answer):
    """Scopes, and the resource servers at which they count."""

    scope = fields.String(required=True)
    resources = fields.List(fields.String(), required=True)


class GrantSchema(Answer):
    """One grant, as its client may see it (OAuth Grant Management, draft 3, 6.3)."""

    scopes = fields.List(fields.Nested(GrantedScopeSchema), required=True)
    authorization_details = fields.List(fields.Dict(), required=True)
    granted_at = fields.DateTime(required=True)
    expires_at = fields.DateTime(required=True)


class SealedSchema(Answer):
    """What opens a commitment."""

    salt = fields.String(required=True)
    identifier = fields.String(allow_none=True)
    content = fields.String(allow_none=True)


class EvidenceFileSchema(Answer):
    """One entry with the proof that it stands in the log (docs/evidence.md, Evidence files)."""

    format_ = fields.String(required=True, data_key="format", validate=validate.Equal("broker-evidence@v1"))
    entry = fields.String(required=True)
    data_subject = fields.Nested(SealedSchema, required=True, allow_none=True)
    payload = fields.Nested(SealedSchema, required=True, allow_none=True)
    proof = fields.String(required=True)
    log_keys = fields.List(fields.String(), required=True)
    witness_keys = fields.List(fields.String(), required=True)
    witnesses_needed = fields.Integer(required=True)


class UsageSchema(Answer):
    """One use of a person's data (Andmejälgija 2.0.0, Usage)."""

    logtime = fields.DateTime(required=True)
    action = fields.String(required=True)
    receiver_code = fields.String(required=True, data_key="receiverCode")
    receiver_name = fields.String(data_key="receiverName")
    receiver_system = fields.String(required=True, data_key="receiverSystem")


class UsageAnswerSchema(Answer):
    """Who used a person's data, newest first (FindUsageResponse)."""

    total_usages = fields.Integer(required=True, strict=True, data_key="totalUsages")
    usages = fields.List(fields.Nested(UsageSchema), required=True)


class UsagePeriodSchema(Answer):
    """Since when histories are kept (UsagePeriodResponse)."""

    period_start = fields.DateTime(required=True, data_key="periodStart")


class HeartbeatSchema(Answer):
    """Whether histories can be read (HeartbeatResponse)."""

    status = fields.String(required=True, validate=validate.OneOf(("OK", "FAIL")))
    message = fields.String(required=True)
