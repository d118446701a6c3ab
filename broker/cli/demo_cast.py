"""Who plays in the demo: synthetic persons for each case, and what a reception desk writes about them."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any, Final

from sqlalchemy import Connection, func, select

from broker.actions.person_match import NameMatch, match_names
from connectors.national_insurance.cases import SyntheticCard, SyntheticPerson, find_cases
from connectors.national_insurance.children import PARENTS
from connectors.national_insurance.schema import contribution, family_member
from connectors.national_insurance.schema import person as person_table

CANDIDATES: Final = 500
NEEDED: Final = (
    "valid", "valid_card_15", "valid_card_10", "expired", "pair_003", "pair_004", "revoked", "defence",
)  # fmt: skip
_OLDEST: Final = date(1900, 1, 1)


class CaseMissing(Exception):
    """The population holds nobody (any more) for a case that the story needs."""


@dataclass(frozen=True, slots=True)
class Staff:
    """A staff member who looks up: name, and a 12-digit number that nobody has."""

    full_name: str
    personal_id: str

    def member(self) -> dict[str, str]:
        """Return the member acting_person of a request."""
        return {"full_name": self.full_name, "personal_id": self.personal_id}


ADULT: Final = "adult"
"""Of the persons with a valid card those who are of age and pay contributions."""
PARENT: Final = "parent"
"""Of the adults those whom the record of a child of 8 to 16 names; all where there is none."""


def invented_personal_id() -> str:
    """Return twelve random digits of the form of a personal id; 000 is no province, so they are nobody's."""
    return f"000{secrets.randbelow(10**9):09d}"


def find_candidates(connection: Connection, on_date: date) -> dict[str, list[SyntheticPerson]]:
    """Return up to CANDIDATES persons for each case that the story needs, who can be asked about plainly.

    Persons whose birth date is not known to the day, or whose SI number somebody else has too, are left out;
    and of the army's insured those whose card is not in force: of these the code is another.
    Raises CaseMissing naming the first case that nobody is left for.
    """
    found = find_cases(connection, CANDIDATES, on_date)
    numbers = {one.si_number for name in NEEDED for one in found[name]}
    shared = set(
        connection.scalars(
            select(person_table.c.si_number)
            .where(person_table.c.si_number.in_(numbers))
            .group_by(person_table.c.si_number)
            .having(func.count() > 1)
        )
    )
    found["defence"] = [one for one in found["defence"] if _in_force(one.cards[0], on_date)]
    plain = {
        name: [
            one
            for one in found[name]
            if one.birth_precision == "day" and one.birth_date >= _OLDEST and one.si_number not in shared
        ]
        for name in NEEDED
    }
    # Who decides alone, and has an account: of age, and young enough to borrow.
    born_by, born_from = on_date.replace(year=on_date.year - 20), on_date.replace(year=on_date.year - 60)
    of_age = [one for one in plain["valid"] if born_from <= one.birth_date <= born_by]
    paying = _paying(connection, [one.person_key for one in of_age], on_date)
    plain[ADULT] = [one for one in of_age if one.person_key in paying]
    parents = _parents(connection, [one.personal_id for one in plain[ADULT]], on_date)
    plain[PARENT] = [one for one in plain[ADULT] if one.personal_id in parents] or plain[ADULT]
    for name, persons in plain.items():
        if not persons:
            raise CaseMissing(name)
    return plain


def _paying(connection: Connection, person_keys: Sequence[int], on_date: date) -> set[int]:
    """Return those of the persons who have paid contributions within the last half year."""
    paid = select(contribution.c.person_key).where(
        contribution.c.person_key.in_(person_keys),
        contribution.c.contribution_to >= on_date - timedelta(days=180),
    )
    return set(connection.scalars(paid))


def _parents(connection: Connection, personal_ids: Sequence[str], on_date: date) -> set[str]:
    """Return those of the numbers that the record of a child names who signs together with a parent."""
    youngest, oldest = (on_date - timedelta(days=366 * years) for years in (8, 17))
    named = (
        select(family_member.c.family_personal_id)
        .join(person_table, person_table.c.person_key == family_member.c.person_key)
        .where(
            family_member.c.family_personal_id.in_(personal_ids),
            family_member.c.family_relation.in_(PARENTS),
            person_table.c.birth_date.between(oldest, youngest),
        )
    )
    return set(connection.scalars(named))


def _in_force(card: SyntheticCard, on_date: date) -> bool:
    return card.card_status == "active" and card.valid_from <= on_date <= card.valid_to


@dataclass(slots=True)
class Cast:
    """Gives each role a person of its own, the one asked about least today first.

    asked: by person_key, how often a person was asked about today before this run.
    """

    candidates: Mapping[str, Sequence[SyntheticPerson]]
    asked: Mapping[int, int]
    today: date
    staff: Staff
    run: str
    _taken: dict[str, SyntheticPerson] = field(default_factory=dict, init=False)
    _visits: int = field(default=0, init=False)

    def person(self, role: str, case: str) -> SyntheticPerson:
        """Return the person who plays a role, the same one every time. Raises CaseMissing."""
        if role not in self._taken:
            keys = {one.person_key for one in self._taken.values()}
            free = [one for one in self.candidates[case] if one.person_key not in keys]
            if not free:
                raise CaseMissing(case)
            self._taken[role] = min(free, key=lambda one: self.asked[one.person_key])
        return self._taken[role]

    def item(self, person: SyntheticPerson, **changes: Any) -> dict[str, Any]:
        """Return one card to check as the desk writes it; changes replace members, None leaves one out."""
        self._visits += 1
        members = {
            "card_number": person.cards[0].hi_card,
            "full_name": person.full_name,
            "birth_date": written_day(person.birth_date),
            "service_date": self.today.isoformat(),
            "encounter_reference": f"KB-{self.run}-{self._visits}",
            **changes,
        }
        return {name: value for name, value in members.items() if value is not None}

    def document(self, person: SyntheticPerson, **changes: Any) -> dict[str, Any]:
        """Return a whole request about one person."""
        acting = changes.pop("acting_person", self.staff)
        return {**self.item(person, **changes), "acting_person": acting.member()}

    def other_name(self, person: SyntheticPerson) -> str:
        """Return the name of somebody else that does not even share the initials."""
        names = (one.full_name for one in self.candidates["valid"])
        return next(name for name in names if match_names(name, person.full_name) is NameMatch.DIFFERENT)

    def numbers(self) -> list[str]:
        """Return every identifier that was sent or could have come back: none may stand in the evidence."""
        found = [self.staff.personal_id]
        for one in self._taken.values():
            found += [one.personal_id, one.si_number, one.full_name]
            found += [card.hi_card_15 for card in one.cards]
        return found


def near_name(name: str) -> str:
    """Return a name misspelt in its last letter, so that the initials still agree."""
    return name[:-1] if name.endswith("h") else name + "h"


def day_before(day: date) -> date:
    """Return the day before, as a slip of the pen has it."""
    return day - timedelta(days=1)


def written_day(day: date) -> str:
    """Return a day as a desk writes it: dd/MM/yyyy."""
    return f"{day:%d/%m/%Y}"


def qr_text(person: SyntheticPerson) -> str:
    """Return the text in the QR code of an ID card: seven parts between bars."""
    sex = "Nam" if person.sex == "male" else "Nữ"
    day = f"{person.birth_date:%d%m%Y}"
    return f"{person.personal_id}||{person.full_name}|{day}|{sex}|Số 1 đường Thử Nghiệm|01012022"
