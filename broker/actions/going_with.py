"""What goes with a consent that is withdrawn: all that the same recipient reads for the same purpose."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from broker.actions.consent_doors import ConsentStore
from broker.consent import life
from broker.consent.change import Change
from broker.consent.record import Actor, Consent
from broker.consent.writing import HeldConsent
from broker.errors import ConsentTransitionRefused


def going_with(
    store: ConsentStore, actor: Actor, consent: Consent, at: datetime
) -> Sequence[tuple[HeldConsent, Change]]:
    """Return the other consents that actor withdraws with one, each with its change.

    Raises StoreUnavailable.
    """
    going = []
    for held in store.find_living(consent.citizen_id, consent.organisation_id, consent.terms.purpose):
        if held.consent.consent_id == consent.consent_id:
            continue
        try:
            going.append((held, life.withdraw(held.consent, actor, at)))
        except ConsentTransitionRefused:
            # Time has ended it, or this representative has no say in it any more.
            continue
    return going
