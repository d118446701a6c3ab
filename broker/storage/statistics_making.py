"""How releases come to be in PostgreSQL: begun with their secrets, frozen with the hash of their manifest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, TypeAlias

from sqlalchemy import Connection, Engine, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import IntegrityError

from broker.oauth.release_secrets import ReleaseSeal
from broker.statistics.periods import Quarter, release_code
from broker.statistics.revision import RevisionPolicy, check_revision
from broker.storage.acts import Acts, acting_in
from broker.storage.faults import store_answers
from broker.storage.statistics_rows import lock_period
from broker.storage.tables import statistics_periods, statistics_releases

ReleaseState: TypeAlias = Literal["creating", "frozen", "superseded"]


class ReleaseIsThere(Exception):
    """The quarter has a release already, and nobody said that it is to be superseded."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleaseStanding:
    """How a release stands. supersedes, manifest_hash: "" for none; frozen_at: None while it is made."""

    release: str
    period: str
    revision: int
    supersedes: str
    state: ReleaseState
    manifest_hash: str
    created_at: datetime
    frozen_at: datetime | None


@dataclass(frozen=True, slots=True)
class BegunRelease:
    """A release to be made. supersedes: "" for none. is_resumed: somebody began it before.

    secret_persons, secret_table: 32 bytes each.
    """

    release: str
    revision: int
    supersedes: str
    is_resumed: bool
    secret_persons: bytes = field(repr=False)
    secret_table: bytes = field(repr=False)


class PostgresReleaseMaking:
    """Begins and freezes releases, and says how they stand. Methods raise StoreUnavailable.

    acts: of whoever does it; None is enough for looking.
    """

    def __init__(self, engine: Engine, seal: ReleaseSeal, acts: Acts | None = None) -> None:
        self._engine = engine
        self._seal = seal
        self._acts = acts

    def list_all(self, period: str | None = None) -> Sequence[ReleaseStanding]:
        """Return how all releases stand, or those of a quarter, newest first."""
        columns = statistics_releases.c
        statement = select(statistics_releases).order_by(columns.period.desc(), columns.revision.desc())
        if period is not None:
            statement = statement.where(columns.period == period)
        with store_answers(), self._engine.connect() as connection:
            return [_standing(row) for row in connection.execute(statement)]

    def begin(self, quarter: Quarter, policy: RevisionPolicy, *, supersede: bool) -> BegunRelease:
        """Return the release of a quarter that is to be made, with its secrets: begun now or before.

        Raises ReleaseIsThere; StatisticsRefused("revisions_exhausted"); ReleaseSecretUnreadable.
        """
        try:
            return self._begun(quarter, policy, supersede=supersede)
        except IntegrityError:
            # Somebody else began it at this very moment: theirs is gone on with.
            return self._begun(quarter, policy, supersede=supersede)

    def _begun(self, quarter: Quarter, policy: RevisionPolicy, *, supersede: bool) -> BegunRelease:
        with store_answers(), self._engine.begin() as connection:
            newest = _newest(connection, quarter.code)
            if newest is not None and newest.state == "creating":
                return self._opened(newest)
            if newest is not None and not supersede:
                raise ReleaseIsThere(f"{newest.release} is frozen; a second one supersedes it (--supersede)")
            revision = 1 if newest is None else newest.revision + 1
            check_revision(policy, revision)
            release = release_code(quarter, revision)
            connection.execute(
                statistics_releases.insert().values(
                    release=release,
                    period=quarter.code,
                    revision=revision,
                    supersedes=None if newest is None else newest.release,
                    person_secret_encrypted=self._seal.make(release, "persons"),
                    table_secret_encrypted=self._seal.make(release, "tables"),
                )
            )
            made = _newest(connection, quarter.code)
            return self._opened(made, is_resumed=False)

    def _opened(self, row: Any, *, is_resumed: bool = True) -> BegunRelease:
        return BegunRelease(
            release=row.release,
            revision=row.revision,
            supersedes=row.supersedes or "",
            is_resumed=is_resumed,
            secret_persons=self._seal.open(row.release, "persons", bytes(row.person_secret_encrypted)),
            secret_table=self._seal.open(row.release, "tables", bytes(row.table_secret_encrypted)),
        )

    def freeze(self, release: str, manifest_hash: str, frozen_at: datetime) -> None:
        """Let a release answer, and close the former of its quarter for new tables, in one transaction.

        The evidence says which manifest it is. manifest_hash: of the files that lie in their place already.
        Raises LookupError where the release is not being made.
        """
        acts, columns = acting_in(self._acts), statistics_releases.c
        period = release.rpartition(".")[0]
        once = insert(statistics_periods).values(period=period).on_conflict_do_nothing()
        with store_answers(), self._engine.begin() as connection:
            # Whoever asks for a table locks the period as well: none is admitted to the former after this.
            connection.execute(once)
            lock_period(connection, period)
            former = connection.execute(
                select(columns.supersedes)
                .where(columns.release == release, columns.state == "creating")
                .with_for_update()
            ).first()
            if former is None:
                raise LookupError(f"{release} is not being made")
            if former.supersedes is not None:
                connection.execute(
                    statistics_releases.update()
                    .where(columns.release == former.supersedes, columns.state == "frozen")
                    .values(state="superseded")
                )
                acts.administration(connection, "statistics_superseded", former.supersedes)
            connection.execute(
                statistics_releases.update()
                .where(columns.release == release)
                .values(state="frozen", manifest_hash=manifest_hash, frozen_at=frozen_at)
            )
            acts.administration(
                connection, "statistics_frozen", release, given=(("manifest", manifest_hash),)
            )


def _newest(connection: Connection, period: str) -> Any:
    columns = statistics_releases.c
    statement = select(statistics_releases).where(columns.period == period)
    return connection.execute(statement.order_by(columns.revision.desc()).limit(1)).first()


def _standing(row: Any) -> ReleaseStanding:
    return ReleaseStanding(
        release=row.release,
        period=row.period,
        revision=row.revision,
        supersedes=row.supersedes or "",
        state=row.state,
        manifest_hash=row.manifest_hash or "",
        created_at=row.created_at,
        frozen_at=row.frozen_at,
    )
