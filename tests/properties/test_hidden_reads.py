"""What an agreement hides is never shown before its day and always from it on, and nothing betrays it.

Against real PostgreSQL: a person with hidden looks is told, word by word, what somebody is told who never
had them.
"""

from __future__ import annotations

import secrets
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as some

from broker.evidence.history import PAGE_SIZE, HistoryEntry, HistoryFilter
from broker.evidence.log_read_entry import LogRead, log_read_entry_bytes
from broker.evidence.person_keys import key_year
from broker.evidence.recording import EvidenceRow
from broker.storage.acts import record_evidence
from broker.storage.history import PostgresHistory
from policies.civil_time import civil_date
from tests.history_world import Told, keep, reference_at
from tests.release_world import World

BEGIN = datetime(2026, 3, 1, tzinfo=UTC)
HIDDEN_DAYS = (1, 30, 366)
EXAMPLES = settings(
    max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)


@dataclass(frozen=True)
class Drawn:
    """One look. hidden_days: of its agreement, 0 for one that hides nothing. extended: days from the look."""

    minute: int
    recipient: str
    result: str
    hidden_days: int
    extended: tuple[int, ...]

    @property
    def at(self) -> datetime:
        return BEGIN + timedelta(minutes=self.minute)

    def is_shown(self, today: date) -> bool:
        """The definition: from the last of the days that agreement and extensions name."""
        if not self.hidden_days:
            return True
        return today >= civil_date(self.at) + timedelta(days=max((self.hidden_days, *self.extended)))


LOOKS = some.builds(
    Drawn,
    minute=some.integers(0, 60 * 24 * 60),
    recipient=some.sampled_from(["clinic", "investigators"]),
    result=some.sampled_from(["released", "answered_without_data", "refused", "error"]),
    hidden_days=some.sampled_from([0, 0, *HIDDEN_DAYS]),
    extended=some.lists(some.integers(2, 400), max_size=2).map(tuple),
)
DAYS = some.integers(-2, 500)


@pytest.fixture(scope="module")
def revisions(world: World) -> dict[int, str]:
    """Hidden days → a published revision that hides looks for so long."""
    made = {days: secrets.token_hex(32) for days in HIDDEN_DAYS}
    for days, revision in made.items():
        world.execute(
            "INSERT INTO agreement_revisions"
            " (revision_hash, agreement_id, revision, text, hidden_days, hidden_days_maximum)"
            " VALUES (:revision, :name, 1, '', :days, 1000)",
            revision=revision,
            name=f"hides-{revision[:8]}",
            days=days,
        )
    return made


@pytest.fixture(scope="module")
def history(world: World) -> PostgresHistory:
    return PostgresHistory(world.engine, world.openings)


def put(world: World, revisions: dict[int, str], ref: bytes, looks: Sequence[Drawn]) -> dict[str, Drawn]:
    """Keep looks about a person; return reference → look."""
    made = {}
    for look in looks:
        revision = revisions.get(look.hidden_days, "0" * 64)
        told = Told(
            reference_at(look.at, secrets.randbits(60)), look.at, ref, look.recipient, look.result,
            changes=(("agreement_revision", revision),),
        )  # fmt: skip
        keep(world, [told])
        made[told.reference] = look
        for days in look.extended if look.hidden_days else ():
            world.execute(
                "INSERT INTO disclosure_extensions VALUES"
                " (gen_random_uuid(), CAST(:reference AS uuid), :until, 'made_up', now())",
                reference=told.reference,
                until=civil_date(look.at) + timedelta(days=days),
            )
    return made


def all_pages(
    history: PostgresHistory, ref: bytes, today: date, wanted: HistoryFilter
) -> list[list[HistoryEntry]]:
    """Return the pages as a person sees them, each with one entry more where another page follows."""
    pages, before = [], ""
    while True:
        asked = HistoryFilter(wanted.month, wanted.recipient, wanted.result, before, wanted.is_everything)
        pages.append(list(history.find_entries([ref], asked, today)))
        if len(pages[-1]) <= PAGE_SIZE:
            return pages
        before = pages[-1][PAGE_SIZE - 1].reference


