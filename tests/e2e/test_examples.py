"""The examples of docs/examples do what they say: against a real server and its own pages."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
import urllib3
from selenium.webdriver.common.by import By

from tests.bank_and_citizen import (
    Account,
    Bank,
    HandBrowser,
    answer_of,
    asking,
    create_account,
    register_bank,
)
from tests.contracts.source_fixtures import InsuranceDatabase
from tests.doors import Server, wait_until
from tests.e2e.browser import driver_of, needs_browser
from tests.house.project import ROOT

PYTHON, SHELL = ROOT / "docs/examples/read_by_consent.py", ROOT / "docs/examples/read_by_consent.sh"
SECONDS = 300


@pytest.fixture(scope="module")
def bank(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Bank:
    return register_bank(server.environ, tmp_path_factory.mktemp("bank"))


@pytest.fixture
def citizen(server: Server, tmp_path: Path, insurance: InsuranceDatabase) -> Account:
    return create_account(server.environ, tmp_path, insurance)


def first_json(printed: str, count: int = 3) -> list[dict[str, Any]]:
    """Return the JSON objects that stand on lines of their own."""
    found = [json.loads(line) for line in printed.splitlines() if line.startswith("{")]
    assert len(found) == count, printed
    return found


def python_example(server: Server, bank: Bank, directory: Path) -> AbstractContextManager[tuple[Any, str]]:
    """Run the Python example; give the process and the address at which it opened its browser."""
    command = [sys.executable, "-W", "error", str(PYTHON), server.issuer]
    return asking([*command, str(bank.key_file), bank.redirect_uri], directory, SECONDS)


def come_back(location: str) -> str:
    """Bring the browser back to the example, and return what it shows there."""
    return urllib3.request("GET", location, timeout=60).data.decode()


def test_the_python_example_is_short() -> None:
    lines = [line for line in PYTHON.read_text(encoding="utf-8").splitlines() if line.strip()]
    assert len([line for line in lines if not line.startswith(("import ", "from ", '"""'))]) <= 60


def test_the_python_example_reads_by_consent(
    server: Server, bank: Bank, citizen: Account, tmp_path: Path
) -> None:
    with python_example(server, bank, tmp_path) as (example, address):
        location = HandBrowser(server.issuer).decide(address, citizen)
        assert location.startswith(bank.redirect_uri + "?")
        assert come_back(location) == "Thank you. You may close this page."
        printed, faults = example.communicate(timeout=SECONDS)
    assert (example.returncode, faults) == (0, "")
    info, record, introspected = first_json(printed)
    [rows] = record["groups"].values()
    assert {name for row in rows for name in row} | set(record["fields"]) == {"si_status", "salary_base"}
    for told in (info, introspected):
        assert told["client_id"] == bank.client_id
        assert [one["fields"] for one in told["authorization_details"]] == [["si_status", "salary_base"]]
    assert introspected["active"] is True
    assert introspected["cnf"] == info["cnf"] == {"jkt": bank.key.jkt}
    with bank.calling(server.issuer, "grant_management_query") as caller:
        # The example ends with revocation: of what was consented to nothing is left.
        assert caller.request("GET", f"/oauth/grants/{info['grant_id']}").status == 404


def test_the_python_example_hears_that_the_citizen_refused(
    server: Server, bank: Bank, citizen: Account, tmp_path: Path
) -> None:
    with python_example(server, bank, tmp_path) as (example, address):
        come_back(HandBrowser(server.issuer).decide(address, citizen, choice="refuse"))
        printed, faults = example.communicate(timeout=SECONDS)
    assert (example.returncode, printed) == (1, "")
    assert faults == "the citizen has not consented: access_denied\n"


@pytest.mark.parametrize("changed", ["iss", "state"])
def test_the_python_example_believes_no_answer_of_another(
    server: Server, bank: Bank, citizen: Account, tmp_path: Path, changed: str
) -> None:
    with python_example(server, bank, tmp_path) as (example, address):
        answer = answer_of(HandBrowser(server.issuer).decide(address, citizen))
        forged = {**answer, changed: "https://attacker.example"}
        come_back(f"{bank.redirect_uri}?{urlencode(forged)}")
        printed, faults = example.communicate(timeout=SECONDS)
    assert (example.returncode, printed, faults) == (1, "", "not an answer to this\n")


