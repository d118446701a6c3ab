"""/v1/statistics: a ministry asks for tables, a worker answers, and each step is an entry first."""

from __future__ import annotations

import io
import json
import zipfile
from base64 import b64encode
from collections.abc import Iterator
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

import pytest
from flask import Flask
from joserfc import jwe
from joserfc.jwk import ECKey
from sqlalchemy import text

from broker.cli.output import CommandRefused
from broker.cli.statistics_bands import bands_of
from broker.cli.statistics_catalogue import find_release, question_of
from broker.cli.statistics_door import StatisticsDoor
from broker.cli.statistics_download import download
from broker.cli.statistics_package import read_cells
from broker.cli.statistics_view import shown_of
from broker.errors import EvidenceUnavailable
from broker.evidence.kinds import check_any
from broker.oauth.recipient_keys import AGREED, CONTENT
from broker.oauth.registration import registrable_jwks
from broker.statistics.agreed import parameters_of
from broker.statistics.disclosure import DisclosureParameters
from broker.statistics.registry import Limits
from broker.storage.client_entries import PostgresClientEntries
from broker.storage.ledger import PostgresLedger
from broker.storage.statistics_jobs import PostgresJobs
from policies.statistics_terms import DisclosureTerms
from tests.answers import problem_in
from tests.doors import InProcessCaller
from tests.frozen_release import SmallRelease, frozen_release
from tests.oauth_world import Party
from tests.release_world import World
from tests.spec.test_idor_matrix import of_kind
from tests.statistics_doors import (
    CATALOGUE,
    EXPORTS,
    FINANCE,
    HEALTH,
    Ministry,
    Statistics,
    serving_statistics,
)

RELEASE: Final = "2026-q3.1"
BY_SEX: Final[dict[str, Any]] = {
    "release": RELEASE,
    "dimensions": [{"name": "sex", "level": "sex"}, {"name": "province", "level": "region"}],
    "measures": ["contributions"],
    "format": "csv",
}


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> SmallRelease:
    return frozen_release(tmp_path_factory.mktemp("releases"), persons=2_000)


@pytest.fixture(scope="module")
def statistics(
    world: World, small: SmallRelease, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Statistics]:
    place = tmp_path_factory.mktemp("more")
    capped = frozen_release(place, persons=50, period="2026-q2", limits=Limits(tables=1))
    closed = frozen_release(place, persons=50, period="2026-q1")
    loose = frozen_release(place, persons=50, period="2025-q4").frozen
    kept = replace(loose.manifest, parameters=DisclosureParameters(threshold=5))
    releases = [
        small.frozen,
        capped.frozen,
        replace(closed.frozen, is_open=False),
        replace(loose, manifest=kept),
    ]
    with serving_statistics(world, place, releases) as served:
        yield served


@pytest.fixture(scope="module")
def finance(statistics: Statistics) -> Ministry:
    return statistics.ministry()


@pytest.fixture(scope="module")
def done(statistics: Statistics, finance: Ministry) -> dict[str, Any]:
    """A job of the finance ministry whose table lies ready."""
    return statistics.ready(finance, **BY_SEX)


