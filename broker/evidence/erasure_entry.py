"""The evidence entry of an erasure, or of the answer that the law keeps what was to be erased.

What is erased are salts, display data and the wrapped key of one person and year; the entries stay, and
nobody can tell any more whom they are about. The salt of this entry's own commitment goes with them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal, TypeAlias, get_args

from broker.evidence.entry import instant_text
from broker.evidence.shapes import (
    Shape,
    check_shape,
    is_code,
    is_day,
    is_hash,
    is_instant,
    is_keyed_hash,
    is_reference,
    number_within,
    one_of,
    or_empty,
    or_null,
    shaped_bytes,
)

ERASURE_SCHEMA_VERSION: Final = 1
ErasureResult: TypeAlias = Literal["erased", "kept"]

_SHAPE: Final[Shape] = {
    "acting_person": or_null(is_keyed_hash),
    "at": is_instant,
    "data_subject_commit": is_hash,
    "kept_until": or_empty(is_day),
    "legal_ground": is_code,
    "reference": is_reference,
    "result": one_of(get_args(ErasureResult)),
    "year": number_within(2000, 9999),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Erasure:
    """What came of the wish to erase a year of a person's evidence.

    data_subject_commit: hex. year: of the shard. legal_ground: code of the article, for erasing or for
    keeping. kept_until: last civil day (2036-12-31) where it is kept, "" where it is erased.
    acting_person: keyed hash in hex, or None where the broker did it by itself. at: aware UTC.
    """

    reference: str
    at: datetime
    data_subject_commit: str
    year: int
    result: ErasureResult
    legal_ground: str
    kept_until: str = ""
    acting_person: str | None = None


def erasure_entry_bytes(erasure: Erasure) -> bytes:
    """Return the RFC 8785 bytes of an entry. Raises ValueError for a value that is not of its form."""
    content = shaped_bytes(
        "erasure",
        ERASURE_SCHEMA_VERSION,
        _SHAPE,
        {
            "acting_person": erasure.acting_person,
            "at": instant_text(erasure.at),
            "data_subject_commit": erasure.data_subject_commit,
            "kept_until": erasure.kept_until,
            "legal_ground": erasure.legal_ground,
            "reference": erasure.reference,
            "result": erasure.result,
            "year": erasure.year,
        },
    )
    _check_result(erasure.result, erasure.kept_until)
    return content


def check_erasure_entry(entry: Mapping[str, object]) -> None:
    """Raise ValueError unless a decoded entry has exactly the members and shapes of this schema."""
    check_shape(entry, "erasure", ERASURE_SCHEMA_VERSION, _SHAPE)
    _check_result(entry["result"], entry["kept_until"])


def _check_result(result: object, kept_until: object) -> None:
    if (result == "kept") != (kept_until != ""):
        raise ValueError("kept_until does not fit the result")
