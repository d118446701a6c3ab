"""A database of its own with evidence about made-up people, and what an attacker makes of a copy of it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import psycopg
from alembic import command
from psycopg import sql
from sqlalchemy import Engine, create_engine, text

from broker.app import new_reference, new_salt
from broker.cli.embedded import EmbeddedCluster, url_of
from broker.evidence.canonical import commitment
from broker.evidence.entry import Circumstances, Outcome, entry_bytes
from broker.evidence.person_keys import key_at, key_year, link_of, path_of, seal_key_of
from broker.evidence.pseudonyms import KeyedPseudonyms
from broker.evidence.recording import EvidenceRow
from broker.oauth.evidence_secrets import EvidenceKeySeal, EvidenceSecretUnreadable, open_salts
from broker.storage.acts import record_evidence
from broker.storage.migrate import alembic_config, migrate
from broker.storage.openings import PostgresOpenings
from broker.storage.session import Store, open_store
from connectors.base import LookupKey, SourceUnavailable
from policies.model import Record

KEY, PSEUDONYM_KEY = bytes([1]) * 32, bytes([2]) * 32
PSEUDONYMS = KeyedPseudonyms(PSEUDONYM_KEY)
TABLES = ("evidence_entries", "evidence_openings", "evidence_keys")
PLAIN = "evidence_annex"
"""Until revision 0009 there was a table of salts in the clear too."""
PAYLOAD = b'{"hi_card":"HC4797912345678"}'
Dump = Mapping[str, Sequence[Mapping[str, Any]]]
"""Table → its rows, as a backup has them."""


@dataclass
class EvidenceStore:
    """The database, and the entries that were put into it: name of the person → their bytes."""

    store: Store
    owner: Engine
    entries: dict[str, list[bytes]] = field(default_factory=dict)
    tables: tuple[str, ...] = TABLES

    @property
    def application(self) -> Engine:
        """The engine of the application role."""
        return self.store.engine

    def openings(self) -> PostgresOpenings:
        """Return what a process that starts now has: nothing of keys in memory."""
        return PostgresOpenings(self.store, KEY)

    def record(self, name: str, year: int, count: int = 2, openings: PostgresOpenings | None = None) -> None:
        """Record releases about a person in a year."""
        openings = openings or self.openings()
        for number in range(count):
            row = release_about(name, datetime(year, 3, 1 + number, tzinfo=UTC))
            with self.application.begin() as connection:
                record_evidence(connection, row, openings.seal(row))
            self.entries.setdefault(name, []).append(row.entry)

    def record_plainly(self, name: str, year: int) -> str:
        """Record a release as a release of the broker before revision 0007 did; return its reference."""
        row = release_about(name, datetime(year, 5, 1, tzinfo=UTC))
        with self.owner.begin() as connection:
            connection.execute(
                text(
                    "INSERT INTO evidence_entries (reference, kind, entry) VALUES"
                    " (CAST(:reference AS uuid), :kind, :entry)"
                ),
                {"reference": row.reference, "kind": row.kind, "entry": row.entry},
            )
            connection.execute(
                text("INSERT INTO evidence_annex VALUES (CAST(:reference AS uuid), :ref, :salt, :payload)"),
                {
                    "reference": row.reference,
                    "ref": row.data_subject_ref,
                    "salt": row.data_subject_salt,
                    "payload": row.payload_salt,
                },
            )
        self.entries.setdefault(name, []).append(row.entry)
        return row.reference

    def dump(self) -> Dump:
        """Return all rows of the tables of evidence, in a fixed order."""
        with self.owner.connect() as connection:
            found = {
                table: [dict(row) for row in connection.execute(text(f"SELECT * FROM {table}")).mappings()]  # noqa: S608
                for table in self.tables
            }
        return {table: sorted(rows, key=repr) for table, rows in found.items()}

    def empty(self) -> None:
        with self.owner.begin() as connection:
            connection.execute(text(f"TRUNCATE {', '.join(self.tables)}"))
        self.entries.clear()


@dataclass
class OneSource:
    """A source that knows one person. is_up: whether it answers."""

    name: str = ""
    is_up: bool = True

    def fetch(self, key: LookupKey, columns: Any, deadline_seconds: float, since: Any = ()) -> Record | None:  # noqa: ARG002
        if not self.is_up:
            raise SourceUnavailable("down")
        return Record(self.name, datetime(2026, 1, 1, tzinfo=UTC), {}, {}) if self.name else None

    def is_available(self) -> bool:
        return self.is_up


def release_about(name: str, at: datetime) -> EvidenceRow:
    """Return a release about a person that commits to the name and to PAYLOAD."""
    reference, subject_salt, payload_salt = new_reference(), new_salt(), new_salt()
    about = Circumstances(
        reference, reference, at, "hospital-a", "facility-a", None, None,
        "verify_entitlement", "p", "L1", "hospital_entitlement_check", "0" * 64,
    )  # fmt: skip
    outcome = Outcome(
        kind="release",
        result="released",
        reason="",
        data_subject_commit=commitment(subject_salt, name.encode()),
        payload_commit=commitment(payload_salt, PAYLOAD),
    )
    ref = PSEUDONYMS.data_subject_ref(name)
    entry = entry_bytes(about, outcome)
    return EvidenceRow(reference, "release", entry, key_year(at), ref, subject_salt, payload_salt)


def found_by_attacker(dump: Dump, population: Iterable[str]) -> set[tuple[str, str]]:
    """Return (entry's reference, name) of everything that somebody with a copy and both secret files finds.

    Tries for everybody in the population the keys of all years that can still be computed, and the rows
    that lie in the clear.
    """
    copy = _Copy(dump)
    entries = {row["reference"]: json.loads(bytes(row["entry"])) for row in dump["evidence_entries"]}
    return {
        (str(reference), name)
        for name in population
        for reference, salt in copy.salts(name)
        if entries[reference]["data_subject_commit"] == commitment(salt, name.encode())
    }


def opened_salts(dump: Dump, name: str) -> list[bytes]:
    """Return the salts of a person's commitments, as far as a copy opens them."""
    return [salt for _, salt in _Copy(dump).salts(name)]


class _Copy:
    """A copy of the database in the hands of somebody who has both secret files."""

    def __init__(self, dump: Dump) -> None:
        self._plain = dump.get(PLAIN, [])
        self._years: dict[int, dict[str, bytes]] = {}
        for row in dump["evidence_keys"]:
            sealed = EvidenceKeySeal(KEY).open(row["key_name"], bytes(row["key_encrypted"]))
            self._years.setdefault(row["key_year"], {})[row["path"]] = sealed
        self._by_link: dict[bytes, list[Mapping[str, Any]]] = {}
        for row in dump["evidence_openings"]:
            self._by_link.setdefault(bytes(row["person_link"] or b""), []).append(row)

    def salts(self, name: str) -> Iterator[tuple[UUID, bytes]]:
        """Yield (reference, salt) of all that a person's reference leads to."""
        ref = PSEUDONYMS.data_subject_ref(name)
        for row in self._plain:
            if bytes(row["data_subject_ref"]) == ref:
                yield row["reference"], bytes(row["data_subject_salt"])
        for held in self._years.values():
            key = key_at(held, path_of(ref))
            for row in [] if key is None else self._by_link.get(link_of(key, ref), []):
                reference: UUID = row["reference"]
                own = seal_key_of(key or b"", ref)
                yield reference, open_salts(own, reference.bytes, bytes(row["sealed_salts"]))[0] or b""


def found_by_trying(dump: Dump, population: Sequence[str]) -> set[tuple[str, str]]:
    """Return what brute force finds: every 32 bytes that lie anywhere in the copy are tried as a salt.

    Of sealed boxes, also all that every key in the copy makes of them, wherever it stands in the tree.
    """
    secrets: set[bytes] = set()
    keys = [
        EvidenceKeySeal(KEY).open(row["key_name"], bytes(row["key_encrypted"]))
        for row in dump["evidence_keys"]
    ]
    for rows in dump.values():
        for row in rows:
            for value in row.values():
                if isinstance(value, bytes | memoryview):
                    content = bytes(value)
                    if len(content) < 200:
                        secrets |= {content[at : at + 32] for at in range(len(content) - 31)}
    for row in dump["evidence_openings"]:
        for key in keys:
            try:
                opened = open_salts(key, row["reference"].bytes, bytes(row["sealed_salts"] or b""))
            except EvidenceSecretUnreadable:
                continue
            secrets |= {salt for salt in opened if salt is not None}
    commits = {
        entry["data_subject_commit"]: entry["reference"]
        for entry in (json.loads(bytes(row["entry"])) for row in dump["evidence_entries"])
    }
    names = [name.encode() for name in population]
    return {
        (commits[tried], name.decode())
        for secret in [*secrets, *keys, KEY, PSEUDONYM_KEY]
        for name in names
        if (tried := hashlib.sha256(secret + name).hexdigest()) in commits
    }


@contextmanager
def evidence_store(
    cluster: EmbeddedCluster, name: str, *, is_before_0009: bool = False
) -> Iterator[EvidenceStore]:
    """Give a migrated database of its own on the cluster. is_before_0009: with the table in the clear."""
    with psycopg.connect(cluster.administrator_url, autocommit=True) as connection:
        database = sql.Identifier(name)
        connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(database))
        connection.execute(sql.SQL("CREATE DATABASE {} OWNER broker_owner").format(database))
        owner_url, application_url = (
            url_of(cluster.administrator_url, role, name) for role in ("broker_owner", "broker_app")
        )
        migrate(owner_url)
        store, owner = (
            open_store(application_url, deadline_seconds=60.0, pool_size=16),
            create_engine(owner_url),
        )
        if is_before_0009:
            with owner.begin() as downgraded:
                command.downgrade(alembic_config(downgraded), "0008")
        try:
            yield EvidenceStore(store, owner, tables=(*TABLES, PLAIN) if is_before_0009 else TABLES)
        finally:
            store.close()
            owner.dispose()
            connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(database))