def test_a_ministry_asks_a_worker_answers_and_it_fetches_the_table(
    statistics: Statistics, small: SmallRelease
) -> None:
    ministry = statistics.ministry()
    asked = ministry.ask(**BY_SEX)
    assert asked.status == 202, asked.body
    waiting = asked.json()
    place = f"{EXPORTS}/{waiting['job_id']}"
    assert (asked.headers["location"], asked.headers["retry-after"]) == (place, "2")
    assert (waiting["state"], waiting["percent"], waiting["reason"]) == ("waiting", 0, "")
    assert waiting["result"] is None
    assert waiting["links"] == {"self": place}
    assert waiting["plan"]["dimensions"] == [
        {"name": "province", "level": "region"},
        {"name": "sex", "level": "sex"},
    ]
    [requested] = statistics.entries(ministry)
    assert requested["reference"] == waiting["evidence_reference"]
    assert (requested["step"], requested["job"]) == ("requested", waiting["job_id"])
    assert (requested["release"], requested["format"]) == (RELEASE, "csv")
    assert (requested["agreement"], requested["recipient"]) == (FINANCE, "ministry_of_finance")

    statistics.work()
    shown = ministry.job(waiting["job_id"])
    done = shown.json()
    assert (shown.status, done["state"], done["percent"]) == (200, "done", 100)
    assert "retry-after" not in shown.headers
    result = done["result"]
    fetched = ministry.fetch(waiting["job_id"])
    assert (fetched.status, fetched.headers["content-type"]) == (200, "application/zip")
    digest = sha256(fetched.body)
    assert (digest.hexdigest(), len(fetched.body)) == (result["content_hash"], result["bytes_count"])
    told = f"sha-256=:{b64encode(digest.digest()).decode()}:"
    assert (fetched.headers["repr-digest"], fetched.headers["content-digest"]) == (told, told)
    assert fetched.headers["etag"] == f'"{result["content_hash"]}"'
    assert fetched.headers["cache-control"] == "private, no-cache"
    assert fetched.headers["accept-ranges"] == "bytes"
    assert result["file_name"] in fetched.headers["content-disposition"]
    assert "data.csv" in zipfile.ZipFile(io.BytesIO(fetched.body)).namelist()

    entries = statistics.entries(ministry)
    assert fetched.headers["evidence-reference"] == entries[-1]["reference"]
    kept = PostgresClientEntries(statistics.world.engine)
    stranger = statistics.ministry(HEALTH).client_id
    for entry in entries:
        found = kept.find_entry(ministry.client_id, entry["reference"])
        assert found is not None, "the ministry can have the entry proved"
        assert json.loads(found) == entry
        assert kept.find_entry(stranger, entry["reference"]) is None
    for entry in entries:
        check_any(entry)
        assert (entry["job"], entry["plan_hash"]) == (waiting["job_id"], done["plan_hash"])
        assert entry["client"] == ministry.client_id
    assert [entry["step"] for entry in entries] == ["requested", "released", "downloaded"]
    for entry in entries[1:]:
        assert (entry["content_hash"], entry["table_hash"]) == (
            result["content_hash"],
            result["table_hash"],
        )
        assert (entry["cell_count"], entry["suppressed_permille"]) == (
            result["cell_count"],
            result["suppressed_permille"],
        )
    counted = small.frozen.manifest
    assert str(counted.persons_count) not in json.dumps(done["plan"])


def test_the_same_question_again_gives_the_same_bytes_and_takes_nothing_of_the_cap(
    statistics: Statistics, finance: Ministry, done: dict[str, Any]
) -> None:
    left = tables_left(finance)
    other = statistics.ministry()
    turned = {**BY_SEX, "dimensions": BY_SEX["dimensions"][::-1]}
    again = statistics.ready(other, **turned)
    assert again["job_id"] != done["job_id"]
    assert (again["plan_hash"], again["result"]["content_hash"]) == (
        done["plan_hash"],
        done["result"]["content_hash"],
    )
    assert other.fetch(again["job_id"]).body == finance.fetch(done["job_id"]).body
    assert tables_left(finance) == left


def tables_left(client: Ministry, release: str = RELEASE) -> int:
    [found] = [one for one in client.catalogue().json()["releases"] if one["release"] == release]
    return int(found["limits"]["tables_left"])


def test_another_client_sees_nothing_of_a_job_and_cannot_cancel_it(
    statistics: Statistics, finance: Ministry, done: dict[str, Any]
) -> None:
    tried = {f"resources.v1_statistics_exports_job_id{end}" for end in ("", "_delete", "_result")}
    assert tried == set(of_kind("client's table"))
    waiting = finance.ask(**{**BY_SEX, "format": "xlsx"}).json()
    for other in (statistics.ministry(), statistics.ministry(HEALTH)):
        for job_id in (done["job_id"], waiting["job_id"], str(uuid4())):
            for answer in (other.job(job_id), other.job(job_id, "DELETE"), other.fetch(job_id)):
                document = problem_in(answer, "not-found")
                assert document.keys() == {"type", "title", "status", "instance", "request_id"}
        assert statistics.entries(other) == []
    assert finance.job(waiting["job_id"]).json()["state"] == "waiting"
    cancelled = finance.job(waiting["job_id"], "DELETE").json()
    assert (cancelled["state"], cancelled["result"]) == ("cancelled", None)


