"""Hospitals for the bench: keys, registration, tokens, and a fresh DPoP proof for every request."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import urllib.parse
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from time import time

from joserfc import jws
from joserfc.jwk import ECKey
from sqlalchemy import Engine, insert

from broker.evidence.pseudonyms import KeyedPseudonyms
from broker.storage.tables import clients, facility_staff, organisations
from policies.names import name_key

AGREEMENT = "hospital_entitlement_check"
STAFF_PER_HOSPITAL = 20


@dataclass(frozen=True, slots=True)
class Hospital:
    """One synthetic hospital's client. staff: (full name, personal id)."""

    client_id: str
    organisation_id: str
    key: ECKey
    staff: tuple[tuple[str, str], ...]


def register_hospitals(engine: Engine, pseudonyms: KeyedPseudonyms, count: int) -> list[Hospital]:
    """Register so many hospitals, each with a client and staff, and return them."""
    made: list[Hospital] = []
    with engine.begin() as connection:
        for number in range(count):
            code = f"{79000 + number:05d}"
            staff = tuple(
                (f"Nhân Viên {position}", f"0790{80:02d}{number:03d}{position:03d}")
                for position in range(STAFF_PER_HOSPITAL)
            )
            hospital = Hospital(f"bench-{code}", f"bench-{code}", ECKey.generate_key("P-256"), staff)
            connection.execute(
                insert(organisations).values(
                    organisation_id=hospital.organisation_id, kind="hospital", name_vi=f"Bệnh viện {code}",
                    name_en=f"Hospital {code}", facility_code=code,
                )
            )  # fmt: skip
            public = hospital.key.as_dict(private=False)
            public = {**public, "kid": hospital.key.thumbprint(), "alg": "ES256", "use": "sig"}
            connection.execute(
                insert(clients).values(
                    client_id=hospital.client_id, organisation_id=hospital.organisation_id, name="bench",
                    scopes=["verify_entitlement"], agreement_ids=[AGREEMENT],
                    client_metadata={
                        "jwks": {"keys": [public]}, "token_endpoint_auth_method": "private_key_jwt",
                        "grant_types": ["client_credentials"], "token_endpoint_auth_signing_alg": "ES256",
                    },
                    expires_at=datetime.now(UTC) + timedelta(days=30),
                )
            )  # fmt: skip
            connection.execute(
                insert(facility_staff),
                [
                    {
                        "staff_ref": pseudonyms.staff_ref(hospital.organisation_id, personal_id),
                        "organisation_id": hospital.organisation_id,
                        "full_name": name,
                        "name_key": name_key(name),
                        "assignment_reference": "bench",
                    }
                    for name, personal_id in staff
                ],
            )
            made.append(hospital)
    return made


def token_of(hospital: Hospital, issuer: str) -> str:
    """Return a fresh access token for a hospital."""
    now = int(time())
    claims = {
        "iss": hospital.client_id, "sub": hospital.client_id, "aud": issuer,
        "iat": now, "exp": now + 60, "jti": _random(),
    }  # fmt: skip
    header = {"alg": "ES256", "typ": "JWT", "kid": hospital.key.thumbprint()}
    form = {
        "grant_type": "client_credentials",
        "scope": "verify_entitlement",
        "client_id": hospital.client_id,
        "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
        "client_assertion": jws.serialize_compact(header, json.dumps(claims), hospital.key),
    }
    request = urllib.request.Request(  # noqa: S310 - the bench's own server
        f"{issuer}/oauth/token",
        urllib.parse.urlencode(form).encode(),
        {"DPoP": proof_of(hospital, f"{issuer}/oauth/token", None)},
    )
    with urllib.request.urlopen(request) as answer:  # noqa: S310
        return str(json.load(answer)["access_token"])


def proof_of(hospital: Hospital, url: str, token: str | None) -> str:
    """Return a fresh DPoP proof for one POST."""
    claims = {"htm": "POST", "htu": url, "iat": int(time()), "jti": _random()}
    if token is not None:
        claims["ath"] = _base64url(hashlib.sha256(token.encode()).digest())
    header = {"alg": "ES256", "typ": "dpop+jwt", "jwk": hospital.key.as_dict(private=False)}
    return jws.serialize_compact(header, json.dumps(claims), hospital.key, registry=_PROOFS)


_PROOFS = jws.JWSRegistry(algorithms=["ES256"], strict_check_header=False)


def _random() -> str:
    return _base64url(os.urandom(16))


def _base64url(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode("ascii")


def check_body(hospital: Hospital, position: int, person: Sequence[str]) -> bytes:
    """Return the body of one check. person: (SI number, full name, birth date as ISO)."""
    name, personal_id = hospital.staff[position % len(hospital.staff)]
    return json.dumps(
        {
            "card_number": person[0],
            "full_name": person[1],
            "birth_date": person[2],
            "service_date": datetime.now(UTC).date().isoformat(),
            "encounter_reference": f"KB-{position}",
            "acting_person": {"full_name": name, "personal_id": personal_id},
        },
        ensure_ascii=False,
    ).encode()
