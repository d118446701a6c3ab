"""A child's request in words, and the hash of all that is shown of it. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from broker.actions.represent import RepresentedChild
from broker.consent.record import Consent
from consent_ui.asked import RequestedView, content_of, members_of, requested_view
from consent_ui.notices import hash_of_shown
from consent_ui.words import Words
from policies.compile import PolicySet


@dataclass(frozen=True, slots=True, kw_only=True)
class ChildRequestView(RequestedView):
    """One request. may_choose: nobody has signed yet. fingerprint: SHA-256 hex of all that is shown."""

    until: str
    may_choose: bool
    is_signed: bool
    fingerprint: str


def request_view(
    child: RepresentedChild, consent: Consent, names: tuple[str, str], policies: PolicySet, words: Words
) -> ChildRequestView:
    """Return a request in words. names: of the organisation, Vietnamese and English."""
    asked = requested_view(consent, names, policies, words)
    more: dict[str, Any] = {
        "until": words.moment(consent.request_expires_at),
        "may_choose": consent.state == "requested",
        "is_signed": any(one.role == "representative" for one in consent.signers),
    }
    whose = {"child": child.citizen_id, "name": child.full_name}
    shown = hash_of_shown("child", {**content_of(asked), **more, **whose}, words)
    return ChildRequestView(**members_of(asked), **more, fingerprint=shown)
