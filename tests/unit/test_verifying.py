"""The check for browsers as it is put together: one script, the same in the page to keep, all its words."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from html.parser import HTMLParser

import pytest

from broker.cli.evidence_words import HOLDS, NOT_CHECKED, REASONS, RESULTS
from broker.evidence import entry, shapes
from broker.evidence.evidence_file import FORMAT
from broker.evidence.kinds import CHECKS
from broker.evidence.verifier import CHECK_NAMES
from consent_ui.verifying import OFFLINE, PARTS, SCRIPT, SENTENCES, offline_page
from consent_ui.words import LANGUAGES
from tests.evidence_cases import CLOSED, cases, verdict
from tests.evidence_entries import decoded, one_of_each_kind
from tests.house.project import ROOT

TEXT = SCRIPT.decode()


class Document(HTMLParser):
    """What stands in the page to keep: texts of scripts and styles, addresses, policies."""

    def __init__(self) -> None:
        super().__init__()
        self.inside: dict[str, list[str]] = {"script": [], "style": []}
        self.addresses: list[str] = []
        self.policies: list[str] = []
        self.at = ""
        self.feed(OFFLINE.decode())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.at = tag
        given = dict(attrs)
        self.addresses += [str(given[name]) for name in ("href", "src", "action") if name in given]
        if given.get("http-equiv") == "Content-Security-Policy":
            self.policies.append(str(given["content"]))
        assert not [name for name in given if name.startswith("on") or name == "style"]

    def handle_data(self, data: str) -> None:
        if self.at in self.inside:
            self.inside[self.at].append(data)
            self.at = ""


def hash_of(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def test_the_script_is_its_files_behind_one_another() -> None:
    directory = ROOT / "consent_ui/static/verify"
    assert sorted(PARTS) == sorted(path.name for path in directory.iterdir())
    assert b"\n".join((directory / name).read_bytes() for name in PARTS) == SCRIPT


def test_each_file_of_the_script_can_be_read_at_one_go() -> None:
    for name in PARTS:
        lines = (ROOT / "consent_ui/static/verify" / name).read_text("utf-8").split("\n")
        assert len([line for line in lines if line.strip()]) <= 250, name
        assert max(map(len, lines)) <= 130, name


def test_the_script_asks_nobody_runs_no_text_and_writes_no_markup() -> None:
    forbidden = (
        r"fetch\(|XMLHttpRequest|WebSocket|sendBeacon|EventSource|https?://|\bimport\b|eval\(|Function\("
    )
    forbidden += r"|innerHTML|outerHTML|insertAdjacent|document\.write|localStorage|sessionStorage|cookie"
    code = re.sub(r"^\s*//.*$", "", TEXT, flags=re.MULTILINE)
    assert re.findall(forbidden, code) == []


def test_the_page_to_keep_has_script_and_style_inside_and_leads_nowhere() -> None:
    document = Document()
    assert document.inside["script"] == [TEXT]
    [style] = document.inside["style"]
    assert "@font-face" not in style
    assert "url(" not in style
    assert ".govuk-button" in style
    assert document.addresses == ["#vi", "#en"]
    allowed = f"default-src 'none'; script-src {hash_of(TEXT)}; style-src {hash_of(style)}"
    assert document.policies == [f"{allowed}; base-uri 'none'; form-action 'none'"]


def test_one_release_makes_one_page() -> None:
    assert offline_page(SCRIPT) == OFFLINE


@pytest.mark.parametrize("end", ["</script>", "</SCRIPT ", "<!--"])
def test_a_script_that_would_end_early_is_never_put_into_a_page(end: str) -> None:
    with pytest.raises(ValueError, match="cannot stand inside a page"):
        offline_page(f'const a = "{end}";'.encode())


@pytest.mark.parametrize("language", LANGUAGES)
def test_browser_and_program_say_the_same_sentences(language: str) -> None:
    told = json.loads(SENTENCES[language])
    at = LANGUAGES.index(language)
    for begins, words in (("holds", HOLDS), ("none", NOT_CHECKED), ("result", RESULTS), ("reason", REASONS)):
        own = {
            key.removeprefix(f"{begins}_"): said for key, said in told.items() if key.startswith(f"{begins}_")
        }
        program = {key: (one.vi, one.en)[at] for key, one in words.items()}
        assert own == {key: program[key] for key in own}, begins
        if begins != "reason":
            # A time stamp is the program's to check: here it neither holds nor fails.
            assert set(program) - set(own) == ({"timestamp"} if begins == "holds" else set())


def test_every_check_kind_and_reason_that_can_be_said_has_words() -> None:
    told = json.loads(SENTENCES["vi"])
    judged = [verdict(case) for _, case in cases()]
    reasons = {one["reason"] for one in judged if "reason" in one}
    reasons |= {reason for one in judged for _, _, reason in one.get("checks", ()) if reason is not None}
    assert {key.removeprefix("reason_") for key in told if key.startswith("reason_")} == reasons
    assert {key.removeprefix("check_") for key in told if key.startswith("check_")} == set(CHECK_NAMES)
    assert {key.removeprefix("kind_") for key in told if key.startswith("kind_")} == set(CHECKS)
    assert f'const FORMAT = "{FORMAT}";' in TEXT


def test_every_kind_has_its_members_in_the_script_too() -> None:
    """What the browser test finds only in a browser: a member that is new in one of the two places."""
    text = (ROOT / "consent_ui/static/verify/entries.js").read_text("utf-8")
    blocks = dict(re.findall(r"^  ([a-z_]+): \{\n(.*?)^  \},", text, flags=re.DOTALL | re.MULTILINE))
    [decision] = re.findall(r"^const DECISION = \{\n(.*?)^\};", text, flags=re.DOTALL | re.MULTILINE)
    blocks |= {"release": decision, "refusal": decision}
    assert "release: DECISION," in text
    assert "refusal: DECISION," in text
    members = {
        kind: set(re.findall(r"^ +([a-z_]+): ", block, re.MULTILINE)) for kind, block in blocks.items()
    }
    told = {kind: set(decoded(one)) - {"kind", "schema"} for kind, one in one_of_each_kind().items()}
    assert members == told
    for kind, words in CLOSED.items():
        for closed in words.values():
            missing = [word for word in closed if not re.search(rf'"{word}"|\n  {word}: ', text)]
            assert missing == [], kind


def test_every_form_of_a_member_is_the_same_pattern_in_both_places() -> None:
    text = (ROOT / "consent_ui/static/verify/forms.js").read_text("utf-8")
    own = [shapes._CODE, shapes._ID, shapes._KEY_ID, shapes._HASH, shapes._KEYED_HASH, shapes._REFERENCE]
    for pattern in (*own, entry._CODE, entry._NAME, entry._RULE):
        written = pattern.pattern.replace(r"\Z", "$").replace(r"\-", "-")
        assert f"isMatching(/^{written}$/)" in text, pattern.pattern


def test_the_files_that_are_judged_have_names_of_their_own_and_both_ends() -> None:
    names = [name for name, _ in cases()]
    assert len(names) == len(set(names))
    judged = [verdict(case) for _, case in cases()]
    assert sum(one.get("holds", False) for one in judged) > 100
