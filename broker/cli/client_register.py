"""`broker client register`: a client comes in, with its organisation, its metadata and its public keys."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
from marshmallow import ValidationError

from broker.api.clients import read_network
from broker.app import load_policies
from broker.cli.client_files import NewKey, look_at_published_keys, read_document, row_of
from broker.cli.output import EXIT_CODES, refusals, show
from broker.cli.session import Session, open_session
from broker.oauth.client_authentication import NEW_ID
from broker.oauth.client_metadata import (
    AUTHORIZATION_CODE,
    MEMBERS,
    ClientMetadata,
    check_agreements,
    check_kind,
    client_metadata,
    new_client_id,
)
from broker.oauth.client_metadata_schema import GRANT_TYPES
from broker.oauth.jose_keys import ALGORITHMS
from broker.oauth.registration import AUTHENTICATION_METHODS, Network
from broker.oauth.registry import FACILITY_CODE
from broker.oauth.tls_clients import SUBJECT_NAMES
from broker.storage.clients import Organisation, PostgresClients, client_record
from policies.load import SHIPPED, load_registers

_TLS_PREFIX = "tls_client_auth_"
_EPILOG = f"""{EXIT_CODES}

\b
For a first try:
  broker client register --organisation-id 79001 --kind hospital \\
    --name-vi "Bệnh viện A" --name-en "Hospital A" --facility-code 79001 \\
    --client-id hospital-a --scope verify_entitlement \\
    --agreement hospital_entitlement_check --expires 2027-06-30 --generate-key hospital-a.jwk
