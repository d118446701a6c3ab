"""The witnesses that the sequencer asks: a file that names them, and the thread that asks them."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from broker.actions.sequence_log import Sequencer
from broker.cli.log_session import LogSession
from broker.cli.output import CommandRefused
from broker.cosigning import Asking, Cosigning, Tell
from broker.errors import BrokerError
from broker.evidence.checkpoint import Checkpoint
from broker.evidence.reasons import EvidenceInvalid
from broker.evidence.signed_note import COSIGNATURE, Note, parse_vkey
from broker.evidence.tree import LogTiles
from broker.evidence.witness_asking import Witness
from broker.setting_readers import read_authorities
from broker.settings import companion
from connectors.witnesses import HttpWitnesses

VARIABLE: Final = "BROKER_LOG_WITNESSES_FILE"
PLAIN_HOST: Final = "localhost"
_FILE_MEMBERS: Final = frozenset({"needed", "ca_file", "witnesses"})
_MEMBERS: Final = frozenset({"vkey", "url", "private_host"})


class WitnessesUnusable(ValueError):
    """The file names no witnesses. The text says what of it is wrong."""


@dataclass(frozen=True, slots=True)
class WitnessesFile:
    """What the file says. needed: how many must have cosigned before it counts. authorities: PEM, or ""."""

    witnesses: Sequence[Witness]
    needed: int
    authorities: str
    private_hosts: frozenset[str]


def read_witnesses(path: Path) -> WitnessesFile:
    """Return the witnesses that a TOML file names. Raises WitnessesUnusable."""
    try:
        told = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as fault:
        raise WitnessesUnusable(f"it cannot be read: {fault}") from None
    tables = told.get("witnesses")
    if told.keys() - _FILE_MEMBERS or not isinstance(tables, dict) or not tables:
        raise WitnessesUnusable("it holds needed, ca_file and one table [witnesses.NAME] for each")
    witnesses = [_witness(name, table) for name, table in tables.items()]
    if len({one.key.public_key for one in witnesses}) != len(witnesses):
        raise WitnessesUnusable("two of them have one key: that is one witness")
    needed = told.get("needed", 1)
    if type(needed) is not int or not 1 <= needed <= len(witnesses):
        raise WitnessesUnusable("needed is a number from 1 to as many as there are")
    private = {_host(one.url) for one, table in zip(witnesses, tables.values(), strict=True) if _inner(table)}
    return WitnessesFile(witnesses, needed, _authorities(path, told), frozenset(private))


@contextmanager
def with_witnesses(session: LogSession, tell: Tell) -> Iterator[Sequencer]:
    """Give the sequencer of a session; what it publishes is brought to the witnesses that a file names.

    Raises CommandRefused for a file that cannot be used.
    """
    path = companion(VARIABLE)
    if not path:
        yield session.sequencer
        return
    try:
        told = read_witnesses(Path(path))
    except WitnessesUnusable as fault:
        raise CommandRefused(f"{VARIABLE}: {fault}", 2) from None
    with cosigning(session.sequencer, told, tell) as follower:
        try:
            for head in session.heads.find(session.sequencer.host):
                follower.published(head)
        except BrokerError:
            # The next growth is brought to them; the first round tells what is wrong with the store.
            pass
        yield replace(session.sequencer, followers=(*session.sequencer.followers, follower))


@contextmanager
def cosigning(sequencer: Sequencer, told: WitnessesFile, tell: Tell) -> Iterator[Cosigning]:
    """Give a follower that asks witnesses about what a log publishes, and publishes what they cosigned."""

    def prove(checkpoint: Checkpoint, old_size: int) -> Sequence[bytes]:
        tiles = LogTiles(sequencer.files(checkpoint.origin).read, checkpoint.tree_size)
        return tiles.consistency_proof(old_size)

    def keep(checkpoint: Checkpoint, note: Note) -> None:
        sequencer.files(checkpoint.origin).publish_witnessed(note.content)

    door = HttpWitnesses(
        authorities=told.authorities, private_hosts=told.private_hosts, plain_hosts=(PLAIN_HOST,)
    )
    follower = Cosigning(Asking(door, prove), told.witnesses, keep, tell, needed=told.needed)
    try:
        yield follower
    finally:
        follower.close()


def _witness(name: str, table: Any) -> Witness:
    if not isinstance(table, dict) or table.keys() - _MEMBERS or not {"vkey", "url"} <= table.keys():
        raise WitnessesUnusable(f"{name}: a witness has vkey and url, and may have private_host")
    vkey, url = table["vkey"], table["url"]
    if not isinstance(url, str) or not _is_address(url):
        raise WitnessesUnusable(f"{name}: url is an https address (http only on {PLAIN_HOST})")
    try:
        key = parse_vkey(vkey) if isinstance(vkey, str) else None
    except EvidenceInvalid:
        key = None
    if key is None or key.kind != COSIGNATURE:
        raise WitnessesUnusable(f"{name}: vkey is no verifier key of a witness")
    if type(table.get("private_host", False)) is not bool:
        raise WitnessesUnusable(f"{name}: private_host is true or false")
    return Witness(key, url)


def _is_address(url: str) -> bool:
    parts = urlsplit(url)
    is_plain = parts.scheme == "http" and parts.hostname == PLAIN_HOST
    return bool(parts.hostname) and (parts.scheme == "https" or is_plain) and not parts.query + parts.fragment


def _inner(table: Mapping[str, Any]) -> bool:
    return bool(table.get("private_host", False))


def _host(url: str) -> str:
    return urlsplit(url).hostname or ""


def _authorities(path: Path, told: Mapping[str, Any]) -> str:
    """Return the certificates of a file beside the file, in PEM."""
    name = told.get("ca_file", "")
    if not isinstance(name, str):
        raise WitnessesUnusable("ca_file is the name of a file")
    try:
        return read_authorities(str(path.parent / name)) if name else ""
    except ValueError as fault:
        raise WitnessesUnusable(f"ca_file is {fault}") from None
