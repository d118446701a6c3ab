"""`broker evidence disclose-later`: a look that the person does not see yet is disclosed on a later day."""

from __future__ import annotations

from datetime import datetime
from typing import Final
from uuid import UUID

import click

from broker.actions.extend_hiding import ExtendHiding, HidingRefused
from broker.cli.operator import operator_acting
from broker.cli.output import CommandRefused, refusals, show
from broker.cli.session import open_session
from broker.evidence.shapes import is_code
from broker.storage.hidden_reads import PostgresHiddenReads

NOT_HIDDEN: Final = 4
NOT_EXTENDED: Final = 5


@click.command(
    epilog="Exit codes: 0 done, 1 failed, 2 wrong usage, 4 no look that is hidden, 5 not on that day. "
    "Example: broker evidence disclose-later 0193f0a0-0000-7000-8000-000000000002 --until 2027-03-31 "
    "--ground some_law_12 --operator 'Lê Thị C'",
)
@click.argument("reference", type=click.UUID)
@click.option(
    "--until", type=click.DateTime(["%Y-%m-%d"]), required=True, help="First day on which the person sees it."
)
@click.option("--ground", required=True, help="Code of the article by which it stays hidden.")
@click.option("--operator", required=True, help="Who does it; stands in the entry as a keyed hash.")
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
def disclose_later_command(
    reference: UUID, until: datetime, ground: str, operator: str, as_json: bool
) -> None:
    """Let a person see one hidden look (REFERENCE) on a later day; an act that is itself evidence.

    Only while it is hidden, and no later than the agreement's revision lets any extension reach. As the owner
    role (BROKER_OWNER_DATABASE_URL): the server can hide nothing for longer.
    """
    if not is_code(ground):
        raise click.UsageError("--ground: a code, such as some_law_12")
    if not operator.strip():
        raise click.UsageError("--operator: a name is needed")
    with refusals(), open_session() as session, session.open_owner() as owner:
        acts = session.acts.by(operator_acting(session.settings, operator.strip()))
        verb = ExtendHiding(PostgresHiddenReads(owner), acts.drafts)
        try:
            done = verb.extend(str(reference), until.date(), ground)
        except HidingRefused as fault:
            raise _refused(fault) from None
    show([{"reference": str(reference), "disclosed_on": until.date(), "evidence_reference": done}], as_json)


def _refused(fault: HidingRefused) -> CommandRefused:
    look = fault.look
    if look is None:
        return CommandRefused("no agreement hides this entry from anybody", NOT_HIDDEN)
    if fault.fault == "already_disclosed":
        return CommandRefused(
            f"the person sees it since {look.disclosed_on}: nothing is hidden again", NOT_HIDDEN
        )
    told = {
        "not_later": f"the day must lie after {look.disclosed_on}",
        "beyond_maximum": f"no extension reaches beyond {look.last_day}",
        "moved_meanwhile": "somebody else moved the day meanwhile: look again",
    }
    return CommandRefused(told.get(fault.fault, fault.fault), NOT_EXTENDED)
