"""The check of evidence in a real browser: on the page, on the page of one's own entry, and from a disk."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Final
from urllib.parse import parse_qs, urlsplit

import pytest
from selenium.webdriver import ActionChains, Chrome, Keys
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement

from broker.cli.embedded import EmbeddedCluster
from broker.evidence.verifier import CHECK_NAMES
from consent_ui.verifying import OFFLINE, OFFLINE_HASH, OFFLINE_NAME
from consent_ui.words import WORDS
from tests import evidence_cases as made
from tests.contracts.source_fixtures import InsuranceDatabase
from tests.doors import wait_until
from tests.e2e.browser import driver_of, needs_browser, page_width, set_screen
from tests.e2e.pages import PagesBrowser, PagesWorld, pages_world
from tests.e2e.test_axe import in_every_size, lend_cookies
from tests.evidence_cases import Case, cases, verdict
from tests.evidence_entries import PAYLOAD, PAYLOAD_SALT, SUBJECT, release
from tests.evidence_log import LOG_KEY, ORIGIN, WITNESS_KEYS
from tests.release_world import World
from tests.served_log import ServedLog, served_log
from tests.serving import serving

pytestmark = [pytest.mark.slow, needs_browser]
LANGUAGES: Final = ("vi", "en")
AT_ONCE: Final = 500
"""Files that are judged in one call of the browser."""
JUDGE: Final = """
const [cases, done] = arguments;
const bytes = (text) => Uint8Array.from(atob(text), (one) => one.charCodeAt(0));
const told = (one) => one.isReadable
  ? {holds: one.holds, checks: one.checks.map((check) => [check.name, check.result, check.reason])}
  : {reason: one.reason};
