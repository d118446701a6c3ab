"""Settings: read once, closed, and refused with the remedy and never the value."""

from __future__ import annotations

import base64
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from broker.errors import SettingsInvalid
from broker.settings import COMPANIONS, Secret, Settings, companion, read_settings


def secret_file(directory: Path, name: str, content: bytes, mode: int = 0o600) -> str:
    path = directory / name
    path.write_bytes(base64.urlsafe_b64encode(content) + b"\n")
    path.chmod(mode)
    return str(path)


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    return {
        "BROKER_ISSUER": "https://broker.example/",
        "BROKER_DATABASE_URL": "postgresql://broker_app@db/broker",
        "BROKER_SOURCE_URL": "sqlite:////data/insurance.db",
        "BROKER_KEY_ENCRYPTION_KEY_FILE": secret_file(tmp_path, "kek", b"1" * 32),
        "BROKER_PSEUDONYM_KEY_FILE": secret_file(tmp_path, "pseudonyms", b"2" * 32),
        "PATH": "/bin",
    }


def test_a_whole_configuration_is_read_with_its_defaults(environ: dict[str, str]) -> None:
    settings = read_settings(environ)
    assert settings.issuer == "https://broker.example"
    assert settings.database_url == "postgresql+psycopg://broker_app@db/broker"
    assert settings.source_url == "sqlite:////data/insurance.db"
    assert settings.key_encryption_key_file.reveal() == b"1" * 32
    assert (settings.workers, settings.threads, settings.bind) == (2, 4, "127.0.0.1:8000")
    assert settings.access_token_seconds == 300


@pytest.mark.parametrize("told", ["", "true", "NO", "0", "no "])
def test_a_log_is_required_unless_somebody_says_no(environ: dict[str, str], told: str) -> None:
    assert read_settings(environ).log_required == "yes"
    assert read_settings({**environ, "BROKER_LOG_REQUIRED": "no"}).log_required == "no"
    with pytest.raises(
        SettingsInvalid, match="BROKER_LOG_REQUIRED cannot be used: it must be one of yes, no"
    ):
        read_settings({**environ, "BROKER_LOG_REQUIRED": told})


def test_settings_cannot_be_changed_and_secrets_not_printed(environ: dict[str, str]) -> None:
    settings = read_settings(environ)
    with pytest.raises(AttributeError):
        settings.workers = 3  # type: ignore[misc]
    assert "1" * 32 not in repr(settings)
    assert repr(settings.pseudonym_key_file) == str(settings.pseudonym_key_file) == "Secret(...)"
    assert repr(Secret(b"abc")) == "Secret(...)"


def test_everything_that_is_missing_is_named_at_once() -> None:
    with pytest.raises(SettingsInvalid) as fault:
        read_settings({})
    named = set(re.findall(r"(BROKER_\w+) is missing", fault.value.detail))
    assert named == {
        "BROKER_ISSUER",
        "BROKER_DATABASE_URL",
        "BROKER_SOURCE_URL",
        "BROKER_KEY_ENCRYPTION_KEY_FILE",
        "BROKER_PSEUDONYM_KEY_FILE",
    }


def test_a_setting_that_does_not_exist_is_refused(environ: dict[str, str]) -> None:
    with pytest.raises(SettingsInvalid, match="BROKER_ISUER is no setting of the broker"):
        read_settings({**environ, "BROKER_ISUER": "https://x"})


