"""Whatever stands in a client's metadata or key set: it is read, or refused with the places to mend."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from broker.oauth.client_jwks import usable_jwks
from broker.oauth.client_metadata import MEMBERS, ClientMetadata, MetadataRefused, client_metadata
from broker.oauth.client_metadata_schema import ClientMetadataSchema
from broker.oauth.registration import JwksRefused, read_jwks
from broker.oauth.scopes import SCOPES
from tests.oauth_world import Party

PUBLIC = Party("x").public_jwk
WORDS = st.sampled_from(
    [
        *SCOPES, "authorization_code", "refresh_token", "client_credentials", "code", "private_key_jwt",
        "tls_client_auth", "self_signed_tls_client_auth", "ES256", "https://a.example/b", "http://localhost/",
        "gateway.example", "CN=gateway", "10.0.0.1", "insurance_record", "entitlement_check", "",
    ]
)  # fmt: skip
SCALARS = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20) | WORDS
)
KEYS = st.fixed_dictionaries(
    {name: st.just(value) for name, value in PUBLIC.items()},
    optional={"alg": SCALARS, "use": SCALARS, "x5c": st.lists(SCALARS, max_size=2), "key_ops": SCALARS},
)
SETS = st.fixed_dictionaries({"keys": st.lists(KEYS | SCALARS, max_size=3)})
VALUES = SCALARS | st.lists(SCALARS, max_size=3) | SETS | st.dictionaries(st.text(max_size=5), SCALARS)
GOOD = {
    "scope": "share_record",
    "redirect_uris": ["https://a.example/b"],
    "grant_types": ["authorization_code"],
    "jwks": {"keys": [PUBLIC]},
}
DOCUMENTS = st.dictionaries(st.sampled_from(sorted(MEMBERS)) | st.text(max_size=8), VALUES, max_size=4)


def outcome(document: dict[str, Any]) -> ClientMetadata | MetadataRefused:
    try:
        return client_metadata(document)
    except MetadataRefused as refused:
        return refused


@given(DOCUMENTS, st.booleans())
@example({}, True)
@example({"jwks": {"keys": [{**PUBLIC, "note": "\0"}]}}, True)
@example({"jwks": {"keys": [{**PUBLIC, "note": "\ud800"}]}}, True)
@example({"contacts": ["\ud800"]}, True)
@example({"": 1}, False)
def test_metadata_is_read_or_refused_with_places(document: dict[str, Any], beside_good: bool) -> None:
    whole = {**GOOD, **document} if beside_good else document
    read = outcome(whole)
    if isinstance(read, MetadataRefused):
        assert read.faults
        assert all(fault.pointer.startswith("/") and fault.remedy for fault in read.faults)
        assert read.detail.isascii()
        return
    # What was accepted goes into the register and onto the wire, and is accepted again as it stands there.
    stored = json.loads(json.dumps(dict(read.members), ensure_ascii=False).encode())
    assert set(stored) <= set(ClientMetadataSchema().fields)
    again = client_metadata({**stored, "scope": " ".join(read.scopes)})
    assert dict(again.members) == stored
    assert not {"client_secret", "logo_uri"} & set(whole)


def deep(levels: int) -> dict[str, Any]:
    found: Any = 1
    for _ in range(levels):
        found = [found]
    return {"keys": [{**PUBLIC, "note": found}]}


@pytest.mark.parametrize("levels", [10, 900, 5000])
def test_a_key_set_nested_however_deeply_is_no_crash(levels: int) -> None:
    read = outcome({**GOOD, "jwks": deep(levels)})
    if isinstance(read, MetadataRefused):
        assert [fault.pointer for fault in read.faults] == ["/jwks"]
    assert isinstance(read, MetadataRefused) is (levels > 1000)


@given(SETS | VALUES)
def test_a_published_set_is_cut_down_to_usable_keys_or_refused(document: Any) -> None:
    text = json.dumps(document)
    try:
        usable = usable_jwks(text)
    except JwksRefused:
        return
    keys = json.loads(usable)["keys"]
    assert 0 < len(keys) == len(read_jwks(usable))
    assert all(key in document["keys"] for key in keys)
    assert usable_jwks(usable) == usable


@given(st.text() | st.binary().map(lambda raw: raw.decode("latin-1")))
def test_text_that_is_no_set_is_refused(text: str) -> None:
    with pytest.raises(JwksRefused):
        usable_jwks(text)
