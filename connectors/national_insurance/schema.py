"""The insurance database as the broker sees it: tables, and which field of the catalogue is held where.

Groups follow Decree 43/2021 article 6, restated in Decree 164/2025. Columns carry the catalogue's names. A
person is known by an opaque `person_key`; every printed number is an attribute that can change and is no
key. There are no foreign keys: the integrity of the data belongs to their owner, and the broker checks
each answer instead (one person, the one who was asked for).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Date,
    DateTime,
    Engine,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    text,
)
from sqlalchemy.types import TypeEngine

metadata = MetaData(
    naming_convention={"pk": "pk_%(table_name)s", "ix": "ix_%(table_name)s_%(column_0_name)s"}
)


def _once(name: str, *columns: Column[object]) -> Table:
    """Return a table with at most one row per person."""
    return Table(
        name, metadata, Column("person_key", BigInteger, primary_key=True, autoincrement=False), *columns
    )


def _repeated(name: str, *columns: Column[object]) -> Table:
    """Return a table with several rows per person, numbered from 1 in the order of the source."""
    return _once(name, Column("line_number", Integer, primary_key=True, autoincrement=False), *columns)


def _text(name: str, length: int) -> Column[object]:
    return Column(name, String(length))


def _day(name: str) -> Column[object]:
    """Return a column of days; a month is held as its first day."""
    return Column(name, Date)


def _dong(name: str) -> Column[object]:
    """Return a column of amounts in VND."""
    return Column(name, BigInteger)


person = _once(
    "person",
    _text("personal_id", 12),
    _text("old_id", 12),
    _text("si_number", 10),
    _text("full_name", 120),
    _day("birth_date"),
    _text("birth_precision", 5),
    _text("sex", 6),
    _text("ethnicity", 2),
    _text("nationality", 2),
    _text("birth_registration_province", 2),
    _text("home_province", 2),
    _text("tax_code", 13),
)
Index("ix_person_personal_id", person.c.personal_id)
Index("ix_person_si_number", person.c.si_number)

contact = _once(
    "contact",
    _text("address", 250),
    _text("province", 2),
    _text("commune", 5),
    _text("phone", 15),
    _text("email", 120),
)
household_member = _once("household_member", _text("household_code", 13), _text("household_role", 10))
family_member = _repeated(
    "family_member", _text("family_relation", 15), _text("family_name", 120), _text("family_personal_id", 12)
)
Index("ix_family_member_family_personal_id", family_member.c.family_personal_id)
health_insurance_card = _repeated(
    "health_insurance_card",
    _text("hi_card", 15),
    _text("hi_card_15", 15),
    _text("subject_type", 2),
    _text("benefit_level", 1),
    _text("living_area", 2),
    _text("primary_facility", 13),
    Column("primary_facility_specialised", Boolean),
    _day("valid_from"),
    _day("valid_to"),
    _day("five_year_date"),
    _text("card_status", 25),
    _text("managed_by", 20),
    _text("issued_province", 2),
    _text("payer_group", 15),
    _text("previous_card", 15),
    _day("card_issued_at"),
    _dong("copay_ytd"),
)
social_insurance = _once(
    "social_insurance",
    _text("si_subject_type", 20),
    _text("si_office", 5),
    _text("employer_unit_code", 15),
    _text("si_status", 20),
    _day("first_contribution_month"),
    Column("unemployment_reserved_months", Integer),
)
contribution = _repeated(
    "contribution",
    _day("contribution_from"),
    _day("contribution_to"),
    _text("contribution_plan", 2),
    _text("contribution_unit_code", 15),
    _dong("salary_base"),
    Column("contribution_rate", Integer),
    _dong("contribution_amount"),
)
unemployment_period = _repeated(
    "unemployment_period",
    _day("unemployment_from"),
    _day("unemployment_to"),
    _dong("unemployment_amount"),
    _text("unemployment_status", 15),
)
employer = Table(
    "employer",
    metadata,
    Column("unit_code", String(15), primary_key=True),
    _text("employer_name", 200),
    _text("employer_tax_code", 13),
    _text("employer_address", 250),
    _text("employer_industry", 5),
)
benefit = _repeated(
    "benefit", _text("benefit_kind", 20), _day("benefit_from"), _day("benefit_to"), _dong("benefit_amount")
)
bank_account = _once("bank_account", _text("bank_account", 34))
source_state = Table(
    "source_state",
    metadata,
    Column("source", String(20), primary_key=True),
    Column("synchronised_at", DateTime(timezone=True), nullable=False),
)
SOURCE_NAME = "national_insurance"
"""The row of `source_state` that says when the data were last true."""


@dataclass(frozen=True, slots=True)
class SourceField:
    """Where one catalogue field is held. repeats: its group has several rows per person."""

    name: str
    column: Column[object]
    group: str
    repeats: bool

    @property
    def table(self) -> Table:
        """The table that holds it."""
        return self.column.table

    @property
    def type(self) -> TypeEngine[object]:
        """Its SQL type; months are days, amounts integers in VND."""
        return self.column.type


_RESERVED_MONTHS = "unemployment_reserved_months"
_GROUPS: tuple[tuple[str, Table, bool], ...] = (
    ("person", person, False),
    ("contact", contact, False),
    ("household", household_member, False),
    ("family", family_member, True),
    ("hi_cards", health_insurance_card, True),
    ("social_insurance", social_insurance, False),
    ("contributions", contribution, True),
    ("unemployment", unemployment_period, True),
    ("employer", employer, False),
    ("benefits", benefit, True),
    ("bank", bank_account, False),
)
_STRUCTURE = frozenset({"person_key", "line_number", "unit_code"})


def _fields() -> Mapping[str, SourceField]:
    found = {
        column.name: SourceField(column.name, column, group, repeats)
        for group, table, repeats in _GROUPS
        for column in table.columns
        if column.name not in _STRUCTURE
    }
    summary = found[_RESERVED_MONTHS]
    found[_RESERVED_MONTHS] = SourceField(_RESERVED_MONTHS, summary.column, "unemployment_summary", False)
    return MappingProxyType(found)


FIELDS: Mapping[str, SourceField] = _fields()
"""Catalogue field → where it is held. The only place that says so."""


def create_schema(engine: Engine) -> None:
    """Create the tables and indexes that are not there yet."""
    metadata.create_all(engine)


def grant_reader(engine: Engine, role: str) -> None:
    """Let a PostgreSQL role read every table of the insurance database, and do nothing else there.

    The role exists already. It becomes read-only by default besides, where the caller may say so.
    """
    quote = engine.dialect.identifier_preparer.quote
    tables = ", ".join(quote(table.name) for table in metadata.sorted_tables)
    with engine.begin() as connection:
        schema = quote(connection.scalar(text("SELECT current_schema()")))
        connection.execute(text(f"GRANT USAGE ON SCHEMA {schema} TO {quote(role)}"))
        connection.execute(text(f"REVOKE ALL ON {tables} FROM {quote(role)}"))
        connection.execute(text(f"GRANT SELECT ON {tables} TO {quote(role)}"))
