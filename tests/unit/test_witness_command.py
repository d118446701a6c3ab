"""`broker witness`: making a key, watching logs, listing them, and what is refused before it serves."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from broker.cli import main
from broker.evidence.signed_note import COSIGNATURE, parse_vkey
from broker.witness.key import read_key
from broker.witness.store import WitnessStore
from tests.evidence_log import LOG_KEY, ORIGIN, WITNESS_KEYS, key_of


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, ["witness", *map(str, arguments)], catch_exceptions=False)


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    path = tmp_path / "witness.key"
    assert run("key", "create", "--name", "witness.example/w1", "--key-file", path).exit_code == 0
    return path


def test_a_key_is_made_once_and_its_public_half_printed(tmp_path: Path) -> None:
    path = tmp_path / "witness.key"
    made = run("key", "create", "--name", "witness.example/w1", "--key-file", path)
    vkey = parse_vkey(made.stdout.strip())
    assert (vkey.name, vkey.kind) == ("witness.example/w1", COSIGNATURE)
    assert read_key(path).verifier == vkey
    assert run("key", "show", "--key-file", path).stdout == made.stdout
    again = run("key", "create", "--name", "witness.example/w1", "--key-file", path)
    assert (again.exit_code, "File exists" in again.stderr) == (1, True)
    assert read_key(path).verifier == vkey


def test_two_keys_are_two_keys(tmp_path: Path) -> None:
    made = [
        run("key", "create", "--name", "witness.example/w1", "--key-file", tmp_path / name).stdout
        for name in ("one", "two")
    ]
    assert made[0] != made[1]


def test_logs_are_watched_and_listed(tmp_path: Path) -> None:
    other = key_of(5, "audit.broker.example.vn/2027", 1)[1]
    keys = tmp_path / "log.vkeys"
    keys.write_text(f"{LOG_KEY.vkey}\n{other.vkey}\n")
    directory = tmp_path / "deep" / "witness"
    first = run("watch", keys, "--directory", directory)
    assert first.stdout == f"watching: {ORIGIN}\nwatching: {other.name}\n"
    assert run("watch", LOG_KEY.vkey, "--directory", directory).stdout == f"watched already: {ORIGIN}\n"
    listed = json.loads(run("logs", "--directory", directory, "--json").stdout)
    assert [(one["origin"], one["tree_size"], one["keys"]) for one in listed] == [
        (ORIGIN, 0, [LOG_KEY.vkey]),
        (other.name, 0, [other.vkey]),
    ]
    assert f"origin     {ORIGIN}" in run("logs", "--directory", directory).stdout


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("watch", "nowhere", "--directory", "d"), 2, "nowhere: No such file or directory"),
        (("watch", WITNESS_KEYS[0].vkey, "--directory", "d"), 2, "is a witness's"),
        (("key", "show", "--key-file", "none"), 1, "none: No such file or directory"),
        (("key", "create", "--name", "two words", "--key-file", "k"), 1, "no spaces and no plus sign"),
        (("logs", "--directory", "none"), 1, "none/logs: No such file or directory"),
        (("serve", "--directory", "none", "--key-file", "KEY"), 2, "broker witness watch makes it"),
        (("serve", "--directory", ".", "--key-file", "none"), 1, "none: No such file or directory"),
    ],
)
def test_what_cannot_be_done_is_said(
    key_file: Path, arguments: tuple[str, ...], code: int, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(key_file.parent)
    result = run(*(str(key_file) if one == "KEY" else one for one in arguments))
    assert (result.exit_code, words in result.stderr) == (code, True), result.stderr


def test_a_witness_whose_memory_is_broken_is_not_served(key_file: Path) -> None:
    directory = key_file.parent / "witness"
    directory.mkdir()
    WitnessStore(directory).watch(LOG_KEY)
    result = run("serve", "--directory", directory, "--key-file", key_file, "--bind", "nonsense")
    assert (result.exit_code, "--bind must be an address and a port" in result.stderr) == (2, True)
    [latest] = directory.glob("logs/*/latest")
    latest.unlink()
    result = run("serve", "--directory", directory, "--key-file", key_file)
    assert (result.exit_code, "what was cosigned last of a log is gone" in result.stderr) == (1, True)
