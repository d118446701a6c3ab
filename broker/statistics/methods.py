"""The method of a release, from its parameters and the perturbation tables that it keeps.

A table is made once, by a solver; two machines may differ in the last digits. So a release keeps the bytes
that it was frozen with, and no solver runs where tables are made from it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from hashlib import sha256

from broker.statistics.disclosure import DisclosureParameters
from broker.statistics.draws import keyed_draw
from broker.statistics.magnitudes import MagnitudeNoise
from broker.statistics.parameters import Parameters
from broker.statistics.perturbation_table import PerturbationTable
from broker.statistics.protect import Method, Rules
from broker.statistics.reasons import StatisticsRefused
from broker.statistics.table_csv import table_from_csv, table_name


def tables_needed(parameters: DisclosureParameters) -> tuple[Parameters, ...]:
    """Return the parameters of the tables that a release keeps."""
    return parameters.counts, parameters.sums


def hashes_of(perturbation: Mapping[str, str]) -> dict[str, str]:
    """Return table name → SHA-256 of its CSV in hex, as a manifest has them."""
    return {name: sha256(text.encode()).hexdigest() for name, text in sorted(perturbation.items())}


def method_of(
    parameters: DisclosureParameters,
    measures: Sequence[str],
    perturbation: Mapping[str, str],
    secret_table: bytes,
) -> Method:
    """Return the method that a release's tables are protected with. perturbation: table name → CSV.

    Raises StatisticsRefused: table_malformed where a table is missing or another one, secret_malformed,
    rule_malformed.
    """
    counts, sums = (_table(one, perturbation) for one in tables_needed(parameters))
    noise = MagnitudeNoise(table=sums, share_small=parameters.share_small, share_large=parameters.share_large)
    return Method(
        counts=counts,
        sums=dict.fromkeys(measures, noise),
        rules=Rules(
            threshold=parameters.threshold,
            dominance_percent=parameters.dominance_percent,
            digits=parameters.digits,
        ),
        draw=keyed_draw(secret_table),
    )


def _table(parameters: Parameters, perturbation: Mapping[str, str]) -> PerturbationTable:
    name = table_name(parameters)
    if name not in perturbation:
        raise StatisticsRefused("table_malformed", f"the release keeps no table of {name}")
    return table_from_csv(perturbation[name], parameters)
