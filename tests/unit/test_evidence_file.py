"""Evidence files: what is written is what is read, and nothing that is not of the form is taken."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.evidence.evidence_file import FILE_BYTES_MAX, EvidenceFile, Sealed, parse_evidence_file
from broker.evidence.reasons import EvidenceInvalid
from tests.evidence_entries import PAYLOAD, PAYLOAD_SALT, SUBJECT, SUBJECT_SALT, release
from tests.evidence_log import LOG_KEY, WITNESS_KEYS, log_of

LOG = log_of(5)
WHOLE = EvidenceFile(
    release(3),
    LOG.proof_file(3, witness_count=2),
    Sealed(SUBJECT_SALT, SUBJECT),
    Sealed(PAYLOAD_SALT, PAYLOAD),
    (LOG_KEY,),
    tuple(WITNESS_KEYS),
    2,
)


def members() -> dict[str, Any]:
    told: dict[str, Any] = json.loads(WHOLE.content)
    return told


@pytest.mark.parametrize(
    "written",
    [
        WHOLE,
        EvidenceFile(release(0), b"not checked here"),
        EvidenceFile(b"\xff\x00", b"x", Sealed(SUBJECT_SALT), Sealed(PAYLOAD_SALT), (LOG_KEY,)),
        EvidenceFile(
            "mục".encode(), b"x", Sealed(SUBJECT_SALT, "số 7".encode()), Sealed(SUBJECT_SALT, b"\0")
        ),
    ],
)
def test_what_is_written_is_read_again(written: EvidenceFile) -> None:
    assert parse_evidence_file(written.content) == written


def test_the_entry_stands_there_as_text_for_people() -> None:
    assert members()["entry"] == release(3).decode()
    assert members()["data_subject"]["identifier"] == SUBJECT.decode()


def refused(content: bytes) -> EvidenceInvalid:
    with pytest.raises(EvidenceInvalid) as fault:
        parse_evidence_file(content)
    return fault.value


def without(name: str) -> Callable[[dict[str, Any]], object]:
    return lambda told: told.pop(name)


@pytest.mark.parametrize(
    ("change", "detail"),
    [
        (lambda told: told.update(format="broker-evidence@v2"), "format is not broker-evidence@v1"),
        (without("format"), "format is not broker-evidence@v1"),
        (lambda told: told.update(comment="trust me"), "members differ: comment"),
        (without("payload"), "members differ: payload"),
        (without("entry"), "members differ: one of entry and entry_base64"),
        (lambda told: told.update(entry_base64="AA=="), "members differ: one of entry and entry_base64"),
        (lambda told: told.update(entry=7), "entry is text"),
        (lambda told: told.update(entry=""), "entry is text"),
        (lambda told: told.update(entry="\ud800"), "entry is text"),
        (lambda told: told.update(proof=None), "proof is text"),
        (lambda told: told.update(witnesses_needed=True), "witnesses_needed is a number"),
        (lambda told: told.update(witnesses_needed=-1), "witnesses_needed is a number"),
        (lambda told: told.update(data_subject="7"), "data_subject has salt and identifier, or is null"),
        (lambda told: told["payload"].pop("content"), "payload has salt and content, or is null"),
        (lambda told: told["payload"].update(content="?"), "this is no base64"),
        (lambda told: told["payload"].update(salt="AAAA"), "a salt has 32 bytes"),
        (lambda told: told["data_subject"].update(identifier=7), "identifier is text"),
        (lambda told: told.update(log_keys=LOG_KEY.vkey), "log_keys is a list of verifier keys"),
        (lambda told: told.update(witness_keys=[7]), "witness_keys is a list of verifier keys"),
        (lambda told: told.update(log_keys=[LOG_KEY.vkey] * 101), "log_keys is a list of verifier keys"),
    ],
)
def test_what_is_not_of_the_form_is_named(change: Callable[[dict[str, Any]], object], detail: str) -> None:
    told = members()
    change(told)
    fault = refused(json.dumps(told).encode())
    assert (fault.reason, fault.detail) == ("file_malformed", detail)


@pytest.mark.parametrize("key", ["log_keys", "witness_keys"])
def test_a_key_of_another_kind_stands_for_nobody(key: str) -> None:
    other = WITNESS_KEYS[0] if key == "log_keys" else LOG_KEY
    fault = refused(json.dumps({**members(), key: [other.vkey]}).encode())
    assert (fault.reason, fault.detail) == ("key_malformed", f"{key} has keys of another kind")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[]",
        b"null",
        b"\xff",
        b"[" * 100_000,
        WHOLE.content + b"x",
        b'{"format":"broker-evidence@v1",' + WHOLE.content.lstrip(b"{\n"),
        b" " * (FILE_BYTES_MAX + 1),
    ],
    ids=["nothing", "list", "null", "no-text", "deep", "more-behind", "twice", "long"],
)
def test_what_is_no_object_is_refused(content: bytes) -> None:
    assert refused(content).reason == "file_malformed"


@given(st.binary(max_size=200) | st.recursive(st.none() | st.integers() | st.text(), st.lists).map(
    lambda value: json.dumps({**members(), "payload": value}).encode()
))  # fmt: skip
def test_no_bytes_raise_anything_else(content: bytes) -> None:
    try:
        parse_evidence_file(content)
    except EvidenceInvalid as fault:
        assert fault.reason in ("file_malformed", "key_malformed")  # noqa: PT017 - what else it may be


def test_nothing_of_a_person_stands_in_what_python_shows_of_it() -> None:
    assert SUBJECT.decode() not in repr(WHOLE.data_subject)
    assert repr(SUBJECT_SALT) not in repr(WHOLE)