TOOLS = [name for name in ("bash", "curl", "jq", "openssl") if shutil.which(name) is None]


class TestShell:
    pytestmark = pytest.mark.skipif(bool(TOOLS), reason=f"not installed here: {', '.join(TOOLS)}")

    def run(
        self, server: Server, bank: Bank, citizen: Account, change: str = "", choice: str = "give"
    ) -> Any:
        """Run the example in a shell, and type where the browser came back to. change: iss or state."""
        command = [str(SHELL), server.issuer, str(bank.key_file), bank.redirect_uri]
        environ = {**os.environ, "BROKER": f"{sys.executable} -m broker.cli"}
        with subprocess.Popen(
            command,
            env=environ,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as example:
            assert example.stderr is not None
            address = example.stderr.readline().removeprefix("Open in a browser: ").strip()
            location = HandBrowser(server.issuer).decide(address, citizen, choice=choice)
            if change:
                location = location.replace(f"{change}=", f"{change}=x")
            printed, faults = example.communicate(location + "\n", timeout=SECONDS)
        return example.returncode, printed, faults

    def test_it_reads_by_consent(self, server: Server, bank: Bank, citizen: Account) -> None:
        code, printed, faults = self.run(server, bank, citizen)
        assert code == 0, faults
        info, record, introspected = first_json(printed)
        assert record["fields"]["si_status"]["form"] == "value"
        assert info["grant_id"] == introspected["grant_id"]
        assert introspected["active"] is True
        with bank.calling(server.issuer, "grant_management_query") as caller:
            assert caller.request("GET", f"/oauth/grants/{info['grant_id']}").status == 404

    @pytest.mark.parametrize(
        ("change", "told"), [("iss", "of another server (RFC 9207)"), ("state", "to another request")]
    )
    def test_it_believes_no_answer_of_another(
        self, server: Server, bank: Bank, citizen: Account, change: str, told: str
    ) -> None:
        code, printed, faults = self.run(server, bank, citizen, change)
        assert (code, printed) == (1, "")
        assert told in faults

    def test_it_hears_that_the_citizen_refused(self, server: Server, bank: Bank, citizen: Account) -> None:
        code, printed, faults = self.run(server, bank, citizen, choice="refuse")
        assert (code, printed) == (1, "")
        assert faults.endswith("no code: access_denied\n")


@pytest.mark.slow
@needs_browser
def test_somebody_decides_in_a_real_browser_without_scripts_and_the_example_goes_on(
    server: Server, bank: Bank, citizen: Account, tmp_path: Path
) -> None:
    with (
        driver_of(tmp_path / "chromium", scripts=False) as driver,
        python_example(server, bank, tmp_path) as (example, address),
    ):
        driver.get(address)
        for name, typed in {
            "personal_id": citizen.personal_id,
            "password": citizen.password,
            "one_time_code": citizen.code(),
        }.items():
            driver.find_element(By.ID, name).send_keys(typed)
        driver.find_element(By.CSS_SELECTOR, "main button[type=submit]").click()
        wait_until(lambda: bool(driver.find_elements(By.NAME, "field")), "the decision page is there")
        boxes = driver.find_elements(By.NAME, "field")
        assert [box.get_attribute("checked") for box in boxes] == [None, None]
        next(box for box in boxes if str(box.get_attribute("value")).endswith("si_status")).click()
        driver.find_element(By.CSS_SELECTOR, "button[value=give]").click()
        wait_until(lambda: "Thank you" in driver.page_source, "the browser is back at the example")
        printed, faults = example.communicate(timeout=SECONDS)
    assert (example.returncode, faults) == (0, "")
    info, record, _ = first_json(printed)
    # Only what was ticked.
    assert [one["fields"] for one in info["authorization_details"]] == [["si_status"]]
    assert (set(record["fields"]), record["groups"]) == ({"si_status"}, {})
