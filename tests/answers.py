"""What answers say of a refusal, checked member by member; and pages, to be compared."""

from __future__ import annotations

import re
from typing import Any

from werkzeug.test import TestResponse

from broker.api.problems import PROBLEMS
from broker.cli.caller import Answer
from broker.evidence.entry import check_entry
from tests.release_world import World


def problem_in(answer: Answer, slug: str) -> dict[str, Any]:
    """Return the problem document of an answer, which is of this type and well formed."""
    row = PROBLEMS[slug]
    assert answer.status == row.status, answer.body
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["x-content-type-options"] == "nosniff"
    document: dict[str, Any] = answer.json()
    assert document["type"].endswith(f"/problems/{slug}")
    assert document["title"] == row.title_vi
    assert document["status"] == row.status
    assert document["request_id"] == answer.headers["x-request-id"]
    assert document["instance"].startswith("urn:uuid:")
    return document


def refusal_in(answer: Answer, slug: str, reason: str, world: World) -> dict[str, Any]:
    """Return the problem document of a refusal, which stands in the evidence with the same reason."""
    document = problem_in(answer, slug)
    assert document["reason"] == reason
    evidence = world.evidence(document["instance"])
    check_entry(evidence.entry)
    assert (evidence.kind, evidence.entry["kind"]) == ("refusal", "refusal")
    assert evidence.entry["reason"] == reason
    assert evidence.entry["request_id"] == document["request_id"]
    assert evidence.entry["determining_rules"] == document["determining_rules"]
    assert evidence.entry["released"] == []
    assert evidence.payload_salt is None, "nothing left, so there is nothing to commit to"
    return document


def told(answer: TestResponse) -> str:
    """Return a page without what is fresh on every page: tokens, handles, versions."""
    return re.sub(r'(value|href|action)="[^"]*"', "", answer.text)
