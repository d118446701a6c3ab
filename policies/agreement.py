"""Reading one sharing agreement: TOML text → `Agreement`. What is missing or not understood is refused."""

from __future__ import annotations

import hashlib
import json
import tomllib
from datetime import date

from policies.catalogue import Catalogue
from policies.form_reading import read_form
from policies.hidden import read_hidden_days
from policies.model import Agreement, Citation, DenyRule, Limit, Organisation, RowScope, Rule
from policies.reading import Table, read_toml
from policies.registers import Registers
from policies.statistics_reading import read_disclosure, read_export_limits
from policies.told import read_told
from policies.vocabulary import (
    ACTIONS,
    CERTAINTIES,
    CONDITIONS,
    ITEMS,
    LIMIT_SCOPES,
    NO_FIELDS,
    OBLIGATIONS,
    SUPPLIED,
)

_DAYS = frozenset({"date", "month", "datetime"})
_CITIZEN = "citizen"
"""Kind of recipient: everybody, for themselves."""


def revision_hash(text: str) -> str:
    """Return the SHA-256 (hex) of an agreement's canonical content: comments and layout do not count."""

    def plain(value: object) -> object:
        return {"day": value.isoformat()} if isinstance(value, date) else repr(value)

    content = tomllib.loads(text)
    canonical = json.dumps(content, sort_keys=True, ensure_ascii=False, separators=(",", ":"), default=plain)
    return hashlib.sha256(canonical.encode()).hexdigest()


def _read_recipients(top: Table, registers: Registers) -> tuple[str, frozenset[str], str]:
    entry = top.table("recipients")
    kind = entry.word("kind", registers.recipient_kinds)
    named = frozenset(entry.words("organisations", None, optional=True))
    framework = entry.text("accession_framework", optional=True)
    if bool(named) == bool(framework):
        raise entry.refusal(
            "", "name either organisations = [...] or accession_framework, not both and not neither"
        )
    entry.finish()
    return kind, named, framework


def _read_citations(entry: Table, registers: Registers) -> tuple[Citation, ...]:
    citations = []
    for citation in entry.tables("citation"):
        citations.append(
            Citation(
                citation.word("instrument", registers.instruments),
                citation.text("article"),
                citation.word("certainty", CERTAINTIES),
                citation.text("note", optional=True),
            )
        )
        citation.finish()
    if not citations:
        raise entry.refusal("citation", "cite at least one article")
    return tuple(citations)


def _read_legal_basis(top: Table, kind: str, registers: Registers) -> tuple[str, tuple[Citation, ...], str]:
    entry = top.table("legal_basis")
    code = entry.word("code", registers.legal_bases)
    allowed = registers.recipient_kinds[kind].legal_bases
    if code not in allowed:
        raise entry.refusal("code", f"is not open to a {kind}; choose one of: {', '.join(sorted(allowed))}")
    procedure = entry.text("procedure", optional=registers.legal_bases[code].needs != "procedure")
    citations = _read_citations(entry, registers)
    entry.finish()
    return code, citations, procedure


def _read_rules(top: Table, action: str, catalogue: Catalogue, *, needs_consent: bool) -> tuple[Rule, ...]:
    if action in NO_FIELDS:
        if top.has("release"):
            raise top.refusal("release", f"has no place in an agreement of {action}: it gives no field")
        return ()
    rules: list[Rule] = []
    taken: set[str] = set()
    for entry in top.tables("release"):
        names = entry.words("fields", catalogue.fields, minimum=1)
        form = read_form(entry, names, catalogue)
        why_vi = entry.text("why_vi", optional=not needs_consent)
        rule = Rule(entry.text("id"), names, form, entry.text("why"), why_vi)
        twice = taken & set(names)
        if twice:
            raise entry.refusal(
                "fields", f"{', '.join(sorted(twice))} has a form already; a field has exactly one"
            )
        if rule.id in {other.id for other in rules}:
            raise entry.refusal("id", "is taken; every rule has its own id")
        entry.finish()
        taken |= set(names)
        rules.append(rule)
    if not rules:
        raise top.refusal("release", "permits nothing; write at least one [[release]]")
    return tuple(rules)


def _read_denies(top: Table, catalogue: Catalogue, registers: Registers) -> tuple[DenyRule, ...]:
    rules: list[DenyRule] = []
    for entry in top.tables("deny", optional=True):
        when = entry.table("when", optional=True)
        rule = DenyRule(
            id=entry.text("id"),
            why=entry.text("why"),
            fields=frozenset(entry.words("fields", catalogue.fields, optional=True)),
            recipients=frozenset(when.words("recipients", None, optional=True)),
            recipient_kinds=frozenset(
                when.words("recipient_kinds", registers.recipient_kinds, optional=True)
            ),
            purposes=frozenset(when.words("purposes", registers.purposes, optional=True)),
            lookup_keys=frozenset(when.words("lookup_keys", catalogue.fields, optional=True)),
            established=frozenset(when.words("established", CONDITIONS, optional=True)),
            not_established=frozenset(when.words("not_established", CONDITIONS, optional=True)),
            first_day=when.day("first_day", date.min),
            last_day=when.day("last_day", date.max),
            batch=when.flag("batch") if when.has("batch") else None,
        )
        when.finish()
        if rule.id in {other.id for other in rules}:
            raise entry.refusal("id", "is taken; every rule has its own id")
        entry.finish()
        rules.append(rule)
    return tuple(rules)


