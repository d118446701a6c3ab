"""The decision: may this be released, which fields, in which form, and by which rules. It never raises.

Default deny: only a field that a rule of the named agreement permits can leave. Deny overrides: a deny rule
or a prohibition takes away what a rule gave. An error, or an obligation nobody understands, is a refusal.
"""

from __future__ import annotations

from policies.compile import MEMO_SIZE, AgreementTable, PolicySet
from policies.model import ConsentFacts, Decision, DecisionRequest, DenyRule, FieldRelease, Withheld
from policies.reasons import CONSENT_STATES, DEFAULT_DENY, PERMITTED, POLICY_ERROR, REASONS
from policies.vocabulary import NO_FIELDS

_ERROR = Decision(permitted=False, reason=POLICY_ERROR, determining_rules=(POLICY_ERROR,))


def decide(request: DecisionRequest, policies: PolicySet) -> Decision:
    """Return the decision on one request. Never raises: whatever goes wrong is the refusal `policy_error`.

    The answer's fields stand in catalogue order; equal questions get the same shared, frozen Decision. The
    withheld fields are those asked for (or, when everything was asked, those the agreement names).
    """
    try:
        table = policies.tables.get(request.agreement_id)
        if table is None:
            return _refuse_without_agreement(request)
        reason = _find_refusal(request, table)
        if reason:
            return _refuse(table, reason, request.asked_fields)
        denies = tuple(rule for rule in table.denies if _applies(rule, request)) if table.denies else ()
        consented = request.consent.fields if table.needs_consent and request.consent else None
        return _answer(table, request.asked_fields, consented, denies)
    except Exception:
        # Whatever it was, the caller gets a refusal; the reason tells the operator to look.
        return _ERROR


def _find_refusal(request: DecisionRequest, table: AgreementTable) -> str:
    """Return the first reason to refuse the whole request, in the order of `REASONS`, or ""."""
    if table.defect:
        return table.defect
    if not table.first_day <= request.on_date <= table.last_day:
        return _find_day_refusal(request, table)
    agreement = table.agreement
    if request.action != agreement.action:
        return "action_not_covered"
    if request.recipient_kind != agreement.recipient_kind:
        return "recipient_kind_not_covered"
    if not request.recipient or (table.recipients is not None and request.recipient not in table.recipients):
        return "recipient_not_covered"
    if request.purpose != agreement.purpose:
        return "purpose_not_covered"
    if request.lookup_key not in table.lookup_keys:
        return "lookup_key_not_permitted"
    return _find_subject_refusal(request, table)


def _find_day_refusal(request: DecisionRequest, table: AgreementTable) -> str:
    agreement = table.agreement
    if request.on_date < agreement.valid_from:
        return "agreement_not_yet_valid"
    if request.on_date > agreement.valid_to:
        return "agreement_expired"
    if request.on_date > agreement.review_date:
        return "review_overdue"
    return "legal_basis_not_in_force"


def _find_subject_refusal(request: DecisionRequest, table: AgreementTable) -> str:
    if request.item_count != 1:
        maximum = table.agreement.batch_maximum
        if not maximum or request.item_count < 1:
            return "batch_not_permitted"
        if request.item_count > maximum:
            return "batch_too_large"
    if not table.required_established <= request.established:
        return "data_subject_not_in_scope"
    if not table.required_supplied <= request.supplied:
        missing_match = not request.supplied.issuperset(table.agreement.must_match)
        return "match_field_missing" if missing_match else "supplied_fact_missing"
    return _find_consent_refusal(request, request.consent) if table.needs_consent else ""


def _find_consent_refusal(request: DecisionRequest, consent: ConsentFacts | None) -> str:
    if consent is None:
        return "consent_missing"
    if consent.state != "given":
        return CONSENT_STATES.get(consent.state, "consent_not_given")
    if consent.purpose != request.purpose:
        return "consent_for_other_purpose"
    if consent.recipient != request.recipient:
        return "consent_for_other_recipient"
    return "" if consent.valid_from <= request.on_date <= consent.valid_to else "consent_not_valid_today"


def _applies(rule: DenyRule, request: DecisionRequest) -> bool:
    """Return whether every condition of a deny rule holds (kind and purpose were settled at compile)."""
    if rule.recipients and request.recipient not in rule.recipients:
        return False
    if rule.lookup_keys and request.lookup_key not in rule.lookup_keys:
        return False
    if not rule.first_day <= request.on_date <= rule.last_day:
        return False
    if rule.batch is not None and rule.batch != (request.item_count > 1):
        return False
    return rule.established <= request.established and not rule.not_established & request.established


def _remember(table: AgreementTable, key: object, decision: Decision) -> Decision:
    if len(table.memo) >= MEMO_SIZE:
        table.memo.clear()
    table.memo[key] = decision
    return decision


