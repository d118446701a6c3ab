"""The very values that would leave, before anybody decides: shown on request, recorded as one's own look."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from broker.actions.own_reading import AGREEMENT, CHILD_AGREEMENT, LEVEL, OwnReader
from broker.actions.preview_record import AskedRecord
from broker.actions.represent import RepresentedChild
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

    button, label: words of the button, and before each value.
    values: name of a box → what would leave, "" where the database holds nothing; no name where nothing was
    read.
    """

    told: str
    button: str = ""
    label: str = ""
    can_show: bool = False
    sign_in: str = ""
    values: Mapping[str, str] = field(default_factory=dict, repr=False)


class Previewing:
    """What the pages do about values. previews: None for a server that reads no records."""

    def __init__(self, visit: Visit, policies: PolicySet, previews: Previews | None) -> None:
        self._visit = visit
        self._policies = policies
        self._previews = previews

    def offer(
        self,
        session: CitizenSession,
        destination: str,
        words: Words,
        child: RepresentedChild | None = None,
    ) -> PreviewView | None:
        """Return what is said before anything is read: nothing is read, and no look recorded, unasked.

        destination: where a stronger sign-in leads back to. child: whose values they are, as proven for this
        very request; None for one's own. None where no agreement opens them.
        """
        looking = AGREEMENT if child is None else CHILD_AGREEMENT
        if self._previews is None or self._policies.find_agreement(looking) is None:
            return None
        if session.level < LEVEL:
            again = self._visit.addresses.sign_in(destination, words.language, again=True)
            return PreviewView(words("preview_level"), sign_in=again)
        whose = _whose(child)
        return PreviewView(words(f"preview_{whose}why"), words(f"preview_{whose}button"), can_show=True)

    def show(
        self,
        session: CitizenSession,
        asked: Mapping[str, AskedRecord],
        destination: str,
        words: Words,
        child: RepresentedChild | None = None,
    ) -> PreviewView | None:
        """Return the values. asked: what stands before a field's name in that of its box → what is asked.

        child: as for offer. One look for each of them. Where one cannot be had the page stands without, and
        says so.
        """
        offered = self.offer(session, destination, words, child)
        if self._previews is None or offered is None or not offered.can_show:
            return offered
        reader, at, whose = self._reader(session, child), self._visit.clock(), _whose(child)
        values: dict[str, str] = {}
        is_whole = True
        for prefix, one in asked.items():
            found = self._previews.preview(reader, one, at)
            is_whole = is_whole and found is not None
            for name, rows in (found or {}).items():
                values[prefix + name] = self._in_words(name, one, rows, words)
        told = words(f"preview_{whose}shown" if is_whole else f"preview_{whose}away")
        return PreviewView(told, label=words(f"preview_{whose}value"), values=values)

    def _reader(self, session: CitizenSession, child: RepresentedChild | None) -> OwnReader:
        if child is None:
            return self._visit.reader(session)
        return OwnReader(
            citizen_id=session.citizen_id,
            level=session.level,
            authenticated_at=session.authenticated_at,
            personal_id=child.personal_id,
            child_id=child.citizen_id,
        )

    def _in_words(self, name: str, asked: AskedRecord, rows: tuple[Value, ...], words: Words) -> str:
        form = self._policies.tables[asked.agreement_id].permitted[name].form.name
        catalogue = self._policies.catalogue
        told = [released_in_words(name, form, value, catalogue, words) for value in rows]
        return "; ".join(one for one in told if one)


def _whose(child: RepresentedChild | None) -> str:
    """Return which words speak of the values: one's own are spoken of otherwise than a child's."""
    return "" if child is None else "child_"


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
    """Return what of a consent that waits would leave: what is asked, or what who signed first has given.

    Nothing where its agreement is gone.
    """
    terms = consent.terms
    agreement = policies.find_agreement(terms.agreement_id)
    if agreement is None:
        return {}
    asked = AskedRecord(
        agreement_id=terms.agreement_id,
        purpose=terms.purpose,
        organisation_id=consent.organisation_id,
        organisation_kind=agreement.recipient_kind,
        field_names=consent.given_names if consent.state == "pending_cosign" else terms.field_names,
        data_range=consent.readable_range,
    )
    return {"": asked}
