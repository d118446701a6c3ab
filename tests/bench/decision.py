"""What a decision costs, with few and with many agreements. Run: python -m tests.bench.decision."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime
from statistics import median
from time import perf_counter_ns

from policies.compile import PolicySet, compile_policies
from policies.decide import decide
from policies.forms import FormContext
from policies.load import load_directory
from policies.minimise import minimise
from policies.model import DecisionRequest, Record

SAMPLES = 2_000
_DAY = date(2026, 11, 2)


def policies_of(agreement_count: int) -> PolicySet:
    """Return a compiled set of agreement_count agreements: copies of the hospitals', and the real one."""
    shipped = load_directory()
    hospital = shipped.find_agreement("hospital_entitlement_check")
    if hospital is None:
        raise LookupError("hospital_entitlement_check")
    copies = [replace(hospital, id=f"copy_{number}") for number in range(agreement_count - 1)]
    return compile_policies([hospital, *copies], shipped.catalogue, shipped.registers)


def hospital_request(asked: frozenset[str] | None) -> DecisionRequest:
    """Return a hospital's request on the real agreement."""
    return DecisionRequest(
        action="verify_entitlement",
        agreement_id="hospital_entitlement_check",
        recipient="hospital_79024",
        recipient_kind="hospital",
        purpose="check_health_insurance_entitlement",
        lookup_key="hi_card",
        on_date=_DAY,
        supplied=frozenset({"full_name", "birth_date", "acting_person"}),
        established=frozenset({"presenting_at_facility"}),
        asked_fields=asked,
    )


def _questions(policies: PolicySet, field_count: int, *, unseen: bool) -> list[DecisionRequest]:
    """Return requests whose sets are built anew, as a request parser builds them; unseen: all different."""
    names = [*policies.tables["hospital_entitlement_check"].permitted, *policies.catalogue.fields]
    chosen = list(dict.fromkeys(names))[: field_count - unseen]
    extra = ([f"field_{number}"] if unseen else [] for number in range(SAMPLES))
    return [hospital_request(frozenset([*chosen, *more])) for more in extra]


def measure(agreement_count: int, field_count: int = 40, *, unseen: bool = False) -> float:
    """Return the median microseconds of one whole decision over field_count asked fields.

    unseen: every request asks for a set of fields that was never asked for before (the slow path).
    """
    policies = policies_of(agreement_count)
    questions = _questions(policies, field_count, unseen=unseen)
    decide(hospital_request(None), policies)
    times = []
    for question in questions:
        start = perf_counter_ns()
        decision = decide(question, policies)
        times.append(perf_counter_ns() - start)
        if not decision.permitted:
            raise AssertionError(decision.reason)
    return median(times) / 1000


def measure_minimise(card_count: int = 2) -> float:
    """Return the median microseconds of minimising the hospital case, with card_count cards."""
    decision = decide(hospital_request(None), policies_of(1))
    card = dict.fromkeys(decision.source_columns, "x")
    record = Record("opaque", datetime(2026, 11, 2, tzinfo=UTC), card, {"hi_cards": (card,) * card_count})
    times = []
    for _ in range(SAMPLES):
        start = perf_counter_ns()
        minimise(record, decision, FormContext(_DAY, "hospital_79024"))
        times.append(perf_counter_ns() - start)
    return median(times) / 1000


if __name__ == "__main__":
    for count in (10, 1_000):
        print(f"decision, 40 fields, {count} agreements: {measure(count):.2f} µs", end="; ")
        print(f"a set of fields never asked before: {measure(count, unseen=True):.2f} µs")
    print(f"minimise, hospital, 2 cards: {measure_minimise():.2f} µs")
