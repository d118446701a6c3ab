"""A client in another language that nobody here wrote, openid-client, knows the broker by discovery alone."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.bank_and_citizen import Account, Bank, HandBrowser, create_account, register_bank
from tests.contracts.source_fixtures import InsuranceDatabase
from tests.doors import Server
from tests.house.project import ROOT
from tests.oauth_flow import INCOME

PROGRAM = ROOT / "tests/e2e/openid_client"
NODE, NPM = shutil.which("node"), shutil.which("npm")
SECONDS = 300
AWAY = (
    *("ENOTFOUND", "EAI_AGAIN", "EAI_FAIL", "ECONNREFUSED", "ECONNRESET", "ETIMEDOUT", "ENETUNREACH"),
    *("EHOSTUNREACH", "EPIPE", "ERR_SOCKET_TIMEOUT", "E429", "E500", "E502", "E503", "E504"),
)
"""What npm says where its registry cannot be reached; anything else is a fault of ours."""

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(NODE is None or NPM is None, reason="Node.js with npm is not installed here"),
]


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The program with its library, in the one version that the lock file names."""
    directory = tmp_path_factory.mktemp("openid_client")
    for file in PROGRAM.iterdir():
        shutil.copy(file, directory)
    install = [str(NPM), "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--prefer-offline"]
    try:
        done = subprocess.run(install, cwd=directory, capture_output=True, text=True, timeout=120)
    except subprocess.TimeoutExpired:
        pytest.skip("npm's registry does not answer from here")
    if done.returncode and any(code in done.stderr for code in AWAY):
        pytest.skip("openid-client cannot be fetched from npm's registry here")
    assert done.returncode == 0, done.stderr
    return directory / "flow.mjs"


@pytest.fixture(scope="module")
def bank(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Bank:
    return register_bank(server.environ, tmp_path_factory.mktemp("bank"))


@pytest.fixture
def citizen(server: Server, tmp_path: Path, insurance: InsuranceDatabase) -> Account:
    return create_account(server.environ, tmp_path, insurance)


def run(
    program: Path, server: Server, bank: Bank, citizen: Account, changes: Mapping[str, str]
) -> tuple[int, dict[str, Any], str]:
    """Run the program with a citizen who gives; return exit code, what it learnt, and what it complained of.

    changes: what to replace in the address with which the browser comes back.
    """
    command = [str(NODE), str(program), server.issuer, str(bank.key_file), bank.redirect_uri]
    with subprocess.Popen(
        [*command, json.dumps([INCOME])],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as running:
        assert running.stdout is not None
        assert running.stderr is not None
        address = running.stdout.readline().strip()
        assert address, running.stderr.read()
        location = HandBrowser(server.issuer).decide(address, citizen)
        for old, new in changes.items():
            assert old in location
            location = location.replace(old, new)
        printed, faults = running.communicate(location + "\n", timeout=SECONDS)
    return running.returncode, json.loads(printed or "{}"), faults


def test_openid_client_goes_the_whole_way(
    program: Path, server: Server, bank: Bank, citizen: Account
) -> None:
    code, learnt, faults = run(program, server, bank, citizen, {})
    assert code == 0, faults
    assert learnt["claims"]["iss"] == server.issuer
    assert learnt["claims"]["sub"] == learnt["info"]["sub"]
    assert [one["fields"] for one in learnt["granted"]] == [INCOME["fields"]]
    assert learnt["info"]["constraint"] == "dpop"
    assert learnt["before"]["active"] is True
    assert (learnt["after"], learnt["refused"]) == ({"active": False}, 401)


@pytest.mark.parametrize(
    ("changes", "told"),
    [({"iss=": "iss=x"}, 'unexpected "iss"'), ({"state=": "state=x"}, 'unexpected "state"')],
)
def test_openid_client_believes_no_answer_of_another(
    program: Path, server: Server, bank: Bank, citizen: Account, changes: Mapping[str, str], told: str
) -> None:
    code, learnt, faults = run(program, server, bank, citizen, changes)
    assert (code, learnt) == (1, {})
    assert told in faults
