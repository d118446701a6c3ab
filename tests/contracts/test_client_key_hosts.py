"""Which hosts of published keys are asked at all: addresses, names, certificates, redirects."""

from __future__ import annotations

import socket
from collections.abc import Sequence
from pathlib import Path

import pytest

from connectors.client_keys import ClientKeySets
from connectors.reachable import is_reachable, system_addresses
from tests.client_keys_world import OLD, fault, key_sets, kids
from tests.key_host import HOST, Answer, Authority, KeyHost, key_host, plain


def redirect(location: str) -> Answer:
    return plain({}, status=302, Location=location)


@pytest.mark.parametrize("location", ["/elsewhere", "http://169.254.169.254/", "https://10.0.0.1/jwks"])
def test_no_redirect_is_followed(sets: ClientKeySets, host: KeyHost, location: str) -> None:
    host.answer = redirect(location)
    assert fault(sets, host) == "the host answers with another status than 200"
    assert len(host.asked) == 1


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
