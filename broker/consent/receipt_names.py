"""The names that a receipt tells: who, for what, on which basis, which fields. From the policies."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, Protocol

from broker.consent.record import AskedField, Consent
from policies.compile import PolicySet
from policies.forms import FORMS
from policies.model import Organisation
from policies.vocabulary import DPV, Label

JURISDICTION: Final = "https://w3id.org/dpv/loc#VN"


@dataclass(frozen=True, slots=True, kw_only=True)
class Party:
    """An organisation in a receipt. contact: how to reach it, in words. What is not told is ""."""

    party_id: str
    name: Label
    contact: str
    address: str = ""
    email: str = ""
    phone: str = ""


@dataclass(frozen=True, slots=True)
class FieldNames:
    """What a field and the form that it leaves in are called."""

    label: Label
    form: Label


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceiptNames:
    """All that a receipt says in words about one consent.

    issuer: URL of this broker. *_term: IRIs of the Data Privacy Vocabulary 2.x. storage: the agreement's
    words on where the recipient keeps what it got. risk_assessment: number of the one that was made.
    """

    issuer: str
    owner: Party
    recipient: Party
    agreement: Label
    purpose: Label
    purpose_terms: tuple[str, ...]
    legal_basis: Label
    legal_basis_term: str
    storage: str
    risk_assessment: str
    fields: Mapping[str, FieldNames]

    @property
    def consents_address(self) -> str:
        """URL of the page where the citizen sees and withdraws consents."""
        return f"{self.issuer}/citizen/consents"

    @property
    def notice_address(self) -> str:
        """URL of the public page that says what a receipt is, and what rights one has."""
        return f"{self.issuer}/receipts/check"


class ReceiptNaming(Protocol):
    """Knows the names for a consent."""

    def names_of(self, consent: Consent) -> ReceiptNames:
        """Return them; raises StoreUnavailable where they are looked up."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyNames:
    """Takes the names from the policies that are loaded.

    find_recipient: consent → the recipient's name in both languages. find_form: agreement and field → what
    the form is called with all that it is given, as the pages say it; the form's plain name where it is None.
    owner_*: how the data owner is reached, owner_id for an agreement that is gone. A receipt must be possible
    for every consent there ever was: where an agreement, a purpose or a field is no longer in the policies,
    its code stands for its name.
    """

    policies: PolicySet
    issuer: str
    find_recipient: Callable[[Consent], Label]
    owner_id: str
    owner_address: str = ""
    owner_email: str = ""
    owner_phone: str = ""
    find_form: Callable[[str, AskedField], Label] | None = None

    def names_of(self, consent: Consent) -> ReceiptNames:
        """Return the names for a consent. Raises StoreUnavailable as find_recipient does."""
        terms, registers = consent.terms, self.policies.registers
        agreement = self.policies.find_agreement(terms.agreement_id)
        purpose = registers.purposes.get(terms.purpose)
        basis = registers.legal_bases["CONSENT"]
        owned_by = Organisation(self.owner_id, self.owner_id) if agreement is None else agreement.data_owner
        contact = owned_by.name if agreement is None else agreement.complaint_contact
        owner = Party(
            party_id=owned_by.id,
            name=(owned_by.name, owned_by.name),
            contact=contact,
            address=self.owner_address,
            email=self.owner_email,
            phone=self.owner_phone,
        )
        return ReceiptNames(
            issuer=self.issuer,
            owner=owner,
            recipient=Party(
                party_id=consent.organisation_id,
                name=self.find_recipient(consent),
                # Every recipient answers through the data owner, who holds the register of recipients.
                contact=contact,
            ),
            agreement=(terms.agreement_id,) * 2
            if agreement is None
            else (agreement.title_vi, agreement.title_en),
            purpose=(terms.purpose,) * 2 if purpose is None else (purpose.label_vi, purpose.label_en),
            purpose_terms=(f"{DPV}Purpose",) if purpose is None else purpose.dpv,
            legal_basis=(basis.label_vi, basis.label_en),
            legal_basis_term=basis.dpv,
            storage="" if agreement is None else dict(agreement.items).get("storage", ""),
            risk_assessment="" if agreement is None else agreement.risk_assessment,
            fields={field.name: self._field(terms.agreement_id, field) for field in terms.fields},
        )

    def _field(self, agreement_id: str, field: AskedField) -> FieldNames:
        definition = self.policies.catalogue.fields.get(field.name)
        label = (field.name,) * 2 if definition is None else (definition.label_vi, definition.label_en)
        find_form = self.find_form or _plain_form
        return FieldNames(label, find_form(agreement_id, field))


def _plain_form(_agreement_id: str, field: AskedField) -> Label:
    kind = FORMS.get(field.form)
    return (field.form,) * 2 if kind is None else (kind.label_vi, kind.label_en)
