"""Documents that anybody may read and keep for a while: metadata, keys, the description of the interface."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from flask import Response, request


@dataclass(frozen=True, slots=True)
class PublicDocument:
    """A JSON document with its tag (RFC 9110, 8.8.3). max_age_seconds: how long a copy may be used."""

    body: bytes
    tag: str
    max_age_seconds: int

    @classmethod
    def of(cls, document: Mapping[str, Any], max_age_seconds: int) -> PublicDocument:
        """Return a document ready to be sent."""
        body = json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()
        return cls(body, hashlib.sha256(body).hexdigest()[:32], max_age_seconds)

    def answer(self) -> Response:
        """Return the answer to the request at hand: the document, or 304 for whoever has it already."""
        response = Response(self.body, mimetype="application/json")
        response.cache_control.public = True
        response.cache_control.max_age = self.max_age_seconds
        response.set_etag(self.tag)
        response.make_conditional(request)
        return response
