"""Bytes that no HTTP library would send, at a real server: refused or dropped, and the next is served."""

from __future__ import annotations

import json
import socket
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from urllib.parse import urlencode, urlsplit

import pytest

from broker.oauth.endpoints import BACK_CHANNEL, PUSHED_REQUEST_PATH, TOKEN_PATH
from tests.doors import Server
from tests.oauth_world import ASSERTION_TYPE, Party
from tests.release_world import CHECKS, World

CANARY = b"Canary79x"
FORM = b"Content-Type: application/x-www-form-urlencoded\r\n"


def exchange(server: Server, *pieces: bytes) -> bytes:
    """Send bytes as they are and return what comes back until the connection ends; b"" for nothing."""
    address = urlsplit(server.issuer)
    answer = b""
    with socket.create_connection((str(address.hostname), int(address.port or 0)), timeout=60) as connection:
        # The server may close before it has read everything; what it answered until then is here to be read.
        with suppress(ConnectionResetError, BrokenPipeError):
            for piece in pieces:
                connection.sendall(piece)
        with suppress(OSError):
            connection.shutdown(socket.SHUT_WR)
        with suppress(ConnectionResetError, BrokenPipeError):
            while part := connection.recv(65_536):
                answer += part
    return answer


def post(server: Server, path: str, headers: bytes, body: bytes = b"") -> bytes:
    host = urlsplit(server.issuer).netloc.encode()
    head = b"POST " + path.encode("latin-1") + b" HTTP/1.1\r\nHost: " + host + b"\r\nConnection: close\r\n"
    return exchange(server, head + headers + b"\r\n" + body)


def status_of(answer: bytes) -> int:
    return int(answer.split(b" ", 2)[1]) if answer else 0


def chunked(*chunks: bytes) -> bytes:
    return b"".join(b"%x\r\n%s\r\n" % (len(one), one) for one in chunks) + b"0\r\n\r\n"


def check_alive(server: Server) -> None:
    assert server.status("/healthz") == 200
    assert CANARY.lower() not in server.log.read_bytes().lower()


HEADERS = {
    "a NUL": b"X-Odd: \0" + CANARY,
    "a folded field": b"X-Odd: a\r\n " + CANARY,
    "a field without a name": b": " + CANARY,
    "a blank before the colon": b"X-Odd : " + CANARY,
    "no colon": CANARY,
    "64 KiB": b"X-Odd: " + CANARY * 7_300,
    "2,000 fields": b"\r\n".join(b"X-%d: %s" % (at, CANARY) for at in range(2_000)),
    "a length that is no number": b"Content-Length: " + CANARY,
    "a negative length": b"Content-Length: -1",
    "two lengths": b"Content-Length: 5\r\nContent-Length: 6",
    "length and chunks": b"Content-Length: 5\r\nTransfer-Encoding: chunked",
    "a coding nobody knows": b"Transfer-Encoding: " + CANARY,
    "chunks within chunks": b"Transfer-Encoding: chunked, chunked",
}


@pytest.mark.parametrize("path", [TOKEN_PATH, PUSHED_REQUEST_PATH, "/citizen/sign-in"])
@pytest.mark.parametrize("header", HEADERS.values(), ids=HEADERS)
def test_a_header_that_is_none_is_refused(server: Server, path: str, header: bytes) -> None:
    answer = post(server, path, FORM + header + b"\r\n", b"5\r\nhello\r\n0\r\n\r\n")
    assert 400 <= status_of(answer) < 500 or status_of(answer) == 501, answer[:200]
    assert CANARY.lower() not in answer.lower()
    check_alive(server)


LINES = {
    "no version": b"POST /oauth/token\r\n\r\n",
    "an unknown version": b"POST /oauth/token HTTP/9.9\r\n\r\n",
    "bytes that are no UTF-8": b"GET /oauth/\xff\xfe" + CANARY + b" HTTP/1.1\r\nHost: x\r\n\r\n",
    "an escape that is no UTF-8": b"GET /oauth/grants/%ff%00" + CANARY + b" HTTP/1.1\r\nHost: x\r\n\r\n",
    "an escape that is none": b"GET /oauth/%zz" + CANARY + b" HTTP/1.1\r\nHost: x\r\n\r\n",
    "16 KiB": b"GET /" + CANARY * 1_800 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
    "another host": b"GET http://" + CANARY + b"/oauth/token HTTP/1.1\r\nHost: x\r\n\r\n",
    "no HTTP at all": b"\x16\x03\x01\x02\x00\x01\x00" + CANARY,
    "a blank": b" \r\n\r\n",
    "a method of one's own": CANARY.upper() + b" /oauth/token HTTP/1.1\r\nHost: x\r\n\r\n",
}


