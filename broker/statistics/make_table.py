"""Makes a perturbation table from its parameters: seconds, once; what is kept is its CSV (`table_csv`)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from broker.statistics.entropy import largest_entropy
from broker.statistics.parameters import Parameters
from broker.statistics.perturbation_table import PARTS, PerturbationTable, Row


def made_table(parameters: Parameters) -> PerturbationTable:
    """Return the table of largest entropy. Raises StatisticsRefused where there is none.

    Two machines may make tables that differ in the last digits: a release keeps the bytes of the one it uses.
    """
    rows = [Row(0, (0,), (PARTS,))]
    for category in parameters.categories:
        steps = parameters.steps_of(category)
        chances = largest_entropy(
            [step / parameters.step for step in steps],
            parameters.variance,
            reaches=parameters.reaches,
            stay=parameters.stay,
            rises=category not in parameters.free_rows,
        )
        rows.append(Row(category, steps, _parts(chances)))
    return PerturbationTable(parameters, tuple(rows))


def _parts(chances: NDArray[np.float64]) -> tuple[int, ...]:
    """Return probabilities in whole parts; what rounding leaves goes to the likeliest."""
    parts = np.maximum(np.rint(chances * PARTS).astype(np.int64), 1)
    parts[int(np.argmax(parts))] += PARTS - int(parts.sum())
    return tuple(int(one) for one in parts)
