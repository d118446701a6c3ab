"""The cell-key method as docs/statistics.md writes it down, one cell at a time and slow."""

from __future__ import annotations

import hmac
from collections.abc import Mapping, Sequence
from fractions import Fraction
from hashlib import sha256

from broker.statistics.perturbation_table import PARTS, PerturbationTable


def record_key(secret: bytes, person: str) -> int:
    return int(hmac.new(secret, person.encode(), sha256).hexdigest()[:8], 16)


def cell_key(keys: Sequence[int]) -> int:
    return sum(keys) % 2**32


def plain_draw(key: int) -> Fraction:
    return Fraction(key, 2**32)


def keyed_draw(secret: bytes, key: int, what: str) -> Fraction:
    mac = hmac.new(secret, key.to_bytes(4, "big") + what.encode(), sha256).digest()
    return Fraction(int.from_bytes(mac, "big") >> (256 - 53), 2**53)


def noise_at(table: PerturbationTable, category: int, draw: Fraction) -> Fraction:
    """Return the first noise whose cumulative probability is larger than the draw."""
    [row] = [row for row in table.rows if row.category == category]
    passed = 0
    for step, parts in zip(row.steps, row.parts, strict=True):
        passed += parts
        if draw < Fraction(passed, PARTS):
            return Fraction(step, table.parameters.step)
    raise AssertionError("a draw is smaller than 1")


def count_noise(table: PerturbationTable, count: int, draw: Fraction) -> int:
    return int(noise_at(table, min(count, table.rows[-1].category), draw))


def magnitude_noise(table: PerturbationTable, size: float, draw: Fraction) -> float:
    categories = [row.category for row in table.rows]
    size = min(size, categories[-1])
    if size in categories:
        return float(noise_at(table, int(size), draw))
    low = max(one for one in categories if one < size)
    high = min(one for one in categories if one > size)
    weight = (size - low) / (high - low)
    below, above = noise_at(table, low, draw), noise_at(table, high, draw)
    return (1 - weight) * float(below) + weight * float(above)


def share(cell: float, flex: Mapping[str, float]) -> float:
    """Return m(x) of the specification."""
    small, large, fp, q = flex["p_small"], flex["p_large"], flex["fp"], flex["q"]
    if cell < fp:
        return small
    if fp == 0:
        return large
    slope = (small * cell - large * fp) / (large * fp)
    return float(large * (1 + slope * (2 * fp / (fp + cell)) ** q))


def sum_noise(
    table: PerturbationTable,
    total: float,
    largest: Sequence[float],
    draws: Sequence[Fraction],
    flex: Mapping[str, float],
    *,
    epsilon: Sequence[float],
    mu: float,
) -> float:
    """Return what is added to a sum: the loop of the specification, as it stands there."""
    xo, added = total, 0.0
    for x, draw, eps in zip(largest, draws, epsilon, strict=True):
        d = x * share(total, flex) * eps
        if abs(xo) < abs(d):
            d = xo
        if d == 0:
            continue
        a = min(abs(xo / d), table.parameters.bound)
        v = magnitude_noise(table, a, draw)
        sign = (v > 0) - (v < 0)
        hat = max(abs(d) * sign * (mu + abs(v)), -xo)
        xo += hat
        added += hat
    return added
