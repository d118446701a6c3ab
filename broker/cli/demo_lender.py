"""Who lends and who borrows in the demo: the bank's program as registered, and the citizen's account."""

from __future__ import annotations

import secrets

import uuid_utils

from broker.cli.demo_borrowing import Borrower
from broker.cli.demo_stage import Role, Stage
from broker.evidence.pseudonyms import KeyedPseudonyms
from broker.oauth.citizen_passwords import Passwords
from broker.oauth.citizen_secrets import CitizenSecrets
from broker.oauth.client_credentials import CLIENT_CREDENTIALS
from broker.oauth.client_metadata_schema import CIBA, REFRESH_TOKEN
from broker.oauth.one_time_codes import new_secret
from broker.oauth.pushed_requests import AUTHORIZATION_CODE
from broker.oauth.scopes import OPENID, QUERY_GRANTS, REQUEST_CONSENT, REVOKE_GRANTS, SHARE_RECORD
from broker.storage.citizens import CitizenRecord, PostgresCitizens


def redirect_uri(port: int) -> str:
    """Return where the browser comes back to; in the story nobody needs to listen there.

    port: of the broker. Its own is another one, so that two demos do not meet.
    """
    return f"http://127.0.0.1:{port % 64_000 + 765}/callback"


def lender(redirect_uri: str) -> Role:
    """Return what the bank's program is registered for."""
    return Role(
        scopes=(SHARE_RECORD, OPENID, QUERY_GRANTS, REVOKE_GRANTS, REQUEST_CONSENT),
        agreement_id="bank_income_proof",
        metadata={
            "grant_types": [AUTHORIZATION_CODE, REFRESH_TOKEN, CLIENT_CREDENTIALS, CIBA],
            "response_types": ["code"],
            "redirect_uris": [redirect_uri],
        },
    )


def open_account(stage: Stage, personal_id: str) -> Borrower:
    """Give a citizen an account with one-time codes, or other secrets to the account of an earlier run.

    Raises StoreUnavailable.
    """
    borrower = Borrower(personal_id, secrets.token_urlsafe(12), new_secret())
    settings, store = stage.settings, PostgresCitizens(stage.store.engine, stage.acts)
    reference = KeyedPseudonyms(settings.pseudonym_key_file.reveal()).citizen_ref(personal_id)
    sealing = CitizenSecrets(settings.key_encryption_key_file.reveal())
    account = store.find_account(reference)
    citizen_id = str(uuid_utils.uuid7()) if account is None else account.citizen_id
    sealed = sealing.seal("totp_secret", citizen_id, borrower.totp_secret)
    password_hash = Passwords().hash(borrower.password)
    if account is not None:
        store.renew_citizen(reference, password_hash, sealed)
        return borrower
    store.register_citizen(
        CitizenRecord(
            citizen_id=citizen_id,
            personal_id_ref=reference,
            personal_id_encrypted=sealing.seal("personal_id", citizen_id, personal_id),
            password_hash=password_hash,
            totp_secret_encrypted=sealed,
        )
    )
    return borrower
