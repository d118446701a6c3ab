"""Key sets that clients publish, read from a real HTTPS host on the loopback: well, slow and hostile."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Sequence
from http.server import BaseHTTPRequestHandler

import pytest

from connectors.client_keys import KEPT_MAX, ClientKeySets, seconds_to_keep
from connectors.pinned_https import Fetched
from tests.client_keys_world import NEW, OLD, Seconds, fault, key_sets, kids, published
from tests.doors import wait_until
from tests.key_host import HOST, Answer, Authority, KeyHost, plain


def test_a_set_is_read_once_and_kept(sets: ClientKeySets, host: KeyHost) -> None:
    assert kids(sets.find_jwks(host.url)) == [OLD.kid]
    assert kids(sets.find_jwks(host.url)) == [OLD.kid]
    assert host.asked == [("/jwks", f"{HOST}:{host.port}")]
    assert host.names == [HOST]
    assert sets.find_fault(host.url) is None


@pytest.mark.parametrize("media_type", ["application/json", "application/jwk-set+json; charset=utf-8"])
def test_both_media_types_of_a_set_are_taken(sets: ClientKeySets, host: KeyHost, media_type: str) -> None:
    host.answer = published(OLD, media_type=media_type)
    assert kids(sets.find_jwks(host.url)) == [OLD.kid]


def test_a_key_exchanged_at_the_agency_works_at_once(
    sets: ClientKeySets, host: KeyHost, clock: Seconds
) -> None:
    sets.find_jwks(host.url)
    host.answer = published(NEW)
    assert kids(sets.find_jwks(host.url)) == [OLD.kid]
    clock.now += 10
    assert kids(sets.find_jwks(host.url, renew=True)) == [NEW.kid]
    assert kids(sets.find_jwks(host.url)) == [NEW.kid]


def test_unknown_kids_cannot_make_the_broker_read_more_than_once_in_ten_seconds(
    sets: ClientKeySets, host: KeyHost, clock: Seconds
) -> None:
    sets.find_jwks(host.url)
    for _ in range(5):
        clock.now += 1.9
        assert kids(sets.find_jwks(host.url, renew=True)) == [OLD.kid]
    assert len(host.asked) == 1


def test_a_set_ends_with_its_max_age(sets: ClientKeySets, host: KeyHost, clock: Seconds) -> None:
    sets.find_jwks(host.url)
    host.answer = plain({}, status=500)
    clock.now += 47.9
    assert kids(sets.find_jwks(host.url)) == [OLD.kid]
    clock.now += 12.1
    assert sets.find_jwks(host.url) is None
    assert len(host.asked) == 2


def test_a_set_is_read_anew_before_it_ends_and_nobody_waits_for_that(
    sets: ClientKeySets, host: KeyHost, clock: Seconds
) -> None:
    sets.find_jwks(host.url)
    host.answer = published(NEW)
    clock.now += 48.1
    assert kids(sets.find_jwks(host.url)) == [OLD.kid]
    wait_until(lambda: kids(sets.find_jwks(host.url)) == [NEW.kid], "the new set is there")
    assert len(host.asked) == 2


def test_a_host_that_fails_leaves_the_set_that_has_not_ended(
    sets: ClientKeySets, host: KeyHost, clock: Seconds
) -> None:
    sets.find_jwks(host.url)
    host.answer = plain({}, status=503)
    clock.now += 11
    assert kids(sets.find_jwks(host.url, renew=True)) == [OLD.kid]
    assert len(host.asked) == 2


def test_a_host_that_fails_is_left_alone_for_longer_and_longer(
    sets: ClientKeySets, host: KeyHost, clock: Seconds
) -> None:
    host.answer = plain({}, status=503)
    rests = []
    for _ in range(6):
        asked, began = len(host.asked), clock.now
        while len(host.asked) == asked:
            assert sets.find_jwks(host.url) is None
            clock.now += 1
        rests.append(round(clock.now - began))
    assert rests == [1, 5, 10, 20, 40, 80]
    host.answer = published(OLD)
    clock.now += 80
    assert kids(sets.find_jwks(host.url)) == [OLD.kid]


def test_a_set_that_must_not_be_stored_serves_whoever_waits_and_nobody_else(
    sets: ClientKeySets, host: KeyHost
) -> None:
    host.answer = published(OLD, cache_control="no-store")
    assert kids(sets.find_jwks(host.url)) == kids(sets.find_jwks(host.url)) == [OLD.kid]
    assert len(host.asked) == 2


@pytest.mark.parametrize(
    ("cache_control", "age", "seconds"),
    [
        ("", "", 300),
        ("public", "", 300),
        ("max-age=20", "", 20),
        ("max-age=20", "5", 15),
        ("max-age=20", "30", 0),
        ("max-age=20", "soon", 20),
        ("max-age=999999", "", 3600),
        ('Max-Age="40", must-revalidate', "", 40),
        ("max-age=40, max-age=10", "", 10),
        ("max-age=ten", "", 0),
        ("max-age=-1", "", 0),
        ("max-age", "", 0),
        ("no-store, max-age=60", "", 0),
        ('no-cache="x"', "", 0),
    ],
)
def test_how_long_a_set_is_kept(cache_control: str, age: str, seconds: float) -> None:
    assert seconds_to_keep(Fetched("application/json", cache_control, age, b"")) == seconds


NO_OBJECT = "the document is not one JSON object with unique member names"
LOST = "the set holds a private key: that key is lost, make a new one"
USABLE = "a JWK set needs a list named keys with 1 to 8 keys"
BAD_SETS: dict[str, tuple[object, str]] = {
    "no json": (b"keys", NO_OBJECT),
    "no utf-8": (b"\xff", "the document is not UTF-8"),
    "a list": ([OLD.public_jwk], NO_OBJECT),
    "no key": ({"keys": []}, "a JWK set needs a list named keys with 1 to 64 keys"),
    "a private key": ({"keys": [OLD.public_jwk, NEW.key.as_dict(private=True)]}, LOST),
    "a symmetric key": ({"keys": [OLD.public_jwk, {"kty": "oct", "k": "c2VjcmV0"}]}, LOST),
    "one kid twice": (
        {"keys": [{**OLD.public_jwk, "kid": "a"}, {**NEW.public_jwk, "kid": "a"}]},
        "two keys of the set have the same kid and algorithm",
    ),
    "keys elsewhere": (
        {"keys": [{**OLD.public_jwk, "x5u": "https://keys.agency.example/c"}]},
        "the set refers to keys elsewhere (x5u, jku)",
    ),
    "only keys for encryption": ({"keys": [{**OLD.public_jwk, "use": "enc"}]}, USABLE),
    "no objects": ({"keys": ["x"]}, "a key of the set is not a JSON object"),
    "a name twice": (b'{"keys": [], "keys": []}', NO_OBJECT),
    "too many": ({"keys": [{**OLD.public_jwk, "kid": str(number)} for number in range(9)]}, USABLE),
}


@pytest.mark.parametrize("name", BAD_SETS)
def test_a_set_that_could_not_be_registered_is_not_taken_from_a_host(
    sets: ClientKeySets, host: KeyHost, name: str
) -> None:
    document, words = BAD_SETS[name]
    host.answer = plain(document)
    assert fault(sets, host) == words


def test_keys_for_other_uses_are_left_out(sets: ClientKeySets, host: KeyHost) -> None:
    others = [{**NEW.public_jwk, "use": "enc"}, {"kty": "RSA", "alg": "RS256", "n": "x", "e": "AQAB"}]
    host.answer = plain({"keys": [*others, OLD.public_jwk, {"kty": "AKP", "pub": "x"}]})
    assert kids(sets.find_jwks(host.url)) == [OLD.kid]


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (published(OLD, media_type="text/html"), "neither application"),
        (plain(b"{" + b" " * 70_000 + b"}"), "larger than 64 KiB"),
        (published(OLD, Content_Encoding="gzip"), "compresses"),
        (plain({}, status=404), "another status"),
        (plain({}, status=304), "another status"),
    ],
)
def test_what_is_no_small_plain_document_is_refused(
    sets: ClientKeySets, host: KeyHost, answer: Answer, words: str
) -> None:
    host.answer = answer
    assert words in fault(sets, host)


def endless(request: BaseHTTPRequestHandler) -> None:
    request.send_response(200)
    request.send_header("Content-Type", "application/json")
    request.end_headers()
    while True:
        request.wfile.write(b" " * 65_536)


def drip_of_headers(request: BaseHTTPRequestHandler) -> None:
    request.wfile.write(b"HTTP/1.1 200 OK\r\n")
    for number in range(1000):
        request.wfile.write(f"X-{number}: 1\r\n".encode())
        time.sleep(0.05)


def drip_of_a_body(request: BaseHTTPRequestHandler) -> None:
    request.send_response(200)
    request.send_header("Content-Type", "application/json")
    request.send_header("Content-Length", "1000")
    request.end_headers()
    for _ in range(1000):
        request.wfile.write(b" ")
        time.sleep(0.05)


def silence(_: BaseHTTPRequestHandler) -> None:
    time.sleep(60)


def test_a_body_without_end_is_read_to_the_limit_only(sets: ClientKeySets, host: KeyHost) -> None:
    host.answer = endless
    assert fault(sets, host) == "the document is larger than 64 KiB"


@pytest.mark.parametrize("slow", [drip_of_headers, drip_of_a_body, silence])
def test_a_host_that_draws_out_its_answer_costs_no_more_than_the_time_of_one_reading(
    authority: Authority, host: KeyHost, slow: Answer
) -> None:
    sets = key_sets(authority, host, reading_seconds=2.0)
    host.answer = slow
    started = time.monotonic()
    assert sets.find_jwks(host.url) is None
    # The thread behind it ends too, and the place it had is free again.
    wait_until(lambda: sets.find_fault(host.url) is not None, "the reading has ended")
    assert sets.find_jwks(host.url) is None
    assert time.monotonic() - started < 40, "it waited for the minute of the silent one"
    assert len(host.asked) == 1


def test_a_reading_that_nobody_waits_for_is_ended_by_whoever_asks_next(
    authority: Authority, host: KeyHost, clock: Seconds
) -> None:
    sets = key_sets(authority, host, clock=clock, reading_seconds=2.0)
    assert kids(sets.find_jwks(host.url)) == [OLD.kid]
    host.answer = drip_of_a_body
    clock.now += 50
    sets.find_jwks(host.url)
    time.sleep(2.1)  # a reading may take so long; that it is over nobody has seen yet
    assert sets.find_fault(host.url) is None
    wait_until(
        lambda: kids(sets.find_jwks(host.url)) == [OLD.kid] and sets.find_fault(host.url) is not None,
        "the reading has ended",
    )


def test_a_slow_host_holds_two_threads_at_most(authority: Authority, host: KeyHost) -> None:
    sets = key_sets(authority, host)
    may_answer = threading.Event()

    def late(request: BaseHTTPRequestHandler) -> None:
        may_answer.wait(60)
        published(OLD)(request)

    host.answer = late
    answered: list[str | None] = []
    threads = [threading.Thread(target=lambda: answered.append(sets.find_jwks(host.url))) for _ in range(6)]
    for thread in threads:
        thread.start()
    wait_until(lambda: len(answered) == 4 and len(host.asked) == 1, "all but two are answered")
    assert sets._waiting == 2
    assert answered == [None] * 4, "nobody but these two waits for the host"
    may_answer.set()
    for thread in threads:
        thread.join()
    assert [kids(text) for text in answered[4:]] == [[OLD.kid]] * 2
    assert len(host.asked) == 1


def test_whoever_asks_while_a_set_is_read_gets_it_too(authority: Authority, host: KeyHost) -> None:
    sets = key_sets(authority, host)
    may_answer = threading.Event()

    def late(request: BaseHTTPRequestHandler) -> None:
        may_answer.wait(60)
        published(OLD)(request)

    host.answer = late
    found: list[str | None] = []
    threads = [threading.Thread(target=lambda: found.append(sets.find_jwks(host.url))) for _ in range(2)]
    threads[0].start()
    wait_until(lambda: len(host.asked) == 1, "the host is asked")
    threads[1].start()
    wait_until(lambda: sets._waiting == 2, "both wait")
    may_answer.set()
    for thread in threads:
        thread.join()
    assert [kids(text) for text in found] == [[OLD.kid]] * 2
    assert len(host.asked) == 1


def test_a_name_that_nobody_resolves_in_time_holds_nobody(authority: Authority, host: KeyHost) -> None:
    released = threading.Event()

    def stuck(_host: str, _port: int) -> Sequence[str]:
        released.wait(60)
        return []

    sets = key_sets(authority, host, resolve=stuck, reading_seconds=0.2)
    started = time.monotonic()
    urls = [f"https://a{number}.example/" for number in range(5)]
    assert [sets.find_jwks(url) for url in urls] == [None] * 5
    assert time.monotonic() - started < 40, "it waited for the minute of the stuck resolver"
    reading = [thread for thread in threading.enumerate() if thread.name == "client-keys"]
    assert len(reading) == 2
    released.set()
    wait_until(lambda: not any(thread.is_alive() for thread in reading), "the threads end")


def test_the_number_of_sets_kept_is_bounded(authority: Authority, host: KeyHost, clock: Seconds) -> None:
    def unknown(_host: str, _port: int) -> Sequence[str]:
        raise socket.gaierror

    sets = key_sets(authority, host, clock=clock, resolve=unknown)
    for number in range(KEPT_MAX + 5):
        sets.find_jwks(f"https://a{number}.example/")
    assert [sets.find_fault(f"https://a{number}.example/") is None for number in (0, 4, 5)] == [
        True,
        True,
        False,
    ]
