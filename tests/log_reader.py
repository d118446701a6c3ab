"""Reads operational logs as a stranger would: whatever is not the broker's own word is a fault."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from broker.api.problems import PROBLEMS
from broker.oauth.client_authentication import CLIENT_ID
from tests.release_world import World, numbers_in

_REQUEST_ID = r"[A-Za-z0-9._\-]{8,64}"
# The broker's own sentences with numbers in them; any other number might be somebody's.
_OWN_NUMBERS = (
    r"than [1-5][0-9]{2}(?: or [1-5][0-9]{2})*\b|64 KiB|1 to (?:8|64) keys|UTF-8|of level 1|x5u"
    r"|application/(?:jwk-set\+)?json"
)
_LINE: dict[str, str] = {
    "at": r"[0-9-]{10}T[0-9:]{8}\.[0-9]{3}\+00:00",
    "level": "info|warning|error",
    "logger": r"broker(?:\.[a-z_]+)*|gunicorn\.error",
    "event": f"(?:{_OWN_NUMBERS}|[A-Za-z _:;,.'()-])+",
    "request_id": _REQUEST_ID,
    "method": r"GET|POST|PUT|PATCH|DELETE|HEAD|OPTIONS|\(other\)",
    "route": r"\(none\)|/facade/findusage/(?:findUsage|usagePeriod)|(?:/[a-z0-9._\-<>:]+)+/?",
    "status": "[1-5][0-9]{2}",
    "ms": r"[0-9]+\.[0-9]{1,2}",
    "problem": "|".join(PROBLEMS),
    "client_id": CLIENT_ID.pattern,
    "by": CLIENT_ID.pattern,
    "exception": "[A-Za-z]+",
    "raised_at": r"[a-z0-9_.]+:[0-9]+",
}
# A witness is a process of its own; where tests run one beside the broker, its lines lie in the same log.
_WITNESS_LINE = _LINE | {
    "origin": r"audit\.[a-z0-9.\-]+/[0-9]{4}",
    "tree_size": "[0-9]+",
    "reason": "[a-z_]+",
}
_GUNICORN = re.compile(
    r"\[[0-9 :+-]+\] \[[0-9]+\] \[(?:INFO|WARNING|ERROR|CRITICAL)\] "
    r"(?:Worker \(pid:[0-9]+\) was sent SIG[A-Z]+!.*|Worker exiting.*|Handling signal.*|.*[Ss]hutting down.*)"
)
SECRETS = re.compile(r"eyJ[A-Za-z0-9_-]{10,}|Authorization|DPoP |BEGIN [A-Z ]*PRIVATE KEY")


def faults_in(line: str, identifiers: set[str], names: re.Pattern[str]) -> list[str]:
    """Return what is wrong with a line of the log; a description, never the line itself."""
    if not line.isascii():
        return ["a letter that is none of the broker's own words"]
    found = []
    if not numbers_in(line).isdisjoint(identifiers):
        found.append("a number of a person")
    if names.search(line):
        found.append("a name")
    if SECRETS.search(line):
        found.append("a token or key")
    if _GUNICORN.fullmatch(line):
        return found
    try:
        members: dict[str, Any] = json.loads(line)
    except ValueError:
        return [*found, "no JSON line"]
    form = _WITNESS_LINE if members.get("logger") == "broker.witness" else _LINE
    found += [f"a member {name!r}" for name in members.keys() - form.keys()]
    for name in members.keys() & form.keys():
        if not re.fullmatch(form[name], str(members[name])):
            found.append(f"another value of {name}")
    return found


def all_faults(path: Path, world: World) -> list[str]:
    """Return what is wrong with a log, by line; whose persons and staff are those of the world."""
    plain = sorted(name for name in world.identifiers if " " in name and name.isascii())
    names = re.compile("|".join(map(re.escape, plain)) or r"(?!)")
    return [
        f"{path.name}:{position}: {fault}"
        for position, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1)
        for fault in faults_in(line, world.identifiers, names)
    ]
