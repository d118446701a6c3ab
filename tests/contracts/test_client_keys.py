"""Key sets that clients publish, read from a real HTTPS host on the loopback: well, slow and hostile."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator, Sequence
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest

from broker.oauth.client_jwks import usable_jwks
from broker.oauth.registration import read_jwks
from connectors.client_keys import KEPT_MAX, ClientKeySets, seconds_to_keep
from connectors.pinned_https import Fetched, is_reachable, system_addresses
from tests.doors import wait_until
from tests.key_host import HOST, Answer, Authority, KeyHost, key_host, plain
from tests.oauth_world import Party

OLD, NEW = Party("agency"), Party("agency")


class Seconds:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority()


@pytest.fixture(scope="module")
def serving(authority: Authority, tmp_path_factory: pytest.TempPathFactory) -> Iterator[KeyHost]:
    with key_host(authority.context(tmp_path_factory.mktemp("tls"), HOST)) as host:
        yield host


@pytest.fixture
def host(serving: KeyHost) -> KeyHost:
    serving.asked.clear()
    serving.names.clear()
    serving.answer = published(OLD)
    return serving


@pytest.fixture
def clock() -> Seconds:
    return Seconds()


@pytest.fixture
def sets(authority: Authority, host: KeyHost, clock: Seconds) -> ClientKeySets:
    return key_sets(authority, host, clock=clock)


def key_sets(authority: Authority, host: KeyHost, **changes: Any) -> ClientKeySets:
    given = {"authorities": authority.pem, "private_hosts": [HOST], "resolve": host.resolve, **changes}
    return ClientKeySets(usable_jwks, **given)


def published(*parties: Party, **options: Any) -> Answer:
    return plain({"keys": [party.public_jwk for party in parties]}, **options)


def kids(text: str | None) -> list[str | None]:
    assert text is not None
    return [key.kid for key in read_jwks(text)]


def fault(sets: ClientKeySets, host: KeyHost) -> str:
    """Return why nothing can be read; the answer to whoever asks is None."""
    assert sets.find_jwks(host.url) is None
    found = sets.find_fault(host.url)
    assert found is not None
    return found


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
    wait_until(lambda: kids(sets.find_jwks(host.url)) == [NEW.kid], "the new set is there", 5)
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


def redirect(location: str) -> Answer:
    return plain({}, status=302, Location=location)


@pytest.mark.parametrize("location", ["/elsewhere", "http://169.254.169.254/", "https://10.0.0.1/jwks"])
def test_no_redirect_is_followed(sets: ClientKeySets, host: KeyHost, location: str) -> None:
    host.answer = redirect(location)
    assert fault(sets, host) == "the host answers with another status than 200"
    assert len(host.asked) == 1


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
    time.sleep(5)


def test_a_body_without_end_is_read_to_the_limit_only(sets: ClientKeySets, host: KeyHost) -> None:
    host.answer = endless
    assert fault(sets, host) == "the document is larger than 64 KiB"


@pytest.mark.parametrize("slow", [drip_of_headers, drip_of_a_body, silence])
def test_a_host_that_draws_out_its_answer_costs_no_more_than_the_time_of_one_reading(
    authority: Authority, host: KeyHost, slow: Answer
) -> None:
    sets = key_sets(authority, host, reading_seconds=0.3)
    host.answer = slow
    started = time.monotonic()
    assert sets.find_jwks(host.url) is None
    assert time.monotonic() - started < 4, "it waited for the 5 s of the silent one"
    # The thread behind it ends too, and the place it had is free again.
    wait_until(lambda: sets.find_fault(host.url) is not None, "the reading has ended", 4)
    assert sets.find_jwks(host.url) is None
    assert time.monotonic() - started < 4.5
    assert len(host.asked) == 1


def test_a_reading_that_nobody_waits_for_is_ended_by_whoever_asks_next(
    authority: Authority, host: KeyHost, clock: Seconds
) -> None:
    sets = key_sets(authority, host, clock=clock, reading_seconds=0.3)
    sets.find_jwks(host.url)
    host.answer = drip_of_a_body
    clock.now += 50
    sets.find_jwks(host.url)
    time.sleep(0.4)
    assert sets.find_fault(host.url) is None
    wait_until(
        lambda: kids(sets.find_jwks(host.url)) == [OLD.kid] and sets.find_fault(host.url) is not None,
        "the reading has ended",
    )


def test_a_slow_host_holds_two_threads_at_most(authority: Authority, host: KeyHost) -> None:
    sets = key_sets(authority, host, reading_seconds=1.5)
    host.answer = silence
    answered: list[float] = []
    started = time.monotonic()

    def ask() -> None:
        assert sets.find_jwks(host.url) is None
        answered.append(time.monotonic() - started)

    threads = [threading.Thread(target=ask) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len([seconds for seconds in answered if seconds >= 1.4]) == 2
    assert len([seconds for seconds in answered if seconds < 1.4]) == 4
    assert len(host.asked) == 1


def test_whoever_asks_while_a_set_is_read_gets_it_too(authority: Authority, host: KeyHost) -> None:
    sets = key_sets(authority, host, reading_seconds=20)
    may_answer = threading.Event()

    def late(request: BaseHTTPRequestHandler) -> None:
        may_answer.wait(20)
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
        released.wait(5)
        return []

    sets = key_sets(authority, host, resolve=stuck, reading_seconds=0.2)
    started = time.monotonic()
    urls = [f"https://a{number}.example/" for number in range(5)]
    assert [sets.find_jwks(url) for url in urls] == [None] * 5
    assert time.monotonic() - started < 4.5, "it waited for the 5 s of the stuck resolver"
    reading = [thread for thread in threading.enumerate() if thread.name == "client-keys"]
    assert len(reading) == 2
    released.set()
    wait_until(lambda: not any(thread.is_alive() for thread in reading), "the threads end")


@pytest.mark.parametrize("private", ["10.0.0.1", "127.0.0.1", "::1", "169.254.169.254", "fd00::1"])
def test_one_private_address_among_public_ones_refuses_the_host(
    authority: Authority, host: KeyHost, private: str
) -> None:
    sets = key_sets(authority, host, private_hosts=[], resolve=lambda *_: ["1.1.1.1", private])
    assert fault(sets, host) == "the host has an address that must not be reached"
    assert host.asked == []


def test_the_name_is_resolved_once_and_the_address_that_was_judged_is_the_one_connected_to(
    authority: Authority, host: KeyHost
) -> None:
    answers = [["127.0.0.1"], ["127.0.0.2"]]
    sets = key_sets(authority, host, resolve=lambda *_: answers.pop(0))
    assert kids(sets.find_jwks(host.url)) == [OLD.kid]
    assert answers == [["127.0.0.2"]]


def test_an_address_that_takes_no_connection_leaves_the_turn_to_the_next(
    authority: Authority, host: KeyHost
) -> None:
    sets = key_sets(authority, host, resolve=lambda *_: ["127.0.0.9", "127.0.0.1"])
    assert kids(sets.find_jwks(host.url)) == [OLD.kid]


PUBLIC = ["1.1.1.1", "8.8.8.8", "203.162.0.181", "2606:4700:4700::1111"]
PRIVATE = ["10.1.2.3", "172.16.0.1", "192.168.1.1", "100.64.0.1", "127.0.0.1", "::1", "fd12::1"]
NEVER = [
    "169.254.169.254", "fe80::1", "0.0.0.0", "::",  # noqa: S104
    "224.0.0.1", "ff0e::1", "255.255.255.255", "192.0.2.1",
    "192.0.0.170", "192.88.99.1", "198.18.0.1", "240.0.0.1", "::ffff:10.0.0.1", "::ffff:1.1.1.1", "::1.1.1.1",
    "64:ff9b::a00:1", "64:ff9b:1::a00:1", "2002:a00:1::", "2001::1", "2001:db8::1", "3fff::1", "fec0::1",
    "100::1", "5f00::1", "fe80::1%eth0", "::ffff:127.0.0.1", "10.0.0", "localhost", "",
]  # fmt: skip


@pytest.mark.parametrize("address", PUBLIC)
def test_public_addresses_may_be_reached(address: str) -> None:
    assert is_reachable(address)


@pytest.mark.parametrize("address", PRIVATE)
def test_inner_addresses_may_be_reached_for_named_hosts_only(address: str) -> None:
    assert not is_reachable(address)
    assert is_reachable(address, private=True)


@pytest.mark.parametrize("address", NEVER)
def test_addresses_that_stand_for_others_or_for_nothing_are_never_reached(address: str) -> None:
    assert not is_reachable(address)
    assert not is_reachable(address, private=True)


@pytest.mark.parametrize(
    "url",
    [
        "http://keys.agency.example/jwks",
        "ftp://keys.agency.example/jwks",
        "https://127.0.0.1/jwks",
        "https://[::1]/jwks",
        "https://127.1/jwks",
        "https://2130706433/jwks",
        "https://0x7f.1/jwks",
        "https://user@keys.agency.example/jwks",
        "https://keys.agency.example/jwks#part",
        "https://keys.agency.example/a b",
        "https://keys.agency.example/a\r\nHost: b",
        "https://keys.agency.example\\@b/",
        "https://keys.agency.example:99999/",
        "https://keys.agency.example.:443/",
        "https://clés.example/",
        "https:///jwks",
        "",
    ],
)
def test_only_plain_https_urls_with_a_name_are_read(authority: Authority, host: KeyHost, url: str) -> None:
    resolved: list[str] = []

    def resolve(name: str, _port: int) -> Sequence[str]:
        resolved.append(name)
        return ["127.0.0.1"]

    sets = key_sets(authority, host, resolve=resolve)
    assert sets.find_jwks(url) is None
    assert "plain https URL" in str(sets.find_fault(url))
    assert resolved == []


def test_a_host_that_speaks_plain_http_is_refused(authority: Authority) -> None:
    with key_host(None) as host:
        assert fault(key_sets(authority, host), host) == "the host does not answer"
        assert host.asked == []


@pytest.mark.parametrize(
    ("name", "valid", "trusted"), [("other.example", True, True), (HOST, False, True), (HOST, True, False)]
)
def test_a_certificate_of_another_name_time_or_authority_is_refused(
    authority: Authority, tmp_path: Path, name: str, valid: bool, trusted: bool
) -> None:
    with key_host(authority.context(tmp_path, name, valid=valid)) as host:
        sets = key_sets(authority if trusted else Authority(), host)
        assert fault(sets, host) == "the certificate of the host is not valid for it"
        assert host.asked == []


def test_without_authorities_of_its_own_the_systems_are_asked(authority: Authority, host: KeyHost) -> None:
    told = fault(key_sets(authority, host, authorities=""), host)
    assert told == "the certificate of the host is not valid for it"


def test_proxies_of_the_environment_are_not_used(
    sets: ClientKeySets, host: KeyHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    assert kids(sets.find_jwks(host.url)) == [OLD.kid]


def test_an_unknown_name_is_a_fault_and_no_exception(authority: Authority, host: KeyHost) -> None:
    def unknown(_host: str, _port: int) -> Sequence[str]:
        raise socket.gaierror

    told = fault(key_sets(authority, host, resolve=unknown), host)
    assert told == "the name of the host is not known"
    told = fault(key_sets(authority, host, resolve=lambda *_: []), host)
    assert told == "the host has an address that must not be reached"


def test_the_systems_resolver_gives_each_address_once() -> None:
    found = system_addresses("localhost", 443)
    assert found
    assert set(found) <= {"127.0.0.1", "::1"}
    assert len(found) == len(set(found))


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
