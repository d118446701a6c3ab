"""The shipped nginx files, in a real nginx: what reaches the broker, and what never does."""

from __future__ import annotations

import base64
import socket
import ssl
import time
from collections.abc import Iterator
from typing import NamedTuple

import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519

from broker.cli.caller import Answer
from broker.oauth.endpoints import BACK_CHANNEL
from tests.certificates import Credential, PrivateKey, ec_key, make, rsa_key, server_names
from tests.doors import wait_until
from tests.nginx import FIRST, MUTUAL, NGINX, Nginx, TlsClient, echoing

pytestmark = [
    pytest.mark.skipif(NGINX is None, reason="nginx is not installed and could not be"),
    pytest.mark.xdist_group("nginx"),
]

HOSTS = pytest.mark.parametrize("host", [FIRST, MUTUAL])
CITIZENS_PAGES = ["/oauth/authorize", "/citizen/", "/citizen/sign-in"]


@pytest.fixture(scope="module")
def nginx(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nginx]:
    """nginx in front of a server that answers with what it got."""
    with echoing() as port:
        nginx = Nginx(tmp_path_factory.mktemp("nginx"), port)
        nginx.start()
        yield nginx
        nginx.stop()


def seen(client: TlsClient, url: str, method: str = "GET", **headers: str) -> dict[str, str]:
    """Return the header fields that the broker would see, names in lower case."""
    given = {name.replace("__", "-"): value for name, value in headers.items()}
    answer = client.request(method, url, headers=given)
    assert answer.status == 200, answer.body
    lines = answer.body.decode("latin-1").splitlines()
    assert len({line.partition(": ")[0].lower() for line in lines}) == len(lines)
    return {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}


def test_nginx_accepts_the_shipped_files_without_a_warning(nginx: Nginx) -> None:
    assert nginx.check.returncode == 0, nginx.check.stderr
    assert "test is successful" in nginx.check.stderr
    assert "[" not in nginx.check.stderr


def test_nothing_that_only_a_proxy_may_say_comes_from_outside(nginx: Nginx) -> None:
    smuggled = make("CN=somebody else").field
    given = dict.fromkeys(
        [
            "Client__Cert", "Client__Cert__Chain", "X__SSL__Client__Cert", "X__Client__Cert", "client_cert",
            "Forwarded", "X__Forwarded__Host", "X__Forwarded__Proto", "X__Forwarded__Prefix", "X__Real__IP",
        ],
        smuggled,
    )  # fmt: skip
    for host in (FIRST, MUTUAL):
        fields = seen(nginx.client(), f"https://{host}/v1/x", X__Forwarded__For="10.0.0.9", **given)
        assert smuggled not in fields.values()
        assert fields["x-forwarded-for"] == "127.0.0.1"
        assert not {name for name in fields if "cert" in name or name.startswith("forwarded")}


def longest(key: PrivateKey) -> Credential:
    """Return a certificate with names and addresses, as authorities issue them."""
    names = server_names("gateway.hospital.example", "gateway-2.hospital.example", "192.0.2.1")
    return make(
        "CN=Cổng kết nối,OU=Phòng Công nghệ thông tin,O=Bệnh viện Đa khoa,L=Hà Nội,C=VN", key, names=names
    )


@pytest.mark.parametrize(
    "make_key",
    [ec_key, lambda: rsa_key(2048), lambda: rsa_key(4096), ed25519.Ed25519PrivateKey.generate],
    ids=["P-256", "RSA-2048", "RSA-4096", "Ed25519"],
)
def test_a_certificate_arrives_byte_for_byte_at_one_host_only(nginx: Nginx, make_key: object) -> None:
    shown = longest(make_key())  # type: ignore[operator]
    client = nginx.client(shown)
    smuggled = make("CN=somebody else").field
    assert seen(client, f"https://{MUTUAL}/v1/x", Client__Cert=smuggled)["client-cert"] == shown.field
    assert "client-cert" not in seen(client, f"https://{FIRST}/v1/x", Client__Cert=smuggled)


def of_length(bytes_wanted: int, key: PrivateKey) -> Credential:
    """Return a certificate of exactly that many bytes."""
    bulk = bytes_wanted - 300
    for _ in range(20):
        made = make("CN=long", key, bulk=bulk, serial=1 << 150)
        if len(made.der) == bytes_wanted:
            return made
        bulk += bytes_wanted - len(made.der)
    raise AssertionError("no certificate of that length")


@pytest.mark.parametrize("last_line", [1, 2, 46, 47, 48], ids=lambda n: f"{n} bytes in the last line")
def test_every_length_of_the_last_line_arrives(nginx: Nginx, last_line: int) -> None:
    # An ECDSA signature is 70 to 72 bytes; Ed25519 always 64, so that lengths are exact.
    shown = of_length(30 * 48 + last_line, ed25519.Ed25519PrivateKey.generate())
    assert seen(nginx.client(shown), f"https://{MUTUAL}/v1/x")["client-cert"] == shown.field


