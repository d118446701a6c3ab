"""What happens in the scenes of the demo: each function plays one and returns what was exchanged."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from http.client import HTTPException
from time import monotonic, sleep
from typing import Any, Final

from broker.cli.caller import Caller, ClientKey, TokenRefused
from broker.cli.demo_borrowing import Borrowing
from broker.cli.demo_cast import (
    CaseMissing,
    Cast,
    Staff,
    day_before,
    invented_personal_id,
    near_name,
    qr_text,
    written_day,
)
from broker.cli.demo_desk import BATCH, CHECK, Desk
from broker.cli.demo_ministry import Ministry
from broker.cli.demo_stage import Stage
from broker.cli.demo_steps import Exchange, Played, Step, differences
from broker.cli.output import CommandRefused
from connectors.national_insurance.cases import SyntheticPerson

RECOVERY_SECONDS: Final = 15.0
NOBODYS_NUMBER: Final = "0000000000"
FOREIGN_SCOPE: Final = "export_statistics"
RECEIPT_MEDIA_TYPE: Final = "application/jwt"


@dataclass(slots=True)
class Play:
    """The stage, the cast, the desks of hospital and bank, a thief's key, a loan, and who asks for tables.

    early_token: the hospital's access token from before its suspension.
    """

    stage: Stage
    cast: Cast
    desk: Desk
    bank: Desk
    thief: ClientKey
    borrowing: Borrowing
    ministry: Ministry
    early_token: str = ""

    def perform(self, step: Step) -> Played:
        """Play one step, find the evidence it left, and compare it with what was expected.

        A failure on the way is a difference, not an exception.
        """
        try:
            exchanges = step.act(self)
        except (OSError, HTTPException, TokenRefused, CaseMissing, CommandRefused) as fault:
            failure = Exchange({}, 0, {"failure": type(fault).__name__})
            return Played(step, failure, (), (f"no answer: {type(fault).__name__}",))
        last = exchanges[-1]
        faults = differences(
            step.expected, last, self.stage.evidence(last.references), self.stage.permitted_fields
        )
        earlier = {one.status for one in exchanges[:-1]} - {step.expected.status}
        if earlier and not step.is_persistent:
            faults = (*faults, f"earlier answers of the step: {sorted(earlier)}")
        entries = self.stage.evidence([one for exchange in exchanges for one in exchange.references])
        return Played(step, last, tuple(entries), faults)

    def ask(self, person: SyntheticPerson, **changes: Any) -> Exchange:
        """Ask about one person at the hospital's desk."""
        return self.desk.ask(CHECK, self.cast.document(person, **changes))

    def close(self) -> None:
        """Close the desks' connections."""
        self.desk.caller.close()
        self.bank.caller.close()
        self.borrowing.close()
        self.ministry.close()


Act = Callable[[Play], Sequence[Exchange]]


def check(role: str, case: str, change: Callable[[SyntheticPerson], dict[str, Any]] | None = None) -> Act:
    """Return an act: ask about a person of a case, with members changed as `change` says."""

    def act(play: Play) -> Sequence[Exchange]:
        person = play.cast.person(role, case)
        return [play.ask(person, **(change(person) if change else {}))]

    return act


def by_personal_id(person: SyntheticPerson) -> dict[str, Any]:
    """Look up by the 12-digit personal id instead of a card."""
    return {"card_number": None, "personal_id": person.personal_id}


def by_qr(person: SyntheticPerson) -> dict[str, Any]:
    """Send what the reader took from the ID card, as it is."""
    return {"card_number": qr_text(person)}


def by_long_card(person: SyntheticPerson) -> dict[str, Any]:
    """Use the first card's number in the form of 15 characters."""
    return {"card_number": person.cards[0].hi_card_15}


def misspelt(person: SyntheticPerson) -> dict[str, Any]:
    """Misspell the name in its last letter."""
    return {"full_name": near_name(person.full_name)}


def a_day_off(person: SyntheticPerson) -> dict[str, Any]:
    """Give the day before the birth date."""
    return {"birth_date": written_day(day_before(person.birth_date))}


def nobodys_card(_: SyntheticPerson) -> dict[str, Any]:
    """Use a number that nobody has."""
    return {"card_number": NOBODYS_NUMBER}


def eleven_digits(_: SyntheticPerson) -> dict[str, Any]:
    """Leave a digit out of a personal id."""
    return {"card_number": "0" * 11}


def somebody_else(play: Play) -> Sequence[Exchange]:
    """Ask with a name that belongs to somebody else."""
    person = play.cast.person("name", "valid")
    return [play.ask(person, full_name=play.cast.other_name(person))]


def unknown_staff(play: Play) -> Sequence[Exchange]:
    """Ask in the name of a person whom the hospital never registered."""
    stranger = Staff("Lê Người Lạ", invented_personal_id())
    return [play.ask(play.cast.person("staff", "valid"), acting_person=stranger)]


