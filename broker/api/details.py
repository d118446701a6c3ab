"""authorization_details held against the agreements: what joins their reader with the terms of consents."""

from __future__ import annotations

from broker.consent.terms import details_to_terms
from broker.oauth.authorization_details import DetailReader
from policies.compile import PolicySet


def detail_reader(policies: PolicySet, issuer: str) -> DetailReader:
    """Return what reads authorization_details, bounded by the agreements. issuer: URL of this broker."""
    return DetailReader(policies, issuer, lambda detail, on_date: details_to_terms(detail, policies, on_date))