def _refuse_without_agreement(request: DecisionRequest) -> Decision:
    asked = sorted(request.asked_fields or ())
    withheld = tuple(Withheld(name, "no_agreement") for name in asked)
    return Decision(False, "no_agreement", (DEFAULT_DENY,), withheld=withheld)


def _refuse(table: AgreementTable, reason: str, asked: frozenset[str] | None) -> Decision:
    known = table.memo.get((reason, asked))
    if known is not None:
        return known
    clause = REASONS[reason][0]
    rules = (f"{table.agreement.id}/{clause}",) if clause else (DEFAULT_DENY,)
    withheld = tuple(Withheld(name, reason) for name in sorted(asked or ()))
    return _remember(table, (reason, asked), _refusal(table, reason, rules, withheld))


def _refusal(
    table: AgreementTable, reason: str, rules: tuple[str, ...], withheld: tuple[Withheld, ...]
) -> Decision:
    agreement = table.agreement
    return Decision(
        permitted=False,
        reason=reason,
        determining_rules=rules,
        agreement_id=agreement.id,
        revision=agreement.revision,
        revision_hash=agreement.revision_hash,
        purpose=agreement.purpose,
        legal_basis=agreement.legal_basis,
        withheld=withheld,
    )


def _answer(
    table: AgreementTable,
    asked: frozenset[str] | None,
    consented: frozenset[str] | None,
    denies: tuple[DenyRule, ...],
) -> Decision:
    """Return the answer to a request that nothing refuses as a whole; remembers it for the next equal one."""
    key = (asked, consented, tuple(rule.id for rule in denies) if denies else None)
    known = table.memo.get(key)
    if known is not None:
        return known
    return _remember(table, key, _make_answer(table, asked, consented, denies))


def _make_answer(
    table: AgreementTable,
    asked: frozenset[str] | None,
    consented: frozenset[str] | None,
    denies: tuple[DenyRule, ...],
) -> Decision:
    prefix = f"{table.agreement.id}/"
    whole = tuple(f"{prefix}{rule.id}" for rule in denies if not rule.fields)
    if whole:
        hidden = tuple(Withheld(name, "denied_by_rule") for name in sorted(asked or ()))
        return _refusal(table, "denied_by_rule", whole, hidden)
    names = table.covered if asked is None else asked
    denied = frozenset().union(*(rule.fields for rule in denies)) & names
    free = [name for name in table.permitted if name in names and name not in denied]
    given = [name for name in free if consented is None or name in consented]
    withheld = _withheld(table, names, given, denied)
    took_away = {f"{prefix}{rule.id}" for rule in denies if rule.fields & names & table.permitted.keys()}
    took_away.update(table.prohibited_by[name] for name in names & table.prohibited_by.keys())
    if not given and not names and table.agreement.action in NO_FIELDS:
        return _permit(table, given, (), (f"{prefix}action",))
    if not given:
        return _refusal(table, "no_rule_permits", tuple(sorted(took_away)) or (DEFAULT_DENY,), withheld)
    rules = took_away | {table.permitted_by[name] for name in given}
    return _permit(table, given, withheld, tuple(sorted(rules)))


def _withheld(
    table: AgreementTable, names: frozenset[str], given: list[str], denied: frozenset[str]
) -> tuple[Withheld, ...]:
    entries = []
    for name in sorted(names.difference(given)):
        entry = table.withheld.get(name)
        if entry is None:
            reason = "denied_by_rule" if name in denied else "not_consented"
            entry = Withheld(name, reason if name in table.permitted else "unknown_field")
        entries.append(entry)
    return tuple(entries)


def _permit(
    table: AgreementTable, given: list[str], withheld: tuple[Withheld, ...], rules: tuple[str, ...]
) -> Decision:
    agreement = table.agreement
    released: tuple[FieldRelease, ...] = tuple(table.permitted[name] for name in given)
    groups = {release.group for release in released}
    columns = set(table.always_read).union(*(table.companions[name] for name in given))
    return Decision(
        permitted=True,
        reason=PERMITTED,
        determining_rules=rules,
        agreement_id=agreement.id,
        revision=agreement.revision,
        revision_hash=agreement.revision_hash,
        purpose=agreement.purpose,
        legal_basis=agreement.legal_basis,
        released=released,
        withheld=withheld,
        source_columns=tuple(sorted(columns, key=table.positions.__getitem__)),
        must_match=agreement.must_match,
        limits=agreement.limits,
        obligations=agreement.obligations,
        retention_days=agreement.retention_days,
        row_scopes=tuple(scope for scope in table.row_scopes if scope.group in groups),
    )