@pytest.mark.parametrize("line", LINES.values(), ids=LINES)
def test_a_request_line_that_is_none_is_refused_or_dropped(server: Server, line: bytes) -> None:
    answer = exchange(server, line)
    assert status_of(answer) == 0 or 400 <= status_of(answer) < 500 or status_of(answer) == 505, answer[:200]
    assert CANARY.lower() not in answer.lower()
    check_alive(server)


@pytest.mark.parametrize("path", BACK_CHANNEL)
def test_a_form_in_chunks_is_read_and_bounded(server: Server, path: str) -> None:
    refused = urlencode({"grant_type": "client_credentials", "client_assertion": CANARY.decode()}).encode()
    transfer = FORM + b"Transfer-Encoding: chunked\r\n"
    answer = post(
        server, path, transfer, chunked(*(refused[at : at + 7] for at in range(0, len(refused), 7)))
    )
    assert status_of(answer) == 400, answer[:200]
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["error"] == "invalid_client"
    large = chunked(b"grant_type=client_credentials&x=", *([CANARY * 1_000] * 30))
    answer = post(server, path, transfer, large)
    # Of a body without length only as much is read as the bound allows: what is cut off is refused.
    assert status_of(answer) in (400, 413), answer[:200]
    assert CANARY not in answer
    check_alive(server)


@pytest.mark.parametrize(
    "path", [TOKEN_PATH, PUSHED_REQUEST_PATH, "/oauth/authorize", "/citizen/sign-in", CHECKS]
)
@pytest.mark.parametrize(
    "body", [b"zz\r\nhello\r\n0\r\n\r\n", b"5\r\nhel", b"-5\r\nhello\r\n", b"fffffffffffffffff\r\nx", b""]
)
def test_chunks_that_are_none_are_refused_or_dropped(server: Server, path: str, body: bytes) -> None:
    content_type = b"Content-Type: application/json\r\n" if path == CHECKS else FORM
    answer = post(server, path, content_type + b"Transfer-Encoding: chunked\r\n", body)
    assert status_of(answer) == 0 or 400 <= status_of(answer) < 500, answer[:200]
    check_alive(server)


def test_a_body_that_ends_early_is_refused_or_dropped(server: Server) -> None:
    answer = post(server, TOKEN_PATH, FORM + b"Content-Length: 900\r\n", b"grant_type=" + CANARY)
    assert status_of(answer) in (0, 400), answer[:200]
    check_alive(server)


def test_two_proofs_are_no_proof(server: Server, world: World) -> None:
    hospital, party = world.register_hospital(), Party("two-proofs", issuer=server.issuer)
    [record] = world.clients.list_clients(hospital.client_id)
    metadata = {**record.client_metadata, "jwks": {"keys": [party.public_jwk]}}
    world.clients.register_client(replace(record, client_id=party.client_id, client_metadata=metadata))
    now, url = datetime.now(UTC), server.issuer + TOKEN_PATH
    form = {
        "grant_type": "client_credentials",
        "scope": "verify_entitlement",
        "client_assertion_type": ASSERTION_TYPE,
        "client_assertion": party.assertion(now),
    }
    body = urlencode(form).encode()
    length = b"Content-Length: %d\r\n" % len(body)
    proofs = [b"DPoP: " + party.proof(now, url=url).encode() + b"\r\n" for _ in range(2)]
    answer = post(server, TOKEN_PATH, FORM + length + b"".join(proofs), body)
    assert status_of(answer) == 400, answer[:200]
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["error"] == "invalid_dpop_proof"
    answer = post(server, TOKEN_PATH, FORM + length + proofs[0], body)
    assert status_of(answer) == 200, answer[:300]
