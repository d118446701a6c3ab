"""`POST /v1/clients`: an operator registers a client (RFC 7591, in a closed and protected form).

Authentication: sender-constrained access token with scope manage_clients. Whoever has that scope can let
systems in, so it is given by `broker client register` alone, never here.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from datetime import date
from ipaddress import ip_network
from typing import Any, Final, Protocol

from marshmallow import Schema, ValidationError, fields, validate

from broker.api.calls import Call
from broker.api.judging import AccessJudge
from broker.api.operations_log import LOG
from broker.api.problems import Reply
from broker.api.reading import read_json
from broker.api.replies import json_reply
from broker.clock import Clock
from broker.errors import InputFault
from broker.evidence.acting import Acting
from broker.oauth.client_authentication import NEW_ID
from broker.oauth.client_metadata import (
    ClientMetadata,
    MetadataRefused,
    check_agreements,
    check_kind,
    client_metadata,
    faults_in,
    new_client_id,
)
from broker.oauth.registration import Network
from broker.oauth.registry import FACILITY_CODE
from broker.oauth.scopes import BY_COMMAND, MANAGE_CLIENTS
from broker.storage.clients import AlreadyRegistered, ClientRecord, Organisation, client_record
from policies.civil_time import civil_date
from policies.compile import PolicySet

_ID: Final = rf"^{NEW_ID}\Z"


def read_network(text: str) -> Network:
    """Return a network in CIDR notation. Raises ValidationError: host bits, or all addresses there are."""
    try:
        network = ip_network(text)
    except ValueError:
        raise ValidationError("A network such as 203.0.113.0/24 is needed.") from None
    if not network.prefixlen:
        raise ValidationError("All addresses are no network: leave it out.")
    return network


class _Network(fields.String):
    def _deserialize(self, value: Any, *more: Any, **options: Any) -> Any:
        return read_network(super()._deserialize(value, *more, **options))


def _line(highest: int) -> fields.String:
    return fields.String(
        required=True,
        validate=[
            validate.Length(1, highest),
            validate.Predicate("isprintable", error="Printable characters in one line are needed."),
        ],
    )


class OrganisationSchema(Schema):
    """The organisation that answers for the client, as it stands in the register or will stand there."""

    organisation_id = fields.String(
        required=True,
        validate=validate.Regexp(
            _ID,
            error="1 to 64 letters, digits and . _ ~ - are needed, a letter or digit first; never 12 digits.",
        ),
    )
    kind = _line(64)
    name_vi = _line(200)
    name_en = _line(200)
    facility_code = fields.String(
        validate=validate.Regexp(
            rf"^{FACILITY_CODE.pattern}\Z", error="5 to 13 digits or capital letters are needed."
        )
    )
    contact_officer = fields.String(validate=validate.Length(0, 200))


class RegistrationSchema(Schema):
    """What an operator says of a client, beside the client's own metadata."""

    organisation = fields.Nested(OrganisationSchema, required=True)
    agreements = fields.List(fields.String(validate=validate.Length(1, 64)), validate=validate.Length(0, 32))
    source_networks = fields.List(_Network(), validate=validate.Length(0, 64))
    expires_on = fields.Date(format="iso", required=True)


_REGISTRATION: Final = RegistrationSchema()


class ClientRegister(Protocol):
    """Where clients are registered; `broker.storage.clients.PostgresClients` is one."""

    def register_organisation(self, organisation: Organisation) -> bool:
        """Register an organisation or find it there. Raises AlreadyRegistered, StoreUnavailable."""
        ...

    def register_client(self, record: ClientRecord) -> None:
        """Register a client. Raises AlreadyRegistered, NotRegistered, StoreUnavailable."""
        ...


@dataclass(frozen=True, slots=True)
class ClientsFace:
    """The resource, without a web framework. recipient_kinds: words of the policies.

    register: who acts → the register, in which all they do is evidence.
    """

    judge: AccessJudge
    register: Callable[[Acting], ClientRegister]
    policy_set: PolicySet
    recipient_kinds: Collection[str]
    clock: Clock

    def post(self, call: Call) -> tuple[Reply, str]:
        """Register one client and answer 201 with its registration (RFC 7591, 3.2.1).

        Raises what AccessJudge.judge raises, BodyUnreadable, MetadataRefused, StoreUnavailable.
        """
        token = self.judge.judge(call, MANAGE_CLIENTS)
        now = self.clock()
        metadata, about = _read(read_json(call.body), civil_date(now))
        check_kind(about["organisation"]["kind"], self.recipient_kinds)
        check_agreements(metadata, about["agreements"], self.policy_set)
        organisation = Organisation(**about["organisation"])
        record = client_record(
            metadata if metadata.client_id else replace(metadata, client_id=new_client_id()),
            organisation,
            agreement_ids=about["agreements"],
            source_networks=about["source_networks"],
            last_day=about["expires_on"],
        )
        self._keep(self.register(Acting(actor="client", client=token.client_id)), organisation, record)
        facts = {"client_id": record.client_id, "by": token.client_id, "request_id": call.request_id}
        LOG.info("client registered", extra={"facts": facts})
        document = {
            **_registered(record),
            "client_id_issued_at": int(now.timestamp()),
            "expires_on": about["expires_on"].isoformat(),
        }
        return json_reply(document, 201), ""

    def _keep(self, register: ClientRegister, organisation: Organisation, record: ClientRecord) -> None:
        try:
            register.register_organisation(organisation)
        except AlreadyRegistered:
            told = "It stands in the register with other particulars."
            raise MetadataRefused([InputFault("/organisation", told)]) from None
        try:
            register.register_client(record)
        except AlreadyRegistered:
            raise MetadataRefused([InputFault("/client_id", "It is taken.")]) from None


def _read(document: Mapping[str, Any], today: date) -> tuple[ClientMetadata, dict[str, Any]]:
    """Return the two halves of a registration. Raises MetadataRefused with the faults of both."""
    ours = {name: document[name] for name in _REGISTRATION.fields if name in document}
    faults: list[InputFault] = []
    about: dict[str, Any] = {}
    try:
        about = {"agreements": [], "source_networks": [], **_REGISTRATION.load(ours)}
        if about["expires_on"] < today:
            faults.append(InputFault("/expires_on", "A day that has not passed is needed."))
    except ValidationError as invalid:
        faults += faults_in(invalid.messages, "")
    try:
        metadata = client_metadata({name: value for name, value in document.items() if name not in ours})
        for scope in sorted(BY_COMMAND.intersection(metadata.scopes)):
            told = f"{scope} is given on the broker's own machine: broker client register."
            faults.append(InputFault("/scope", told))
    except MetadataRefused as refused:
        faults += refused.faults
    if faults:
        raise MetadataRefused(faults)
    return metadata, about


def _registered(record: ClientRecord) -> dict[str, Any]:
    """Return all that was registered about a client (RFC 7591, 3.2.1)."""
    return {
        "client_id": record.client_id,
        "client_name": record.name,
        "scope": " ".join(record.scopes),
        **record.client_metadata,
        "organisation": record.organisation_id,
        "agreements": list(record.agreement_ids),
        "source_networks": list(map(str, record.source_networks)),
    }