@pytest.mark.parametrize("job_id", ["x", "0193f0a0-0000-7000-8000-000000000001", "A" * 36])
def test_what_is_no_job_is_not_found(finance: Ministry, job_id: str) -> None:
    for answer in (finance.job(job_id), finance.job(job_id, "DELETE"), finance.fetch(job_id)):
        problem_in(answer, "not-found")


class TestParts:
    """Ranges and conditions (RFC 9110), digests (RFC 9530)."""

    def test_a_part_has_its_bytes_its_place_and_its_own_digest(
        self, finance: Ministry, done: dict[str, Any]
    ) -> None:
        whole = finance.fetch(done["job_id"]).body
        for ranged, start, end in (
            ("bytes=0-9", 0, 10),
            ("bytes=10-", 10, len(whole)),
            ("bytes=-7", len(whole) - 7, len(whole)),
            (f"bytes=5-{len(whole) + 99}", 5, len(whole)),
        ):
            part = finance.fetch(done["job_id"], Range=ranged)
            assert (part.status, part.body) == (206, whole[start:end])
            assert part.headers["content-range"] == f"bytes {start}-{end - 1}/{len(whole)}"
            own = b64encode(sha256(part.body).digest()).decode()
            assert part.headers["content-digest"] == f"sha-256=:{own}:"
            all_of_it = b64encode(sha256(whole).digest()).decode()
            assert part.headers["repr-digest"] == f"sha-256=:{all_of_it}:"

    @pytest.mark.parametrize("ranged", ["bytes=0-1,3-4", "lines=0-1", "bytes=9-3", "bytes=-", "bytes=x-"])
    def test_what_is_no_single_range_gets_the_whole(
        self, finance: Ministry, done: dict[str, Any], ranged: str
    ) -> None:
        answer = finance.fetch(done["job_id"], Range=ranged)
        assert (answer.status, len(answer.body)) == (200, done["result"]["bytes_count"])

    @pytest.mark.parametrize("ranged", ["bytes=99999999-", "bytes=-0"])
    def test_a_part_beyond_the_end_is_416_with_the_length_and_no_download(
        self, statistics: Statistics, finance: Ministry, done: dict[str, Any], ranged: str
    ) -> None:
        before = statistics.steps(finance)
        answer = finance.fetch(done["job_id"], Range=ranged)
        problem_in(answer, "range-not-satisfiable")
        assert answer.headers["content-range"] == f"bytes */{done['result']['bytes_count']}"
        assert statistics.steps(finance) == before

    def test_if_range_of_other_bytes_gets_the_whole(self, finance: Ministry, done: dict[str, Any]) -> None:
        etag = f'"{done["result"]["content_hash"]}"'
        assert finance.fetch(done["job_id"], Range="bytes=0-3", If_Range=etag).status == 206
        for other in ('"other"', f"W/{etag}", "Sun, 22 Nov 2026 00:00:00 GMT"):
            assert finance.fetch(done["job_id"], Range="bytes=0-3", If_Range=other).status == 200

    def test_who_has_it_already_gets_304_and_leaves_no_entry(
        self, statistics: Statistics, finance: Ministry, done: dict[str, Any]
    ) -> None:
        etag = f'"{done["result"]["content_hash"]}"'
        before = statistics.steps(finance)
        for known in (etag, f'"other", W/{etag}', "*"):
            answer = finance.fetch(done["job_id"], If_None_Match=known)
            assert (answer.status, answer.body, answer.headers["etag"]) == (304, b"", etag)
        assert statistics.steps(finance) == before
        assert finance.fetch(done["job_id"], If_None_Match='"other"').status == 200
        assert statistics.steps(finance) == [*before, "downloaded"]

    def test_head_tells_the_length_and_leaves_no_entry(
        self, statistics: Statistics, finance: Ministry, done: dict[str, Any]
    ) -> None:
        before = statistics.steps(finance)
        answer = finance.fetch(done["job_id"], "HEAD", Range="bytes=0-3")
        assert (answer.status, answer.body) == (200, b"")
        assert answer.headers["content-length"] == str(done["result"]["bytes_count"])
        assert statistics.steps(finance) == before

    def test_a_proof_fetches_once(self, finance: Ministry, done: dict[str, Any]) -> None:
        place = f"{EXPORTS}/{done['job_id']}/result"
        assert finance.fetch(done["job_id"], If_None_Match="*").status == 304
        answer = finance.request("GET", place, proof=finance.last_proof)
        problem_in(answer, "proof-invalid")
        assert finance.fetch(done["job_id"]).status == 200
        problem_in(finance.request("GET", place, proof=finance.last_proof), "proof-invalid")


