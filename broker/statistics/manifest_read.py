"""Reads a release's manifest back: only the bytes that `manifest_json` writes are one."""

from __future__ import annotations

import json
import re
from datetime import datetime
from functools import partial
from typing import Final

from broker.statistics.audit_rules import AuditRules
from broker.statistics.closed_json import ClosedObject
from broker.statistics.disclosure import DisclosureParameters
from broker.statistics.manifest import DimensionAbout, Label, MeasureAbout, ReleaseFile, ReleaseManifest
from broker.statistics.manifest_json import FORM, manifest_bytes
from broker.statistics.parameters import CountParameters, MagnitudeParameters
from broker.statistics.reasons import StatisticsRefused
from broker.statistics.registry import Dimension, Level, Limits, Registry

_BYTES_MAX: Final = 64 * 1024 * 1024
_PATH: Final = re.compile(r"period=[A-Za-z0-9_-]+/province=[A-Za-z0-9_-]+/part-[0-9]+\.parquet")
_HASH: Final = re.compile(r"[0-9a-f]{64}")
_closed: Final = partial(ClosedObject, reason="manifest_malformed")
_MEMBERS: Final = (
    "as_of", "dimensions", "files", "form", "frozen_at", "limits", "measures", "parameters", "period",
    "persons_count", "perturbation", "release", "revision", "rows_count", "supersedes",
)  # fmt: skip
_PARAMETERS: Final = (
    "audit", "counts", "digits", "dominance_percent", "share_large", "share_small", "sums", "threshold",
)  # fmt: skip
_COUNTS: Final = ("barred", "bound", "free_rows", "reaches", "stay", "variance")
_SUMS: Final = ("bound", "icat", "reaches", "step", "variance")


def read_manifest(content: bytes) -> ReleaseManifest:
    """Return the manifest that these bytes are.

    Raises StatisticsRefused: manifest_malformed, also where the same is written otherwise, and whatever the
    registry or the parameters in it refuse.
    """
    if len(content) > _BYTES_MAX:
        raise StatisticsRefused("manifest_malformed", "it is too long")
    try:
        document = json.loads(content, parse_constant=_no_number)
    except (ValueError, RecursionError):
        raise StatisticsRefused("manifest_malformed", "it is no JSON") from None
    manifest = _manifest(_closed("the manifest", document, _MEMBERS))
    if manifest_bytes(manifest) != content:
        raise StatisticsRefused("manifest_malformed", "it is not written in its canonical form")
    return manifest


def _manifest(one: ClosedObject) -> ReleaseManifest:
    if one.text("form") != FORM:
        raise StatisticsRefused("manifest_malformed", f"its form is not {FORM}")
    dimensions = one.many("dimensions", _dimension)
    measures = one.many("measures", _measure)
    limits = ("cells", "differences", "dimensions", "filters", "measures", "tables")
    limit = _closed("limits", one.raw("limits"), limits)
    registry = Registry(
        release=one.text("release"),
        dimensions=tuple(dimension for dimension, _ in dimensions),
        measures=tuple(measure.name for measure in measures),
        limits=Limits(**{name: limit.whole(name) for name in limits}),
    )
    perturbation = one.text_of_text("perturbation")
    if not all(map(_HASH.fullmatch, perturbation.values())):
        raise StatisticsRefused("manifest_malformed", "perturbation has SHA-256 in hex")
    return ReleaseManifest(
        release=registry.release,
        period=one.text("period"),
        revision=one.whole("revision"),
        supersedes=one.text("supersedes"),
        frozen_at=_instant(one, "frozen_at"),
        as_of=_instant(one, "as_of"),
        registry=registry,
        dimensions=tuple(about for _, about in dimensions),
        measures=measures,
        parameters=_parameters(_closed("parameters", one.raw("parameters"), _PARAMETERS)),
        perturbation=perturbation,
        files=one.many("files", _file),
        persons_count=one.whole("persons_count"),
        rows_count=one.whole("rows_count"),
    )


