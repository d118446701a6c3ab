"""Nothing of a person reaches a log: what the broker wrote during this run, line by line and word by word.

These tests write lines of every kind themselves and read everything that was written before them in this
process; every log is read once more when its application or server ends (tests/conftest.py).
"""

from __future__ import annotations

import json
import logging
import re
from pathlib import Path
from typing import Any, ClassVar

import pytest

from broker.api.operations_log import LOG, JsonLines
from broker.cli.caller import Caller
from tests.doors import InProcessCaller, Server, post
from tests.log_reader import SECRETS, all_faults, faults_in
from tests.release_world import BATCH, CHECKS, World, numbers_in


def say_everything(caller: Caller, world: World) -> None:
    """Send one request of every kind, full of what must not be logged."""
    person = world.person()
    revealing = {"X_Request_Id": person.personal_id, "Accept_Language": person.full_name.encode().hex()}
    stranger = {"full_name": "Lê Văn Khác", "personal_id": person.personal_id}
    for document in (
        world.document(person),
        world.document(person, full_name="Ông Ích Khiêm Xy"),
        world.document(person, card_number=person.cards[0].hi_card_15),
        world.document(person, acting_person=stranger),
        world.document(person, birth_date="31/02/1990"),
        world.document(person, card_number=f"{person.personal_id}9"),
        world.document(world.cases["duplicate_si_number"][0]),
        {**world.document(person), person.personal_id: person.full_name},
        json.dumps(world.document(person)).encode() + b"x",
        [world.document(person)],
    ):
        for path in (CHECKS, f"{CHECKS}?so_the={person.personal_id}", BATCH):
            post(caller, document, path, **revealing)
    caller.request("GET", f"/v1/{person.personal_id}")
    caller.request("GET", f"/problems/{person.personal_id}?name={person.si_number}")
    caller.request("DELETE", f"{CHECKS}/{person.personal_id}")
    body = json.dumps(world.document(person)).encode()
    caller.request("POST", CHECKS, body)
    caller.request("POST", CHECKS, body, proof=caller.last_proof)
    caller.request("POST", CHECKS, body, proof=f"eyJ.{person.personal_id}.x")
    caller.request("POST", CHECKS, body, token=person.personal_id)
    post(caller, world.document(person), Accept="application/jwt")


def test_the_log_of_a_real_server_names_nobody(caller: Caller, world: World, server: Server) -> None:
    before = len(server.log.read_text(encoding="utf-8").splitlines())
    say_everything(caller, world)
    lines = server.log.read_text(encoding="utf-8").splitlines()
    assert len(lines) >= before + 35, "a log that stays empty proves nothing"
    assert all_faults(server.log, world) == []


def test_the_log_of_an_application_names_nobody(local: InProcessCaller, world: World, app_log: Path) -> None:
    before = len(app_log.read_text(encoding="utf-8").splitlines())
    say_everything(local, world)
    assert len(app_log.read_text(encoding="utf-8").splitlines()) >= before + 35
    assert all_faults(app_log, world) == []


def test_other_libraries_say_nothing_of_it_either(
    local: InProcessCaller, world: World, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        say_everything(local, world)
    told = "\n".join(f"{record.name} {record.getMessage()}" for record in caplog.records)
    assert numbers_in(told).isdisjoint(world.identifiers)
    assert not any(name in told for name in world.identifiers if " " in name)
    assert not SECRETS.search(told)


def test_an_exception_is_logged_by_type_and_place_only(
    local: InProcessCaller, world: World, app_log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    person = world.person()

    def broken(*_: object, **__: object) -> None:
        raise LookupError(f"{person.full_name} {person.personal_id}")

    local.token()
    monkeypatch.setattr("broker.api.entitlement.read_item", broken)
    for path in (CHECKS, f"{CHECKS}?way=flask"):
        answer = post(local, world.document(person), path)
        assert answer.status == 500
        assert person.personal_id.encode() not in answer.body
        line = [
            json.loads(one)
            for one in app_log.read_text(encoding="utf-8").splitlines()
            if '"event":"unexpected"' in one
        ][-1]
        assert line["exception"] == "LookupError"
        assert line["raised_at"].startswith(f"{__name__}:")
        assert line["request_id"] == answer.headers["x-request-id"]
        assert all_faults(app_log, world) == []


class TestTheReaderOfLogsItself:
    """It finds what it is meant to find."""

    names = re.compile("Le Lan")
    good: ClassVar[dict[str, Any]] = {
        "at": "2026-11-22T01:02:03.456+00:00", "level": "info", "logger": "broker", "event": "request",
        "request_id": "01a200d1-6a6f-713d-b8ef-eedaa02df164", "method": "POST", "route": CHECKS,
        "status": 200, "ms": 1.25,
    }  # fmt: skip

    def faults(self, line: str) -> list[str]:
        return faults_in(line, {"001090123456", "7912345678", "GD4797912345678"}, self.names)

    def test_a_good_line_passes(self) -> None:
        assert self.faults(json.dumps(self.good)) == []
        assert self.faults(json.dumps({**self.good, "problem": "limit-reached"})) == []
        for told in (
            "the host answers with another status than 200 or 401",
            "the document is larger than 64 KiB",
            "the document is neither application/jwk-set+json nor application/json",
            "the document is not UTF-8",
            "a JWK set needs a list named keys with 1 to 64 keys",
            "the set refers to keys elsewhere (x5u, jku)",
            "the account is closed, or has one-time codes and the sign-in is of level 1",
        ):
            assert self.faults(json.dumps({**self.good, "event": told})) == []
        killed = "[2026-11-22 01:02:03 +0000] [77] [ERROR] Worker (pid:78) was sent SIGKILL! Out of memory?"
        assert self.faults(killed) == []

    @pytest.mark.parametrize(
        "change",
        [
            {"request_id": "001090123456"},
            {"request_id": "bn-7912345678-x"},
            {"route": "/v1/GD4797912345678"},
            {"route": "/v1/x?card=1"},
            {"event": "Le Lan came"},
            {"event": "person 7 came"},
            {"event": "001 090 123 456 came"},
            {"event": "later than 090 123 456"},
            {"event": "person/7912 came"},
            {"event": "another status than 200 from 7"},
            {"logger": "werkzeug"},
            {"exception": "ValueError: Le Lan"},
            {"ms": "eyJhbGciOiJFUzI1NiJ9"},
            {"problem": "unheard-of"},
            {"body": {}},
            {"level": "Nguyễn"},
        ],
    )
    def test_a_telling_line_does_not(self, change: dict[str, Any]) -> None:
        assert self.faults(json.dumps({**self.good, **change}, ensure_ascii=False))

    @pytest.mark.parametrize("line", ["Traceback (most recent call last):", "Error: x", "DPoP eyJ"])
    def test_a_line_of_another_form_does_not(self, line: str) -> None:
        assert self.faults(line)


def test_the_broker_logs_json_lines_and_to_nobody_else(app_log: Path, local: InProcessCaller) -> None:
    assert LOG.propagate is False
    own = [one for one in LOG.handlers if not type(one).__module__.startswith("_pytest")]
    assert [type(handler.formatter) for handler in own] == [JsonLines]
