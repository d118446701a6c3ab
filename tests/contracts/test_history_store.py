"""A person's history in PostgreSQL: only that person's, newest first, by the index of what opens it, fast."""

from __future__ import annotations

import secrets
import time
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise

import pytest
from sqlalchemy import text

from broker.evidence.history import PAGE_SIZE, HistoryFilter
from broker.storage import history as statements
from broker.storage.history import PostgresHistory
from tests.history_world import Told, keep, reference_at
from tests.release_world import World

NOVEMBER = datetime(2026, 11, 10, 5, 0, tzinfo=UTC)
TODAY = date(2026, 11, 11)


@pytest.fixture
def history(world: World) -> PostgresHistory:
    return PostgresHistory(world.engine, world.openings)


def told(
    ref: bytes, at: datetime, number: int = 1, recipient: str = "clinic", result: str = "released"
) -> Told:
    return Told(reference_at(at, secrets.randbits(40) << 8 | number), at, ref, recipient, result)


def test_pages_follow_one_another_newest_first_without_gap_or_repetition(
    world: World, history: PostgresHistory
) -> None:
    ref = secrets.token_bytes(32)
    made = [told(ref, NOVEMBER - timedelta(minutes=at)) for at in range(2 * PAGE_SIZE + 5)]
    keep(world, made)
    found: list[str] = []
    before = ""
    while True:
        page = history.find_entries([ref], HistoryFilter(before=before), TODAY)
        found += [one.reference for one in page[:PAGE_SIZE]]
        if len(page) <= PAGE_SIZE:
            break
        before = found[-1]
    assert found == [one.reference for one in made]


def test_what_several_references_name_is_one_history(world: World, history: PostgresHistory) -> None:
    account, key = secrets.token_bytes(32), secrets.token_bytes(32)
    made = [told(account, NOVEMBER), told(key, NOVEMBER - timedelta(days=1))]
    keep(world, made)
    found = history.find_entries([account, key], HistoryFilter(), TODAY)
    assert [one.reference for one in found] == [one.reference for one in made]


def test_an_entry_tells_who_why_what_and_names_the_organisation(
    world: World, history: PostgresHistory
) -> None:
    ref = secrets.token_bytes(32)
    made = told(ref, NOVEMBER, recipient=world.hospital.organisation_id)
    keep(world, [made])
    entry = history.find_entries([ref], HistoryFilter(), TODAY)[0]
    code = world.hospital.facility_code
    assert entry.recipient_names == (f"Bệnh viện {code}", f"Hospital {code}")
    assert (entry.at, entry.purpose, entry.legal_basis) == (NOVEMBER, "check_entitlement", "L1")
    assert entry.released == (("valid_to", "value"), ("hi_card", "masked_keep_last"))
    assert (entry.result, entry.reason, entry.consent, entry.has_acting_person) == ("released", "", "", False)


def test_filters_leave_what_fits(world: World, history: PostgresHistory) -> None:
    ref = secrets.token_bytes(32)
    # 18:00 UTC on 31 October is 1 November in Viet Nam.
    first = told(ref, datetime(2026, 10, 31, 18, 0, tzinfo=UTC))
    last = told(ref, datetime(2026, 10, 31, 16, 0, tzinfo=UTC), recipient="bank")
    refused = told(ref, NOVEMBER, result="refused")
    keep(world, [first, last, refused])

    def references(wanted: HistoryFilter) -> list[str]:
        return [one.reference for one in history.find_entries([ref], wanted, TODAY)]

    assert references(HistoryFilter(month=date(2026, 11, 1))) == [refused.reference, first.reference]
    assert references(HistoryFilter(month=date(2026, 10, 1))) == [last.reference]
    assert references(HistoryFilter(recipient="bank")) == [last.reference]
    assert references(HistoryFilter(result="refused")) == [refused.reference]
    assert references(HistoryFilter(result="refused", recipient="bank")) == []


def test_nobody_elses_entry_is_found_by_its_reference(world: World, history: PostgresHistory) -> None:
    mine, other = secrets.token_bytes(32), secrets.token_bytes(32)
    made = told(other, NOVEMBER)
    keep(world, [made, told(mine, NOVEMBER)])
    assert history.find_entry([mine], made.reference, TODAY) is None
    found = history.find_entry([other], made.reference, TODAY)
    assert found is not None
    assert found.reference == made.reference


def test_months_are_counted_per_recipient_and_result(world: World, history: PostgresHistory) -> None:
    ref = secrets.token_bytes(32)
    keep(
        world,
        [
            told(ref, NOVEMBER),
            told(ref, NOVEMBER, 2),
            told(ref, NOVEMBER, 3, result="refused"),
            told(ref, NOVEMBER - timedelta(days=31), recipient="bank"),
            told(ref, NOVEMBER - timedelta(days=400)),
        ],
    )
    counts = history.count_entries([ref], date(2026, 1, 1), TODAY)
    assert [(one.month, one.recipient, one.is_released, one.count) for one in counts] == [
        (date(2026, 10, 1), "bank", True, 1),
        (date(2026, 11, 1), "clinic", False, 1),
        (date(2026, 11, 1), "clinic", True, 2),
    ]


def test_ten_thousand_entries_are_read_by_the_index_and_in_time(
    world: World, history: PostgresHistory
) -> None:
    ref, rare = secrets.token_bytes(32), secrets.token_bytes(32)
    keep(world, [told(ref, NOVEMBER - timedelta(minutes=at)) for at in range(10_000)])
    keep(world, [told(rare, NOVEMBER)])
    world.execute("ANALYZE evidence_openings, evidence_entries")
    parameters = {
        "links": list(world.openings.links([rare])),
        "first": statements._FIRST,
        "before": statements._LAST,
        "recipient": "",
        "result": "",
        "is_everything": False,
        "today": TODAY,
        "count": PAGE_SIZE + 1,
    }
    with world.owner.connect() as connection:
        explained = text(f"EXPLAIN {statements._PAGE.text}")
        plan = "\n".join(row[0] for row in connection.execute(explained, parameters))
    assert "ix_evidence_openings_person_link" in plan
    started = time.perf_counter()
    page = history.find_entries([ref], HistoryFilter(), TODAY)
    counts = history.count_entries([ref], date(2026, 1, 1), TODAY)
    counted = time.perf_counter()
    assert all(newer.reference > older.reference for newer, older in pairwise(page))
    assert sum(one.count for one in counts) == 10_000
    # Sixty times what was measured (7 ms and 66 ms).
    assert counted - started < 5
