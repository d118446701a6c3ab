"""`POST /v1/entitlement-checks` and `/v1/entitlement-checks/batch`: schema, reading and answer together.

Authentication: DPoP-bound access token with scope verify_entitlement.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any, Final

from marshmallow import Schema, fields, validate

from broker.actions.card_numbers import CardNumber, NumberMalformed, parse_card_number, parse_personal_id
from broker.actions.entitlement_question import EntitlementQuestion
from broker.actions.matter import ActingPerson
from broker.actions.person_match import BirthDate, BirthDateMalformed, parse_birth_date
from broker.actions.verify_entitlement import EntitlementAnswer, VerifyEntitlement
from broker.api.calls import Call, Caller, receipt_wanted
from broker.api.problems import Reply, problem_reply
from broker.api.reading import load, read_json
from broker.api.replies import JSON_HEADERS, JWT_HEADERS
from broker.api.shapes import Shape
from broker.errors import InputFault, RequestMalformed, SourceOutage
from broker.evidence.entry import instant_text
from broker.evidence.recording import AccessContext
from policies.civil_time import civil_date

BATCH_ITEMS_MAX: Final = 200
_SERVICE_YEARS: Final = 2


# A schema refuses unknown names: marshmallow's default, and a test's.


class ActingPersonSchema(Schema):
    """The staff member who looks up: full name and 12-digit personal id (codes 054, 055)."""

    full_name = fields.String(required=True, validate=validate.Length(1, 120))
    personal_id = fields.String(
        required=True, validate=validate.Regexp(r"^[0-9]{12}\Z", error="12 digits are needed.")
    )


class ItemSchema(Schema):
    """One card to check; exactly one of card_number and personal_id."""

    card_number = fields.String(validate=validate.Length(1, 512))
    personal_id = fields.String(validate=validate.Length(12, 32))
    full_name = fields.String(required=True, validate=validate.Length(1, 120))
    birth_date = fields.String(required=True, validate=validate.Length(4, 10))
    service_date = fields.String(required=True, validate=validate.Length(8, 10))
    encounter_reference = fields.String(
        required=True,
        validate=validate.Regexp(r"^[A-Za-z0-9._:/\-]{1,64}\Z", error="1 to 64 letters, digits, . _ : / -"),
    )


class CheckSchema(ItemSchema):
    """One card to check, and who asks."""

    acting_person = fields.Nested(ActingPersonSchema)


class BatchSchema(Schema):
    """Up to 200 cards, and who asks."""

    acting_person = fields.Nested(ActingPersonSchema)
    items = fields.List(
        fields.Nested(ItemSchema), required=True, validate=validate.Length(1, BATCH_ITEMS_MAX)
    )


_CHECK: Final = CheckSchema()
_CHECK_SHAPE: Final = Shape(_CHECK)
_BATCH: Final = BatchSchema()
_ISO_DAY: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")


@dataclass(frozen=True, slots=True)
class EntitlementFace:
    """The two resources, without a web framework. sign(claims) gives a compact JWS."""

    caller: Caller
    verb: VerifyEntitlement
    sign: Callable[[Mapping[str, Any]], str]
    data_owner: str

    def check(self, call: Call) -> tuple[Reply, str]:
        """Answer one check; also the gateway code, for the metrics."""
        context = self.caller.context(call)
        document = read_json(call.body)
        if not _CHECK_SHAPE.fits(document):
            document = load(_CHECK, document)
        question = read_item(document, "", civil_date(context.at))
        try:
            answer = self.verb.check(context, question, read_acting_person(document))
        except SourceOutage as outage:
            return self._outage(call, context, outage), "101"
        if receipt_wanted(call.accept):
            return self._receipt(call, context, answer), answer.gateway_code
        return Reply(200, JSON_HEADERS, answer.content), answer.gateway_code

    def batch(self, call: Call) -> tuple[Reply, str]:
        """Answer up to 200 checks, in order; all recorded in one commit."""
        context = self.caller.context(call)
        document = load(_BATCH, read_json(call.body))
        today = civil_date(context.at)
        questions = [
            read_item(item, f"/items/{position}", today) for position, item in enumerate(document["items"])
        ]
        try:
            answers = self.verb.check_batch(context, questions, read_acting_person(document))
        except SourceOutage as outage:
            return self._outage(call, context, outage), "101"
        if receipt_wanted(call.accept):
            claims = self._claims(call, context, context.reference)
            claims["entitlement_checks"] = [read_json(answer.content) for answer in answers]
            return self._signed(claims), "batch"
        items = b",".join([answer.content for answer in answers])
        return Reply(200, JSON_HEADERS, b'{"items":[' + items + b"]}"), "batch"

    def _receipt(self, call: Call, context: AccessContext, answer: EntitlementAnswer) -> Reply:
        """The same content, signed: what the hospital keeps. asked_digest ties it to the request's bytes."""
        claims = self._claims(call, context, answer.reference)
        claims["entitlement_check"] = read_json(answer.content)
        return self._signed(claims)

    def _signed(self, claims: Mapping[str, Any]) -> Reply:
        body = self.sign(claims).encode("ascii")
        return Reply(200, JWT_HEADERS, body)

    def _outage(self, call: Call, context: AccessContext, outage: SourceOutage) -> Reply:
        """A signed word that the look-up was tried (Decree 188/2025 art. 38: care goes on, check later)."""
        claims = self._claims(call, context, outage.reference)
        claims["outage"] = {
            "facility": outage.facility_code or outage.organisation_id,
            "outcome": "unavailable",
            "gateway_code": "101",
            "tried_at": instant_text(context.at),
        }
        return problem_reply(
            outage,
            issuer=self.caller.issuer,
            request_id=context.request_id,
            vietnamese=call.vietnamese,
            members={"gateway_code": "101", "receipt": self.sign(claims)},
        )

    def _claims(self, call: Call, context: AccessContext, reference: str) -> dict[str, Any]:
        return {
            "iss": self.caller.issuer,
            "aud": context.client_id,
            "iat": int(context.at.timestamp()),
            "jti": reference,
            "data_owner": self.data_owner,
            "asked_digest": "sha-256:" + hashlib.sha256(call.body).hexdigest(),
        }


