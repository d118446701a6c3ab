"""Values of the recording statements, in PostgreSQL's text format or as raw bytes."""

from __future__ import annotations

from collections.abc import Sequence

from broker.evidence.recording import CounterStep


def number(value: int | None) -> bytes | None:
    """Return a number as PostgreSQL reads it, None for NULL."""
    return None if value is None else b"%d" % value


def plain_steps(steps: Sequence[CounterStep]) -> list[bytes]:
    """Return the parameters of a few counters, four each."""
    return [
        part
        for step in steps
        for part in (
            b"%d" % step.window_start_seconds,
            step.counter_ref,
            b"%d" % step.add_count,
            b"%d" % step.limit_count,
        )
    ]


def step_arrays(steps: Sequence[CounterStep]) -> list[bytes]:
    """Return the parameters of any number of counters: four arrays."""
    return [
        integers([step.window_start_seconds for step in steps]),
        byteas([step.counter_ref for step in steps]),
        integers([step.add_count for step in steps]),
        integers([step.limit_count for step in steps]),
    ]


def integers(values: Sequence[int]) -> bytes:
    """Return numbers as an array."""
    return b"{" + b",".join([b"%d" % value for value in values]) + b"}"


def byteas(values: Sequence[bytes | None]) -> bytes:
    """Return byte strings as an array, None for NULL."""
    return (
        "{" + ",".join(["NULL" if value is None else f'"\\\\x{value.hex()}"' for value in values]) + "}"
    ).encode()
