"""`/v1/statistics/…`: tables about nobody individually: what may be asked, asking, looking, fetching.

Authentication: sender-constrained access token of the client itself, with scope export_statistics.
"""

from __future__ import annotations

import re
from base64 import b64encode
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Final

from broker.actions.export_statistics import ExportStatistics
from broker.actions.statistics_openings import WAITING_SECONDS, ready_result
from broker.api.byte_ranges import Wanted, wanted_bytes
from broker.api.calls import Call
from broker.api.judging import AccessJudge
from broker.api.problems import Reply
from broker.api.reading import read_json
from broker.api.replies import json_reply
from broker.api.statistics_documents import catalogue_document, job_document
from broker.api.statistics_paths import EXPORTS_PATH
from broker.errors import ExportNotFound, ExportNotReady, RangeNotSatisfiable
from broker.oauth.scopes import EXPORT_STATISTICS
from broker.statistics.export_job import ExportJob, ExportResult

_JOB_PATH: Final = re.compile(EXPORTS_PATH + r"/([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})(?:/result)?")
_CACHE: Final = ("Cache-Control", "private, no-cache")
"""A client may keep what it fetched; before it uses it again it asks whether it still may."""


@dataclass(frozen=True, slots=True)
class StatisticsFace:
    """The resources, without a web framework."""

    judge: AccessJudge
    verb: ExportStatistics

    def ask(self, call: Call) -> tuple[Reply, str]:
        """Keep a question: 202 with its job.

        Raises StatisticsQuestionRefused, ReleaseRefused, EvidenceUnavailable, StoreUnavailable, TokenInvalid,
        ProofInvalid.
        """
        context = self.judge.caller.context(call)
        return _job_reply(self.verb.ask(context, read_json(call.body)), 202), ""

    def show(self, call: Call) -> tuple[Reply, str]:
        """Tell how a job stands. Raises ExportNotFound, also for another client's."""
        token = self.judge.judge(call, EXPORT_STATISTICS)
        return _job_reply(self.verb.find(_job_id(call), token.client_id)), ""

    def cancel(self, call: Call) -> tuple[Reply, str]:
        """Cancel a job that has not ended, and tell how it stands. Raises ExportNotFound."""
        token = self.judge.judge(call, EXPORT_STATISTICS)
        job = self.verb.cancel(_job_id(call), token.client_id, self.judge.caller.clock())
        return _job_reply(job), ""

    def catalogue(self, call: Call) -> tuple[Reply, str]:
        """Tell what the client's agreement opens, and how much of it is left."""
        context = self.judge.caller.context(call)
        opening = self.verb.opening(context)
        # Nothing was recorded, so nothing has judged the token or burned its proof yet.
        self.judge.judge(call, EXPORT_STATISTICS)
        return json_reply(catalogue_document(opening, self.verb.releases(opening))), ""

    def result(self, call: Call) -> tuple[Reply, str]:
        """Hand out a result, or a part of it, once that is recorded.

        Where no byte leaves nothing is recorded, and the token is judged without it. Raises ExportNotFound,
        ExportNotReady, RangeNotSatisfiable, and what ask() raises.
        """
        context = self.judge.caller.context(call)
        try:
            job = self.verb.find(_job_id(call), context.client_id)
            result = ready_result(job, context.at)
        except (ExportNotFound, ExportNotReady):
            self.judge.judge(call, EXPORT_STATISTICS)
            raise
        is_head = call.method == "HEAD"
        wanted = wanted_bytes(
            result.bytes_count,
            _etag(result),
            ranged="" if is_head else call.ranged,
            if_range=call.if_range,
            if_none_match=call.if_none_match,
        )
        if is_head or wanted.status not in (200, 206):
            self.judge.judge(call, EXPORT_STATISTICS)
            if wanted.status == 416:
                raise RangeNotSatisfiable(result.bytes_count)
            # To HEAD a server sends the length of what it would send, and none of it.
            return _result_reply(result, wanted, bytes(wanted.end - wanted.start)), ""
        content = self.verb.download(context, job, wanted.start, wanted.end)
        recorded = (("Evidence-Reference", context.reference),)
        reply = _result_reply(result, wanted, content)
        return replace(reply, headers=(*reply.headers, *recorded)), ""


def _job_id(call: Call) -> str:
    """Return the id in a path. Raises ExportNotFound for what is none."""
    found = _JOB_PATH.fullmatch(call.path)
    if found is None:
        raise ExportNotFound
    return found[1]


def _job_reply(job: ExportJob, status: int = 200) -> Reply:
    place = f"{EXPORTS_PATH}/{job.job_id}"
    reply = json_reply(job_document(job, place), status)
    headers = list(reply.headers)
    if status == 202:
        headers.append(("Location", place))
    if job.state in ("waiting", "running"):
        headers.append(("Retry-After", str(WAITING_SECONDS)))
    return replace(reply, headers=tuple(headers))


def _etag(result: ExportResult) -> str:
    return f'"{result.content_hash}"'


def _result_reply(result: ExportResult, wanted: Wanted, content: bytes) -> Reply:
    """Return the answer with some or all bytes of a result. Digests: RFC 9530."""
    kept = [("ETag", _etag(result)), _CACHE]
    if wanted.status == 304:
        return Reply(304, tuple(kept), b"")
    whole = b64encode(bytes.fromhex(result.content_hash)).decode("ascii")
    part = whole if wanted.status == 200 else b64encode(sha256(content).digest()).decode("ascii")
    headers = [
        ("Content-Type", result.media_type),
        ("Content-Disposition", f'attachment; filename="{result.file_name}"'),
        ("Accept-Ranges", "bytes"),
        ("Repr-Digest", f"sha-256=:{whole}:"),
        ("Content-Digest", f"sha-256=:{part}:"),
        *kept,
    ]
    if wanted.status == 206:
        headers.append(("Content-Range", f"bytes {wanted.start}-{wanted.end - 1}/{result.bytes_count}"))
    return Reply(wanted.status, tuple(headers), content)
