"""`broker statistics export` and `catalogue` before a made-up broker: question, job, file, table, chart."""

from __future__ import annotations

import json
from collections.abc import Iterator
from math import ceil
from pathlib import Path
from typing import Any, get_args

import pytest
from click.testing import CliRunner, Result

from broker.cli import main, statistics_door, statistics_download
from broker.cli.statistics_catalogue import NotRegistered, question_of
from broker.cli.statistics_package import PackageUnreadable, read_cells
from broker.cli.statistics_words import REASONS, number
from broker.oauth.stored_keys import generate_private_key
from broker.statistics.disclosure import DisclosureParameters
from broker.statistics.export_answer import AUDITORS, JobFault
from broker.statistics.noise_band import sum_band
from tests.serving import SilentKeepAlive, serving
from tests.statistics_place import JOB, RELEASE, StatisticsPlace, package

AGE_BY_SEX = package([("sex", ("F", "M")), ("age", ("15-19", "65+"))], ["contributions"])


@pytest.fixture
def place() -> Iterator[StatisticsPlace]:
    with serving(handler=SilentKeepAlive) as port:
        place = StatisticsPlace(issuer=port.url, content=AGE_BY_SEX)
        port.put(place.app())
        yield place


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    file = tmp_path / "health.jwk"
    key = generate_private_key("ES256").as_dict(private=True)
    file.write_text(json.dumps({**key, "client_id": "health"}), encoding="utf-8")
    return file


def run(place: StatisticsPlace, key_file: Path, *words: str, command: str = "export") -> Result:
    arguments = ["statistics", command, "--issuer", place.issuer, "--key", str(key_file), *words]
    return CliRunner(env={"COLUMNS": "120"}).invoke(main, arguments)


def export(place: StatisticsPlace, key_file: Path, *words: str) -> Result:
    out = str(key_file.with_name("table.zip"))
    return run(
        place, key_file, "--by", "sex", "--by", "age", "--measure", "contributions", "--out", out, *words
    )


def test_a_question_is_asked_waited_for_fetched_and_shown(place: StatisticsPlace, key_file: Path) -> None:
    place.states = [
        {"state": "waiting", "percent": 0},
        {"state": "running", "percent": 40},
        {"state": "done"},
    ]
    result = export(place, key_file, "--where", "age:age_group=15-64,65+", "--format", "csv")
    assert result.exit_code == 0, result.output
    assert place.scopes == ["export_statistics"]
    assert place.asked == [
        {
            "release": "2026-q3.1",
            "dimensions": [{"name": "sex", "level": "sex"}, {"name": "age", "level": "age_band"}],
            "filters": [{"dimension": "age", "level": "age_group", "categories": ["15-64", "65+"]}],
            "measures": ["contributions"],
            "format": "csv",
        }
    ]
    assert key_file.with_name("table.zip").read_bytes() == AGE_BY_SEX
    lines = [" ".join(line.split()) for line in result.stdout.splitlines()]
    assert lines[0] == (
        "Số người theo giới tính và cấp age_band · Bản phát hành 2026-q3.1 · chỉ Tuổi: 15–64, từ 65"
    )
    # The package has age before sex; people see what they asked for, in their order.
    assert lines[2:7] == [
        "Giới tính Tổng số 15–19 từ 65",
        "─" * len(lines[3]),
        "Tổng số 100 400 700",
        "Nữ 200 500 800",
        "Nam 300 600 –",
    ]
    assert "–  không công bố: 1 trong 9 ô." in result.stdout
    assert "±  Số người: 95 % lệch không quá 4 người." in result.stdout
    # 1,000 đồng for each person in all cells.
    band = number(ceil(sum_band(DisclosureParameters(), 100_000, 100)), "vi")
    assert f"±  Tiền đóng: 95 % lệch không quá {band} đồng." in result.stdout
    assert "SHA-256" in result.stdout


def test_a_chart_is_drawn_of_the_measure(place: StatisticsPlace, key_file: Path) -> None:
    chart = key_file.with_name("chart.svg")
    result = export(place, key_file, "--chart", str(chart), "--lang", "en")
    assert result.exit_code == 0, result.output
    assert b'<title id="title">Contributions by sex and level age_band</title>' in chart.read_bytes()


