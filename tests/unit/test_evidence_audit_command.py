"""`broker evidence audit`: a log in files or behind an address is read again, and every fault is named."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest
from click.testing import CliRunner, Result

from broker.cli import main
from broker.cli.audit_words import AUDIT
from broker.cli.evidence_words import REASONS
from broker.evidence.checkpoint import Checkpoint, signed_checkpoint
from broker.evidence.reasons import ALL_REASONS
from broker.evidence.signed_note import NoteSignature
from connectors.log_files import ATTEMPTS, DirectoryFiles, HttpFiles, LogUnreadable, reading_ahead
from tests.evidence_entries import release
from tests.evidence_log import (
    LOG_KEY,
    LOG_PRIVATE,
    ORIGIN,
    WITNESS_KEYS,
    MemoryLog,
    key_of,
    write_log,
)
from tests.serving import serving

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

SIZES: Final = (200, 300, 600)
WITNESSES: Final[list[str]] = [word for key in WITNESS_KEYS for word in ("--witness-vkey", key.vkey)]


class Published:
    """A log in a directory, and the checkpoints that somebody kept while it grew."""

    def __init__(self, directory: Path) -> None:
        self.log = MemoryLog()
        self.directory = directory / "log"
        self.kept: dict[int, Path] = {}
        for size in SIZES:
            self.log.append([release(at) for at in range(self.log.edge.size, size)])
            self.kept[size] = directory / f"{size}.checkpoint"
            self.kept[size].write_bytes(self.log.note().content)
        write_log(self.log, self.directory, witness_count=2)

    def change(self, path: str, change: Callable[[bytes], bytes]) -> None:
        file = self.directory / path
        file.write_bytes(change(file.read_bytes()))

    def lie(self, size: int) -> Path:
        """Return a checkpoint that the log signed and whose tree it never had."""
        path = self.directory.parent / f"{size}.lie"
        lie = Checkpoint(ORIGIN, size, bytes(32))
        path.write_bytes(signed_checkpoint(lie, LOG_KEY, LOG_PRIVATE.sign).content)
        return path


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Published:
    return Published(tmp_path_factory.mktemp("written"))


@pytest.fixture
def published(written: Published, tmp_path: Path) -> Published:
    shutil.copytree(written.directory.parent, tmp_path, dirs_exist_ok=True)
    mine = object.__new__(Published)
    mine.log, mine.directory = written.log, tmp_path / "log"
    mine.kept = {size: tmp_path / path.name for size, path in written.kept.items()}
    return mine


def run(*arguments: str | Path, key: str = LOG_KEY.vkey) -> Result:
    words = ["evidence", "audit", "--vkey", key, *map(str, arguments)]
    return CliRunner().invoke(main, words, catch_exceptions=False)


def in_json(*arguments: str | Path, key: str = LOG_KEY.vkey) -> tuple[int, dict[str, Any]]:
    result = run("--json", "--lang", "en", *arguments, key=key)
    return result.exit_code, json.loads(result.stdout)


def found(told: dict[str, Any]) -> list[tuple[str, str, int | None]]:
    return [(one["reason"], one["place"], one["number"]) for one in told["findings"]]


def kept(published: Published, *sizes: int) -> list[str]:
    return [word for size in sizes for word in ("--checkpoint", str(published.kept[size]))]


def test_a_faultless_log_is_said_to_be_one(published: Published) -> None:
    code, told = in_json("--tiles", published.directory, *kept(published, 200, 300, 600))
    assert (code, told["faultless"], told["findings"], told["finding_count"]) == (0, True, [], 0)
    assert (told["origin"], told["tree_size"], told["entries_read"], told["since"]) == (ORIGIN, 600, 600, 0)
    assert told["root_hash"] == published.log.edge.root_hash.hex()


def test_it_says_so_in_both_languages(published: Published) -> None:
    arguments = ("--tiles", str(published.directory), *WITNESSES, "--witnesses-needed", "2")
    vi, en = run(*arguments), run(*arguments, "--lang", "en")
    assert (vi.exit_code, en.exit_code) == (0, 0)
    assert AUDIT["faultless"].vi in vi.stdout
    assert f"{ORIGIN}: 600 entries by its checkpoint" in en.stdout
    assert "size 600 cosigned by witness witness.example/w1 at 2026-09-21T14:13:20Z" in en.stdout
    for words in AUDIT.values():
        assert words.vi != words.en


def test_witnesses_that_are_asked_for_and_missing_are_a_finding(published: Published) -> None:
    code, told = in_json("--tiles", published.directory, *WITNESSES)
    assert (code, found(told)) == (1, [("witnesses_missing", "checkpoint", 600)])
    assert told["entries_read"] == 600


class TestWitnessedEarlier:
    """A log that grows while witnesses answer publishes what they cosigned beside its newest checkpoint."""

    ARGUMENTS: Final = [*WITNESSES, "--witnesses-needed", "3"]

    def written(self, published: Published, size: int, history: MemoryLog | None = None) -> Published:
        log = MemoryLog()
        log.append((history or published.log).entries[:size])
        (published.directory / "witnessed-checkpoint").write_bytes(log.note(3).content)
        return published

    def test_it_is_taken_and_held_against_the_log(self, published: Published) -> None:
        self.written(published, 450)
        code, told = in_json("--tiles", published.directory, *self.ARGUMENTS)
        assert (code, told["witnessed_size"], told["tree_size"], len(told["witnesses"])) == (0, 450, 600, 3)

    @pytest.mark.parametrize("since", ["0", "300"])
    def test_one_of_another_history_is_a_fork(self, published: Published, since: str) -> None:
        forged = MemoryLog()
        forged.append([release(at if at != 3 else 999) for at in range(250)])
        self.written(published, 250, forged)
        since_arguments = ["--since", since, *kept(published, 300)]
        code, told = in_json("--tiles", published.directory, *self.ARGUMENTS, *since_arguments)
        assert (code, found(told)) == (1, [("checkpoint_forked", ORIGIN, 250)])

    def test_it_must_be_cosigned_too(self, published: Published) -> None:
        (published.directory / "witnessed-checkpoint").write_bytes(published.kept[300].read_bytes())
        code, told = in_json("--tiles", published.directory, *self.ARGUMENTS)
        assert (code, found(told)) == (1, [("witnesses_missing", "checkpoint", 600)])
        assert told["witnessed_size"] is None

    def test_a_forged_cosignature_is_not_talked_over_by_it(self, published: Published) -> None:
        self.written(published, 450)
        line = published.log.note(1).signatures[1]
        false = NoteSignature(line.name, line.key_id, line.signature[:-1] + bytes([line.signature[-1] ^ 1]))
        note = published.log.note().with_signatures([false])
        (published.directory / "checkpoint").write_bytes(note.content)
        code, told = in_json("--tiles", published.directory, *self.ARGUMENTS)
        assert (code, found(told)) == (1, [("witness_signature_invalid", "checkpoint", 600)])


def test_every_fault_is_named_with_its_place_and_a_sentence(published: Published) -> None:
    published.change("tile/entries/000", lambda held: held.replace(b'"release"', b'"rumour!"', 1))
    (published.directory / "tile/0/001").unlink()
    published.change("tile/entries/001", lambda held: held[:-1])
    result = run("--tiles", published.directory, "--lang", "en")
    assert result.exit_code == 1
    for line in (
        f"  entry_kind_unknown: tile/entries/000, entry 0: {REASONS['entry_kind_unknown'].en}",
        f"  tile_differs: tile/0/000: {REASONS['tile_differs'].en} (hash 0)",
        f"  tile_missing: tile/0/001: {REASONS['tile_missing'].en}",
        f"  bundle_malformed: tile/entries/001: {REASONS['bundle_malformed'].en}",
    ):
        assert line in result.stdout
    assert "4 findings: this log does NOT hold." in result.stdout


def test_a_gap_is_named_and_no_root_is_claimed(published: Published) -> None:
    for path in ("tile/entries/001", "tile/0/001"):
        (published.directory / path).unlink()
    code, told = in_json("--tiles", published.directory)
    assert (code, told["root_hash"]) == (1, None)
    assert found(told) == [("tile_missing", "tile/0/001", None), ("bundle_missing", "tile/entries/001", None)]


def test_what_somebody_else_was_shown_is_held_against_it(published: Published) -> None:
    lie, beyond = published.lie(250), published.lie(700)
    code, told = in_json("--tiles", published.directory, "--checkpoint", lie, "--checkpoint", beyond)
    assert code == 1
    assert found(told) == [("checkpoint_forked", ORIGIN, 250), ("checkpoint_beyond_log", ORIGIN, 700)]
    assert told["findings"][0]["words"] == REASONS["checkpoint_forked"].en


def test_many_findings_are_counted_and_some_told(published: Published) -> None:
    published.change("tile/entries/000", lambda held: held.replace(b'"release"', b'"rumour!"'))
    code, told = in_json("--tiles", published.directory, "--most", "3")
    assert (code, len(told["findings"])) == (1, 3)
    # 256 entries, their hashes in the tile, and what follows above.
    assert told["finding_count"] == 256 + 256 + 2
    result = run("--tiles", published.directory, "--most", "3", "--lang", "en")
    assert "  and 511 findings more" in result.stdout


class TestGoingOn:
    def test_only_what_is_new_is_read(self, published: Published) -> None:
        (published.directory / "tile/entries/000").unlink()
        (published.directory / "tile/0/000").unlink()
        arguments = ("--tiles", str(published.directory), "--since", "300", *kept(published, 300))
        code, told = in_json(*arguments)
        assert (code, told["entries_read"], told["since"]) == (0, 300, 300)
        assert told["root_hash"] == published.log.edge.root_hash.hex()

    def test_older_checkpoints_are_proven_too(self, published: Published) -> None:
        arguments = ("--tiles", str(published.directory), "--since", "300", *kept(published, 200, 300, 600))
        assert in_json(*arguments)[0] == 0
        code, told = in_json(*arguments, "--checkpoint", published.lie(100))
        assert (code, found(told)) == (1, [("checkpoint_forked", ORIGIN, 100)])

    def test_a_history_that_was_rewritten_meanwhile_is_found(self, published: Published) -> None:
        forged = MemoryLog()
        for size in SIZES:
            forged.append([release(at if at != 3 else 999) for at in range(forged.edge.size, size)])
        write_log(forged, published.directory)
        code, told = in_json("--tiles", published.directory, "--since", "300", *kept(published, 300))
        assert (code, found(told), told["entries_read"]) == (1, [("checkpoint_forked", ORIGIN, 300)], 0)

    def test_a_log_that_became_smaller_is_found(self, published: Published) -> None:
        shorter = MemoryLog()
        shorter.append(published.log.entries[:200])
        write_log(shorter, published.directory)
        code, told = in_json("--tiles", published.directory, "--since", "300", *kept(published, 300))
        assert (code, found(told)) == (1, [("checkpoint_beyond_log", ORIGIN, 300)])

    def test_the_edge_must_be_there(self, published: Published) -> None:
        for path in (published.directory / "tile/0").glob("001*"):
            path.unlink() if path.is_file() else shutil.rmtree(path)
        code, told = in_json("--tiles", published.directory, "--since", "300", *kept(published, 300))
        assert (code, found(told)) == (1, [("tile_missing", ORIGIN, 300)])

    def test_it_takes_a_checkpoint_of_that_size(self, published: Published) -> None:
        result = run("--tiles", published.directory, "--since", "299", *kept(published, 300))
        assert result.exit_code == 2
        assert "--since 299 needs a --checkpoint of that size that you kept" in result.stderr

    def test_the_checkpoint_is_kept_for_the_next_time_only_if_all_holds(self, published: Published) -> None:
        mine = published.directory.parent / "mine.checkpoint"
        assert in_json("--tiles", published.directory, "--keep", mine)[0] == 0
        assert mine.read_bytes() == published.log.note(2).content
        again = ("--tiles", published.directory, "--checkpoint", mine, "--since", "600", "--keep", mine)
        code, told = in_json(*again)
        assert (code, told["entries_read"]) == (0, 0)
        mine.unlink()
        (published.directory / "tile/1/000.p/2").unlink()
        assert in_json("--tiles", published.directory, "--keep", mine)[0] == 1
        assert sorted(path.name for path in mine.parent.glob("*mine*")) == []


class TestTheCheckpoint:
    def test_of_another_key_proves_nothing(self, published: Published) -> None:
        code, told = in_json("--tiles", published.directory, key=key_of(9, ORIGIN, 1)[1].vkey)
        assert (code, found(told)) == (1, [("checkpoint_unsigned", "checkpoint", None)])
        assert (told["origin"], told["tree_size"], told["entries_read"]) == (None, None, 0)

    def test_that_is_forged_is_found(self, published: Published) -> None:
        published.change("checkpoint", lambda held: held.replace(b"\n600\n", b"\n599\n"))
        assert found(in_json("--tiles", published.directory)[1]) == [
            ("log_signature_invalid", "checkpoint", None)
        ]

    def test_that_is_hidden_is_found_and_the_last_kept_one_used(self, published: Published) -> None:
        (published.directory / "checkpoint").unlink()
        code, told = in_json("--tiles", published.directory)
        assert (code, found(told)) == (1, [("checkpoint_malformed", "checkpoint", None)])
        code, told = in_json("--tiles", published.directory, *kept(published, 200, 300))
        assert (code, told["tree_size"], told["entries_read"]) == (1, 300, 300)
        assert found(told) == [("checkpoint_malformed", "checkpoint", None)]

    def test_that_one_kept_must_be_one(self, published: Published) -> None:
        wrong = published.directory.parent / "wrong"
        wrong.write_bytes(published.log.note().content.replace(b"\n600\n", b"\n599\n"))
        result = run("--tiles", published.directory, "--checkpoint", wrong)
        assert (result.exit_code, "log_signature_invalid" in result.stderr) == (2, True)


@pytest.mark.parametrize(
    ("tiles", "words"),
    [
        ("nowhere", "nowhere: no directory, and no https address"),
        ("http://log.example/2026", "an https address is wanted (http only on localhost)"),
        ("ftp://log.example", "an https address is wanted (http only on localhost)"),
        ("https://log.example/?a=b", "an https address is wanted (http only on localhost)"),
    ],
)
def test_where_there_is_no_log_it_exits_2(tiles: str, words: str) -> None:
    result = run("--tiles", tiles)
    assert (result.exit_code, words in result.stderr) == (2, True), result.output


def test_the_key_of_the_log_is_needed(published: Published) -> None:
    result = CliRunner().invoke(main, ["evidence", "audit", "--tiles", str(published.directory)])
    assert (result.exit_code, "say the key of the log: --vkey" in result.stderr) == (2, True)


def test_every_reason_can_be_told(published: Published) -> None:
    assert {one for one in ALL_REASONS if not REASONS[one].say("vi")} == set()


class Host:
    """What answers behind an address: the files of a directory. broken: paths, and how often they fail."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.asked: list[str] = []
        self.broken: dict[str, int] = {}

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Sequence[bytes]:
        path = environ["PATH_INFO"].removeprefix("/evidence/2026/")
        self.asked.append(path)
        if self.broken.get(path, 0):
            self.broken[path] -= 1
            start_response("503 Service Unavailable", [("Content-Length", "0")])
            return []
        content = DirectoryFiles(self.directory).find(path, 10**9)
        start_response("404 Not Found" if content is None else "200 OK", [("Content-Type", "text/plain")])
        return [content or b"not here"]


