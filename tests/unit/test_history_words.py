"""Every reason for which anything is stopped or withheld has plain words in both languages."""

from __future__ import annotations

import ast
from dataclasses import replace
from datetime import UTC, date, datetime
from typing import get_args

import pytest

from broker.actions import entitlement_outcome
from broker.actions.entitlement_outcome import EntitlementOutcome
from broker.evidence.administration_entry import ABOUT_A_PERSON, ACTS
from broker.evidence.consent_entry import CONSENT_EVENTS
from broker.evidence.history import HistoryCount, HistoryEntry, history_entry
from broker.evidence.log_read_entry import Reader, What
from connectors.base import SourceTooSlow, SourceUnavailable
from consent_ui.history import entry_view, month_views, reason_in_words
from consent_ui.words import WORDS, Words
from policies.reasons import FIELD_REASONS
from tests.citizen_world import shipped_policies
from tests.evidence_entries import one_of_each_kind
from tests.house.project import ROOT, table_rows
from tests.house.test_problems_doc import PAGES, refusal_reasons

ENTRY = HistoryEntry(
    reference="r",
    at=datetime(2026, 11, 1, 17, 30, tzinfo=UTC),
    recipient="clinic-9",
    recipient_names=("", ""),
    action="verify_entitlement",
    purpose="gone_purpose",
    legal_basis="gone_basis",
    agreement="gone_agreement",
    result="released",
    reason="",
    released=(("gone_field", "gone_form"), ("valid_to", "value")),
    withheld=(("bank_account", "not_in_agreement"),),
    consent="",
    has_acting_person=False,
)


def constants_of(path: str, call: str) -> set[str]:
    """Return the texts that stand in calls of a name in a module: facts of errors, names of outcomes."""
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    return {
        one.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == call
        for one in node.args
        if isinstance(one, ast.Constant) and isinstance(one.value, str)
    }


def source_facts() -> set[str]:
    modules = ROOT.glob("connectors/national_insurance/*.py")
    return set().union(
        *(constants_of(str(one.relative_to(ROOT)), "SourceAnswerRefused") for one in modules)
    ) & {"several_persons", "unexpected_person", "unexpected_column", "wrong_type"}


def reasons() -> set[str]:
    outcomes = [one for one in vars(entitlement_outcome).values() if isinstance(one, EntitlementOutcome)]
    mismatches = {one.name for one in outcomes if "050" <= one.gateway_code <= "100"}
    assert {"name_mismatch", "birth_date_mismatch", "not_found"} <= mismatches
    assert len(source_facts()) == 4
    forms = {
        f"form_{fact}"
        for fact in ("unknown_form", "bad_parameters", "pseudonym_key_missing", "aggregate_only")
    }
    documented = {row[0].strip("`") for row in table_rows(PAGES["release-refused"])} - {"reason"}
    return (
        refusal_reasons()
        | documented
        | set(FIELD_REASONS)
        | mismatches
        | {f"source_{fact}" for fact in source_facts()}
        | forms
        | {SourceUnavailable.kind, SourceTooSlow.kind, "status_only"}
    )


@pytest.mark.parametrize("reason", sorted(reasons()))
def test_a_reason_has_words_of_its_own_in_both_languages(reason: str) -> None:
    assert f"reason_{reason}" in WORDS
    vietnamese, english = (reason_in_words(reason, Words(language)) for language in ("vi", "en"))
    assert reason not in (vietnamese, english)
    assert vietnamese != english


def test_words_without_a_reason_are_none() -> None:
    known = {f"reason_{reason}" for reason in reasons()} | {"reason_other"}
    assert {key for key in WORDS if key.startswith("reason_")} == known


def test_a_reason_that_nobody_knows_is_told_by_its_code() -> None:
    assert reason_in_words("brand_new", Words("en")) == "it was stopped (code brand_new)"


def test_what_is_no_longer_in_the_registers_is_told_by_its_code() -> None:
    view = entry_view(ENTRY, shipped_policies(), Words("en"))
    assert view.organisation == "clinic-9"
    assert view.fields == (("gone_field", "gone_form"), ("Card valid to", "the value itself"))
    assert (view.legal_basis, view.citations) == ("", ())
    assert view.withheld == (("Bank account", "this field is not in the agreement"),)
    assert view.moment == "00:30 02/11/2026"


def test_bars_are_in_proportion_and_something_is_never_nothing() -> None:
    months = (date(2026, 10, 1), date(2026, 11, 1))
    counts = [
        HistoryCount(months[1], "a", ("", ""), is_released=True, count=999),
        HistoryCount(months[1], "b", ("", ""), is_released=False, count=1),
        HistoryCount(date(2025, 1, 1), "a", ("", ""), is_released=True, count=5),
    ]
    october, november = month_views(counts, months)
    assert (october.released, october.stopped, october.released_height, october.stopped_height) == (
        0,
        0,
        0,
        0,
    )
    assert (november.released_height, november.stopped_height) == (79, 2)
    assert november.stopped_y + november.stopped_height == november.released_y


def test_an_entry_that_is_no_look_says_in_words_what_it_notes() -> None:
    given = replace(ENTRY, kind="consent", event="given", result="", released=(), withheld=())
    view = entry_view(given, shipped_policies(), Words("en"))
    assert (view.is_look, view.result, view.organisation) == (False, "Given", "clinic-9")
    erased = replace(given, kind="erasure", event="kept", recipient="")
    view = entry_view(erased, shipped_policies(), Words("en"))
    assert view.result == "A year of evidence was to be erased; the law keeps it"
    assert view.organisation == "The agency that keeps the data"
    read = history_entry(one_of_each_kind()["log_read"], ("", ""))
    view = entry_view(read, shipped_policies(), Words("vi"))
    assert (view.result, view.organisation) == ("Lịch sử này đã được mở", Words("vi")("history_yourself"))
    assert entry_view(replace(read, event="auditor_decision"), shipped_policies(), Words("en")).result == (
        "An auditor checked a decision about your data again"
    )
    unknown = replace(given, event="something_new")
    assert entry_view(unknown, shipped_policies(), Words("vi")).result == "consent: something_new"


def test_every_note_that_the_log_can_hold_about_a_person_has_words() -> None:
    noted = {
        *(f"consents_event_{one}" for one in CONSENT_EVENTS),
        *(f"history_log_read_{one}" for one in get_args(Reader)),
        *(
            f"history_log_read_{reader}_{what}"
            for reader in ("operator", "auditor")
            for what in get_args(What)
            if what not in ("history", "export")
        ),
        "history_log_read_own_evidence_file",
        *(f"history_administration_{act}" for act, kind in ACTS.items() if kind in ABOUT_A_PERSON),
        "history_administration_notice_retried",
        "history_erasure_kept",
    }
    assert noted <= WORDS.keys()
