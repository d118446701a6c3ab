"""How far noise moves what a table tells, from what the catalogue says of the release's protection."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec

from broker.cli.statistics_catalogue import Document
from broker.cli.statistics_shown import PERSONS, Band


def bands_of(release: Document) -> Mapping[str, Band]:
    """Return measure → band, of persons too; none without the extra `statistics`, which computes them."""
    if find_spec("numpy") is None:
        return {}
    from broker.statistics.agreed import parameters_of
    from broker.statistics.noise_band import count_band, sum_band
    from policies.statistics_terms import DisclosureTerms

    parameters = parameters_of(DisclosureTerms(**release["disclosure_control"]))

    def of_sum(total: int, persons: int) -> float:
        return sum_band(parameters, total, persons)

    def of_count(_value: int, _persons: int) -> float:
        return count_band(parameters)

    return {PERSONS: of_count, **{str(one["name"]): of_sum for one in release["measures"]}}
