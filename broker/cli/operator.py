"""Who runs a command: the person whose keyed hash stands in the evidence of what the command does."""

from __future__ import annotations

import os
import pwd
from typing import Final

import click

from broker.evidence.acting import OPERATORS, Acting
from broker.evidence.pseudonyms import KeyedPseudonyms
from broker.settings import Settings, companion

VARIABLE: Final = "BROKER_OPERATOR"
NAME_MAX: Final = 200


def operator_name() -> str:
    """Return who acts: `broker --operator`, BROKER_OPERATOR, or whoever is logged in to the machine.

    Under sudo that is who called it. A user without a name is known by the number alone.
    """
    context = click.get_current_context(silent=True)
    given = None if context is None else context.find_root().params.get("operator")
    for name in (given, companion(VARIABLE), os.environ.get("SUDO_USER")):
        if name and name.strip():
            return str(name).strip()[:NAME_MAX]
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return f"uid:{os.getuid()}"


def operator_acting(settings: Settings, name: str | None = None) -> Acting:
    """Return the operator as evidence knows them. name: what a command was told, None for `operator_name`."""
    pseudonyms = KeyedPseudonyms(settings.pseudonym_key_file.reveal())
    who = pseudonyms.staff_ref(OPERATORS, operator_name() if name is None else name)
    return Acting(actor="operator", acting_person=who.hex())