def _dimension(where: str, value: object) -> tuple[Dimension, DimensionAbout]:
    one = _closed(where, value, ("fields", "is_sensitive", "label", "levels", "name", "one_each"))
    levels = one.many("levels", _level)
    dimension = Dimension(
        name=one.text("name"),
        levels=tuple(Level(name, tuple((code, of) for code, _, of in kept)) for name, _, kept in levels),
        is_sensitive=one.flag("is_sensitive"),
        one_each=one.flag("one_each"),
    )
    about = DimensionAbout(
        name=dimension.name,
        label=_label("label", one.raw("label")),
        fields=one.texts("fields"),
        levels={name: label for name, label, _ in levels},
        categories={(name, code): label for name, _, kept in levels for code, label, _ in kept},
    )
    return dimension, about


def _level(where: str, value: object) -> tuple[str, Label, tuple[tuple[str, Label, tuple[str, ...]], ...]]:
    one = _closed(where, value, ("categories", "label", "name"))
    return one.text("name"), _label("label", one.raw("label")), one.many("categories", _category)


def _category(where: str, value: object) -> tuple[str, Label, tuple[str, ...]]:
    one = _closed(where, value, ("code", "label", "leaves"))
    return one.text("code"), _label("label", one.raw("label")), one.texts("leaves")


def _measure(where: str, value: object) -> MeasureAbout:
    one = _closed(where, value, ("fields", "label", "name", "unit"))
    return MeasureAbout(
        name=one.text("name"),
        unit=one.text("unit"),
        label=_label("label", one.raw("label")),
        fields=one.texts("fields"),
    )


def _label(where: str, value: object) -> Label:
    one = _closed(where, value, ("en", "vi"))
    return Label(vi=one.text("vi"), en=one.text("en"))


def _file(where: str, value: object) -> ReleaseFile:
    names = ("bytes_count", "path", "period", "province", "rows_count", "sha256")
    one = _closed(where, value, names)
    if not _PATH.fullmatch(one.text("path")) or not _HASH.fullmatch(one.text("sha256")):
        raise StatisticsRefused("manifest_malformed", f"{where} has a path below the release, and a hash")
    return ReleaseFile(
        path=one.text("path"),
        sha256=one.text("sha256"),
        bytes_count=one.whole("bytes_count"),
        rows_count=one.whole("rows_count"),
        period=one.text("period"),
        province=one.text("province"),
    )


def _parameters(one: ClosedObject) -> DisclosureParameters:
    counts = _closed("counts", one.raw("counts"), _COUNTS)
    sums = _closed("sums", one.raw("sums"), _SUMS)
    audit = _closed("audit", one.raw("audit"), ("percent", "persons"))
    return DisclosureParameters(
        counts=CountParameters(
            bound=counts.whole("bound"),
            variance=counts.number("variance"),
            barred=counts.whole("barred"),
            stay=counts.number("stay"),
            reaches=counts.flag("reaches"),
            free_rows=counts.wholes("free_rows"),
        ),
        sums=MagnitudeParameters(
            bound=sums.whole("bound"),
            variance=sums.number("variance"),
            step=sums.whole("step"),
            icat=sums.wholes("icat"),
            reaches=sums.flag("reaches"),
        ),
        share_small=one.number("share_small"),
        share_large=one.number("share_large"),
        threshold=one.whole("threshold"),
        dominance_percent=one.whole("dominance_percent"),
        digits=one.whole("digits"),
        audit=AuditRules(persons=audit.whole("persons"), percent=audit.whole("percent")),
    )


def _no_number(text: str) -> object:
    raise ValueError(f"{text} is no number of JSON")


def _instant(one: ClosedObject, name: str) -> datetime:
    try:
        found = datetime.fromisoformat(one.text(name))
    except ValueError:
        raise StatisticsRefused("manifest_malformed", f"{name} is an instant") from None
    if found.tzinfo is None:
        raise StatisticsRefused("manifest_malformed", f"{name} is an instant with its zone")
    return found
