"""Metadata (RFC 8414), published keys (RFC 7517) and what a rotation does to live tokens."""

from __future__ import annotations

from dataclasses import asdict

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from joserfc import jws, jwt
from joserfc.jwk import KeySet
from sqlalchemy import insert, text, update

from broker.keys import PURPOSES, KeyRing, SigningKeyUnavailable
from broker.oauth.jose import decode_segment
from broker.oauth.jose_keys import ALGORITHMS, PRIVATE_MEMBERS, Algorithm
from broker.oauth.metadata import well_known_path
from broker.oauth.scopes import SCOPES
from broker.oauth.stored_keys import new_key
from broker.storage.signing_keys import PostgresSigningKeys
from broker.storage.tables import signing_keys
from tests.acting import ACTS
from tests.oauth_world import (
    ISSUER,
    KEY_ENCRYPTION_KEY,
    RESOURCE_URL,
    TOKEN_URL,
    Database,
    World,
)


@pytest.fixture
def world(database: Database) -> World:
    return World(database)


def use(world: World, token: str) -> int:
    proof = world.party.proof(world.clock(), url=RESOURCE_URL, token=token)
    headers = {"Authorization": f"DPoP {token}", "DPoP": proof}
    return world.http.post("/v1/things", headers=headers, base_url=ISSUER).status_code


class TestMetadata:
    def test_rfc8414_2_the_document_says_what_is_built_and_no_more(self, world: World) -> None:
        answer = world.http.get("/.well-known/oauth-authorization-server")
        assert answer.status_code == 200
        assert answer.content_type == "application/json"
        assert answer.cache_control.max_age == world.ring.refresh_seconds
        algorithms = ["ES256", "EdDSA", "PS256"]
        assert answer.get_json() == {
            "issuer": ISSUER,
            "authorization_endpoint": f"{ISSUER}/oauth/authorize",
            "token_endpoint": TOKEN_URL,
            "pushed_authorization_request_endpoint": f"{ISSUER}/oauth/par",
            "backchannel_authentication_endpoint": f"{ISSUER}/oauth/bc-authorize",
            "introspection_endpoint": f"{ISSUER}/oauth/introspect",
            "revocation_endpoint": f"{ISSUER}/oauth/revoke",
            "grant_management_endpoint": f"{ISSUER}/oauth/grants",
            "jwks_uri": f"{ISSUER}/oauth/jwks",
            "scopes_supported": sorted(SCOPES),
            "response_types_supported": ["code"],
            "response_modes_supported": ["query"],
            "grant_types_supported": [
                "authorization_code",
                "refresh_token",
                "client_credentials",
                "urn:openid:params:grant-type:ciba",
            ],
            "backchannel_token_delivery_modes_supported": ["poll"],
            "backchannel_user_code_parameter_supported": False,
            "code_challenge_methods_supported": ["S256"],
            "authorization_response_iss_parameter_supported": True,
            "require_pushed_authorization_requests": True,
            "authorization_details_types_supported": [
                "entitlement_check",
                "insurance_record",
                "statistics_export",
            ],
            "grant_management_actions_supported": ["create", "query", "revoke"],
            "grant_management_action_required": False,
            **{
                f"{endpoint}_endpoint_auth_methods_supported": ["private_key_jwt"]
                for endpoint in ("token", "introspection", "revocation")
            },
            **{
                f"{endpoint}_endpoint_auth_signing_alg_values_supported": algorithms
                for endpoint in ("token", "introspection", "revocation")
            },
            "introspection_signing_alg_values_supported": ["ES256"],
            "dpop_signing_alg_values_supported": algorithms,
            "id_token_signing_alg_values_supported": ["ES256"],
            "subject_types_supported": ["pairwise"],
            "acr_values_supported": ["level-1", "level-2"],
            "claims_supported": ["sub", "acr", "auth_time"],
            "claims_parameter_supported": False,
            "request_parameter_supported": False,
            "request_uri_parameter_supported": False,
            "ui_locales_supported": ["vi", "en"],
        }

    def test_discovery_3_the_algorithms_named_are_those_that_sign(self, world: World) -> None:
        def told(name: str) -> object:
            path = "/.well-known/openid-configuration"
            return world.http.get(path).get_json()[f"{name}_signing_alg_values_supported"]

        world.ring.rotate("id_token", "PS256")
        assert told("id_token") == ["ES256", "PS256"], "the successor is named before it signs"
        assert told("introspection") == ["ES256"]
        world.clock.move(world.ring.lead_seconds)
        assert told("id_token") == ["PS256"]
        world.ring.rotate("introspection", "EdDSA", compromised=True)
        assert told("introspection") == ["EdDSA"]

    def test_discovery_4_the_same_document_stands_at_both_places(self, world: World) -> None:
        one = world.http.get("/.well-known/oauth-authorization-server")
        other = world.http.get("/.well-known/openid-configuration")
        assert other.status_code == 200
        assert one.get_json() == other.get_json()

    def test_authlib_finds_the_document_valid(self, world: World) -> None:
        from authlib.oauth2.rfc8414 import AuthorizationServerMetadata  # type: ignore[import-untyped]

        document = world.http.get("/.well-known/oauth-authorization-server").get_json()
        AuthorizationServerMetadata(document).validate()

    def test_rfc8414_3_1_an_issuers_path_follows_the_well_known_part(self) -> None:
        assert well_known_path(ISSUER) == "/.well-known/oauth-authorization-server"
        assert well_known_path(f"{ISSUER}/a/b/") == "/.well-known/oauth-authorization-server/a/b"

    def test_an_unchanged_document_is_not_sent_twice(self, world: World) -> None:
        for path in ("/.well-known/oauth-authorization-server", "/oauth/jwks"):
            tag = world.http.get(path).headers["ETag"]
            assert world.http.get(path, headers={"If-None-Match": tag}).status_code == 304