"""


def _facility_code(_context: click.Context, _option: click.Parameter, code: str | None) -> str | None:
    """Refuse what is no code of a facility: receipts of outages would name it for ten years."""
    if code is not None and not FACILITY_CODE.fullmatch(code):
        raise click.BadParameter("5 to 13 digits or capital letters are needed, such as 79001.")
    return code


def _organisation_id(_context: click.Context, _option: click.Parameter, name: str) -> str:
    """Refuse what cannot stand in an entry of evidence: every release to it would."""
    if not re.fullmatch(NEW_ID, name):
        raise click.BadParameter("1 to 64 letters, digits and . _ ~ - are needed; never 12 digits.")
    return name


_ORGANISATION = (
    click.option(
        "--organisation-id",
        required=True,
        callback=_organisation_id,
        help="Organisation that answers for the client.",
    ),
    click.option("--kind", required=True, help="Kind of recipient, as in recipient_kinds.toml: hospital."),
    click.option("--name-vi", required=True, help="Vietnamese name of the organisation."),
    click.option("--name-en", required=True, help="English name of the organisation."),
    click.option(
        "--facility-code",
        callback=_facility_code,
        help="Code of a health facility, 5 to 13 digits or capital letters.",
    ),
    click.option("--contact-officer", default="", help="Who answers questions about the use of data."),
)
_METADATA = (
    click.option(
        "--metadata",
        "metadata_file",
        type=click.Path(path_type=Path, exists=True, dir_okay=False),
        help="Its client metadata, JSON as in RFC 7591; the options below take precedence.",
    ),
    click.option(
        "--ignore-unknown",
        is_flag=True,
        help="Leave out members that the broker does not know, and say which.",
    ),
    click.option(
        "--client-id", help="Identifier of the client: letters, digits and . _ ~ -; made if not given."
    ),
    click.option("--name", help="Name that citizens see; the organisation's if not given."),
    click.option("--scope", "scopes", multiple=True, help="Scope it may ask for; repeatable."),
    click.option(
        "--grant-type",
        "grant_types",
        multiple=True,
        type=click.Choice(GRANT_TYPES),
        help="Grant it may use; repeatable [client_credentials, with --redirect-uri authorization_code].",
    ),
    click.option(
        "--redirect-uri", "redirect_uris", multiple=True, help="Where citizens come back to; repeatable."
    ),
    click.option("--events-uri", help="https URL at which it is told of consents; without it, it asks."),
    click.option(
        "--detail-type", "detail_types", multiple=True, help="Type of authorization_details; repeatable."
    ),
    click.option("--auth-method", type=click.Choice(AUTHENTICATION_METHODS), help="How it proves itself."),
    click.option(
        "--tls-name",
        help="For tls_client_auth: "
        + ", ".join(f"{name.removeprefix(_TLS_PREFIX)}=…" for name in SUBJECT_NAMES),
    ),
    click.option(
        "--certificate-bound", is_flag=True, help="Tokens bound to its certificate, not to a DPoP key."
    ),
)
_KEYS = (
    click.option(
        "--jwks",
        type=click.Path(path_type=Path, exists=True, dir_okay=False),
        help="Its PUBLIC keys, a JWK set.",
    ),
    click.option("--jwks-uri", help="https URL at which it publishes its public keys."),
    click.option(
        "--generate-key", type=click.Path(path_type=Path), help="Write a fresh PRIVATE key here (demos)."
    ),
    click.option("--algorithm", type=click.Choice(ALGORITHMS), default="ES256", help="For --generate-key."),
)


def _with(*groups: tuple[Callable[[Any], Any], ...]) -> Callable[[Any], Any]:
    """Return a decorator that adds options in the order in which help shows them."""

    def decorate(command: Any) -> Any:
        for option in reversed([option for group in groups for option in group]):
            command = option(command)
        return command

    return decorate


@click.command(epilog=_EPILOG)
@_with(_ORGANISATION, _METADATA)
@click.option("--agreement", "agreements", multiple=True, help="Agreement it acts under; repeatable.")
@click.option(
    "--source-network", "networks", multiple=True, help="Network its requests come from; repeatable."
)
@click.option("--expires", required=True, type=click.DateTime(["%Y-%m-%d"]), help="Last day, YYYY-MM-DD.")
@_with(_KEYS)
@click.option("--json", "as_json", is_flag=True, help="Print the registration as JSON.")
def register_command(**given: Any) -> None:
    """Register a client, and its organisation if that is new.

    The organisation must be the same in every particular if it is already registered. Ask the organisation
    for its PUBLIC key set, or for the https URL at which it publishes one; a private key is refused.
    """
    with refusals(), open_session() as session:
        new_key = None if given["generate_key"] is None else NewKey.generate(given["algorithm"])
        metadata = _metadata(given, new_key)
        _check_words(session, given, metadata)
        organisation = Organisation(
            organisation_id=given["organisation_id"],
            kind=given["kind"],
            name_vi=given["name_vi"],
            name_en=given["name_en"],
            facility_code=given["facility_code"],
            contact_officer=given["contact_officer"],
        )
        record = client_record(
            metadata,
            organisation,
            agreement_ids=given["agreements"],
            source_networks=[_network(text) for text in given["networks"]],
            last_day=given["expires"].date(),
        )
        if new_key is not None:
            new_key.write(given["generate_key"], metadata.client_id)
        clients = PostgresClients(session.engine, session.acts)
        try:
            clients.register_organisation(organisation)
            clients.register_client(record)
        except Exception:
            if given["generate_key"] is not None:
                given["generate_key"].unlink()
            raise
        if "jwks_uri" in metadata.members:
            look_at_published_keys(session.settings, metadata.members["jwks_uri"])
    show([row_of(record)], given["as_json"])


def _metadata(given: Mapping[str, Any], new_key: NewKey | None) -> ClientMetadata:
    """Return what file and options say together. Raises MetadataRefused."""
    document = {} if given["metadata_file"] is None else read_document(given["metadata_file"])
    unknown = sorted(set(document) - MEMBERS)
    if unknown and given["ignore_unknown"]:
        click.echo(f"warning: left out: {', '.join(map(ascii, unknown))}", err=True)
        document = {name: value for name, value in document.items() if name in MEMBERS}
    keys = [name for name in ("jwks", "jwks_uri", "generate_key") if given[name] is not None]
    if len(keys) > 1:
        raise click.UsageError("give one of --jwks, --jwks-uri and --generate-key")
    if keys:
        document.pop("jwks", None)
        document.pop("jwks_uri", None)
    if given["metadata_file"] is None:
        document["grant_types"] = [AUTHORIZATION_CODE if given["redirect_uris"] else "client_credentials"]
    said = {
        "client_id": given["client_id"],
        "client_name": given["name"],
        "scope": " ".join(given["scopes"]),
        "grant_types": list(given["grant_types"]),
        "redirect_uris": list(given["redirect_uris"]),
        "authorization_details_types": list(given["detail_types"]),
        "events_uri": given["events_uri"],
        "token_endpoint_auth_method": given["auth_method"],
        "tls_client_certificate_bound_access_tokens": given["certificate_bound"],
        "jwks": _jwks(given["jwks"]) if new_key is None else dict(new_key.jwks),
        "jwks_uri": given["jwks_uri"],
        **_tls_name(given["tls_name"]),
    }
    metadata = client_metadata({**document, **{name: value for name, value in said.items() if value}})
    return metadata if metadata.client_id else replace(metadata, client_id=new_client_id())


def _jwks(path: Path | None) -> Mapping[str, Any] | None:
    """Return the set in a file, which may also hold one key alone."""
    return None if path is None else read_document(path)


def _tls_name(text: str | None) -> dict[str, str]:
    if text is None:
        return {}
    name, separator, value = text.partition("=")
    if not separator or _TLS_PREFIX + name not in SUBJECT_NAMES:
        known = ", ".join(f"{one.removeprefix(_TLS_PREFIX)}=…" for one in SUBJECT_NAMES)
        raise click.UsageError(f"--tls-name: one of {known}")
    return {_TLS_PREFIX + name: value}


def _network(text: str) -> Network:
    try:
        return read_network(text)
    except ValidationError as invalid:
        raise click.UsageError(f"--source-network: {invalid.messages[0]}") from None


def _check_words(session: Session, given: Mapping[str, Any], metadata: ClientMetadata) -> None:
    """Refuse words that no policy knows: a typing error would refuse silently later."""
    directory = session.settings.policy_directory
    check_kind(given["kind"], load_registers(Path(directory) if directory else SHIPPED)[1].recipient_kinds)
    check_agreements(metadata, given["agreements"], load_policies(session.settings))
