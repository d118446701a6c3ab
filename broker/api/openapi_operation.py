"""What the OpenAPI document tells of one method of one resource."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from marshmallow import Schema

from broker.api.openapi_words import Words

_ACCESS: Final = ("token-invalid", "proof-invalid", "release-refused", "evidence-unavailable", "internal")
_SCOPE: Final = ("scope-insufficient",)
_BODY: Final = ("body-unreadable", "body-too-large", "media-type-unsupported")
EVERYWHERE: Final = ("not-found", "entries-not-public", "method-not-allowed")
"""Rows of the error table that belong to no operation: an address or a method that is none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One method of one resource. rule: of the URL map. status: of success.

    query, headers: parameters of its own. receipt: whether Accept: application/jwt gets the answer signed.
    plain: whether it is text where Accept does not name application/json. media: types of a file that is
    handed out, whole, in part, or not where it is the same. waits: whether it may say when to look again.
    refuses: slugs beside those that come with access, a scope and a body.
    """

    method: str
    rule: str
    name: str
    words: Words
    scope: str | None
    asks: type[Schema] | None = None
    tells: type[Schema] | None = None
    status: int = 200
    receipt: bool = False
    plain: bool = False
    query: tuple[str, ...] = ()
    headers: tuple[str, ...] = ()
    media: tuple[str, ...] = ()
    waits: bool = False
    refuses: tuple[str, ...] = ()

    @property
    def path(self) -> str:
        """Return the path with its variable parts in braces."""
        return self.rule.replace("<", "{").replace(">", "}")

    @property
    def problems(self) -> tuple[str, ...]:
        """Return the slugs of all that it refuses with."""
        return (*_ACCESS, *(_SCOPE if self.scope else ()), *(_BODY if self.asks else ()), *self.refuses)
