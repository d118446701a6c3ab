"""True aggregates as bytes, plans as they are kept, keys of contents, and tables of superseded releases."""

from __future__ import annotations

import json

import numpy as np
import pytest

from broker.oauth.statistics_secrets import (
    ExportKeySeal,
    ExportSecretUnreadable,
    open_piece,
    seal_piece,
)
from broker.statistics.cells_codec import cells_from_bytes, cells_to_bytes
from broker.statistics.plan_parse import kept_plan
from broker.statistics.reasons import StatisticsRefused
from broker.statistics.release_cap import may_release
from tests.exports_world import counted, manifest, plan_of
from tests.statistics_world import WAGE

RELEASE = manifest()
PLAN = plan_of(
    RELEASE, ("province", "region"), ("sex", "sex"), measures=(WAGE,), only=("age", "age", "20-24")
)


def test_aggregates_come_back_as_they_were() -> None:
    for plan in (PLAN, plan_of(RELEASE)):
        cells = counted(RELEASE, plan)
        content = cells_to_bytes(cells)
        again = cells_from_bytes(content)
        assert again.content() == cells.content()
        assert (again.dimensions, again.measures) == (cells.dimensions, cells.measures)
        assert cells_to_bytes(again) == content
        assert not again.persons.flags.writeable


def test_bytes_that_are_no_aggregates_are_refused() -> None:
    content = cells_to_bytes(counted(RELEASE, PLAN))
    line, _, body = content.partition(b"\n")
    head = json.loads(line)
    wrong = [
        b"",
        b"\n",
        b"[]\n" + body,
        content[:-1],
        content + bytes(8),
        json.dumps({**head, "version": 2}).encode() + b"\n" + body,
        json.dumps({**head, "cells": -1}).encode() + b"\n" + body,
        json.dumps({**head, "cells": head["cells"] + 1}).encode() + b"\n" + body,
        line + b"\n" + bytes(len(body)),
        line + b"\n" + np.roll(np.frombuffer(body, dtype="<i8"), 1).tobytes(),
    ]
    for one in wrong:
        with pytest.raises(StatisticsRefused, match="cells_malformed"):
            cells_from_bytes(one)


def test_a_plan_comes_back_from_its_canonical_form_and_from_no_other() -> None:
    assert kept_plan(PLAN.canonical()) == PLAN
    for text in ("", "[]", "{}", " " + PLAN.canonical(), PLAN.canonical().replace('"release"', '"rel"')):
        with pytest.raises(ValueError, match=r"no plan|Expecting"):
            kept_plan(text)


def test_tables_of_superseded_releases_count_and_overlap_and_are_no_answer() -> None:
    second = manifest(2, tables=3, differences=1)
    here = plan_of(second, ("sex", "sex"), measures=(WAGE,))
    there = plan_of(RELEASE, ("sex", "sex"), measures=(WAGE,))
    assert may_release(second.registry, here, [], [there]).is_new, "another release has another table"
    assert not may_release(second.registry, here, [here], [there]).is_new
    narrowed = plan_of(second, ("sex", "sex"), measures=(WAGE,), only=("age", "age", "20-24"))
    with pytest.raises(StatisticsRefused, match="overlap_exhausted"):
        may_release(second.registry, narrowed, [], [there])
    others = [plan_of(RELEASE, (cut, cut)) for cut in ("sex", "age", "province")]
    with pytest.raises(StatisticsRefused, match="tables_exhausted: 3"):
        may_release(second.registry, here, [], others)
    with pytest.raises(StatisticsRefused, match="release_differs"):
        may_release(second.registry, here, [there])


def test_what_a_registry_does_not_have_any_more_counts_all_the_same() -> None:
    second = manifest(2, tables=2).registry
    gone = plan_of(RELEASE, ("province", "region"), only=("age", "age", "20-24"))
    fewer = type(second)(
        release=second.release,
        dimensions=tuple(one for one in second.dimensions if one.name == "sex"),
        measures=second.measures,
        limits=second.limits,
    )
    plan = plan_of(manifest(2))
    assert may_release(fewer, plan, [], [gone]).overlaps == ()
    with pytest.raises(StatisticsRefused, match="tables_exhausted: 2"):
        may_release(fewer, plan, [], [gone, plan_of(RELEASE)])


def test_keys_open_under_their_name_and_pieces_at_their_place() -> None:
    seal = ExportKeySeal(bytes(32))
    key, sealed = seal.new_key("table/a")
    assert seal.open("table/a", sealed) == key
    assert seal.new_key("table/a") != (key, sealed)
    piece = seal_piece(key, "table/a", 3, b"numbers")
    assert open_piece(key, "table/a", 3, piece) == b"numbers"
    assert seal_piece(key, "table/a", 3, b"numbers") != piece
    foreign = ExportKeySeal(bytes(31) + b"1")
    for opener, name, box in (
        (seal, "table/b", sealed),
        (foreign, "table/a", sealed),
        (seal, "table/a", b""),
    ):
        with pytest.raises(ExportSecretUnreadable, match="a key of an export cannot be decrypted"):
            opener.open(name, box)
    for name, number, content in (
        ("table/b", 3, piece),
        ("table/a", 2, piece),
        ("table/a", 3, piece[:-1] + bytes([piece[-1] ^ 1])),
        ("table/a", 3, piece[:5]),
    ):
        with pytest.raises(ExportSecretUnreadable, match="a piece of an export cannot be decrypted"):
            open_piece(key, name, number, content)