def test_variables_of_commands_are_left_alone(environ: dict[str, str]) -> None:
    read_settings({**environ, **dict.fromkeys(COMPANIONS, "x")})
    assert companion("BROKER_STATE_DIRECTORY", {"BROKER_STATE_DIRECTORY": "y"}) == "y"
    assert companion("BROKER_STATE_DIRECTORY", {}) is None
    with pytest.raises(KeyError):
        companion("BROKER_ISSUER", environ)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ISSUER", "http://broker.example"),
        ("ISSUER", "https://broker.example/?x=1"),
        ("ISSUER", "https://broker.example/#x"),
        ("ISSUER", "https://"),
        ("ISSUER", "broker.example"),
        ("DATABASE_URL", "sqlite:////secret-place.db"),
        ("DATABASE_URL", "mysql://root:secret-word@db/x"),
        ("SOURCE_URL", "nonsense-of-a-source"),
        ("SOURCE_URL", "insurance.db"),
        ("TRUSTED_PROXIES", "proxy.internal"),
        ("TRUSTED_PROXIES", "10.0.0.1/8"),
        ("TRUSTED_PROXIES", "10.0.0.0/8 10.1.0.0/16"),
        ("TRUSTED_PROXIES", "0.0.0.0/0"),
        ("TRUSTED_PROXIES", "127.0.0.1,::/0"),
        ("MTLS_URL", "http://mtls.broker.example"),
        ("MTLS_URL", "https://mtls.broker.example?x=1"),
        ("TLS_CLIENT_CA_FILE", "/nonexistent/secret-place.pem"),
        ("BIND", "garbage"),
        ("BIND", ":8000"),
        ("BIND", "127.0.0.1:65536"),
        ("BIND", "127.0.0.1:http"),
        ("WORKERS", "0"),
        ("WORKERS", "257"),
        ("WORKERS", "many"),
        ("THREADS", "1.5"),
        ("SOURCE_DEADLINE_SECONDS", "2.6"),
        ("SOURCE_DEADLINE_SECONDS", "nan"),
        ("STORE_DEADLINE_SECONDS", "-1"),
        ("ACCESS_TOKEN_SECONDS", "301"),
        ("PROOF_AGE_SECONDS", "0"),
        ("CLOCK_SKEW_SECONDS", "inf"),
        ("LOG_LEVEL", "chatty"),
        ("STATISTICS_ENGINE", ""),
        ("STATISTICS_ENGINE", "duckdb hive://secret-host:10000/default"),
        ("STATISTICS_ENGINE", "hive://secret-host:10000/default hive://secret-host:10000/default"),
        ("PSEUDONYM_KEY_FILE", "/nonexistent/secret-place"),
    ],
)
def test_a_value_that_cannot_be_right_is_refused_without_being_repeated(
    environ: dict[str, str], name: str, value: str
) -> None:
    with pytest.raises(SettingsInvalid) as fault:
        read_settings({**environ, f"BROKER_{name}": value})
    assert f"BROKER_{name} cannot be used" in fault.value.detail
    assert "secret" not in fault.value.detail


def test_engines_are_the_embedded_one_or_databases(environ: dict[str, str]) -> None:
    assert read_settings(environ).statistics_engine == "duckdb"
    two = {**environ, "BROKER_STATISTICS_ENGINE": "postgresql://reader@one/x\n  hive://two:10000/default"}
    expected = "postgresql+psycopg://reader@one/x hive://two:10000/default"
    assert read_settings(two).statistics_engine == expected


@pytest.mark.parametrize("host", ["127.0.0.1:8000", "localhost", "[::1]:8000"])
def test_on_the_loopback_plain_http_will_do(environ: dict[str, str], host: str) -> None:
    assert read_settings({**environ, "BROKER_ISSUER": f"http://{host}"}).issuer == f"http://{host}"


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o602, 0o644])
def test_a_secret_that_others_may_touch_is_refused(
    environ: dict[str, str], tmp_path: Path, mode: int
) -> None:
    path = secret_file(tmp_path, "open", b"3" * 32, mode)
    with pytest.raises(SettingsInvalid, match="chmod 600"):
        read_settings({**environ, "BROKER_PSEUDONYM_KEY_FILE": path})


@pytest.mark.parametrize("length", [0, 16, 31, 33])
def test_a_secret_has_32_bytes(environ: dict[str, str], tmp_path: Path, length: int) -> None:
    path = secret_file(tmp_path, "short", b"3" * length)
    with pytest.raises(SettingsInvalid, match="32 bytes, no more and no fewer"):
        read_settings({**environ, "BROKER_PSEUDONYM_KEY_FILE": path})


def test_one_secret_for_two_purposes_is_refused(environ: dict[str, str]) -> None:
    same = {"BROKER_PSEUDONYM_KEY_FILE": environ["BROKER_KEY_ENCRYPTION_KEY_FILE"]}
    with pytest.raises(SettingsInvalid, match="hold one secret"):
        read_settings({**environ, **same})