class TestBehindAnAddress:
    @pytest.fixture
    def host(self, published: Published) -> Iterator[tuple[Host, str]]:
        host = Host(published.directory)
        with serving(host) as place:
            yield host, f"http://localhost:{place.port}/evidence/2026/"

    def test_the_same_is_read(self, published: Published, host: tuple[Host, str]) -> None:
        code, told = in_json("--tiles", host[1], *kept(published, 200, 300, 600))
        assert (code, told["findings"], told["entries_read"]) == (0, [], 600)
        assert {"checkpoint", "tile/0/002.p/88", "tile/entries/002.p/88"} <= set(host[0].asked)

    def test_gaps_are_named(self, published: Published, host: tuple[Host, str]) -> None:
        (published.directory / "tile/entries/001").unlink()
        code, told = in_json("--tiles", host[1])
        assert (code, found(told)) == (1, [("bundle_missing", "tile/entries/001", None)])

    def test_what_fails_once_is_asked_for_again(
        self, host: tuple[Host, str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("connectors.log_files.PAUSE_SECONDS", 0.0)
        host[0].broken = {"tile/0/001": ATTEMPTS - 1, "checkpoint": 1}
        assert in_json("--tiles", host[1])[0] == 0
        host[0].broken = {"tile/0/001": ATTEMPTS}
        result = run("--tiles", host[1])
        assert result.exit_code == 2
        assert "tile/0/001: the host answers with another status than 200 or 404" in result.stderr

    def test_a_file_that_is_too_long_is_not_read_to_its_end(
        self, published: Published, host: tuple[Host, str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("connectors.log_files.PAUSE_SECONDS", 0.0)
        published.change("tile/0/001", lambda held: held * 2)
        result = run("--tiles", host[1])
        assert (result.exit_code, "tile/0/001: the document is larger than 8 KiB" in result.stderr) == (
            2,
            True,
        )

    def test_nobody_answers(self) -> None:
        with serving() as place:
            url = f"http://localhost:{place.port}"
        files = HttpFiles(url, pause=lambda _: None)
        with pytest.raises(LogUnreadable, match="checkpoint: the host does not answer"):
            files.find("checkpoint", 100)


def test_reading_ahead_gives_every_file_once_and_in_any_order() -> None:
    asked: list[str] = []

    def find(path: str, most: int) -> bytes | None:
        asked.append(path)
        if path == "7":
            raise LogUnreadable("7: gone")
        return path.encode() * most

    with reading_ahead(find, ((str(number), 2) for number in range(100))) as ahead:
        assert ahead("above", 1) == b"above"
        for number in range(50):
            if number == 7:
                with pytest.raises(LogUnreadable, match="7: gone"):
                    ahead("7", 2)
            else:
                assert ahead(str(number), 2) == str(number).encode() * 2
    assert len(asked) == len(set(asked))


def test_a_directory_that_cannot_be_read_is_no_gap(tmp_path: Path) -> None:
    (tmp_path / "tile").mkdir()
    assert DirectoryFiles(tmp_path).find("tile/0/000", 9) is None
    with pytest.raises(LogUnreadable, match="tile: Is a directory"):
        DirectoryFiles(tmp_path).find("tile", 9)
    (tmp_path / "long").write_bytes(b"0123456789")
    assert DirectoryFiles(tmp_path).find("long", 4) == b"01234"
