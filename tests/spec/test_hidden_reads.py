"""Looks of an investigating body through the real doors: in the log at once, on the person's pages later."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest
from click.testing import CliRunner
from sqlalchemy import text
from sqlalchemy.exc import ProgrammingError

import broker.app
from broker.cli import main
from broker.cli.embedded import EmbeddedCluster
from broker.cli.maintain import sweep
from broker.cli.session import Session
from broker.evidence.disclosure import next_quarter, quarter_of
from broker.storage.hidden_reads import PostgresHiddenReads
from connectors.national_insurance.cases import SyntheticPerson
from policies.civil_time import civil_date, midnight
from tests.acting import without_entries
from tests.citizen_world import Forms
from tests.contracts.source_fixtures import InsuranceDatabase
from tests.doors import InProcessCaller, in_process_caller, post
from tests.e2e.pages import pages_world
from tests.hidden_world import DAYS, MOST_DAYS, POLICE, POLICE_CHECK, write_hiding_policies
from tests.own_pages_world import COMPLAINTS, HISTORY, Text, Visitor, signed_in
from tests.own_world import OwnWorld, own_world
from tests.release_world import Hospital

UNKNOWN = "0193f0a0-0000-7000-8000-000000000002"
PUBLIC = "/citizen/hidden-reads"


@pytest.fixture(scope="module")
def here(
    cluster: EmbeddedCluster,
    release_environ: dict[str, str],
    insurance: InsuranceDatabase,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[OwnWorld]:
    policies = write_hiding_policies(tmp_path_factory.mktemp("policies"))
    log = tmp_path_factory.mktemp("log")
    with own_world(cluster, release_environ, insurance, log, "hidden_looks", policies) as made:
        yield made


@pytest.fixture(scope="module")
def police(here: OwnWorld) -> Hospital:
    return here.world.register_hospital(
        agreements=(POLICE_CHECK,), staff=2, organisation_id=POLICE, kind="state_agency"
    )


@pytest.fixture
def person(here: OwnWorld) -> SyntheticPerson:
    return here.world.unseen_person()


@pytest.fixture
def visitor(here: OwnWorld, person: SyntheticPerson) -> Visitor:
    return on(here, signed_in(here.pages.app, here.world, person.personal_id))


def on(here: OwnWorld, visitor: Visitor) -> Visitor:
    """Let a visitor of the world come to this broker, whose issuer is another."""
    name, value = visitor.cookie
    name = "__Host-broker-citizen"
    visitor.http.set_cookie(name, value, domain=here.pages.issuer.split("//")[1], secure=True)
    return replace(visitor, issuer=here.pages.issuer, cookie=(name, value))


def caller(here: OwnWorld, asking: Hospital) -> InProcessCaller:
    return in_process_caller(here.pages.app, here.pages.issuer, asking)


def look(here: OwnWorld, asking: Hospital, person: SyntheticPerson, **changes: object) -> str:
    """Let somebody look a person up; return the reference of what came of it."""
    answer = post(caller(here, asking), here.world.document(person, asking, **changes))
    document = answer.json()
    return str(document.get("evidence_reference") or document["instance"]).removeprefix("urn:uuid:")


def rows(visitor: Visitor, query: str = "") -> list[str]:
    page = visitor.get(f"{HISTORY}?lang=en{query}")
    assert page.status_code == 200, page.text
    return re.findall(r'aria-labelledby="e-([0-9a-f-]{36})"', page.text)


def later(here: OwnWorld, visitor: Visitor, days: int, path: str) -> tuple[int, str]:
    """Return what a page says to the same person so many days from now: another day for this broker."""
    then = datetime.now(UTC) + timedelta(days=days)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(broker.app, "system_clock", lambda: then)
        with pages_world(
            here.world, here.world._insurance, here.pages.issuer, here.log.settings.log_directory
        ) as pages:
            again = signed_in(
                pages.app,
                here.world,
                visitor.personal_id,
                citizen_id=visitor.citizen_id,
                age_seconds=-days * 86_400,
            )
            answer = on(here, again).get(path)
            return answer.status_code, answer.text


def test_the_look_is_released_and_recorded_like_any_other_and_not_on_the_persons_pages(
    here: OwnWorld, police: Hospital, person: SyntheticPerson, visitor: Visitor
) -> None:
    seen = look(here, here.world.hospital, person)
    hidden = look(here, police, person)
    refused = look(
        here, police, person, acting_person={"full_name": "Không Ai", "personal_id": "001090000001"}
    )
    entry = here.world.evidence(hidden).entry
    assert (entry["kind"], entry["result"], entry["recipient"]) == ("release", "released", POLICE)
    assert (entry["legal_basis"], entry["agreement"]) == ("L19_1_b", POLICE_CHECK)
    assert here.world.evidence(refused).entry["kind"] == "refusal"
    here.log.order()
    proof = caller(here, police).request("GET", f"/evidence/proof/{hidden}")
    assert (proof.status, proof.json()["format"]) == (200, "broker-evidence@v1")
    assert rows(visitor) == [seen]
    everything = rows(visitor, "&rows=everything")
    assert (seen in everything, {hidden, refused} & set(everything)) == (True, set())
    assert rows(visitor, f"&recipient={POLICE}") == []
    page = visitor.page(f"{HISTORY}?lang=en")
    assert POLICE not in page.words
    assert not re.search(rf'value="{POLICE}"', visitor.get(f"{HISTORY}?lang=en").text)


@pytest.mark.parametrize("path", ["evidence", "evidence.json"])
def test_its_evidence_is_answered_like_that_of_nobody(
    here: OwnWorld, police: Hospital, person: SyntheticPerson, visitor: Visitor, path: str
) -> None:
    hidden, seen = look(here, police, person), look(here, here.world.hospital, person)
    here.log.order()
    told = visitor.get(f"{HISTORY}/{hidden}/{path}?lang=en")
    unknown = visitor.get(f"{HISTORY}/{UNKNOWN}/{path}?lang=en")
    assert (told.status_code, unknown.status_code) == (404, 404)
    assert told.text.replace(hidden, UNKNOWN) == unknown.text
    assert visitor.get(f"{HISTORY}/{seen}/{path}").status_code == 200


def test_nobody_complains_of_what_is_not_shown(
    here: OwnWorld, police: Hospital, person: SyntheticPerson, visitor: Visitor
) -> None:
    hidden = look(here, police, person)
    told = visitor.get(f"{COMPLAINTS}/new?lang=en&reference={hidden}")
    unknown = visitor.get(f"{COMPLAINTS}/new?lang=en&reference={UNKNOWN}")
    assert (told.status_code, told.text.replace(hidden, UNKNOWN)) == (404, unknown.text)


def test_on_its_day_it_stands_on_the_page_with_its_evidence(
    here: OwnWorld, police: Hospital, person: SyntheticPerson, visitor: Visitor
) -> None:
    hidden = look(here, police, person)
    here.log.order()
    status, before = later(here, visitor, DAYS - 1, HISTORY)
    assert (status, hidden in before) == (200, False)
    status, on_the_day = later(here, visitor, DAYS, f"{HISTORY}?lang=en")
    assert (status, hidden in on_the_day) == (200, True)
    assert "State of emergency, national security, prevention of crime" in on_the_day
    status, file = later(here, visitor, DAYS, f"{HISTORY}/{hidden}/evidence.json")
    assert (status, json.loads(file)["format"]) == (200, "broker-evidence@v1")
    assert rows(visitor) == [], "and today it is still not there"


class TestDisclosedLater:
    """`broker evidence disclose-later`: the one way to move a day, and it leaves evidence."""

    def run(self, here: OwnWorld, reference: str, days: int, **changes: str) -> tuple[int, str]:
        """Ask for a day so many days from now; return exit code and what was said."""
        settings = here.world.settings
        environ = {
            "BROKER_ISSUER": settings.issuer,
            "BROKER_DATABASE_URL": settings.database_url,
            "BROKER_OWNER_DATABASE_URL": here.world.owner_url,
            "BROKER_SOURCE_URL": settings.source_url,
            **self.secrets,
        }
        until = civil_date(datetime.now(UTC)) + timedelta(days=days)
        given = {"until": until.isoformat(), "ground": "made_up_12", "operator": "Lê Thị C", **changes}
        words = [word for name, value in given.items() for word in (f"--{name}", value)]
        done = CliRunner().invoke(
            main, ["evidence", "disclose-later", reference, *words, "--json"], env=environ
        )
        return done.exit_code, done.output

    @pytest.fixture(autouse=True)
    def _secrets(self, release_environ: dict[str, str]) -> None:
        names = ("BROKER_KEY_ENCRYPTION_KEY_FILE", "BROKER_PSEUDONYM_KEY_FILE")
        self.secrets = {name: release_environ[name] for name in names}

    def test_the_day_moves_and_an_entry_says_so(
        self, here: OwnWorld, police: Hospital, person: SyntheticPerson, visitor: Visitor
    ) -> None:
        hidden = look(here, police, person)
        code, said = self.run(here, hidden, DAYS + 10)
        assert code == 0, said
        [told] = json.loads(said)
        assert told["disclosed_on"] == (civil_date(datetime.now(UTC)) + timedelta(days=DAYS + 10)).isoformat()
        with here.world.owner.connect() as connection:
            statement = text("SELECT kind, entry FROM evidence_entries WHERE reference = CAST(:one AS uuid)")
            row = connection.execute(statement, {"one": told["evidence_reference"]}).one()
        entry = json.loads(bytes(row.entry))
        assert (row.kind, entry["act"], entry["target_kind"]) == (
            "administration",
            "disclosure_extended",
            "entry",
        )
        assert (entry["target"], entry["actor"]) == (hidden, "operator")
        assert len(entry["acting_person"]) == 64
        here.log.order()
        assert hidden not in later(here, visitor, DAYS + 9, HISTORY)[1]
        assert hidden in later(here, visitor, DAYS + 10, HISTORY)[1]

    def test_without_its_entry_no_day_moves(
        self, here: OwnWorld, police: Hospital, person: SyntheticPerson
    ) -> None:
        hidden = look(here, police, person)
        with without_entries(here.world.owner):
            code, said = self.run(here, hidden, DAYS + 10)
        assert (code != 0, "no entry can be written" in said) == (True, False)
        condition = "reference = CAST(:one AS uuid)"
        assert here.world.count("disclosure_extensions", condition, one=hidden) == 0

    def test_no_further_than_the_maximum_and_never_back(
        self, here: OwnWorld, police: Hospital, person: SyntheticPerson
    ) -> None:
        hidden = look(here, police, person)
        before = here.world.count("evidence_entries", "kind = 'administration'")
        code, said = self.run(here, hidden, MOST_DAYS + 1)
        assert (code, "no extension reaches beyond" in said) == (5, True)
        code, said = self.run(here, hidden, DAYS)
        assert (code, "the day must lie after" in said) == (5, True)
        assert here.world.count("evidence_entries", "kind = 'administration'") == before
        assert self.run(here, hidden, MOST_DAYS)[0] == 0
        assert self.run(here, hidden, MOST_DAYS)[0] == 5

    def test_what_is_shown_is_not_hidden_again(
        self, here: OwnWorld, police: Hospital, person: SyntheticPerson, visitor: Visitor
    ) -> None:
        seen = look(here, here.world.hospital, person)
        code, said = self.run(here, seen, 50)
        assert (code, "no agreement hides this entry" in said) == (4, True)
        assert self.run(here, UNKNOWN, 50)[0] == 4
        hidden = look(here, police, person)
        forty_days_ago = "UPDATE agreement_revisions SET hidden_days = 0 WHERE hidden_days = :days"
        here.world.execute(forty_days_ago, days=DAYS)
        try:
            assert hidden in rows(visitor)
            code, said = self.run(here, hidden, 50)
            assert (code, "nothing is hidden again" in said) == (4, True)
        finally:
            here.world.execute(
                "UPDATE agreement_revisions SET hidden_days = :days WHERE hidden_days = 0", days=DAYS
            )

    @pytest.mark.parametrize("changes", [{"ground": "Điều 12"}, {"operator": " "}, {"until": "tomorrow"}])
    def test_it_says_what_it_needs(self, here: OwnWorld, changes: dict[str, str]) -> None:
        assert self.run(here, UNKNOWN, 50, **changes)[0] == 2

    def test_the_server_itself_can_hide_nothing_for_longer(self, here: OwnWorld) -> None:
        statement = text(
            "INSERT INTO disclosure_extensions"
            " VALUES (gen_random_uuid(), gen_random_uuid(), now(), 'x', now())"
        )
        with (
            here.world.engine.connect() as connection,
            pytest.raises(ProgrammingError, match="permission denied"),
        ):
            connection.execute(statement)


class TestCounted:
    """The public figure: every hidden look, by organisation and quarter, once the quarter is over."""

    @pytest.fixture(autouse=True)
    def _nothing_is_counted(self, here: OwnWorld) -> None:
        here.world.execute("DELETE FROM hidden_read_quarters")

    def after(self, quarter: date) -> datetime:
        """Return an instant at which a quarter may be counted."""
        return midnight(next_quarter(quarter)) + timedelta(days=2)

    def test_every_hidden_look_counts_once_its_quarter_is_over(
        self, here: OwnWorld, police: Hospital, person: SyntheticPerson
    ) -> None:
        quarter, counting = quarter_of(civil_date(datetime.now(UTC))), PostgresHiddenReads(here.world.engine)
        look(here, police, person)
        look(here, police, person, card_number="0000000000")  # about nobody: in nobody's history
        look(here, here.world.hospital, person)
        with here.world.owner.connect() as connection:
            entries = [
                json.loads(bytes(row[0]))
                for row in connection.execute(text("SELECT entry FROM evidence_entries"))
            ]
        hidden = [
            one
            for one in entries
            if one.get("agreement") == POLICE_CHECK
            and one.get("data_subject_commit")
            and quarter_of(civil_date(datetime.fromisoformat(one["at"]))) == quarter
        ]
        assert counting.count_quarters(midnight(next_quarter(quarter)) + timedelta(days=1)) == []
        assert quarter not in [one.quarter for one in counting.list_quarters()]
        assert quarter in counting.count_quarters(self.after(quarter))
        [counted] = [one for one in counting.list_quarters() if one.quarter == quarter]
        assert counted.counts == {POLICE: len(hidden)}
        assert counting.count_quarters(self.after(quarter)) == [], "it is counted once"

    def test_everybody_reads_it_as_page_and_as_json(self, here: OwnWorld, police: Hospital) -> None:
        here.world.execute(
            "INSERT INTO hidden_read_quarters VALUES ('2026-07-01', CAST(:counts AS jsonb),"
            " CAST(:extensions AS jsonb), now())",
            counts=json.dumps({police.organisation_id: 7}),
            extensions=json.dumps({police.organisation_id: 2}),
        )
        browser = here.pages.browser()
        told = json.loads(browser.get(f"{PUBLIC}.json").text)
        assert told["quarters"] == [
            {
                "quarter": "2026-Q3",
                "reads": 7,
                "recipients": [{"organisation": POLICE, "reads": 7, "extensions": 2}],
            }
        ]
        assert told["agreements"] == [{"agreement": POLICE_CHECK, "hidden_days": DAYS}]
        [listed] = told["recipients"]
        assert (listed["organisation"], listed["legal_basis"], listed["certainty"]) == (
            POLICE,
            "L19_1_b",
            "S",
        )
        assert (listed["days_maximum"], listed["extended_days_maximum"]) == (60, MOST_DAYS)
        for language, words in (("vi", "Bao nhiêu lượt"), ("en", "How many there were")):
            answer = browser.get(f"{PUBLIC}?lang={language}")
            assert (answer.status_code, answer.headers["Cache-Control"]) == (200, "no-store")
            page = Text(answer.text).words
            assert words in page
            assert "2026-Q3" in page
        assert "read in a secondary source" in Text(browser.get(f"{PUBLIC}?lang=en").text).words

    def test_before_anything_is_counted_the_page_says_so(self, visitor: Visitor) -> None:
        assert f'href="{PUBLIC}?lang=en"' in visitor.get(f"{HISTORY}?lang=en").text
        assert "No quarter with such looks is counted" in visitor.page(f"{PUBLIC}?lang=en").words
        assert Forms(visitor.get(PUBLIC).text).forms == []

    def test_the_sweep_counts(self, here: OwnWorld) -> None:
        world = here.world
        done = sweep(Session(world.settings, world.store))
        assert done["hidden_read_quarters"] == 0, "the quarter is not over"
