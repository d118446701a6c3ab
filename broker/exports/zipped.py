"""ZIP of which every byte follows from its files and one instant."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from io import BytesIO
from typing import Final, TypeAlias
from zipfile import ZIP_DEFLATED, ZIP_STORED, ZipFile, ZipInfo

Members: TypeAlias = Mapping[str, bytes]
"""Files of a package: name → content, in order."""

_LEVEL: Final = 6
_MODE: Final = 0o100644
_UNIX: Final = 3
_PACKED: Final = (".parquet", ".xlsx")
"""What is packed itself gains nothing from being packed again."""


def zipped(members: Members, at: datetime) -> bytes:
    """Return files in a ZIP, in their order, each of one instant (aware)."""
    written = BytesIO()
    with ZipFile(written, "w", ZIP_DEFLATED, compresslevel=_LEVEL) as archive:
        for name, content in members.items():
            entry = ZipInfo(name, at.astimezone(UTC).timetuple()[:6])
            # What the machine that packs would say of itself otherwise: its system, its umask.
            entry.create_system, entry.external_attr = _UNIX, _MODE << 16
            entry.compress_type = ZIP_STORED if name.endswith(_PACKED) else ZIP_DEFLATED
            archive.writestr(entry, content, compresslevel=_LEVEL)
    return written.getvalue()
