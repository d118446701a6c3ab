"""`broker evidence verify`: what it says of good and of bad evidence, and how it exits."""

from __future__ import annotations

import base64
import json
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import pytest
from click.testing import CliRunner, Result

from broker.cli import main
from broker.cli.demo_steps import Words
from broker.cli.evidence_words import HOLDS, NOT_CHECKED, REASONS, RESULTS, VERIFY
from broker.evidence.evidence_file import EvidenceFile, Sealed
from broker.evidence.reasons import ALL_REASONS
from broker.evidence.signed_note import COSIGNATURE
from broker.evidence.verifier import CHECK_NAMES
from tests.evidence_entries import PAYLOAD, PAYLOAD_SALT, SUBJECT, SUBJECT_SALT, release
from tests.evidence_log import LOG_KEY, ORIGIN, WITNESS_KEYS, key_of, log_of

LOG: Final = log_of(300)
WHOLE: Final = EvidenceFile(
    release(270),
    LOG.proof_file(270, witness_count=2),
    Sealed(SUBJECT_SALT, SUBJECT),
    Sealed(PAYLOAD_SALT, PAYLOAD),
    (LOG_KEY,),
    tuple(WITNESS_KEYS),
    2,
)
ALL_BUT_A_STAMP: Final = {**dict.fromkeys(CHECK_NAMES, "holds"), "timestamp": "not_checked"}
OTHER_KEY: Final = key_of(77, ORIGIN, 1)[1]


def run(*arguments: str | Path, typed: str | None = None) -> Result:
    words = ["evidence", "verify", *map(str, arguments)]
    return CliRunner().invoke(main, words, input=typed, catch_exceptions=False)


def in_json(*arguments: str | Path) -> tuple[int, list[dict[str, Any]]]:
    result = run("--json", "--lang", "en", *arguments)
    return result.exit_code, json.loads(result.stdout)


def results(told: dict[str, Any]) -> dict[str, str]:
    return {one["name"]: one["result"] for one in told["checks"]}


def reasons(told: dict[str, Any]) -> list[str]:
    return [one["reason"] for one in told["checks"] if one["reason"]]


@pytest.fixture
def keep(tmp_path: Path) -> Any:
    def kept(content: bytes | EvidenceFile, name: str = "my.evidence.json") -> Path:
        path = tmp_path / name
        path.write_bytes(content.content if isinstance(content, EvidenceFile) else content)
        return path

    return kept


def test_every_check_and_every_reason_has_words_in_both_languages() -> None:
    assert set(REASONS) == set(ALL_REASONS)
    assert set(HOLDS) == set(NOT_CHECKED) == set(CHECK_NAMES)
    tables: tuple[Any, ...] = (REASONS, HOLDS, NOT_CHECKED, RESULTS, VERIFY)
    told: list[Words] = [words for table in tables for words in table.values()]
    assert [words for words in told if not (words.vi and words.en) or words.vi == words.en] == []
    sentences = [words for table in tables[:3] for words in table.values()]
    assert [one for words in sentences for one in (words.vi, words.en) if not one.endswith(".")] == []


def test_whole_evidence_holds_in_every_check(keep: Any) -> None:
    code, [told] = in_json(keep(WHOLE), "--vkey", LOG_KEY.vkey)
    assert code == 0
    assert (told["holds"], told["keys_from"], told["leaf_index"]) == (True, "arguments", 270)
    assert results(told) == ALL_BUT_A_STAMP
    assert told["timestamp"] is None
    assert told["checkpoint"]["origin"] == ORIGIN
    assert told["checkpoint"]["tree_size"] == 300
    assert told["witnesses"] == [{"name": key.name, "at": "2026-09-21T14:13:20Z"} for key in WITNESS_KEYS[:2]]
    assert told["entry"]["reference"] == json.loads(release(270))["reference"]


