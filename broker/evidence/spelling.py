"""Releases and refusals recognised by their bytes alone: what a log is full of, without an object of it.

One expression has every member in its order, each in the form that `broker.evidence.entry` demands. Nothing
in such an entry could be written in two ways, so bytes that match are those of a checked entry. Bytes that do
not match are not wrong by that: `parse_entry` judges them. Tests hold the two against each other.
"""

from __future__ import annotations

import re
from typing import Final

from broker.evidence.canonical import ENTRY_BYTES_MAX
from broker.evidence.shapes import is_instant

# Possessive repeats: no part of an entry could be read in two ways, so nothing is ever tried again.
_CODE: Final = r'"[A-Za-z0-9][A-Za-z0-9_.:>=<\-]{0,79}+"'
_CODE_OR_EMPTY: Final = rf'(?:{_CODE}|"")'
_HASH: Final = '"[0-9a-f]{64}"'
_KEYED_HASH: Final = '"[0-9a-f]{32,64}+"'
_PAIR: Final = rf"\[{_CODE},{_CODE}\]"
_RULE: Final = r'"[A-Za-z0-9_.:/>=<\-]{1,160}+"'


def _or_null(form: str) -> str:
    return f"(?:null|{form})"


def _list_of(form: str) -> str:
    return rf"\[(?:{form}(?:,{form})*+)?+\]"


_MEMBERS: Final = {
    "acting_person": _or_null(_KEYED_HASH),
    "action": _CODE,
    "agreement": _CODE_OR_EMPTY,
    "agreement_revision": f'(?:{_HASH}|"")',
    "at": r'"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z)"',
    "client": _CODE,
    "consent": _or_null(_CODE),
    # Fifteen digits are fewer than 2^53 - 1 has; the rest is left to who reads numbers.
    "consent_version": _or_null(r"(?:0|[1-9]\d{0,14}+)"),
    "data_subject_commit": _or_null(_HASH),
    "determining_rules": _list_of(_RULE),
    "encounter": _or_null(_KEYED_HASH),
    "kind": '"(?:release|refusal)"',
    "legal_basis": _CODE_OR_EMPTY,
    "payload_commit": _or_null(_HASH),
    "purpose": _CODE_OR_EMPTY,
    "reason": _CODE_OR_EMPTY,
    "recipient": _CODE,
    "reference": _CODE,
    "released": _list_of(_PAIR),
    "request_id": _CODE,
    "result": '"(?:released|answered_without_data|refused|error)"',
    "schema": "1",
    "withheld": _list_of(_PAIR),
}
_SPELT: Final = re.compile(
    (r"\{" + ",".join(f'"{name}":{_MEMBERS[name]}' for name in sorted(_MEMBERS)) + r"\}").encode("ascii")
).fullmatch


def spelt_instant(content: bytes) -> str | None:
    """Return the instant that a release or refusal tells, if these are the very bytes of one; None otherwise.

    None says only that they were not recognised.
    """
    found = _SPELT(content) if len(content) <= ENTRY_BYTES_MAX else None
    if found is None:
        return None
    at = found[1].decode("ascii")
    return at if is_instant(at) else None
