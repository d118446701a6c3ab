"""To which names the sealed contents of statistical exports are bound."""

from __future__ import annotations


def name_of_table(plan_hash: str) -> str:
    """Return the name of a table's true aggregates, by the hash (hex) of its plan."""
    return f"table/{plan_hash}"


def name_of_result(job_id: str) -> str:
    """Return the name of the result of a job, by its id."""
    return f"result/{job_id}"
