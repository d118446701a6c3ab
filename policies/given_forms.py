"""Of what a decision permits, only what is still in the form that a person was shown when consenting."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from policies.by_identity import ByIdentity
from policies.model import Decision, Withheld
from policies.shape import shape_of

FORM_NOT_CONSENTED: Final = "form_not_consented"


def within_given_forms(decision: Decision, given: Mapping[str, str]) -> Decision:
    """Return a decision without the fields whose form is no longer the one that was consented to.

    given: given field → `policies.shape.shape_of` as it was asked for. An agreement may change after the
    consent: a field that would leave in another form than the person was shown, in finer bands, or of more
    months, stays. Nothing left is a refusal.
    """
    changed = [name for name, shape in _shapes(decision).items() if given.get(name) != shape]
    if not changed:
        return decision
    kept = tuple(one for one in decision.released if one.field not in changed)
    withheld = (*decision.withheld, *(Withheld(name, FORM_NOT_CONSENTED) for name in changed))
    if not kept:
        return replace(decision, permitted=False, reason=FORM_NOT_CONSENTED, released=(), withheld=withheld)
    return replace(decision, released=kept, withheld=withheld)


def _shapes_of(decision: Decision) -> dict[str, str]:
    return {one.field: shape_of(one, decision.row_scopes) for one in decision.released}


# The policies decide with few decisions, and every release asks.
_shapes: Final = ByIdentity(_shapes_of)
