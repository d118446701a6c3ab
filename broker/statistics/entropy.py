"""One row of a perturbation table: the noise of largest entropy with a given mean, variance and support.

Only this module knows the solver. Written from the specification (docs/statistics.md), not from other code.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from broker.statistics.reasons import StatisticsRefused

PROBABILITY_MIN: Final = 1e-8
"""Every value of the support can happen, so no value of noise says that a true count is impossible."""

_TOLERANCES: Final = (1e-10, 1e-9, 1e-8)


def largest_entropy(
    noise: Sequence[float], variance: float, *, reaches: bool, stay: float, rises: bool
) -> NDArray[np.float64]:
    """Return the probabilities of values of noise, in their order.

    They sum to 1, have mean 0 and a variance of at most `variance` (of exactly that where `reaches` and it
    can be). rises: up to no noise, each is at least as likely as the one before. stay: the least probability
    of no noise, where that is in the support.
    Raises StatisticsRefused: parameters_infeasible, table_unsolved.
    """
    values = np.asarray(noise, dtype=np.float64)
    if reaches:
        found = _solved(values, variance, exact=True, stay=stay, rises=rises)
        if found is not None:
            return found
    found = _solved(values, variance, exact=False, stay=stay, rises=rises)
    if found is None:
        raise StatisticsRefused(
            "parameters_infeasible", f"no noise within {values[0]:g}..{values[-1]:g} has mean 0 and that V"
        )
    return found


def _solved(
    values: NDArray[np.float64], variance: float, *, exact: bool, stay: float, rises: bool
) -> NDArray[np.float64] | None:
    """Return the optimum, or None where there is no feasible point. Raises table_unsolved."""
    # The extra `statistics`, and two seconds to import: whoever reads a kept table needs no solver.
    import cvxpy

    chances = cvxpy.Variable(len(values))
    spread = (values * values) @ chances
    constraints = [
        cvxpy.sum(chances) == 1,
        values @ chances == 0,
        chances >= PROBABILITY_MIN,
        spread == variance if exact else spread <= variance,
    ]
    up_to_none = int(np.searchsorted(values, 0.0, side="right"))
    if rises and up_to_none > 1:
        constraints.append(chances[: up_to_none - 1] <= chances[1:up_to_none])
    if stay > 0 and values[up_to_none - 1] == 0:
        constraints.append(chances[up_to_none - 1] >= stay)
    problem = cvxpy.Problem(cvxpy.Maximize(cvxpy.sum(cvxpy.entr(chances))), constraints)
    for tolerance in _TOLERANCES:
        if _solve(problem, tolerance) == cvxpy.OPTIMAL:
            return np.asarray(chances.value, dtype=np.float64)
        if problem.status in (cvxpy.INFEASIBLE, cvxpy.INFEASIBLE_INACCURATE):
            return None
    raise StatisticsRefused("table_unsolved", f"the solver said {problem.status}")


def _solve(problem: Any, tolerance: float) -> str:
    import cvxpy

    try:
        with warnings.catch_warnings():
            # "may be inaccurate": then the next tolerance is tried.
            warnings.simplefilter("ignore", UserWarning)
            problem.solve(
                solver=cvxpy.CLARABEL,
                tol_gap_abs=tolerance,
                tol_gap_rel=tolerance,
                tol_feas=tolerance,
                max_iter=500,
            )
    except cvxpy.SolverError as error:
        raise StatisticsRefused("table_unsolved", "the solver failed") from error
    return str(problem.status)