@pytest.mark.parametrize(
    ("source", "store", "fits"),
    [("2.0", "0.8", True), ("2.0", "0.9", True), ("2.0", "0.91", False), ("2.5", "2.5", False)],
)
def test_the_deadlines_together_leave_an_answer_within_three_seconds(
    environ: dict[str, str], source: str, store: str, fits: bool
) -> None:
    asked = {"BROKER_SOURCE_DEADLINE_SECONDS": source, "BROKER_STORE_DEADLINE_SECONDS": store}
    if fits:
        assert isinstance(read_settings({**environ, **asked}), Settings)
    else:
        with pytest.raises(SettingsInvalid, match="within 3 seconds"):
            read_settings({**environ, **asked})


def test_a_slow_source_must_leave_a_thread_free(environ: dict[str, str]) -> None:
    asked = {"BROKER_THREADS": "4", "BROKER_SOURCE_CONCURRENCY": "4"}
    with pytest.raises(SettingsInvalid, match="below BROKER_THREADS"):
        read_settings({**environ, **asked})
    assert read_settings({**environ, **asked, "BROKER_THREADS": "5"}).threads == 5


MUTUAL_TLS = {"BROKER_TRUSTED_PROXIES": "127.0.0.1", "BROKER_MTLS_URL": "https://mtls.broker.example/"}


def authorities_file(directory: Path) -> Path:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name.from_rfc4514_string("CN=Authority")
    builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
    now = datetime.now(UTC)
    certificate = (
        builder.not_valid_before(now).not_valid_after(now + timedelta(days=1)).sign(key, hashes.SHA256())
    )
    path = directory / "authorities.pem"
    path.write_bytes(certificate.public_bytes(Encoding.PEM))
    return path


def test_nobody_is_a_proxy_unless_named(environ: dict[str, str]) -> None:
    empty = {f"BROKER_{name}": "" for name in ("TRUSTED_PROXIES", "MTLS_URL", "TLS_CLIENT_CA_FILE")}
    for settings in (read_settings(environ), read_settings({**environ, **empty})):
        assert (settings.trusted_proxies, settings.mtls_url, settings.tls_client_ca_file) == ((), "", "")


def test_proxies_are_read_as_networks(environ: dict[str, str]) -> None:
    settings = read_settings({**environ, "BROKER_TRUSTED_PROXIES": "127.0.0.1, 10.0.8.0/28,::1/128,"})
    assert list(map(str, settings.trusted_proxies)) == ["127.0.0.1/32", "10.0.8.0/28", "::1/128"]


def test_the_authorities_are_read_at_the_start(environ: dict[str, str], tmp_path: Path) -> None:
    path = authorities_file(tmp_path)
    settings = read_settings({**environ, **MUTUAL_TLS, "BROKER_TLS_CLIENT_CA_FILE": str(path)})
    assert settings.tls_client_ca_file == path.read_text()
    assert settings.mtls_url == "https://mtls.broker.example"


@pytest.mark.parametrize("content", [b"", b"no PEM", b"\xff\xfe"])
def test_a_file_without_a_certificate_is_refused(
    environ: dict[str, str], tmp_path: Path, content: bytes
) -> None:
    path = tmp_path / "authorities.pem"
    path.write_bytes(content)
    with pytest.raises(SettingsInvalid, match="BROKER_TLS_CLIENT_CA_FILE cannot be used: it must be a"):
        read_settings({**environ, **MUTUAL_TLS, "BROKER_TLS_CLIENT_CA_FILE": str(path)})


def test_mutual_tls_needs_a_proxy_that_is_trusted(environ: dict[str, str]) -> None:
    with pytest.raises(SettingsInvalid, match="BROKER_MTLS_URL needs BROKER_TRUSTED_PROXIES"):
        read_settings({**environ, "BROKER_MTLS_URL": MUTUAL_TLS["BROKER_MTLS_URL"]})


def test_authorities_need_a_host_where_certificates_are_asked_for(
    environ: dict[str, str], tmp_path: Path
) -> None:
    with pytest.raises(SettingsInvalid, match="BROKER_TLS_CLIENT_CA_FILE needs BROKER_MTLS_URL"):
        read_settings({**environ, "BROKER_TLS_CLIENT_CA_FILE": str(authorities_file(tmp_path))})
