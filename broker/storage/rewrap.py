"""Every sealed value in PostgreSQL, batch by batch: opened only, or sealed anew under another key.

The database holds sealed values in the tables that PLACES names; a test looks for another one. The keys
of evidence and the secrets of releases are changed as the owner role: what serves may not touch them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

from sqlalchemy import Connection, Engine, LargeBinary, Table, bindparam, func, select

from broker.evidence.key_entry import KeyPurpose
from broker.oauth.citizen_secrets import SealedPurpose
from broker.oauth.release_secrets import ReleaseSecret
from broker.oauth.rewrapping import SealedUnderNeitherKey
from broker.oauth.stored_keys import StoredKey
from broker.storage.acts import Acts, acting_in
from broker.storage.complaints import name_of
from broker.storage.faults import store_answers
from broker.storage.statistics_names import name_of_result, name_of_table
from broker.storage.tables import (
    citizens,
    complaints,
    evidence_keys,
    signing_keys,
    statistics_jobs,
    statistics_releases,
    statistics_tables,
)

BATCH_ROWS: Final = 500


class Rewrapper(Protocol):
    """Seals one value anew; `broker.oauth.rewrapping.Rewrapping` does it.

    All methods return None for a value that the new key opens already, and raise SealedUnderNeitherKey.
    old_name, new_name: by what evidence names the two keys.
    """

    old_name: str
    new_name: str

    def sealed(self, purpose: SealedPurpose, name: str, sealed: bytes) -> bytes | None:
        """Return a citizen's value sealed under the new key."""
        ...

    def signing_key(self, stored: StoredKey) -> bytes | None:
        """Return a private key encrypted under the new key."""
        ...

    def evidence_key(self, name: str, sealed: bytes) -> bytes | None:
        """Return a key of evidence sealed under the new key."""
        ...

    def release_secret(self, release: str, what: ReleaseSecret, sealed: bytes) -> bytes | None:
        """Return a secret of a release of statistics sealed under the new key."""
        ...

    def export_key(self, name: str, sealed: bytes) -> bytes | None:
        """Return a key of a statistical export sealed under the new key."""
        ...


@dataclass(frozen=True, slots=True)
class Place:
    """A table with sealed columns; its primary key is one column.

    anew: gives the columns of one row that have to change, with their new values. key: what key a row holds,
    purpose and id as evidence names them, None where it holds other secrets. is_owners: whether only the
    owner role may change it.
    """

    table: Table
    columns: tuple[str, ...]
    anew: Callable[[Rewrapper, Any], Mapping[str, bytes]]
    key: Callable[[Any], tuple[KeyPurpose, str]] | None = None
    is_owners: bool = False


@dataclass(frozen=True, slots=True)
class Counted:
    """Rows of one table: those with a value under the old key, and those with none any more."""

    table: str
    under_old_key: int
    under_new_key: int


class UnreadableRow(Exception):
    """Neither key opens a value of a row; its transaction changed nothing."""

    def __init__(self, table: str, key: str) -> None:
        super().__init__(f"neither key opens {table} {key}")


class PostgresRewrap:
    """Walks through all sealed values. All methods raise StoreUnavailable.

    owner: engine of the owner role; acts: of whoever does it. None for both is enough for looking.
    """

    def __init__(
        self,
        engine: Engine,
        owner: Engine | None,
        rewrapper: Rewrapper,
        acts: Acts | None = None,
        batch_rows: int = BATCH_ROWS,
    ) -> None:
        self._acts = acts
        self._engine = engine
        self._owner = owner
        self._rewrapper = rewrapper
        self._batch_rows = batch_rows

    def count_rows(self) -> int:
        """Return how many rows have sealed values."""
        with store_answers(), self._engine.connect() as connection:
            return sum(
                connection.execute(select(func.count()).select_from(place.table)).scalar_one()
                for place in PLACES
            )

    def look(self, on_rows: Callable[[int], None]) -> Sequence[Counted]:
        """Open every value and change nothing. on_rows: told the rows of each batch. Raises UnreadableRow."""
        return self._walk(on_rows, is_writing=False)

    def rewrap(self, on_rows: Callable[[int], None]) -> Sequence[Counted]:
        """Seal under the new key what is under the old one, a transaction for each batch.

        Stopped anywhere, what was committed is under the new key and all else untouched: run it again.
        Evidence tells that the new key begins, before anything is under it; of each key that is rewrapped, in
        the transaction that does it; and at the very end that nothing needs the old one any more.
        Raises UnreadableRow.
        """
        acts = acting_in(self._acts)
        with store_answers(), self._engine.begin() as connection:
            acts.key_event(connection, "key_encryption", self._rewrapper.new_name, "activated")
        return self._walk(on_rows, is_writing=True)

    def _walk(self, on_rows: Callable[[int], None], *, is_writing: bool) -> Sequence[Counted]:
        counted = []
        for place in PLACES:
            old = seen = 0
            for changed, rows in self._batches(place, is_writing):
                old, seen = old + changed, seen + rows
                on_rows(rows)
            counted.append(Counted(place.table.name, old, seen - old))
        return counted

    def _batches(self, place: Place, is_writing: bool) -> Iterator[tuple[int, int]]:
        """Yield how many rows of each batch were under the old key, and how many it had."""
        last: Any = None
        engine = self._owner if self._owner is not None and place.is_owners else self._engine
        while True:
            with store_answers(), engine.begin() as connection:
                rows = self._read(connection, place, last, is_writing)
                changes = [self._change(place, row) for row in rows]
                changes = [change for change in changes if len(change) > 1]
                if is_writing:
                    _write(connection, place, changes)
                    self._record(connection, place, rows, changes)
            if not rows:
                return
            last = getattr(rows[-1], _key(place).name)
            yield len(changes), len(rows)

    def _read(self, connection: Connection, place: Place, last: Any, is_writing: bool) -> Sequence[Any]:
        key = _key(place)
        statement = select(*_light(place)).order_by(key).limit(self._batch_rows)
        if last is not None:
            statement = statement.where(key > last)
        if is_writing:
            # Nobody else changes a row between its reading and its writing.
            statement = statement.with_for_update()
        return connection.execute(statement).all()

    def _record(
        self, connection: Connection, place: Place, rows: Sequence[Any], changes: Sequence[Mapping[str, Any]]
    ) -> None:
        """Record what was rewrapped; where nothing is left to be, that the old key has served its time."""
        acts = acting_in(self._acts)
        if place.key is not None:
            changed, name = {one["changed_key"] for one in changes}, _key(place).name
            for purpose, kid in sorted({place.key(row) for row in rows if getattr(row, name) in changed}):
                acts.key_event(connection, purpose, kid, "rewrapped")
        if not rows and place is PLACES[-1]:
            acts.key_event(connection, "key_encryption", self._rewrapper.old_name, "retired")

    def _change(self, place: Place, row: Any) -> dict[str, Any]:
        key = getattr(row, _key(place).name)
        try:
            return {"changed_key": key, **place.anew(self._rewrapper, row)}
        except SealedUnderNeitherKey:
            raise UnreadableRow(place.table.name, str(key)) from None