REFUSED: Final = [
    ({"release": ...}, "plan_malformed", "the question lacks release"),
    ({"format": ...}, "plan_malformed", "the question lacks format"),
    ({"persons": ["1"]}, "plan_malformed", "it may have dimensions, encrypt_to, filters"),
    ({"release": "2099-q1.1"}, "name_unregistered", f"release …; registered: {RELEASE}"),
    ({"release": 7}, "plan_malformed", "release is the code of a release"),
    ({"release": "2026-q1.1"}, "release_closed", "the catalogue lists those that are open"),
    ({"release": "2025-q4.1"}, "release_less_strict", "releases that are frozen from now on"),
    ({"format": "pdf"}, "name_unregistered", "format …; registered: csv, parquet, sdmx-csv, xlsx"),
    ({"format": ["csv"]}, "plan_malformed", "format is the code of a format"),
    ({"encrypt_to": "me"}, "plan_malformed", "encrypt_to is …, or is left out"),
    ({"encrypt_to": "recipient"}, "recipient_key_missing", "register such a key"),
    ({"measures": ["wages"]}, "name_unregistered", "registered: contributions, salary, benefits, months"),
    ({"dimensions": []}, "plan_too_large", "1 to 4 are allowed"),
    ({"dimensions": [{"name": "facility", "level": "facility_region"}]}, "name_unregistered", "registered:"),
    (
        {"dimensions": [{"name": "sex", "level": "row"}]},
        "name_unregistered",
        "level of sex …; registered: sex",
    ),
    ({"dimensions": [{"name": "sex"}]}, "plan_malformed", "a dimension lacks level"),
    (
        {"filters": [{"dimension": "sex", "level": "sex", "categories": ["001090000001"]}]},
        "name_unregistered",
        "category of sex at sex …; registered: F, M",
    ),
]


@pytest.mark.parametrize(("change", "reason", "allowed"), REFUSED)
def test_a_question_that_is_refused_is_recorded_and_told_what_is_allowed(
    statistics: Statistics, change: dict[str, Any], reason: str, allowed: str
) -> None:
    ministry = statistics.ministry()
    question = {name: value for name, value in {**BY_SEX, **change}.items() if value is not ...}
    answer = ministry.ask("vi", **question)
    document = problem_in(answer, "statistics-question-refused")
    assert document["reason"] == reason
    assert allowed in document["allowed"], document["allowed"]
    [entry] = statistics.entries(ministry)
    check_any(entry)
    assert (entry["step"], entry["reason"], entry["job"]) == ("refused", reason, None)
    assert document["instance"] == f"urn:uuid:{entry['reference']}"
    for sent in ("2099-q1.1", "wages", "001090000001", "pdf", "facility"):
        assert sent not in document["allowed"], "what was sent is not repeated"
    assert "001090000001" not in json.dumps(entry)


def test_a_refused_question_burns_its_proof(statistics: Statistics) -> None:
    ministry = statistics.ministry()
    ministry.ask(**{**BY_SEX, "format": "pdf"})
    body = json.dumps({**BY_SEX, "format": "pdf"}).encode()
    again = ministry.request("POST", EXPORTS, body, proof=ministry.last_proof)
    problem_in(again, "proof-invalid")


