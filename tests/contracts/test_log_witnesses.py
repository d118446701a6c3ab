"""The sequencer and its witnesses: what is published is brought to them, and published cosigned."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest
from click.testing import CliRunner

from broker.actions.log_shard import cosigned_note
from broker.actions.sequence_log import Sequencer
from broker.cli import main
from broker.cli.log_witnesses import (
    VARIABLE,
    WitnessesFile,
    WitnessesUnusable,
    read_witnesses,
    with_witnesses,
)
from broker.evidence.checkpoint import open_checkpoint
from broker.evidence.cosignature import cosigned, witnesses_of
from broker.evidence.signed_note import VerifierKey
from broker.storage.log_files import LogFiles
from tests.doors import wait_until
from tests.evidence_log import LOG_KEY, WITNESS_KEYS, WITNESSES, MemoryLog
from tests.key_host import Authority
from tests.log_world import LogWorld
from tests.serving import serving
from tests.witness_place import WitnessPlace, grown_by, head_of


@pytest.fixture
def places(log: LogWorld, tmp_path: Path) -> Iterator[list[WitnessPlace]]:
    """Two witnesses that watch that log."""
    found = []
    try:
        for name in ("witness.example/a", "witness.example/bb"):
            directory = tmp_path / name.replace("/", "-")
            directory.mkdir()
            found.append(WitnessPlace(directory, name, (log.key(),)))
            found[-1].start()
        yield found
    finally:
        for place in found:
            place.stop()


def written(path: Path, *witnesses: tuple[VerifierKey, str], head: str = "") -> Path:
    """Write a file that names witnesses; return where."""
    tables = [
        f'[witnesses.w{number}]\nvkey = "{key.vkey}"\nurl = "{url}"\n'
        for number, (key, url) in enumerate(witnesses)
    ]
    path.write_text("\n".join([head, *tables]), encoding="utf-8")
    return path


def cosigners(log: LogWorld, content: bytes | None, keys: list[VerifierKey]) -> tuple[int, set[str]]:
    """Return size and cosigners of a published checkpoint, all signatures verified."""
    if content is None:
        return -1, set()
    opened = open_checkpoint(content, [log.key()])
    return opened.checkpoint.tree_size, {one.witness.name for one in witnesses_of(opened.note, keys)}


class TestAtWork:
    @pytest.fixture
    def told(self) -> list[Mapping[str, object]]:
        return []

    def test_what_is_published_is_cosigned_and_published_with_it(
        self,
        log: LogWorld,
        places: list[WitnessPlace],
        tmp_path: Path,
        told: list[Mapping[str, object]],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        keys = [place.vkey for place in places]
        named = [(place.vkey, place.url) for place in places]
        monkeypatch.setenv(VARIABLE, str(written(tmp_path / "w.toml", *named, head="needed = 2")))
        everybody = {key.name for key in keys}
        log.created()
        with log.session() as session, with_witnesses(session, told.append) as sequencer:

            def is_cosigned(size: int) -> Callable[[], bool]:
                def look() -> bool:
                    sequencer.run()
                    files = log.files()
                    both = [files.witnessed(), files.checkpoint()]
                    return [cosigners(log, one, keys) for one in both] == [(size, everybody)] * 2

                return look

            wait_until(is_cosigned(0), "the empty log is cosigned", 60)
            log.record(range(300))
            wait_until(is_cosigned(300), "the grown log is cosigned, and published so", 60)
            log.record(range(300, 310))
            wait_until(is_cosigned(310), "it goes on", 60)
        assert told == []
        log.check()
        assert [one.store.latest(log.origin(), [log.key()]).tree_size for one in places] == [310, 310]
        # Whoever audits has the files, the keys, and nothing else of ours.
        words = ["evidence", "audit", "--tiles", str(log.files().directory), "--vkey", log.key().vkey]
        trusted = [word for key in keys for word in ("--witness-vkey", key.vkey)]
        audited = CliRunner().invoke(main, [*words, *trusted, "--json"])
        found = json.loads(audited.stdout)
        assert (audited.exit_code, found["findings"], found["entries_read"]) == (0, [], 310)
        assert {one["name"] for one in found["witnesses"]} == everybody

    def test_a_witness_that_is_gone_holds_up_nothing(
        self,
        log: LogWorld,
        tmp_path: Path,
        told: list[Mapping[str, object]],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        with serving() as gone:
            named = (WITNESS_KEYS[0], f"http://localhost:{gone.port}")
        monkeypatch.setenv(VARIABLE, str(written(tmp_path / "w.toml", named)))
        log.created()
        log.record(range(5))
        with log.session() as session, with_witnesses(session, told.append) as sequencer:
            wait_until(lambda: sequencer.run().entries + log.published().tree_size >= 5, "it is merged", 60)
            wait_until(lambda: bool(told), "somebody is told", 60)
        assert told[0]["event"] == "a witness does not cosign"
        assert told[0]["reason"] == "the witness does not answer in time"
        assert log.files().witnessed() is None
        log.check()

    def test_without_a_file_nobody_is_asked(
        self, log: LogWorld, told: list[Mapping[str, object]], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.delenv(VARIABLE, raising=False)
        with log.session() as session, with_witnesses(session, told.append) as sequencer:
            assert isinstance(sequencer, Sequencer)
            assert sequencer.followers == ()


def note_of(log: MemoryLog, *names: int) -> bytes:
    lines = [cosigned(log.checkpoint(), WITNESSES[at][1], 7, WITNESSES[at][0].sign) for at in names]
    return log.note().with_signatures(lines).content


class TestTheFiles:
    def test_a_newer_or_fuller_checkpoint_stays(self, tmp_path: Path) -> None:
        files, log = LogFiles(tmp_path), grown_by(MemoryLog(), 3)
        assert files.witnessed() is None
        first = note_of(log, 0)
        files.publish_witnessed(first)
        files.publish_witnessed(note_of(log, 1))
        assert files.witnessed() == first
        both = note_of(log, 0, 1)
        files.publish_witnessed(both)
        assert files.witnessed() == both
        newer = note_of(grown_by(log, 2), 2)
        files.publish_witnessed(newer)
        files.publish_witnessed(both)
        assert files.witnessed() == newer

    def test_what_is_no_checkpoint_is_replaced(self, tmp_path: Path) -> None:
        files, log = LogFiles(tmp_path), grown_by(MemoryLog(), 3)
        (tmp_path / "witnessed-checkpoint").write_bytes(b"nothing")
        files.publish_witnessed(note_of(log, 0))
        assert files.witnessed() == note_of(log, 0)

    def test_only_what_was_gathered_for_the_head_is_published_and_only_if_it_is_more(
        self, tmp_path: Path
    ) -> None:
        files, log = LogFiles(tmp_path), grown_by(MemoryLog(), 3)
        assert cosigned_note(files, head_of(log)) is None
        files.publish(log.note().content)
        assert cosigned_note(files, head_of(log)) is None
        gathered = note_of(log, 0)
        files.publish_witnessed(gathered)
        assert cosigned_note(files, head_of(log)) == gathered
        files.publish(gathered)
        assert cosigned_note(files, head_of(log)) is None
        head = head_of(grown_by(log, 1))
        files.publish(head.note)
        assert cosigned_note(files, head) is None
        (tmp_path / "witnessed-checkpoint").chmod(0o644)
        (tmp_path / "witnessed-checkpoint").write_bytes(b"nothing")
        assert cosigned_note(files, head) is None


class TestTheFileOfWitnesses:
    def test_whole(self, tmp_path: Path) -> None:
        (tmp_path / "ca.pem").write_text(Authority().pem)
        path = written(
            tmp_path / "w.toml",
            (WITNESS_KEYS[0], "https://witness.ministry.example/w"),
            (WITNESS_KEYS[1], 'https://Inner.example"\nprivate_host = true\n#"'.rstrip('"')),
            head='needed = 2\nca_file = "ca.pem"',
        )
        told = read_witnesses(path)
        assert isinstance(told, WitnessesFile)
        assert [one.key for one in told.witnesses] == WITNESS_KEYS[:2]
        assert (told.needed, told.private_hosts) == (2, frozenset({"inner.example"}))
        assert told.authorities.startswith("-----BEGIN CERTIFICATE-----")

    @pytest.mark.parametrize(
        ("content", "words"),
        [
            ("[", "it cannot be read"),
            ("needed = 1", "one table [witnesses.NAME] for each"),
            ("witnesses = 1", "one table [witnesses.NAME] for each"),
            ("wanted = 1\n{one}", "one table [witnesses.NAME] for each"),
            ("needed = 2\n{one}", "needed is a number from 1 to as many as there are"),
            ("needed = true\n{one}", "needed is a number from 1 to as many as there are"),
            ("needed = 0\n{one}", "needed is a number from 1 to as many as there are"),
            ('ca_file = "none.pem"\n{one}', "ca_file is a readable PEM file"),
            ("ca_file = 1\n{one}", "ca_file is the name of a file"),
            ("{one}{two}", "two of them have one key: that is one witness"),
            (
                "{one}[witnesses.b]\nurl = 'https://b'",
                "b: a witness has vkey and url, and may have private_host",
            ),
            ("{one}extra = 1", "a: a witness has vkey and url, and may have private_host"),
            ("{one}private_host = 1", "a: private_host is true or false"),
            ("[witnesses.a]\nvkey = '{log}'\nurl = 'https://a'", "a: vkey is no verifier key of a witness"),
            ("[witnesses.a]\nvkey = 'x'\nurl = 'https://a'", "a: vkey is no verifier key of a witness"),
            ("[witnesses.a]\nvkey = 7\nurl = 'https://a'", "a: vkey is no verifier key of a witness"),
            ("[witnesses.a]\nvkey = '{key}'\nurl = 'http://a'", "a: url is an https address"),
            ("[witnesses.a]\nvkey = '{key}'\nurl = 'https://a?b'", "a: url is an https address"),
            ("[witnesses.a]\nvkey = '{key}'\nurl = 7", "a: url is an https address"),
        ],
    )
    def test_what_names_no_witnesses(self, tmp_path: Path, content: str, words: str) -> None:
        tables = {
            name: f"[witnesses.{label}]\nvkey = '{WITNESS_KEYS[0].vkey}'\nurl = 'https://{label}'\n"
            for name, label in (("one", "a"), ("two", "b"))
        }
        path = tmp_path / "w.toml"
        path.write_text(content.format(**tables, log=LOG_KEY.vkey, key=WITNESS_KEYS[0].vkey))
        with pytest.raises(WitnessesUnusable) as fault:
            read_witnesses(path)
        assert words in str(fault.value)

    def test_a_file_that_is_not_there(self, tmp_path: Path) -> None:
        with pytest.raises(WitnessesUnusable, match="it cannot be read"):
            read_witnesses(tmp_path / "none")
