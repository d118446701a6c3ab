"""Rich authorization requests (RFC 9396): one closed schema per type, checked against the policies.

A detail is accepted only if one of the client's own agreements permits all that it names; it comes out with
that agreement's id, so that whoever decides, and later the release, knows under which one it stands.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime
from typing import Any, Final, TypeAlias

from marshmallow import Schema, ValidationError, fields, validate

from broker.errors import ConsentTermsRefused
from broker.oauth.asked_terms import ASKED_TERMS, AskedTermsSchema, FrequencySchema, RangeSchema
from broker.oauth.bound_tokens import Details
from broker.oauth.detail_types import ENTITLEMENT_CHECK, INSURANCE_RECORD, SCOPE_OF, STATISTICS_EXPORT
from broker.oauth.jose import JoseRefused, decode_object
from broker.oauth.registration import ClientRegistration
from broker.oauth.token_errors import InvalidAuthorizationDetails
from policies.civil_time import civil_date
from policies.compile import PolicySet
from policies.model import Agreement

DETAILS_MAX: Final = 8
MAX_CHARACTERS: Final = 16_384
VALID_DAYS: Final = 30
"""How long a client may read where it did not say: told to the citizen like any other length."""
HAS_CONSENTED: Final = "has_consented"
_NAME: Final = validate.Regexp(r"^[a-z][a-z0-9_]{0,63}\Z")


def _names(data_key: str, *, required: bool = False, least: int = 1) -> fields.List[str]:
    names = fields.String(validate=_NAME)
    return fields.List(
        names, required=required, data_key=data_key, validate=[validate.Length(least, 128), _check_distinct]
    )


def _check_distinct(names: Sequence[str]) -> None:
    if len(set(names)) != len(names):
        raise ValidationError("each name once")


def _action(word: str) -> fields.List[str]:
    return fields.List(fields.String(validate=validate.Equal(word)), validate=validate.Length(1, 1))


class DetailSchema(Schema):
    """What every type may say: where the token will be used (RFC 9396, 2.2), under which agreement."""

    type = fields.String(required=True)
    locations = fields.List(fields.String(), validate=validate.Length(1, 1))
    agreement_id = fields.String(validate=_NAME)


class InsuranceRecordSchema(AskedTermsSchema, DetailSchema):
    """Fields of one person's insurance record, for one purpose.

    required_fields: those without which the rest is of no use to the client.
    """

    actions = _action("read")
    purpose = fields.String(required=True, validate=_NAME)
    field_names = _names("fields", required=True)
    # None may be named, as in what the broker itself tells of a detail without any.
    required_fields = _names("required_fields", least=0)


class EntitlementCheckSchema(DetailSchema):
    """Checks of health-insurance validity, perhaps by some kinds of number only."""

    actions = _action("verify")
    lookup_keys = _names("lookup_keys")


class StatisticsExportSchema(DetailSchema):
    """Aggregate tables, perhaps over some fields only."""

    actions = _action("export")
    field_names = _names("fields")


DETAIL_SCHEMAS: Final[Mapping[str, Schema]] = {
    INSURANCE_RECORD: InsuranceRecordSchema(),
    ENTITLEMENT_CHECK: EntitlementCheckSchema(),
    STATISTICS_EXPORT: StatisticsExportSchema(),
}
_KNOWN: Final = frozenset(
    one.data_key or name for schema in DETAIL_SCHEMAS.values() for name, one in schema.fields.items()
)
_INNER: Final[Mapping[str, frozenset[str]]] = {
    "data_range": frozenset(RangeSchema().fields),
    "frequency": frozenset(FrequencySchema().fields),
}
"""Member that is an object → the names in it."""
PERSONAL_TYPES: Final = frozenset({INSURANCE_RECORD})
"""What a citizen decides on; the other types are for clients that act for themselves."""
TermsCheck: TypeAlias = Callable[[Mapping[str, Any], date], object]
"""Holds a completed detail of one person's record against its agreement on a civil day.