def test_the_cap_is_one_for_all_clients_and_what_it_refuses_is_recorded(statistics: Statistics) -> None:
    first, second = statistics.ministry(), statistics.ministry(HEALTH)
    one: dict[str, Any] = {**BY_SEX, "release": "2026-q2.1", "dimensions": BY_SEX["dimensions"][:1]}
    del one["measures"]
    assert first.ask(**one).status == 202
    assert tables_left(second, "2026-q2.1") == 0
    assert second.ask(**one).status == 202, "the same question is free"
    another = {**one, "dimensions": [{"name": "age", "level": "age_group"}]}
    document = problem_in(second.ask("vi", **another), "statistics-question-refused")
    assert (document["reason"], document["allowed"]) == (
        "tables_exhausted",
        "1 distinct tables for all clients",
    )
    requested, refused = statistics.entries(second)[1:]
    assert (requested["step"], refused["step"], refused["reason"]) == (
        "requested",
        "refused",
        "tables_exhausted",
    )
    assert requested["job"] == refused["job"] is not None
    problem_in(second.job(refused["job"]), "not-found")


def test_nothing_is_kept_of_a_question_whose_evidence_cannot_be_written(
    statistics: Statistics, finance: Ministry, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: Any) -> None:
        raise EvidenceUnavailable("the disk is full")

    before = statistics.world.count("statistics_jobs")
    monkeypatch.setattr(PostgresLedger, "record_release", fails)
    problem_in(finance.ask("vi", **BY_SEX), "evidence-unavailable")
    assert statistics.world.count("statistics_jobs") == before


def test_no_byte_is_read_of_a_table_whose_download_cannot_be_recorded(
    statistics: Statistics, finance: Ministry, done: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: Any) -> None:
        raise EvidenceUnavailable("the disk is full")

    def must_not(*_: Any) -> None:
        pytest.fail("bytes were read before the evidence was there")

    monkeypatch.setattr(PostgresLedger, "record_release", fails)
    monkeypatch.setattr(PostgresJobs, "read_result", must_not)
    problem_in(finance.fetch(done["job_id"]), "evidence-unavailable")


def test_a_suspended_agreement_stops_questions_and_downloads(
    statistics: Statistics, finance: Ministry, done: dict[str, Any]
) -> None:
    world, before = statistics.world, statistics.steps(finance)
    world.execute("UPDATE agreements SET status = 'suspended' WHERE agreement_id = :id", id=FINANCE)
    try:
        for answer in (finance.fetch(done["job_id"]), finance.ask("vi", **BY_SEX)):
            assert problem_in(answer, "release-refused")["reason"] == "agreement_not_active"
    finally:
        world.execute("UPDATE agreements SET status = 'active' WHERE agreement_id = :id", id=FINANCE)
    assert statistics.steps(finance) == before
    assert finance.fetch(done["job_id"]).status == 200


def test_what_is_not_ready_says_why_and_when_to_look_again(statistics: Statistics, finance: Ministry) -> None:
    job_id = finance.ask(**{**BY_SEX, "format": "parquet"}).json()["job_id"]
    waiting = finance.fetch(job_id)
    assert problem_in(waiting, "statistics-result-not-ready")["reason"] == "waiting"
    assert waiting.headers["retry-after"] == "2"
    assert finance.job(job_id, "DELETE").json()["state"] == "cancelled"
    cancelled = finance.fetch(job_id)
    assert problem_in(cancelled, "statistics-result-not-ready")["reason"] == "cancelled"
    assert "retry-after" not in cancelled.headers


def test_a_result_that_was_kept_for_long_enough_is_gone(
    statistics: Statistics, finance: Ministry, done: dict[str, Any]
) -> None:
    def expire(when: str) -> None:
        statistics.world.execute(
            "UPDATE statistics_jobs SET expires_at = now() + CAST(:when AS interval)"
            " WHERE job_id = CAST(:id AS uuid)",
            id=done["job_id"],
            when=when,
        )

    before = statistics.steps(finance)
    expire("-1 second")
    answer = finance.fetch(done["job_id"])
    expire("7 days")
    assert problem_in(answer, "statistics-result-not-ready")["reason"] == "expired"
    assert statistics.steps(finance) == before