def misnamed_staff(play: Play) -> Sequence[Exchange]:
    """Ask with a registered number under another name."""
    lent = Staff("Phạm Mượn Số", play.cast.staff.personal_id)
    return [play.ask(play.cast.person("staff", "valid"), acting_person=lent)]


def batch(play: Play) -> Sequence[Exchange]:
    """Check tomorrow's appointments in one go: one valid, one expired, one unknown, one misspelt."""
    cast = play.cast
    well, late = cast.person("batch", "valid"), cast.person("batch, late", "expired")
    items = [
        cast.item(well),
        cast.item(late),
        cast.item(well, **nobodys_card(well)),
        cast.item(well, **misspelt(well)),
    ]
    return [play.desk.ask(BATCH, {"acting_person": cast.staff.member(), "items": items})]


def foreign_scope(play: Play) -> Sequence[Exchange]:
    """Ask for a token with a scope that the client is not registered for."""
    return [play.desk.ask_token(FOREIGN_SCOPE)]


def bank_asks(play: Play) -> Sequence[Exchange]:
    """Let a bank ask, whose client a clerk put under the hospitals' agreement by mistake."""
    return [play.bank.ask(CHECK, play.cast.document(play.cast.person("bank", "valid")))]


def receipt(play: Play) -> Sequence[Exchange]:
    """Ask for the answer as a signed receipt."""
    document = play.cast.document(play.cast.person("receipt", "valid"))
    return [play.desk.ask(CHECK, document, accept=RECEIPT_MEDIA_TYPE)]


def replay(play: Play) -> Sequence[Exchange]:
    """Send the proof of the request before once more."""
    document = play.cast.document(play.cast.person("receipt", "valid"))
    return [play.desk.ask(CHECK, document, proof=play.desk.caller.last_proof)]


def theft(play: Play) -> Sequence[Exchange]:
    """Use the hospital's token with a key of one's own."""
    caller = play.desk.caller
    thief = Desk(Caller(caller.issuer, caller.client_id, play.thief, caller.scope), play.desk.lang)
    try:
        document = play.cast.document(play.cast.person("receipt", "valid"))
        return [thief.ask(CHECK, document, token=caller.token())]
    finally:
        thief.caller.close()


def use_up_the_day(play: Play) -> Sequence[Exchange]:
    """Ask about one person as often as the agreement allows on one day."""
    person = play.cast.person("sought", "valid")
    left = max(1, play.stage.data_subject_limit - play.cast.asked[person.person_key])
    return [play.ask(person) for _ in range(left)]


def once_too_often(play: Play) -> Sequence[Exchange]:
    """Ask about the same person again, until it is refused (at midnight a new day begins)."""
    person = play.cast.person("sought", "valid")
    exchanges = [play.ask(person)]
    while exchanges[-1].status == 200 and len(exchanges) <= play.stage.data_subject_limit:
        exchanges.append(play.ask(person))
    return exchanges


def suspended(play: Play) -> Sequence[Exchange]:
    """Suspend the client, and ask with the token it already has."""
    play.early_token = play.desk.caller.token()
    play.stage.suspend(play.desk.caller.client_id)
    return [play.ask(play.cast.person("suspension", "valid"))]


def early_token(play: Play) -> Sequence[Exchange]:
    """Resume the client, and ask with the token from before the suspension."""
    play.stage.resume(play.desk.caller.client_id)
    document = play.cast.document(play.cast.person("suspension", "valid"))
    return [play.desk.ask(CHECK, document, token=play.early_token)]


def resumed(play: Play) -> Sequence[Exchange]:
    """Get a new token and ask."""
    play.desk.caller.forget_token()
    return [play.ask(play.cast.person("suspension", "valid"))]


PROBE_MEMORY_SECONDS: Final = 5.0
"""A worker tells what it found for a second; each of them must have looked again by then."""


def outage(play: Play) -> Sequence[Exchange]:
    """Turn the insurance database off, and ask."""
    play.stage.turn_source_off()
    return [play.ask(play.cast.person("outage", "valid"))]


def readiness(play: Play) -> Sequence[Exchange]:
    """Read what the broker says of itself while the source is away."""
    until = monotonic() + PROBE_MEMORY_SECONDS
    while True:
        found = play.desk.read("/readyz")
        is_told = isinstance(found.response, dict) and found.response.get("source") == "unavailable"
        if is_told or monotonic() > until:
            break
        sleep(0.2)
    return [found if is_told else replace(found, faults=("the outage of the source is not told",))]


def recovery(play: Play) -> Sequence[Exchange]:
    """Turn the insurance database on, and ask until it answers."""
    play.stage.turn_source_on()
    until = monotonic() + RECOVERY_SECONDS
    person = play.cast.person("outage", "valid")
    exchanges = [play.ask(person)]
    while exchanges[-1].status == 503 and monotonic() < until:
        sleep(0.5)
        exchanges.append(play.ask(person))
    return exchanges
