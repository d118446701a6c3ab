"""The very values that would leave, before anybody decides: shown on request, recorded as one's own look."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from broker.actions.own_reading import LEVEL, OwnReader
from broker.actions.preview_record import AskedRecord
from broker.consent.record import Consent
from broker.consent.terms import asked_of
from broker.oauth.authorization_request import AuthorizationRequest
from broker.oauth.citizens import CitizenSession
from consent_ui.form_words import released_in_words
from consent_ui.presenting import field_name
from consent_ui.visit import Visit
from consent_ui.words import Words
from policies.compile import PolicySet
from policies.model import Value


class Previews(Protocol):
    """Reads what would leave; `broker.actions.preview_record.PreviewRecord` does."""

    def preview(
        self, reader: OwnReader, asked: AskedRecord, at: datetime
    ) -> Mapping[str, tuple[Value, ...]] | None:
        """Return field → values in the form that leaves, recorded; None where nothing can be shown now."""
        ...


@dataclass(frozen=True, slots=True)
class PreviewView:
    """What a page says of the values. told: in words. can_show: there is a button. sign_in: path, or "".

    values: name of a box → what would leave, "" where the database holds nothing; no name where nothing was
    read.
    """

    told: str
    can_show: bool = False
    sign_in: str = ""
    values: Mapping[str, str] = field(default_factory=dict, repr=False)


class Previewing:
    """What the pages do about values. previews: None for a server that reads no records."""

    def __init__(self, visit: Visit, policies: PolicySet, previews: Previews | None) -> None:
        self._visit = visit
        self._policies = policies
        self._previews = previews

    def offer(self, session: CitizenSession, destination: str, words: Words) -> PreviewView | None:
        """Return what is said before anything is read: nothing is read, and no look recorded, unasked.

        destination: where a stronger sign-in leads back to.
        """
        if self._previews is None:
            return None
        if session.level < LEVEL:
            again = self._visit.addresses.sign_in(destination, words.language, again=True)
            return PreviewView(words("preview_level"), sign_in=again)
        return PreviewView(words("preview_why"), can_show=True)

    def show(
        self, session: CitizenSession, asked: Mapping[str, AskedRecord], destination: str, words: Words
    ) -> PreviewView | None:
        """Return the values. asked: what stands before a field's name in that of its box → what is asked.

        One look for each of them. Where one cannot be had the page stands without, and says so.
        """
        if self._previews is None or session.level < LEVEL:
            return self.offer(session, destination, words)
        reader, at = self._visit.reader(session), self._visit.clock()
        values: dict[str, str] = {}
        is_whole = True
        for prefix, one in asked.items():
            found = self._previews.preview(reader, one, at)
            is_whole = is_whole and found is not None
            for name, rows in (found or {}).items():
                values[prefix + name] = self._in_words(name, one, rows, words)
        return PreviewView(words("preview_shown" if is_whole else "preview_away"), values=values)

    def _in_words(self, name: str, asked: AskedRecord, rows: tuple[Value, ...], words: Words) -> str:
        form = self._policies.tables[asked.agreement_id].permitted[name].form.name
        catalogue = self._policies.catalogue
        told = [released_in_words(name, form, value, catalogue, words) for value in rows]
        return "; ".join(one for one in told if one)


def asked_by_redirect(request: AuthorizationRequest) -> dict[str, AskedRecord]:
    """Return what each detail of a request that can be shown asks for."""
    return {
        field_name(position, ""): AskedRecord(
            agreement_id=detail["agreement_id"],
            purpose=detail["purpose"],
            organisation_id=request.client.organisation_id,
            organisation_kind=request.client.organisation_kind,
            field_names=frozenset(detail["fields"]),
            data_range=asked_of(detail).data_range,
        )
        for position, detail in enumerate(request.details)
    }


def asked_in_inbox(consent: Consent, policies: PolicySet) -> dict[str, AskedRecord]:
    """Return what a consent that waits asks for; nothing where its agreement is gone."""
    terms = consent.terms
    agreement = policies.find_agreement(terms.agreement_id)
    if agreement is None:
        return {}
    asked = AskedRecord(
        agreement_id=terms.agreement_id,
        purpose=terms.purpose,
        organisation_id=consent.organisation_id,
        organisation_kind=agreement.recipient_kind,
        field_names=terms.field_names,
        data_range=terms.data_range,
    )
    return {"": asked}
