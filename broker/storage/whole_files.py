"""Files that are there whole or not at all, whoever is killed while they are written; forced to disk."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import BinaryIO, Final

_MODE: Final = 0o444


def read_file(path: Path) -> bytes | None:
    """Return the bytes of a file, or None where there is none. Raises OSError."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None


def placed(path: Path, content: bytes) -> bool:
    """Put a file into its place; return False, and change nothing, if there is one."""
    return not path.exists() and _linked(_written(path, content), path)


def place_all(contents: Mapping[Path, bytes], aside: Path) -> Sequence[Path]:
    """Put files into their places; return those places where one lay already: nothing changed there.

    aside: directory on the same disk where they are written first; what is in it is deleted, since it is of a
    process that was killed. As many as this process may have open. Raises OSError.
    """
    directories = made(aside).union(*(made(path.parent) for path in contents))
    for left in aside.iterdir():
        left.unlink(missing_ok=True)
    held = [path for path in contents if path.exists()]
    with ExitStack() as open_files:
        begun: list[tuple[Path, BinaryIO]] = []
        for path, content in contents.items():
            if path not in held:
                new = _begun(aside / f"{os.getpid()}.{len(begun)}", content)
                # On a full disk the halves of files would take the place of what is to be written next.
                open_files.callback(Path(new.name).unlink, missing_ok=True)
                begun.append((path, open_files.enter_context(new)))
        # The disk is at work on all of them: waiting for each costs little more than for the first.
        for path, new in begun:
            _force_file(new)
            if not _linked(Path(new.name), path):
                held.append(path)
    for directory in directories.union(path.parent for path in contents):
        force(directory)
    return held


def replaced(path: Path, content: bytes, unless: Callable[[], bool] = lambda: False) -> bool:
    """Put a file in the place of the one before, and force its directory to disk.

    unless: asked at the last instant; where it is so, what is there stays, and False is returned.
    Raises OSError.
    """
    for directory in made(path.parent):
        force(directory)
    new = _written(path, content)
    if unless():
        new.unlink()
        return False
    new.replace(path)
    force(path.parent)
    return True


def _written(path: Path, content: bytes) -> Path:
    """Write a new file beside a place and force it to disk; return where it lies."""
    with _begun(path.with_name(f".{path.name}.{os.getpid()}"), content) as new:
        try:
            _force_file(new)
        except OSError:
            Path(new.name).unlink()
            raise
    return Path(new.name)


def _begun(new: Path, content: bytes) -> BinaryIO:
    """Write a new file; return it, open, its content on its way to the disk."""
    with suppress(FileNotFoundError):
        new.unlink()  # of an earlier process of the same number, which was killed
    file = open(new, "xb", opener=lambda name, flags: os.open(name, flags, _MODE))  # noqa: SIM115 - see above
    try:
        file.write(content)
        file.flush()
    except OSError:
        new.unlink()
        with suppress(OSError):
            file.close()
        raise
    os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    return file


def _force_file(file: BinaryIO) -> None:
    os.fsync(file.fileno())
    # What is read back before anybody signs shall come from the disk.
    os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def _linked(new: Path, path: Path) -> bool:
    """Put a file into its place; return False, and change nothing there, if there is one."""
    try:
        os.link(new, path)
    except FileExistsError:
        return False
    finally:
        new.unlink()
    return True


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
