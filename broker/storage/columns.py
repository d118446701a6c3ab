"""What all tables share: one metadata with its naming convention, and the column of an instant."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Column, DateTime, MetaData, func

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_name)s",
        "uq": "uq_%(table_name)s_%(column_0_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "pk": "pk_%(table_name)s",
    }
)


def instant(
    name: str, *, nullable: bool = False, now: bool = False, primary_key: bool = False
) -> Column[Any]:
    """Return a column that holds an aware instant. now: the database's own, where none is given."""
    return Column(
        name,
        DateTime(timezone=True),
        nullable=nullable,
        server_default=func.now() if now else None,
        primary_key=primary_key,
    )
