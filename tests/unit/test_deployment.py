"""A command that cannot prepare a database, its own or the embedded one, ends with a plain message."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from click.testing import CliRunner

import broker.cli.prepare
import broker.cli.session
from broker.cli import main
from broker.oauth.stored_keys import SigningKeyUnavailable
from broker.storage.agreements import RevisionNotNewer


def test_a_text_changed_under_its_old_number_is_told_without_a_traceback(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    @contextmanager
    def cluster(_: Path) -> Iterator[Any]:
        urls = ("owner_url", "application_url", "source_reader_url", "sequencer_url", "head_url")
        yield SimpleNamespace(**dict.fromkeys(urls, "postgresql+psycopg://broker@/broker"))

    def refuse(*_: Any) -> None:
        raise RevisionNotNewer("hospital_entitlement_check: revision 1 is in force")

    monkeypatch.delenv("BROKER_DATABASE_URL", raising=False)
    monkeypatch.setenv("BROKER_STATE_DIRECTORY", str(tmp_path))
    monkeypatch.setattr(broker.cli.session, "embedded_cluster", cluster)
    monkeypatch.setattr(broker.cli.session, "prepare", refuse)
    result = CliRunner().invoke(main, ["agreement", "list"])
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == "Error: hospital_entitlement_check: revision 1 is in force\n"


@pytest.fixture
def settings_of_nobody(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Settings that can be read, of databases that are nowhere."""
    for name in ("KEY_ENCRYPTION_KEY", "PSEUDONYM_KEY"):
        path = tmp_path / name
        path.write_bytes(base64.urlsafe_b64encode(name[0].encode() * 32))
        path.chmod(0o600)
        monkeypatch.setenv(f"BROKER_{name}_FILE", str(path))
    for name, role in {"DATABASE": "app", "OWNER_DATABASE": "owner", "SOURCE": "reader"}.items():
        monkeypatch.setenv(f"BROKER_{name}_URL", f"postgresql://{role}:hidden@/broker?host={tmp_path}")
    monkeypatch.setenv("BROKER_ISSUER", "https://broker.example")


@pytest.mark.usefixtures("settings_of_nobody")
def test_another_key_encryption_key_is_told_without_a_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> None:
        raise SigningKeyUnavailable("keys in the store cannot be decrypted: receipt")

    monkeypatch.setattr(broker.cli.prepare, "prepare", refuse)
    result = CliRunner().invoke(main, ["prepare"])
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == "Error: signing_key_unavailable: keys in the store cannot be decrypted: receipt\n"


@pytest.mark.usefixtures("settings_of_nobody")
def test_a_database_that_is_away_is_told_without_its_address() -> None:
    result = CliRunner().invoke(main, ["prepare"])
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == "Error: store_unavailable: the store does not answer: OperationalError\n"


def test_settings_that_cannot_be_used_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BROKER_OWNER_DATABASE_URL", "postgresql://owner@/broker")
    monkeypatch.delenv("BROKER_ISSUER", raising=False)
    result = CliRunner().invoke(main, ["prepare"])
    assert result.exit_code == 1
    assert "BROKER_ISSUER is missing" in result.stderr
