"""What details of an authorization mean, spelled out one thing at a time: slow, and plain to see."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


def permissions(detail: Mapping[str, Any]) -> set[tuple[str, str, str, str, int]]:
    """Return every single thing that a detail permits: this field, for this purpose, on this day."""
    return {
        (detail["type"], detail["agreement_id"], detail["purpose"], field, day)
        for field in detail["fields"]
        for day in range(detail["valid_days"])
    }


def is_no_more_than(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Return whether a detail permits nothing that another does not, and keeps nothing longer."""
    return (
        permissions(one) <= permissions(other)
        and one["retention_days"] <= other["retention_days"]
        and all(field in one["fields"] for field in other["required_fields"])
        and one["required_fields"] == other["required_fields"]
        # Of which time, how often and what for stays as it was decided; less of it is another consent.
        and all(
            (name in one, one.get(name)) == (name in other, other.get(name))
            for name in ("data_range", "frequency", "mode")
        )
    )


def are_no_more_than(granted: Sequence[Mapping[str, Any]], requested: Sequence[Mapping[str, Any]]) -> bool:
    """Return whether each granted detail is no more than one of those requested."""
    return all(any(is_no_more_than(one, other) for other in requested) for one in granted)
