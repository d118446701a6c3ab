"""Evidence files: one entry with all that somebody needs to check it, in one small JSON document.

A citizen downloads one and hands it to whoever is to check it; it opens the entry's commitments, so it tells
whom the entry is about. The keys in it are what the giver says: who distrusts the giver brings keys along.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from broker.evidence.canonical import SALT_BYTES
from broker.evidence.reasons import EvidenceInvalid
from broker.evidence.signed_note import (
    COSIGNATURE,
    LOG_SIGNATURE,
    VerifierKey,
    base64_bytes,
    base64_text,
    parse_vkey,
)

FORMAT: Final = "broker-evidence@v1"
FILE_BYTES_MAX: Final = 16_777_216
KEYS_MAX: Final = 100
_MEMBERS: Final = frozenset(
    {"format", "data_subject", "payload", "proof", "log_keys", "witness_keys", "witnesses_needed"}
)
_ENTRY_MEMBERS: Final = frozenset({"entry", "entry_base64"})


@dataclass(frozen=True, slots=True)
class Sealed:
    """The salt of a commitment, and what it was made of where the file tells that too. salt: 32 bytes."""

    salt: bytes = field(repr=False)
    content: bytes | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class EvidenceFile:
    """What an evidence file holds. entry, proof: bytes of the entry and of the proof file, nothing checked.

    data_subject, payload: None where the file does not open that commitment. witnesses_needed: how many of
    witness_keys are to have cosigned.
    """

    entry: bytes
    proof: bytes
    data_subject: Sealed | None = None
    payload: Sealed | None = None
    log_keys: Sequence[VerifierKey] = ()
    witness_keys: Sequence[VerifierKey] = ()
    witnesses_needed: int = 0

    @property
    def content(self) -> bytes:
        """The file as bytes. Raises ValueError where the proof is no text."""
        return json.dumps(
            {
                "format": FORMAT,
                **_entry_told(self.entry),
                "data_subject": _subject_told(self.data_subject),
                "payload": _payload_told(self.payload),
                "proof": self.proof.decode("utf-8"),
                "log_keys": [key.vkey for key in self.log_keys],
                "witness_keys": [key.vkey for key in self.witness_keys],
                "witnesses_needed": self.witnesses_needed,
            },
            ensure_ascii=False,
            indent=2,
        ).encode()


def parse_evidence_file(content: bytes) -> EvidenceFile:
    """Return an evidence file from its bytes. Nothing of entry and proof is verified yet.

    Raises EvidenceInvalid: file_malformed, and key_malformed for a key that is none.
    """
    told = _document(content)
    if told.get("format") != FORMAT:
        raise EvidenceInvalid("file_malformed", f"format is not {FORMAT}")
    members = told.keys() - _ENTRY_MEMBERS
    if members != _MEMBERS or len(told.keys() & _ENTRY_MEMBERS) != 1:
        named = ", ".join(sorted(members ^ _MEMBERS)) or "one of entry and entry_base64"
        raise EvidenceInvalid("file_malformed", f"members differ: {named}")
    needed = told["witnesses_needed"]
    if type(needed) is not int or not 0 <= needed <= KEYS_MAX:
        raise EvidenceInvalid("file_malformed", "witnesses_needed is a number")
    return EvidenceFile(
        _text(told, "entry").encode() if "entry" in told else _bytes(told, "entry_base64"),
        _text(told, "proof").encode(),
        _sealed(told["data_subject"], "data_subject", "identifier"),
        _sealed(told["payload"], "payload", "content"),
        _keys(told["log_keys"], "log_keys", LOG_SIGNATURE),
        _keys(told["witness_keys"], "witness_keys", COSIGNATURE),
        needed,
    )


def _entry_told(entry: bytes) -> Mapping[str, str]:
    try:
        return {"entry": entry.decode("utf-8")}
    except UnicodeDecodeError:
        return {"entry_base64": base64_text(entry)}


def _subject_told(sealed: Sealed | None) -> Mapping[str, str | None] | None:
    if sealed is None:
        return None
    identifier = None if sealed.content is None else sealed.content.decode("utf-8")
    return {"salt": base64_text(sealed.salt), "identifier": identifier}


def _payload_told(sealed: Sealed | None) -> Mapping[str, str | None] | None:
    if sealed is None:
        return None
    content = None if sealed.content is None else base64_text(sealed.content)
    return {"salt": base64_text(sealed.salt), "content": content}


def _document(content: bytes) -> Mapping[str, Any]:
    if len(content) > FILE_BYTES_MAX:
        raise EvidenceInvalid("file_malformed", "the file is longer than 16 MiB")
    try:
        told = json.loads(content.decode("utf-8"), object_pairs_hook=_once)
    except (ValueError, RecursionError):
        raise EvidenceInvalid("file_malformed", "this is no JSON") from None
    if not isinstance(told, dict):
        raise EvidenceInvalid("file_malformed", "the file is one JSON object")
    return told


def _once(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    """Return an object whose members stand in it once: of two, programs would read different ones."""
    told = dict(pairs)
    if len(told) != len(pairs):
        raise ValueError("a member stands there twice")
    return told


def _text(told: Mapping[str, Any], name: str) -> str:
    value = told[name]
    try:
        if isinstance(value, str) and value.encode():
            return value
    except UnicodeEncodeError:
        pass
    raise EvidenceInvalid("file_malformed", f"{name} is text")


def _bytes(told: Mapping[str, Any], name: str) -> bytes:
    return base64_bytes(_text(told, name), "file_malformed")


def _sealed(told: object, name: str, content_name: str) -> Sealed | None:
    """Return salt and content of a commitment: the identifier as text, a payload in base64."""
    if told is None:
        return None
    if not isinstance(told, dict) or told.keys() != {"salt", content_name}:
        raise EvidenceInvalid("file_malformed", f"{name} has salt and {content_name}, or is null")
    salt = _bytes(told, "salt")
    if len(salt) != SALT_BYTES:
        raise EvidenceInvalid("file_malformed", f"a salt has {SALT_BYTES} bytes")
    if told[content_name] is None:
        return Sealed(salt)
    is_text = content_name == "identifier"
    return Sealed(salt, _text(told, content_name).encode() if is_text else _bytes(told, content_name))


def _keys(told: object, name: str, kind: int) -> tuple[VerifierKey, ...]:
    if not isinstance(told, list) or len(told) > KEYS_MAX or not all(isinstance(one, str) for one in told):
        raise EvidenceInvalid("file_malformed", f"{name} is a list of verifier keys")
    keys = tuple(parse_vkey(one) for one in told)
    if any(key.kind != kind for key in keys):
        raise EvidenceInvalid("key_malformed", f"{name} has keys of another kind")
    return keys
