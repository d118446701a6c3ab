"""Files of a release: written whole, forced to disk, readable by their owner alone, never changed."""

from __future__ import annotations

import os
from hashlib import sha256
from pathlib import Path
from typing import Final

_READ_BYTES: Final = 1024 * 1024
READ_ONLY: Final = 0o400
PRIVATE_DIRECTORY: Final = 0o700
CLOSED_DIRECTORY: Final = 0o500


def private_directory(path: Path) -> Path:
    """Make a directory that nobody else may look into, and those above it; return it."""
    path.mkdir(mode=PRIVATE_DIRECTORY, parents=True, exist_ok=True)
    return path


def hash_of_file(path: Path) -> str:
    """Return the SHA-256 of a file in hex, reading a little at a time. Raises OSError."""
    digest = sha256()
    with path.open("rb") as file:
        while piece := file.read(_READ_BYTES):
            digest.update(piece)
    return digest.hexdigest()


def put(path: Path, content: bytes) -> None:
    """Put a small file into its place, read-only, whole or not at all. Raises OSError."""
    new = path.with_name(f".{path.name}.new")
    new.write_bytes(content)
    settle(new, path)


def settle(new: Path, path: Path) -> None:
    """Move a file that was written beside a place into it, read-only. Raises OSError."""
    new.chmod(READ_ONLY)
    new.replace(path)


def force_all(directory: Path) -> None:
    """Force all files below a directory, and the directories themselves, to disk. Raises OSError."""
    for path in sorted(directory.rglob("*"), reverse=True):
        force(path)
    force(directory)


def force(path: Path) -> None:
    """Force a file, or a directory's list of files, to disk. Raises OSError."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
