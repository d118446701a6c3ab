"""The file of identity providers: what it may say, and what ends the start, with the place and the remedy."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from joserfc.jwk import ECKey, OctKey, RSAKey

from broker.errors import SettingsInvalid
from connectors.identity_providers import ProviderEntry, load_providers
from connectors.identity_token import usable_keys
from consent_ui.browser_kind import browser_kind
from consent_ui.ways import can_have_passkeys

GOOD = """
[providers.vneid]
issuer = "https://sso.identity.example/realms/citizen"
client_id = "insurance-broker"
label_vi = "Định danh"
label_en = "Identity"
client_secret_file = "vneid.secret"
acr_levels = { LoA1 = 1, LoA2 = 2 }
"""


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    (tmp_path / "vneid.secret").write_text("a secret of many characters\n")
    (tmp_path / "short.secret").write_text("short")
    (tmp_path / "open.secret").write_text("a secret of many characters")
    (tmp_path / "ours.pem").write_bytes(ECKey.generate_key("P-384", private=True).as_pem(private=True))
    (tmp_path / "public.pem").write_bytes(RSAKey.generate_key(2048, private=True).as_pem(private=False))
    for path in tmp_path.iterdir():
        path.chmod(0o644 if path.name == "open.secret" else 0o600)
    return tmp_path


def load(directory: Path, text: str, *, on_loopback: bool = False) -> dict[str, ProviderEntry]:
    path = directory / "providers.toml"
    path.write_text(text, encoding="utf-8")
    return load_providers(str(path), on_loopback=on_loopback)


def test_no_file_is_no_provider() -> None:
    assert load_providers("", on_loopback=False) == {}


def test_what_is_not_said_is_the_careful_thing(directory: Path) -> None:
    [entry] = load(directory, GOOD).values()
    assert (entry.key, entry.client_secret) == ("vneid", "a secret of many characters")
    assert (entry.scopes, entry.algorithms) == (("openid",), ("ES256", "PS256", "RS256"))
    assert (entry.personal_id_claim, entry.personal_id_from) == ("", "id_token")
    assert entry.form_origins == ("https://sso.identity.example",)
    assert (entry.private_host, entry.plain_loopback, entry.assertion_audience) == (False, False, "issuer")
    assert entry.host == "sso.identity.example"
    assert "secret of many" not in repr(entry)


def test_a_key_signs_with_what_fits_it(directory: Path) -> None:
    text = GOOD.replace('client_secret_file = "vneid.secret"', 'private_key_file = "ours.pem"')
    [entry] = load(directory, text).values()
    assert (entry.key_algorithm, entry.client_secret) == ("ES384", "")


def test_providers_come_in_the_order_of_the_file(directory: Path) -> None:
    both = GOOD + GOOD.replace("vneid]", "another]")
    assert list(load(directory, both)) == ["vneid", "another"]


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("client_id", "clientid", "identity provider vneid: unknown: clientid"),
        ('client_id = "insurance-broker"', "", "identity provider vneid: missing: client_id"),
        ('"insurance-broker"', "7", "client_id must be a string"),
        ('"insurance-broker"', '""', "client_id must be 1 to 200 printable characters"),
        ('"Identity"', '" "', "it needs both labels"),
        ("https://sso", "http://sso", "issuer must be an https URL of a named host"),
        ("sso.identity.example", "127.0.0.1", "issuer must be an https URL of a named host"),
        ("sso.identity.example", "user@identity.example", "issuer must be an https URL of a named host"),
        ("/realms/citizen", "/realms?citizen", "issuer must be an https URL of a named host"),
        ("sso.identity.example", "[", "issuer must be an https URL of a named host"),
        ("LoA1 = 1", "LoA1 = 3", "acr_levels must say 1 or 2 for at least one acr"),
        ("LoA1 = 1", "LoA1 = true", "acr_levels must say 1 or 2 for at least one acr"),
        ("{ LoA1 = 1, LoA2 = 2 }", "{}", "acr_levels must say 1 or 2 for at least one acr"),
        ("client_secret_file", 'algorithms = ["none"]\nclient_secret_file', "algorithms must be of ES256, "),
        ("client_secret_file", 'algorithms = ["HS256"]\nclient_secret_file', "algorithms must be of ES256, "),
        ("client_secret_file", "algorithms = []\nclient_secret_file", "algorithms must be of ES256, "),
        ("client_secret_file", 'scopes = ["profile"]\nclient_secret_file', "scopes must hold openid"),
        ("client_secret_file", "scopes = [1]\nclient_secret_file", "scopes must be a list of strings"),
        (
            "client_secret_file",
            'personal_id_from = "page"\nclient_secret_file',
            "personal_id_from must be id_token or userinfo",
        ),
        (
            "client_secret_file",
            'assertion_audience = "all"\nclient_secret_file',
            "assertion_audience must be issuer or token_endpoint",
        ),
        (
            "client_secret_file",
            'form_origins = ["https://a.example/x"]\nclient_secret_file',
            "form_origins must be origins",
        ),
        (
            "client_secret_file",
            'form_origins = ["https://a.example; script-src *"]\nclient_secret_file',
            "form_origins must be origins",
        ),
        (
            "client_secret_file",
            'private_key_file = "ours.pem"\nclient_secret_file',
            "it needs private_key_file or client_secret_file, and not both",
        ),
        ("vneid.secret", "absent.secret", "absent.secret cannot be read"),
        ("vneid.secret", "short.secret", "short.secret must hold at least 16 characters"),
        ("vneid.secret", "open.secret", "open.secret must be readable by nobody else (chmod 600)"),
        (
            'client_secret_file = "vneid.secret"',
            'private_key_file = "public.pem"',
            "public.pem must hold a private key in PEM",
        ),
        (
            'client_secret_file = "vneid.secret"',
            'private_key_file = "ours.pem"\nkey_algorithm = "HS256"',
            "key_algorithm must be one that fits the key",
        ),
        ("client_secret_file", "private_host = 1\nclient_secret_file", "private_host must be true or false"),
        (
            "client_secret_file",
            "plain_loopback = true\nclient_secret_file",
            "plain_loopback is for a broker that is on the loopback itself",
        ),
        ("[providers.vneid]", "[providers.VNeID]", "it must be a table, named by at most 31 lower-case"),
        ("[providers.vneid]", "[provider.vneid]", "holds tables [providers.NAME] and nothing else"),
        ("client_id =", "client_id", "cannot be read as TOML"),
    ],
)
def test_what_is_wrong_is_told_with_its_place_and_remedy(
    directory: Path, old: str, new: str, told: str
) -> None:
    assert GOOD.count(old) >= 1
    with pytest.raises(SettingsInvalid, match=re.escape(told)) as refused:
        load(directory, GOOD.replace(old, new, 1))
    assert "secret of many" not in str(refused.value)


def test_plain_http_is_for_the_loopback_alone(directory: Path) -> None:
    text = GOOD.replace("client_secret_file", "plain_loopback = true\nclient_secret_file")
    here = text.replace("https://sso.identity.example", "http://localhost:8080")
    assert load(directory, here, on_loopback=True)["vneid"].issuer.startswith("http://localhost:8080/")
    with pytest.raises(SettingsInvalid, match="issuer must be an https URL"):
        load(directory, text.replace("https://sso", "http://sso"), on_loopback=True)


class TestKeys:
    def test_only_public_keys_that_may_sign_and_are_long_enough_are_used(self) -> None:
        good = ECKey.generate_key("P-256", {"kid": "good"}).as_dict(private=False)
        others = [
            {**ECKey.generate_key("P-256").as_dict(private=False), "use": "enc"},
            {**good, "kid": "odd", "alg": "HS256"},
            {"kty": "XYZ"},
            {"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA"},
        ]
        kept = usable_keys(_set(good, *others))
        assert re.findall(r'"kid": "([a-z]+)"', kept) == ["good"]

    @pytest.mark.parametrize("kind", ["private", "shared"])
    def test_a_set_that_shows_a_secret_is_refused(self, kind: str) -> None:
        shown = (
            ECKey.generate_key("P-256", private=True).as_dict(private=True)
            if kind == "private"
            else OctKey.generate_key(256).as_dict(private=True)
        )
        good = ECKey.generate_key("P-256").as_dict(private=False)
        with pytest.raises(ValueError, match="the set shows a secret"):
            usable_keys(_set(good, shown))

    @pytest.mark.parametrize("text", ["", "[]", "{}", '{"keys": 1}', '{"keys": [1]}', '{"keys": []}'])
    def test_what_is_no_set_is_refused(self, text: str) -> None:
        with pytest.raises(ValueError, match=r"the document is not a JWK set|no key that may sign"):
            usable_keys(text)


def _set(*keys: object) -> str:
    return json.dumps({"keys": list(keys)})


@pytest.mark.parametrize(
    ("user_agent", "kind"),
    [
        ("Mozilla/5.0 (Windows NT 10.0) Chrome/142.0 Safari/537.36 Edg/142.0", "Edge, Windows"),
        (
            "Mozilla/5.0 (iPhone; CPU iPhone OS 19_0 like Mac OS X) Version/19.0 Safari/604.1",
            "Safari, iPhone",
        ),
        ("Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0", "Firefox, Linux"),
        ("Mozilla/5.0 (Windows NT 10.0) coc_coc_browser/130 Chrome/124 Safari/537.36", "Cốc Cốc, Windows"),
        ("", ""),
        ("<script>", ""),
    ],
)
def test_browsers_are_told_apart_by_a_closed_list(user_agent: str, kind: str) -> None:
    assert browser_kind(user_agent) == kind


@pytest.mark.parametrize(
    ("issuer", "can"),
    [
        ("https://broker.example", True),
        ("http://localhost:8000", True),
        ("http://127.0.0.1:8000", False),
        ("https://192.0.2.1", False),
        ("https://[2001:db8::1]", False),
        ("http://broker.example", False),
    ],
)
def test_passkeys_need_a_named_host_over_tls(issuer: str, can: bool) -> None:
    assert can_have_passkeys(issuer) is can
