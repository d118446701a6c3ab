"""The decision at the authorization endpoint as consents: both are written in one transaction, or neither.

For each detail that was asked a consent is opened and decided, given or refused, as if it had waited in the
inbox; the details in the token carry the consent's id and the hash of what was agreed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Protocol

from broker.actions.consent_doors import People
from broker.actions.consent_writer import ConsentWriter
from broker.consent import life
from broker.consent.change import Change
from broker.consent.codec import terms_document
from broker.consent.record import Actor, Consent, Notice, Signer, Terms
from broker.consent.terms import details_to_terms, terms_to_detail
from broker.consent.writing import ConsentWriting, RequestOpening
from broker.errors import ConsentMoved, ConsentTermsRefused, ConsentTransitionRefused, StoreUnavailable
from broker.evidence.canonical import canonical_bytes
from broker.evidence.recording import EvidenceRow
from broker.oauth.authorization import AuthorizationRefused, Authorizations, Subjects
from broker.oauth.authorization_request import Approval, AuthorizationRequest, Grant, IssuedCode
from broker.oauth.bound_tokens import Details
from broker.oauth.granted import secret_hash
from broker.oauth.narrowing import differs_only_in_choices
from policies.civil_time import civil_date
from policies.compile import PolicySet


class RedirectStore(Protocol):
    """Writes the decision; `broker.storage.consents.PostgresConsents` is one."""

    def write(
        self,
        writings: Sequence[ConsentWriting],
        evidence: Sequence[EvidenceRow],
        *,
        opening: RequestOpening | None = None,
        decided: tuple[str, datetime, str | None] | None = None,
        redirect: tuple[bytes, datetime, Grant | None, IssuedCode | None] | None = None,
    ) -> None:
        """Write all of one action, or nothing. Raises ConsentMoved, StoreUnavailable."""
        ...


@dataclass(frozen=True, slots=True)
class RedirectConsents:
    """What the decision page calls for a request that came by redirect.

    citizen_ref_of: account → the reference under which its requests are found. new_id: fresh UUIDv7.
    """

    authorizations: Authorizations
    store: RedirectStore
    people: People
    policies: PolicySet
    writer: ConsentWriter
    subjects: Subjects
    new_id: Callable[[], str]
    citizen_ref_of: Callable[[str], bytes]

    def find(self, request_ref: bytes, at: datetime) -> AuthorizationRequest | None:
        """Return a request that waits for its decision, or None. Raises StoreUnavailable."""
        return self.authorizations.find(request_ref, at)

    def approve(
        self, request: AuthorizationRequest, approval: Approval, at: datetime, notice: Notice | None = None
    ) -> str:
        """Keep what was given as consents, grant and code, and return the URL with the code.

        notice: what was shown; needed where details are decided. Raises AuthorizationRefused (its reasons,
        not_permitted, and those of ConsentTransitionRefused), StoreUnavailable, also of the source.
        """
        self.authorizations.check(request, approval)
        if not _is_taken_over(approval.details, request.details):
            raise AuthorizationRefused("not_narrower")
        if not request.details:
            return self.authorizations.approve(request, approval, at)
        if notice is None:
            raise AuthorizationRefused("notice_missing")
        signer = Signer(
            role="data_subject",
            citizen_id=approval.citizen_id,
            level=approval.level,
            authenticated_at=approval.authenticated_at,
            signed_at=at,
        )
        request_id = self.new_id()
        given = {detail["agreement_id"]: detail for detail in approval.details}
        decided = self._decided(request, request_id, approval.citizen_id, given, signer, notice, at)
        active = [consent for _, consent in decided if consent.state == "active"]
        if {one.terms.agreement_id for one in active} != given.keys():
            # One of two signatures is missing: a redirect cannot wait for the other person.
            raise AuthorizationRefused("representative_must_sign")
        with_ids = replace(approval, details=tuple(terms_to_detail(one) for one in active))
        prepared = self.authorizations.prepare(request, with_ids, at)
        ends = [one.valid_to_at or at for one in active]
        grant = replace(prepared.grant, expires_at=min([prepared.grant.expires_at, *ends]))
        self._write(request, request_id, approval.citizen_id, decided, at, grant, prepared.code)
        return prepared.location

    def refuse(
        self,
        request: AuthorizationRequest,
        at: datetime,
        citizen_id: str | None = None,
        notice: Notice | None = None,
    ) -> str:
        """Record the refusal and return the URL that says access_denied.

        citizen_id: who refused, None where nobody is signed in. A source or a policy that cannot be asked
        stops no refusal: it is then told to the client and not kept as a consent.
        """
        location = self.authorizations.refusal(request)
        if citizen_id is None or not request.details:
            return self.authorizations.refuse(request, at)
        request_id = self.new_id()
        actor = Actor(kind="data_subject", reference=citizen_id)
        try:
            opened = self._opened(request, request_id, citizen_id, at)
            refused = [(change, life.refuse(change.consent, actor, at, notice)) for change in opened]
        except (ConsentTermsRefused, ConsentTransitionRefused, StoreUnavailable):
            # Of the source: where the broker's own store is away, this refusal is not kept either.
            return self.authorizations.refuse(request, at)
        decided = [(_joined(change, after), after.consent) for change, after in refused]
        self._write(request, request_id, citizen_id, decided, at, None, None)
        return location

    def _decided(
        self,
        request: AuthorizationRequest,
        request_id: str,
        citizen_id: str,
        given: Mapping[str, Mapping[str, Any]],
        signer: Signer,
        notice: Notice,
        at: datetime,
    ) -> list[tuple[Change, Consent]]:
        decided = []
        asked_days = {detail["agreement_id"]: detail["valid_days"] for detail in request.details}
        try:
            for opened in self._opened(request, request_id, citizen_id, at):
                agreement_id = opened.consent.terms.agreement_id
                detail = given.get(agreement_id, {})
                fields, days = frozenset(detail.get("fields", ())), detail.get("valid_days")
                less = days if days != asked_days[agreement_id] else None
                after = life.decide(opened.consent, fields, signer, notice, at, valid_days=less)
                decided.append((_joined(opened, after), after.consent))
        except ConsentTermsRefused:
            raise AuthorizationRefused("not_permitted") from None
        except ConsentTransitionRefused as refused:
            raise AuthorizationRefused(refused.reason) from None
        return decided

    def _opened(
        self, request: AuthorizationRequest, request_id: str, citizen_id: str, at: datetime
    ) -> list[Change]:
        client = request.client
        signing = self.people.signing(citizen_id, at)
        return [
            life.open_request(
                consent_id=self.new_id(),
                request_id=request_id,
                client_id=client.client_id,
                organisation_id=client.organisation_id,
                citizen_id=citizen_id,
                subject=self.subjects.pairwise_subject(client.organisation_id, citizen_id),
                terms=terms,
                at=at,
                expires_at=at + timedelta(hours=1),
                signing=signing,
            )
            for terms in self._terms(request, at)
        ]

    def _terms(self, request: AuthorizationRequest, at: datetime) -> list[Terms]:
        day = civil_date(at)
        return [details_to_terms(detail, self.policies, day) for detail in request.details]

    def _write(
        self,
        request: AuthorizationRequest,
        request_id: str,
        citizen_id: str,
        decided: Sequence[tuple[Change, Consent]],
        at: datetime,
        grant: Grant | None,
        code: IssuedCode | None,
    ) -> None:
        writings: list[ConsentWriting] = []
        evidence: list[EvidenceRow] = []
        for change, _ in decided:
            held_by = None if grant is None or change.consent.state != "active" else grant.grant_id
            change = replace(change, consent=replace(change.consent, grant_id=held_by))
            written, recorded = self.writer.compose(change, None, at)
            writings += written
            evidence += recorded
        items = tuple(consent.terms for _, consent in decided)
        opening = RequestOpening(
            request_id=request_id,
            client_id=request.client.client_id,
            citizen_ref=self.citizen_ref_of(citizen_id),
            channel="redirect",
            request_hash=secret_hash(canonical_bytes({"items": [_plain(one) for one in items]}).decode()),
            auth_request_hash=None,
            items=items,
            scope=" ".join(request.scopes),
            requested_at=at,
            expires_at=at + timedelta(hours=1),
        )
        try:
            self.store.write(
                writings,
                evidence,
                opening=opening,
                decided=(request_id, at, None if grant is None else grant.grant_id),
                redirect=(request.request_ref, at, grant, code),
            )
        except ConsentMoved:
            raise AuthorizationRefused("request_unknown") from None


def _is_taken_over(given: Details, asked: Details) -> bool:
    """Whether all that was given will stand in the consents: fewer fields and days than asked, each once."""
    by_agreement = {detail["agreement_id"]: detail for detail in asked}
    names = [detail["agreement_id"] for detail in given]
    return len(set(names)) == len(names) and all(
        differs_only_in_choices(detail, by_agreement[detail["agreement_id"]]) for detail in given
    )


def _joined(opened: Change, after: Change) -> Change:
    """Return opening and decision as one change: what was asked and what came of it stand in its events."""
    return replace(after, events=(*opened.events, *after.events))


def _plain(terms: Terms) -> Any:
    return terms_document(terms)
