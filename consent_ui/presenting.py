"""From an authorization request to what a citizen reads: pure, no web framework, no store.

What the policies do not know cannot be shown, and what cannot be shown cannot be consented to.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import date, datetime, timedelta
from typing import Any

from broker.consent.terms import asked_of
from broker.evidence.canonical import Json
from broker.oauth.authorization_request import AuthorizationRequest
from broker.oauth.detail_types import INSURANCE_RECORD
from broker.oauth.registration import ClientRegistration
from consent_ui.form_words import form_in_words
from consent_ui.giving_less import Shorter, shorter_than
from consent_ui.notices import hash_of_shown
from consent_ui.terms_words import ShownTerms, term_rows, why_of
from consent_ui.words import WORDS, Words
from policies.civil_time import civil_date
from policies.compile import AgreementTable, PolicySet
from policies.vocabulary import ACTIONS


class NotShowable(Exception):
    """A detail names something that the policies do not know or do not permit; nobody can decide on it."""


@dataclass(frozen=True, slots=True)
class FieldView:
    """One field to tick. name: in the form, unique on the page. field: catalogue name. why: it is asked."""

    name: str
    field: str
    label: str
    form: str
    why: str
    required: bool
    sensitive: bool
    ticked: bool


@dataclass(frozen=True, slots=True)
class GroupView:
    """Fields that the catalogue holds together."""

    label: str
    fields: tuple[FieldView, ...]


@dataclass(frozen=True, slots=True)
class DetailView:
    """One thing asked for: what for, on which terms (label and words of each row), which fields.

    days: for how long it is asked; lengths: less than that, to choose from, under days_name in the form.
    """

    days_name: str
    days: str
    lengths: tuple[Shorter, ...]
    purpose: str
    terms: tuple[tuple[str, str], ...]
    has_required: bool
    groups: tuple[GroupView, ...]

    @property
    def fields(self) -> tuple[FieldView, ...]:
        """Return all fields in the order shown."""
        return tuple(view for group in self.groups for view in group.fields)


@dataclass(frozen=True, slots=True)
class RequestView:
    """The whole page's content. fingerprint: SHA-256 (hex) of all that is shown, ticks left aside."""

    client: str
    organisation: str
    organisation_kind: str
    scopes: tuple[str, ...]
    details: tuple[DetailView, ...]
    fingerprint: str


def present(
    request: AuthorizationRequest,
    policies: PolicySet,
    words: Words,
    at: datetime,
    ticked: frozenset[str] = frozenset(),
) -> RequestView:
    """Return what is shown. ticked: names of fields ticked before, when a page is shown again.

    Raises NotShowable.
    """
    client = request.client
    names = (client.organisation_name_vi, client.organisation_name_en)
    organisation = names[words.index] or names[1 - words.index] or client.organisation_id
    details = tuple(
        _detail(position, detail, client, organisation, policies, words, civil_date(at), ticked)
        for position, detail in enumerate(request.details)
    )
    kind = policies.registers.recipient_kinds.get(client.organisation_kind)
    shown: dict[str, Any] = {
        "client": client.name or client.client_id,
        "organisation": organisation,
        "organisation_kind": "" if kind is None else (kind.label_vi, kind.label_en)[words.index],
        "scopes": tuple(_scope(scope, words) for scope in request.scopes),
    }
    content = {**shown, "details": [_content(detail) for detail in details]}
    return RequestView(**shown, details=details, fingerprint=hash_of_shown("decision", content, words))


def _content(detail: DetailView) -> dict[str, Json]:
    """Return all that is said of a detail; which boxes are ticked is the answer, not what was shown."""
    content = asdict(detail)
    for group in content["groups"]:
        for field in group["fields"]:
            del field["ticked"]
    return content


def field_name(position: int, field: str) -> str:
    """Return the name of a field's box: the place of its detail, and the catalogue name."""
    return f"{position}.{field}"


def _scope(scope: str, words: Words) -> str:
    if f"scope_{scope}" in WORDS:
        return words(f"scope_{scope}")
    return ACTIONS[scope][words.index] if scope in ACTIONS else scope


def _detail(
    position: int,
    detail: Mapping[str, Any],
    client: ClientRegistration,
    organisation: str,
    policies: PolicySet,
    words: Words,
    today: date,
    ticked: frozenset[str],
) -> DetailView:
    table = policies.tables.get(str(detail.get("agreement_id", "")))
    if detail.get("type") != INSURANCE_RECORD or table is None:
        raise NotShowable("a detail's type or agreement")
    agreement, index = table.agreement, words.index
    if detail.get("purpose") != agreement.purpose or "valid_days" not in detail:
        raise NotShowable("a detail's purpose or duration")
    required = frozenset(detail.get("required_fields", ()))
    asked = frozenset(detail.get("fields", ()))
    if not asked or not required <= asked or not asked <= set(table.permitted):
        raise NotShowable("a detail's fields")
    purpose, days = policies.registers.purposes[agreement.purpose], int(detail["valid_days"])
    told = asked_of(detail)
    terms = ShownTerms(
        valid_days=days,
        until=min(today + timedelta(days=days), table.last_day, civil_date(client.expires_at)),
        retention_days=told.retention_days or agreement.retention_days,
        mode=told.mode,
        data_range=told.data_range,
        frequency=told.frequency,
    )
    return DetailView(
        days_name=field_name(position, "valid_days"),
        days=words.days(days),
        lengths=shorter_than(min(days, (table.last_day - today).days + 1), words),
        purpose=(purpose.label_vi, purpose.label_en)[index],
        terms=term_rows(terms, table, organisation, policies, words),
        has_required=bool(required),
        groups=_groups(position, table, asked, required, policies, words, ticked),
    )


def _groups(
    position: int,
    table: AgreementTable,
    asked: frozenset[str],
    required: frozenset[str],
    policies: PolicySet,
    words: Words,
    ticked: frozenset[str],
) -> tuple[GroupView, ...]:
    catalogue = policies.catalogue
    groups: dict[str, list[FieldView]] = {}
    for field in catalogue.in_order(asked):
        definition = catalogue.fields[field]
        name = field_name(position, field)
        view = FieldView(
            name=name,
            field=field,
            label=(definition.label_vi, definition.label_en)[words.index],
            form=form_in_words(table.permitted[field], table, catalogue, words),
            why=why_of(field, table, words),
            required=field in required,
            sensitive=definition.is_sensitive,
            ticked=name in ticked,
        )
        groups.setdefault(definition.group, []).append(view)
    return tuple(
        GroupView(
            (catalogue.groups[group].label_vi, catalogue.groups[group].label_en)[words.index], tuple(views)
        )
        for group, views in groups.items()
    )
