"""The hot routes answer what Flask answers: the same requests go both ways and the answers are compared."""

from __future__ import annotations

import http.client
import json
import re
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest
from werkzeug.test import EnvironBuilder, run_wsgi_app

from broker.api.exchange import Exchange
from broker.api.hot_routes import HotRoutes
from broker.cli.caller import Answer, Caller
from broker.oauth.proxies import TrustedProxies
from tests.doors import InProcessCaller, Server, post
from tests.release_world import BATCH, CHECKS, World

_FRESH = re.compile(rb"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}")
_INSTANT = re.compile(rb'"as_of":"2[0-9T:.-]+Z"')


def comparable(answer: Answer) -> tuple[int, dict[str, str], bytes]:
    """Return status, fields and body without what is fresh in every answer."""
    fields = {name: value for name, value in answer.headers.items() if name not in {"date", "x-request-id"}}
    return answer.status, fields, _INSTANT.sub(b"", _FRESH.sub(b"", answer.body))


def good(world: World) -> Any:
    return world.document()


def unreadable(_: World) -> Any:
    return b'{"a":1,"a":2}'


def malformed(world: World) -> Any:
    return world.document(birth_date="x", surname="y")


def unknown_staff(world: World) -> Any:
    return world.document(acting_person={"full_name": "Lê Văn Khác", "personal_id": "001090777777"})


def mismatch(world: World) -> Any:
    return world.document(full_name="Ông Ích Khiêm Xy")


def two_persons(world: World) -> Any:
    return world.document(world.cases["duplicate_si_number"][0])


def empty_batch(_: World) -> Any:
    return {"items": []}


@pytest.mark.parametrize("headers", [{}, {"Accept_Language": "en"}, {"X_Request_Id": "given-by-the-desk"}])
@pytest.mark.parametrize(
    "make", [good, unreadable, malformed, unknown_staff, mismatch, two_persons, empty_batch]
)
@pytest.mark.parametrize("path", [CHECKS, BATCH])
def test_the_same_request_has_the_same_answer_on_both_ways(
    caller: Caller, world: World, path: str, make: Callable[[World], Any], headers: dict[str, str]
) -> None:
    document = make(world)
    hot = comparable(post(caller, document, path, **headers))
    assert comparable(post(caller, document, f"{path}?way=flask", **headers)) == hot
    spelt_out = {**headers, "Content_Type": "application/json; charset=utf-8"}
    assert comparable(post(caller, document, path, **spelt_out)) == hot


def test_refusals_of_token_and_proof_are_the_same_on_both_ways(caller: Caller, world: World) -> None:
    body = json.dumps(world.document()).encode()
    for token, proof in (("x.y.z", None), (None, "x.y.z"), ("a b", None)):
        answers = [
            caller.request("POST", path, body, token=token, proof=proof)
            for path in (CHECKS, f"{CHECKS}?way=flask")
        ]
        assert comparable(answers[0]) == comparable(answers[1])
        assert answers[0].status == 401


def test_a_used_proof_is_used_on_both_ways(caller: Caller, world: World) -> None:
    body = json.dumps(world.document()).encode()
    assert caller.request("POST", CHECKS, body).status == 200
    assert caller.request("POST", f"{CHECKS}?way=flask", body, proof=caller.last_proof).status == 401


@pytest.fixture
def ways(local: InProcessCaller) -> Iterator[list[str]]:
    """The paths that the hot routes handed on to Flask, in order."""
    handed_on: list[str] = []
    hot = local.app.wsgi_app
    assert isinstance(hot, HotRoutes)
    flask = hot._behind

    def behind(environ: Any, start_response: Any) -> Any:
        handed_on.append(environ["PATH_INFO"])
        return flask(environ, start_response)

    hot._behind = behind
    yield handed_on
    hot._behind = flask


def test_the_plain_request_never_reaches_flask(local: InProcessCaller, world: World, ways: list[str]) -> None:
    local.token()
    ways.clear()
    assert post(local, world.document()).status == 200
    assert post(local, b"{").status == 400
    assert ways == []
    assert post(local, world.document(), f"{CHECKS}?x=1").status == 200
    assert post(local, world.document(), CHECKS, Content_Type="application/json;charset=UTF-8").status == 200
    assert local.request("GET", CHECKS).status == 405
    assert post(local, b'{"a":"' + b"x" * 270_000 + b'"}').status == 413
    assert post(local, world.document(), f"{CHECKS}/").status == 404
    assert ways == [CHECKS, CHECKS, CHECKS, CHECKS, f"{CHECKS}/"]


def test_a_body_in_chunks_is_read_and_bounded(caller: Caller, server: Server, world: World) -> None:
    url = server.issuer + CHECKS
    good, large = json.dumps(world.document()).encode(), b'{"a":"' + b"x" * 270_000 + b'"}'
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=60)
    # Of a body without length only as much is read as the bound allows: cut off there, it is unreadable.
    for body, statuses in ((good, {200}), (large, {400, 413})):
        token = caller.token()
        fields = {
            "Authorization": f"DPoP {token}",
            "DPoP": caller.proof("POST", url, token),
            "Content-Type": "application/json",
        }
        pieces = (body[at : at + 1000] for at in range(0, len(body), 1000))
        connection.request("POST", CHECKS, pieces, fields, encode_chunked=True)
        response = connection.getresponse()
        response.read()
        response.close()
        assert response.status in statuses
    connection.close()


def test_a_body_that_ends_early_is_answered_to_nobody() -> None:
    def never(*_: Any) -> Any:
        raise AssertionError("a request that was cut off reached a handler")

    routes = HotRoutes(
        never, Exchange("https://broker.example", lambda: "x"), {CHECKS: never}, 1000, TrustedProxies()
    )
    environ = EnvironBuilder(CHECKS, method="POST", data=b"{}", content_type="application/json").get_environ()
    environ["CONTENT_LENGTH"] = "3"
    with pytest.raises(ConnectionError):
        run_wsgi_app(routes, environ)
