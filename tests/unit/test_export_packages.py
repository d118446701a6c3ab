"""What all packages have in common: their bytes, their method note, and that nothing true is in them."""

from __future__ import annotations

import string
from dataclasses import replace
from io import BytesIO
from typing import Final
from zipfile import ZipFile

import pytest

from broker.exports import note_words, words
from broker.exports.method_note import method_note
from broker.exports.package import FORMATS, packed
from broker.statistics.manifest import Label
from broker.statistics.output import HIDDEN
from broker.statistics.parameters import CountParameters
from broker.statistics.plan import Filter
from broker.statistics.reasons import StatisticsRefused
from tests.packages_world import (
    FROZEN_AT,
    MANIFEST,
    WHOLE,
    about_of,
    asked,
    table_of,
)

NOTES: Final = ("method-note.vi.txt", "method-note.en.txt")


def note(language: str, *cut: str, **changed: object) -> str:
    plan = asked(*(cut or ("province", "sex")))
    manifest = replace(MANIFEST, **changed)  # type: ignore[arg-type]
    return " ".join(method_note(table_of(plan), about_of(plan, manifest), language).split())


@pytest.mark.parametrize("format_code", FORMATS)
def test_the_same_table_has_the_same_bytes(format_code: str) -> None:
    first = packed(table_of(WHOLE), about_of(WHOLE), format_code)
    again = packed(table_of(WHOLE), about_of(WHOLE), format_code)
    assert first == again
    assert first.file_name == f"2026-q3.1-{WHOLE.hash[:12]}-{format_code}.zip"
    assert first.media_type == "application/zip"
    other = packed(table_of(WHOLE, seed=2), about_of(WHOLE), format_code)
    assert other.content != first.content


@pytest.mark.parametrize("format_code", FORMATS)
def test_a_package_is_of_the_instant_of_its_release(format_code: str) -> None:
    with ZipFile(BytesIO(packed(table_of(WHOLE), about_of(WHOLE), format_code).content)) as archive:
        entries = archive.infolist()
    assert [one.filename for one in entries][:2] == list(NOTES)
    assert {one.date_time for one in entries} == {FROZEN_AT.timetuple()[:6]}
    assert {(one.create_system, one.external_attr) for one in entries} == {(3, 0o100644 << 16)}


@pytest.mark.parametrize("format_code", FORMATS)
def test_a_table_of_another_question_or_release_is_not_packed(format_code: str) -> None:
    other = about_of(asked("sex"))
    later = about_of(WHOLE, replace(MANIFEST, release="2026-q3.2"))
    for about in (other, later):
        with pytest.raises(StatisticsRefused, match="cells_differ: the table is not the one"):
            packed(table_of(WHOLE), about, format_code)


def test_another_format_is_none() -> None:
    with pytest.raises(KeyError, match="xml"):
        packed(table_of(WHOLE), about_of(WHOLE), "xml")


@pytest.mark.parametrize(
    ("language", "said"),
    [
        ("vi", "phương sai nhiều nhất 3, không quá 5 người theo mỗi chiều. Số từ 1 đến 2 không bao giờ"),
        ("vi", "một bội số ngẫu nhiên của 10 % phần mình"),
        ("vi", "Kỳ công bố 2026-q3.1: dữ liệu đến ngày 1 tháng 10, 2026, 00:00 (UTC+7)"),
        ("en", "Release 2026-q3.1: data as of October 1, 2026, 00:00 (UTC+7), frozen at October 5"),
        ("en", "mean 0, variance at most 3, at most 5 persons either way. Counts of 1 to 2 never appear"),
        ("en", "a random multiple of 10 % of its own part"),
        ("en", "where the count with its noise is below 10"),
        ("en", "less than 15 % of the largest part"),
        ("en", "of 1.7 persons, the same in large and in small cells; 95 % are off by at most 3.4"),
        ("en", "a standard deviation of at most 16.1 % of the part of the cell's largest contributor"),
        ("en", "Cells do NOT add up to totals"),
        ("en", "The sum of 5 cells is usually off from their total by at most 8 persons"),
        ("en", "OBS_VALUE is empty, OBS_STATUS is Q, CONF_STATUS is C"),
        ("en", "No formal guarantee: cell keys are not differential privacy."),
    ],
)  # fmt: skip
def test_the_note_says_what_was_done(language: str, said: str) -> None:
    assert said in note(language).replace("\u00a0", " ")