def test_json_tells_the_job_and_the_files(place: StatisticsPlace, key_file: Path) -> None:
    result = export(place, key_file, "--json")
    told = json.loads(result.stdout)
    assert (told["file"], told["chart"]) == (str(key_file.with_name("table.zip")), None)
    assert told["job"]["result"]["cell_count"] == 9


def test_the_server_cannot_say_where_the_file_goes(
    place: StatisticsPlace, key_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = key_file.with_name("here")
    here.mkdir()
    monkeypatch.chdir(here)
    assert run(place, key_file, "--by", "sex", "--by", "age").exit_code == 0
    assert [one.name for one in here.iterdir()] == ["2026-q3.1-abc-csv.zip"]
    assert not key_file.with_name("2026-q3.1-abc-csv.zip").exists()


@pytest.mark.parametrize(
    ("status", "code", "problem", "told"),
    [
        (
            422,
            3,
            {
                "title": "Không trả lời được",
                "reason": "plan_too_large",
                "detail": "61000 cells asked for; 1 to 50000 are allowed",
                "allowed": {"formats": ["csv", "xlsx"]},
                "instance": "urn:uuid:1",
            },
            ["HTTP 422: Không trả lời được", "1 to 50000 are allowed", "formats: csv, xlsx", "urn:uuid:1"],
        ),
        (403, 4, {"title": "Từ chối chia sẻ", "reason": "agreement_not_active"}, ["agreement_not_active"]),
        (503, 5, {"title": "Tạm ngừng"}, ["HTTP 503: Tạm ngừng"]),
    ],
)
def test_a_refusal_is_told_with_what_is_allowed(
    place: StatisticsPlace, key_file: Path, status: int, code: int, problem: dict[str, Any], told: list[str]
) -> None:
    place.refusal = (status, problem)
    result = export(place, key_file)
    assert result.exit_code == code
    for words in told:
        assert words in result.stderr


@pytest.mark.parametrize(
    ("state", "code", "told"),
    [
        ({"state": "refused", "reason": "cell_narrowed"}, 6, "Hãy hỏi ở cấp thô hơn"),
        ({"state": "refused", "reason": "plan_malformed"}, 6, "(plan_malformed)"),
        (
            {"state": "failed", "reason": "deadline_exceeded"},
            6,
            f"{JOB} không thành (deadline_exceeded): đếm",
        ),
        ({"state": "cancelled", "reason": ""}, 130, "đã hủy"),
    ],
)
def test_a_job_that_came_to_nothing_is_told(
    place: StatisticsPlace, key_file: Path, state: dict[str, Any], code: int, told: str
) -> None:
    place.states = [{"percent": 10, **state}]
    result = export(place, key_file)
    assert (result.exit_code, told in result.stderr) == (code, True)
    assert not key_file.with_name("table.zip").exists()


def test_ctrl_c_cancels_the_job_on_the_server(
    place: StatisticsPlace, key_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place.states = [{"state": "running", "percent": 10}]
    pauses: list[float] = []

    def pause(seconds: float) -> None:
        # As the signal does it, at a place where no socket is half open.
        pauses.append(seconds)
        if len(pauses) == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr(statistics_door, "sleep", pause)
    result = export(place, key_file)
    assert (result.exit_code, result.stderr) == (130, "Đã dừng.\n")
    assert place.cancelled == [JOB]
    assert not key_file.with_name("table.zip").exists()


class TestDownload:
    @pytest.fixture(autouse=True)
    def small_parts(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(statistics_download, "PART_BYTES", 200)

    def test_a_part_that_does_not_come_is_asked_for_again(
        self, place: StatisticsPlace, key_file: Path
    ) -> None:
        place.broken = {2}
        assert export(place, key_file).exit_code == 0
        assert place.ranges[:3] == ["bytes=0-199", "bytes=200-399", "bytes=200-399"]
        assert key_file.with_name("table.zip").read_bytes() == AGE_BY_SEX

    def test_what_broke_off_goes_on_where_it_stopped(self, place: StatisticsPlace, key_file: Path) -> None:
        place.broken = {2, 3, 4, 5, 6}
        broken = export(place, key_file)
        assert broken.exit_code == 5
        assert not key_file.with_name("table.zip").exists()
        place.ranges, place.broken = [], set()
        assert export(place, key_file).exit_code == 0
        assert place.ranges[0] == "bytes=200-399"
        assert [one.name for one in key_file.parent.iterdir() if one.suffix == ".part"] == []

    def test_a_server_without_ranges_gives_all_of_it(self, place: StatisticsPlace, key_file: Path) -> None:
        place.is_whole = True
        assert export(place, key_file).exit_code == 0
        assert len(place.ranges) == 1

    def test_what_is_not_the_result_is_thrown_away(self, place: StatisticsPlace, key_file: Path) -> None:
        good = key_file.with_name("table.zip")
        assert export(place, key_file).exit_code == 0
        [part] = [
            good.with_name(f".table.zip.{json.loads(one)['job']['result']['content_hash'][:16]}.part")
            for one in [export(place, key_file, "--json").stdout]
        ]
        part.write_bytes(b"x" * 100)
        good.unlink()
        result = export(place, key_file)
        assert (result.exit_code, good.exists(), part.exists()) == (5, False, False)
        assert "not what the job made" in result.stderr
        assert export(place, key_file).exit_code == 0


@pytest.mark.parametrize(
    ("by", "where", "measures", "told"),
    [
        (["region"], [], [], "no dimension 'region'; there are: sex, age, payer"),
        (["age:years"], [], [], "no level of age 'years'; there are: age_band, age_group"),
        (["sex"], ["sex=X"], [], "no category of sex 'X'; there are: F, M"),
        (["sex"], ["age:age_band=15-64"], [], "no category of age '15-64'; there are: 15-19, 65+"),
        (["sex"], [], ["wage"], "no measure 'wage'; there are: contributions"),
    ],
)
def test_what_is_not_registered_is_told_before_anything_is_asked(
    by: list[str], where: list[str], measures: list[str], told: str
) -> None:
    with pytest.raises(NotRegistered) as refused:
        question_of(RELEASE, by, where, measures)
    assert str(refused.value) == told


def test_a_level_is_found_by_its_categories() -> None:
    assert question_of(RELEASE, ["sex"], ["age=15-64"], []).where[0].level == "age_group"
    assert question_of(RELEASE, ["sex"], ["age=65+"], []).where[0].level == "age_band"
    with pytest.raises(ValueError, match="a filter is NAME=CODE,CODE"):
        question_of(RELEASE, ["sex"], ["sex"], [])


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (["--by", "region"], 3, "no dimension 'region'"),
        (["--by", "sex", "--where", "sex"], 2, "a filter is"),
        (["--by", "sex", "--release", "2025-q1.1"], 3, "there are: 2026-q3.3, 2026-q3.2, 2026-q3.1, old"),
        (["--by", "sex", "--chart", "x.pdf"], 2, "--chart must end in .png or .svg"),
        ([*["--by", "sex"] * 4, "--chart", "x.png"], 2, "--chart shows at most 3 dimensions"),
    ],
)
def test_wrong_words_ask_nothing(
    place: StatisticsPlace, key_file: Path, words: list[str], code: int, told: str
) -> None:
    result = run(place, key_file, *words)
    assert (result.exit_code, told in result.stderr) == (code, True), result.stderr
    assert place.asked == []


def test_the_catalogue_shows_releases_dimensions_and_codes(place: StatisticsPlace, key_file: Path) -> None:
    shown = run(place, key_file, "--lang", "en", command="catalogue").stdout
    assert "2026-q3.1  2026-q3  open" in shown
    assert "2026-q3.2  2026-q3  closed" in shown
    assert "Payer, level payer_group (1 codes; sensitive: to cut by, not to filter by)" in shown
    codes = run(place, key_file, "--dimension", "age", command="catalogue").stdout
    assert "age:age_group" in codes
    assert "từ 65" in codes
    told = json.loads(run(place, key_file, "--json", command="catalogue").stdout)
    assert told["releases"][2]["measures"][0]["unit"] == "VND"


def test_a_file_that_is_no_package_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "x.zip"
    file.write_bytes(b"PK")
    with pytest.raises(PackageUnreadable, match="BadZipFile"):
        read_cells(file, ("sex",), ())


def test_every_reason_of_a_failed_job_and_of_the_auditor_has_words() -> None:
    assert {*get_args(JobFault), *AUDITORS} <= set(REASONS)
