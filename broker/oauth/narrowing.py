"""Fewer details than were granted, or asked (RFC 9396, 6): what of a detail may be cut."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from broker.oauth.authorization_details import DETAIL_SCHEMAS, listed_details, refused_detail
from broker.oauth.bound_tokens import Details

_NARROWABLE: Final[Mapping[str, Callable[[Any, Any], bool]]] = {
    "fields": lambda one, other: bool(one) and set(one) <= set(other),
    "lookup_keys": lambda one, other: bool(one) and set(one) <= set(other),
    "valid_days": lambda one, other: 0 < one <= other,
    "retention_days": lambda one, other: 0 < one <= other,
}


def is_narrowing(granted: Sequence[Mapping[str, Any]], requested: Sequence[Mapping[str, Any]]) -> bool:
    """Return whether every granted detail is a requested one, at most with fewer fields and days.

    All required fields must be left: a detail without them is left out, not cut down.
    """
    return all(any(_is_within(one, other) for other in requested) for one in granted)


def narrowed(text: str | None, granted: Details) -> Details:
    """Return what a token request asks of the details granted: all of them, or fewer (RFC 9396, 6).

    What an asked detail leaves out stays as it was granted; it names nothing that was not granted. Raises
    InvalidAuthorizationDetails.
    """
    asked: list[Mapping[str, Any]] = []
    for position, one in enumerate(listed_details(text)):
        fitting = [
            {**other, **one}
            for other in granted
            if _is_well_formed(one, other["type"]) and _is_within({**other, **one}, other)
        ]
        if not fitting:
            raise refused_detail(position, "members", "not within what was granted")
        if any(_is_for_same(fitting[0], earlier) for earlier in asked):
            raise refused_detail(position, "agreement_id", "one detail for each agreement")
        asked.append(fitting[0])
    return tuple(asked) or granted


def differs_only_in_choices(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Return whether two details say the same of everything that a citizen does not choose."""
    chosen = {"fields": (), "valid_days": 0}
    return {**one, **chosen} == {**other, **chosen}


def _is_for_same(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether two details are of one agreement and type: together they would say two things of it."""
    return (one["type"], one.get("agreement_id")) == (other["type"], other.get("agreement_id"))


def _is_well_formed(one: Mapping[str, Any], kind: str) -> bool:
    """Whether the members that may be narrowed have the form of their type; the others must be equal."""
    narrowable = {name: value for name, value in one.items() if name in _NARROWABLE}
    return not DETAIL_SCHEMAS[kind].validate(narrowable, partial=True)


def _is_within(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    for name in {*one, *other}:
        if name in _NARROWABLE and name in other:
            if name not in one or not _NARROWABLE[name](one[name], other[name]):
                return False
        elif name in _NARROWABLE and name in one:
            continue  # named here, open there
        elif name not in one or name not in other or one[name] != other[name]:
            return False  # also null for a member that is not there
    return set(other.get("required_fields", ())) <= set(one.get("fields", ()))
