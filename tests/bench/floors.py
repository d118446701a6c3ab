"""The two floor apps that the release path is measured against: no security, no policy, the same work.

Both look a card up by SI number in the same insurance database and write one committed audit row.
lean: Flask + psycopg, look-up and insert in one prepared statement, autocommit, one connection per thread.
ordinary: Flask + SQLAlchemy Core, select and insert in a transaction, from the engine's pool.
"""

from __future__ import annotations

import os
import threading
from datetime import date
from typing import Any

import psycopg
from flask import Flask, jsonify, request
from sqlalchemy import (
    BigInteger,
    Column,
    DateTime,
    Identity,
    MetaData,
    Table,
    Text,
    create_engine,
    func,
    insert,
    select,
)

from connectors.national_insurance.schema import health_insurance_card as card
from connectors.national_insurance.schema import person

AUDIT = Table(
    "floor_audit",
    MetaData(),
    Column("id", BigInteger, Identity(), primary_key=True),
    Column("at", DateTime(timezone=True), server_default=func.now()),
    Column("client", Text),
    Column("purpose", Text),
    Column("subject", Text),
    Column("fields", Text),
)
SHOWN = (
    "full_name", "birth_date", "hi_card", "hi_card_15", "benefit_level", "primary_facility",
    "valid_from", "valid_to", "five_year_date", "card_status", "managed_by", "previous_card",
)  # fmt: skip

_LEAN_SQL = f"""
WITH found AS (
  SELECT p.person_key, {", ".join(SHOWN)} FROM person p JOIN health_insurance_card c USING (person_key)
  WHERE p.si_number = %(number)s
), logged AS (
  INSERT INTO floor_audit (client, purpose, subject, fields)
  SELECT %(client)s, 'check', person_key::text, %(fields)s FROM found LIMIT 1 RETURNING id
)
SELECT (SELECT id FROM logged), found.* FROM found
"""  # noqa: S608 - constant names only


def _plain(value: Any) -> Any:
    return value.isoformat() if isinstance(value, date) else value


def lean() -> Flask:
    """Return the lean floor."""
    app = Flask("lean")
    conninfo = os.environ["FLOOR_CONNINFO"]
    here = threading.local()

    def connection() -> psycopg.Connection[Any]:
        if not hasattr(here, "connection"):
            here.connection = psycopg.connect(conninfo, autocommit=True, prepare_threshold=0)
            here.connection.execute("SET plan_cache_mode = force_generic_plan")
        opened: psycopg.Connection[Any] = here.connection
        return opened

    @app.post("/check")
    def check() -> Any:
        asked = request.get_json()
        parameters = {"number": asked["card_number"], "client": "floor", "fields": ",".join(SHOWN)}
        rows = connection().execute(_LEAN_SQL, parameters, prepare=True).fetchall()
        if not rows:
            return jsonify(outcome="not_found"), 200
        shown = [dict(zip(SHOWN, map(_plain, row[2:]), strict=True)) for row in rows]
        return jsonify(outcome="valid", reference=rows[0][0], cards=shown)

    return app


def ordinary() -> Flask:
    """Return the ordinary floor."""
    app = Flask("ordinary")
    engine = create_engine(os.environ["FLOOR_DATABASE_URL"], pool_size=8)
    columns = {column.name: column for column in (*person.c, *card.c)}
    statement = select(person.c.person_key, *(columns[name] for name in SHOWN)).join_from(
        person, card, person.c.person_key == card.c.person_key
    )

    @app.post("/check")
    def check() -> Any:
        asked = request.get_json()
        with engine.begin() as connection:
            rows = connection.execute(statement.where(person.c.si_number == asked["card_number"])).all()
            if not rows:
                return jsonify(outcome="not_found"), 200
            audit = connection.execute(
                insert(AUDIT)
                .values(client="floor", purpose="check", subject=str(rows[0][0]), fields=",".join(SHOWN))
                .returning(AUDIT.c.id)
            ).scalar_one()
        shown = [dict(zip(SHOWN, map(_plain, row[1:]), strict=True)) for row in rows]
        return jsonify(outcome="valid", reference=audit, cards=shown)

    return app
