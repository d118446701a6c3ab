"""Files that are there whole or not at all, whoever is killed while they are written; forced to disk."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import Final

_MODE: Final = 0o444


def read_file(path: Path) -> bytes | None:
    """Return the bytes of a file, or None where there is none. Raises OSError."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None


def placed(path: Path, content: bytes) -> bool:
    """Put a file into its place; return False, and change nothing, if there is one."""
    if path.exists():
        return False
    new = _written(path, content)
    try:
        os.link(new, path)
    except FileExistsError:
        return False
    finally:
        new.unlink()
    return True


def replaced(path: Path, content: bytes) -> None:
    """Put a file in the place of the one before, and force its directory to disk. Raises OSError."""
    for directory in made(path.parent):
        force(directory)
    _written(path, content).replace(path)
    force(path.parent)


def _written(path: Path, content: bytes) -> Path:
    """Write a new file beside a place and force it to disk; return where it lies."""
    new = path.with_name(f".{path.name}.{os.getpid()}")
    with suppress(FileNotFoundError):
        new.unlink()  # of an earlier process of the same number, which was killed
    handle = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _MODE)
    with os.fdopen(handle, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
        # What is read back before anybody signs shall come from the disk.
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    return new


def made(directory: Path) -> set[Path]:
    """Make a directory; return those whose list of files has changed by it."""
    if directory.is_dir():
        return set()
    changed = made(directory.parent)
    directory.mkdir(exist_ok=True)
    return changed | {directory.parent}


def force(directory: Path) -> None:
    """Force a directory's list of files to disk. Raises OSError."""
    handle = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