class TestPublishedKeys:
    @pytest.mark.filterwarnings("ignore:EdDSA is deprecated")  # FAPI 2.0 has that name alone
    @pytest.mark.parametrize("algorithm", ALGORITHMS)
    def test_fapi_5_4_1_1_access_tokens_of_each_algorithm_are_issued_and_open_doors(
        self, world: World, algorithm: Algorithm
    ) -> None:
        before = world.token()
        kid = world.ring.rotate("access_token", algorithm)
        world.clock.move(world.ring.lead_seconds)
        token = world.token()
        published = world.http.get("/oauth/jwks").get_json()
        read = jwt.decode(token, KeySet.import_key_set(published), algorithms=[algorithm])
        assert (read.header["alg"], read.header["kid"]) == (algorithm, kid)
        assert read.claims["cnf"] == {"jkt": world.party.key.thumbprint()}
        assert (use(world, token), use(world, before)) == (200, 200)
        form = {**world.form(scope=..., grant_type=...), "token": token}
        told = world.http.post("/oauth/introspect", data=form, base_url=ISSUER).get_json()
        assert (told["active"], told["client_id"]) == (True, "hospital-a")

    def test_fapi_5_4_2_public_members_and_one_kid_each(self, world: World) -> None:
        world.ring.rotate("access_token", "PS256")
        world.ring.rotate("receipt", "EdDSA")
        answer = world.http.get("/oauth/jwks")
        assert answer.cache_control.public
        assert answer.cache_control.max_age == world.ring.refresh_seconds
        keys = answer.get_json()["keys"]
        assert len({key["kid"] for key in keys}) == len(keys) == len(PURPOSES) - 1 + 2, "all but the log's"
        for key in keys:
            assert PRIVATE_MEMBERS.isdisjoint(key)
            assert key["use"] == "sig"
            assert {"kty", "alg", "kid"} <= set(key)

    def test_the_log_s_key_is_an_ed25519_key_that_no_client_takes_for_a_signer_of_tokens(
        self, world: World
    ) -> None:
        [kept] = [key for key in world.ring.stored_keys() if key.purpose == "log"]
        signer = world.ring.log_signer()
        assert kept.algorithm == "EdDSA"
        assert decode_segment(kept.public_jwk["x"].encode()) == signer.public_key
        Ed25519PublicKey.from_public_bytes(signer.public_key).verify(signer.sign(b"a tree"), b"a tree")
        assert kept.kid not in {key["kid"] for key in world.http.get("/oauth/jwks").get_json()["keys"]}
        with pytest.raises(ValueError, match="log keys are EdDSA keys"):
            world.ring.rotate("log", "ES256")
        kid = world.ring.rotate("log")
        assert world.ring.log_signer().public_key == signer.public_key, "until its time has come"
        world.clock.move(world.ring.lead_seconds)
        [successor] = [key for key in world.ring.stored_keys() if key.kid == kid]
        assert successor.algorithm == "EdDSA"
        assert decode_segment(successor.public_jwk["x"].encode()) == world.ring.log_signer().public_key

    def test_a_receipt_verifies_with_the_published_key_of_its_kid(self, world: World) -> None:
        receipt = world.ring.sign_receipt({"reference": "0192", "vi": "Có hiệu lực"})
        keys = KeySet.import_key_set(world.http.get("/oauth/jwks").get_json())
        verified = jws.deserialize_compact(receipt, keys, algorithms=["ES256"])
        assert verified.headers()["typ"] == "entitlement-receipt+jwt"
        assert verified.payload == '{"reference":"0192","vi":"Có hiệu lực"}'.encode()


