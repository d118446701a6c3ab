"""Registrations as the authorization server reads them, on the path of every token.

One statement gives the row as text. A row that has not changed is the same bytes, and what was made of them
is kept by exactly these bytes: the database has the last word each time, and Python next to nothing to do.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from ipaddress import ip_network
from typing import Any, Final

from broker.errors import StoreUnavailable
from broker.oauth.bounded import BoundedMap
from broker.oauth.registration import PRIVATE_KEY_JWT, ClientRegistration
from broker.oauth.tls_clients import SUBJECT_NAMES
from connectors.postgres import DatabaseError, PreparedConnections, PreparedStatement, Row

REGISTRATION_SQL: Final = """
SELECT c.client_id, c.organisation_id, c.status, c.expires_at::text, c.name,
  array_to_json(c.scopes)::text, array_to_json(c.agreement_ids)::text,
  array_to_json(c.source_networks)::text, c.client_metadata::text, o.kind, o.name_vi, o.name_en
FROM clients c JOIN organisations o USING (organisation_id) WHERE c.client_id = $1::text
"""
"""All columns are text, none is NULL."""

_REGISTRATION: Final = PreparedStatement("client_registration", REGISTRATION_SQL, repeatable=True)
_KEPT_MAX: Final = 4_096


class PreparedClients:
    """Implements `broker.oauth.registration.ClientStore` on the connections whose waits all end.

    deadline_seconds: for one look, connecting included.
    """

    def __init__(self, connections: PreparedConnections, deadline_seconds: float) -> None:
        self._connections = connections
        self._deadline_seconds = deadline_seconds
        self._kept: BoundedMap[Row, ClientRegistration] = BoundedMap(_KEPT_MAX)

    def find_registration(self, client_id: str) -> ClientRegistration | None:
        """Return the registration of a client, suspended and expired ones included, or None.

        Raises StoreUnavailable.
        """
        try:
            rows = self._connections.execute(_REGISTRATION, (client_id.encode(),), self._deadline_seconds)
        except DatabaseError as fault:
            raise StoreUnavailable(f"the register does not answer: {type(fault).__name__}") from fault
        if not rows:
            return None
        found = self._kept.find(rows[0])
        if found is None:
            found = read_registration(*((value or b"").decode() for value in rows[0]))
            self._kept.keep(rows[0], found)
        return found


def read_registration(*columns: str) -> ClientRegistration:
    """Return the registration that a row of REGISTRATION_SQL holds.

    Metadata that was written by hand and is not what it should be gives the client less, never more.
    """
    (
        client_id, organisation_id, status, expires_at, name, scopes, agreement_ids,
        source_networks, client_metadata, kind, name_vi, name_en,
    ) = columns  # fmt: skip
    metadata: Mapping[str, Any] = json.loads(client_metadata)
    jwks = metadata.get("jwks")
    types = metadata.get("authorization_details_types")
    return ClientRegistration(
        client_id=client_id,
        organisation_id=organisation_id,
        is_active=status == "active",
        scopes=frozenset(json.loads(scopes)),
        grant_types=frozenset(_words(metadata, "grant_types")),
        expires_at=datetime.fromisoformat(expires_at),
        jwks="" if jwks is None else json.dumps(jwks, separators=(",", ":")),
        jwks_uri=str(metadata.get("jwks_uri", "")),
        name=name,
        organisation_kind=kind,
        organisation_name_vi=name_vi,
        organisation_name_en=name_en,
        agreement_ids=tuple(json.loads(agreement_ids)),
        redirect_uris=_words(metadata, "redirect_uris"),
        authentication_method=str(metadata.get("token_endpoint_auth_method", PRIVATE_KEY_JWT)),
        tls_name=_tls_name(metadata),
        is_dpop_bound=metadata.get("dpop_bound_access_tokens") is True,
        is_certificate_bound=metadata.get("tls_client_certificate_bound_access_tokens") is True,
        detail_types=None if types is None else frozenset(_words(metadata, "authorization_details_types")),
        source_networks=tuple(map(ip_network, json.loads(source_networks))),
        wants_signed_introspection="introspection_signed_response_alg" in metadata,
    )


def _words(metadata: Mapping[str, Any], name: str) -> tuple[str, ...]:
    listed = metadata.get(name)
    return tuple(one for one in listed if isinstance(one, str)) if isinstance(listed, list) else ()


def _tls_name(metadata: Mapping[str, Any]) -> tuple[str, str] | None:
    names = [(name, str(metadata[name])) for name in SUBJECT_NAMES if name in metadata]
    return names[0] if len(names) == 1 else None
