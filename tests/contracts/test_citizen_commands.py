"""broker citizen: what it makes, prints and refuses."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyotp
import pytest
from click.testing import CliRunner, Result
from sqlalchemy import text

import broker.cli.citizen
from broker.cli import main
from broker.cli.session import Session
from broker.clock import system_clock
from broker.evidence.pseudonyms import KeyedPseudonyms
from broker.oauth.citizen_passwords import Passwords
from broker.oauth.citizen_secrets import CitizenSecrets
from broker.oauth.citizens import CitizenSignIn, SignInAttempt, SignInRefused
from broker.settings import Settings
from broker.storage.citizens import PostgresCitizens
from broker.storage.session import open_store
from tests.acting import ACTS
from tests.oauth_world import KEY_ENCRYPTION_KEY, Database, on_that_database

PERSONAL_ID = "001090123456"
PASSWORD = "con mèo trèo cây cau"
CREATE = ["citizen", "create", "--personal-id", PERSONAL_ID]


@pytest.fixture
def run(database: Database, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Give a function that runs one command on emptied tables; nothing that it prints names the person."""
    with database.owner.begin() as connection:
        connection.execute(text("TRUNCATE citizens CASCADE"))
    chosen = on_that_database(settings, database)

    @contextmanager
    def open_session() -> Iterator[Session]:
        store = open_store(chosen.database_url, deadline_seconds=5)
        try:
            yield Session(chosen, store)
        finally:
            store.close()

    monkeypatch.setattr(broker.cli.citizen, "open_session", open_session)

    def command(*arguments: str, expect: int = 0, typed: str | None = None) -> Result:
        result = CliRunner().invoke(main, arguments, input=typed)
        assert result.exit_code == expect, (result.output, result.exception)
        assert PERSONAL_ID not in result.output
        assert PASSWORD not in result.output
        return result

    return command


@pytest.fixture
def sign_in(database: Database, settings: Settings) -> CitizenSignIn:
    return CitizenSignIn(
        store=PostgresCitizens(database.application, ACTS),
        references=KeyedPseudonyms(settings.pseudonym_key_file.reveal()),
        secrets_=CitizenSecrets(KEY_ENCRYPTION_KEY),
        passwords=Passwords(),
    )


@pytest.fixture
def password_file(tmp_path: Path) -> str:
    path = tmp_path / "password"
    path.write_text(f"{PASSWORD}\r\nsecond line\n", encoding="utf-8")
    return str(path)


def test_an_account_from_a_file_can_be_signed_in_to(
    run: Any, sign_in: CitizenSignIn, password_file: str
) -> None:
    [made] = json.loads(run(*CREATE, "--password-file", password_file, "--json").stdout)
    assert sorted(made) == ["citizen_id", "level"]
    attempt = SignInAttempt(personal_id=PERSONAL_ID, password=PASSWORD)
    found = sign_in.find_session(sign_in.sign_in(attempt, system_clock()).value, system_clock())
    assert found is not None
    assert (found.citizen_id, found.level) == (made["citizen_id"], 1)
    assert sign_in.personal_id(found) == PERSONAL_ID


def test_the_secret_of_one_time_codes_is_told_once_and_works(
    run: Any, sign_in: CitizenSignIn, password_file: str
) -> None:
    [made] = json.loads(run(*CREATE, "--totp", "--password-file", password_file, "--json").stdout)
    totp = pyotp.parse_uri(made["otpauth_uri"])
    assert isinstance(totp, pyotp.TOTP)
    assert totp.issuer == "vss"
    at = system_clock()
    attempt = SignInAttempt(personal_id=PERSONAL_ID, password=PASSWORD, one_time_code=totp.at(at))
    assert sign_in.sign_in(attempt, at).level == 2
    listed = run("citizen", "list", "--json").stdout
    assert totp.secret not in listed
    assert [row["level"] for row in json.loads(listed)] == [2]


