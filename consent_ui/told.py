"""What the recipient of a consent was told of it, and whether it said that it understood. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from consent_ui.words import Words


class Told(Protocol):
    """How far a notice has come; `broker.storage.outbox.ToldState` is one. Instants aware, None: not yet."""

    @property
    def kind(self) -> str:
        """What it says, of `broker.consent.security_events.NOTICE_KINDS`."""

    @property
    def queued_at(self) -> datetime:
        """When it happened."""

    @property
    def told_at(self) -> datetime | None:
        """When the recipient got it."""

    @property
    def acknowledged_at(self) -> datetime | None:
        """When the recipient said that it understood."""

    @property
    def deletion_attested_at(self) -> datetime | None:
        """When the recipient said that what it kept is deleted."""

    @property
    def dead_at(self) -> datetime | None:
        """When it was given up after many tries: an operator's matter."""


@dataclass(frozen=True, slots=True)
class ToldView:
    """One notice. since: when it happened. states: how far it has come, in words."""

    what: str
    since: str
    states: tuple[str, ...]


def told_views(notices: Sequence[Told], words: Words) -> list[ToldView]:
    """Return the notices of a consent in words, the latest first. notices: the oldest first."""
    return [
        ToldView(words(f"told_{one.kind}"), words.moment(one.queued_at), _states(one, words))
        for one in reversed(notices)
    ]


def _states(one: Told, words: Words) -> tuple[str, ...]:
    if one.told_at is None and one.acknowledged_at is None:
        return (words("told_not_yet") if one.dead_at is None else words("told_given_up"),)
    states = [words("told_on", at=words.moment(one.told_at))] if one.told_at is not None else []
    if one.acknowledged_at is None:
        states.append(words("told_unacknowledged"))
    else:
        states.append(words("told_acknowledged", at=words.moment(one.acknowledged_at)))
    if one.deletion_attested_at is not None:
        states.append(words("told_deleted", at=words.moment(one.deletion_attested_at)))
    return tuple(states)
