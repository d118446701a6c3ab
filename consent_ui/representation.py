"""A child's request in words, and the hash of all that is shown of it. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from broker.actions.represent import RepresentedChild
from broker.consent.record import Consent
from consent_ui.asked import RequestedView, content_of, members_of, requested_view
from consent_ui.giving_less import RangeView, Shorter, less_offered
from consent_ui.notices import hash_of_shown
from consent_ui.words import Words
from policies.compile import PolicySet


@dataclass(frozen=True, slots=True, kw_only=True)
class ChildRequestView(RequestedView):
    """One request. may_choose: nobody has signed yet. fingerprint: SHA-256 hex of all that is shown.

    lengths, asked_range: what less may be given; () and None for nothing.
    """

    until: str
    may_choose: bool
    is_signed: bool
    lengths: tuple[Shorter, ...]
    asked_range: RangeView | None
    fingerprint: str

    @property
    def is_unseen(self) -> bool:
        """Whether nobody has looked at it: looking is all that leaves a request requested."""
        return self.may_choose and self.version == 1


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
    less = less_offered(consent, words)
    shown = hash_of_shown("child", {**content_of(asked), **more, **whose, **less.content()}, words)
    return ChildRequestView(
        **members_of(asked), **more, lengths=less.lengths, asked_range=less.asked_range, fingerprint=shown
    )
