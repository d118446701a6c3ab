"""What somebody hands to `broker evidence`: files, salts, keys, read within bounds; nothing is judged yet."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from broker.evidence.canonical import SALT_BYTES
from broker.evidence.evidence_file import FILE_BYTES_MAX, EvidenceFile, Sealed, parse_evidence_file
from broker.evidence.reasons import EvidenceInvalid
from broker.evidence.signed_note import COSIGNATURE, VerifierKey, parse_vkey
from broker.evidence.timestamps import TimeStamp
from broker.evidence.verifier import Opening, Trust

_KEY_FILE_BYTES_MAX: Final = 65_536


class InputUnreadable(Exception):
    """Something that was handed over cannot be read at all. reason: code, "" where there is none for it."""

    def __init__(self, detail: str, reason: str = "") -> None:
        super().__init__(detail)
        self.detail = detail
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Loose:
    """What stands beside an evidence file, or in its place; each of it wins over what the file says.

    proof: with it the file is the bytes of an entry and no evidence file. None: not given.
    """

    proof: Path | None = None
    data_subject_salt: Path | None = None
    identifier: str | None = field(default=None, repr=False)
    payload_salt: Path | None = None
    payload: Path | None = None
    log_keys: Sequence[VerifierKey] = ()
    witness_keys: Sequence[VerifierKey] = ()
    witnesses_needed: int | None = None
    timestamp: TimeStamp | None = None


@dataclass(frozen=True, slots=True)
class Question:
    """One entry with all that is to be checked of it. has_own_keys: not the keys that the file brought."""

    entry: bytes
    proof: bytes
    trust: Trust
    data_subject: Opening | None
    payload: Opening | None
    has_own_keys: bool


def read_question(path: Path, loose: Loose) -> Question:
    """Return what is to be checked of a file. Raises InputUnreadable."""
    told = _evidence_file(path, loose)
    log_keys = loose.log_keys or told.log_keys
    if not log_keys:
        raise InputUnreadable("no key of a log is given: --vkey")
    witness_keys = loose.witness_keys or told.witness_keys
    return Question(
        told.entry,
        told.proof,
        _trust(log_keys, witness_keys, _needed(told, loose)),
        _opening(told.data_subject),
        _opening(told.payload),
        bool(loose.log_keys),
    )


def read_keys(texts: Sequence[str], kind: int) -> tuple[VerifierKey, ...]:
    """Return the verifier keys in texts: each is a key, or the name of a file that holds one on each line.

    kind: LOG_SIGNATURE or COSIGNATURE. Raises InputUnreadable.
    """
    found: list[VerifierKey] = []
    for text in texts:
        lines = [text] if "+" in text else read_text(Path(text)).split("\n")
        for line in filter(None, map(str.strip, lines)):
            key = _key(line)
            if key.kind != kind:
                is_witness = "a witness's" if key.kind == COSIGNATURE else "a log's"
                raise InputUnreadable(f"the key of {key.name} is {is_witness}", "key_malformed")
            found.append(key)
    return tuple(found)


def read_bytes(path: Path, most: int = FILE_BYTES_MAX) -> bytes:
    """Return a file's bytes. most: how many it may have. Raises InputUnreadable."""
    try:
        with path.open("rb") as opened:
            content = opened.read(most + 1)
    except OSError as fault:
        raise InputUnreadable(f"{path}: {fault.strerror}") from None
    if len(content) > most:
        raise InputUnreadable(f"{path}: longer than {most:,} bytes")
    return content


def read_text(path: Path) -> str:
    """Return a small file's text. Raises InputUnreadable."""
    try:
        return read_bytes(path, _KEY_FILE_BYTES_MAX).decode("utf-8")
    except UnicodeDecodeError:
        raise InputUnreadable(f"{path}: not UTF-8") from None


def read_salt(path: Path) -> bytes:
    """Return a salt from a file of 32 bytes, or of these in hex or base64. Raises InputUnreadable."""
    content = read_bytes(path, 256)
    if len(content) == SALT_BYTES:
        return content
    text = content.strip()
    for decode in (binascii.unhexlify, lambda one: base64.b64decode(one, validate=True)):
        try:
            salt = decode(text)
        except (binascii.Error, ValueError):
            continue
        if len(salt) == SALT_BYTES:
            return salt
    raise InputUnreadable(f"{path}: a salt has {SALT_BYTES} bytes, as they are, in hex or in base64")


def _evidence_file(path: Path, loose: Loose) -> EvidenceFile:
    """Return the evidence file, or one put together, with what was given beside it in its place."""
    content = read_bytes(path)
    try:
        told = parse_evidence_file(content) if loose.proof is None else EvidenceFile(content, b"")
    except EvidenceInvalid as broken:
        raise InputUnreadable(f"{path}: {broken.detail}", broken.reason) from None
    subject, payload = told.data_subject, told.payload
    if loose.data_subject_salt is not None:
        subject = Sealed(read_salt(loose.data_subject_salt), None if subject is None else subject.content)
    if loose.payload_salt is not None:
        payload = Sealed(read_salt(loose.payload_salt), None if payload is None else payload.content)
    if loose.identifier is not None:
        subject = _with_content(subject, loose.identifier.encode("utf-8", "replace"), "--data-subject-salt")
    if loose.payload is not None:
        payload = _with_content(payload, read_bytes(loose.payload), "--payload-salt")
    proof = told.proof if loose.proof is None else read_bytes(loose.proof)
    return replace(told, proof=proof, data_subject=subject, payload=payload)


def _with_content(sealed: Sealed | None, content: bytes, option: str) -> Sealed:
    if sealed is None:
        raise InputUnreadable(f"nothing opens that commitment without its salt: {option}")
    return replace(sealed, content=content)


def _trust(log_keys: Sequence[VerifierKey], witness_keys: Sequence[VerifierKey], needed: int) -> Trust:
    try:
        return Trust(log_keys, witness_keys, needed)
    except ValueError:
        raise InputUnreadable("the log's own key is given as a witness's", "key_malformed") from None


def _opening(sealed: Sealed | None) -> Opening | None:
    return None if sealed is None or sealed.content is None else Opening(sealed.salt, sealed.content)


def _needed(told: EvidenceFile, loose: Loose) -> int:
    if loose.witnesses_needed is not None:
        return loose.witnesses_needed
    return len({key.public_key for key in loose.witness_keys}) or told.witnesses_needed


def _key(line: str) -> VerifierKey:
    try:
        return parse_vkey(line)
    except EvidenceInvalid as broken:
        raise InputUnreadable(f"{line[:80]!r} is no verifier key", broken.reason) from None