def seconds_until_none(client: TlsClient) -> float:
    began = time.monotonic()
    assert "client-cert" not in seen(client, f"https://{MUTUAL}/v1/x")
    return time.monotonic() - began


def test_eighty_lines_arrive_and_a_longer_certificate_is_none_at_once(nginx: Nginx) -> None:
    key = ed25519.Ed25519PrivateKey.generate()
    most = of_length(80 * 48, key)
    assert (
        base64.b64decode(seen(nginx.client(most), f"https://{MUTUAL}/v1/x")["client-cert"][1:-1]) == most.der
    )
    still = of_length(80 * 48 + 47, key)
    assert seen(nginx.client(still), f"https://{MUTUAL}/v1/x")["client-cert"] == still.field
    client = nginx.client(of_length(120 * 48, key))
    # A pattern that tries again and again takes half a second of nginx for each such request, and never less.
    assert any(seconds_until_none(client) < 0.25 for _ in range(20))


def test_who_shows_no_certificate_has_none(nginx: Nginx) -> None:
    assert "client-cert" not in seen(nginx.client(), f"https://{MUTUAL}/v1/x")


def test_a_handshake_with_one_host_gives_no_certificate_to_the_other(nginx: Nginx) -> None:
    client = nginx.client(make("CN=client"))
    url = f"https://{FIRST}/v1/x"
    over = client.request("GET", url, handshake_name=MUTUAL)
    assert b"Client-Cert" not in over.body
    back = client.request("GET", f"https://{MUTUAL}/v1/x", handshake_name=FIRST)
    assert back.status == 421


def test_an_expired_certificate_does_not_come_through(nginx: Nginx) -> None:
    expired = make("CN=old", days=0.5)
    assert nginx.client(expired).request("GET", f"https://{MUTUAL}/v1/x").status == 400


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@HOSTS
def test_tls_from_1_2_is_spoken_and_browsers_told_to_stay_with_it(
    nginx: Nginx, host: str, version: ssl.TLSVersion
) -> None:
    client = nginx.client(minimum_version=version, maximum_version=version)
    for path in ("/v1/x", "/metrics", "/citizen/x"):
        answer = client.request("GET", f"https://{host}{path}")
        assert answer.headers["strict-transport-security"] == "max-age=31536000"
        assert "nginx/" not in answer.headers["server"]


@HOSTS
def test_tls_1_1_is_refused(nginx: Nginx, host: str) -> None:
    client = nginx.client()
    client.context.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.warns(DeprecationWarning, match="TLSv1_1 is deprecated"):
        client.context.minimum_version = ssl.TLSVersion.TLSv1_1
    with pytest.warns(DeprecationWarning, match="TLSv1_1 is deprecated"):
        client.context.maximum_version = ssl.TLSVersion.TLSv1_1
    with pytest.raises(ssl.SSLError, match="PROTOCOL_VERSION"):
        client.request("GET", f"https://{host}/v1/x")


@HOSTS
def test_tls_1_2_is_spoken_with_the_recommended_ciphers_only(nginx: Nginx, host: str) -> None:
    client = nginx.client(maximum_version=ssl.TLSVersion.TLSv1_2)
    client.context.set_ciphers(
        "ECDHE-ECDSA-AES128-SHA256:ECDHE-ECDSA-AES256-SHA:ECDHE-ECDSA-CHACHA20-POLY1305"
    )
    with pytest.raises(ssl.SSLError, match="HANDSHAKE_FAILURE"):
        client.request("GET", f"https://{host}/v1/x")


@pytest.mark.parametrize("path", CITIZENS_PAGES)
def test_cookies_reach_the_citizens_pages(nginx: Nginx, path: str) -> None:
    assert seen(nginx.client(), f"https://{FIRST}{path}?x=1", Cookie="a=1; b=2")["cookie"] == "a=1; b=2"


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/v1/entitlement-checks",
        "/oauth/grants/x",
        "/oauth/revoke",
        "/oauth/authorized",
        "/citizen/../v1/x",
        "/citizenry",
    ],
)
def test_cookies_reach_nothing_else(nginx: Nginx, path: str) -> None:
    assert "cookie" not in seen(nginx.client(), f"https://{FIRST}{path}", Cookie="a=1")


@pytest.mark.parametrize("path", CITIZENS_PAGES)
def test_the_citizens_pages_are_not_where_certificates_are_asked_for(nginx: Nginx, path: str) -> None:
    assert nginx.client().request("GET", f"https://{MUTUAL}{path}").status == 404


