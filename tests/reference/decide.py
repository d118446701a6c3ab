"""The decision as a lawyer would read it aloud: slow, from the agreements themselves, nothing precomputed.

It shares no code with `policies.compile` and `policies.decide`; the two must agree on every question.
"""

from __future__ import annotations

from collections.abc import Iterable

from policies.catalogue import Catalogue
from policies.model import Agreement, Decision, DecisionRequest, DenyRule, FieldRelease, Form, Withheld
from policies.registers import Registers

UNDERSTOOD = {
    "acting_person_registered", "evidence_receipt", "notify_data_subject", "disclosure_control",
    "sender_constrained_token", "delete_after_retention",
}  # fmt: skip


def first_reason_to_refuse(
    request: DecisionRequest, agreement: Agreement, registers: Registers
) -> tuple[str, str]:
    """Return (reason, clause) of the first thing in the way, or ("", "")."""
    basis = registers.legal_bases[agreement.legal_basis]
    day, consent = request.on_date, request.consent
    keys = list(agreement.lookup_keys) or [""]
    proven = set(request.established) | {"has_consented", "nobody_individually"}
    by_consent = basis.needs == "consent"
    questions = [
        ("unknown_obligation", "obligations", any(word not in UNDERSTOOD for word in agreement.obligations)),
        ("agreement_not_yet_valid", "valid_from", day < agreement.valid_from),
        ("agreement_expired", "valid_to", day > agreement.valid_to),
        ("review_overdue", "review_date", day > agreement.review_date),
        ("legal_basis_not_in_force", "legal_basis", not basis.valid_from <= day <= basis.valid_to),
        ("action_not_covered", "action", request.action != agreement.action),
        ("recipient_kind_not_covered", "recipients", request.recipient_kind != agreement.recipient_kind),
        (
            "recipient_not_covered",
            "recipients",
            request.recipient == ""
            or (len(agreement.recipients) > 0 and request.recipient not in agreement.recipients),
        ),
        ("purpose_not_covered", "purpose", request.purpose != agreement.purpose),
        ("lookup_key_not_permitted", "lookup_keys", request.lookup_key not in keys),
        (
            "batch_not_permitted",
            "batch_maximum",
            request.item_count < 1 or (request.item_count > 1 and agreement.batch_maximum == 0),
        ),
        ("batch_too_large", "batch_maximum", request.item_count > max(agreement.batch_maximum, 1)),
        ("data_subject_not_in_scope", "conditions", any(word not in proven for word in agreement.conditions)),
        (
            "match_field_missing",
            "must_match",
            any(word not in request.supplied for word in agreement.must_match),
        ),
        (
            "supplied_fact_missing",
            "must_supply",
            any(word not in request.supplied for word in agreement.must_supply),
        ),
        ("consent_missing", "legal_basis", by_consent and consent is None),
    ]
    if by_consent and consent is not None:
        known = ("requested", "refused", "withdrawn", "expired")
        state = f"consent_{consent.state}" if consent.state in known else "consent_not_given"
        questions += [
            (state, "legal_basis", consent.state != "given"),
            ("consent_for_other_purpose", "legal_basis", consent.purpose != request.purpose),
            ("consent_for_other_recipient", "legal_basis", consent.recipient != request.recipient),
            ("consent_not_valid_today", "legal_basis", not consent.valid_from <= day <= consent.valid_to),
        ]
    for reason, clause, stands_in_the_way in questions:
        if stands_in_the_way:
            return reason, clause
    return "", ""


def rule_applies(rule: DenyRule, request: DecisionRequest) -> bool:
    """Return whether all conditions of a deny rule hold."""
    return all(
        (
            not rule.recipients or request.recipient in rule.recipients,
            not rule.recipient_kinds or request.recipient_kind in rule.recipient_kinds,
            not rule.purposes or request.purpose in rule.purposes,
            not rule.lookup_keys or request.lookup_key in rule.lookup_keys,
            all(fact in request.established for fact in rule.established),
            not any(fact in request.established for fact in rule.not_established),
            rule.first_day <= request.on_date <= rule.last_day,
            rule.batch is None or rule.batch == (request.item_count > 1),
        )
    )