def test_a_table_can_be_encrypted_to_the_key_that_the_client_registered(statistics: Statistics) -> None:
    key = ECKey.generate_key("P-256")
    signing = Party("anybody").public_jwk
    public = {**key.as_dict(private=False), "use": "enc"}
    [_, registered] = registrable_jwks(json.dumps({"keys": [signing, public]}))["keys"]
    assert (registered["use"], registered["alg"], registered["kid"]) == ("enc", AGREED, key.thumbprint())
    ministry = statistics.ministry(more_keys=[registered])
    ready = statistics.ready(ministry, **BY_SEX, encrypt_to="recipient")
    assert (ready["is_encrypted"], ready["result"]["media_type"]) == (True, "application/jose")
    fetched = ministry.fetch(ready["job_id"])
    assert fetched.headers["content-type"] == "application/jose"
    opened = jwe.decrypt_compact(fetched.body, key, algorithms=[AGREED, CONTENT])
    assert "data.csv" in zipfile.ZipFile(io.BytesIO(opened.plaintext or b"")).namelist()


class TestCatalogue:
    """What may be asked: no more than the agreement opens."""

    def test_each_ministry_sees_what_its_fields_open(
        self, statistics: Statistics, finance: Ministry, small: SmallRelease
    ) -> None:
        told = finance.catalogue().json()
        assert told["agreement"]["id"] == FINANCE
        assert told["formats"] == ["csv", "parquet", "sdmx-csv", "xlsx"]
        releases = {one["release"]: one for one in told["releases"]}
        assert [*releases] == [RELEASE, "2026-q2.1", "2026-q1.1", "2025-q4.1"]
        one = releases[RELEASE]
        assert [dimension["name"] for dimension in one["dimensions"]] == [
            *("period", "province", "sex", "age", "sector", "payer"),
        ]
        assert [measure["name"] for measure in one["measures"]] == [
            *("contributions", "salary", "benefits", "months"),
        ]
        sex = next(dimension for dimension in one["dimensions"] if dimension["name"] == "sex")
        assert sex["levels"][0]["categories"][0] == {"code": "F", "label": {"vi": "Nữ", "en": "Women"}}
        assert (releases["2026-q1.1"]["is_open"], one["is_open"]) == (False, True)
        assert (releases["2025-q4.1"]["is_strict_enough"], one["is_strict_enough"]) == (False, True)
        assert one["limits"]["cells"] == 80_000
        assert parameters_of(DisclosureTerms(**one["disclosure_control"])) == small.frozen.manifest.parameters
        other = statistics.ministry(HEALTH).catalogue().json()["releases"][0]
        names = [dimension["name"] for dimension in other["dimensions"]]
        assert names == ["province", "sex", "age", "payer", "benefit", "facility"]
        assert (other["measures"], other["limits"]["measures"]) == ([], 1)

    def test_it_never_tells_how_many_persons_or_rows_there_are(
        self, finance: Ministry, small: SmallRelease
    ) -> None:
        manifest = small.frozen.manifest
        told = finance.catalogue().body.decode()
        assert "persons_count" not in told
        assert f": {manifest.persons_count}," not in told
        assert str(manifest.rows_count) not in told

    def test_it_leaves_no_entry_and_burns_the_proof(self, statistics: Statistics) -> None:
        ministry = statistics.ministry()
        assert ministry.catalogue().status == 200
        assert statistics.entries(ministry) == []
        problem_in(ministry.request("GET", CATALOGUE, proof=ministry.last_proof), "proof-invalid")


def test_a_narrowed_token_opens_what_it_names_and_no_more(statistics: Statistics) -> None:
    ministry = statistics.ministry()

    def narrowed(*fields: str) -> str:
        details = [{"type": "statistics_export", "fields": list(fields)}]
        form = {"grant_type": "client_credentials", "authorization_details": json.dumps(details)}
        answer = ministry.post_form("token_endpoint", form)
        assert answer.status == 200, answer.body
        return str(answer.json()["access_token"])

    catalogue = ministry.request("GET", CATALOGUE, token=narrowed("sex", "province")).json()
    assert [one["name"] for one in catalogue["releases"][0]["dimensions"]] == ["province", "sex"]
    assert catalogue["releases"][0]["measures"] == []
    body = json.dumps(BY_SEX).encode()
    answer = ministry.request("POST", EXPORTS, body, token=narrowed("sex", "province"))
    document = problem_in(answer, "statistics-question-refused")
    assert (document["reason"], document["allowed"]) == ("name_unregistered", "measure …; registered: ")
    without = json.dumps({**BY_SEX, "measures": []}).encode()
    assert ministry.request("POST", EXPORTS, without, token=narrowed("sex", "province")).status == 202

    ready = statistics.ready(ministry, **BY_SEX)
    place = ready["links"]["result"]
    before = statistics.steps(ministry)
    answer = ministry.request("GET", place, token=narrowed("sex", "province"))
    assert problem_in(answer, "release-refused")["reason"] == "authorization_details_insufficient"
    assert statistics.steps(ministry) == before, "nothing was downloaded"
    enough = ("sex", "province", "contribution_amount", "contribution_from", "contribution_to")
    assert ministry.request("GET", place, token=narrowed(*enough)).status == 200


