"""Whether a release on disk is the one that was frozen: every file there, none besides, none changed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from broker.engines.durable_files import hash_of_file
from broker.statistics.manifest_json import manifest_hash
from broker.statistics.manifest_read import read_manifest
from broker.statistics.reasons import StatisticsRefused
from broker.statistics.release_layout import MANIFEST, perturbation_path


def faults_of(
    directory: Path, release: str, known_hash: str, on_bytes: Callable[[int], None] = lambda _: None
) -> Iterator[str]:
    """Yield what is not as it was frozen, in words; nothing where all is.

    known_hash: of the manifest, as the database has it. on_bytes: told how many bytes were read. Raises
    OSError where the disk does not answer.
    """
    path = directory / MANIFEST
    if not path.is_file():
        yield f"{MANIFEST} is missing"
        return
    content = path.read_bytes()
    if manifest_hash(content) != known_hash:
        yield f"{MANIFEST} is not the one that was frozen"
        return
    try:
        manifest = read_manifest(content)
    except StatisticsRefused as refused:
        yield f"{MANIFEST} cannot be read: {refused}"
        return
    if manifest.release != release:
        yield f"{MANIFEST} is of {manifest.release}"
    hashes = {one.path: one.sha256 for one in manifest.files}
    hashes |= {perturbation_path(one): one for one in manifest.perturbation.values()}
    done = 0
    for name, known in hashes.items():
        file = directory / name
        if not file.is_file():
            yield f"{name} is missing"
            continue
        if hash_of_file(file) != known:
            yield f"{name} was changed"
        done += file.stat().st_size
        on_bytes(done)
    there = {str(one.relative_to(directory)) for one in directory.rglob("*") if not one.is_dir()}
    for name in sorted(there - set(hashes) - {MANIFEST}):
        yield f"{name} is not of this release"