Raises ConsentTermsRefused. `broker.consent.terms.details_to_terms` does, given the policies.
"""
_PLACES: Final[Mapping[str, str]] = {"range_too_wide": "data_range", "frequency_too_high": "frequency"}
"""Reason of ConsentTermsRefused → the member that it speaks of."""


class DetailReader:
    """Reads authorization_details. audience: identifier of this broker, the only location there is."""

    def __init__(self, policies: PolicySet, audience: str, check_terms: TermsCheck) -> None:
        self._policies = policies
        self._audience = audience
        self._check_terms = check_terms

    def read(
        self,
        text: str | None,
        client: ClientRegistration,
        at: datetime,
        *,
        personal: bool,
        with_days: bool = True,
    ) -> Details:
        """Return the details in a request parameter, checked and completed; empty when there is none.

        text: a JSON array of objects (RFC 9396, 2). at: when it is asked. personal: a citizen will decide on
        them. with_days: fill in how long a record is read and kept; False where the terms of a consent do so
        later. Raises InvalidAuthorizationDetails, whose text names the place and never repeats a value.
        """
        details = tuple(
            self._checked(one, position, client, personal=personal, with_days=with_days)
            for position, one in enumerate(listed_details(text))
        )
        for position, detail in enumerate(details):
            self._check_bounds(detail, position, civil_date(at))
        agreements = [detail["agreement_id"] for detail in details if detail["type"] in PERSONAL_TYPES]
        if len(set(agreements)) != len(agreements):
            raise InvalidAuthorizationDetails("one detail for each agreement: a purpose is decided once")
        return details

    def _checked(
        self,
        given: Mapping[str, Any],
        position: int,
        client: ClientRegistration,
        *,
        personal: bool,
        with_days: bool,
    ) -> Mapping[str, Any]:
        kind = given.get("type")
        schema = DETAIL_SCHEMAS.get(kind) if isinstance(kind, str) else None
        if schema is None or not isinstance(kind, str) or (kind in PERSONAL_TYPES) is not personal:
            raise refused_detail(position, "type", "is not offered for this grant")
        if client.detail_types is not None and kind not in client.detail_types:
            raise refused_detail(position, "type", "is not registered for this client")
        try:
            detail: dict[str, Any] = schema.load(given)
        except ValidationError as faults:
            places = " ".join(_places(faults.messages_dict)) or "members"
            raise refused_detail(position, places, "not as the type asks") from None
        if detail.get("locations", [self._audience]) != [self._audience]:
            raise refused_detail(position, "locations", "must be the identifier of this broker")
        agreement = self._agreement(detail, client)
        if agreement is None:
            raise refused_detail(position, "purpose or agreement_id", "no agreement of the client fits")
        completed = _completed(detail, agreement, position)
        if with_days and kind == INSURANCE_RECORD:
            completed = {"valid_days": VALID_DAYS, "retention_days": agreement.retention_days, **completed}
        return completed

    def _check_bounds(self, detail: Mapping[str, Any], position: int, on_date: date) -> None:
        """Hold range, frequency and mode against the agreement; the terms of the consent will again."""
        if not any(name in detail for name in ASKED_TERMS):
            return
        try:
            self._check_terms(detail, on_date)
        except ConsentTermsRefused as refused:
            place = _PLACES.get(refused.reason, "members")
            remedy = f"the agreement does not permit it: {refused.reason}"
            raise refused_detail(position, place, remedy) from None

    def _agreement(self, detail: Mapping[str, Any], client: ClientRegistration) -> Agreement | None:
        """Return the one agreement of the client that fits; several are as bad as none."""
        found = [
            one
            for one in map(self._policies.find_agreement, client.agreement_ids)
            if one is not None and _fits(one, detail, client)
        ]
        return found[0] if len(found) == 1 else None


def _places(messages: Mapping[str, Any]) -> list[str]:
    """Return the members that a schema found fault with, those of objects in them as "outer/inner"."""
    places = []
    for name, inner in sorted((name, inner) for name, inner in messages.items() if name in _KNOWN):
        known = sorted(set(inner) & _INNER.get(name, frozenset())) if isinstance(inner, Mapping) else ()
        places += [f"{name}/{one}" for one in known] or [name]
    return places


def _fits(agreement: Agreement, detail: Mapping[str, Any], client: ClientRegistration) -> bool:
    """Whether an agreement is what a detail speaks of; what it permits is looked at afterwards."""
    return (
        agreement.action == SCOPE_OF[detail["type"]]
        and agreement.purpose == detail.get("purpose", agreement.purpose)
        and agreement.id == detail.get("agreement_id", agreement.id)
        and (detail["type"] not in PERSONAL_TYPES or HAS_CONSENTED in agreement.conditions)
        and agreement.recipient_kind == client.organisation_kind
        and (not agreement.recipients or client.organisation_id in agreement.recipients)
    )


def _completed(detail: dict[str, Any], agreement: Agreement, position: int) -> Mapping[str, Any]:
    """Return a detail with its agreement, if the agreement permits all of it."""
    permitted = {name for rule in agreement.rules for name in rule.fields}
    asked = detail.pop("field_names", None)
    if asked is not None and not permitted.issuperset(asked):
        raise refused_detail(position, "fields", "not all of them are in the agreement")
    if not set(agreement.lookup_keys).issuperset(detail.get("lookup_keys", ())):
        raise refused_detail(position, "lookup_keys", "not all of them are in the agreement")
    completed = {**detail, "agreement_id": agreement.id}
    if asked is not None:
        completed["fields"] = asked
    if detail["type"] == INSURANCE_RECORD:
        if not set(detail.get("required_fields", ())) <= set(asked or ()):
            raise refused_detail(position, "required_fields", "must be among fields")
        if detail.get("retention_days", 1) > agreement.retention_days:
            raise refused_detail(position, "retention_days", "longer than the agreement allows")
        completed.setdefault("required_fields", [])
    return completed


def scopes_of(details: Sequence[Mapping[str, Any]]) -> frozenset[str]:
    """Return the scopes whose doors the details narrow."""
    return frozenset(SCOPE_OF[detail["type"]] for detail in details)


def listed_details(text: str | None) -> list[Mapping[str, Any]]:
    """Return the objects in a request parameter as they stand there, none without it.

    Raises InvalidAuthorizationDetails: not an array of 1 to 8 objects, too long, a member named twice.
    """
    if text is None:
        return []
    if len(text) > MAX_CHARACTERS:
        raise InvalidAuthorizationDetails("authorization_details is too long")
    try:
        # The strict reader takes objects only; an array becomes the one member of one.
        members = decode_object(b'{"listed":' + text.encode("utf-8") + b"}")
    except (JoseRefused, UnicodeEncodeError):
        raise InvalidAuthorizationDetails("authorization_details is not JSON with unique members") from None
    listed = members.get("listed")
    if len(members) != 1 or not isinstance(listed, list) or not 0 < len(listed) <= DETAILS_MAX:
        raise InvalidAuthorizationDetails(f"authorization_details is an array of 1 to {DETAILS_MAX} objects")
    if not all(isinstance(one, dict) for one in listed):
        raise InvalidAuthorizationDetails(f"authorization_details is an array of 1 to {DETAILS_MAX} objects")
    return listed


def refused_detail(position: int, place: str, remedy: str) -> InvalidAuthorizationDetails:
    """Return the refusal of one detail, which names the place and repeats no value."""
    return InvalidAuthorizationDetails(f"authorization_details {position}: {place}: {remedy}")