def test_one_address_may_not_try_passwords_quickly(nginx: Nginx) -> None:
    client = nginx.client()
    statuses = [client.request("POST", f"https://{FIRST}/citizen/sign-in").status for _ in range(30)]
    assert statuses[:20] == [200] * 20
    assert statuses.count(429) >= 5, "a place comes free every 2 s only"
    assert client.request("GET", f"https://{FIRST}/citizen/sign-in").status == 200
    assert client.request("POST", f"https://{FIRST}/citizen/requests/x").status == 200


def test_one_address_may_not_have_receipts_checked_quickly(nginx: Nginx) -> None:
    client, page = nginx.client(), f"https://{FIRST}/receipts/check"
    statuses = [client.request("POST", page).status for _ in range(20)]
    assert statuses[:10] == [200] * 10
    assert statuses.count(429) >= 5, "a place comes free every 2 s only"
    assert client.request("GET", page).status == 200
    assert client.request("GET", f"https://{MUTUAL}/receipts/check").status == 404


@pytest.mark.parametrize("path", BACK_CHANNEL)
@HOSTS
def test_one_address_may_not_ask_without_end_where_clients_authenticate(
    nginx: Nginx, host: str, path: str
) -> None:
    client = nginx.client()
    answers: list[Answer] = []
    refused: list[Answer] = []
    while not refused:
        # 100 and 50 a second: a machine that is too busy to ask so quickly asks again.
        answers += client.at_once("POST", f"https://{host}{path}", 400)
        refused = [answer for answer in answers if answer.status == 429]
        assert refused or len(answers) < 4000
    # On a machine that is busy the server behind may be late for some of those that were let through.
    assert {answer.status for answer in answers} <= {200, 429, 504}
    for answer in refused:
        assert answer.headers["content-type"] == "application/json"
        assert answer.json()["error"] == "temporarily_unavailable"
        assert set(answer.json()) == {"error", "error_description"}
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["retry-after"] == "1"
        assert answer.headers["strict-transport-security"] == "max-age=31536000"
    assert client.request("POST", f"https://{host}/v1/x").status == 200
    assert client.request("POST", f"https://{host}{path}", b"x" * 65_537).status == 413


def test_a_bank_may_poll_for_a_hundred_people_at_once(nginx: Nginx) -> None:
    time.sleep(2.1)  # whatever the tests before have used up comes free again: 100 at 50 a second
    answers = nginx.client().at_once("POST", f"https://{FIRST}/oauth/token", 100)
    assert {answer.status for answer in answers} == {200}


def test_the_log_says_when_and_whence_and_not_what(nginx: Nginx) -> None:
    before = len(nginx.log.read_text().splitlines())
    answer = nginx.client().request(  # nobody else here asks with this method
        "PUT", f"https://{FIRST}/v1/secret-path?secret=query", headers={"Cookie": "secret=1"}
    )

    def lines() -> list[str]:
        return nginx.log.read_text().splitlines()

    def is_written() -> bool:  # only after the answer was sent
        told = ["127.0.0.1", "PUT", str(answer.status)]
        return any(line.split()[1:4] == told for line in lines()[before:])

    wait_until(is_written, "the request stands in the log")
    assert [line for line in lines() if "secret" in line or "/v1" in line] == []


class Resumed(NamedTuple):
    """What a connection brought: the answer, whether an earlier session was taken up, the session."""

    answer: str
    is_resumed: bool
    session: ssl.SSLSession | None


def resumed(nginx: Nginx, context: ssl.SSLContext, host: str, session: ssl.SSLSession | None) -> Resumed:
    """Ask over a connection that offers an earlier session."""
    raw = socket.create_connection(("127.0.0.1", nginx.port), 60)
    with context.wrap_socket(raw, server_hostname=host, session=session) as connection:
        connection.sendall(f"GET /v1/x HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
        answered = b"".join(iter(lambda: connection.recv(65_536), b""))
        return Resumed(answered.decode("latin-1"), connection.session_reused is True, connection.session)


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_resumed_session_has_the_certificate_it_began_with_or_none(
    nginx: Nginx, version: ssl.TLSVersion
) -> None:
    shown = make("CN=client")
    context = nginx.client(shown, minimum_version=version, maximum_version=version).context
    first = resumed(nginx, context, MUTUAL, None)
    assert (shown.field in first.answer, first.is_resumed) == (True, False)
    again = resumed(nginx, context, MUTUAL, first.session)
    assert (shown.field in again.answer, again.is_resumed) == (True, True)
    # Whether nginx resumes at another host than it began at is up to its version: nothing may depend on it.
    elsewhere = resumed(nginx, context, FIRST, again.session)
    assert "200 OK" in elsewhere.answer
    assert "client-cert" not in elsewhere.answer.lower()
    begun_without = resumed(nginx, context, FIRST, None)
    try:
        later = resumed(nginx, context, MUTUAL, begun_without.session)
    except ssl.SSLError:
        return  # refused: nginx with TLS 1.3; with TLS 1.2 it answers 421
    assert ("client-cert" in later.answer.lower()) is not later.is_resumed
