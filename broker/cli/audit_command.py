"""The words and options of `broker evidence audit`."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from time import perf_counter
from typing import Any, Final

import click

from broker.cli.audit import (
    Head,
    Kept,
    NothingToReplay,
    files_of,
    find_head,
    is_of_entry,
    keep,
    read_kept,
    read_since,
    replay_of,
    tile_reader,
)
from broker.cli.audit_stamps import Stamps, read_stamps
from broker.cli.audit_stamps import told as stamps_told
from broker.cli.audit_words import AUDIT
from broker.cli.demo_steps import Lang
from broker.cli.evidence_given import InputUnreadable, read_keys, read_text
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
from broker.cli.evidence_stamps import read_trust
from broker.cli.evidence_words import REASONS
from broker.cli.output import CommandRefused
from broker.cli.progress import progress_bar
from broker.evidence.log_replay import Finding
from broker.evidence.signed_note import COSIGNATURE, LOG_SIGNATURE
from broker.evidence.verifier import Trust
from connectors.log_files import FindFile, LogUnreadable

MOST_TOLD: Final = 100


@dataclass(slots=True)
class Audit:
    """What came of an audit so far. finding_count: also of those that are not kept to be told."""

    head: Head | None
    since: int
    most: int
    findings: list[Finding]
    finding_count: int = 0
    entry_count: int = 0
    root_hash: bytes | None = None
    seconds: float = 0.0
    stamps: Stamps | None = None

    def take(self, findings: Iterable[Finding]) -> None:
        """Count findings, and keep as many as will be told."""
        for finding in findings:
            self.finding_count += 1
            if len(self.findings) < self.most:
                self.findings.append(finding)


@click.command()
@click.option("--tiles", required=True, metavar="DIR|URL", help="The log: a directory, or an https address.")
@vkey_option
@witness_option
@needed_option
@click.option(
    "--checkpoint",
    "kept_files",
    multiple=True,
    type=file_type,
    help="Checkpoint that you kept, or that somebody else was given; repeatable.",
)
@click.option(
    "--since",
    type=click.IntRange(0),
    default=0,
    show_default=True,
    help="Go on behind so many entries: size of a --checkpoint that you kept when you audited last.",
)
@click.option("--keep", "keep_file", type=file_type, help="Write the checkpoint there if all holds.")
@click.option(
    "--ca-file", type=file_type, help="Authorities in PEM for an https address; default: the system's."
)
@timestamp_roots_option
@timestamp_policy_option
@click.option(
    "--most",
    type=click.IntRange(1),
    default=MOST_TOLD,
    show_default=True,
    help="Tell so many findings at most.",
)
@click.option("--progress", is_flag=True, help="Show progress even where nobody watches.")
@lang_option
@json_option
def audit_command(
    tiles: str,
    vkeys: Sequence[str],
    witness_vkeys: Sequence[str],
    witnesses_needed: int | None,
    kept_files: Sequence[Path],
    since: int,
    keep_file: Path | None,
    ca_file: Path | None,
    timestamp_roots: Path | None,
    timestamp_policy: str | None,
    most: int,
    progress: bool,
    lang: Lang,
    as_json: bool,
) -> None:
    """Read a whole log again from its files alone, and name every gap, fork, bad hash and unreadable entry.

    Every entry is parsed and hashed, every tile built anew and compared, and the root held against the
    checkpoint that the log publishes and against all that you kept or were shown. Nothing is believed but the
    keys: take them from where you trust them.

    \b
    The first time:  broker evidence audit --tiles https://broker.example/evidence/2026 \\
                         --vkey log.vkey --witness-vkey witnesses.vkeys --keep mine.checkpoint
    Going on:        broker evidence audit --tiles ... --vkey log.vkey --witness-vkey ... \\
                         --checkpoint mine.checkpoint --since 70000 --keep mine.checkpoint

    With --timestamp-roots each time stamp of the log is checked too, behind an address the newest: it must be
    over a checkpoint that the log signed, on this very history.

    Keep checkpoints where the log's operator cannot reach them, and exchange them with other auditors: two
    that contradict each other, both signed, are proof of a fork that nobody can talk away.

    Exit codes: 0 the log is faultless, 1 something was found, 2 something cannot be read, or wrong usage.
    """  # noqa: D301 - click reads the backspace as "keep these lines"
    try:
        log_keys, witness_keys = read_keys(vkeys, LOG_SIGNATURE), read_keys(witness_vkeys, COSIGNATURE)
        if not log_keys:
            raise click.UsageError("say the key of the log: --vkey")
        needed = len({key.public_key for key in witness_keys})
        trust = Trust(log_keys, witness_keys, needed if witnesses_needed is None else witnesses_needed)
        kept, authorities = read_kept(kept_files, trust), read_trust(timestamp_roots, timestamp_policy)
        with files_of(tiles, "" if ca_file is None else read_text(ca_file)) as (find, is_far):
            audit = Audit(None, since, most, [])
            if authorities is not None:
                audit.stamps = read_stamps(tiles, find, since, trust, authorities)
                audit.take(audit.stamps.findings)
            _audited(find, kept, trust, audit, is_far=is_far, progress=progress)
        if keep_file is not None and audit.head is not None and not audit.finding_count:
            keep(keep_file, audit.head)
    except (InputUnreadable, LogUnreadable) as fault:
        raise CommandRefused(str(fault), UNREADABLE) from None
    told = _told(audit, lang)
    click.echo(json.dumps(told, ensure_ascii=False, indent=2) if as_json else "\n".join(_lines(told, lang)))
    raise SystemExit(DOES_NOT_HOLD if audit.finding_count else 0)


def _audited(
    find: FindFile, kept: Sequence[Kept], trust: Trust, audit: Audit, *, is_far: bool, progress: bool
) -> None:
    """Take in what a replay finds. Raises InputUnreadable, LogUnreadable."""
    try:
        audit.head = head = find_head(find, kept, trust)
    except NothingToReplay as nothing:
        audit.take([nothing.finding])
        return
    audit.take(head.findings)
    edge, findings = read_since(tile_reader(find), kept, audit.since, head)
    audit.take(findings)
    if edge is None:
        return
    size = head.opened.checkpoint.tree_size
    stamped = () if audit.stamps is None else audit.stamps.checkpoints
    started = perf_counter()
    with (
        progress_bar(size - edge.size, "entries", progress) as advance,
        replay_of(find, head, kept, edge, stamped, is_far=is_far) as steps,
    ):
        for step in steps:
            audit.take(step.findings)
            audit.entry_count = step.entry_count - edge.size
            audit.root_hash = step.root_hash
            advance(audit.entry_count)
    audit.seconds = perf_counter() - started


def _told(audit: Audit, lang: Lang) -> dict[str, Any]:
    """Return what an audit found, as it stands in JSON."""
    checkpoint = None if audit.head is None else audit.head.opened.checkpoint
    return {
        "faultless": not audit.finding_count,
        "origin": None if checkpoint is None else checkpoint.origin,
        "tree_size": None if checkpoint is None else checkpoint.tree_size,
        "root_hash": None if audit.root_hash is None else audit.root_hash.hex(),
        "since": audit.since,
        "entries_read": audit.entry_count,
        "seconds": round(audit.seconds, 3),
        "witnessed_size": None
        if audit.head is None or audit.head.witnessed is None
        else audit.head.witnessed.checkpoint.tree_size,
        "witnesses": [
            {"name": one.witness.name, "at": instant(one.at_seconds)}
            for one in (() if audit.head is None else audit.head.witnesses)
        ],
        "timestamps": None if audit.stamps is None else stamps_told(audit.stamps),
        "finding_count": audit.finding_count,
        "findings": [{**asdict(one), "words": REASONS[one.reason].say(lang)} for one in audit.findings],
    }


def _lines(told: Mapping[str, Any], lang: Lang) -> list[str]:
    lines = []
    if told["origin"] is not None:
        lines.append(AUDIT["log"].say(lang).format(**told))
        lines.append(AUDIT["read"].say(lang).format(**told))
    size = told["witnessed_size"]
    lines += [AUDIT["witness"].say(lang).format(size=size, **one) for one in told["witnesses"]]
    lines += _stamp_lines(told["timestamps"], lang)
    lines += [_line(one, lang) for one in told["findings"]]
    left = told["finding_count"] - len(told["findings"])
    if left:
        lines.append(AUDIT["more"].say(lang).format(count=left))
    lines.append(AUDIT["faultless" if told["faultless"] else "found"].say(lang).format(**told))
    return lines


def _stamp_lines(stamps: Mapping[str, Any] | None, lang: Lang) -> list[str]:
    if stamps is None:
        return []
    if not stamps["count"]:
        return [AUDIT["unstamped"].say(lang)]
    ends = {
        f"{end}_{name}": stamps[end][member]
        for end in ("first", "last")
        for name, member in (("size", "tree_size"), ("at", "at"))
    }
    return [AUDIT["stamped"].say(lang).format(count=stamps["count"], **ends)]


def _line(finding: Mapping[str, Any], lang: Lang) -> str:
    number = finding["number"]
    where = finding["place"]
    if number is not None:
        where += AUDIT["entry" if is_of_entry(finding["reason"]) else "size"].say(lang).format(number=number)
    detail = f" ({finding['detail']})" if finding["detail"] else ""
    return f"  {finding['reason']}: {where}: {finding['words']}{detail}"
