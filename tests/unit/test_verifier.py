"""The verifier says of each check whether it holds, fails, or was not asked for, and never raises."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.evidence.checkpoint import signed_checkpoint
from broker.evidence.reasons import ALL_REASONS, REASONS, EvidenceInvalid
from broker.evidence.signed_note import COSIGNATURE, LOG_SIGNATURE, base64_text
from broker.evidence.timestamps import OpenToken, Stamped, TimeStamp, parse_consistency
from broker.evidence.verifier import CHECK_NAMES, Opening, Trust, Verification, verified
from tests.evidence_entries import (
    PAYLOAD,
    PAYLOAD_SALT,
    SUBJECT,
    SUBJECT_SALT,
    one_of_each_kind,
    refusal,
    release,
)
from tests.evidence_log import LOG_KEY, WITNESS_KEYS, MemoryLog, key_of, log_of

LOG: Final = log_of(20)
PROOF: Final = LOG.proof_file(7, 2)
TRUST: Final = Trust([LOG_KEY], WITNESS_KEYS, 2)
PERSON: Final = Opening(SUBJECT_SALT, SUBJECT)
ANSWER: Final = Opening(PAYLOAD_SALT, PAYLOAD)
STAMPED: Final = Stamped(datetime(2026, 11, 22, 5, tzinfo=UTC), "1.2.3", "CN=Authority")


def over(content: bytes) -> OpenToken:
    """Return what opens a token over bytes, and over nothing else."""

    def opened(told: bytes) -> Stamped:
        if told != content:
            raise EvidenceInvalid("timestamp_differs")
        return STAMPED

    return opened


STAMP: Final = TimeStamp(over(LOG.note().content))


def results(said: Verification) -> dict[str, str]:
    assert tuple(one.name for one in said.checks) == CHECK_NAMES
    assert all((one.result == "fails") == (one.reason is not None) for one in said.checks)
    return {one.name: one.result if one.reason is None else one.reason for one in said.checks}


def test_everything_that_is_asked_holds() -> None:
    said = verified(release(7), PROOF, TRUST, data_subject=PERSON, payload=ANSWER, timestamp=STAMP)
    assert set(results(said).values()) == {"holds"}
    assert said.stamped == STAMPED
    assert said.holds
    assert said.reasons == ()
    assert (said.leaf_index, said.entry and said.entry["request_id"]) == (7, "desk-7")
    assert said.proven is not None
    assert said.proven.checkpoint == LOG.checkpoint()
    assert [one.witness for one in said.witnesses] == WITNESS_KEYS[:2]


def test_what_is_not_asked_is_not_checked_and_hinders_nothing() -> None:
    said = verified(release(7), PROOF, Trust([LOG_KEY]))
    assert said.holds
    assert {name for name, result in results(said).items() if result == "not_checked"} == {
        "witnesses",
        "timestamp",
        "data_subject",
        "payload",
    }
    assert said.stamped is None


@pytest.mark.parametrize("kind", one_of_each_kind())
def test_entries_of_each_kind_are_proven(kind: str) -> None:
    entry = one_of_each_kind()[kind]
    log = MemoryLog()
    log.append([release(0), entry])
    said = verified(entry, log.proof_file(1), Trust([LOG_KEY]))
    assert said.holds
    assert said.entry is not None
    assert said.entry["kind"] == kind


def test_another_entry_fails_where_it_should_and_nowhere_else() -> None:
    said = verified(release(8), PROOF, TRUST, data_subject=PERSON, payload=ANSWER)
    assert said.reasons == ("inclusion_not_proven",)
    assert not said.holds


@pytest.mark.parametrize(
    ("person", "answer", "reasons"),
    [
        (replace(PERSON, content=b"someone-else"), ANSWER, ("data_subject_differs",)),
        (replace(PERSON, salt=PAYLOAD_SALT), ANSWER, ("data_subject_differs",)),
        (replace(PERSON, salt=b""), ANSWER, ("data_subject_differs",)),
        (PERSON, replace(ANSWER, content=PAYLOAD + b" "), ("payload_differs",)),
        (ANSWER, PERSON, ("data_subject_differs", "payload_differs")),
    ],
)
def test_a_commitment_opens_with_what_is_in_it_only(
    person: Opening, answer: Opening, reasons: tuple[str, ...]
) -> None:
    said = verified(release(7), PROOF, TRUST, data_subject=person, payload=answer)
    assert said.reasons == reasons
    assert not said.holds


def test_an_entry_that_commits_to_nobody_opens_with_nobody() -> None:
    log = MemoryLog()
    log.append([refusal()])
    said = verified(refusal(), log.proof_file(0), Trust([LOG_KEY]), data_subject=PERSON, payload=ANSWER)
    assert said.reasons == ("data_subject_differs", "payload_differs")
    export = one_of_each_kind()["export"]
    log.append([export])
    assert verified(export, log.proof_file(1), Trust([LOG_KEY]), data_subject=PERSON).reasons == (
        "data_subject_differs",
    )


def test_what_cannot_be_read_leaves_the_rest_unchecked() -> None:
    assert results(verified(release(7), b"rubbish", TRUST)) == {
        "entry_form": "holds",
        "proof_form": "proof_malformed",
        "log_signature": "not_checked",
        "witnesses": "not_checked",
        "timestamp": "not_checked",
        "inclusion": "not_checked",
        "data_subject": "not_checked",
        "payload": "not_checked",
    }
    said = verified(b"rubbish", PROOF, TRUST, data_subject=PERSON)
    assert results(said)["entry_form"] == "entry_not_canonical"
    assert results(said)["data_subject"] == "not_checked"
    assert said.entry is None
    assert not said.holds


def test_a_checkpoint_that_the_log_did_not_sign_proves_nothing() -> None:
    unsigned = PROOF.replace(LOG.note().signatures[0].line.encode(), b"")
    said = verified(release(7), unsigned, TRUST)
    assert said.reasons == ("checkpoint_unsigned",)
    assert results(said)["inclusion"] == results(said)["witnesses"] == "not_checked"
    assert said.proven is None
    assert not said.holds


def test_too_few_witnesses_are_told_apart_from_a_false_one() -> None:
    assert verified(release(7), PROOF, Trust([LOG_KEY], WITNESS_KEYS, 3)).reasons == ("witnesses_missing",)
    assert verified(release(7), PROOF, Trust([LOG_KEY], (), 1)).reasons == ("witnesses_missing",)
    foreign = LOG.note(1).signatures[1].line.encode()
    other = log_of(21).note(1).signatures[1].line.encode()
    said = verified(
        release(7), LOG.proof_file(7, 1).replace(foreign, other), Trust([LOG_KEY], WITNESS_KEYS, 1)
    )
    assert said.reasons == ("witness_signature_invalid",)


def test_an_entry_outside_every_schema_is_in_the_log_and_yet_no_evidence() -> None:
    log = MemoryLog()
    log.append([b'{"kind":"rumour"}'])
    said = verified(b'{"kind":"rumour"}', log.proof_file(0), Trust([LOG_KEY]))
    assert results(said)["inclusion"] == "holds"
    assert said.reasons == ("entry_kind_unknown",)
    assert not said.holds


@given(st.binary(max_size=200), st.binary(max_size=200), st.binary(max_size=40))
def test_whatever_is_handed_over_there_is_an_answer(entry: bytes, proof: bytes, salt: bytes) -> None:
    opening = Opening(salt, entry)
    said = verified(entry, proof, TRUST, data_subject=opening, payload=opening)
    assert not said.holds
    assert said.reasons


@given(st.integers(0, len(PROOF) - 1), st.integers(0, 7))
def test_no_bit_of_what_is_handed_over_can_be_turned(at: int, bit: int) -> None:
    changed = bytearray(PROOF)
    changed[at] ^= 1 << bit
    said = verified(release(7), bytes(changed), TRUST)
    assert not said.holds
    assert said.reasons


def test_a_witness_is_somebody_else_than_the_log() -> None:
    with pytest.raises(ValueError, match="a log's key"):
        Trust(WITNESS_KEYS)
    with pytest.raises(ValueError, match="a witness's key"):
        Trust([LOG_KEY], [LOG_KEY])
    with pytest.raises(ValueError, match="a witness's key"):
        Trust([LOG_KEY], [replace(LOG_KEY, kind=COSIGNATURE)])


def test_every_reason_has_its_words_and_they_are_one_list() -> None:
    assert tuple(REASONS) == ALL_REASONS
    assert len(set(REASONS.values())) == len(REASONS)


def test_a_detail_holds_nothing_that_a_terminal_would_obey() -> None:
    broken = EvidenceInvalid("entry_schema", "\x1b[2Jmembers\n" + "x" * 400)
    assert broken.detail == "?[2Jmembers?" + "x" * 188
    assert str(broken) == f"entry_schema: {broken.detail}"


class TestTimeStamps:
    """A stamp is over the proof's checkpoint, or over one whose tree begins with it."""

    LATER: Final = log_of(300)

    def of(self, stamp: TimeStamp, trust: Trust = TRUST) -> tuple[str, Stamped | None]:
        said = verified(release(7), PROOF, trust, timestamp=stamp)
        assert said.holds is (results(said)["timestamp"] == "holds")
        return results(said)["timestamp"], said.stamped

    @pytest.mark.parametrize("cosigned", [0, 1, 2])
    def test_the_logs_own_lines_are_enough_and_so_is_the_proofs_own_note(self, cosigned: int) -> None:
        said = self.of(TimeStamp(over(LOG.note(cosigned).content)))
        # PROOF has two cosignatures: a stamp over the checkpoint with one of them is over other bytes.
        assert said == (("timestamp_differs", None) if cosigned == 1 else ("holds", STAMPED))

    def test_another_checkpoint_is_not_the_proofs(self) -> None:
        assert self.of(TimeStamp(over(self.LATER.note().content))) == ("timestamp_differs", None)

    def test_why_the_token_does_not_hold_is_told(self) -> None:
        def untrusted(_: bytes) -> Stamped:
            raise EvidenceInvalid("timestamp_untrusted")

        assert self.of(TimeStamp(untrusted)) == ("timestamp_untrusted", None)

    def test_a_later_checkpoint_does_with_the_proof_that_leads_there(self) -> None:
        content = self.LATER.note().content
        proof = self.LATER.tiles().consistency_proof(20)
        assert self.of(TimeStamp(over(content), content, proof)) == ("holds", STAMPED)
        assert self.of(TimeStamp(over(content), content, proof[:-1]))[0] == "consistency_not_proven"
        assert self.of(TimeStamp(over(content), content))[0] == "consistency_not_proven"
        assert self.of(TimeStamp(over(b"else"), content, proof)) == ("timestamp_differs", None)

    def test_the_same_tree_needs_no_proof(self) -> None:
        content = LOG.note(1).content
        assert self.of(TimeStamp(over(content), content)) == ("holds", STAMPED)

    def test_an_earlier_checkpoint_says_nothing_of_the_proofs(self) -> None:
        content = log_of(19).note().content
        proof = LOG.tiles().consistency_proof(19)
        assert self.of(TimeStamp(over(content), content, proof))[0] == "consistency_not_proven"

    def test_a_checkpoint_that_the_log_did_not_sign_is_none_of_it(self) -> None:
        forged = LOG.note().content.replace(b"20\n", b"21\n", 1)
        assert self.of(TimeStamp(over(forged), forged))[0] == "log_signature_invalid"
        assert self.of(TimeStamp(over(b"x"), b"x"))[0] == "note_malformed"

    def test_another_logs_checkpoint_is_none_of_it(self) -> None:
        private, key = key_of(9, "audit.other.example/2026", LOG_SIGNATURE)
        checkpoint = replace(LOG.checkpoint(), origin=key.name)
        content = signed_checkpoint(checkpoint, key, private.sign).content
        trust = Trust([LOG_KEY, key], WITNESS_KEYS, 2)
        assert self.of(TimeStamp(over(content), content), trust)[0] == "timestamp_differs"

    def test_without_the_logs_signature_no_stamp_counts(self) -> None:
        other = Trust([key_of(5, LOG_KEY.name, LOG_SIGNATURE)[1]])
        assert results(verified(release(7), PROOF, other, timestamp=STAMP))["timestamp"] == "not_checked"

    def test_proofs_of_consistency_are_read_as_the_log_serves_them(self) -> None:
        proof = self.LATER.tiles().consistency_proof(20)
        served = "".join(f"{base64_text(one)}\n" for one in proof)
        assert parse_consistency(served) == proof
        assert parse_consistency("") == ()
        for content in (served[:-1], served + "\n", "x\n", served * 40):
            with pytest.raises(EvidenceInvalid, match="proof_malformed"):
                parse_consistency(content)