def _read_row_scopes(top: Table, catalogue: Catalogue) -> tuple[RowScope, ...]:
    scopes = []
    repeating = [name for name, group in catalogue.groups.items() if group.repeats]
    for entry in top.tables("row_scope", optional=True):
        group = entry.word("group", repeating)
        members = {field.name: field for field in catalogue.fields_of(group)}
        if entry.word("keep", {"own_units", "recent"}) == "own_units":
            scopes.append(RowScope(group, "own_units", entry.word("field", members)))
        else:
            days = [name for name, field in members.items() if field.type in _DAYS]
            months = entry.integer("months", minimum=1, maximum=600)
            scopes.append(RowScope(group, "recent", entry.word("field", days), months))
        entry.finish()
    return tuple(scopes)


def _read_limits(top: Table, kind: str) -> tuple[Limit, ...]:
    """Return the limits, every one of them.

    Citizens have no `client_day`: the pages are one client for all, so it would count everybody together, and
    some could use it up for the others.
    """
    entry = top.table("limits")
    scopes = [scope for scope in LIMIT_SCOPES if kind != _CITIZEN or scope != "client_day"]
    limits = tuple(Limit(scope, entry.integer(scope, minimum=1)) for scope in scopes)
    entry.finish()
    return limits


def _check_whole(top: Table, agreement: Agreement, registers: Registers) -> None:
    """Refuse what is well-formed in its parts but contradicts itself as a whole."""
    if agreement.valid_to < agreement.valid_from:
        raise top.refusal("valid_to", "lies before valid_from")
    if agreement.review_date < agreement.valid_from:
        raise top.refusal("review_date", "lies before valid_from")
    needs_consent = registers.legal_bases[agreement.legal_basis].needs == "consent"
    if needs_consent != ("has_consented" in agreement.conditions):
        raise top.refusal("conditions", 'must name "has_consented" exactly when the legal basis is consent')
    aggregate = "nobody_individually" in agreement.conditions
    if any(aggregate != (rule.form.name == "aggregate") for rule in agreement.rules):
        raise top.refusal(
            "conditions", '"nobody_individually" goes with form "aggregate" for every field, and only so'
        )
    if aggregate != (not agreement.lookup_keys):
        raise top.refusal(
            "lookup_keys", "must be empty for aggregates, and name at least one field otherwise"
        )
    if aggregate and (agreement.must_match or agreement.computing_fields or agreement.batch_maximum):
        raise top.refusal(
            "must_match", "must_match, computing_fields and batch_maximum have no meaning for aggregates"
        )
    if agreement.action in NO_FIELDS and (
        aggregate or agreement.must_match or agreement.computing_fields or agreement.row_scopes
    ):
        raise top.refusal(
            "must_match",
            f"{agreement.action} reads no field: only lookup_keys, about one person, have a meaning",
        )
    if "acting_person_registered" in agreement.obligations and "acting_person" not in agreement.must_supply:
        raise top.refusal(
            "must_supply", 'must name "acting_person" when the obligation acting_person_registered stands'
        )


def read_agreement(text: str, file: str, catalogue: Catalogue, registers: Registers) -> Agreement:
    """Read one agreement from TOML text; `file` is named in refusals.

    Raises PolicyError (file, key, line, remedy) for anything missing, unknown or contradictory: the twelve
    items of Decree 47/2020 art. 38, and for the bases of Law 91/2025 art. 19.1 the procedure, risk
    assessment, review date and complaint contact that art. 19.2 demands.
    """
    top = read_toml(text, file)
    kind, named, framework = _read_recipients(top, registers)
    basis, citations, procedure = _read_legal_basis(top, kind, registers)
    needs_consent = registers.legal_bases[basis].needs == "consent"
    action = top.word("action", ACTIONS)
    owner, title, items = top.table("data_owner"), top.table("title"), top.table("items")
    conditions = frozenset(top.words("conditions", CONDITIONS, minimum=1))
    is_aggregate = "nobody_individually" in conditions
    agreement = Agreement(
        id=top.text("id"),
        revision=top.integer("revision", minimum=1),
        revision_hash=revision_hash(text),
        file=file,
        text=text,
        title_vi=title.text("vi"),
        title_en=title.text("en"),
        data_owner=Organisation(owner.text("id"), owner.text("name")),
        action=action,
        purpose=top.word("purpose", registers.purposes),
        recipient_kind=kind,
        recipients=named,
        accession_framework=framework,
        legal_basis=basis,
        citations=citations,
        procedure=procedure,
        risk_assessment=top.text("risk_assessment"),
        complaint_contact=top.text("complaint_contact"),
        conditions=conditions,
        lookup_keys=top.words("lookup_keys", catalogue.fields),
        must_match=top.words("must_match", catalogue.fields),
        must_supply=top.words("must_supply", SUPPLIED),
        computing_fields=top.words("computing_fields", catalogue.fields),
        rules=_read_rules(top, action, catalogue, needs_consent=needs_consent),
        denies=_read_denies(top, catalogue, registers),
        row_scopes=_read_row_scopes(top, catalogue),
        limits=_read_limits(top, kind),
        batch_maximum=top.integer("batch_maximum", minimum=0, maximum=100_000),
        obligations=frozenset(top.words("obligations", OBLIGATIONS)),
        retention_days=top.integer("retention_days", minimum=0, maximum=36_500),
        valid_from=top.day("valid_from"),
        valid_to=top.day("valid_to"),
        review_date=top.day("review_date"),
        items=tuple((item, items.text(item)) for item in ITEMS),
        told=read_told(top, needs_consent=needs_consent),
        hidden_days=read_hidden_days(top, named, kind, basis, registers.hidden_reads),
        disclosure_control=read_disclosure(top, is_aggregate=is_aggregate),
        export_limits=read_export_limits(top, is_aggregate=is_aggregate),
    )
    for table in (owner, title, items, top):
        table.finish()
    _check_whole(top, agreement, registers)
    return agreement
