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

_PERSONAL_ID = re.compile(r"[0-9]{12}", re.ASCII)
_personal_id_option = click.option(
    "--personal-id", prompt="12-digit personal id", hide_input=True, help="Asked for if not given."
)


@click.group(epilog=EXIT_CODES)
def citizen_group() -> None:
    """Look after the accounts of citizens; no command ever prints a personal id or a password.

    The 12-digit personal id is kept encrypted, and found again by a keyed hash.
    """


@citizen_group.command("create", epilog=EXIT_CODES)
@_personal_id_option
@click.option("--totp", "with_codes", is_flag=True, help="With one-time codes: sign-ins are of level 2.")
@click.option(
    "--password-file",
    type=click.File("r", encoding="utf-8"),
    help="File whose first line is the password, - for standard input; without it the password is asked for.",
)
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
def create_citizen_command(
    personal_id: str, with_codes: bool, password_file: TextIO | None, as_json: bool
) -> None:
    """Make an account for a person whose identity was checked.

    With --totp the otpauth:// URI for the person's authenticator app is printed, once: afterwards nobody
    can see it again.
    """
    checked = _checked(personal_id)
    password = _read_password(password_file)
    try:
        check_password(password, checked)
    except PasswordRefused as refused:
        raise CommandRefused(str(refused), 2) from None
    citizen_id, secret = str(uuid_utils.uuid7()), new_secret() if with_codes else None
    with refusals(), open_session() as session:
        secrets = CitizenSecrets(session.settings.key_encryption_key_file.reveal())
        record = CitizenRecord(
            citizen_id=citizen_id,
            personal_id_ref=_reference(session, checked),
            personal_id_encrypted=secrets.seal("personal_id", citizen_id, checked),
            password_hash=Passwords().hash(password),
            totp_secret_encrypted=secrets.seal("totp_secret", citizen_id, secret) if secret else None,
        )
        PostgresCitizens(session.engine).register_citizen(record)
        issuer_name = session.settings.data_owner
    row: dict[str, Any] = {"citizen_id": citizen_id, "level": 2 if secret else 1}
    if secret:
        row["otpauth_uri"] = enrolment_uri(secret, citizen_id[-12:], issuer_name)
    show([row], as_json)


@citizen_group.command("suspend", epilog=EXIT_CODES)
@_personal_id_option
def suspend_citizen_command(personal_id: str) -> None:
    """Close an account: its sessions end now. What was consented to stays as it is."""
    checked = _checked(personal_id)
    with refusals(), open_session() as session:
        ended = PostgresCitizens(session.engine).suspend_citizen(_reference(session, checked))
    click.echo(f"the account is closed; sessions ended: {ended}")


@citizen_group.command("resume", epilog=EXIT_CODES)
@_personal_id_option
def resume_citizen_command(personal_id: str) -> None:
    """Open a closed account again."""
    checked = _checked(personal_id)
    with refusals(), open_session() as session:
        PostgresCitizens(session.engine).resume_citizen(_reference(session, checked))
    click.echo("the account is open")


@citizen_group.command("list", epilog=EXIT_CODES)
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
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


def _checked(personal_id: str) -> str:
    if not _PERSONAL_ID.fullmatch(personal_id):
        raise click.UsageError("--personal-id: 12 digits")
    return personal_id


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
