"""A witness's own key, in a file of one line as Go's note tools write it: PRIVATE+KEY+name+id+base64."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from broker.evidence.reasons import EvidenceInvalid
from broker.evidence.signed_note import COSIGNATURE, VerifierKey, base64_bytes, base64_text

SEED_BYTES: Final = 32
_FILE_BYTES_MAX: Final = 1_024
_LINE: Final = re.compile(
    r"PRIVATE\+KEY\+(?P<name>[^+]+)\+(?P<key_id>[0-9a-f]{8})\+(?P<key>[A-Za-z0-9+/]+=*)"
)


class KeyUnusable(Exception):
    """The file holds no key of a witness, or others may read it. The text never holds anything of the key."""


@dataclass(frozen=True, slots=True)
class WitnessKey:
    """The key with which a witness signs, and what verifies it."""

    verifier: VerifierKey
    private: Ed25519PrivateKey = field(repr=False)

    def sign(self, message: bytes) -> bytes:
        """Return 64 bytes of Ed25519 over a message."""
        return self.private.sign(message)


def new_key(name: str, seed: bytes) -> WitnessKey:
    """Return a key under a name. seed: 32 fresh random bytes.

    Raises KeyUnusable for a name that no key can have; a host with a path is usual: witness.example/w1.
    """
    if len(seed) != SEED_BYTES:
        raise KeyUnusable(f"a seed has {SEED_BYTES} bytes")
    private = Ed25519PrivateKey.from_private_bytes(seed)
    try:
        verifier = VerifierKey(name, COSIGNATURE, private.public_key().public_bytes_raw())
    except EvidenceInvalid as broken:
        raise KeyUnusable(broken.detail) from None
    return WitnessKey(verifier, private)


def write_key(path: Path, key: WitnessKey) -> None:
    """Write a key to a new file that nobody else may read, durably. Raises KeyUnusable if one is there."""
    seed = base64_text(bytes([COSIGNATURE]) + key.private.private_bytes_raw())
    line = f"PRIVATE+KEY+{key.verifier.name}+{key.verifier.key_id.hex()}+{seed}\n"
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "w", encoding="utf-8") as opened:
            opened.write(line)
            opened.flush()
            os.fsync(opened.fileno())
    except OSError as fault:
        raise KeyUnusable(f"{path}: {fault.strerror}") from None


def read_key(path: Path) -> WitnessKey:
    """Return the key in a file. Raises KeyUnusable."""
    try:
        with path.open("rb") as opened:
            if os.fstat(opened.fileno()).st_mode & 0o077:
                raise KeyUnusable(f"{path}: nobody else may read it (chmod 600)")
            text = opened.read(_FILE_BYTES_MAX).decode("utf-8")
    except OSError as fault:
        raise KeyUnusable(f"{path}: {fault.strerror}") from None
    except UnicodeDecodeError:
        raise KeyUnusable(f"{path}: this is no key of a witness") from None
    match = _LINE.fullmatch(text.removesuffix("\n"))
    try:
        if match is None or (held := base64_bytes(match["key"], "key_malformed"))[0] != COSIGNATURE:
            raise KeyUnusable(f"{path}: this is no key of a witness")
        key = new_key(match["name"], held[1:])
    except EvidenceInvalid:
        raise KeyUnusable(f"{path}: this is no key of a witness") from None
    if key.verifier.key_id.hex() != match["key_id"]:
        raise KeyUnusable(f"{path}: the id in it is another key's")
    return key