def test_what_is_left_out_is_asked_for_unseen(run: Any, sign_in: CitizenSignIn) -> None:
    run("citizen", "create", typed=f"{PERSONAL_ID}\n{PASSWORD}\n{PASSWORD}\n")
    assert (
        sign_in.sign_in(SignInAttempt(personal_id=PERSONAL_ID, password=PASSWORD), system_clock()).level == 1
    )


def test_a_weak_password_and_a_wrong_number_are_refused_before_anything_is_kept(run: Any) -> None:
    for weak in ("short", f"ab{PERSONAL_ID}cd", "aaaaaaaaaaaaaa"):
        run(*CREATE, "--password-file", "-", typed=f"{weak}\n", expect=2)
    run("citizen", "create", "--personal-id", "12345", "--password-file", "-", typed=PASSWORD, expect=2)
    assert json.loads(run("citizen", "list", "--json").stdout) == []


def test_a_file_that_is_no_text_is_wrong_usage(run: Any, tmp_path: Path) -> None:
    path = tmp_path / "password"
    path.write_bytes(b"\xff\xfe\xff\xfe")
    run(*CREATE, "--password-file", str(path), expect=2)


def test_a_person_who_has_an_account_gets_no_second(run: Any, password_file: str) -> None:
    run(*CREATE, "--password-file", password_file)
    run(*CREATE, "--password-file", password_file, expect=3)


def test_a_closed_account_lets_nobody_in_until_it_is_opened(
    run: Any, sign_in: CitizenSignIn, password_file: str
) -> None:
    run(*CREATE, "--password-file", password_file)
    attempt = SignInAttempt(personal_id=PERSONAL_ID, password=PASSWORD)
    value = sign_in.sign_in(attempt, system_clock()).value
    assert "sessions ended: 1" in run("citizen", "suspend", "--personal-id", PERSONAL_ID).output
    assert sign_in.find_session(value, system_clock()) is None
    with pytest.raises(SignInRefused):
        sign_in.sign_in(attempt, system_clock())
    assert [row["status"] for row in json.loads(run("citizen", "list", "--json").stdout)] == ["suspended"]
    run("citizen", "resume", "--personal-id", PERSONAL_ID)
    assert sign_in.sign_in(attempt, system_clock()).level == 1


def test_a_renewed_account_has_another_password_and_other_codes(
    run: Any, sign_in: CitizenSignIn, password_file: str
) -> None:
    [made] = json.loads(run(*CREATE, "--password-file", password_file, "--json").stdout)
    old = SignInAttempt(personal_id=PERSONAL_ID, password=PASSWORD)
    value = sign_in.sign_in(old, system_clock()).value
    renew = ["citizen", "renew", "--personal-id", PERSONAL_ID, "--password-file", "-", "--json"]
    [renewed] = json.loads(run(*renew, "--totp", typed="một mật khẩu hoàn toàn khác\n").stdout)
    assert renewed["citizen_id"] == made["citizen_id"]
    assert sign_in.find_session(value, system_clock()) is None
    with pytest.raises(SignInRefused):
        sign_in.sign_in(old, system_clock())
    totp, at = pyotp.parse_uri(renewed["otpauth_uri"]), system_clock()
    assert isinstance(totp, pyotp.TOTP)
    new = SignInAttempt(
        personal_id=PERSONAL_ID, password="một mật khẩu hoàn toàn khác", one_time_code=totp.at(at)
    )
    assert sign_in.sign_in(new, at).level == 2


def test_nobody_is_suspended_who_has_no_account(run: Any) -> None:
    run("citizen", "suspend", "--personal-id", PERSONAL_ID, expect=4)
    run("citizen", "resume", "--personal-id", PERSONAL_ID, expect=4)
    renew = ["citizen", "renew", "--personal-id", PERSONAL_ID, "--password-file", "-"]
    run(*renew, typed=f"{PASSWORD}\n", expect=4)
