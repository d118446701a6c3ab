"""What goes on while the log stands still, and how its evidence says so.

The log is late, not the evidence: each entry is committed before its answer, as always. What cannot wait
until a sequencer is mended goes on, and every entry of it has a rule of its own among the determining ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from broker.actions.matter import Matter
from broker.evidence.entry import in_emergency
from broker.evidence.recording import EvidenceRow

GOES_ON: Final = frozenset({"verify_entitlement", "extract_own_record"})
"""Actions that go on: a hospital's check, which the law obliges both sides to, and a person's look at the own
record, which goes to nobody else. Nothing that rests on a consent does."""
RETRY_SECONDS: Final = 60
"""When to ask again for what does not go on: a sequencer that is started anew needs less."""


def goes_on(matter: Matter) -> bool:
    """Return whether a matter is one that does not wait for the log."""
    return matter.action in GOES_ON and matter.consent is None


def marked(rows: Sequence[EvidenceRow]) -> Sequence[EvidenceRow]:
    """Return the rows with entries that say that they were recorded while the log stood."""
    return [replace(row, entry=in_emergency(row.entry)) for row in rows]