class TestRotation:
    def test_the_old_key_signs_until_all_workers_and_clients_know_the_new_one(self, world: World) -> None:
        old = world.ring.sign_access_token({})
        kid = world.ring.rotate("access_token")
        assert kid in {key["kid"] for key in world.ring.published_jwks()["keys"]}
        world.clock.move(world.ring.lead_seconds - 1)
        assert _kid(world.ring.sign_access_token({})) == _kid(old)
        world.clock.move(1)
        assert _kid(world.ring.sign_access_token({})) == kid

    def test_who_kept_the_old_key_set_as_long_as_allowed_knows_the_new_key(self, world: World) -> None:
        """The worst case: a worker loads just before the change, a client asks it as late as can be."""
        other_worker = KeyRing(PostgresSigningKeys(world.engine, ACTS), KEY_ENCRYPTION_KEY, world.clock)
        other_worker.published_jwks()
        kid = world.ring.rotate("access_token")
        world.clock.move(other_worker.refresh_seconds - 1)
        fetched = other_worker.published_jwks()["keys"]
        assert kid not in {key["kid"] for key in fetched}
        max_age = world.http.get("/oauth/jwks").cache_control.max_age
        assert max_age == world.ring.refresh_seconds
        world.clock.move(max_age)
        assert _kid(world.ring.sign_access_token({})) in {key["kid"] for key in fetched}

    def test_tokens_of_the_old_key_open_doors_until_they_expire(self, world: World) -> None:
        world.ring.rotate("access_token")
        world.clock.move(world.ring.lead_seconds - 1)
        token = world.token()  # signed by the old key at the last moment
        for step in (1, 298):
            world.clock.move(step)
            world.protector._kept._entries.clear()  # another worker, which has not seen the token
            assert use(world, token) == 200
        world.clock.move(1)
        assert use(world, token) == 401

    def test_the_old_key_leaves_publication_after_its_last_token(self, world: World) -> None:
        old = _kid(world.ring.sign_access_token({}))
        world.ring.rotate("access_token")
        world.clock.move(world.ring.lead_seconds + 359)
        assert old in {key["kid"] for key in world.ring.published_jwks()["keys"]}
        world.clock.move(1)
        assert old not in {key["kid"] for key in world.ring.published_jwks()["keys"]}
        assert PostgresSigningKeys(world.engine, ACTS).delete_unpublished(world.clock()) == 1

    def test_a_worker_that_missed_the_rotation_accepts_the_new_keys_tokens(self, world: World) -> None:
        other_worker = KeyRing(PostgresSigningKeys(world.engine, ACTS), KEY_ENCRYPTION_KEY, world.clock)
        other_worker.published_jwks()
        kid = world.ring.rotate("access_token")
        world.clock.move(1)
        assert other_worker.find_key(kid) is not None

    def test_unknown_kids_reload_at_most_once_per_second(self, world: World) -> None:
        store = _Counting(PostgresSigningKeys(world.engine, ACTS))
        ring = KeyRing(store, KEY_ENCRYPTION_KEY, world.clock)
        for number in range(20):
            world.clock.move(0.25)
            assert ring.find_key(f"unknown-{number}") is None
        assert store.reads <= 6

    def test_keys_are_read_once_per_refresh(self, world: World) -> None:
        store = _Counting(PostgresSigningKeys(world.engine, ACTS))
        ring = KeyRing(store, KEY_ENCRYPTION_KEY, world.clock)
        for _ in range(100):
            ring.sign_access_token({})
            world.clock.move(0.5)
        assert store.reads == 2

    def test_a_compromised_key_is_withdrawn(self, world: World) -> None:
        token = world.token()
        assert use(world, token) == 200
        world.ring.rotate("access_token", compromised=True)
        world.protector._kept._entries.clear()
        assert use(world, token) == 401
        assert use(world, world.token()) == 200
        assert len([key for key in world.ring.stored_keys() if key.published_until is None]) == len(PURPOSES)

    def test_a_receipt_key_stays_published_for_years_and_opens_no_door(self, world: World) -> None:
        kid = _kid(world.ring.sign_receipt({}))
        world.ring.rotate("receipt")
        world.clock.move(5 * 365 * 86400)
        assert kid in {key["kid"] for key in world.ring.published_jwks()["keys"]}
        assert world.ring.find_key(kid) is None

    def test_ensuring_keys_twice_makes_them_once(self, world: World) -> None:
        assert world.ring.ensure_keys() == []
        assert len(world.ring.stored_keys()) == len(PURPOSES)

    def test_without_a_key_the_remedy_is_named(self, database: Database, world: World) -> None:
        database.empty()
        ring = KeyRing(PostgresSigningKeys(world.engine, ACTS), KEY_ENCRYPTION_KEY, world.clock)
        with pytest.raises(SigningKeyUnavailable, match="broker keys rotate"):
            ring.sign_access_token({})


