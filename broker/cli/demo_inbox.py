"""Who asks in the demo without a browser: a bank and an employer, of a citizen who finds both waiting."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import uuid_utils

from broker.cli.caller import Caller, ClientKey
from broker.cli.demo_stage import EMPLOYER, Role, Stage
from broker.oauth.client_credentials import CLIENT_CREDENTIALS
from broker.oauth.client_metadata_schema import REFRESH_TOKEN
from broker.oauth.pushed_requests import AUTHORIZATION_CODE
from broker.oauth.scopes import REQUEST_CONSENT, SHARE_RECORD

REQUESTS: Final = "/v1/consent-requests"
HIRING: Final[Mapping[str, Any]] = {
    "purpose": "confirm_work_history",
    "fields": ["contribution_from", "contribution_to", "first_contribution_month", "si_status"],
    "required_fields": ["contribution_from", "contribution_to"],
}
_CREATED: Final = 201


def recruiter(stage: Stage, issuer: str, run: str, directory: Path, redirect_uri: str) -> Caller:
    """Register the program of an employer that recruits, and return its caller. Raises StoreUnavailable."""
    role = Role(
        scopes=(SHARE_RECORD, REQUEST_CONSENT),
        agreement_id="employer_work_history",
        metadata={
            "grant_types": [AUTHORIZATION_CODE, REFRESH_TOKEN, CLIENT_CREDENTIALS],
            "response_types": ["code"],
            "redirect_uris": [redirect_uri],
        },
    )
    client_id = f"demo-recruiter-{run}"
    key = ClientKey.read(stage.register_client(EMPLOYER, client_id, directory / "recruiter.jwk", role))
    return Caller(issuer, client_id, key, REQUEST_CONSENT)


def ask(caller: Caller, personal_id: str, item: Mapping[str, Any], message: Mapping[str, str]) -> bool:
    """Ask somebody without a browser; False where that person refused lately. Raises OSError."""
    document = {
        "request_id": str(uuid_utils.uuid4()),
        "personal_id": personal_id,
        "items": [{name: value for name, value in item.items() if name != "type"}],
        "message": dict(message),
    }
    return caller.request("POST", REQUESTS, json.dumps(document).encode()).status == _CREATED
