"""The bench's broker without evidence runs a statement of its own: the database must know it as it is now."""

from __future__ import annotations

import re
from unittest.mock import Mock

import pytest

from broker.evidence.pseudonyms import KeyedPseudonyms
from broker.storage.release_sql import RELEASE_ONE, STEPS_MAX
from tests.bench.unrecorded import row_without_entry, statement_without_evidence
from tests.oauth_world import Database

EVIDENCE_PARAMETERS = 6


@pytest.mark.parametrize("step_count", range(STEPS_MAX + 1))
def test_without_evidence_the_recording_statement_is_the_same_but_for_it(
    database: Database, step_count: int
) -> None:
    ours, real = statement_without_evidence(step_count), RELEASE_ONE[step_count]
    with database.application.begin() as connection:
        connection.exec_driver_sql(f"PREPARE {ours.name} AS {ours.sql}")
        connection.exec_driver_sql(f"DEALLOCATE {ours.name}")
    used = [max(map(int, re.findall(r"\$(\d+)", one.sql))) for one in (ours, real)]
    assert used[1] - used[0] == EVIDENCE_PARAMETERS
    assert len(real.binary_parameters) - len(ours.binary_parameters) == 3
    for table in ("evidence_entries", "evidence_openings"):
        assert (table in real.sql, table in ours.sql) == (True, False)
    for kept in ("used_proofs", "FROM clients c"):
        assert kept in real.sql
        assert kept in ours.sql


def test_without_an_entry_the_same_person_is_counted() -> None:
    pseudonyms, matter = KeyedPseudonyms(bytes(32)), Mock()
    for person in ("opaque-person-7", None):
        row = row_without_entry(
            matter, pseudonyms, bytes, "r", b"", released=(), reason="", data_subject=person
        )
        assert row.data_subject_ref == (person and pseudonyms.data_subject_ref(person))
        assert (row.entry, row.data_subject_salt, row.payload_salt) == (b"", None, None)
