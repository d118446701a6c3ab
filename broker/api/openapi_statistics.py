"""The resources of statistics as the OpenAPI document tells them: schemas and operations.

A question is read by the heart (`broker.statistics.question`), which records what it refuses; the schema here
says the same for programs that read documents.
"""

from __future__ import annotations

from typing import Final

from marshmallow import Schema, fields, validate

from broker.api.openapi_operation import Operation
from broker.api.openapi_schemas import Answer
from broker.api.openapi_words import Words
from broker.api.statistics_paths import CATALOGUE_PATH, EXPORTS_PATH
from broker.oauth.scopes import EXPORT_STATISTICS
from policies.statistics_terms import EXPORT_FORMATS

STATES: Final = ("waiting", "running", "done", "refused", "failed", "cancelled")


class CutSchema(Schema):
    """A dimension by which a table is cut, at one of its levels."""

    name = fields.String(required=True)
    level = fields.String(required=True)


class FilterSchema(Schema):
    """Whole categories of one level of a dimension: everything else is left out."""

    dimension = fields.String(required=True)
    level = fields.String(required=True)
    categories = fields.List(fields.String(), required=True, validate=validate.Length(min=1))


class ExportSchema(Schema):
    """A question for one table."""

    release = fields.String(required=True)
    dimensions = fields.List(fields.Nested(CutSchema), required=True, validate=validate.Length(min=1))
    filters = fields.List(fields.Nested(FilterSchema))
    measures = fields.List(fields.String())
    format = fields.String(required=True, validate=validate.OneOf(EXPORT_FORMATS))
    encrypt_to = fields.String(validate=validate.Equal("recipient"))


class ExportResultSchema(Answer):
    """What lies ready. content_hash: SHA-256 of the bytes that are fetched, and their ETag."""

    href = fields.String(required=True)
    media_type = fields.String(required=True)
    file_name = fields.String(required=True)
    bytes_count = fields.Integer(required=True)
    content_hash = fields.String(required=True)
    table_hash = fields.String(required=True)
    cell_count = fields.Integer(required=True)
    suppressed_permille = fields.Integer(required=True)


class ExportJobSchema(Answer):
    """One question on its way. plan: its one form. reason: a code where it came to nothing."""

    job_id = fields.UUID(required=True)
    state = fields.String(required=True, validate=validate.OneOf(STATES))
    percent = fields.Integer(required=True)
    reason = fields.String(required=True)
    release = fields.String(required=True)
    format = fields.String(required=True)
    is_encrypted = fields.Boolean(required=True)
    plan = fields.Dict(required=True)
    plan_hash = fields.String(required=True)
    requested_at = fields.DateTime(required=True)
    finished_at = fields.DateTime(required=True, allow_none=True)
    expires_at = fields.DateTime(required=True, allow_none=True)
    evidence_reference = fields.UUID(required=True)
    result = fields.Nested(ExportResultSchema, required=True, allow_none=True)
    links = fields.Dict(keys=fields.String(), values=fields.String(), required=True)


class LabelSchema(Answer):
    """What something is called."""

    vi = fields.String(required=True)
    en = fields.String(required=True)


class CategorySchema(Answer):
    """One category of a level."""

    code = fields.String(required=True)
    label = fields.Nested(LabelSchema, required=True)


class LevelSchema(Answer):
    """One level of a dimension, finest first."""

    name = fields.String(required=True)
    label = fields.Nested(LabelSchema, required=True)
    categories = fields.List(fields.Nested(CategorySchema), required=True)


class DimensionSchema(Answer):
    """A dimension. is_sensitive: it is no filter. one_each: each person is in one category alone."""

    name = fields.String(required=True)
    label = fields.Nested(LabelSchema, required=True)
    is_sensitive = fields.Boolean(required=True)
    one_each = fields.Boolean(required=True)
    levels = fields.List(fields.Nested(LevelSchema), required=True)


class MeasureSchema(Answer):
    """A measure, in its unit."""

    name = fields.String(required=True)
    unit = fields.String(required=True)
    label = fields.Nested(LabelSchema, required=True)


class CataloguedReleaseSchema(Answer):
    """A release as far as the agreement opens it. disclosure_control: what it keeps itself."""

    release = fields.String(required=True)
    period = fields.String(required=True)
    revision = fields.Integer(required=True)
    supersedes = fields.String(required=True, allow_none=True)
    frozen_at = fields.DateTime(required=True)
    as_of = fields.DateTime(required=True)
    is_open = fields.Boolean(required=True)
    is_strict_enough = fields.Boolean(required=True)
    disclosure_control = fields.Dict(keys=fields.String(), required=True)
    limits = fields.Dict(keys=fields.String(), values=fields.Integer(), required=True)
    dimensions = fields.List(fields.Nested(DimensionSchema), required=True)
    measures = fields.List(fields.Nested(MeasureSchema), required=True)


class CatalogueSchema(Answer):
    """What may be asked under the client's agreement."""

    agreement = fields.Dict(required=True)
    formats = fields.List(fields.String(), required=True)
    releases = fields.List(fields.Nested(CataloguedReleaseSchema), required=True)


_ONE: Final = f"{EXPORTS_PATH}/<job_id>"
_RECORDED: Final = ("limit-reached", "log-stopped", "clock-skewed", "statistics-unavailable")
STATISTICS: Final = (
    Operation(
        method="GET",
        rule=CATALOGUE_PATH,
        name="showStatisticsCatalogue",
        words=Words("Có thể xin những bảng nào", "What tables may be asked for"),
        scope=EXPORT_STATISTICS,
        tells=CatalogueSchema,
        refuses=("statistics-unavailable",),
    ),
    Operation(
        method="POST",
        rule=EXPORTS_PATH,
        name="askForTable",
        words=Words("Xin một bảng số liệu", "Ask for a table"),
        scope=EXPORT_STATISTICS,
        asks=ExportSchema,
        tells=ExportJobSchema,
        status=202,
        waits=True,
        refuses=("statistics-question-refused", *_RECORDED),
    ),
    Operation(
        method="GET",
        rule=_ONE,
        name="showExport",
        words=Words("Xem bảng đã đến đâu", "See how a table comes along"),
        scope=EXPORT_STATISTICS,
        tells=ExportJobSchema,
        waits=True,
        refuses=("not-found", "statistics-unavailable"),
    ),
    Operation(
        method="DELETE",
        rule=_ONE,
        name="cancelExport",
        words=Words("Thôi không lấy bảng này", "Cancel a table that is not ready"),
        scope=EXPORT_STATISTICS,
        tells=ExportJobSchema,
        waits=True,
        refuses=("not-found", "statistics-unavailable"),
    ),
    Operation(
        method="GET",
        rule=f"{_ONE}/result",
        name="fetchTable",
        words=Words("Tải bảng về", "Fetch the table"),
        scope=EXPORT_STATISTICS,
        media=("application/zip", "application/jose"),
        headers=("Range", "If-Range", "If-None-Match"),
        refuses=("not-found", "statistics-result-not-ready", "range-not-satisfiable", *_RECORDED),
    ),
)
