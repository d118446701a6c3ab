"""The scopes: each opens a door, none justifies a field. Release scopes are action-ids of the policies."""

from __future__ import annotations

from typing import Final

VERIFY_ENTITLEMENT: Final = "verify_entitlement"
SHARE_RECORD: Final = "share_record"
EXPORT_STATISTICS: Final = "export_statistics"
OPENID: Final = "openid"
QUERY_GRANTS: Final = "grant_management_query"
REVOKE_GRANTS: Final = "grant_management_revoke"
MANAGE_CLIENTS: Final = "manage_clients"
CONSENT_EVENTS: Final = "consent_events"
REQUEST_CONSENT: Final = "request_consent"
FIND_USAGE: Final = "find_usage"

MACHINE_SCOPES: Final = frozenset(
    {
        VERIFY_ENTITLEMENT,
        SHARE_RECORD,
        EXPORT_STATISTICS,
        QUERY_GRANTS,
        REVOKE_GRANTS,
        MANAGE_CLIENTS,
        CONSENT_EVENTS,
        REQUEST_CONSENT,
        FIND_USAGE,
    }
)
"""What a client may have for itself (client_credentials)."""

BY_COMMAND: Final = frozenset({MANAGE_CLIENTS, FIND_USAGE})
"""What is given on the broker's own machine alone: it opens clients, or everybody's history."""

PERSONAL_SCOPES: Final = frozenset({SHARE_RECORD, OPENID})
"""What a citizen may be asked for (authorization_code, CIBA)."""

SCOPES: Final = MACHINE_SCOPES | PERSONAL_SCOPES
