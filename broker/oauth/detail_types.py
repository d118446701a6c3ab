"""The types of authorization_details (RFC 9396) and what they do at a resource: they narrow the token."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from broker.oauth.scopes import EXPORT_STATISTICS, SHARE_RECORD, VERIFY_ENTITLEMENT

INSURANCE_RECORD: Final = "insurance_record"
ENTITLEMENT_CHECK: Final = "entitlement_check"
STATISTICS_EXPORT: Final = "statistics_export"

SCOPE_OF: Final[Mapping[str, str]] = {
    INSURANCE_RECORD: SHARE_RECORD,
    ENTITLEMENT_CHECK: VERIFY_ENTITLEMENT,
    STATISTICS_EXPORT: EXPORT_STATISTICS,
}
"""Type → the scope whose door it narrows. A scope is the action-id of the policies."""


def details_for(
    action: str, details: Sequence[Mapping[str, Any]], lookup_key: str
) -> Sequence[Mapping[str, Any]] | None:
    """Return the details under which an action may look somebody up by lookup_key.

    details: what the token was narrowed to. Empty details narrow nothing and give an empty answer; None
    means that the token was narrowed to something else.
    """
    if not details:
        return ()
    fitting = [
        detail
        for detail in details
        if SCOPE_OF.get(detail.get("type", "")) == action
        and lookup_key in detail.get("lookup_keys", [lookup_key])
    ]
    return fitting or None