class TestAtRest:
    def test_the_store_holds_no_private_key_in_clear(self, world: World) -> None:
        with world.engine.connect() as connection:
            rows = connection.execute(text("SELECT * FROM signing_keys")).mappings().all()
        for row in rows:
            assert PRIVATE_MEMBERS.isdisjoint(row["public_jwk"])
            assert b"\x30\x81\x87" not in bytes(row["private_key_encrypted"])[:20]  # PKCS #8 begins so

    def test_another_key_encryption_key_signs_nothing(self, world: World) -> None:
        ring = KeyRing(PostgresSigningKeys(world.engine, ACTS), bytes(32), world.clock)
        with pytest.raises(SigningKeyUnavailable, match="cannot be decrypted"):
            ring.sign_access_token({})

    def test_a_stored_key_cannot_serve_another_purpose(self, database: Database, world: World) -> None:
        with database.owner.begin() as connection:
            connection.execute(text("DELETE FROM signing_keys WHERE purpose = 'receipt'"))
            connection.execute(text("UPDATE signing_keys SET purpose = 'receipt'"))
        ring = KeyRing(PostgresSigningKeys(world.engine, ACTS), KEY_ENCRYPTION_KEY, world.clock)
        with pytest.raises(SigningKeyUnavailable, match="cannot be decrypted"):
            ring.sign_receipt({})

    def test_a_key_that_somebody_put_into_the_store_is_not_trusted(
        self, database: Database, world: World
    ) -> None:
        planted = new_key(bytes(32), "access_token", "ES256", world.clock())
        with database.owner.begin() as connection:
            connection.execute(insert(signing_keys).values(**asdict(planted)))
        ring = KeyRing(PostgresSigningKeys(world.engine, ACTS), KEY_ENCRYPTION_KEY, world.clock)
        assert ring.find_key(planted.kid) is None
        published = {key["kid"] for key in ring.published_jwks()["keys"]}
        assert published
        assert planted.kid not in published

    def test_a_public_key_that_was_changed_is_not_trusted(self, database: Database, world: World) -> None:
        other = new_key(bytes(32), "access_token", "ES256", world.clock())
        kid = next(key.kid for key in world.ring.stored_keys() if key.purpose == "access_token")
        changed = {**other.public_jwk, "kid": kid}
        with database.owner.begin() as connection:
            connection.execute(
                update(signing_keys).where(signing_keys.c.kid == kid).values(public_jwk=changed)
            )
        ring = KeyRing(PostgresSigningKeys(world.engine, ACTS), KEY_ENCRYPTION_KEY, world.clock)
        assert ring.find_key(kid) is None

    def test_a_wrong_key_encryption_key_begins_no_second_set(self, world: World) -> None:
        ring = KeyRing(PostgresSigningKeys(world.engine, ACTS), bytes(32), world.clock)
        before = len(world.ring.stored_keys())
        with pytest.raises(
            SigningKeyUnavailable,
            match="access_token, consent_receipt, id_token, introspection, log, receipt, security_event",
        ):
            ring.ensure_keys()
        assert len(world.ring.stored_keys()) == before

    @pytest.mark.parametrize("length", [0, 16, 31, 33])
    def test_a_key_encryption_key_has_32_bytes(self, world: World, length: int) -> None:
        with pytest.raises(SigningKeyUnavailable):
            KeyRing(PostgresSigningKeys(world.engine, ACTS), bytes(length), world.clock)


class _Counting(PostgresSigningKeys):
    def __init__(self, store: PostgresSigningKeys) -> None:
        super().__init__(store._engine)
        self.reads = 0

    def find_keys(self):  # type: ignore[no-untyped-def]
        self.reads += 1
        return super().find_keys()


def _kid(token: str) -> str:
    return str(jws.extract_compact(token.encode()).headers()["kid"])
