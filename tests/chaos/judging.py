"""A log judged from outside: `broker evidence audit` on its files, all checkpoints, and what was recorded."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import Any

from broker.evidence.checkpoint import Checkpoint
from broker.evidence.signed_note import VerifierKey
from broker.evidence.tiles import ENTRIES, find_entries, tiles_of
from broker.storage.log_files import LogFiles, size_of
from tests.chaos.forks import falls, histories
from tests.chaos.processes import ROOT
from tests.chaos.report import Fault
from tests.evidence_entries import decoded


def audit(directory: Path, key: VerifierKey, notes: Iterable[bytes] = ()) -> dict[str, Any]:
    """Let the command read a shard again from its files; return what it tells, with its exit code.

    notes: checkpoints that somebody kept; the command holds the log against them.
    """
    with tempfile.TemporaryDirectory(prefix="chaos-audit-") as kept:
        (Path(kept) / "log.vkey").write_text(key.vkey + "\n")
        words = ["-m", "broker.cli", "evidence", "audit", "--tiles", str(directory), "--json"]
        words += ["--vkey", str(Path(kept) / "log.vkey"), "--lang", "en"]
        for number, note in enumerate(sorted(set(notes))):
            path = Path(kept) / f"{number}.checkpoint"
            path.write_bytes(note)
            words += ["--checkpoint", str(path)]
        done = subprocess.run([sys.executable, *words], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode in (0, 1), done.stderr
    told: dict[str, Any] = json.loads(done.stdout)
    return {**told, "exit_code": done.returncode}


def logged_references(files: LogFiles, published: Checkpoint) -> list[str]:
    """Return the reference of every entry in the bundles of a published tree, in log order."""
    found: list[str] = []
    for bundle in tiles_of(published.tree_size, ENTRIES):
        entries = find_entries(files.read, bundle)
        assert entries is not None, bundle.path
        found += [decoded(entry)["reference"] for entry in entries]
    return found


def judge(
    fault: Fault,
    files: LogFiles,
    key: VerifierKey,
    published: Checkpoint,
    seen: Sequence[bytes],
    signed: Collection[bytes],
    taken_back: int = 0,
) -> dict[str, Any]:
    """Audit a log that is at rest, and hold every checkpoint against it; say what is wrong.

    seen: published ones, in the order in which they were seen; signed: all others that are known;
    taken_back: how often the test itself has put an older one there.
    """
    told = audit(files.directory, key, seen)
    fault.note(audited_entries=told["entries_read"], audit_findings=told["finding_count"])
    fault.expect(told["faultless"], f"the audit finds: {told['findings'][:3]}")
    all_of_them = histories([*seen, *signed], key, files.read, published)
    fault.note(checkpoints_seen=len(set(seen)), checkpoints_signed=len({*seen, *signed}))
    fault.add("forks", len(all_of_them.forks))
    fault.expect(not all_of_them.forks, f"two histories: {all_of_them.forks[:2]}")
    fault.expect(not all_of_them.beyond, f"signed, and lost: {all_of_them.beyond[:2]}")
    fault.expect(not all_of_them.unsigned, f"{all_of_them.unsigned} checkpoints that the log did not sign")
    went_back = falls(size_of(note) for note in seen) - taken_back
    fault.expect(went_back <= 0, f"the published checkpoint went back {went_back} times")
    return told
