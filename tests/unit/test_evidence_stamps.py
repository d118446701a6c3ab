"""`broker evidence` with time stamps of a real authority: what verify and audit say of good and bad ones."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from broker.cli import main
from broker.cli.audit_words import AUDIT
from broker.cli.demo_authority import POLICY
from broker.cli.evidence_words import HOLDS, REASONS
from broker.evidence.checkpoint import Checkpoint, signed_checkpoint
from broker.evidence.evidence_file import EvidenceFile
from broker.evidence.signed_note import base64_text
from broker.storage.log_timestamps import NEWEST, TimestampFiles, note_path, token_path
from tests.evidence_entries import release
from tests.evidence_log import LOG_KEY, LOG_PRIVATE, ORIGIN, WITNESS_KEYS, MemoryLog, write_log
from tests.timestamp_place import NAME, StampPlace, needs_openssl
from tests.witness_place import grown_by

pytestmark = needs_openssl


@dataclass
class Stamped:
    """A log of 300 entries, stamped at 100, 200 and 300. tokens: made once for the module."""

    directory: Path
    place: StampPlace
    log: MemoryLog

    @property
    def files(self) -> TimestampFiles:
        return TimestampFiles(self.directory)

    @property
    def trusted(self) -> list[str | Path]:
        return ["--vkey", LOG_KEY.vkey, "--timestamp-roots", self.place.root_file]

    def put(self, path: str, content: bytes) -> None:
        file = self.directory / path
        file.unlink(missing_ok=True)
        file.write_bytes(content)

    def evidence(self, size: int, leaf_index: int, witness_count: int = 0) -> Path:
        """Return an evidence file of an entry, proven in the tree of a size."""
        log = grown_by(MemoryLog(), size)
        path = self.directory.parent / f"{leaf_index}-{size}.evidence.json"
        proof = log.proof_file(leaf_index, witness_count)
        keys = tuple(WITNESS_KEYS[:witness_count])
        path.write_bytes(EvidenceFile(release(leaf_index), proof, None, None, (LOG_KEY,), keys).content)
        return path

    def audit(self, *more: str | Path) -> tuple[int, dict[str, Any]]:
        result = run("audit", "--tiles", self.directory, *self.trusted, "--json", "--lang", "en", *more)
        return result.exit_code, json.loads(result.stdout)


def run(*words: str | Path) -> Result:
    return CliRunner().invoke(main, ["evidence", *map(str, words)], catch_exceptions=False)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> StampPlace:
    return StampPlace(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def made(place: StampPlace) -> dict[int, tuple[bytes, bytes]]:
    """Stamped checkpoints and their tokens, by size."""
    notes = {size: grown_by(MemoryLog(), size).note().content for size in (100, 200, 300)}
    return {size: (note, place.token(note)) for size, note in notes.items()}


@pytest.fixture
def stamped(place: StampPlace, made: dict[int, tuple[bytes, bytes]], tmp_path: Path) -> Stamped:
    log = grown_by(MemoryLog(), 300)
    directory = write_log(log, tmp_path / "log", witness_count=2)
    files = TimestampFiles(directory)
    for size, (note, token) in made.items():
        files.keep(size, note, token)
    return Stamped(directory, place, log)


def findings(told: dict[str, Any]) -> list[tuple[str, str]]:
    return [(one["reason"], one["place"]) for one in told["findings"]]


class TestVerify:
    def test_since_when_the_checkpoint_existed_is_told_in_a_sentence(self, stamped: Stamped) -> None:
        token = stamped.directory / token_path(300)
        # Cosigned meanwhile: the stamp is over the checkpoint as its log alone had signed it.
        words = ("verify", stamped.evidence(300, 270, 2), "--timestamp", token, *stamped.trusted)
        told = json.loads(run(*words, "--json").stdout)[0]
        at = told["timestamp"]["at"]
        assert (told["holds"], told["timestamp"]) == (True, {"at": at, "policy": POLICY, "authority": NAME})
        assert abs(datetime.fromisoformat(at) - datetime.now(UTC)).total_seconds() < 3600
        english = run(*words, "--lang", "en")
        assert english.exit_code == 0
        assert HOLDS["timestamp"].en in english.stdout
        assert (
            f"the checkpoint existed at {at} at the latest: that is what the time stamp of {NAME} says"
            in english.stdout
        )
        vietnamese = run(*words)
        assert f"điểm kiểm tra đã có muộn nhất lúc {at}, theo dấu thời gian của {NAME}" in vietnamese.stdout

    def test_a_later_stamp_does_with_what_leads_there(self, stamped: Stamped, tmp_path: Path) -> None:
        proof = tmp_path / "consistency"
        proof.write_text(
            "".join(f"{base64_text(one)}\n" for one in stamped.log.tiles().consistency_proof(250))
        )
        words: list[str | Path] = [
            "verify", stamped.evidence(250, 7), "--lang", "en", *stamped.trusted,
            "--timestamp", stamped.directory / token_path(300),
        ]  # fmt: skip
        alone = run(*words)
        assert alone.exit_code == 1
        assert REASONS["timestamp_differs"].en in alone.stdout
        words += ["--timestamp-checkpoint", stamped.directory / note_path(300)]
        assert REASONS["consistency_not_proven"].en in run(*words).stdout
        words += ["--timestamp-consistency", proof]
        whole = run(*words)
        assert (whole.exit_code, NAME in whole.stdout) == (0, True)

    def test_what_does_not_hold_is_told_and_nothing_is_repeated_of_it(
        self, stamped: Stamped, tmp_path: Path
    ) -> None:
        stranger = StampPlace(tmp_path / "stranger").root_file
        token = stamped.directory / token_path(300)
        evidence = stamped.evidence(300, 270)
        words = ("verify", evidence, "--vkey", LOG_KEY.vkey, "--lang", "en", "--timestamp", token)
        failed = run(*words, "--timestamp-roots", stranger)
        assert failed.exit_code == 1
        assert REASONS["timestamp_untrusted"].en in failed.stdout
        assert "existed at" not in failed.stdout
        other = run(*words, "--timestamp-roots", stamped.place.root_file, "--timestamp-policy", "1.2.3")
        assert (other.exit_code, REASONS["timestamp_policy"].en in other.stdout) == (1, True)
        token.chmod(0o644)
        token.write_bytes(b"no token")
        none = run(*words, "--timestamp-roots", stamped.place.root_file)
        assert (none.exit_code, REASONS["timestamp_malformed"].en in none.stdout) == (1, True)

    @pytest.mark.parametrize(
        ("more", "words"),
        [
            (["--timestamp", "{token}"], "say whose time stamps count: --timestamp-roots"),
            (["--timestamp-roots", "{roots}"], "say which time stamp: --timestamp"),
            (["--timestamp", "{token}", "--timestamp-roots", "{token}"], "300.tsr: no"),
            (["--timestamp", "{none}", "--timestamp-roots", "{roots}"], "none: No such file or directory"),
            (["--timestamp", "{token}", "--timestamp-policy", "1.2"], "goes with --timestamp-roots"),
            (
                [
                    *("--timestamp", "{token}", "--timestamp-roots", "{roots}"),
                    *("--timestamp-consistency", "{none}"),
                ],
                "--timestamp-consistency goes with --timestamp-checkpoint",
            ),
            (
                [
                    *("--timestamp", "{token}", "--timestamp-roots", "{roots}"),
                    *("--timestamp-checkpoint", "{roots}", "--timestamp-consistency", "{roots}"),
                ],
                "root.pem",
            ),
        ],
    )  # fmt: skip
    def test_half_of_it_is_wrong_usage(self, stamped: Stamped, more: list[str], words: str) -> None:
        places = {
            "token": stamped.directory / token_path(300),
            "roots": stamped.place.root_file,
            "none": stamped.directory / "none",
        }
        given = [one.format(**places) for one in more]
        result = run("verify", stamped.evidence(300, 270), "--vkey", LOG_KEY.vkey, *given)
        assert (result.exit_code, words in result.stderr) == (2, True), result.stderr


class TestAudit:
    def test_all_of_them_are_checked_and_told(self, stamped: Stamped) -> None:
        code, told = stamped.audit("--timestamp-policy", POLICY)
        assert (code, told["findings"], told["timestamps"]["count"]) == (0, [], 3)
        first, last = told["timestamps"]["first"], told["timestamps"]["last"]
        assert (first["tree_size"], last["tree_size"]) == (100, 300)
        text = run("audit", "--tiles", stamped.directory, *stamped.trusted, "--lang", "en").stdout
        assert (
            f"3 time stamps, the first over size 100 at {first['at']}, the last over size 300 at {last['at']}"
            in text
        )

    def test_without_roots_nobody_looks(self, stamped: Stamped) -> None:
        stamped.put(token_path(200), b"no token")
        result = run("audit", "--tiles", stamped.directory, "--vkey", LOG_KEY.vkey, "--json")
        assert (result.exit_code, json.loads(result.stdout)["timestamps"]) == (0, None)

    def test_where_there_are_none_that_is_told(self, place: StampPlace, tmp_path: Path) -> None:
        directory = write_log(grown_by(MemoryLog(), 9), tmp_path / "log")
        bare = Stamped(directory, place, MemoryLog())
        code, told = bare.audit()
        assert (code, told["findings"], told["timestamps"]) == (0, [], {"count": 0})
        text = run("audit", "--tiles", directory, *bare.trusted, "--lang", "en").stdout
        assert AUDIT["unstamped"].en in text

    def test_each_that_does_not_hold_is_named(self, stamped: Stamped, made: Any) -> None:
        stamped.put(token_path(100), made[200][1])
        stamped.put(token_path(200), b"no token")
        (stamped.directory / note_path(300)).unlink()
        code, told = stamped.audit()
        assert code == 1
        assert findings(told) == [
            ("timestamp_differs", token_path(100)),
            ("timestamp_malformed", token_path(200)),
            ("timestamp_malformed", token_path(300)),
        ]
        assert told["timestamps"] == {"count": 0}

    def test_the_newest_that_is_told_of_must_be_there(self, stamped: Stamped) -> None:
        stamped.put(NEWEST, grown_by(MemoryLog(), 250).note().content)
        assert findings(stamped.audit()[1]) == [("timestamp_malformed", token_path(250))]
        stamped.put(NEWEST, b"nothing")
        assert findings(stamped.audit()[1]) == [("note_malformed", NEWEST)]

    def test_authorities_that_nobody_trusts_count_for_nothing(self, stamped: Stamped, tmp_path: Path) -> None:
        stamped.place = StampPlace(tmp_path / "stranger")
        code, told = stamped.audit()
        assert code == 1
        assert [reason for reason, _ in findings(told)] == ["timestamp_untrusted"] * 3

    def test_a_stamped_checkpoint_of_another_history_is_a_fork(self, stamped: Stamped) -> None:
        lie = signed_checkpoint(Checkpoint(ORIGIN, 200, bytes(32)), LOG_KEY, LOG_PRIVATE.sign).content
        stamped.put(note_path(200), lie)
        stamped.put(token_path(200), stamped.place.token(lie))
        code, told = stamped.audit()
        assert (code, [one["reason"] for one in told["findings"]]) == (1, ["checkpoint_forked"])
        assert told["findings"][0]["number"] == 200

    def test_a_stamped_checkpoint_beyond_the_log_is_an_entry_taken_away(self, stamped: Stamped) -> None:
        note = grown_by(MemoryLog(), 310).note().content
        stamped.files.keep(310, note, stamped.place.token(note))
        code, told = stamped.audit()
        assert (code, [one["reason"] for one in told["findings"]]) == (1, ["checkpoint_beyond_log"])

    def test_one_that_the_log_never_signed_is_none_of_it(self, stamped: Stamped) -> None:
        forged = grown_by(MemoryLog(), 200).note().content.replace(b"\n200\n", b"\n201\n")
        stamped.files.keep(201, forged, stamped.place.token(forged))
        stamped.files.keep(202, stamped.log.note().content, stamped.place.token(stamped.log.note().content))
        assert findings(stamped.audit()[1]) == [
            ("log_signature_invalid", token_path(201)),
            ("timestamp_differs", token_path(202)),
        ]

    def test_who_goes_on_looks_at_the_new_ones_alone(self, stamped: Stamped, tmp_path: Path) -> None:
        stamped.put(token_path(100), b"no token")
        kept = tmp_path / "kept.checkpoint"
        kept.write_bytes(grown_by(MemoryLog(), 150).note().content)
        write_log(grown_by(MemoryLog(), 150), stamped.directory)
        write_log(stamped.log, stamped.directory)
        code, told = stamped.audit("--checkpoint", kept, "--since", "150")
        assert (code, told["timestamps"]["count"], told["entries_read"]) == (0, 2, 150)

    def test_no_certificate_is_no_trust(self, stamped: Stamped) -> None:
        none = stamped.directory / note_path(100)
        result = run("audit", "--tiles", stamped.directory, "--vkey", LOG_KEY.vkey, "--timestamp-roots", none)
        assert (result.exit_code, "no certificate in PEM" in result.stderr) == (2, True)
