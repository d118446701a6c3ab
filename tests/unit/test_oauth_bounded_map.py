"""The bounded map behind the token and key caches."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from broker.oauth.bounded import BoundedMap


def test_the_least_recently_used_entry_leaves_first() -> None:
    kept: BoundedMap[str, int] = BoundedMap(2)
    kept.keep("a", 1)
    kept.keep("b", 2)
    assert kept.find("a") == 1
    kept.keep("c", 3)
    assert (kept.find("a"), kept.find("b"), kept.find("c")) == (1, None, 3)


def test_what_is_forgotten_is_gone_and_may_be_forgotten_twice() -> None:
    kept: BoundedMap[str, int] = BoundedMap(2)
    kept.keep("a", 1)
    kept.forget("a")
    kept.forget("a")
    assert kept.find("a") is None


def test_threads_never_push_it_over_its_bound() -> None:
    kept: BoundedMap[int, int] = BoundedMap(50)

    def work(start: int) -> None:
        for number in range(start, start + 2000):
            kept.keep(number, number)
            kept.find(number - 10)
            kept.forget(number - 20)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(0, 8000, 2000)))
    assert len(kept) <= 50
