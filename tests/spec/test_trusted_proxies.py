"""Who is at the other end, by RFC 9440 and X-Forwarded-For: only a proxy that was named is believed."""

from __future__ import annotations

import base64
import hashlib
from ipaddress import ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.oauth.caller_facts import CallerFacts
from broker.oauth.jose import encode_segment
from broker.oauth.proxies import TrustedProxies

PROXIES = TrustedProxies([ip_network("10.0.8.0/28"), ip_network("fd00::/64")])
PROXY = "10.0.8.1"
DER = b"0\x82\x01\x00 not looked into here"
FIELD = f":{base64.b64encode(DER).decode()}:"


def read(remote: str | None, forwarded: str | None = None, certificate: str | None = None) -> CallerFacts:
    environ = {
        "REMOTE_ADDR": remote,
        "HTTP_X_FORWARDED_FOR": forwarded,
        "HTTP_CLIENT_CERT": certificate,
    }
    return PROXIES.read({name: value for name, value in environ.items() if value is not None})


@pytest.mark.parametrize("remote", ["10.0.8.16", "192.0.2.1", "127.0.0.1", "::1", "fd00:0:0:1::1"])
def test_whoever_is_no_proxy_is_who_he_is_whatever_he_says(remote: str) -> None:
    assert read(remote, "198.51.100.7", FIELD) == CallerFacts(remote, None)
    assert read(remote) == CallerFacts(remote, None)


def test_without_proxies_nobody_is_believed() -> None:
    environ = {"REMOTE_ADDR": "127.0.0.1", "HTTP_X_FORWARDED_FOR": "192.0.2.1", "HTTP_CLIENT_CERT": FIELD}
    assert TrustedProxies().read(environ) == CallerFacts("127.0.0.1", None)
    assert TrustedProxies(()).read({}) == CallerFacts("", None)


@pytest.mark.parametrize(
    ("remote", "forwarded", "address"),
    [
        (PROXY, "192.0.2.1", "192.0.2.1"),
        (PROXY, " 192.0.2.1 ", "192.0.2.1"),
        ("fd00::9", "2001:DB8::0:1", "2001:db8::1"),
        ("::ffff:10.0.8.1", "192.0.2.1", "192.0.2.1"),
        (PROXY, "::ffff:192.0.2.1", "192.0.2.1"),
        # What stands left of the first stranger is the stranger's own word.
        (PROXY, "198.51.100.7, 192.0.2.1", "192.0.2.1"),
        (PROXY, "10.0.8.2, 192.0.2.1", "192.0.2.1"),
        (PROXY, "198.51.100.7, 192.0.2.1, 10.0.8.3,10.0.8.2", "192.0.2.1"),
        (PROXY, "garbage, 192.0.2.1", "192.0.2.1"),
        # A proxy may be a caller itself.
        (PROXY, "10.0.8.2", "10.0.8.2"),
        (PROXY, "10.0.8.3, 10.0.8.2", "10.0.8.3"),
    ],
)
def test_the_caller_is_the_last_whom_a_proxy_saw(remote: str, forwarded: str, address: str) -> None:
    assert read(remote, forwarded) == CallerFacts(address, None)


@pytest.mark.parametrize(
    "forwarded",
    [
        None,
        "",
        ",",
        "unknown",
        "192.0.2.1:443",
        "[2001:db8::1]",
        "192.0.2.1, ",
        "192.0.2.1, garbage",
        "192.0.2.1, garbage, 10.0.8.2",
        "192.0.2.01",
        "192.0.2",
        "3221225985",
        "fe80::1%eth0",
        "192.0.2.1;192.0.2.2",
        "1" * 5000,
    ],
)
def test_an_address_that_cannot_be_read_is_nobodys(forwarded: str | None) -> None:
    assert read(PROXY, forwarded).source_address == ""


@pytest.mark.parametrize("remote", [None, "", "unix:", "garbage", "10.0.8.1%x", "1" * 5000])
def test_an_end_that_cannot_be_read_is_no_proxy(remote: str | None) -> None:
    assert read(remote, "192.0.2.1", FIELD) == CallerFacts("", None)


def test_the_certificate_is_what_the_proxy_says_with_its_thumbprint() -> None:
    facts = read(PROXY, "192.0.2.1", FIELD)
    assert facts.source_address == "192.0.2.1"
    assert facts.certificate is not None
    assert facts.certificate.der == DER
    # RFC 8705, 3.1: base64url of the SHA-256 of the DER, without padding.
    assert facts.certificate.thumbprint == encode_segment(hashlib.sha256(DER).digest()).decode()
    assert len(facts.certificate.thumbprint) == 43


@pytest.mark.parametrize(
    "field",
    [
        "",
        ":",
        "::",
        FIELD[1:],
        FIELD[:-1],
        FIELD[1:-1],
        f"{FIELD}, {FIELD}",
        f"{FIELD},{FIELD}",
        f" {FIELD}",
        f"{FIELD};q=1",
        f"{FIELD};",
        f'"{FIELD}"',
        ":MIIB*:",
        ":MII:",
        ":MIIB=:",
        ":MIIBMA=:",
        ":MA===:",
        ":MIIB MIIB:",
        ":MIIB\nMIIB:",
        ":MB==:",  # stray bits: MA== is the only spelling
        ":-_-_:",
        ":ＭＩＩＢ:",
        "-----BEGIN CERTIFICATE-----",
        ":" + "MIIB" * 2048 + ":",
    ],
)
def test_what_is_not_exactly_one_byte_sequence_is_no_certificate(field: str) -> None:
    assert read(PROXY, "192.0.2.1", field) == CallerFacts("192.0.2.1", None)


def test_the_largest_certificate_is_8_kib_of_header() -> None:
    larger = ":" + "MIIB" * 2048 + ":"
    assert len(larger) == 8194
    assert read(PROXY, None, larger).certificate is None
    largest = ":" + "MIIB" * 2047 + ":"
    assert len(largest) == 8190
    assert read(PROXY, None, largest).certificate is not None


@given(der=st.binary(min_size=1, max_size=6000))
def test_every_certificate_arrives_as_it_was_sent(der: bytes) -> None:
    certificate = read(PROXY, "192.0.2.1", f":{base64.b64encode(der).decode()}:").certificate
    assert certificate is not None
    assert certificate.der == der


@given(
    forwarded=st.text(max_size=60), field=st.text(max_size=60), remote=st.sampled_from([PROXY, "192.0.2.9"])
)
def test_nothing_that_is_sent_makes_it_fail(forwarded: str, field: str, remote: str) -> None:
    facts = read(remote, forwarded, field)
    assert facts.source_address == "192.0.2.9" or remote == PROXY


def test_what_is_remembered_of_addresses_has_a_bound() -> None:
    proxies = TrustedProxies([ip_network("10.0.8.0/28")])
    for number in range(5000):
        environ = {"REMOTE_ADDR": PROXY, "HTTP_X_FORWARDED_FOR": f"192.0.{number >> 8}.{number & 255}"}
        assert proxies.read(environ).source_address == environ["HTTP_X_FORWARDED_FOR"]
    assert len(proxies._addresses) == 4096
    assert proxies.read({"REMOTE_ADDR": "192.0.0.0"}) == CallerFacts("192.0.0.0")
