"""`broker evidence`: anybody checks one entry, or reads a whole log again; the agency looks at its own."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from broker.cli.audit_command import audit_command
from broker.cli.demo_steps import Lang, Words
from broker.cli.erase_command import erase_command
from broker.cli.evidence_export import export_command
from broker.cli.evidence_given import InputUnreadable, Loose, read_keys, read_question
from broker.cli.evidence_options import (
    DOES_NOT_HOLD,
    UNREADABLE,
    file_type,
    instant,
    json_option,
    lang_option,
    needed_option,
    timestamp_policy_option,
    timestamp_roots_option,
    vkey_option,
    witness_option,
)
from broker.cli.evidence_replay import replay_command
from broker.cli.evidence_stamps import read_timestamp, stamp_told
from broker.cli.evidence_words import HOLDS, NOT_CHECKED, REASONS, RESULTS, VERIFY
from broker.cli.hiding_command import disclose_later_command
from broker.cli.output import CommandRefused
from broker.cli.seal_command import seal_command
from broker.evidence.signed_note import COSIGNATURE, LOG_SIGNATURE
from broker.evidence.verifier import Check, Verification, verified


@click.group()
def evidence_group() -> None:
    """Check evidence: one entry or a whole log on a desk, without server, database and setting.

    \b
    One entry:    broker evidence verify my.evidence.json --vkey log.vkey
    A whole log:  broker evidence audit --tiles https://broker.example/evidence/2026 --vkey log.vkey

    Take the keys from where you trust them: the agency's gazette, a witness, a newspaper. Keys that come with
    the evidence show only that it agrees with itself. docs/evidence.md has every format, byte by byte.

    For the broker's operator, on its database: make a decision on record again (replay), hand a period on
    (export), erase a person's year, seal what an earlier release left in the clear.

    Exit codes: 0 all holds, 1 something does not, 2 something cannot be read, or wrong usage.
    """  # noqa: D301 - click reads the backspace as "keep these lines"


evidence_group.add_command(audit_command, "audit")
evidence_group.add_command(replay_command, "replay")
evidence_group.add_command(export_command, "export")
evidence_group.add_command(erase_command, "erase")
evidence_group.add_command(disclose_later_command, "disclose-later")
evidence_group.add_command(seal_command, "seal")


@evidence_group.command("verify")
@click.argument("files", metavar="FILE", nargs=-1, required=True, type=file_type)
@vkey_option
@witness_option
@needed_option
@click.option("--proof", type=file_type, help="Proof file: FILE is then the bytes of an entry.")
@click.option("--data-subject-salt", type=file_type, help="File with the salt: 32 bytes, hex or base64.")
@click.option("--identifier", help="Identifier to test the entry with; - to type it unseen.")
@click.option("--payload-salt", type=file_type, help="File with the salt: 32 bytes, hex or base64.")
@click.option("--payload", type=file_type, help="File with the payload to test the entry with.")
@click.option("--timestamp", type=file_type, help="Time stamp over the checkpoint (RFC 3161, .tsr).")
@timestamp_roots_option
@timestamp_policy_option
@click.option(
    "--timestamp-checkpoint",
    type=file_type,
    help="The stamped checkpoint, where it is a later one than the proof's.",
)
@click.option(
    "--timestamp-consistency",
    type=file_type,
    help="Hashes that lead from the proof's checkpoint to that one: the log's consistency/OLD/NEW.",
)
@lang_option
@json_option
def verify_command(
    files: Sequence[Path],
    vkeys: Sequence[str],
    witness_vkeys: Sequence[str],
    identifier: str | None,
    lang: Lang,
    as_json: bool,
    **rest: Any,
) -> None:
    """Check entries: is it in the log, who signed for that, whom is it about, what left.

    Each FILE (one or more) is an evidence file, with entry, proof, salts and keys in it (docs/evidence.md).
    With --proof it is the entry alone, and the rest comes in options. Options win over what a file says.

    \b
    broker evidence verify my.evidence.json --vkey log.vkey
    broker evidence verify my.evidence.json --vkey log.vkey --identifier -
    broker evidence verify entry.json --proof entry.tlog-proof --vkey log.vkey \\
        --witness-vkey witness.vkey --payload-salt payload.salt --payload answer.json
    broker evidence verify my.evidence.json --vkey log.vkey \\
        --timestamp 300.tsr --timestamp-roots authority.pem

    Each check holds, fails with one sentence that says why, or was not asked for. An identifier that fails is
    not the person's: the salt makes guesses useless to everybody who has not got it.

    Exit codes: 0 all that was checked holds, 1 something fails, 2 a file cannot be read.
    """  # noqa: D301 - click reads the backspace as "keep these lines"
    if rest["proof"] is not None and len(files) > 1:
        raise click.UsageError("--proof goes with one FILE")
    if identifier == "-":
        identifier = click.prompt("identifier", hide_input=True, err=True)
    try:
        log_keys, witness_keys = read_keys(vkeys, LOG_SIGNATURE), read_keys(witness_vkeys, COSIGNATURE)
        stamp = read_timestamp({name: rest.pop(name) for name in list(rest) if name.startswith("timestamp")})
    except InputUnreadable as fault:
        raise CommandRefused(fault.detail, UNREADABLE) from None
    loose = Loose(
        identifier=identifier, log_keys=log_keys, witness_keys=witness_keys, timestamp=stamp, **rest
    )
    told = [_told(path, loose, lang) for path in files]
    click.echo(json.dumps(told, ensure_ascii=False, indent=2) if as_json else _as_text(told, lang))
    raise SystemExit(max(one["exit_code"] for one in told))


def _told(path: Path, loose: Loose, lang: Lang) -> dict[str, Any]:
    """Return what came of one file, as it stands in JSON."""
    try:
        question = read_question(path, loose)
    except InputUnreadable as fault:
        return {
            "file": str(path),
            "holds": False,
            "exit_code": UNREADABLE,
            "reason": fault.reason or None,
            "detail": fault.detail,
            "words": VERIFY["unreadable"].say(lang),
        }
    outcome = verified(
        question.entry,
        question.proof,
        question.trust,
        data_subject=question.data_subject,
        payload=question.payload,
        timestamp=loose.timestamp,
    )
    return {
        "file": str(path),
        "holds": outcome.holds,
        "exit_code": 0 if outcome.holds else DOES_NOT_HOLD,
        "keys_from": "arguments" if question.has_own_keys else "file",
        "checks": [_check_told(one, lang) for one in outcome.checks],
        **_found(outcome),
    }


def _check_told(check: Check, lang: Lang) -> dict[str, Any]:
    return {
        "name": check.name,
        "result": check.result,
        "reason": check.reason,
        "detail": check.detail,
        "words": sentence(check).say(lang),
    }


def sentence(check: Check) -> Words:
    """Return the plain sentence of a check, in both languages."""
    if check.reason is not None:
        return REASONS[check.reason]
    return HOLDS[check.name] if check.result == "holds" else NOT_CHECKED[check.name]


def _found(outcome: Verification) -> Mapping[str, Any]:
    """Return what stands in entry and checkpoint. What nobody has signed for is not told as if it were."""
    proven = outcome.proven
    checkpoint = None if proven is None else proven.checkpoint
    return {
        "entry": outcome.entry,
        "leaf_index": outcome.leaf_index,
        "checkpoint": None
        if checkpoint is None
        else {
            "origin": checkpoint.origin,
            "tree_size": checkpoint.tree_size,
            "root_hash": checkpoint.root_hash.hex(),
        },
        "witnesses": [{"name": one.witness.name, "at": instant(one.at_seconds)} for one in outcome.witnesses],
        "timestamp": None if outcome.stamped is None else stamp_told(outcome.stamped),
    }


def _as_text(told: Sequence[Mapping[str, Any]], lang: Lang) -> str:
    return "\n\n".join("\n".join(_lines(one, lang)) for one in told)


def _lines(told: Mapping[str, Any], lang: Lang) -> list[str]:
    lines = [f"{told['file']}"]
    if "checks" not in told:
        return [*lines, f"  {told['words']} {told['detail']}"]
    width = max(len(words.say(lang)) for words in RESULTS.values())
    for check in told["checks"]:
        result = RESULTS[check["result"]].say(lang)
        detail = f" ({check['detail']})" if check["detail"] else ""
        lines.append(f"  {result:<{width}}  {check['name']:<13}  {check['words']}{detail}")
    lines += [f"    {one}" for one in _facts(told, lang)]
    if told["keys_from"] == "file":
        lines.append("  " + VERIFY["keys_from_file"].say(lang))
    lines.append("  " + VERIFY["all_hold" if told["holds"] else "not_proven"].say(lang))
    return lines


def _facts(told: Mapping[str, Any], lang: Lang) -> list[str]:
    """Return in words what was found, only where all of it holds: of a forged entry nothing is repeated."""
    if not told["holds"]:
        return []
    entry, checkpoint = told["entry"], told["checkpoint"]
    facts = [
        VERIFY["kind"].say(lang).format(kind=entry["kind"], at=entry["at"]),
        VERIFY["place"]
        .say(lang)
        .format(index=told["leaf_index"], size=checkpoint["tree_size"], origin=checkpoint["origin"]),
    ]
    facts += [VERIFY["witness"].say(lang).format(**one) for one in told["witnesses"]]
    if told["timestamp"] is not None:
        facts.append(VERIFY["stamped"].say(lang).format(**told["timestamp"]))
    return facts