def test_it_says_so_in_plain_words_and_in_both_languages(keep: Any) -> None:
    path = keep(WHOLE)
    vi, en = run(path, "--vkey", LOG_KEY.vkey), run(path, "--vkey", LOG_KEY.vkey, "--lang", "en")
    assert (vi.exit_code, en.exit_code) == (0, 0)
    for name in CHECK_NAMES:
        words = NOT_CHECKED[name] if name == "timestamp" else HOLDS[name]
        assert words.vi in vi.stdout
        assert words.en in en.stdout
    assert VERIFY["all_hold"].vi in vi.stdout
    assert f"entry 270 of the 300 in {ORIGIN}" in en.stdout
    assert "witness witness.example/w0 at 2026-09-21T14:13:20Z" in en.stdout
    assert VERIFY["keys_from_file"].en not in en.stdout


def test_keys_that_came_along_are_named_as_such(keep: Any) -> None:
    path = keep(WHOLE)
    assert in_json(path)[1][0]["keys_from"] == "file"
    assert VERIFY["keys_from_file"].en in run(path, "--lang", "en").stdout


def test_another_key_than_the_logs_is_not_talked_over_by_the_file(keep: Any) -> None:
    code, [told] = in_json(keep(WHOLE), "--vkey", OTHER_KEY.vkey)
    assert (code, reasons(told), results(told)["inclusion"]) == (1, ["checkpoint_unsigned"], "not_checked")
    assert told["checkpoint"] is None


def test_a_changed_entry_fails_with_one_sentence_and_none_of_it_is_repeated_as_a_fact(keep: Any) -> None:
    forged = replace(WHOLE, entry=release(270).replace(b"desk-270", b"desk-271"))
    result = run(keep(forged), "--vkey", LOG_KEY.vkey, "--lang", "en")
    assert result.exit_code == 1
    [line] = [one for one in result.stdout.splitlines() if "FAILS" in one]
    words = f"{REASONS['inclusion_not_proven'].en} (the hashes lead to another root)"
    assert " ".join(line.split()) == f"FAILS inclusion {words}"
    assert VERIFY["not_proven"].en in result.stdout
    assert "kind release" not in result.stdout


def test_whom_it_is_about_can_be_tested_with_another_identifier_unseen(keep: Any) -> None:
    path = keep(replace(WHOLE, data_subject=Sealed(SUBJECT_SALT)))
    code, [told] = in_json(path, "--vkey", LOG_KEY.vkey)
    assert (code, results(told)["data_subject"]) == (0, "not_checked")
    for identifier, code, result in ((SUBJECT.decode(), 0, "holds"), ("somebody-else", 1, "fails")):
        answered = run(path, "--json", "--vkey", LOG_KEY.vkey, "--identifier", "-", typed=identifier + "\n")
        assert answered.exit_code == code
        assert identifier not in answered.stderr + answered.stdout
        assert results(json.loads(answered.stdout)[0])["data_subject"] == result


@pytest.mark.parametrize(
    "spelt",
    [SUBJECT_SALT, SUBJECT_SALT.hex().encode() + b"\n", base64.b64encode(SUBJECT_SALT)],
    ids=["bytes", "hex", "base64"],
)
def test_entry_proof_and_salts_may_lie_in_files_of_their_own(keep: Any, spelt: bytes) -> None:
    arguments = [
        keep(release(270), "entry.json"), "--proof", keep(WHOLE.proof, "entry.tlog-proof"),
        "--vkey", keep(f"\n{LOG_KEY.vkey}\n".encode(), "log.vkey"),
        "--witness-vkey", WITNESS_KEYS[0].vkey, "--witness-vkey", WITNESS_KEYS[1].vkey,
        "--data-subject-salt", keep(spelt, "subject.salt"), "--identifier", SUBJECT.decode(),
        "--payload-salt", keep(PAYLOAD_SALT, "payload.salt"), "--payload", keep(PAYLOAD, "answer.json"),
    ]  # fmt: skip
    code, [told] = in_json(*arguments)
    assert (code, results(told)) == (0, ALL_BUT_A_STAMP)


def test_a_payload_beside_the_file_wins_over_the_one_in_it(keep: Any) -> None:
    other = keep(b'{"hi_card":"HC4797900000000"}', "answer.json")
    code, [told] = in_json(keep(WHOLE), "--vkey", LOG_KEY.vkey, "--payload", other)
    assert (code, reasons(told)) == (1, ["payload_differs"])


