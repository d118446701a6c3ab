"""A child's request in words, and the hash of all that is shown of it. Pure."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from broker.actions.represent import RepresentedChild
from broker.consent.record import Consent
from consent_ui.presenting import form_in_words
from consent_ui.words import Words
from policies.compile import PolicySet


@dataclass(frozen=True, slots=True)
class AskedView:
    """One field asked for. is_given: chosen by whoever signed before."""

    name: str
    label: str
    form: str
    is_required: bool
    is_sensitive: bool
    is_given: bool


@dataclass(frozen=True, slots=True)
class ChildRequestView:
    """One request. may_choose: nobody has signed yet. fingerprint: SHA-256 hex of all that is shown."""

    consent_id: str
    organisation: str
    purpose: str
    legal_basis: str
    message: str
    until: str
    valid: str
    kept: str
    fields: tuple[AskedView, ...]
    may_choose: bool
    is_signed: bool
    fingerprint: str


def request_view(
    child: RepresentedChild, consent: Consent, names: tuple[str, str], policies: PolicySet, words: Words
) -> ChildRequestView:
    """Return a request in words. names: of the organisation, Vietnamese and English."""
    terms = consent.terms
    purpose = policies.registers.purposes.get(terms.purpose)
    agreement = policies.find_agreement(terms.agreement_id)
    basis = None if agreement is None else policies.registers.legal_bases.get(agreement.legal_basis)
    fields = fields_of(consent, policies, words)
    shown = {
        "organisation": names[words.index] or names[1 - words.index] or consent.organisation_id,
        "purpose": terms.purpose if purpose is None else (purpose.label_vi, purpose.label_en)[words.index],
        "legal_basis": "" if basis is None else (basis.label_vi, basis.label_en)[words.index],
        "message": dict(terms.message).get(words.language, ""),
        "until": words.moment(consent.request_expires_at),
        "valid": words.days(consent.readable_days),
        "kept": words.days(terms.retention_days),
    }
    told = [consent.consent_id, consent.version, child.citizen_id, child.full_name, *sorted(shown.items())]
    told += [
        (one.name, one.label, one.form, one.is_required, one.is_sensitive, one.is_given) for one in fields
    ]
    return ChildRequestView(
        consent_id=consent.consent_id,
        fields=fields,
        may_choose=consent.state == "requested",
        is_signed=any(one.role == "representative" for one in consent.signers),
        fingerprint=hashlib.sha256(repr((words.language, told)).encode()).hexdigest(),
        **shown,
    )


def fields_of(consent: Consent, policies: PolicySet, words: Words) -> tuple[AskedView, ...]:
    """Return the fields that a consent speaks of, in words, in the order of the catalogue."""
    table, catalogue = policies.tables.get(consent.terms.agreement_id), policies.catalogue
    views = []
    for asked in consent.terms.fields:
        field = catalogue.fields.get(asked.name)
        release = None if table is None else table.permitted.get(asked.name)
        told = asked.form
        if table is not None and release is not None and release.form.name == asked.form:
            told = form_in_words(release, table, words)
        views.append(
            AskedView(
                name=asked.name,
                label=asked.name if field is None else (field.label_vi, field.label_en)[words.index],
                form=told,
                is_required=asked.is_required,
                is_sensitive=asked.is_sensitive,
                is_given=asked.name in consent.given_names,
            )
        )
    return tuple(views)
