"""Somebody who acts, for tests that set a stage: an operator whose entries are written as any other's."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

from sqlalchemy import Engine, text

from broker.app import new_reference, new_salt
from broker.clock import system_clock
from broker.evidence.acting import Acting, Drafts
from broker.evidence.pseudonyms import KeyedPseudonyms
from broker.storage.acts import Acts
from broker.storage.openings import SealedOpening

OPERATOR: Final = Acting(actor="operator", acting_person="0f" * 32)
ACTS: Final = Acts(
    Drafts(
        acting=OPERATOR,
        clock=system_clock,
        new_reference=new_reference,
        salts=new_salt,
        data_subject_ref=KeyedPseudonyms(bytes(range(1, 33))).data_subject_ref,
    ),
    seal=lambda row: SealedOpening(row.year, None, None),
)
"""Where nobody looks for the entries of a person: nothing is kept that opens them."""


def entries(engine: Engine, kind: str, after: str = "") -> list[dict[str, Any]]:
    """Return the entries of a kind in their order. after: reference, those behind it alone."""
    statement = text(
        "SELECT entry FROM evidence_entries WHERE kind = :kind AND reference::text > :after"
        " ORDER BY reference"
    )
    with engine.connect() as connection:
        found = connection.execute(statement, {"kind": kind, "after": after}).scalars()
        return [json.loads(bytes(entry)) for entry in found]


def last_reference(engine: Engine) -> str:
    """Return the newest reference there is, "" where there is none."""
    with engine.connect() as connection:
        found = connection.execute(text("SELECT max(reference::text) FROM evidence_entries")).scalar_one()
    return found or ""


def told(entry: Mapping[str, Any], *names: str) -> tuple[Any, ...]:
    """Return some members of an entry."""
    return tuple(entry[name] for name in names)


@contextmanager
def without_entries(owner: Engine) -> Iterator[None]:
    """Let no entry of evidence be written meanwhile, as if the disk under that table were full."""
    with owner.begin() as connection:
        connection.execute(text(_REFUSED))
        connection.execute(text(_REFUSING))
    try:
        yield
    finally:
        with owner.begin() as connection:
            connection.execute(text("DROP FUNCTION no_entries() CASCADE"))


_REFUSED: Final = """CREATE FUNCTION no_entries() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN RAISE EXCEPTION 'no entry can be written'; END $$"""
_REFUSING: Final = "CREATE TRIGGER no_entries BEFORE INSERT ON evidence_entries EXECUTE FUNCTION no_entries()"
