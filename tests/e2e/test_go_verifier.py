"""Go's own sumdb/note and sumdb/tlog verify a log that our sequencer wrote, and refuse each bent one."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest

from broker.cli.embedded import EmbeddedCluster
from broker.evidence.checkpoint import Checkpoint, signed_checkpoint
from broker.evidence.evidence_file import EvidenceFile
from broker.evidence.proof_file import ProofFile
from broker.evidence.signed_note import VerifierKey, base64_text
from broker.evidence.tiles import Tile
from broker.evidence.tree import LogTiles
from tests.evidence_log import LOG_KEY, LOG_PRIVATE, ORIGIN, key_of, log_of, write_log
from tests.go_program import EXAMPLE, SECONDS, built, go_environment, toolchain
from tests.log_world import LogWorld, log_databases

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("go")]
SIZES: Final = (1, 255, 256, 300, 513, 700)
INDEXES: Final = (0, 255, 256, 299, 511, 512, 699)


@dataclass(frozen=True)
class Log:
    """A log in a directory, and the checkpoints that somebody kept while it grew."""

    directory: Path
    key: VerifierKey
    kept: dict[int, Path]
    entries: list[bytes]


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return built(tmp_path_factory.mktemp("go"))


@pytest.fixture(scope="module")
def log(cluster: EmbeddedCluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Log]:
    """Several hundred entries, ordered and signed by the sequencer over six checkpoints."""
    directory = tmp_path_factory.mktemp("log")
    with log_databases(cluster) as databases:
        world = LogWorld(databases, directory / "log")
        try:
            world.created()
            kept = {}
            for size in SIZES:
                world.record(range(len(world.recorded()), size))
                world.order()
                kept[size] = directory / f"{size}.checkpoint"
                kept[size].write_bytes(world.files().checkpoint() or b"")
            yield Log(world.files().directory, world.key(), kept, world.entries())
        finally:
            world.close()


@pytest.fixture
def copy(log: Log, tmp_path: Path) -> Path:
    """A copy of the log that a test may bend."""
    directory = tmp_path / "log"
    shutil.copytree(log.directory, directory)
    for file in directory.rglob("*"):
        if file.is_file():
            file.chmod(0o644)
    return directory


def run(program: Path, *words: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [program, *map(str, words)], capture_output=True, text=True, timeout=SECONDS, check=False
    )


def refused(program: Path, *words: str | Path) -> str:
    """Say that it is refused; return why."""
    done = run(program, *words)
    assert (done.returncode, "all of it holds" in done.stdout) == (1, False), done
    assert done.stderr.startswith("does NOT hold: ")
    return done.stderr


def evidence(log: Log, directory: Path, index: int, size: int = 700) -> Path:
    """Return an evidence file of an entry, proven from the published tiles in the tree of a size."""

    def read(tile: Tile) -> bytes | None:
        path = log.directory / tile.path
        return path.read_bytes() if path.exists() else None

    proof = LogTiles(read, size).inclusion_proof(index)
    content = ProofFile(index, proof, log.kept[size].read_bytes()).content
    path = directory / f"{index}.evidence.json"
    path.write_bytes(EvidenceFile(log.entries[index], content, log_keys=(log.key,)).content)
    return path


def test_there_are_full_and_partial_tiles_of_two_levels(log: Log) -> None:
    names = {str(path.relative_to(log.directory)) for path in log.directory.rglob("*") if path.is_file()}
    assert {"tile/0/000", "tile/0/001", "tile/0/002.p/188", "tile/1/000.p/2"} <= names
    assert {"tile/entries/001", "tile/entries/002.p/188", "checkpoint"} <= names


def test_every_entry_that_is_asked_for_is_proven_from_the_tiles(program: Path, log: Log) -> None:
    for index in INDEXES:
        done = run(program, "-log", log.directory, "-vkey", log.key.vkey, "-index", str(index))
        assert done.returncode == 0, done
        assert f"{log.key.name}: 700 entries" in done.stdout
        assert f"by its tiles: entry {index}, with " in done.stdout
        assert log.entries[index].decode() in done.stdout
        assert done.stdout.endswith("all of it holds\n")


def test_every_kept_checkpoint_is_its_beginning(program: Path, log: Log) -> None:
    for size, kept in log.kept.items():
        done = run(program, "-log", log.directory, "-vkey", log.key.vkey, "-older", kept)
        assert done.returncode == 0, done
        assert f"it begins with the {size} entries of {kept}" in done.stdout


def test_an_evidence_file_is_checked_with_the_key_alone_and_found_in_the_log(
    program: Path, log: Log, tmp_path: Path
) -> None:
    key = tmp_path / "log.vkey"
    key.write_text(log.key.vkey + "\n")
    for index, size in ((0, 1), (270, 300), (512, 513), (699, 700)):
        file = evidence(log, tmp_path, index, size)
        alone = run(program, "-vkey", key, "-evidence", file)
        assert alone.returncode == 0, alone
        assert alone.stdout == (
            f"by its proof: entry {index} of the {size} of {log.key.name}\nall of it holds\n"
        )
        whole = run(program, "-vkey", key, "-evidence", file, "-log", log.directory)
        assert whole.returncode == 0, whole
        assert f"by its tiles: entry {index}, with " in whole.stdout


def test_cosignatures_of_strangers_do_not_disturb_it(program: Path, tmp_path: Path) -> None:
    directory = write_log(log_of(300), tmp_path / "log", witness_count=3)
    assert run(program, "-log", directory, "-vkey", LOG_KEY.vkey).returncode == 0


class TestBent:
    def turned(self, path: Path, at: int = -1) -> None:
        content = bytearray(path.read_bytes())
        content[at] ^= 1
        path.write_bytes(content)

    @pytest.mark.parametrize(
        ("name", "index", "why"),
        [
            ("tile/0/000", 255, "inconsistent tile"),
            ("tile/0/002.p/188", 699, "inconsistent tile"),
            ("tile/1/000.p/2", 0, "inconsistent tile"),
            ("tile/entries/001", 511, "entry 511: "),
            ("tile/entries/002.p/188", 699, "entry 699: "),
        ],
    )
    def test_a_turned_bit_in_a_file_is_found(
        self, program: Path, log: Log, copy: Path, name: str, index: int, why: str
    ) -> None:
        self.turned(copy / name)
        assert why in refused(program, "-log", copy, "-vkey", log.key.vkey, "-index", str(index))

    def test_a_missing_tile_is_found(self, program: Path, log: Log, copy: Path) -> None:
        (copy / "tile/0/001").unlink()
        refused(program, "-log", copy, "-vkey", log.key.vkey, "-index", "300")

    @pytest.mark.parametrize(
        "bend",
        [
            lambda content: content.replace(b"\n700\n", b"\n699\n"),
            lambda content: content.replace(b"/2026\n", b"/2027\n", 1),
            lambda content: content[:-4] + bytes([content[-4] ^ 1]) + content[-3:],
            lambda content: content[: content.index(b"\n\n") + 2],
            lambda _: b"",
        ],
        ids=["size", "origin", "signature", "unsigned", "empty"],
    )
    def test_a_bent_checkpoint_is_none_of_the_log(
        self, program: Path, log: Log, copy: Path, bend: Callable[[bytes], bytes]
    ) -> None:
        before = (copy / "checkpoint").read_bytes()
        (copy / "checkpoint").write_bytes(bend(before))
        assert (copy / "checkpoint").read_bytes() != before
        assert "checkpoint: " in refused(program, "-log", copy, "-vkey", log.key.vkey)

    def test_another_key_opens_nothing(self, program: Path, log: Log) -> None:
        other = key_of(7, log.key.name, 1)[1]
        assert "no verifiable signatures" in refused(program, "-log", log.directory, "-vkey", other.vkey)

    def test_a_key_whose_number_is_bent_is_none(self, program: Path, log: Log) -> None:
        name, number, rest = log.key.vkey.split("+", 2)
        bent = f"{name}+{'0' * len(number)}+{rest}"
        assert "invalid verifier hash" in refused(program, "-log", log.directory, "-vkey", bent)

    def test_another_history_that_the_log_signed_is_a_fork(self, program: Path, tmp_path: Path) -> None:
        directory = write_log(log_of(300), tmp_path / "log")
        lie = tmp_path / "lie"
        forked = Checkpoint(ORIGIN, 200, bytes(32))
        lie.write_bytes(signed_checkpoint(forked, LOG_KEY, LOG_PRIVATE.sign).content)
        words = ("-log", directory, "-vkey", LOG_KEY.vkey)
        assert f"{lie}: invalid transparency proof" in refused(program, *words, "-older", lie)
        beyond = tmp_path / "beyond"
        beyond.write_bytes(log_of(301).note().content)
        assert "301 entries is not the beginning of one of 300" in refused(program, *words, "-older", beyond)

    def test_a_bent_evidence_file_is_none(self, program: Path, log: Log, tmp_path: Path) -> None:
        file = evidence(log, tmp_path, 270)
        honest = file.read_text(encoding="utf-8")
        other = base64_text(bytes(32))
        hash_line = honest.split("index 270\\n")[1][:44]
        bent = {
            honest.replace("desk-270", "desk-271"): "entry 270: invalid transparency proof",
            honest.replace("index 270", "index 271"): "entry 271: invalid transparency proof",
            honest.replace("index 270", "index 700"): "there is no entry 700 of 700",
            honest.replace(hash_line, other): "entry 270: invalid transparency proof",
            honest.replace(hash_line, "AAAA"): "the proof holds what is no hash",
            honest.replace("\\n700\\n", "\\n699\\n"): "signature",
            honest.replace("tlog-proof@v1", "tlog-proof@v2"): "that is no proof file",
            "{}": "that is no proof file",
            "no": "invalid character",
        }
        assert honest not in bent
        assert len(bent) == 9
        for content, why in bent.items():
            file.write_text(content, encoding="utf-8")
            assert why in refused(program, "-vkey", log.key.vkey, "-evidence", file)

    def test_an_entry_of_another_log_is_not_found(self, program: Path, log: Log, tmp_path: Path) -> None:
        file = evidence(log, tmp_path, 270, 300)
        directory = write_log(log_of(100), tmp_path / "log")
        words = ("-evidence", file, "-log", directory, "-vkey", log.key.vkey)
        assert f"{directory}/checkpoint: " in refused(program, *words)


def test_without_key_or_anything_to_check_it_says_how(program: Path, log: Log) -> None:
    for words in ([], ["-vkey", log.key.vkey], ["-log", log.directory], ["-vkey", "x", "-log", "x", "more"]):
        done = run(program, *words)
        assert (done.returncode, "-evidence string" in done.stderr) == (2, True)


def test_it_is_written_as_go_is_written(tmp_path: Path) -> None:
    formatted = run(toolchain() / "gofmt", "-l", EXAMPLE)
    assert (formatted.returncode, formatted.stdout) == (0, "")
    assert go_environment(tmp_path)["GOPROXY"] == "off"
