"""The embedded deployment ends a command with a plain message when it cannot be prepared."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from click.testing import CliRunner

import broker.cli.session
from broker.cli import main
from broker.storage.agreements import RevisionNotNewer


def test_a_text_changed_under_its_old_number_is_told_without_a_traceback(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    @contextmanager
    def cluster(_: Path) -> Iterator[Any]:
        urls = ("owner_url", "application_url", "source_reader_url")
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
