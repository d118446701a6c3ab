"""From an authorization request to what a citizen reads: pure, no web framework, no store.

What the policies do not know cannot be shown, and what cannot be shown cannot be consented to.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from itertools import pairwise
from typing import Any

from broker.oauth.authorization_request import AuthorizationRequest
from broker.oauth.detail_types import INSURANCE_RECORD
from broker.oauth.registration import ClientRegistration
from consent_ui.words import WORDS, Words
from policies.civil_time import civil_date
from policies.compile import AgreementTable, PolicySet
from policies.forms import FORMS
from policies.model import Citation, FieldRelease
from policies.vocabulary import ACTIONS


class NotShowable(Exception):
    """A detail names something that the policies do not know or do not permit; nobody can decide on it."""


@dataclass(frozen=True, slots=True)
class FieldView:
    """One field to tick. name: in the form, unique on the page. field: catalogue name."""

    name: str
    field: str
    label: str
    form: str
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
    """One thing asked for: why, which fields, for how long, on what basis."""

    purpose: str
    valid: str
    retention: str
    legal_basis: str
    citations: tuple[str, ...]
    agreement: str
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
    details = tuple(
        _detail(position, detail, client, policies, words, civil_date(at), ticked)
        for position, detail in enumerate(request.details)
    )
    kind = policies.registers.recipient_kinds.get(client.organisation_kind)
    names = (client.organisation_name_vi, client.organisation_name_en)
    shown: list[Any] = [[request.scopes, request.level, client.client_id, client.name, names]]
    shown += [sorted((key, repr(value)) for key, value in detail.items()) for detail in request.details]
    shown += [[(view.field, view.form, view.required) for view in detail.fields] for detail in details]
    return RequestView(
        client=client.name or client.client_id,
        organisation=names[words.index] or names[1 - words.index] or client.organisation_id,
        organisation_kind="" if kind is None else (kind.label_vi, kind.label_en)[words.index],
        scopes=tuple(_scope(scope, words) for scope in request.scopes),
        details=details,
        fingerprint=hashlib.sha256(repr(shown).encode()).hexdigest(),
    )


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
    policies: PolicySet,
    words: Words,
    today: date,
    ticked: frozenset[str],
) -> DetailView:
    table = policies.tables.get(str(detail.get("agreement_id", "")))
    if detail.get("type") != INSURANCE_RECORD or table is None:
        raise NotShowable("a detail's type or agreement")
    agreement, registers, index = table.agreement, policies.registers, words.index
    if detail.get("purpose") != agreement.purpose or "valid_days" not in detail:
        raise NotShowable("a detail's purpose or duration")
    required = frozenset(detail.get("required_fields", ()))
    asked = frozenset(detail.get("fields", ()))
    if not asked or not required <= asked or not asked <= set(table.permitted):
        raise NotShowable("a detail's fields")
    purpose, basis = registers.purposes[agreement.purpose], registers.legal_bases[agreement.legal_basis]
    days, ends = int(detail["valid_days"]), civil_date(client.expires_at)
    until = min(today + timedelta(days=days), table.last_day, ends)
    return DetailView(
        purpose=(purpose.label_vi, purpose.label_en)[index],
        valid=words("valid_days", days=words.days(days), until=f"{until:%d/%m/%Y}"),
        retention=words(
            "retention_days", days=words.days(int(detail.get("retention_days", agreement.retention_days)))
        ),
        legal_basis=(basis.label_vi, basis.label_en)[index],
        citations=_citations(agreement.citations, policies, words),
        agreement=(agreement.title_vi, agreement.title_en)[index],
        has_required=bool(required),
        groups=_groups(position, table, asked, required, policies, words, ticked),
    )


def _citations(citations: Sequence[Citation], policies: PolicySet, words: Words) -> tuple[str, ...]:
    """Return the articles that carry the basis; what is not verified is never presented as law."""
    told = []
    for citation in citations:
        if citation.certainty != "U":
            instrument = policies.registers.instruments[citation.instrument]
            title = (instrument.title_vi, instrument.title_en)[words.index]
            told.append(words("article", instrument=title, article=citation.article))
    return tuple(told)


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
            form=form_in_words(table.permitted[field], table, words),
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


def form_in_words(release: FieldRelease, table: AgreementTable, words: Words) -> str:
    """Return in which form a field would leave, and of which rows."""
    kind = FORMS[release.form.name]
    label = (kind.label_vi, kind.label_en)[words.index]
    parameters = dict(release.form.parameters)
    if "edges" in parameters:
        bands = _bands([int(edge) for edge in str(parameters["edges"]).split(",")], words)
        label = words("edges", label=label, bands=bands)
    elif "keep" in parameters:
        label = words("keep", label=label, count=parameters["keep"])
    elif "threshold" in parameters:
        label = f"{label} ({parameters['operator']} {parameters['threshold']})"
    scopes = [
        words("rows_recent", months=scope.months) if scope.keep == "recent" else words("rows_own_units")
        for scope in table.row_scopes
        if release.group and scope.group == release.group
    ]
    return "; ".join([label, *scopes])


def _bands(edges: Sequence[int], words: Words) -> str:
    numbers = [words.number(edge) for edge in edges]
    between = [words("edges_between", low=low, high=high) for low, high in pairwise(numbers)]
    ends = words("edges_below", edge=numbers[0]), words("edges_above", edge=numbers[-1])
    return ", ".join([ends[0], *between, ends[1]])
