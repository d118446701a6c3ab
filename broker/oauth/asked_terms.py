"""What may be asked besides fields, the same in `authorization_details` and in a request to the inbox."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Any, Final

from marshmallow import Schema, fields, validate

VALID_DAYS_MAX: Final = 365
RETENTION_DAYS_MAX: Final = 3650
USE_COUNT_MAX: Final = 10_000
ASKED_TERMS: Final = ("data_range", "frequency", "mode")
"""Members of a detail that the agreement bounds and that the schema alone cannot judge."""


class Day(fields.Date):
    """A civil day, kept as the text that RFC 3339 has for it: what is asked is kept as JSON."""

    def _deserialize(
        self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any
    ) -> Any:
        day: date = super()._deserialize(value, attr, data, **kwargs)
        return day.isoformat()


class RangeSchema(Schema):
    """Which time the released rows may speak of; inclusive days."""

    first_day = Day()
    last_day = Day()


class FrequencySchema(Schema):
    """How often at most."""

    use_count = fields.Integer(required=True, strict=True, validate=validate.Range(1, USE_COUNT_MAX))
    per = fields.String(required=True, validate=validate.OneOf(["day", "week", "month", "consent"]))


class AskedTermsSchema(Schema):
    """How long, of which time, how often, to look at or to store.

    valid_days: how long the client may read; retention_days: how long it keeps what it read.
    """

    data_range = fields.Nested(RangeSchema)
    frequency = fields.Nested(FrequencySchema)
    mode = fields.String(validate=validate.OneOf(["view", "store"]))
    valid_days = fields.Integer(strict=True, validate=validate.Range(1, VALID_DAYS_MAX))
    retention_days = fields.Integer(strict=True, validate=validate.Range(1, RETENTION_DAYS_MAX))