import(document.querySelector("script[type=module]").src).then(async ({checkedFile}) => {
  const found = [];
  for (const [content, keys, identifier, payload] of cases) {
    const kept = payload === null ? null : bytes(payload);
    found.push(told(await checkedFile(bytes(content), {keys, identifier, payload: kept})));
  }
  return found;
}).then(done, (fault) => done(String(fault)));
"""


@dataclass
class Place:
    """A broker with a log, and a citizen of whom a bank has read."""

    pages: PagesWorld
    log: ServedLog
    browser: PagesBrowser
    reference: str
    answer: bytes

    @property
    def own_page(self) -> str:
        return f"{self.pages.issuer}/citizen/history/{self.reference}/evidence"

    @property
    def page(self) -> str:
        return f"{self.pages.issuer}/citizen/verify"


@pytest.fixture(scope="module")
def place(
    cluster: EmbeddedCluster,
    world: World,
    insurance: InsuranceDatabase,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Place]:
    with serving() as port:
        log = served_log(cluster, world, tmp_path_factory.mktemp("log"), port.url)
        with pages_world(world, insurance, port.url, log.settings.log_directory) as pages:
            port.put(pages.app)
            citizen, browser, bank = pages.citizen(), pages.browser(), pages.bank()
            location = browser.decide(browser.sign_in(citizen, bank.push())).headers["Location"]
            token = bank.redeem(parse_qs(urlsplit(location).query)["code"][0]).json()["access_token"]
            answer = bank.read(token)
            assert answer.status == 200, answer.body
            log.order()
            yield Place(pages, log, browser, answer.json()["evidence_reference"], answer.body)


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chrome]:
    with driver_of(tmp_path_factory.mktemp("chromium"), scripts=True) as driver:
        driver.set_script_timeout(600)
        yield driver


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory, place: Place) -> Path:
    """The page that is kept, as somebody downloads it."""
    answer = place.pages.browser().get("/citizen/verify.html")
    assert answer.status_code == 200
    path = tmp_path_factory.mktemp("kept") / OFFLINE_NAME
    path.write_bytes(answer.data)
    return path


class Tool:
    """One tool on the page that is open, as somebody uses it."""

    def __init__(self, driver: Chrome, directory: Path, language: str = "en") -> None:
        self.driver = driver
        self.directory = directory
        self.at = LANGUAGES.index(language)
        self.root = driver.find_element(By.CSS_SELECTOR, f"section.verify[lang={language}]")

    def part(self, name: str) -> WebElement:
        return self.root.find_element(By.CSS_SELECTOR, f'[data-part="{name}"]')

    def open_more(self) -> None:
        if not self.part("keys").is_displayed():
            self.root.find_element(By.TAG_NAME, "summary").click()

    def turn(self) -> int:
        return int(self.root.get_attribute("data-turn") or 0)

    def given(self, content: bytes) -> str:
        """Choose a file; return the verdict. A file of the same name would be no change to a browser."""
        path = self.directory / f"{len(list(self.directory.iterdir()))}.evidence.json"
        path.write_bytes(content)
        before = self.turn()
        self.part("file").send_keys(str(path))
        return self.verdict(before)

    def press(self) -> str:
        before = self.turn()
        self.part("check").click()
        return self.verdict(before)

    def verdict(self, before: int = 0) -> str:
        wait_until(lambda: self.turn() > before, "the check is over", 60)
        return str(self.root.get_attribute("data-verdict"))

    @property
    def heading(self) -> str:
        return self.part("result").find_element(By.TAG_NAME, "h2").text

    def checks(self) -> dict[str, tuple[str, str, str]]:
        """Return name → (result, reason, what is said) of each check."""
        rows = self.part("result").find_elements(By.CSS_SELECTOR, "[data-check]")
        return {
            str(one.get_attribute("data-check")): (
                str(one.get_attribute("data-result")),
                str(one.get_attribute("data-reason")),
                one.find_element(By.TAG_NAME, "dd").text,
            )
            for one in rows
        }

    def results(self) -> dict[str, str]:
        return {name: reason or result for name, (result, reason, _) in self.checks().items()}

    def facts(self) -> dict[str, str]:
        rows = self.part("result").find_elements(By.CSS_SELECTOR, "[data-fact]")
        return {
            str(one.get_attribute("data-fact")).removeprefix("fact_"): one.find_element(
                By.TAG_NAME, "dd"
            ).text
            for one in rows
        }

    def say(self, key: str) -> str:
        return WORDS[f"verify_js_{key}"][self.at]


def complaints(driver: Chrome) -> list[str]:
    """Return what the browser has said against the pages since it was asked last."""
    lines: list[dict[str, str]] = driver.get_log("browser")  # type: ignore[no-untyped-call]
    return [one["message"] for one in lines if "favicon" not in one["message"]]


def opened(driver: Chrome, address: str, directory: Path, language: str = "en") -> Tool:
    driver.get(f"{address}?lang={language}" if address.startswith("http") else f"{address}#{language}")
    tool = Tool(driver, directory, language)
    wait_until(lambda: not tool.part("unusable").is_displayed(), "the check can be used", 60)
    return tool


def told(case: Case) -> list[str | None]:
    kept = None if case.payload is None else base64.b64encode(case.payload).decode()
    return [base64.b64encode(case.content).decode(), case.keys, case.identifier, kept]


def test_browser_and_python_say_the_same_of_every_file(driver: Chrome, place: Place) -> None:
    driver.get(place.page)
    all_cases, differing, count = cases(), {}, 0
    names: set[str] = set()
    while batch := list(islice(all_cases, AT_ONCE)):
        said = driver.execute_async_script(JUDGE, [told(case) for _, case in batch])
        assert isinstance(said, list), said
        for (name, case), of_browser in zip(batch, said, strict=True):
            if of_browser != verdict(case):
                differing[name] = (of_browser, verdict(case))
        names |= {name for name, _ in batch}
        count += len(batch)
    assert differing == {}
    assert len(names) == count > 9_000


GOOD: Final = made.WHOLE.content
ROOT: Final = made.LOG.checkpoint().text.split("\n")[2]
NAMES: Final[tuple[str, ...]] = CHECK_NAMES
WHOLLY: Final = {**dict.fromkeys(NAMES, "holds"), "timestamp": "not_checked"}
UNSIGNED: Final = {"witnesses": "not_checked", "inclusion": "not_checked"}
SPOILT: Final[Mapping[str, tuple[bytes, dict[str, str]]]] = {
    "a bit of the entry": (
        made.with_entry(release(made.INDEX).decode().replace("desk-7", "desk-6")),
        {"inclusion": "inclusion_not_proven"},
    ),
    "another bit of the entry": (
        made.with_entry(release(made.INDEX).decode().replace("facility", "facilit9")),
        {"inclusion": "inclusion_not_proven"},
    ),
    "white space in the entry": (
        made.with_entry(release(made.INDEX).decode() + " "),
        {
            "entry_form": "entry_not_canonical",
            "inclusion": "inclusion_not_proven",
            "data_subject": "not_checked",
            "payload": "not_checked",
        },
    ),
    "a member twice": (
        made.with_entry(release(made.INDEX).decode()[:-1] + ',"kind":"release"}'),
        {
            "entry_form": "entry_not_canonical",
            "inclusion": "inclusion_not_proven",
            "data_subject": "not_checked",
            "payload": "not_checked",
        },
    ),
    "a large number": (
        made.with_entry(
            release(made.INDEX).decode().replace('"consent_version":null', f'"consent_version":{2**53}')
        ),
        {
            "entry_form": "entry_schema",
            "inclusion": "inclusion_not_proven",
            "data_subject": "not_checked",
            "payload": "not_checked",
        },
    ),
    "a hash of the proof": (
        made.with_proof(made.line_changed(3, lambda line: made.flipped(line, 9))),
        {"inclusion": "inclusion_not_proven"},
    ),
    "the index": (
        made.with_proof(lambda proof: proof.replace("index 7\n", "index 6\n")),
        {"inclusion": "inclusion_not_proven"},
    ),
    "an index beyond": (
        made.with_proof(lambda proof: proof.replace("index 7\n", "index 20\n")),
        {"inclusion": "index_beyond_tree"},
    ),
    "the root": (
        made.with_proof(lambda proof: proof.replace(ROOT, made.flipped(ROOT, 0))),
        {"log_signature": "log_signature_invalid", **UNSIGNED},
    ),
    "the signature": (
        made.with_proof(made.line_changed(-3, made.signature_flipped)),
        {"log_signature": "log_signature_invalid", **UNSIGNED},
    ),
    "another log's key": (
        made.with_members(log_keys=[made.OTHER_KEY.vkey]),
        {"log_signature": "checkpoint_unsigned", **UNSIGNED},
    ),
    "a proof cut short": (
        made.with_proof(lambda proof: proof[:200]),
        {"proof_form": "proof_malformed", "log_signature": "not_checked", **UNSIGNED},
    ),
    "the salt": (
        made.with_members(
            data_subject={
                "salt": base64.b64encode(PAYLOAD_SALT).decode(),
                "identifier": SUBJECT.decode(),
            }
        ),
        {"data_subject": "data_subject_differs"},
    ),
    "the payload": (
        made.with_members(
            payload={
                "salt": base64.b64encode(PAYLOAD_SALT).decode(),
                "content": base64.b64encode(PAYLOAD + b" ").decode(),
            }
        ),
        {"payload": "payload_differs"},
    ),
    "a missing cosignature": (
        made.with_proof(lambda proof: proof[: proof.rindex("— ")]),
        {"witnesses": "witnesses_missing"},
    ),
    "a forged cosignature": (
        made.with_proof(made.line_changed(-1, made.signature_flipped)),
        {"witnesses": "witness_signature_invalid"},
    ),
}
"""What is spoilt → the file, and the checks that then do not hold. All others hold."""
UNREADABLE: Final[Mapping[str, tuple[bytes, str]]] = {
    "cut short": (GOOD[: len(GOOD) // 2], "file_malformed"),
    "an unknown member": (made.with_members(comment="trust me"), "file_malformed"),
    "a member twice": (GOOD.rstrip()[:-1] + b',"format":"broker-evidence@v1"}', "file_malformed"),
    "a key with another id": (
        made.with_members(log_keys=[LOG_KEY.vkey.replace(LOG_KEY.key_id.hex(), "0" * 8)]),
        "key_malformed",
    ),
    "nothing": (b"", "file_malformed"),
}


@pytest.mark.parametrize("where", ["served", "kept"])
@pytest.mark.parametrize("language", LANGUAGES)
def test_a_good_file_holds_and_a_spoilt_one_names_what_fails(
    driver: Chrome, place: Place, kept: Path, tmp_path: Path, where: str, language: str
) -> None:
    tool = opened(driver, place.page if where == "served" else kept.as_uri(), tmp_path, language)
    complaints(driver)
    assert tool.given(GOOD) == "agrees"
    assert tool.heading == tool.say("agrees")
    assert tool.results() == WHOLLY
    assert driver.switch_to.active_element.text == tool.say("agrees")
    for what, (content, faults) in SPOILT.items():
        assert tool.given(content) == "not_proven", what
        assert tool.heading == tool.say("not_proven")
        checks = tool.checks()
        expected = {**WHOLLY, **faults}
        assert tool.results() == expected, what
        for name, said in expected.items():
            result = checks[name][0]
            begins = {"holds": "holds", "not_checked": "none", "fails": "reason"}[result]
            key = f"{begins}_{said if result == 'fails' else name}"
            assert checks[name][2] == f"{tool.say(f'result_{result}')} {tool.say(key)}", (what, name)
        assert tool.facts() == {}, what
    for what, (content, reason) in UNREADABLE.items():
        assert tool.given(content) == "unreadable", what
        assert tool.say(f"reason_{reason}") in tool.part("result").text, what
        assert tool.checks() == {}, what
    assert complaints(driver) == []


def test_of_a_good_file_the_page_tells_what_was_recorded(
    driver: Chrome, place: Place, tmp_path: Path
) -> None:
    tool = opened(driver, place.page, tmp_path)
    tool.given(GOOD)
    facts = tool.facts()
    assert facts["kind"] == "Data left"
    assert facts["at"].startswith("22/11/2026, 07:15:04")  # in Viet Nam
    assert facts["who"] == "facility-79001"
    assert facts["result"] == "Data was given"
    assert facts["place"] == "number 7 (counted from 0) of 20"
    assert facts["log"] == ORIGIN
    assert facts["root"] == made.LOG.checkpoint().root_hash.hex()
    assert len(facts["leaf"]) == 64
    assert facts["witness"].startswith(WITNESS_KEYS[1].name)


def test_keys_from_elsewhere_count_and_those_of_the_file_then_do_not(
    driver: Chrome, place: Place, tmp_path: Path
) -> None:
    tool = opened(driver, place.page, tmp_path)
    assert tool.given(GOOD) == "agrees"
    assert "The keys came with this very file." in tool.part("result").text
    tool.open_more()
    tool.part("keys").send_keys(LOG_KEY.vkey)
    assert tool.press() == "verified"
    assert tool.heading == "Verified: the entry stands in the log"
    assert "under the key that you brought along" in tool.part("result").text
    forged = dict(cases())["keys: forged, with its own key"].content
    assert tool.given(forged) == "not_proven"
    assert tool.results()["log_signature"] == "checkpoint_unsigned"
    tool.part("keys").clear()
    assert tool.press() == "agrees"  # a forger's file agrees with itself: that is all that its keys show
    tool.part("keys").send_keys("rubbish")
    assert tool.press() == "unreadable"
    assert tool.say("reason_key_malformed") in tool.part("result").text


def test_the_identifier_is_typed_where_the_file_does_not_hold_it(
    driver: Chrome, place: Place, tmp_path: Path
) -> None:
    salted = {**made.members()["data_subject"], "identifier": None}
    tool = opened(driver, place.page, tmp_path)
    assert tool.given(made.with_members(data_subject=salted)) == "agrees"
    assert tool.checks()["data_subject"][::2] == (
        "not_checked",
        "NOT CHECKED Salt and identifier were not both given: whom the entry is about is not known.",
    )
    tool.open_more()
    tool.part("identifier").send_keys("somebody else")
    assert tool.press() == "not_proven"
    assert tool.results()["data_subject"] == "data_subject_differs"
    tool.part("identifier").clear()
    tool.part("identifier").send_keys(SUBJECT.decode(), Keys.ENTER)
    wait_until(lambda: tool.root.get_attribute("data-verdict") == "agrees", "the check is over", 60)
    assert tool.results()["data_subject"] == "holds"


def test_a_file_can_be_dropped(driver: Chrome, place: Place, tmp_path: Path) -> None:
    tool = opened(driver, place.page, tmp_path)
    driver.execute_script(
        """const [root, text] = arguments, data = new DataTransfer();
        data.items.add(new File([text], "mine.evidence.json"));
        root.dispatchEvent(new DragEvent("drop", {dataTransfer: data, bubbles: true, cancelable: true}));""",
        tool.root,
        GOOD.decode(),
    )
    assert tool.verdict() == "agrees"
    assert tool.given(made.with_proof(lambda _: "x")) == "not_proven"  # what is chosen later counts


def test_without_a_file_it_asks_for_one(driver: Chrome, place: Place, tmp_path: Path) -> None:
    tool = opened(driver, place.page, tmp_path)
    assert tool.press() == "no_file"
    assert tool.heading == "Choose an evidence file first"


def test_ones_own_entry_is_checked_as_soon_as_its_page_is_opened(
    driver: Chrome, place: Place, tmp_path: Path
) -> None:
    lend_cookies(driver, place.browser)
    complaints(driver)
    driver.get(f"{place.pages.issuer}/citizen/history?lang=en")
    driver.find_element(By.CSS_SELECTOR, f"a[href*='{place.reference}/evidence']").click()
    wait_until(lambda: f"{place.reference}/evidence" in driver.current_url, "the page is there")
    tool = Tool(driver, tmp_path)
    assert tool.verdict() == "agrees"
    results = tool.results()
    unasked = {name for name, result in results.items() if result == "not_checked"}
    assert unasked == {"witnesses", "timestamp", "payload"}
    assert set(results.values()) == {"holds", "not_checked"}
    file = place.browser.get(f"/citizen/history/{place.reference}/evidence.json").data
    assert tool.root.get_attribute("data-file") == file.decode()
    tool.open_more()
    year = int(json.loads(json.loads(file)["entry"])["at"][:4])
    tool.part("keys").send_keys(place.log.key(year).vkey)
    answer = tmp_path / "answer"
    answer.write_bytes(place.answer)
    tool.part("payload").send_keys(str(answer))
    assert tool.press() == "verified"
    assert tool.results()["payload"] == "holds"
    longer = tmp_path / "longer"
    longer.write_bytes(place.answer + b" ")
    tool.part("payload").send_keys(str(longer))
    assert tool.press() == "not_proven"
    assert tool.results()["payload"] == "payload_differs"
    assert complaints(driver) == []


def test_the_page_that_is_kept_asks_nobody_for_anything(
    driver: Chrome, kept: Path, tmp_path: Path, place: Place
) -> None:
    assert kept.read_bytes() == OFFLINE
    complaints(driver)
    tool = opened(driver, kept.as_uri(), tmp_path, "vi")
    assert driver.execute_script("return [location.protocol, isSecureContext]") == ["file:", True]
    assert tool.given(GOOD) == "agrees"
    asked = "return performance.getEntriesByType('resource').map((one) => one.name)"
    assert driver.execute_script(asked) == []
    assert complaints(driver) == []
    english = driver.find_element(By.CSS_SELECTOR, "section.verify[lang=en]")
    assert not english.is_displayed()
    driver.find_element(By.CSS_SELECTOR, "a[href='#en']").click()
    wait_until(english.is_displayed, "the other language is shown")
    assert not tool.root.is_displayed()
    assert driver.find_element(By.TAG_NAME, "html").get_attribute("lang") == "en"
    # What it may do is written into it: not even a script of the page itself could send anything.
    blocked = driver.execute_async_script(
        "const [address, done] = arguments;"
        "fetch(address).then(() => done('sent'), (fault) => done(fault.name));",
        place.page,
    )
    assert blocked == "TypeError"
    assert any("Content Security Policy" in one for one in complaints(driver))


def test_the_page_tells_the_hash_of_the_one_that_is_kept(place: Place) -> None:
    shown = place.pages.browser().get("/citizen/verify?lang=en")
    assert shown.status_code == 200
    assert f"<code>{OFFLINE_HASH}</code>" in shown.text
    assert f'href="/citizen/verify.html" download="{OFFLINE_NAME}"' in shown.text
    answer = place.pages.browser().get("/citizen/verify.html")
    assert answer.headers["Content-Disposition"] == f'attachment; filename="{OFFLINE_NAME}"'
    assert answer.mimetype == "application/octet-stream"


LACKING: Final = {
    "Ed25519": "const own = SubtleCrypto.prototype.importKey;"
    "SubtleCrypto.prototype.importKey = function (format, key, algorithm, ...rest) {"
    "  return algorithm.name === 'Ed25519'"
    "    ? Promise.reject(new DOMException('none', 'NotSupportedError'))"
    "    : own.call(this, format, key, algorithm, ...rest);};",
    "any cryptography": "Object.defineProperty(Crypto.prototype, 'subtle', {get: () => undefined});",
    "an honest Ed25519": "SubtleCrypto.prototype.verify = () => Promise.resolve(true);",
}


@pytest.mark.parametrize("what", LACKING)
def test_where_a_browser_lacks_what_it_takes_nothing_is_ever_verified(
    driver: Chrome, place: Place, tmp_path: Path, what: str
) -> None:
    added = driver.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": LACKING[what]})
    try:
        tool = opened(driver, place.page, tmp_path)
        tool.open_more()
        tool.part("keys").send_keys(LOG_KEY.vkey)
        assert tool.given(GOOD) == "unsupported"
        assert tool.heading == "This browser cannot check signatures"
        assert "NOTHING is proven" in tool.part("result").text
        results = tool.results()
        assert tool.facts() == {}
        if what != "any cryptography":
            assert results["log_signature"] == results["inclusion"] == "not_checked"
            assert results["entry_form"] == "holds"
            assert tool.given(SPOILT["a large number"][0]) == "not_proven"
    finally:
        driver.execute_cdp_cmd("Page.removeScriptToEvaluateOnNewDocument", added)


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_pages_are_without_fault_whatever_they_say(
    driver: Chrome, place: Place, kept: Path, tmp_path: Path, language: str
) -> None:
    lend_cookies(driver, place.browser)
    faults = []
    driver.execute_cdp_cmd("Page.setBypassCSP", {"enabled": True})
    try:
        for address in (place.page, kept.as_uri(), place.own_page):
            tool = opened(driver, address, tmp_path, language)
            tool.open_more()
            faults += in_every_size(driver, f"{address} at first")
            if address != place.own_page:
                for content in (GOOD, SPOILT["the root"][0], b"x"):
                    verdict = tool.given(content)
                    faults += in_every_size(driver, f"{address} {verdict}")
            else:
                tool.part("keys").send_keys(made.OTHER_KEY.vkey)
                faults += in_every_size(driver, f"{address} {tool.press()}")
    finally:
        driver.execute_cdp_cmd("Page.setBypassCSP", {"enabled": False})
    assert faults == []


def test_all_of_it_is_done_with_the_keyboard_on_a_phone(driver: Chrome, kept: Path, tmp_path: Path) -> None:
    set_screen(driver, 320, is_mobile=True)
    tool = opened(driver, kept.as_uri(), tmp_path, "en")
    reached = []
    while "check" not in reached:
        ActionChains(driver).send_keys(Keys.TAB).perform()
        active = driver.switch_to.active_element
        reached.append(active.get_attribute("data-part") or active.tag_name)
        assert len(reached) < 12, reached
        if reached[-1] == "file":
            assert tool.given(GOOD) == "agrees"  # the browser's own dialogue is not ours to open
            assert driver.switch_to.active_element.tag_name == "h2"
            driver.execute_script("arguments[0].focus()", tool.part("file"))
        if reached[-1] == "summary":
            ActionChains(driver).send_keys(Keys.ENTER).perform()
            wait_until(tool.part("keys").is_displayed, "what was folded is open")
        if reached[-1] == "keys":
            ActionChains(driver).send_keys(LOG_KEY.vkey).perform()
    assert reached[-6:] == ["file", "summary", "keys", "identifier", "payload", "check"]
    before = tool.turn()
    ActionChains(driver).send_keys(Keys.SPACE).perform()
    assert tool.verdict(before) == "verified"
    assert page_width(driver) <= 320


def test_without_scripts_the_pages_say_how_else_to_check(place: Place, kept: Path, tmp_path: Path) -> None:
    with driver_of(tmp_path / "plain", scripts=False) as plain:
        plain.get(place.page)
        lend_cookies(plain, place.browser)
        for address, languages in (
            (f"{place.page}?lang=en", ["en"]),
            (f"{place.own_page}?lang=vi", ["vi"]),
            (kept.as_uri(), ["vi", "en"]),
        ):
            plain.get(address)
            for language in languages:
                tool = Tool(plain, tmp_path, language)
                assert tool.part("unusable").is_displayed(), address
                assert "broker evidence verify" in tool.part("unusable").text
                assert WORDS["verify_unusable"][tool.at] in tool.part("unusable").text
                assert not tool.part("form").is_displayed()
        plain.get(f"{place.own_page}?lang=en")
        assert "Download the evidence file" in plain.find_element(By.TAG_NAME, "main").text
        assert plain.find_elements(By.CSS_SELECTOR, "a[download$='.evidence.json']") != []
