"""Signed notes and verifier keys (C2SP signed-note), with Ed25519 (RFC 8032) as the one algorithm.

A private key never comes here: whoever signs passes in a function from message to signature.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final, TypeAlias

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from broker.evidence.reasons import EvidenceInvalid, Reason

LOG_SIGNATURE: Final = 0x01
"""Ed25519 over the text of a note."""
COSIGNATURE: Final = 0x04
"""Ed25519 of a witness, with its time (C2SP tlog-cosignature)."""

NOTE_BYTES_MAX: Final = 131_072
SIGNATURES_MAX: Final = 100
"""Verifiers accept at least 16, some of nearly 5 kB (post-quantum)."""
NAME_LENGTH_MAX: Final = 255
_PUBLIC_KEY_BYTES: Final = 32
_KEY_ID_BYTES: Final = 4
_DASH: Final = "— "
_VKEY: Final = re.compile(r"(?P<name>[^+]+)\+(?P<key_id>[0-9a-f]{8})\+(?P<key>[A-Za-z0-9+/]+=*)")

Sign: TypeAlias = Callable[[bytes], bytes]
"""From a message to 64 bytes of Ed25519: `Ed25519PrivateKey.sign`, or a door to a key that is elsewhere."""


@dataclass(frozen=True, slots=True)
class VerifierKey:
    """A public key with the name it signs under. kind: LOG_SIGNATURE or COSIGNATURE; public_key: 32 bytes.

    Raises EvidenceInvalid (key_malformed) for anything else.
    """

    name: str
    kind: int
    public_key: bytes

    def __post_init__(self) -> None:
        if not is_key_name(self.name):
            raise EvidenceInvalid("key_malformed", "a key's name has no spaces and no plus sign")
        if self.kind not in (LOG_SIGNATURE, COSIGNATURE) or len(self.public_key) != _PUBLIC_KEY_BYTES:
            raise EvidenceInvalid("key_malformed", "the key is of another algorithm")

    @property
    def key_id(self) -> bytes:
        """The first four bytes of SHA-256(name || 0x0A || kind || public key)."""
        told = self.name.encode() + b"\n" + bytes([self.kind]) + self.public_key
        return hashlib.sha256(told).digest()[:_KEY_ID_BYTES]

    @property
    def vkey(self) -> str:
        """The key as text: name+hex(key id)+base64(kind || public key)."""
        key = base64.b64encode(bytes([self.kind]) + self.public_key).decode()
        return f"{self.name}+{self.key_id.hex()}+{key}"

    def is_signed(self, signature: bytes, message: bytes) -> bool:
        """Return whether a signature of 64 bytes over a message is this key's."""
        try:
            Ed25519PublicKey.from_public_bytes(self.public_key).verify(signature, message)
        except (InvalidSignature, ValueError):
            return False
        return True


@dataclass(frozen=True, slots=True)
class NoteSignature:
    """One line below a note. key_id: 4 bytes. signature: what the key's algorithm makes of it."""

    name: str
    key_id: bytes
    signature: bytes

    @property
    def line(self) -> str:
        """The line with its end: em dash, space, name, space, base64(key id || signature)."""
        return f"{_DASH}{self.name} {base64_text(self.key_id + self.signature)}\n"

    def is_by(self, key: VerifierKey) -> bool:
        """Return whether it claims to be a key's. Whether it is, only verifying tells."""
        return self.name == key.name and self.key_id == key.key_id


@dataclass(frozen=True, slots=True)
class Note:
    """A note and what stands below it. text: ends in a newline; nothing in it counts until a key verified."""

    text: str
    signatures: tuple[NoteSignature, ...]

    @property
    def content(self) -> bytes:
        """The signed note as bytes."""
        return (self.text + "\n" + "".join(one.line for one in self.signatures)).encode()

    def by(self, key: VerifierKey) -> tuple[NoteSignature, ...]:
        """Return the signatures that claim to be a key's."""
        return tuple(one for one in self.signatures if one.is_by(key))

    def with_signatures(self, added: Iterable[NoteSignature]) -> Note:
        """Return the note with further signatures, those that it has already left out."""
        fresh = [one for one in dict.fromkeys(added) if one not in self.signatures]
        return Note(self.text, (*self.signatures, *fresh))


