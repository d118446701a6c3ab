"""A made-up broker that answers statistical questions as the real one does, and notes what it was asked."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from hashlib import sha256
from io import BytesIO, StringIO
from itertools import product
from typing import Any, Final
from zipfile import ZipFile

from flask import Flask, Response, jsonify, request

from policies.statistics_terms import DisclosureTerms

JOB: Final = "0193a000-0000-7000-8000-000000000001"


def level(name: str, *categories: tuple[str, str, str]) -> dict[str, Any]:
    listed = [{"code": code, "label": {"vi": vi, "en": en}} for code, vi, en in categories]
    return {"name": name, "label": {"vi": f"cấp {name}", "en": f"level {name}"}, "categories": listed}


def dimension(
    name: str, vi: str, en: str, *levels: dict[str, Any], sensitive: bool = False
) -> dict[str, Any]:
    label = {"vi": vi, "en": en}
    return {"name": name, "label": label, "is_sensitive": sensitive, "levels": list(levels)}


RELEASE: Final[dict[str, Any]] = {
    "release": "2026-q3.1",
    "period": "2026-q3",
    "is_open": True,
    "is_strict_enough": True,
    "disclosure_control": asdict(DisclosureTerms()),
    "dimensions": [
        dimension("sex", "Giới tính", "Sex", level("sex", ("F", "Nữ", "Women"), ("M", "Nam", "Men"))),
        dimension(
            "age",
            "Tuổi",
            "Age",
            level("age_band", ("15-19", "15–19", "15–19"), ("65+", "từ 65", "65 and over")),
            level("age_group", ("15-64", "15–64", "15–64"), ("65+", "từ 65", "65 and over")),
        ),
        dimension(
            "payer",
            "Nhóm đóng",
            "Payer",
            level("payer_group", ("household", "Hộ", "Household")),
            sensitive=True,
        ),
    ],
    "measures": [
        {"name": "contributions", "unit": "VND", "label": {"vi": "Tiền đóng", "en": "Contributions"}}
    ],
}
CATALOGUE: Final = {
    "releases": [
        {**RELEASE, "release": "2026-q3.3", "is_strict_enough": False},
        {**RELEASE, "release": "2026-q3.2", "is_open": False},
        RELEASE,
        {**RELEASE, "release": "old"},
    ]
}


def package(dimensions: Sequence[tuple[str, Iterable[str]]], measures: Sequence[str]) -> bytes:
    """Return a CSV package whose counts rise by 100; the last cell is hidden."""
    out = StringIO()
    writer = csv.writer(out, lineterminator="\n")
    names = [name for name, _ in sorted(dimensions)]
    sums = [f"{name}_{kind}" for name in measures for kind in ("sum", "mean")]
    writer.writerow([*names, "persons", *sums])
    cells = [*product(*(("_T", *codes) for _, codes in sorted(dimensions)))]
    for number, codes in enumerate(cells, start=1):
        told = [100 * number, *(100_000 * number if name.endswith("_sum") else 1000.5 for name in sums)]
        writer.writerow([*codes, *(told if number < len(cells) else [""] * len(told))])
    file = BytesIO()
    with ZipFile(file, "w") as members:
        members.writestr("data.csv", out.getvalue())
        members.writestr("method-note.vi.txt", "GHI CHÚ")
        members.writestr("method-note.en.txt", "METHOD NOTE")
    return file.getvalue()


@dataclass
class StatisticsPlace:
    """states: of the job, look by look; the last one stays. broken: parts of the download that fail.

    asked: bodies of questions. ranges: of the download. cancelled: job ids. refusal: of the next question.
    """

    issuer: str = ""
    content: bytes = b""
    states: list[dict[str, Any]] = field(default_factory=list)
    refusal: tuple[int, dict[str, Any]] | None = None
    broken: set[int] = field(default_factory=set)
    is_whole: bool = False
    asked: list[dict[str, Any]] = field(default_factory=list)
    ranges: list[str] = field(default_factory=list)
    cancelled: list[str] = field(default_factory=list)
    scopes: list[str] = field(default_factory=list)

    def job(self) -> dict[str, Any]:
        now = self.states.pop(0) if len(self.states) > 1 else self.states[0] if self.states else {}
        job: dict[str, Any] = {
            "job_id": JOB,
            "state": "done",
            "percent": 100,
            "requested_at": "2026-11-22T01:02:03Z",
        }
        job |= {"result": None, "reason": "", **now}
        if job["state"] == "done":
            job["result"] = {
                "media_type": "application/zip",
                "file_name": "../2026-q3.1-abc-csv.zip",
                "bytes_count": len(self.content),
                "content_hash": sha256(self.content).hexdigest(),
                "cell_count": 9,
                "suppressed_permille": 112,
                "href": f"/v1/statistics/exports/{JOB}/result",
            }
        return job

    def result(self) -> Response:
        self.ranges.append(request.headers["Range"])
        if len(self.ranges) in self.broken:
            return Response(status=503)
        digest = sha256(self.content).hexdigest()
        if self.is_whole:
            return Response(self.content, headers={"ETag": f'"{digest}"'})
        first, last = map(int, self.ranges[-1].removeprefix("bytes=").split("-"))
        return Response(self.content[first : last + 1], 206, {"ETag": f'"{digest}"'})

    def app(self) -> Flask:
        app = Flask("statistics")

        @app.get("/.well-known/oauth-authorization-server")
        def metadata() -> Response:
            return jsonify(issuer=self.issuer, token_endpoint=f"{self.issuer}/oauth/token")

        @app.post("/oauth/token")
        def token() -> Response:
            self.scopes.append(request.form["scope"])
            return jsonify(access_token="t", token_type="DPoP", expires_in=300)

        @app.get("/v1/statistics/catalogue")
        def catalogue() -> Response:
            return jsonify(CATALOGUE)

        @app.post("/v1/statistics/exports")
        def ask() -> Response:
            self.asked.append(json.loads(request.data))
            if self.refusal is not None:
                status, problem = self.refusal
                return Response(json.dumps(problem), status, content_type="application/problem+json")
            return Response(json.dumps(self.job()), 202, content_type="application/json")

        @app.get(f"/v1/statistics/exports/{JOB}")
        def look() -> Response:
            return jsonify(self.job())

        @app.delete(f"/v1/statistics/exports/{JOB}")
        def cancel() -> Response:
            self.cancelled.append(JOB)
            return jsonify({**self.job(), "state": "cancelled"})

        app.add_url_rule(f"/v1/statistics/exports/{JOB}/result", view_func=self.result)
        return app
