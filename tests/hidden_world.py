"""Policies under which one investigating body's looks stay out of the person's own history for a while.

All of it is made up: no agreement that ships hides anything, and no article that would allow it was verified.
"""

from __future__ import annotations

from pathlib import Path

from policies.load import SHIPPED
from tests.release_world import AGREEMENT, write_policies

POLICE = "investigators-test"
POLICE_CHECK = "police_check"
DAYS, MOST_DAYS = 30, 90
WHITELIST = f"""
[recipients.{POLICE}]
kind = "state_agency"
legal_basis = "L19_1_b"
instrument = "law_91_2025"
article = "made up for tests"
certainty = "S"
days_maximum = 60
extended_days_maximum = {MOST_DAYS}
why = "Made up for tests."
"""


def police_agreement(**changes: str) -> str:
    """Return the agreement that hides looks. changes: other words for parts of it, by name."""
    said = {
        "recipients": f'organisations = ["{POLICE}"]',
        "kind": 'kind = "state_agency"',
        "basis": 'code = "L19_1_b"',
        "hidden": f"[hidden_reads]\ndays = {DAYS}\n",
        **changes,
    }
    text = (SHIPPED / "agreements" / f"{AGREEMENT}.toml").read_text(encoding="utf-8")
    accession = next(line for line in text.splitlines() if line.startswith("accession_framework"))
    for old, new in {
        f'id = "{AGREEMENT}"': f'id = "{POLICE_CHECK}"',
        'kind = "hospital"': said["kind"],
        accession: said["recipients"],
        'code = "L19_1_c"': said["basis"],
        "[limits]\n": said["hidden"] + "\n[limits]\n",
    }.items():
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    return text


def write_hiding_policies(directory: Path) -> Path:
    """Write a policy directory that holds the tests' agreements and this one; return it."""
    made = write_policies(directory)
    (made / "hidden_reads.toml").write_text(WHITELIST, encoding="utf-8")
    (made / "agreements" / f"{POLICE_CHECK}.toml").write_text(police_agreement(), encoding="utf-8")
    return made