def is_key_name(name: str) -> bool:
    """Return whether a text can be a key's name: not empty, no spaces, no plus, no control characters."""
    return (
        0 < len(name) <= NAME_LENGTH_MAX
        and not any(one.isspace() or one == "+" or one < " " or one == "\x7f" for one in name)
        and _is_text(name)
    )


def parse_vkey(text: str) -> VerifierKey:
    """Return a verifier key from name+hex(key id)+base64(kind || public key).

    Raises EvidenceInvalid (key_malformed), also where the key id is not the key's.
    """
    match = _VKEY.fullmatch(text)
    if match is None:
        raise EvidenceInvalid("key_malformed", "a key is name+id+base64")
    held = base64_bytes(match["key"], "key_malformed")
    key = VerifierKey(match["name"], held[0], held[1:])
    if key.key_id.hex() != match["key_id"]:
        raise EvidenceInvalid("key_malformed", "the id is another key's")
    return key


def parse_note(content: bytes) -> Note:
    """Return a signed note from its bytes. Nothing is verified yet.

    Raises EvidenceInvalid (note_malformed): not UTF-8, control characters, no text, no signature, too many of
    them, a line below the text that is no signature.
    """
    if len(content) > NOTE_BYTES_MAX:
        raise EvidenceInvalid("note_malformed", f"the note is longer than {NOTE_BYTES_MAX} bytes")
    try:
        told = content.decode("utf-8")
    except UnicodeDecodeError:
        raise EvidenceInvalid("note_malformed", "the note is not UTF-8") from None
    if any(one < " " and one != "\n" for one in told):
        raise EvidenceInvalid("note_malformed", "the note has control characters")
    text, separator, below = told.rpartition("\n\n")
    if not separator or not text or not below.endswith("\n"):
        raise EvidenceInvalid("note_malformed", "a note is text, an empty line and signatures")
    lines = below[:-1].split("\n")
    if len(lines) > SIGNATURES_MAX:
        raise EvidenceInvalid("note_malformed", f"the note has more than {SIGNATURES_MAX} signatures")
    return Note(text + "\n", tuple(parse_signature(line) for line in lines))


def parse_signature(line: str) -> NoteSignature:
    """Return a signature from its line, without the line's end. Raises EvidenceInvalid (note_malformed)."""
    parts = line.removeprefix(_DASH).split(" ")
    if not line.startswith(_DASH) or len(parts) != 2 or not is_key_name(parts[0]):
        raise EvidenceInvalid("note_malformed", "a line below the text is no signature")
    held = base64_bytes(parts[1], "note_malformed")
    if len(held) <= _KEY_ID_BYTES:
        raise EvidenceInvalid("note_malformed", "a signature is too short")
    return NoteSignature(parts[0], held[:_KEY_ID_BYTES], held[_KEY_ID_BYTES:])


def signed(text: str, key: VerifierKey, sign: Sign) -> NoteSignature:
    """Return the signature of a log over a note's text, verified before it is handed out.

    Raises ValueError when the function does not sign with this key, or the key is a witness's.
    """
    if key.kind != LOG_SIGNATURE or not text.endswith("\n"):
        raise ValueError("a log's key signs text that ends in a newline")
    signature = sign(text.encode())
    if not key.is_signed(signature, text.encode()):
        raise ValueError("the signature is not this key's")
    return NoteSignature(key.name, key.key_id, signature)


def base64_text(content: bytes) -> str:
    """Return bytes in standard base64 with padding (RFC 4648, 4)."""
    return base64.b64encode(content).decode("ascii")


def base64_bytes(text: str, reason: Reason) -> bytes:
    """Return the bytes of standard base64 in its one spelling. Raises EvidenceInvalid (the reason given)."""
    try:
        content = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise EvidenceInvalid(reason, "this is no base64") from None
    if not content or base64_text(content) != text:
        raise EvidenceInvalid(reason, "this base64 has another spelling")
    return content


def _is_text(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True
