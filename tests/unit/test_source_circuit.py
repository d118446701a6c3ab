from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from time import monotonic

from hypothesis import given
from hypothesis import strategies as st

from connectors.circuit import CLOSED, HALF_OPEN, OPEN, Bulkhead, CircuitBreaker


def _opened(at: float = 0.0) -> CircuitBreaker:
    circuit = CircuitBreaker(failures_to_open=3, open_seconds=5.0, probe_seconds=2.0)
    for _ in range(3):
        circuit.failed(at)
    return circuit


def test_failures_below_the_threshold_leave_it_closed() -> None:
    circuit = CircuitBreaker(failures_to_open=3)
    circuit.failed(0.0)
    circuit.failed(0.0)
    assert circuit.retry_after(0.0) is None
    assert circuit.state(0.0) == CLOSED


def test_only_consecutive_failures_count() -> None:
    circuit = CircuitBreaker(failures_to_open=3)
    for _ in range(10):
        circuit.failed(0.0)
        circuit.failed(0.0)
        circuit.succeeded()
    assert circuit.state(0.0) == CLOSED


def test_open_it_says_how_long_to_wait_in_whole_seconds() -> None:
    circuit = _opened()
    assert circuit.state(0.0) == OPEN
    assert circuit.retry_after(0.0) == 5
    assert circuit.retry_after(3.5) == 2
    assert circuit.retry_after(4.999) == 1


def test_half_open_it_lets_one_probe_through_and_refuses_the_others() -> None:
    circuit = _opened()
    assert circuit.state(5.0) == HALF_OPEN
    assert circuit.retry_after(5.0) is None
    assert circuit.retry_after(5.0) == 2
    assert circuit.retry_after(6.5) == 1


def test_a_probe_that_never_reports_back_does_not_block_the_next_one() -> None:
    circuit = _opened()
    assert circuit.retry_after(5.0) is None
    assert circuit.retry_after(7.0) is None


def test_a_good_probe_closes_it() -> None:
    circuit = _opened()
    assert circuit.retry_after(5.0) is None
    circuit.succeeded()
    assert circuit.state(5.0) == CLOSED
    circuit.failed(5.0)
    assert circuit.state(5.0) == CLOSED


def test_a_bad_probe_opens_it_for_the_whole_time_again() -> None:
    circuit = _opened()
    assert circuit.retry_after(5.0) is None
    circuit.failed(5.1)
    assert circuit.retry_after(5.2) == 5


@given(st.lists(st.sampled_from(["ask", "fail", "succeed", "wait"]), max_size=60))
def test_a_closed_circuit_never_refuses_and_an_open_one_never_admits_early(steps: list[str]) -> None:
    circuit = CircuitBreaker(failures_to_open=2, open_seconds=3.0, probe_seconds=1.0)
    now, failures, opened_at = 0.0, 0, None
    for step in steps:
        if step == "wait":
            now += 1.0
        elif step == "fail":
            circuit.failed(now)
            failures += 1
            opened_at = now if failures >= 2 else opened_at
        elif step == "succeed":
            circuit.succeeded()
            failures, opened_at = 0, None
        else:
            admitted = circuit.retry_after(now) is None
            assert admitted or opened_at is not None
            assert not admitted or opened_at is None or now >= opened_at + 3.0


def test_the_bulkhead_has_exactly_as_many_places_as_it_says() -> None:
    bulkhead = Bulkhead(3)
    with ThreadPoolExecutor(16) as threads:
        entered = list(threads.map(lambda number: bulkhead.enter(float(number)), range(100)))
    assert sum(entered) == 3
    bulkhead.leave(float(entered.index(True)))
    assert bulkhead.enter(200.0)
    assert not bulkhead.enter(201.0)


def test_who_finds_a_quick_source_full_waits_for_the_next_free_place() -> None:
    bulkhead = Bulkhead(1, patience_seconds=5.0)
    assert bulkhead.enter(10.0)
    with ThreadPoolExecutor(1) as thread:
        waiting = thread.submit(bulkhead.enter, 10.001)
        bulkhead.leave(10.0)
        assert waiting.result(timeout=60) is True


def test_nobody_waits_behind_a_source_that_drags() -> None:
    bulkhead = Bulkhead(2, patience_seconds=0.1)
    assert bulkhead.enter(10.0)
    assert bulkhead.enter(10.5)
    started = monotonic()
    assert not any(bulkhead.enter(11.0) for _ in range(50)), "the oldest has been in for a second"
    assert monotonic() - started < 4, "each of the 50 waited a tenth of a second"
    bulkhead.leave(10.0)
    assert bulkhead.enter(11.0)
