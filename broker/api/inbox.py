"""`/v1/consent-requests` and the backchannel: asking for the consent of a person who is not there.

Authentication: sender-constrained access token of the client itself, with scope request_consent.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final, Protocol
from uuid import UUID

from marshmallow import Schema, ValidationError, fields, validate, validates_schema

from broker.actions.cancel_request import CancelRequest
from broker.actions.request_consent import AskingClient, RequestConsent
from broker.api.calls import Call
from broker.api.judging import AccessJudge
from broker.api.problems import Reply
from broker.api.reading import load, read_json
from broker.api.replies import EMPTY, JSON_HEADERS, instant_text, json_reply
from broker.consent.record import Consent
from broker.consent.security_events import told_state
from broker.consent.standing import state_at
from broker.consent.terms import asked_of
from broker.consent.writing import HeldConsent, KeptRequest
from broker.errors import ConsentAskedTooSoon, ConsentNotFound
from broker.oauth.asked_terms import AskedTermsSchema
from broker.oauth.authorization_request import Grant
from broker.oauth.backchannel import (
    EXPIRES_SECONDS_MIN,
    INTERVAL_SECONDS,
    AskedTooSoon,
    BackchannelAsking,
    PollStatus,
)
from broker.oauth.registry import ClientFacts
from broker.oauth.scopes import REQUEST_CONSENT, SHARE_RECORD

ITEMS_MAX: Final = 8
_NAME: Final = validate.Regexp(r"^[a-z][a-z0-9_]{0,63}\Z", error="A name of the catalogue is needed.")


class ConsentItemSchema(AskedTermsSchema):
    """What is asked for one purpose."""

    purpose = fields.String(required=True, validate=_NAME)
    field_names = fields.List(
        fields.String(validate=_NAME),
        required=True,
        data_key="fields",
        attribute="fields",
        validate=validate.Length(1, 128),
    )
    required_fields = fields.List(fields.String(validate=_NAME), validate=validate.Length(0, 128))


class MessageSchema(Schema):
    """The recipient's own words to the person, plain text."""

    vi = fields.String(validate=validate.Length(1, 500))
    en = fields.String(validate=validate.Length(1, 500))


class ConsentRequestSchema(Schema):
    """A request for consent. request_id is chosen by the client: repeating it asks nothing twice."""

    request_id = fields.UUID(required=True)
    personal_id = fields.String(
        required=True, validate=validate.Regexp(r"^[0-9]{12}\Z", error="12 digits are needed.")
    )
    items = fields.List(
        fields.Nested(ConsentItemSchema), required=True, validate=validate.Length(1, ITEMS_MAX)
    )
    message = fields.Nested(MessageSchema)
    expires_in_seconds = fields.Integer(strict=True, validate=validate.Range(EXPIRES_SECONDS_MIN, 2_592_000))

    @validates_schema
    def _check_purposes(self, data: Mapping[str, Any], **_: Any) -> None:
        purposes = [item["purpose"] for item in data.get("items", ())]
        if len(set(purposes)) != len(purposes):
            raise ValidationError("Each purpose once.", "items")


_REQUEST: Final = ConsentRequestSchema()


class RequestStore(Protocol):
    """Keeps requests; `broker.storage.consent_requests` has one. All raise StoreUnavailable."""

    def find_request(self, request_id: str) -> KeptRequest | None:
        """Return a request by its id, or None."""
        ...

    def find_by_auth_request(self, auth_request_hash: bytes) -> KeptRequest | None:
        """Return the request that an auth_req_id stands for, or None."""
        ...

    def note_polled(self, request_id: str, at: datetime) -> datetime | None:
        """Remember that the client asked for its token now; return when it asked before."""
        ...