def _field_answer(
    name: str, request: DecisionRequest, agreement: Agreement, catalogue: Catalogue, registers: Registers
) -> tuple[FieldRelease | None, str, set[str]]:
    """Return (release or None, reason if withheld, rules that decided) for one field."""
    permit = next((rule for rule in agreement.rules if name in rule.fields), None)
    forbidden = [
        f"prohibitions/{p.id}"
        for p in registers.prohibitions
        if agreement.recipient_kind in p.recipient_kinds and name in p.fields
    ]
    if name not in catalogue.fields:
        return None, "unknown_field", set()
    if permit is None:
        reason = "computing_only" if name in agreement.computing_fields else "not_in_agreement"
        return None, "matching_only" if name in agreement.must_match else reason, set()
    if forbidden:
        return None, "prohibited", {min(forbidden)}
    denied = {
        f"{agreement.id}/{rule.id}"
        for rule in agreement.denies
        if name in rule.fields and rule_applies(rule, request)
    }
    if denied:
        return None, "denied_by_rule", denied
    by_consent = registers.legal_bases[agreement.legal_basis].needs == "consent"
    if by_consent and request.consent is not None and name not in request.consent.fields:
        return None, "not_consented", set()
    definition, form = catalogue.fields[name], permit.form
    if definition.precision_field and form.name in ("age_band", "year_month"):
        form = Form(form.name, (*form.parameters, ("precision_field", definition.precision_field)))
    return (
        FieldRelease(name, form, definition.group if definition.repeats else ""),
        "",
        {f"{agreement.id}/{permit.id}"},
    )


def source_columns(
    decision_fields: list[FieldRelease], agreement: Agreement, catalogue: Catalogue
) -> tuple[str, ...]:
    """Return every column the source may be asked for, in catalogue order."""
    wanted = set(agreement.must_match) | set(agreement.computing_fields)
    for release in decision_fields:
        wanted.add(release.field)
        for key, value in release.form.parameters:
            if key in ("to_field", "by", "precision_field"):
                wanted.add(str(value))
        wanted |= {scope.field for scope in agreement.row_scopes if scope.group == release.group}
    return tuple(name for name in catalogue.fields if name in wanted)


def decide(
    request: DecisionRequest, agreements: Iterable[Agreement], catalogue: Catalogue, registers: Registers
) -> Decision:
    """Return what policies.decide must return for a well-formed request."""
    agreement = next((one for one in agreements if one.id == request.agreement_id), None)
    asked = sorted(request.asked_fields) if request.asked_fields is not None else []
    if agreement is None:
        hidden = tuple(Withheld(name, "no_agreement") for name in asked)
        return Decision(False, "no_agreement", ("default_deny",), withheld=hidden)

    def refusal(reason: str, rules: tuple[str, ...], withheld: tuple[Withheld, ...]) -> Decision:
        return Decision(
            False, reason, rules, agreement.id, agreement.revision, agreement.revision_hash,
            agreement.purpose, agreement.legal_basis, withheld=withheld,
        )  # fmt: skip

    reason, clause = first_reason_to_refuse(request, agreement, registers)
    if reason:
        return refusal(reason, (f"{agreement.id}/{clause}",), tuple(Withheld(name, reason) for name in asked))
    against_all = sorted(r.id for r in agreement.denies if not r.fields and rule_applies(r, request))
    if against_all:
        rules = tuple(f"{agreement.id}/{rule}" for rule in against_all)
        return refusal("denied_by_rule", rules, tuple(Withheld(name, "denied_by_rule") for name in asked))

    ruled = {name for rule in agreement.rules for name in rule.fields}
    names = sorted(ruled if request.asked_fields is None else request.asked_fields)
    released, withheld, deciding = [], [], set()
    for name in names:
        release, why_not, rules_here = _field_answer(name, request, agreement, catalogue, registers)
        deciding |= rules_here
        if release is None:
            withheld.append(Withheld(name, why_not))
        else:
            released.append(release)
    gives_no_field = agreement.action == "find_usage" and not names
    if gives_no_field:
        deciding = {f"{agreement.id}/action"}
    elif not released:
        return refusal("no_rule_permits", tuple(sorted(deciding)) or ("default_deny",), tuple(withheld))
    order = list(catalogue.fields)
    released.sort(key=lambda release: order.index(release.field))
    groups = {release.group for release in released}
    return Decision(
        permitted=True,
        reason="permitted",
        determining_rules=tuple(sorted(deciding)),
        agreement_id=agreement.id,
        revision=agreement.revision,
        revision_hash=agreement.revision_hash,
        purpose=agreement.purpose,
        legal_basis=agreement.legal_basis,
        released=tuple(released),
        withheld=tuple(withheld),
        source_columns=source_columns(released, agreement, catalogue),
        must_match=agreement.must_match,
        limits=agreement.limits,
        obligations=agreement.obligations,
        retention_days=agreement.retention_days,
        row_scopes=tuple(
            sorted(
                (scope for scope in agreement.row_scopes if scope.group in groups),
                key=lambda s: (s.group, s.keep, s.field, s.months),
            )
        ),
    )