def _write(connection: Connection, place: Place, changes: Sequence[Mapping[str, Any]]) -> None:
    """Write changes, those of the same columns together."""
    for columns in {tuple(sorted(change)) for change in changes}:
        values: dict[str, Any] = {name: bindparam(name) for name in columns if name != "changed_key"}
        statement = place.table.update().where(_key(place) == bindparam("changed_key")).values(values)
        connection.execute(statement, [dict(one) for one in changes if tuple(sorted(one)) == columns])


def _light(place: Place) -> list[Any]:
    """Return all columns but sealed contents: those lie under keys of their own, and may be large."""
    columns = place.table.columns
    return [
        one for one in columns if not (isinstance(one.type, LargeBinary) and one.name.endswith("_sealed"))
    ]


def _key(place: Place) -> Any:
    [key] = place.table.primary_key.columns
    return key


def _signing_key(rewrapper: Rewrapper, row: Any) -> Mapping[str, bytes]:
    kept = StoredKey(**{name: getattr(row, name) for name in StoredKey.__dataclass_fields__})
    return _present(private_key_encrypted=rewrapper.signing_key(kept))


def _citizen(rewrapper: Rewrapper, row: Any) -> Mapping[str, bytes]:
    name = str(row.citizen_id)
    return _present(
        personal_id_encrypted=_anew(rewrapper, "personal_id", name, row.personal_id_encrypted),
        totp_secret_encrypted=_anew(rewrapper, "totp_secret", name, row.totp_secret_encrypted),
    )


def _complaint(rewrapper: Rewrapper, row: Any) -> Mapping[str, bytes]:
    name = name_of(str(row.citizen_id), str(row.complaint_id))
    return _present(
        text_encrypted=_anew(rewrapper, "complaint", name, row.text_encrypted),
        answer_encrypted=_anew(rewrapper, "complaint_answer", name, row.answer_encrypted),
    )


def _evidence_key(rewrapper: Rewrapper, row: Any) -> Mapping[str, bytes]:
    return _present(key_encrypted=rewrapper.evidence_key(row.key_name, bytes(row.key_encrypted)))


def _table(rewrapper: Rewrapper, row: Any) -> Mapping[str, bytes]:
    return _export_key(rewrapper, name_of_table(row.plan_hash), row.key_encrypted)


def _result(rewrapper: Rewrapper, row: Any) -> Mapping[str, bytes]:
    return _export_key(rewrapper, name_of_result(str(row.job_id)), row.key_encrypted)


def _export_key(rewrapper: Rewrapper, name: str, sealed: bytes | None) -> Mapping[str, bytes]:
    return {} if sealed is None else _present(key_encrypted=rewrapper.export_key(name, bytes(sealed)))


def _release(rewrapper: Rewrapper, row: Any) -> Mapping[str, bytes]:
    persons, tables = bytes(row.person_secret_encrypted), bytes(row.table_secret_encrypted)
    return _present(
        person_secret_encrypted=rewrapper.release_secret(row.release, "persons", persons),
        table_secret_encrypted=rewrapper.release_secret(row.release, "tables", tables),
    )


def _anew(rewrapper: Rewrapper, purpose: SealedPurpose, name: str, sealed: bytes | None) -> bytes | None:
    return None if sealed is None else rewrapper.sealed(purpose, name, bytes(sealed))


def _present(**columns: bytes | None) -> Mapping[str, bytes]:
    return {name: value for name, value in columns.items() if value is not None}


PLACES: Final = (
    Place(signing_keys, ("private_key_encrypted",), _signing_key, lambda row: (row.purpose, row.kid)),
    Place(citizens, ("personal_id_encrypted", "totp_secret_encrypted"), _citizen),
    Place(complaints, ("text_encrypted", "answer_encrypted"), _complaint),
    Place(statistics_tables, ("key_encrypted",), _table),
    Place(statistics_jobs, ("key_encrypted",), _result),
    Place(
        statistics_releases,
        ("person_secret_encrypted", "table_secret_encrypted"),
        _release,
        is_owners=True,
    ),
    # By their year alone: where a node stands could tell whose year was erased.
    Place(
        evidence_keys,
        ("key_encrypted",),
        _evidence_key,
        lambda row: ("evidence", str(row.key_year)),
        is_owners=True,
    ),
)
"""Where sealed values lie. A column that is sealed and missing here would be lost with the old key."""
