"""`/evidence/<year>/…`: the log as anybody reads it (C2SP tlog-tiles): checkpoint, tiles of hashes, keys.

No authentication: hashes tell nothing of what was hashed. Entries themselves are pseudonyms and habits of
organisations and people, and nothing here tells who may have them: bundles are served to nobody.
"""

from __future__ import annotations

import hashlib
import re
from typing import Final, TypeVar

from flask import Blueprint, Response, request

from broker.actions.published_log import PublishedLog, PublishedTree
from broker.errors import EntriesNotPublic, EvidenceNotFound
from broker.evidence.checkpoint import number_of
from broker.evidence.reasons import EvidenceInvalid
from broker.evidence.signed_note import base64_text
from broker.evidence.tiles import ENTRIES, Tile, tile_at

EVIDENCE_PATH: Final = "/evidence"
FOR_EVER: Final = "public, max-age=31536000, immutable"
"""Of what never changes: full tiles, and proofs between two sizes."""
WHILE_PARTIAL: Final = "public, max-age=60"
"""A tile that is not full never changes either, but is deleted when the full one is there."""
ASK_EACH_TIME: Final = "no-cache"
TEXT: Final = "text/plain; charset=utf-8"
TIMESTAMP: Final = "application/timestamp-reply"
_YEAR: Final = re.compile(r"2[0-9]{3}", re.ASCII)
T = TypeVar("T")


def published_log_blueprint(log: PublishedLog) -> Blueprint:
    """Return the routes of a log. What is not there, not published yet or not spelt so is 404."""
    blueprint = Blueprint("log", __name__)
    root = f"{EVIDENCE_PATH}/<year>"

    @blueprint.get(f"{root}/checkpoint")
    def checkpoint(year: str) -> Response:
        """Give the newest checkpoint, verbatim."""
        return _changing(_tree(log, year).note)

    @blueprint.get(f"{root}/witnessed-checkpoint")
    def witnessed(year: str) -> Response:
        """Give the newest checkpoint that witnesses cosigned, verbatim."""
        return _changing(_found(_tree(log, year).files.witnessed()))

    @blueprint.get(f"{root}/timestamped-checkpoint")
    def timestamped(year: str) -> Response:
        """Give the newest checkpoint that a time-stamp authority stamped, verbatim."""
        return _changing(_found(_tree(log, year).stamps.newest()))

    @blueprint.get(f"{root}/timestamp/<size>.checkpoint")
    def stamped(year: str, size: str) -> Response:
        """Give the bytes that were stamped when the log had a size."""
        stamps, number = _tree(log, year).stamps, _number(size)
        # Before its token is there it may still become another one.
        note = stamps.note(number) if stamps.token(number) is not None else None
        return _for_ever(_found(note), TEXT)

    @blueprint.get(f"{root}/timestamp/<size>.tsr")
    def token(year: str, size: str) -> Response:
        """Give the authority's answer over them (RFC 3161)."""
        return _for_ever(_found(_tree(log, year).stamps.token(_number(size))), TIMESTAMP)

    @blueprint.get(f"{root}/vkey")
    def vkey(year: str) -> Response:
        """Give the log's verifier keys, one a line. Whoever distrusts this server has them from elsewhere."""
        keys = log.keys(_tree(log, year))
        return _changing("".join(f"{key.vkey}\n" for key in keys).encode())

    @blueprint.get(f"{root}/tile/<path:place>")
    def tile(year: str, place: str) -> Response:
        """Give a tile of hashes of the published tree."""
        wanted = _tile(f"tile/{place}")
        if wanted.level == ENTRIES:
            raise EntriesNotPublic
        tree = _tree(log, year)
        content = _found(tree.files.read(wanted) if tree.holds(wanted) else None)
        response = Response(content, content_type="application/octet-stream")
        response.headers["Cache-Control"] = FOR_EVER if wanted.is_full else WHILE_PARTIAL
        return response

    @blueprint.get(f"{root}/consistency/<old>/<new>")
    def consistency(year: str, old: str, new: str) -> Response:
        """Give the proof that a tree begins with an older one: hashes in base64, one a line."""
        proof = _found(_tree(log, year).consistency(_number(old), _number(new)))
        return _for_ever("".join(f"{base64_text(one)}\n" for one in proof).encode(), TEXT)

    return blueprint


def _tree(log: PublishedLog, year: str) -> PublishedTree:
    return _found(log.tree(int(year)) if _YEAR.fullmatch(year) else None)


def _for_ever(content: bytes, media_type: str) -> Response:
    response = Response(content, content_type=media_type)
    response.headers["Cache-Control"] = FOR_EVER
    return response


def _changing(content: bytes) -> Response:
    """Return text of which a copy may be kept if one asks each time whether it is still the newest."""
    response = Response(content, content_type=TEXT)
    response.headers["Cache-Control"] = ASK_EACH_TIME
    response.set_etag(hashlib.sha256(content).hexdigest()[:32])
    response.make_conditional(request)
    return response


def _found(value: T | None) -> T:
    if value is None:
        raise EvidenceNotFound
    return value


def _tile(path: str) -> Tile:
    try:
        return tile_at(path)
    except EvidenceInvalid:
        raise EvidenceNotFound from None


def _number(text: str) -> int:
    try:
        return number_of(text, "tile_malformed")
    except EvidenceInvalid:
        raise EvidenceNotFound from None