def test_the_note_follows_the_parameters_of_its_release() -> None:
    parameters = replace(
        MANIFEST.parameters,
        counts=CountParameters(bound=12, variance=16),
        share_large=0.25,
        share_small=0.3,
        threshold=25,
        dominance_percent=20,
        digits=3,
    )
    said = note("en", parameters=parameters).replace("\u00a0", " ")
    assert "variance at most 16, at most 12 persons either way; 0 stays 0" in said
    assert "never appear" not in said
    assert "a random multiple of 25 % of its own part" in said
    assert "rounded to 3 significant digits" in said
    assert "its noise is below 25" in said
    assert "less than 20 % of the largest part" in said
    assert "a standard deviation of 4 persons" in said


def test_the_note_counts_what_is_hidden() -> None:
    table = table_of(WHOLE)
    hidden, sums = int((table.persons == HIDDEN).sum()), [int((one == HIDDEN).sum()) for one in table.sums]
    said = " ".join(method_note(table, about_of(WHOLE), "en").split())
    assert (
        f"The table has 18 cells, totals and cells without anybody among them; the count of {hidden} is"
        in said
    )
    assert f"Contributions, sum is hidden in {sums[0]} cells." in said
    assert f"Months, sum is hidden in {sums[1]} cells." in said


def test_the_note_names_filters_and_dimensions_with_persons_in_several_categories() -> None:
    plan = asked("sector", filters=(Filter("province", "region", ("north",)),))
    said = " ".join(method_note(table_of(plan), about_of(plan), "vi").split())
    assert "- Chỉ gồm Tỉnh, thành phố: Hà Nội; Hà Giang; Hải Phòng" in said
    assert "Một người có thể ở nhiều ô của sector" in said
    assert "Một người có thể ở nhiều ô" not in note("vi")


def test_the_note_says_which_release_it_takes_the_place_of() -> None:
    assert "It takes the place of release 2026-q3.0." in note("en", supersedes="2026-q3.0")
    assert "takes the place" not in note("en")


def test_a_table_of_persons_alone_says_nothing_of_sums() -> None:
    plan = asked("sex", measures=())
    said = method_note(table_of(plan), about_of(plan), "en")
    assert "Sums" not in said
    assert "Each sum" not in said


def test_a_note_has_short_lines_and_its_question_as_it_is_hashed() -> None:
    text = method_note(table_of(WHOLE), about_of(WHOLE), "vi")
    *lines, question = text.rstrip("\n").split("\n")
    assert question == WHOLE.canonical()
    assert max(len(line) for line in lines) <= 100
    assert f"bảng {WHOLE.hash}" in " ".join(lines)


def all_labels() -> dict[str, Label]:
    found = dict(note_words.NOTE)
    for name, value in vars(words).items():
        if isinstance(value, Label):
            found[name] = value
        elif name.isupper() and isinstance(value, dict):
            found |= {f"{name} {key}": label for key, label in value.items()}
    return found


def test_every_word_is_there_in_both_languages_with_the_same_places() -> None:
    labels = all_labels()
    assert len(labels) > 50
    for name, label in labels.items():
        assert label.vi.strip(), name
        assert label.en.strip(), name
        assert places(label.vi) == places(label.en), name
    same = {name for name, label in labels.items() if label.vi == label.en}
    assert same == set()


def places(text: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(text) if name}
