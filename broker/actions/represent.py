"""`represent`: a parent decides for a child under 18; the source proves the relation each time anew."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Protocol

from broker.consent.age import required_roles
from broker.consent.record import Consent, Notice, Signer
from broker.errors import ConsentNotFound, StoreUnavailable
from connectors.base import Child, Families, SourceAnswerRefused, SourceUnavailable
from policies.civil_time import civil_date


class Accounts(Protocol):
    """The accounts of citizens."""

    def account_of(self, personal_id: str) -> str | None:
        """Return the account of a person, opened without a way to sign in where there is none.

        None for one that is closed. Raises StoreUnavailable.
        """
        ...


class Decisions(Protocol):
    """What is decided on requests; `broker.actions.decide_consent.DecideConsent` is one."""

    def find_pending(self, citizen_id: str, at: datetime) -> Sequence[Consent]:
        """Return what waits for decisions about a person."""
        ...

    def decide(
        self, signer: Signer, consent_id: str, given: frozenset[str], notice: Notice, at: datetime
    ) -> Consent:
        """Give the named fields, or refuse by giving none."""
        ...


@dataclass(frozen=True, slots=True)
class RepresentedChild:
    """A child and what waits for its representative. both_sign: the child signs too (7 to 17).

    relation_hash: keyed hash in hex of what the source said of the relation, now.
    """

    citizen_id: str
    full_name: str = field(repr=False)
    birth_date: date
    birth_precision: str
    relation: str
    both_sign: bool
    relation_hash: str
    pending: tuple[Consent, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class RepresentativeSignIn:
    """Who decides: account, level and instant of the sign-in."""

    citizen_id: str
    level: int
    authenticated_at: datetime


@dataclass(frozen=True, slots=True)
class Represent:
    """The verb with its doors.

    personal_id_of: account → personal id, "" for none. keyed_hash: 32 bytes of a text. deadline_seconds: for
    the look-up in the source.
    """

    families: Families
    accounts: Accounts
    decisions: Decisions
    personal_id_of: Callable[[str], str]
    keyed_hash: Callable[[str], bytes]
    deadline_seconds: float

    def children(self, citizen_id: str, at: datetime) -> Sequence[RepresentedChild]:
        """Return the children under 18 of an account's holder, with what waits for the representative.

        Raises StoreUnavailable, also where the source cannot be asked: what cannot be proven is not assumed.
        """
        try:
            found = self.families.find_children(self.personal_id_of(citizen_id), self.deadline_seconds)
        except (SourceUnavailable, SourceAnswerRefused):
            raise StoreUnavailable("the source cannot say whose parent somebody is") from None
        represented = []
        for child in found:
            roles = required_roles(child.birth_date, child.birth_precision, civil_date(at))
            account = self.accounts.account_of(child.personal_id) if "representative" in roles else None
            if account is not None:
                represented.append(self._represented(child, account, "data_subject" in roles, at))
        return represented

    def find_request(
        self, citizen_id: str, consent_id: str, at: datetime
    ) -> tuple[RepresentedChild, Consent] | None:
        """Return a request that waits for the representative's decision; None for anything else."""
        for child in self.children(citizen_id, at):
            for consent in child.pending:
                if consent.consent_id == consent_id:
                    return child, consent
        return None

    def decide(
        self,
        who: RepresentativeSignIn,
        consent_id: str,
        given: frozenset[str],
        notice: Notice,
        at: datetime,
    ) -> Consent:
        """Decide as representative; the relation is proven again for this very decision.

        Raises ConsentNotFound (not one's child, or nothing waits), ConsentTransitionRefused, ConsentMoved,
        StoreUnavailable.
        """
        found = self.find_request(who.citizen_id, consent_id, at)
        if found is None:
            raise ConsentNotFound
        signer = Signer(
            role="representative",
            citizen_id=who.citizen_id,
            level=who.level,
            authenticated_at=who.authenticated_at,
            signed_at=at,
            relation_hash=found[0].relation_hash,
        )
        return self.decisions.decide(signer, consent_id, given, notice, at)

    def _represented(self, child: Child, account: str, both_sign: bool, at: datetime) -> RepresentedChild:
        said = "\x1f".join((child.parent_key, child.relation, child.child_key, child.household_code))
        pending = tuple(
            one for one in self.decisions.find_pending(account, at) if "representative" in one.required_roles
        )
        return RepresentedChild(
            citizen_id=account,
            full_name=child.full_name,
            birth_date=child.birth_date,
            birth_precision=child.birth_precision,
            relation=child.relation,
            both_sign=both_sign,
            relation_hash=self.keyed_hash(f"relation\x1f{said}").hex(),
            pending=pending,
        )
