"""One decision in words a citizen, a lawyer or an operator can read, in Vietnamese or English."""

from __future__ import annotations

from policies.catalogue import Catalogue
from policies.compile import PolicySet
from policies.forms import FORMS
from policies.model import Agreement, Decision, DecisionRequest, Form
from policies.reasons import FIELD_REASONS, REASONS
from policies.vocabulary import ACTIONS, LIMIT_SCOPES, OBLIGATIONS

_WORDS = {
    "answer": ("Kết quả", "Answer"),
    "yes": ("ĐƯỢC PHÉP", "PERMITTED"),
    "no": ("TỪ CHỐI", "REFUSED"),
    "reason": ("Lý do", "Reason"),
    "agreement": ("Thỏa thuận", "Agreement"),
    "revision": ("lần sửa đổi", "revision"),
    "action": ("Thao tác", "Action"),
    "recipient": ("Bên nhận", "Recipient"),
    "purpose": ("Mục đích", "Purpose"),
    "legal_basis": ("Cơ sở pháp lý", "Legal basis"),
    "article": ("điều", "art."),
    "citation": ("Căn cứ", "Cites"),
    "rules": ("Quy tắc quyết định", "Determining rules"),
    "released": ("Được trả ra", "Released"),
    "withheld": ("Giữ lại", "Withheld"),
    "match": ("Phải khớp trước khi trả lời", "Must match before anything is said"),
    "limits": ("Giới hạn", "Limits"),
    "obligations": ("Nghĩa vụ", "Obligations"),
    "retention": ("Bên nhận được lưu tối đa", "The recipient may keep it for"),
    "days": ("ngày", "days"),
    "S": ("theo nguồn thứ cấp", "secondary source"),
    "S-full": ("đã đọc toàn văn điều", "article read in full"),
    "U": ("CHƯA XÁC MINH, không phải căn cứ pháp lý", "NOT VERIFIED, not law"),
}


def describe_form(form: Form, lang: int) -> str:
    """Return a form in words; lang 0 = Vietnamese, 1 = English."""
    kind = FORMS.get(form.name)
    label = form.name if kind is None else (kind.label_vi, kind.label_en)[lang]
    inner = ", ".join(f"{name} {value}" for name, value in form.parameters if name != "precision_field")
    return f"{label} ({inner})" if inner else label


def describe_field(name: str, catalogue: Catalogue, lang: int) -> str:
    """Return a field's label and its name; an unknown name stands alone."""
    definition = catalogue.fields.get(name)
    return name if definition is None else f"{(definition.label_vi, definition.label_en)[lang]} [{name}]"


def describe_reason(code: str, lang: int) -> str:
    """Return a reason code in words; an unknown code stands alone."""
    if code in REASONS:
        return REASONS[code][1 + lang]
    return FIELD_REASONS[code][lang] if code in FIELD_REASONS else code


def _agreement_lines(agreement: Agreement, policies: PolicySet, lang: int) -> list[str]:
    registers = policies.registers
    purpose = registers.purposes[agreement.purpose]
    basis = registers.legal_bases[agreement.legal_basis]
    title = (agreement.title_vi, agreement.title_en)[lang]
    revision = f"{_WORDS['revision'][lang]} {agreement.revision}"
    lines = [
        f"{_WORDS['agreement'][lang]}: {title} [{agreement.id}, {revision}]",
        f"{_WORDS['purpose'][lang]}: {(purpose.label_vi, purpose.label_en)[lang]}",
        f"{_WORDS['legal_basis'][lang]}: {(basis.label_vi, basis.label_en)[lang]} [{basis.code}]",
    ]
    for citation in agreement.citations:
        instrument = registers.instruments[citation.instrument]
        name = (instrument.title_vi, instrument.title_en)[lang]
        article = (
            f"{_WORDS['article'][lang]} {citation.article}"
            if citation.article[0].isdigit()
            else citation.article
        )
        lines.append(f"  {_WORDS['citation'][lang]}: {name}, {article} ({_WORDS[citation.certainty][lang]})")
    return lines


def _answer_lines(decision: Decision, catalogue: Catalogue, lang: int) -> list[str]:
    lines = [f"{_WORDS['rules'][lang]}: {', '.join(decision.determining_rules)}"]
    if decision.released:
        lines.append(f"{_WORDS['released'][lang]}:")
        lines += [
            f"  + {describe_field(release.field, catalogue, lang)}: {describe_form(release.form, lang)}"
            for release in decision.released
        ]
    if decision.withheld:
        lines.append(f"{_WORDS['withheld'][lang]}:")
        lines += [
            f"  - {describe_field(entry.field, catalogue, lang)}: {describe_reason(entry.reason, lang)}"
            for entry in decision.withheld
        ]
    return lines


def _duty_lines(decision: Decision, catalogue: Catalogue, lang: int) -> list[str]:
    lines = []
    if decision.must_match:
        names = ", ".join(describe_field(name, catalogue, lang) for name in decision.must_match)
        lines.append(f"{_WORDS['match'][lang]}: {names}")
    if decision.limits:
        limits = ", ".join(f"{limit.count} {LIMIT_SCOPES[limit.scope][lang]}" for limit in decision.limits)
        lines.append(f"{_WORDS['limits'][lang]}: {limits}")
    if decision.obligations:
        duties = ", ".join(OBLIGATIONS[name][lang] for name in sorted(decision.obligations))
        lines.append(f"{_WORDS['obligations'][lang]}: {duties}")
    lines.append(f"{_WORDS['retention'][lang]} {decision.retention_days} {_WORDS['days'][lang]}")
    return lines


def explain(request: DecisionRequest, decision: Decision, policies: PolicySet, lang: str = "vi") -> str:
    """Return one decision in words, several lines; lang "vi" or "en". Holds no value of a record."""
    index = 0 if lang == "vi" else 1
    action = ACTIONS[request.action][index] if request.action in ACTIONS else request.action
    lines = [
        f"{_WORDS['answer'][index]}: {_WORDS['yes' if decision.permitted else 'no'][index]}",
        f"{_WORDS['reason'][index]}: {describe_reason(decision.reason, index)} [{decision.reason}]",
        f"{_WORDS['action'][index]}: {action} [{request.action}]",
        f"{_WORDS['recipient'][index]}: {request.recipient} [{request.recipient_kind}]",
    ]
    agreement = policies.find_agreement(decision.agreement_id)
    if agreement is not None:
        lines += _agreement_lines(agreement, policies, index)
    lines += _answer_lines(decision, policies.catalogue, index)
    if decision.permitted:
        lines += _duty_lines(decision, policies.catalogue, index)
    return "\n".join(lines)


def decision_content(decision: Decision, lang: str = "vi") -> dict[str, object]:
    """Return one decision as plain content for JSON; texts in lang "vi" or "en"."""
    index = 0 if lang == "vi" else 1
    return {
        "permitted": decision.permitted,
        "reason": decision.reason,
        "reason_text": describe_reason(decision.reason, index),
        "determining_rules": list(decision.determining_rules),
        "agreement": decision.agreement_id,
        "revision": decision.revision,
        "revision_hash": decision.revision_hash,
        "purpose": decision.purpose,
        "legal_basis": decision.legal_basis,
        "released": {release.field: describe_form(release.form, index) for release in decision.released},
        "withheld": {entry.field: entry.reason for entry in decision.withheld},
        "source_columns": list(decision.source_columns),
        "must_match": list(decision.must_match),
        "limits": {limit.scope: limit.count for limit in decision.limits},
        "obligations": sorted(decision.obligations),
        "retention_days": decision.retention_days,
    }
