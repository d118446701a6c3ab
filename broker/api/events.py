"""`POST /v1/events` and `POST /v1/events/acknowledgements`: recipients fetch what they must know of consents.

Authentication: sender-constrained access token of the client itself, with scope consent_events.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Protocol
from uuid import UUID

from marshmallow import Schema, fields, validate

from broker.api.calls import Call
from broker.api.judging import AccessJudge
from broker.api.problems import Reply
from broker.api.reading import load, read_json
from broker.api.replies import instant_text, json_reply
from broker.consent.security_events import event_claims
from broker.consent.writing import QueuedNotice
from broker.errors import NoticeNotFound
from broker.oauth.client_metadata_schema import Truth
from broker.oauth.scopes import CONSENT_EVENTS
from broker.storage.event_polls import Acknowledgement
from connectors.notify import refusal_words

EVENTS_MAX: Final = 100
SETTLED_MAX: Final = 1_000
_JTI: Final = fields.String(validate=validate.Length(1, 64))


class SetErrorSchema(Schema):
    """Why a token was refused (RFC 8936, 2.4.4). description is read by nobody here."""

    err = fields.String(required=True, validate=validate.Length(1, 64))
    description = fields.String(validate=validate.Length(0, 1_000))


class PollSchema(Schema):
    """What a recipient asks for, and what it has settled (RFC 8936, 2.4)."""

    max_events = fields.Integer(strict=True, data_key="maxEvents", validate=validate.Range(0))
    return_immediately = Truth(
        data_key="returnImmediately",
        validate=validate.Equal(True, error="Answers come at once here: true, or leave it out."),
    )
    ack = fields.List(_JTI, validate=validate.Length(0, SETTLED_MAX))
    errors = fields.Dict(
        keys=_JTI,
        values=fields.Nested(SetErrorSchema),
        data_key="setErrs",
        validate=validate.Length(0, SETTLED_MAX),
    )


class AcknowledgementSchema(Schema):
    """A recipient's word that it has done what a notice tells: stopped, and deleted where that is said."""

    message_id = fields.UUID(required=True)
    deletion_attested = Truth(required=True)


_POLL: Final = PollSchema()
_ACKNOWLEDGEMENT: Final = AcknowledgementSchema()


class EventStore(Protocol):
    """Keeps the notices; `broker.storage.event_polls.PostgresEventPolls` is one. Raises StoreUnavailable."""

    def settle(
        self, client_id: str, received: Collection[str], refused: Mapping[str, str], at: datetime
    ) -> None:
        """Take received and refused notices (message id → fixed words) off a client's list."""
        ...

    def find_list(self, client_id: str, most: int) -> tuple[Sequence[QueuedNotice], bool]:
        """Return the oldest notices on a client's list, and whether there are more."""
        ...

    def acknowledge(
        self, client_id: str, message_id: str, *, deletion_attested: bool, at: datetime
    ) -> Acknowledgement | None:
        """Note that a client has done what a notice of its own tells; None if there is no such notice."""
        ...


@dataclass(frozen=True, slots=True)
class EventsFace:
    """The resources, without a web framework. sign: claims → Security Event Token."""

    judge: AccessJudge
    store: EventStore
    sign: Callable[[Mapping[str, Any]], str]
    issuer: str

    def poll(self, call: Call) -> tuple[Reply, str]:
        """Settle what the recipient names, then answer the oldest tokens on its list (RFC 8936, 2.3-2.5).

        A token stays on the list until it is settled; one that is pushed never stands on it. Raises what
        AccessJudge.judge raises, BodyUnreadable, RequestMalformed, SigningKeyUnavailable, StoreUnavailable.
        """
        client_id = self.judge.judge(call, CONSENT_EVENTS).client_id
        asked = load(_POLL, read_json(call.body))
        received = _known_form(asked.get("ack", ()))
        errors = asked.get("errors", {})
        refused = {jti: refusal_words(errors[jti]["err"]) for jti in _known_form(errors)}
        if received or refused:
            self.store.settle(client_id, received, refused, self.judge.caller.clock())
        most = min(asked.get("max_events", EVENTS_MAX), EVENTS_MAX)
        notices, has_more = self.store.find_list(client_id, most)
        sets = {notice.message_id: self.sign(event_claims(notice, self.issuer)) for notice in notices}
        return json_reply({"sets": sets, "moreAvailable": has_more}), ""

    def acknowledge(self, call: Call) -> tuple[Reply, str]:
        """Note that the recipient has done what a notice tells; the citizen sees it.

        Raises what AccessJudge.judge raises, BodyUnreadable, RequestMalformed, NoticeNotFound,
        StoreUnavailable.
        """
        client_id = self.judge.judge(call, CONSENT_EVENTS).client_id
        said = load(_ACKNOWLEDGEMENT, read_json(call.body))
        noted = self.store.acknowledge(
            client_id,
            str(said["message_id"]),
            deletion_attested=said["deletion_attested"],
            at=self.judge.caller.clock(),
        )
        if noted is None:
            raise NoticeNotFound
        document: dict[str, Any] = {
            "message_id": noted.message_id,
            "acknowledged_at": instant_text(noted.acknowledged_at),
        }
        if noted.deletion_attested_at is not None:
            document["deletion_attested_at"] = instant_text(noted.deletion_attested_at)
        return json_reply(document), ""


def _known_form(jtis: Collection[str]) -> list[str]:
    """Return those that could be ids of notices, once each; others are nobody's (RFC 8936, 2.4)."""
    found = []
    for jti in dict.fromkeys(jtis):
        try:
            if str(UUID(jti)) == jti:
                found.append(jti)
        except ValueError:
            continue
    return found