def read_acting_person(document: Mapping[str, Any]) -> ActingPerson | None:
    """Return the acting person of a loaded document, if one is named."""
    person = document.get("acting_person")
    return None if person is None else ActingPerson(person["full_name"], person["personal_id"])


def read_item(item: Mapping[str, Any], pointer: str, today: date) -> EntitlementQuestion:
    """Return the question in one loaded item. Raises RequestMalformed naming every fault under pointer."""
    faults: list[InputFault] = []
    named_by = "card_number" if "card_number" in item or "personal_id" not in item else "personal_id"
    number = _read(faults, f"{pointer}/{named_by}", lambda: _number(item))
    birth_date = _read(faults, f"{pointer}/birth_date", lambda: parse_birth_date(item["birth_date"], today))
    service_date = _read(
        faults, f"{pointer}/service_date", lambda: _service_date(item["service_date"], today)
    )
    if number is None or birth_date is None or service_date is None:
        raise RequestMalformed(tuple(faults))
    return EntitlementQuestion(
        number, item["full_name"], birth_date, service_date, item["encounter_reference"]
    )


def _read(faults: list[InputFault], pointer: str, read: Callable[[], Any]) -> Any:
    try:
        return read()
    except (NumberMalformed, BirthDateMalformed) as malformed:
        faults.append(InputFault(pointer, str(malformed)))
        return None


def _number(item: Mapping[str, Any]) -> CardNumber:
    card_number, personal_id = item.get("card_number"), item.get("personal_id")
    if (card_number is None) == (personal_id is None):
        raise NumberMalformed("exactly one of card_number and personal_id")
    return parse_card_number(str(card_number)) if personal_id is None else parse_personal_id(personal_id)


def _service_date(text: str, today: date) -> date:
    """A day as ISO or as the gateway writes it, within two years of today."""
    try:
        if _ISO_DAY.fullmatch(text):
            day = date.fromisoformat(text)
        else:
            found: BirthDate = parse_birth_date(text, date(today.year + _SERVICE_YEARS, 12, 31))
            if found.precision != "day":
                raise BirthDateMalformed("yyyy-MM-dd or dd/MM/yyyy")
            day = found.day
    except ValueError:
        raise BirthDateMalformed("yyyy-MM-dd or dd/MM/yyyy") from None
    if abs(day.year - today.year) > _SERVICE_YEARS:
        raise BirthDateMalformed("within two years of today")
    return day
