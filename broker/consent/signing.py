"""Whether somebody may act on a consent: whose it is, who signs, how fresh and strong the sign-in was."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from typing import Final

from broker.consent.change import refused
from broker.consent.record import Actor, Consent, Notice, Signer, SignerRole
from broker.consent.standing import roles_at

SIGN_IN_AGE: Final = timedelta(seconds=300)
"""How old a sign-in may be for anything that opens a door; closing one never asks for it."""
SENSITIVE_LEVEL: Final = 2
"""Least level of the sign-in where a given field is sensitive (Decree 356/2025 art. 4)."""
_HASH: Final = re.compile(r"[0-9a-f]{64}")


def check_citizen(consent: Consent, actor: Actor, at: datetime) -> None:
    """Raise ConsentTransitionRefused (wrong_actor) unless actor is the data subject, or may represent it now.

    A representative counts while its signature would; the caller has established the relation.
    """
    if actor.kind == "data_subject" and actor.reference == consent.citizen_id:
        return
    is_other = actor.reference not in ("", consent.citizen_id)
    if actor.kind != "representative" or not is_other or actor.kind not in roles_at(consent, at):
        refused("wrong_actor")


def check_signer(
    consent: Consent, signer: Signer, roles: tuple[SignerRole, ...], signed: tuple[Signer, ...]
) -> None:
    """Raise ConsentTransitionRefused unless signer is one of those whose signature is still missing.

    roles: whose signatures count. signed: who has signed already. Reasons: wrong_actor, already_signed,
    relation_missing (Law 91/2025 art. 24: who represents must be shown to do so).
    """
    is_data_subject = signer.citizen_id == consent.citizen_id
    if signer.role not in roles or is_data_subject != (signer.role == "data_subject"):
        refused("wrong_actor")
    if not signer.citizen_id:
        refused("wrong_actor")
    # Nobody signs in both roles: who is the data subject cannot be the representative.
    if any(signer.role == one.role for one in signed):
        refused("already_signed")
    if signer.role == "representative" and not _HASH.fullmatch(signer.relation_hash):
        refused("relation_missing")


def check_sign_in(
    consent: Consent, given: frozenset[str], signer: Signer, at: datetime, sign_in_age: timedelta
) -> None:
    """Raise ConsentTransitionRefused (sign_in_too_old, level_too_low) unless the sign-in carries the giving.

    given: names of the fields that would be given. A sign-in from the future is as bad as an old one.
    """
    if not timedelta(0) <= at - signer.authenticated_at <= sign_in_age:
        refused("sign_in_too_old")
    is_sensitive = any(field.is_sensitive for field in consent.terms.fields if field.name in given)
    if signer.level < (SENSITIVE_LEVEL if is_sensitive else 1):
        refused("level_too_low")


def check_notice(notice: Notice, at: datetime) -> None:
    """Raise ConsentTransitionRefused (notice_missing) unless it is told what was shown, and it was shown."""
    is_told = notice.version and notice.language in ("vi", "en") and _HASH.fullmatch(notice.rendered_hash)
    if not is_told or notice.served_at > at:
        refused("notice_missing")


def actor_of(signer: Signer) -> Actor:
    """Return the signer as the actor of an event."""
    return Actor(kind=signer.role, reference=signer.citizen_id)
