"""What the pages about one's own data need from behind, and their routes."""

from __future__ import annotations

from dataclasses import dataclass

from flask import Blueprint

from broker.actions.complain import Complain
from broker.actions.own_looks import OwnLooks
from broker.actions.published_log import PublishedLog
from broker.actions.show_history import ShowHistory
from consent_ui.addresses import (
    CHILD_CONSENT_RULE,
    CHILD_REQUEST_RULE,
    CHILD_WITHDRAWAL_RULE,
    COMPLAINT_RULE,
    COMPLAINTS_RULE,
    EVIDENCE_FILE_RULE,
    EVIDENCE_RULE,
    HIDDEN_READS_FILE_RULE,
    HIDDEN_READS_RULE,
    HISTORY_RULE,
    RECORD_RULE,
    REPRESENTATION_RULE,
)
from consent_ui.complaint_views import ComplaintViews
from consent_ui.evidence_views import EvidenceViews
from consent_ui.hidden_reads import HiddenReadParts, HiddenReadViews
from consent_ui.history_views import HistoryViews
from consent_ui.previews import Previewing, Previews
from consent_ui.record_views import OwnRecords, RecordViews
from consent_ui.representation_views import RepresentationParts, RepresentationViews
from consent_ui.represented_consents import RepresentedConsentViews
from consent_ui.represented_extension import RepresentedExtensionViews
from consent_ui.visit import Visit
from policies.compile import PolicySet


@dataclass(frozen=True, slots=True)
class OwnParts:
    """The verbs behind these pages."""

    history: ShowHistory
    looks: OwnLooks
    record: OwnRecords
    preview: Previews
    complaints: Complain
    representation: RepresentationParts
    log: PublishedLog
    hidden: HiddenReadParts


def add_own_pages(blueprint: Blueprint, visit: Visit, policies: PolicySet, parts: OwnParts) -> None:
    """Add the routes to the blueprint of the citizen's pages."""
    history = HistoryViews(visit, policies, parts.history, parts.looks)
    evidence = EvidenceViews(visit, parts.history, parts.looks, parts.log)
    record = RecordViews(visit, policies, parts.record)
    complaints = ComplaintViews(visit, policies, parts.complaints, parts.looks)
    previewing = Previewing(visit, policies, parts.preview)
    representation = RepresentationViews(visit, policies, parts.representation, previewing)
    given = RepresentedConsentViews(visit, policies, parts.representation, representation)
    blueprint.add_url_rule(HISTORY_RULE, "who_saw", history.show, methods=["GET"])
    blueprint.add_url_rule(EVIDENCE_RULE, "evidence", evidence.show, methods=["GET"])
    blueprint.add_url_rule(EVIDENCE_FILE_RULE, "evidence_file", evidence.file, methods=["GET"])
    hidden = HiddenReadViews(visit, policies, parts.hidden)
    blueprint.add_url_rule(HIDDEN_READS_RULE, "hidden_reads", hidden.show, methods=["GET"])
    blueprint.add_url_rule(HIDDEN_READS_FILE_RULE, "hidden_reads_file", hidden.file, methods=["GET"])
    blueprint.add_url_rule(RECORD_RULE, "record", record.show, methods=["GET"])
    blueprint.add_url_rule(RECORD_RULE, "read_record", record.read, methods=["POST"])
    blueprint.add_url_rule(COMPLAINTS_RULE, "complaints", complaints.show, methods=["GET"])
    blueprint.add_url_rule(COMPLAINT_RULE, "complaint_form", complaints.form, methods=["GET"])
    blueprint.add_url_rule(COMPLAINT_RULE, "file_complaint", complaints.file, methods=["POST"])
    blueprint.add_url_rule(REPRESENTATION_RULE, "representation", representation.show, methods=["GET"])
    blueprint.add_url_rule(CHILD_REQUEST_RULE, "child_request", representation.show_request, methods=["GET"])
    blueprint.add_url_rule(CHILD_REQUEST_RULE, "decide_for_child", representation.decide, methods=["POST"])
    blueprint.add_url_rule(CHILD_CONSENT_RULE, "child_consent", given.show, methods=["GET"])
    blueprint.add_url_rule(CHILD_CONSENT_RULE, "act_for_child", given.act, methods=["POST"])
    blueprint.add_url_rule(CHILD_WITHDRAWAL_RULE, "child_withdrawal", given.show_withdrawal, methods=["GET"])
    RepresentedExtensionViews(visit, policies, parts.representation, given).add_to(blueprint)
