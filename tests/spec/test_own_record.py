"""A person's look at the own record, and at what a recipient would get: recorded, bounded, at level 2."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from flask import Flask
from sqlalchemy import create_engine, text

from broker.actions.consent_writer import CITIZEN_PREFIX
from broker.consent.record import DataRange
from broker.errors import ReleaseRefused
from policies.model import Value
from tests.consent_world import ConsentWorld, Person, reader_of
from tests.contracts.source_fixtures import InsuranceDatabase
from tests.reading_pages import Pages, asked, reading_pages
from tests.release_world import World


@pytest.fixture(scope="module")
def pages(world: World, insurance: InsuranceDatabase) -> Iterator[Pages]:
    with reading_pages(ConsentWorld(world, insurance)) as pages:
        yield pages


class TestOwnRecord:
    def test_the_whole_record_is_shown_in_groups_with_labels_and_stands_in_the_persons_history(
        self, pages: Pages
    ) -> None:
        person = pages.consents.person()
        record = pages.wiring.own_record().read(pages.sign_in(person), datetime.now(UTC))
        groups = {group.name: group for group in record.groups}
        assert set(groups) == {
            "person", "contact", "household", "hi_cards", "social_insurance", "contributions", "employer",
            "unemployment", "unemployment_summary", "benefits", "bank",
        }  # fmt: skip
        assert (groups["person"].label_vi, groups["person"].label_en) == ("Thông tin cá nhân", "Person")
        [row] = groups["person"].rows
        shown = {one.name: one for one in row}
        assert shown["personal_id"].value == person.personal_id
        assert shown["full_name"].label_en == "Full name"
        assert groups["contributions"].repeats
        assert groups["contributions"].rows
        assert record.source == "national_insurance"
        evidence = pages.consents.world.evidence(record.reference)
        assert evidence.entry["action"] == "extract_own_record"
        assert (evidence.entry["legal_basis"], evidence.entry["recipient"]) == ("SELF", "data_subject")
        assert evidence.data_subject_ref == pages.consents.world.pseudonyms.data_subject_ref(
            person.person_key
        )

    def test_a_bank_account_is_shown_by_its_last_digits_only(self, pages: Pages) -> None:
        person = person_with_account(pages)
        record = pages.wiring.own_record().read(pages.sign_in(person), datetime.now(UTC))
        [row] = next(group.rows for group in record.groups if group.name == "bank")
        assert row[0].form == "masked_keep_last"
        value = str(row[0].value)
        assert value[:-4] == "*" * len(value[:-4])
        assert value[-4:].isalnum()

    def test_family_members_are_not_shown(self, pages: Pages) -> None:
        record = pages.wiring.own_record().read(pages.sign_in(), datetime.now(UTC))
        names = {one.name for group in record.groups for row in group.rows for one in row}
        assert not {name for name in names if name.startswith("family_")}

    def test_a_password_alone_is_not_enough_and_the_attempt_is_recorded(self, pages: Pages) -> None:
        reader = pages.sign_in(level=1)
        with pytest.raises(ReleaseRefused) as refusal:
            pages.wiring.own_record().read(reader, datetime.now(UTC))
        assert refusal.value.reason == "level_too_low"
        world = pages.consents.world
        evidence = world.evidence(refusal.value.reference)
        ref = world.pseudonyms.data_subject_ref(CITIZEN_PREFIX + reader.citizen_id)
        assert (evidence.entry["reason"], evidence.data_subject_ref) == ("level_too_low", ref)

    @pytest.mark.parametrize(
        "ending",
        [
            "DELETE FROM citizen_sessions WHERE citizen_id = :id",
            "UPDATE citizen_sessions SET expires_at = now() WHERE citizen_id = :id",
            "UPDATE citizens SET status = 'suspended' WHERE citizen_id = :id",
        ],
        ids=["signed out", "expired", "account closed"],
    )
    def test_who_is_no_longer_signed_in_sees_nothing(self, pages: Pages, ending: str) -> None:
        reader = pages.sign_in()
        pages.consents.world.execute(ending, id=reader.citizen_id)
        with pytest.raises(ReleaseRefused) as refusal:
            pages.wiring.own_record().read(reader, datetime.now(UTC))
        assert refusal.value.reason == "session_not_active"

    def test_another_sign_in_of_the_same_person_is_not_this_one(self, pages: Pages) -> None:
        reader = pages.sign_in()
        other = replace(reader, authenticated_at=reader.authenticated_at - timedelta(seconds=1))
        with pytest.raises(ReleaseRefused) as refusal:
            pages.wiring.own_record().read(other, datetime.now(UTC))
        assert refusal.value.reason == "session_not_active"

    def test_twenty_looks_a_day(self, pages: Pages) -> None:
        reader = pages.sign_in()
        for _ in range(20):
            pages.wiring.own_record().read(reader, datetime.now(UTC))
        with pytest.raises(ReleaseRefused) as refusal:
            pages.wiring.own_record().read(reader, datetime.now(UTC))
        assert (
            refusal.value.reason,
            pages.wiring.preview().preview(reader, asked(pages), datetime.now(UTC)),
        ) == (
            "limit_reached",
            None,
        )


class TestPreview:
    def test_what_is_shown_is_what_would_leave(self, pages: Pages, app: Flask) -> None:
        person = pages.consents.person()
        shown = pages.wiring.preview().preview(pages.sign_in(person), asked(pages), datetime.now(UTC))
        reader = reader_of(app, pages.consents.world.settings.issuer, pages.consents.bank)
        told = reader.read(reader.token(pages.consents.give(person))).json()
        assert shown is not None
        left: dict[str, tuple[Value, ...]] = {name: (one["value"],) for name, one in told["fields"].items()}
        rows = told["groups"]["contributions"]
        left |= {name: tuple(row[name]["value"] for row in rows) for name in rows[0]}
        assert dict(shown) == left

    def test_it_is_recorded_as_the_persons_own_look_and_nothing_as_released_to_the_recipient(
        self, pages: Pages
    ) -> None:
        person = pages.consents.person()
        before = pages.consents.world.count("evidence_entries")
        pages.wiring.preview().preview(pages.sign_in(person), asked(pages), datetime.now(UTC))
        assert pages.consents.world.count("evidence_entries") == before + 1
        ref = pages.consents.world.pseudonyms.data_subject_ref(person.person_key)
        with pages.consents.world.engine.connect() as connection:
            statement = text("SELECT reference::text FROM evidence_openings WHERE person_link = ANY(:links)")
            links = list(pages.consents.world.openings.links([ref]))
            references = [*connection.execute(statement, {"links": links}).scalars()]
        entries = [one.entry for one in pages.consents.world.find_evidence(*references)]
        # A hospital of another test may have asked about the same person.
        [entry] = [one for one in entries if one["action"] == "extract_own_record"]
        assert (entry["legal_basis"], entry["recipient"]) == ("SELF", "data_subject")
        assert ["salary_base", "amount_band"] in entry["released"]

    def test_the_range_that_is_asked_about_counts(self, pages: Pages) -> None:
        reader = pages.sign_in()
        none = DataRange(None, datetime(1980, 1, 1, tzinfo=UTC).date())
        shown = pages.wiring.preview().preview(reader, asked(pages, days=none), datetime.now(UTC))
        assert shown is not None
        assert shown["salary_base"] == ()

    @pytest.mark.parametrize("level", [1])
    def test_where_nothing_can_be_shown_the_page_stands_without(self, pages: Pages, level: int) -> None:
        assert (
            pages.wiring.preview().preview(pages.sign_in(level=level), asked(pages), datetime.now(UTC))
            is None
        )

    def test_what_the_agreement_does_not_permit_is_not_shown(self, pages: Pages) -> None:
        reader = pages.sign_in()
        assert pages.wiring.preview().preview(reader, asked(pages, ["ethnicity"]), datetime.now(UTC)) is None


def person_with_account(pages: Pages) -> Person:
    """Return a person whose bank account the source knows."""
    engine = create_engine(pages.consents.world.settings.source_url)
    statement = text(
        "SELECT p.personal_id, p.person_key FROM person p JOIN bank_account b USING (person_key)"
        " WHERE b.bank_account IS NOT NULL AND NOT EXISTS (SELECT FROM contribution c"
        " WHERE c.person_key = p.person_key) AND (SELECT count(*) FROM person q"
        " WHERE q.personal_id = p.personal_id) = 1 ORDER BY p.person_key LIMIT 1"
    )
    with engine.connect() as connection:
        personal_id, person_key = connection.execute(statement).one()
    engine.dispose()
    return pages.consents.register_person(str(personal_id), str(person_key))
