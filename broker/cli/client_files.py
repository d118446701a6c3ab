"""What the commands on clients read, write and show: documents, key files, published keys, rows."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from broker.cli.output import CommandRefused
from broker.oauth.client_jwks import usable_jwks
from broker.oauth.jose import JoseRefused, decode_object
from broker.oauth.jose_keys import Algorithm
from broker.oauth.registration import PRIVATE_KEY_JWT, read_jwks, registrable_jwks
from broker.oauth.stored_keys import generate_private_key
from broker.settings import Settings
from broker.storage.clients import ClientRecord
from connectors.client_keys import ClientKeySets

MAX_FILE_BYTES = 65_536


def read_document(path: Path) -> dict[str, Any]:
    """Return the JSON object in a file of at most 64 KiB. Raises CommandRefused."""
    if path.stat().st_size > MAX_FILE_BYTES:
        raise CommandRefused(f"{path} is larger than 64 KiB", 2)
    try:
        return decode_object(path.read_bytes())
    except JoseRefused:
        raise CommandRefused(f"{path} does not hold one JSON object with unique member names", 2) from None


@dataclass(frozen=True, slots=True)
class NewKey:
    """A fresh private key, not yet written. jwks: its public half, as it will be registered."""

    private: Mapping[str, Any]
    jwks: Mapping[str, Any]

    @classmethod
    def generate(cls, algorithm: Algorithm) -> NewKey:
        """Make one."""
        key = generate_private_key(algorithm)
        private = {**key.as_dict(private=True), "kid": key.thumbprint(), "alg": algorithm}
        return cls(private, registrable_jwks(json.dumps(key.as_dict(private=False))))

    def write(self, path: Path, client_id: str) -> None:
        """Write it to a new file that only its owner may read. Raises CommandRefused."""
        try:
            handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except OSError as fault:
            raise CommandRefused(f"{path}: {fault.strerror}", 2) from None
        with os.fdopen(handle, "w", encoding="ascii") as file:
            file.write(json.dumps({**self.private, "client_id": client_id}, indent=2) + "\n")


def look_at_published_keys(settings: Settings, jwks_uri: str) -> None:
    """Read a client's published keys once, as the server will, and say on standard error what is there.

    What cannot be read now does not stop a registration: the client may publish its keys later.
    """
    sets = ClientKeySets(
        usable_jwks,
        authorities=settings.client_keys_ca_file,
        private_hosts=settings.client_keys_private_hosts,
    )
    text = sets.find_jwks(jwks_uri)
    if text is None:
        fault = sets.find_fault(jwks_uri) or "the host does not answer in time"
        click.echo(f"warning: the keys at its jwks_uri cannot be read now: {fault}", err=True)
        return
    kids = ", ".join(key.kid or "(none)" for key in read_jwks(text))
    click.echo(f"usable keys at its jwks_uri: {kids}", err=True)


def row_of(record: ClientRecord) -> dict[str, Any]:
    """Return what is shown of a client."""
    metadata = record.client_metadata
    return {
        "client_id": record.client_id,
        "organisation_id": record.organisation_id,
        "name": record.name,
        "status": record.status,
        "scopes": list(record.scopes),
        "agreement_ids": list(record.agreement_ids),
        "grant_types": list(metadata.get("grant_types", [])),
        "redirect_uris": list(metadata.get("redirect_uris", [])),
        "authentication_method": metadata.get("token_endpoint_auth_method", PRIVATE_KEY_JWT),
        "key_ids": [key["kid"] for key in metadata.get("jwks", {}).get("keys", [])],
        "jwks_uri": metadata.get("jwks_uri"),
        "source_networks": list(map(str, record.source_networks)),
        "expires_at": record.expires_at,
    }