@dataclass(frozen=True, slots=True)
class Inbox:
    """The three resources, and what the backchannel endpoint and grant ask.

    find_client: facts of the register. find_consents: of one request. find_grant: by its id. poll_secret_of:
    a request's auth_req_id. new_id: fresh UUIDv7.
    """

    judge: AccessJudge
    verb: RequestConsent
    canceller: CancelRequest
    store: RequestStore
    find_client: Callable[[str], ClientFacts | None]
    find_consents: Callable[[str], Sequence[HeldConsent]]
    find_grant: Callable[[str], Grant | None]
    new_id: Callable[[], str]

    def post(self, call: Call) -> tuple[Reply, str]:
        """Keep a request; 201 with its status, also for one that was kept before."""
        token = self.judge.judge(call, REQUEST_CONSENT)
        document = load(_REQUEST, read_json(call.body))
        at = self.judge.caller.clock()
        wait = timedelta(seconds=document.get("expires_in_seconds", 7 * 86_400))
        kept = self.verb.ask(
            self._client(token.client_id),
            str(document["request_id"]),
            document["personal_id"],
            [asked_of(item, document.get("message", {})) for item in document["items"]],
            at,
            scope=SHARE_RECORD,
            wait=wait,
        )
        location = ("Location", f"/v1/consent-requests/{kept.opening.request_id}")
        status = self._status(kept, at)
        status["auth_req_id"] = self.verb.poll_secret_of(kept.opening.request_id)
        status["interval_seconds"] = INTERVAL_SECONDS
        return replace(json_reply(status, 201), headers=(*JSON_HEADERS, location)), ""

    def show(self, call: Call) -> tuple[Reply, str]:
        """Tell how a request stands. Raises ConsentNotFound, also for another client's."""
        token = self.judge.judge(call, REQUEST_CONSENT)
        kept = self._own(call, token.client_id)
        return json_reply(self._status(kept, self.judge.caller.clock())), ""

    def cancel(self, call: Call) -> tuple[Reply, str]:
        """Take a request back that nobody has decided yet; 204. Raises as `CancelRequest.cancel` does."""
        token = self.judge.judge(call, REQUEST_CONSENT)
        kept = self._own(call, token.client_id)
        self.canceller.cancel(kept, self.judge.caller.clock())
        return EMPTY, ""

    def ask(self, asking: BackchannelAsking) -> tuple[str, int]:
        """Keep a backchannel request; return its auth_req_id and its seconds left. Raises AskedTooSoon."""
        client, request_id = asking.client, self.new_id()
        message = {"vi": asking.message, "en": asking.message} if asking.message else {}
        facts = AskingClient(
            client_id=client.client_id,
            organisation_id=client.organisation_id,
            organisation_kind=client.organisation_kind,
            agreement_ids=client.agreement_ids,
        )
        try:
            kept = self.verb.ask(
                facts,
                request_id,
                asking.personal_id,
                [asked_of(detail, message) for detail in asking.details],
                asking.at,
                scope=asking.scope,
                channel="ciba_poll",
                wait=timedelta(seconds=asking.expires_seconds),
            )
        except ConsentAskedTooSoon:
            raise AskedTooSoon from None
        left = int((kept.opening.expires_at - asking.at).total_seconds())
        return self.verb.poll_secret_of(kept.opening.request_id), left

    def poll(self, auth_request_hash: bytes, client_id: str, at: datetime) -> tuple[PollStatus, Grant | None]:
        """Return how a backchannel request of this client stands; with "given" its grant, until used up."""
        kept = self.store.find_by_auth_request(auth_request_hash)
        if kept is None or kept.opening.client_id != client_id or kept.redeemed_at is not None:
            return "unknown", None
        status = kept.status(at)
        if status == "cancelled":
            return "refused", None
        if status == "expired":
            return "expired", None
        if status == "pending":
            before = self.store.note_polled(kept.opening.request_id, at)
            is_fast = before is not None and at < before + timedelta(seconds=INTERVAL_SECONDS)
            return ("slow_down" if is_fast else "pending"), None
        grant = None if kept.grant_id is None else self.find_grant(kept.grant_id)
        if grant is None or grant.revoked_at is not None:
            return "refused", None
        return "given", grant

    def _client(self, client_id: str) -> AskingClient:
        facts = self.find_client(client_id)
        if facts is None:
            raise ConsentNotFound
        return AskingClient(
            client_id=client_id,
            organisation_id=facts.organisation_id,
            organisation_kind=facts.organisation_kind,
            agreement_ids=facts.agreement_ids,
        )

    def _own(self, call: Call, client_id: str) -> KeptRequest:
        try:
            request_id = str(UUID(call.path.rpartition("/")[2]))
        except ValueError:
            raise ConsentNotFound from None
        kept = self.store.find_request(request_id)
        if kept is None or kept.opening.client_id != client_id or kept.opening.channel == "redirect":
            raise ConsentNotFound
        return kept

    def _status(self, kept: KeptRequest, at: datetime) -> dict[str, Any]:
        status = kept.status(at)
        decided: Sequence[Consent] = []
        if status == "decided":
            decided = [held.consent for held in self.find_consents(kept.opening.request_id)]
        return {
            "request_id": kept.opening.request_id,
            "status": status,
            "requested_at": instant_text(kept.opening.requested_at),
            "expires_at": instant_text(kept.opening.expires_at),
            "consents": [_told(one, at) for one in decided],
        }


def _told(consent: Consent, at: datetime) -> dict[str, Any]:
    """What the recipient learns of a decision: its own business, and no more."""
    return {
        "consent_id": consent.consent_id,
        "purpose": consent.terms.purpose,
        "state": told_state(state_at(consent, at)),
        "fields": sorted(consent.given_names),
        "valid_to": None if consent.valid_to_at is None else instant_text(consent.valid_to_at),
    }
