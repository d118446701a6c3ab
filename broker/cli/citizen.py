"""`broker citizen`: accounts with which citizens sign in and decide."""

from __future__ import annotations

import re
from typing import Any, TextIO

import click
import uuid_utils

from broker.cli.output import EXIT_CODES, CommandRefused, refusals, show
from broker.cli.session import Session, open_session
from broker.evidence.pseudonyms import KeyedPseudonyms
from broker.oauth.citizen_passwords import PasswordRefused, Passwords, check_password
from broker.oauth.citizen_secrets import CitizenSecrets
from broker.oauth.one_time_codes import enrolment_uri, new_secret
from broker.storage.citizens import CitizenRecord, PostgresCitizens
from broker.storage.clients import NotRegistered

_PERSONAL_ID = re.compile(r"[0-9]{12}", re.ASCII)
personal_id_option = click.option(
    "--personal-id", prompt="12-digit personal id", hide_input=True, help="Asked for if not given."
)
_totp_option = click.option(
    "--totp", "with_codes", is_flag=True, help="With one-time codes: sign-ins are of level 2."
)
_password_file_option = click.option(
    "--password-file",
    type=click.File("r", encoding="utf-8"),
    help="File whose first line is the password, - for standard input; without it the password is asked for.",
)
_json_option = click.option("--json", "as_json", is_flag=True, help="Print as JSON.")


@click.group(epilog=EXIT_CODES)
def citizen_group() -> None:
    """Look after the accounts of citizens; no command ever prints a personal id or a password.

    The 12-digit personal id is kept encrypted, and found again by a keyed hash.
    """


@citizen_group.command("create", epilog=EXIT_CODES)
@personal_id_option
@_totp_option
@_password_file_option
@_json_option
def create_citizen_command(
    personal_id: str, with_codes: bool, password_file: TextIO | None, as_json: bool
) -> None:
    """Make an account for a person whose identity was checked.

    With --totp the otpauth:// URI for the person's authenticator app is printed, once: afterwards nobody
    can see it again.
    """
    checked, password = _credentials(personal_id, password_file)
    citizen_id, secret = str(uuid_utils.uuid7()), new_secret() if with_codes else None
    with refusals(), open_session() as session:
        record = CitizenRecord(
            citizen_id=citizen_id,
            personal_id_ref=_reference(session, checked),
            personal_id_encrypted=_secrets(session).seal("personal_id", citizen_id, checked),
            password_hash=Passwords().hash(password),
            totp_secret_encrypted=_sealed(session, citizen_id, secret),
        )
        PostgresCitizens(session.engine, session.acts).register_citizen(record)
        show([_row(session, citizen_id, secret)], as_json)


@citizen_group.command("renew", epilog=EXIT_CODES)
@personal_id_option
@_totp_option
@_password_file_option
@_json_option
def renew_citizen_command(
    personal_id: str, with_codes: bool, password_file: TextIO | None, as_json: bool
) -> None:
    """Give an account another password: one was forgotten, or a phone was lost.

    Check the person's identity as for a new account. Sessions end now and old one-time codes are worthless;
    without --totp the account has none from now on. What was consented to stays as it is.
    """
    checked, password = _credentials(personal_id, password_file)
    secret = new_secret() if with_codes else None
    with refusals(), open_session() as session:
        store, reference = PostgresCitizens(session.engine, session.acts), _reference(session, checked)
        account = store.find_account(reference)
        if account is None:
            raise NotRegistered("this person has no account")
        sealed = _sealed(session, account.citizen_id, secret)
        store.renew_citizen(reference, Passwords().hash(password), sealed)
        show([_row(session, account.citizen_id, secret)], as_json)


@citizen_group.command("suspend", epilog=EXIT_CODES)
@personal_id_option
def suspend_citizen_command(personal_id: str) -> None:
    """Close an account: its sessions end now. What was consented to stays as it is."""
    checked = checked_personal_id(personal_id)
    with refusals(), open_session() as session:
        ended = PostgresCitizens(session.engine, session.acts).suspend_citizen(_reference(session, checked))
    click.echo(f"the account is closed; sessions ended: {ended}")


@citizen_group.command("resume", epilog=EXIT_CODES)
@personal_id_option
def resume_citizen_command(personal_id: str) -> None:
    """Open a closed account again."""
    checked = checked_personal_id(personal_id)
    with refusals(), open_session() as session:
        PostgresCitizens(session.engine, session.acts).resume_citizen(_reference(session, checked))
    click.echo("the account is open")


@citizen_group.command("list", epilog=EXIT_CODES)
@_json_option
def list_citizens_command(as_json: bool) -> None:
    """List accounts by when they were made; they are named by the broker's own ids only."""
    with refusals(), open_session() as session:
        found = PostgresCitizens(session.engine).list_citizens()
    rows = [
        {
            "citizen_id": one.citizen_id,
            "status": one.status,
            "level": one.level,
            "registered_at": one.registered_at,
        }
        for one in found
    ]
    show(rows, as_json)


def checked_personal_id(personal_id: str) -> str:
    """Return a personal id that is one. Raises click.UsageError."""
    if not _PERSONAL_ID.fullmatch(personal_id):
        raise click.UsageError("--personal-id: 12 digits")
    return personal_id


def _credentials(personal_id: str, password_file: TextIO | None) -> tuple[str, str]:
    """Return personal id and password, both checked."""
    checked = checked_personal_id(personal_id)
    password = _read_password(password_file)
    try:
        check_password(password, checked)
    except PasswordRefused as refused:
        raise CommandRefused(str(refused), 2) from None
    return checked, password


def _secrets(session: Session) -> CitizenSecrets:
    return CitizenSecrets(session.settings.key_encryption_key_file.reveal())


def _sealed(session: Session, citizen_id: str, secret: str | None) -> bytes | None:
    return None if secret is None else _secrets(session).seal("totp_secret", citizen_id, secret)


def _row(session: Session, citizen_id: str, secret: str | None) -> dict[str, Any]:
    row: dict[str, Any] = {"citizen_id": citizen_id, "level": 1 if secret is None else 2}
    if secret is not None:
        row["otpauth_uri"] = enrolment_uri(secret, citizen_id[-12:], session.settings.data_owner)
    return row


def _read_password(password_file: TextIO | None) -> str:
    if password_file is None:
        typed: str = click.prompt("password", hide_input=True, confirmation_prompt=True)
        return typed
    try:
        return password_file.readline().rstrip("\r\n")
    except UnicodeDecodeError:
        raise click.UsageError("--password-file: text in UTF-8") from None


def _reference(session: Session, personal_id: str) -> bytes:
    return KeyedPseudonyms(session.settings.pseudonym_key_file.reveal()).citizen_ref(personal_id)
