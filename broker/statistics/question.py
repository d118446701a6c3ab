"""A question as a client sends it: which release, which table, in which package, for whose eyes.

{"release": "2026-q3.1", "format": "csv", "encrypt_to": "recipient", …}        … as of `plan_parse`
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from broker.statistics.reasons import StatisticsRefused
from broker.statistics.registry import CODE, unregistered

MEMBERS: Final = ("dimensions", "encrypt_to", "filters", "format", "measures", "release")
RECIPIENT: Final = "recipient"


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked. release: a code, which may be nobody's. document: the part that is a plan, unread.

    is_encrypted: the package is encrypted to the recipient's registered key.
    """

    release: str
    document: Mapping[str, Any]
    format: str
    is_encrypted: bool


def read_question(document: Mapping[str, Any]) -> Question:
    """Return a question from a decoded object: closed. Raises StatisticsRefused("plan_malformed")."""
    if not document.keys() <= set(MEMBERS):
        raise _malformed(f"the question has members that are not known; it may have {', '.join(MEMBERS)}")
    missing = [name for name in ("dimensions", "format", "release") if name not in document]
    if missing:
        raise _malformed(f"the question lacks {', '.join(missing)}")
    release, package = document["release"], document["format"]
    if not isinstance(release, str) or not CODE.fullmatch(release):
        raise _malformed("release is the code of a release, such as 2026-q3.1")
    if not isinstance(package, str):
        raise _malformed("format is the code of a format")
    if document.get("encrypt_to", RECIPIENT) != RECIPIENT:
        raise _malformed(f'encrypt_to is "{RECIPIENT}", or is left out')
    plan = {name: value for name, value in document.items() if name not in ("encrypt_to", "format")}
    return Question(release, plan, package, "encrypt_to" in document)


def check_format(package: str, allowed: tuple[str, ...]) -> None:
    """Raise StatisticsRefused("name_unregistered") unless a package may be asked for."""
    if package not in allowed:
        raise unregistered("format", package, list(allowed))


def _malformed(detail: str) -> StatisticsRefused:
    return StatisticsRefused("plan_malformed", detail)
