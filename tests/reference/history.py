"""Whom each entry of a log is about: every bundle read, every salt opened, every name tried. Slow, obvious.

Nothing here looks an entry up by a person: neither links nor indexes are used, only the definition of the
commitment: SHA-256(salt || name).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b, sha256
from pathlib import Path
from typing import Any
from uuid import UUID

import orjson
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM


@dataclass(frozen=True)
class Known:
    """What somebody with the database and both secrets has.

    keys: year → path → node of that year's tree of keys. boxes: reference → (year, sealed salts).
    refs: name → keyed hash of it.
    """

    keys: Mapping[int, Mapping[str, bytes]]
    boxes: Mapping[str, tuple[int, bytes]]
    refs: Mapping[str, bytes]


def entries_in(directory: Path) -> list[bytes]:
    """Return the entries of a published log: of each bundle the widest file that there is."""
    size = int((directory / "checkpoint").read_text().split("\n")[1])
    entries: list[bytes] = []
    while len(entries) < size:
        number, width = len(entries) // 256, min(256, size - len(entries) // 256 * 256)
        content = _bundle(directory / "tile" / "entries" / f"{number:03d}", width)
        for _ in range(width):
            length = int.from_bytes(content[:2], "big")
            entries.append(content[2 : 2 + length])
            content = content[2 + length :]
        assert content == b""
    return entries


def _bundle(full: Path, width: int) -> bytes:
    return full.read_bytes() if width == 256 else Path(f"{full}.p/{width}").read_bytes()


def entries_about(entries: Iterable[bytes], known: Known, names: Sequence[str]) -> list[Mapping[str, Any]]:
    """Return the entries that commit to one of a person's names, in the order of the log."""
    found = []
    for content in entries:
        entry = orjson.loads(content)
        commit = entry.get("data_subject_commit")
        salts = _salts(entry["reference"], known)
        if commit and any(
            sha256(salt + name.encode()).hexdigest() == commit for salt in salts for name in names
        ):
            found.append(entry)
    return found


def _salts(reference: str, known: Known) -> list[bytes]:
    """Return every salt that any person's key of the entry's year gets out of its box."""
    if reference not in known.boxes:
        return []
    year, box = known.boxes[reference]
    opened = []
    for ref in known.refs.values():
        key = _person_key(known.keys.get(year, {}), ref)
        if key is not None:
            seal = blake2b(ref, key=key, digest_size=32, person=b"evidence/seal").digest()
            try:
                plain = AESGCM(seal).decrypt(box[:12], box[12:], UUID(reference).bytes)
            except InvalidTag:
                continue
            opened.append(plain[1:33])
    return opened


def _person_key(nodes: Mapping[str, bytes], ref: bytes) -> bytes | None:
    path = ref[:8].hex()
    for length in range(len(path) + 1):
        if path[:length] in nodes:
            key = nodes[path[:length]]
            for digit in path[length:]:
                key = blake2b(digit.encode(), key=key, digest_size=32, person=b"evidence/child").digest()
            return key
    return None
