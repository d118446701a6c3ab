"""A release's manifest has one form: what is read back is what was written, and nothing else is read."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from broker.statistics.disclosure import DisclosureParameters
from broker.statistics.manifest_json import json_bytes, manifest_bytes, manifest_hash
from broker.statistics.manifest_read import read_manifest
from broker.statistics.parameters import CountParameters, MagnitudeParameters
from broker.statistics.reasons import StatisticsRefused
from broker.statistics.registry import Limits
from tests.frozen_release import SmallRelease, frozen_release


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> SmallRelease:
    return frozen_release(tmp_path_factory.mktemp("release"), persons=300)


def test_a_manifest_is_read_back_as_it_was(release: SmallRelease) -> None:
    manifest = release.frozen.manifest
    content = manifest_bytes(manifest)
    assert read_manifest(content) == manifest
    assert manifest_bytes(read_manifest(content)) == content
    assert (Path(release.frozen.directory) / "manifest.json").read_bytes() == content
    assert len(manifest_hash(content)) == 64


def test_whole_and_broken_numbers_of_parameters_stay_what_they_are(release: SmallRelease) -> None:
    parameters = DisclosureParameters(
        counts=CountParameters(bound=4, variance=1.0, stay=0.5),
        sums=MagnitudeParameters(bound=10, variance=3, step=2, icat=(1, 5, 10), reaches=True),
        share_large=0.25,
        share_small=0.3,
    )
    manifest = replace(
        release.frozen.manifest,
        parameters=parameters,
        registry=replace(release.registry, limits=Limits(tables=7, differences=0)),
    )
    read = read_manifest(manifest_bytes(manifest))
    assert read == manifest
    assert repr(read.parameters.counts.variance) == "1.0"
    assert repr(read.parameters.sums.variance) == "3"


def _set(name: str, value: object) -> Callable[[dict[str, Any]], None]:
    def change(document: dict[str, Any]) -> None:
        document[name] = value

    return change


def _drop(document: dict[str, Any]) -> None:
    del document["as_of"]


def _extra_label(document: dict[str, Any]) -> None:
    document["dimensions"][0]["label"]["fr"] = "période"


def _climbing_path(document: dict[str, Any]) -> None:
    document["files"][0]["path"] = "period=../province=01/part-0.parquet"


def _short_hash(document: dict[str, Any]) -> None:
    document["files"][0]["sha256"] = "abc"


def _lost_leaf(document: dict[str, Any]) -> None:
    document["dimensions"][1]["levels"][1]["categories"][0]["leaves"].pop()


def _true_for_one(document: dict[str, Any]) -> None:
    document["limits"]["tables"] = True


CHANGES = {
    "another_form": (_set("form", "statistics-release/2"), "manifest_malformed", "its form is not"),
    "unknown_member": (_set("secret", "x"), "manifest_malformed", "has no member 'secret'"),
    "missing_member": (_drop, "manifest_malformed", "lacks as_of"),
    "instant_without_zone": (_set("as_of", "2026-10-15T22:00:00"), "manifest_malformed", "with its zone"),
    "instant_written_otherwise": (
        _set("as_of", "2026-10-15T22:00:00+00:00"), "manifest_malformed", "canonical",
    ),
    "no_instant": (_set("frozen_at", "yesterday"), "manifest_malformed", "frozen_at is an instant"),
    "negative_count": (_set("persons_count", -1), "manifest_malformed", "0 or more"),
    "text_for_number": (_set("rows_count", "7"), "manifest_malformed", "rows_count is a whole number"),
    "unknown_member_within": (_extra_label, "manifest_malformed", "has no member 'fr'"),
    "path_outside": (_climbing_path, "manifest_malformed", "a path below the release"),
    "short_hash": (_short_hash, "manifest_malformed", "and a hash"),
    "lost_leaf": (_lost_leaf, "rule_malformed", "has each finest category once"),
    "true_is_no_number": (_true_for_one, "manifest_malformed", "tables is a whole number"),
    "hash_of_a_table": (_set("perturbation", {"x": "y"}), "manifest_malformed", "SHA-256"),
}  # fmt: skip


@pytest.mark.parametrize("name", sorted(CHANGES))
def test_whatever_is_not_of_the_form_is_refused(release: SmallRelease, name: str) -> None:
    change, reason, detail = CHANGES[name]
    document = json.loads(manifest_bytes(release.frozen.manifest))
    change(document)
    with pytest.raises(StatisticsRefused) as refused:
        read_manifest(json_bytes(document))
    assert refused.value.reason == reason
    assert detail in refused.value.detail


@pytest.mark.parametrize("content", [b"", b"[]", b"{", b'{"as_of":NaN}', b"\xff"])
def test_what_is_no_manifest_is_refused(content: bytes) -> None:
    with pytest.raises(StatisticsRefused) as refused:
        read_manifest(content)
    assert refused.value.reason == "manifest_malformed"


def test_the_same_written_with_spaces_is_refused(release: SmallRelease) -> None:
    document = json.loads(manifest_bytes(release.frozen.manifest))
    with pytest.raises(StatisticsRefused, match="canonical form"):
        read_manifest(json.dumps(document, sort_keys=True).encode())