@pytest.mark.parametrize(
    ("options", "code", "found"),
    [
        ((), 0, []),
        (("--witnesses-needed", "3"), 1, ["witnesses_missing"]),
        (("--witness-vkey", WITNESS_KEYS[2].vkey), 1, ["witnesses_missing"]),
        (("--witness-vkey", WITNESS_KEYS[0].vkey, "--witness-vkey", WITNESS_KEYS[2].vkey), 1,
         ["witnesses_missing"]),
        (("--witness-vkey", WITNESS_KEYS[0].vkey, "--witness-vkey", WITNESS_KEYS[2].vkey,
          "--witnesses-needed", "1"), 0, []),
    ],
)  # fmt: skip
def test_who_must_have_witnessed_is_asked_for(
    keep: Any, options: tuple[str, ...], code: int, found: list[str]
) -> None:
    exit_code, [told] = in_json(keep(WHOLE), "--vkey", LOG_KEY.vkey, *options)
    assert (exit_code, reasons(told)) == (code, found)


def test_several_files_are_each_told_and_the_worst_decides(keep: Any) -> None:
    good, bad = keep(WHOLE), keep(replace(WHOLE, entry=release(1)), "bad.json")
    code, told = in_json(good, bad, "--vkey", LOG_KEY.vkey)
    assert (code, [one["holds"] for one in told]) == (1, [True, False])
    code, told = in_json(bad, keep(b"{}", "none.json"), good, "--vkey", LOG_KEY.vkey)
    assert (code, [one["exit_code"] for one in told]) == (2, [1, 2, 0])
    assert (told[1]["reason"], told[1]["words"]) == ("file_malformed", VERIFY["unreadable"].en)


def test_what_cannot_be_read_is_said_and_exits_2(keep: Any, tmp_path: Path) -> None:
    path = keep(WHOLE)
    for arguments, words in (
        ([tmp_path / "none"], "No such file or directory"),
        ([keep(b"{", "no.json")], "this is no JSON"),
        ([keep(replace(WHOLE, log_keys=()), "keyless.json")], "no key of a log is given: --vkey"),
        ([path, "--data-subject-salt", keep(b"short", "s")], "a salt has 32 bytes"),
        ([path, "--proof", tmp_path / "none", "--vkey", LOG_KEY.vkey], "No such file or directory"),
        ([keep(release(1), "e"), "--proof", keep(WHOLE.proof, "p"), "--vkey", LOG_KEY.vkey,
          "--identifier", "x"], "nothing opens that commitment without its salt: --data-subject-salt"),
    ):  # fmt: skip
        result = run(*arguments)
        assert (result.exit_code, words in result.stdout) == (2, True), result.output
        assert VERIFY["unreadable"].vi in result.stdout


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--vkey", "a+b+c"), "'a+b+c' is no verifier key"),
        (("--vkey", WITNESS_KEYS[0].vkey), "the key of witness.example/w0 is a witness's"),
        (("--witness-vkey", LOG_KEY.vkey), f"the key of {ORIGIN} is a log's"),
        (("--vkey", "nowhere"), "nowhere: No such file or directory"),
        (("--proof", "p", "second"), "--proof goes with one FILE"),
        (("--witnesses-needed", "-1"), "-1 is not in the range"),
    ],
)
def test_wrong_keys_and_wrong_usage_exit_2(keep: Any, arguments: tuple[str, ...], words: str) -> None:
    result = run(keep(WHOLE), *arguments)
    assert (result.exit_code, words in result.stderr) == (2, True), result.stderr


def test_a_log_that_is_named_as_its_own_witness_is_said_and_exits_2(keep: Any) -> None:
    own = replace(LOG_KEY, kind=COSIGNATURE)
    code, [told] = in_json(keep(replace(WHOLE, witness_keys=(own,), witnesses_needed=1)))
    assert code == 2
    assert (told["reason"], told["detail"]) == ("key_malformed", "the log's own key is given as a witness's")
    assert run(keep(WHOLE), "--witness-vkey", own.vkey).exit_code == 2


def test_a_file_that_begins_evil_sequences_shows_no_control_characters(keep: Any) -> None:
    forged = replace(WHOLE, entry=b'{"kind":"release","\\u001b[2J":1}')
    result = run(keep(forged), "--vkey", LOG_KEY.vkey)
    assert result.exit_code == 1
    assert "\x1b" not in result.stdout
