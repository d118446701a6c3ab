"""The demo's log with and without an authority: what stands on the lines to paste, and who is missing."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from broker.cli import demo_log
from broker.cli.demo import proof_lines
from broker.cli.demo_log import Shown, authority_in
from broker.evidence.evidence_file import EvidenceFile
from broker.evidence.timestamps import Stamped
from connectors.timestamps import is_authority_address
from tests.evidence_entries import release
from tests.evidence_log import LOG_KEY, log_of
from tests.timestamp_place import needs_openssl


def shown(directory: Path, stamped: Stamped | None) -> Shown:
    evidence = EvidenceFile(release(7), log_of(20).proof_file(7), log_keys=[LOG_KEY])
    return Shown(evidence, LOG_KEY, directory / "log", 20, 7, 5, stamped)


def test_without_openssl_there_is_no_authority_and_it_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(demo_log, "find_openssl", lambda: None)
    with authority_in(tmp_path) as authority:
        assert authority is None
    assert list(tmp_path.iterdir()) == []


@needs_openssl
def test_with_it_its_certificate_lies_in_a_file(tmp_path: Path) -> None:
    with authority_in(tmp_path) as authority:
        assert authority is not None
        assert authority.root_file.read_text().startswith("-----BEGIN CERTIFICATE-----")
        assert is_authority_address(authority.given.url)


def test_lines_name_a_time_stamp_only_where_there_is_one(tmp_path: Path) -> None:
    stamped = Stamped(datetime(2026, 11, 22, tzinfo=UTC), "1.2", "CN=Authority")
    roots, file = tmp_path / "root.pem", tmp_path / "evidence.json"
    lines = proof_lines("broker", file, shown(tmp_path, None), "en", None)
    assert "timestamp" not in " ".join(lines)
    verify, audit = proof_lines("broker", file, shown(tmp_path, stamped), "en", roots)
    assert f" --timestamp {tmp_path}/log/timestamp/20.tsr --timestamp-roots {roots}" in verify
    assert f" --timestamp-roots {roots}" in audit
    verify, audit = proof_lines("broker", file, shown(tmp_path, None), "en", roots)
    assert ("timestamp" in verify, f"--timestamp-roots {roots}" in audit) == (False, True)