@EXAMPLES
@given(
    looks=some.lists(LOOKS, max_size=50, unique_by=lambda one: one.minute),
    day=DAYS,
    recipient=some.sampled_from(["", "investigators"]),
    result=some.sampled_from(["", "released"]),
    is_everything=some.booleans(),
)
def test_pages_and_counts_are_those_of_somebody_who_never_had_what_is_hidden(
    world: World,
    history: PostgresHistory,
    revisions: dict[int, str],
    looks: list[Drawn],
    day: int,
    recipient: str,
    result: str,
    is_everything: bool,
) -> None:
    today = civil_date(BEGIN) + timedelta(days=day)
    mine, twin = secrets.token_bytes(32), secrets.token_bytes(32)
    put(world, revisions, mine, looks)
    put(world, revisions, twin, [one for one in looks if one.is_shown(today)])
    wanted = HistoryFilter(recipient=recipient, result=result, is_everything=is_everything)

    def told(ref: bytes) -> list[list[tuple[datetime, str, str]]]:
        pages = all_pages(history, ref, today, wanted)
        return [[(one.at, one.recipient, one.result) for one in page] for page in pages]

    assert told(mine) == told(twin)
    shown = [
        one
        for one in sorted(looks, key=lambda one: one.at, reverse=True)
        if one.is_shown(today) and recipient in ("", one.recipient) and result in ("", one.result)
    ]
    assert [one[0] for page in told(mine) for one in page[:PAGE_SIZE]] == [one.at for one in shown]
    counts = history.count_entries([mine], date(2026, 1, 1), today)
    assert counts == history.count_entries([twin], date(2026, 1, 1), today)
    expected = Counter(one.recipient for one in looks if one.is_shown(today))
    found: Counter[str] = Counter()
    for one in counts:
        found[one.recipient] += one.count
    assert found == expected


@EXAMPLES
@given(looks=some.lists(LOOKS, min_size=1, max_size=6), day=DAYS)
def test_a_hidden_reference_is_answered_like_one_that_there_is_not(
    world: World, history: PostgresHistory, revisions: dict[int, str], looks: list[Drawn], day: int
) -> None:
    today = civil_date(BEGIN) + timedelta(days=day)
    ref, stranger = secrets.token_bytes(32), secrets.token_bytes(32)
    for reference, look in put(world, revisions, ref, looks).items():
        entry, opening = (
            history.find_entry([ref], reference, today),
            history.find_opening([ref], reference, today),
        )
        assert (entry is not None) == (opening is not None) == look.is_shown(today)
        assert history.find_entry([stranger], reference, today) is None
        assert history.find_opening([stranger], reference, today) is None


def test_a_look_into_the_log_at_a_hidden_entry_does_not_betray_it(
    world: World, history: PostgresHistory, revisions: dict[int, str]
) -> None:
    look = Drawn(0, "investigators", "released", 30, ())
    ref, today = secrets.token_bytes(32), civil_date(look.at)
    everything = HistoryFilter(is_everything=True)
    [hidden] = put(world, revisions, ref, [look])
    seen = look_at(world, ref, hidden)
    for day, shown in ((today, []), (today + timedelta(days=30), [seen, hidden])):
        assert [one.reference for one in history.find_entries([ref], everything, day)] == shown
        assert (history.find_opening([ref], seen, day) is not None) == bool(shown)
    other = look_at(world, ref, "")
    assert [one.reference for one in history.find_entries([ref], everything, today)] == [other]


def look_at(world: World, ref: bytes, entry: str) -> str:
    """Record that an operator opened one entry about a person, or looked at the history; return which."""
    at = BEGIN + timedelta(hours=1)
    reference = reference_at(at, secrets.randbits(60))
    read = LogRead(
        reference=reference,
        at=at,
        reader="operator",
        what="evidence_file" if entry else "history",
        legal_basis="law_x",
        data_subject_commit="0" * 64,
        entry=entry,
        acting_person="a" * 64,
    )
    row = EvidenceRow(reference, "log_read", log_read_entry_bytes(read), key_year(at), ref, None, None)
    with world.owner.begin() as connection:
        record_evidence(connection, row, world.openings.seal(row))
    return reference


@EXAMPLES
@given(look=LOOKS)
def test_it_is_never_shown_before_its_day_and_always_from_it_on(
    world: World, history: PostgresHistory, revisions: dict[int, str], look: Drawn
) -> None:
    ref = secrets.token_bytes(32)
    put(world, revisions, ref, [look])
    first = civil_date(look.at)
    turns = {one + beside for one in (look.hidden_days, *look.extended) for beside in (-1, 0, 1)}
    for today in (first + timedelta(days=one) for one in sorted({0, 1, 1_000, *turns})):
        assert bool(history.find_entries([ref], HistoryFilter(), today)) == look.is_shown(today)
    assert history.find_entries([ref], HistoryFilter(), first + timedelta(days=401))
