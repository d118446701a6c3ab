"""The result of a job on disk: in parts, so that what broke off goes on, and whole or not at all.

At each crash point there lies beside FILE at most `.FILE.<hash>.part`, whose bytes are a beginning of that
very result; FILE itself is there once its digest was found right.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

from broker.cli.output import CommandRefused
from broker.cli.statistics_door import SERVER_FAILED, StatisticsDoor

PART_BYTES: Final = 16 * 1024 * 1024
"""Each part leaves an entry of evidence: most packages come in one."""
_TRIES: Final = 5


def download(
    door: StatisticsDoor, job: Mapping[str, Any], file: Path, on_bytes: Callable[[int], None]
) -> None:
    """Fetch a job's result into a file. on_bytes: told how many there are.

    A part that does not come is asked for again, five times over. Raises CommandRefused; what has come so
    far stays for the next time.
    """
    result = job["result"]
    digest, length = str(result["content_hash"]), int(result["bytes_count"])
    part = file.with_name(f".{file.name}.{digest[:16]}.part")
    tries = 0
    while (have := part.stat().st_size if part.exists() else 0) < length:
        on_bytes(have)
        try:
            content = _next(door, job, have, min(have + PART_BYTES, length))
        except CommandRefused as refused:
            tries += 1
            if refused.exit_code not in (1, SERVER_FAILED) or tries >= _TRIES:
                raise
            continue
        _append(part, content)
    on_bytes(have)
    if have != length or sha256(part.read_bytes()).hexdigest() != digest:
        part.unlink(missing_ok=True)
        raise CommandRefused(f"{file}: what came is not what the job made; ask again", SERVER_FAILED)
    part.replace(file)


def _next(door: StatisticsDoor, job: Mapping[str, Any], have: int, end: int) -> bytes:
    """Return the bytes from have on; a server that gives all of them at once is taken at its word."""
    digest = str(job["result"]["content_hash"])
    answer = door.part(str(job["result"]["href"]), have, end - 1, f'"{digest}"')
    if answer.headers.get("etag", f'"{digest}"').strip('"') != digest:
        raise CommandRefused("the result has changed; ask again", SERVER_FAILED)
    content = answer.body[have:] if answer.status == 200 else answer.body
    if not content:
        raise CommandRefused("the server gave nothing of the result", SERVER_FAILED)
    return content


def _append(part: Path, content: bytes) -> None:
    with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "wb") as out:
        out.write(content)
