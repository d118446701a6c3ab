"""What exactly leaves of a field, as one short text that can be kept and compared years later."""

from __future__ import annotations

import hashlib
import json
from functools import lru_cache

from policies.model import FieldRelease, RowScope


@lru_cache(maxsize=4096)
def shape_of(release: FieldRelease, row_scopes: tuple[RowScope, ...]) -> str:
    """Return SHA-256 in hex over a field's form with all its parameters and the rows that may leave.

    row_scopes: of the agreement or of a decision; those of other groups do not count. Two shapes are equal
    only if the same value would leave of every record on every day.
    """
    rows = sorted((one.keep, one.field, one.months) for one in row_scopes if one.group == release.group)
    told = [release.form.name, sorted(release.form.parameters), rows if release.group else []]
    return hashlib.sha256(json.dumps(told, default=str, ensure_ascii=True).encode()).hexdigest()
