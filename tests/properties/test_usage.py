"""The projection to Estonia's Data Tracker: the published shape, newest first, with totals of the period."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import jsonschema_rs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.errors import RequestMalformed
from broker.evidence.usage import (
    LIMIT_MAX,
    OFFSET_MAX,
    Usage,
    UsageQuestion,
    UsageWords,
    find_usage,
    heartbeat,
    usage_of,
    usage_period,
    usage_question,
)
from tests.history_world import Told
from tests.house.project import ROOT

SHAPE = json.loads((ROOT / "tests/data/andmejalgija_2_0_0.json").read_text("utf-8"))
PERSON = "079190000001"
START = datetime(2026, 11, 22, tzinfo=UTC)
WORDS = UsageWords({"verify_entitlement": "Kiểm tra quyền lợi"}, {"check_entitlement": "Khám bệnh"})


def fits(answer: Mapping[str, Any], service: str) -> None:
    """Check an answer against the published shape, and that it has no member beside it."""
    schema = SHAPE["answers"][service]
    jsonschema_rs.validator_for(schema, validate_formats=True).validate(dict(answer))
    assert answer.keys() <= schema["properties"].keys()
    for one in answer.get("usages", ()):
        assert one.keys() <= schema["properties"]["usages"]["items"]["properties"].keys()


@st.composite
def usages(draw: st.DrawFn) -> list[Usage]:
    minutes = draw(st.lists(st.integers(0, 60), max_size=40))
    return [
        Usage(
            reference=f"{number:08x}",
            at=START + timedelta(minutes=minute),
            action=draw(st.text(max_size=5)),
            receiver_code=f"org{number % 3}",
            receiver_name=draw(st.sampled_from(["", "Bệnh viện"])),
            receiver_system="system",
        )
        for number, minute in enumerate(minutes)
    ]


moments = st.none() | st.integers(-5, 65).map(lambda minute: START + timedelta(minutes=minute))
questions = st.builds(
    UsageQuestion,
    st.just(PERSON),
    moments,
    moments,
    st.integers(0, 45),
    st.integers(1, 45),
)


@given(usages(), questions)
def test_the_answer_is_of_the_published_shape_newest_first_with_the_total_of_the_period(
    made: list[Usage], question: UsageQuestion
) -> None:
    answer = find_usage(iter(made), question)
    fits(answer, "findUsage")
    start, end = question.period_start, question.period_end
    wanted = [one for one in made if (not start or start <= one.at) and (not end or one.at <= end)]
    ordered = sorted(wanted, key=lambda one: (one.at, one.reference), reverse=True)
    assert answer["totalUsages"] == len(wanted)
    assert answer["usages"] == [
        one.document() for one in ordered[question.offset : question.offset + question.limit]
    ]


@given(usages(), st.integers(1, 10))
def test_pages_have_no_gap_and_no_repetition(made: list[Usage], limit: int) -> None:
    whole = find_usage(made, UsageQuestion(PERSON))["usages"]
    pages: list[Any] = []
    for offset in range(0, len(made) + limit, limit):
        page = find_usage(made, UsageQuestion(PERSON, offset=offset, limit=limit))["usages"]
        assert isinstance(page, list)
        pages += page
    assert pages == whole


def entry(**changes: Any) -> dict[str, Any]:
    told = Told("0197a5b0-0000-7000-8000-000000000001", START, b"", "clinic")
    return {**json.loads(told.content()), **changes}


def test_a_release_is_a_usage_in_words() -> None:
    usage = usage_of(entry(), "Phòng khám", WORDS)
    assert usage is not None
    assert usage.document() == {
        "logtime": "2026-11-22T00:00:00.000Z",
        "action": "Kiểm tra quyền lợi: Khám bệnh",
        "receiverCode": "clinic",
        "receiverName": "Phòng khám",
        "receiverSystem": "clinic-client",
    }
    fits(find_usage([usage], UsageQuestion(PERSON)), "findUsage")


def test_what_has_no_words_any_more_is_told_by_its_code() -> None:
    usage = usage_of(entry(action="read_minds", purpose=""), "", WORDS)
    assert usage is not None
    assert usage.document()["action"] == "read_minds"
    assert "receiverName" not in usage.document()


def test_an_answer_without_data_is_a_usage_too() -> None:
    without = entry(result="answered_without_data", reason="name_mismatch", released=[])
    assert usage_of(without, "", WORDS) is not None


@pytest.mark.parametrize(
    "changes",
    [
        {"kind": "refusal", "result": "refused", "reason": "limit_reached"},
        {"kind": "refusal", "result": "error", "reason": "source_slow"},
        {"kind": "consent"},
        {"kind": "erasure"},
        {"recipient": "data_subject", "action": "extract_own_record"},
    ],
)
def test_what_reached_nobody_is_no_usage(changes: dict[str, Any]) -> None:
    assert usage_of(entry(**changes), "", WORDS) is None


def test_nothing_of_an_entry_but_what_the_shape_asks_for_is_told() -> None:
    told = entry(acting_person="a" * 64, encounter="b" * 32, consent="c" * 36, data_subject_commit="d" * 64)
    usage = usage_of(told, "", WORDS)
    assert usage is not None
    said = json.dumps(usage.document())
    assert not any(secret in said for secret in ("a" * 64, "b" * 32, "c" * 36, "d" * 64, "hi_card"))


def test_nobody_and_somebody_without_usage_are_answered_alike() -> None:
    assert find_usage([], UsageQuestion(PERSON)) == {"totalUsages": 0, "usages": []}
    assert find_usage([], UsageQuestion("001090000009")) == find_usage([], UsageQuestion(PERSON))


def test_the_other_two_answers_are_of_their_shapes() -> None:
    fits(usage_period(START), "usagePeriod")
    assert usage_period(START) == {"periodStart": "2026-11-22T00:00:00.000Z"}
    fits(heartbeat(is_well=True), "heartbeat")
    fits(heartbeat(is_well=False), "heartbeat")
    assert [heartbeat(is_well=well)["status"] for well in (True, False)] == ["OK", "FAIL"]


class TestQuestions:
    def test_the_parameters_and_their_defaults_are_those_that_are_published(self) -> None:
        question = usage_question({"userCode": PERSON}, PERSON)
        assert (question.offset, question.limit) == tuple(SHAPE["defaults"].values())
        given_all = {
            "userCode": PERSON,
            "periodStart": "2026-01-01T00:00:00Z",
            "periodEnd": "2026-12-01T00:00:00Z",
            "offset": "3",
            "limit": "7",
        }
        assert set(given_all) == set(SHAPE["parameters"])
        asked = usage_question(given_all, f"VN{PERSON}")
        assert (asked.personal_id, asked.offset, asked.limit) == (PERSON, 3, 7)
        assert asked.period_start == datetime(2026, 1, 1, tzinfo=UTC)

    def test_whether_the_person_asked_about_is_the_one_who_is_signed_in_is_told(self) -> None:
        assert usage_question({"userCode": f"VN{PERSON}"}, PERSON).is_own
        assert not usage_question({"userCode": PERSON}, "VN001090000009").is_own

    def test_a_time_without_offset_is_one_of_viet_nam(self) -> None:
        """The published examples have none: 2021-01-31T10:20:30."""
        asked = usage_question({"userCode": PERSON, "periodStart": "2021-01-31T10:20:30"}, PERSON)
        assert asked.period_start == datetime(2021, 1, 31, 3, 20, 30, tzinfo=UTC)

    @pytest.mark.parametrize(
        ("changes", "user_id", "pointer"),
        [
            ({"userCode": ""}, PERSON, "/userCode"),
            ({"userCode": "EE12345678901"}, PERSON, "/userCode"),
            ({}, "EE12345678901", "/X-Road-UserId"),
            ({}, "", "/X-Road-UserId"),
            ({"offset": "-1"}, PERSON, "/offset"),
            ({"offset": str(OFFSET_MAX + 1)}, PERSON, "/offset"),
            ({"limit": "0"}, PERSON, "/limit"),
            ({"limit": str(LIMIT_MAX + 1)}, PERSON, "/limit"),
            ({"limit": "٣"}, PERSON, "/limit"),
            ({"periodStart": "yesterday"}, PERSON, "/periodStart"),
            ({"periodEnd": "0001-01-01T00:00:00"}, PERSON, "/periodEnd"),
            ({"periodStart": "2026-02-01", "periodEnd": "2026-01-01"}, PERSON, "/periodEnd"),
            ({"everybody": "yes"}, PERSON, "/everybody"),
        ],
    )
    def test_what_is_wrong_is_told_by_its_place_and_without_its_value(
        self, changes: dict[str, str], user_id: str, pointer: str
    ) -> None:
        with pytest.raises(RequestMalformed) as refused:
            usage_question({"userCode": PERSON, **changes}, user_id)
        assert [fault.pointer for fault in refused.value.faults] == [pointer]
        assert PERSON not in refused.value.detail

    @given(st.dictionaries(st.sampled_from(SHAPE["parameters"]), st.text(max_size=30)), st.text(max_size=14))
    def test_whatever_is_asked_is_a_question_or_a_malformed_request(
        self, parameters: dict[str, str], user_id: str
    ) -> None:
        try:
            question = usage_question(parameters, user_id)
        except RequestMalformed:
            return
        assert 1 <= question.limit <= LIMIT_MAX
        assert 0 <= question.offset <= OFFSET_MAX

    def test_a_question_does_not_print_the_person(self) -> None:
        assert PERSON not in repr(UsageQuestion(PERSON))