def test_a_token_without_the_scope_is_refused_everywhere(
    statistics: Statistics, done: dict[str, Any]
) -> None:
    ministry = statistics.ministry(scope="verify_entitlement")
    for answer in (
        ministry.catalogue(),
        ministry.ask("vi", **BY_SEX),
        ministry.job(done["job_id"]),
        ministry.job(done["job_id"], "DELETE"),
        ministry.fetch(done["job_id"]),
    ):
        problem_in(answer, "scope-insufficient")
        assert 'scope="export_statistics"' in answer.headers["www-authenticate"]
    assert statistics.entries(ministry) == []


def test_questions_count_against_the_agreement_and_refused_ones_do_not(statistics: Statistics) -> None:
    ministry = statistics.ministry()
    ministry.ask(**{**BY_SEX, "format": "pdf"})
    statistics.world.count("usage_counters")
    with statistics.world.engine.connect() as connection:
        before = connection.execute(text("SELECT coalesce(sum(used_count), 0) FROM usage_counters")).scalar()
        assert ministry.ask(**BY_SEX).status == 202
        connection.rollback()
        after = connection.execute(text("SELECT coalesce(sum(used_count), 0) FROM usage_counters")).scalar()
    assert (after or 0) - (before or 0) == 2, "per client and day; per hour, for the client asks itself"


def test_a_broker_without_releases_says_so_to_whoever_may_ask(app: Flask, statistics: Statistics) -> None:
    ministry = statistics.ministry()
    ministry.app = app
    for answer in (
        ministry.catalogue(),
        ministry.ask("vi", **BY_SEX),
        ministry.job("x"),
        ministry.job("x", "DELETE"),
        ministry.fetch("x"),
    ):
        problem_in(answer, "statistics-unavailable")
    anybody = InProcessCaller(ministry.issuer, ministry.client_id, ministry.key, "verify_entitlement")
    anybody.app = app
    problem_in(anybody.request("GET", CATALOGUE), "scope-insufficient")


def test_people_ask_with_the_command_s_own_parts(statistics: Statistics, tmp_path: Path) -> None:
    """`broker statistics export` without its process: catalogue, question, job, file, table with noise."""
    door, file = StatisticsDoor(statistics.ministry(), "en"), tmp_path / "table.zip"
    release = find_release(door.catalogue(), None)
    question = question_of(release, ["province:region", "sex"], ["age=0-14,15-24"], ["contributions"])
    asked = door.ask(json.dumps(question.body("csv")).encode())
    statistics.work()
    percents: list[int] = []
    job = door.wait(asked, percents.append)
    assert (job["state"], percents[-1]) == ("done", 100)
    download(door, job, file, lambda _: None)
    cells = read_cells(file, ("province", "sex"), question.measures)
    assert len(cells) == job["result"]["cell_count"]
    table = shown_of(release, question, cells, bands_of(release), "en")
    assert [axis.label for axis in table.axes] == ["Region", "Sex"]
    assert table.filters == (("Age on the period's last day", ("0-14 years", "15-24 years")),)
    told = [codes for codes, values in cells.items() if values[0] is not None]
    assert {round(table.width(codes, 0), 1) for codes in told} == {3.4}
    assert door.cancel(str(job["job_id"])) == "done", "what is there is not taken back"
    with pytest.raises(CommandRefused) as refused:
        door.ask(
            json.dumps({**question.body("csv"), "dimensions": [{"name": "person", "level": "x"}]}).encode()
        )
    assert refused.value.exit_code == 3
    assert "reason: name_unregistered" in refused.value.message
    assert "registered: " in refused.value.message
