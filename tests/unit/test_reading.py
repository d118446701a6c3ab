"""Station request: one plain JSON object, a closed schema, faults by pointer."""

from __future__ import annotations

import json

import pytest
from marshmallow import Schema, fields

from broker.api.calls import receipt_wanted, request_id_of
from broker.api.reading import BodyUnreadable, load, read_json
from broker.errors import RequestMalformed


@pytest.mark.parametrize(
    ("body", "value"),
    [
        (b"{}", {}),
        ('{"tên":"Nguyễn"}'.encode(), {"tên": "Nguyễn"}),
        (b'{"a":"\\u0110\\u1ed7"}', {"a": "Đỗ"}),
        (b'{"a":"\\ud83d\\ude00"}', {"a": "😀"}),
        (b'{"a":"\\\\u0000"}', {"a": "\\u0000"}),
        (b' {"a": [1, true, null, {"a": 1}]} ', {"a": [1, True, None, {"a": 1}]}),
    ],
)
def test_a_plain_object_is_read(body: bytes, value: dict[str, object]) -> None:
    assert read_json(body) == value


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b" ",
        b"null",
        b"1",
        b"[{}]",
        b'"a"',
        b"{}{}",
        b"{} x",
        b"{'a':1}",
        b'{"a":1,}',
        b"\xef\xbb\xbf{}",
        b'{"a":1,"a":1}',
        b'{"b":{"a":1,"a":2}}',
        b'{"b":[{"a":1,"\\u0061":2}]}',
        b'{"a":NaN}',
        b'{"a":Infinity}',
        b'{"a":-Infinity}',
        b'{"a":"\xc3"}',
        b'{"a":"\xed\xa0\x80"}',
        b'{"a":"\\ud800"}',
        b'{"a":"\\ude00\\ud83d"}',
        b'{"\\ud800":1}',
        b'{"a":["\\u0000"]}',
        b'{"a\\u0000":1}',
        b'{"a":"\x00"}',
        b'{"a":"\n"}',
        b'{"a":"\\x41"}',
        "{}".encode("utf-16"),
        b"[" * 200_000,
        b'{"a":' * 50_000,
        b'{"a":' + b"9" * 5_000 + b"}",
    ],
)
def test_anything_else_is_unreadable(body: bytes) -> None:
    with pytest.raises(BodyUnreadable):
        read_json(body)


class Inner(Schema):
    number = fields.String(required=True)


class Outer(Schema):
    name = fields.String(required=True)
    inner = fields.Nested(Inner)
    items = fields.List(fields.Nested(Inner))


@pytest.mark.parametrize(
    ("value", "pointers"),
    [
        ({}, ["/name"]),
        ({"name": 1}, ["/name"]),
        ({"name": "x", "other": 1}, ["/other"]),
        ({"name": "x", "số": 1}, ["/(unknown name)"]),
        ({"name": "x", "a" * 65: 1}, ["/(unknown name)"]),
        ({"name": "x", "a/b": 1, "<b>": 1}, ["/(unknown name)", "/(unknown name)"]),
        ({"name": "x", "inner": {"number": 1, "more": 2}}, ["/inner/more", "/inner/number"]),
        ({"name": "x", "inner": []}, ["/inner"]),
        ({"name": "x", "items": [{"number": "1"}, {}, 5]}, ["/items/1/number", "/items/2"]),
        ({"name": "x", "items": "x"}, ["/items"]),
    ],
)
def test_every_fault_is_named_by_its_pointer(value: dict[str, object], pointers: list[str]) -> None:
    with pytest.raises(RequestMalformed) as malformed:
        load(Outer(), value)
    assert sorted(fault.pointer for fault in malformed.value.faults) == pointers
    assert all(fault.remedy for fault in malformed.value.faults)


def test_a_value_is_never_repeated() -> None:
    with pytest.raises(RequestMalformed) as malformed:
        load(Outer(), {"name": ["001090123456"], "inner": {"number": 1090123456}})
    assert "1090123456" not in json.dumps([fault.remedy for fault in malformed.value.faults])
    assert "1090123456" not in str(malformed.value)


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("desk-4.2026-11-22_07", False),
        ("nguyen-van-an.01-02-1990", False),
        ("00000000-0000-0000-0000-001099012345", False),
        ("12345678", False),
        ("0f8fad5b-d9cb-469f-a165-708677289501", True),
        ("0F8FAD5B-D9CB-469F-A165-708677289501", False),
        (None, False),
        ("", False),
        ("short", False),
        ("x" * 65, False),
        ("has blank", False),
        ("line\nbreak", False),
        ('quote"quote', False),
        ("desk-4\n", False),
        ("001090123456", False),
        ("bn_7912345678", False),
        ("GD4797912345678", False),
        ("123456789", False),
    ],
)
def test_a_request_id_is_kept_only_if_it_is_harmless(given: str | None, kept: bool) -> None:
    assert request_id_of(given, "fresh") == (given if kept else "fresh")


@pytest.mark.parametrize(
    ("accept", "wanted"),
    [
        ("application/jwt", True),
        ("text/html, Application/JWT;q=0.8", True),
        ("", False),
        ("*/*", False),
        ("application/json", False),
        ("application/jwt+json", False),
    ],
)
def test_a_receipt_is_given_only_to_who_asks_for_one(accept: str, wanted: bool) -> None:
    assert receipt_wanted(accept) is wanted
