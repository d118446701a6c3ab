"""What one consent asks for, in words: who, what for, on which terms, which fields in which form. Pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from broker.consent.record import AskedField, Consent
from consent_ui.form_words import form_in_words, form_name
from consent_ui.terms_words import shown_terms, term_rows, why_of
from consent_ui.words import LANGUAGES, Words
from policies.compile import PolicySet
from policies.vocabulary import Label


@dataclass(frozen=True, slots=True)
class AskedView:
    """One field asked for. why: as the agreement says. is_given: chosen by whoever signed before."""

    name: str
    label: str
    form: str
    why: str
    is_required: bool
    is_sensitive: bool
    is_given: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestedView:
    """One consent as everybody reads it who decides on it. terms: label and words of each row."""

    consent_id: str
    version: int
    organisation: str
    purpose: str
    message: str
    terms: tuple[tuple[str, str], ...]
    fields: tuple[AskedView, ...]


def requested_view(
    consent: Consent, names: tuple[str, str], policies: PolicySet, words: Words
) -> RequestedView:
    """Return what a consent asks for. names: of the organisation, Vietnamese and English."""
    asked, index = consent.terms, words.index
    purpose = policies.registers.purposes.get(asked.purpose)
    organisation = names[index] or names[1 - index] or consent.organisation_id
    table = policies.tables.get(asked.agreement_id)
    return RequestedView(
        consent_id=consent.consent_id,
        version=consent.version,
        organisation=organisation,
        purpose=asked.purpose if purpose is None else (purpose.label_vi, purpose.label_en)[index],
        message=dict(asked.message).get(words.language, ""),
        terms=term_rows(shown_terms(consent), table, organisation, policies, words),
        fields=fields_of(consent, policies, words),
    )


def members_of(view: RequestedView) -> dict[str, Any]:
    """Return the members of a view, for one that says more."""
    return {name: getattr(view, name) for name in RequestedView.__dataclass_fields__}


def content_of(view: RequestedView) -> dict[str, Any]:
    """Return all that a view says, as a value that can be hashed."""
    return asdict(view)


def fields_of(consent: Consent, policies: PolicySet, words: Words) -> tuple[AskedView, ...]:
    """Return the fields that a consent speaks of, in words, in the order of the catalogue."""
    agreement_id, catalogue = consent.terms.agreement_id, policies.catalogue
    table = policies.tables.get(agreement_id)
    views = []
    for asked in consent.terms.fields:
        field = catalogue.fields.get(asked.name)
        views.append(
            AskedView(
                name=asked.name,
                label=asked.name if field is None else (field.label_vi, field.label_en)[words.index],
                form=asked_form(agreement_id, asked, policies, words),
                why=why_of(asked.name, table, words),
                is_required=asked.is_required,
                is_sensitive=asked.is_sensitive,
                is_given=asked.name in consent.given_names,
            )
        )
    return tuple(views)


def asked_form(agreement_id: str, asked: AskedField, policies: PolicySet, words: Words) -> str:
    """Return in which form a field that a consent names leaves, with all that the agreement gives the form.

    The form's plain name where the agreement is gone or lets the field out in another form.
    """
    table = policies.tables.get(agreement_id)
    release = None if table is None else table.permitted.get(asked.name)
    if table is None or release is None or release.form.name != asked.form:
        return form_name(asked.form, words)
    return form_in_words(release, table, policies.catalogue, words)


def form_labels(policies: PolicySet) -> Callable[[str, AskedField], Label]:
    """Return what names a form in both languages, for receipts: they say what the pages said."""

    def label(agreement_id: str, asked: AskedField) -> Label:
        vietnamese, english = (asked_form(agreement_id, asked, policies, Words(one)) for one in LANGUAGES)
        return vietnamese, english

    return label
