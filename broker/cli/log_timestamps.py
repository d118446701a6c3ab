"""The authority that the sequencer gets time stamps from: what the environment says of it, and the thread."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, Final

from broker.actions.sequence_log import Sequencer
from broker.cli.log_session import LogSession
from broker.cli.output import CommandRefused
from broker.clock import system_clock
from broker.errors import BrokerError
from broker.setting_readers import read_authorities, read_oid, read_or_empty, read_positive
from broker.settings import companion
from broker.stamping import ASKING_SECONDS, EVERY_SECONDS, Stamping, Tell
from broker.storage.log_files import shard_directory
from broker.storage.log_timestamps import TimestampFiles
from broker.timestamp_tokens import StampTrust
from connectors.timestamps import HttpTimestamps, is_authority_address

URL: Final = "BROKER_LOG_TIMESTAMP_URL"
ROOTS: Final = "BROKER_LOG_TIMESTAMP_ROOTS_FILE"
POLICY: Final = "BROKER_LOG_TIMESTAMP_POLICY"
SECONDS: Final = "BROKER_LOG_TIMESTAMP_SECONDS"
CA_FILE: Final = "BROKER_LOG_TIMESTAMP_CA_FILE"
_EVERY_MAX: Final = 86_400


@dataclass(frozen=True, slots=True)
class AuthorityGiven:
    """An authority that can be asked, once in every_seconds at most; it has asking_seconds for an answer.

    tls_authorities: PEM, "" for the system's.
    """

    url: str
    trust: StampTrust
    every_seconds: float = EVERY_SECONDS
    tls_authorities: str = ""
    asking_seconds: float = ASKING_SECONDS


def read_authority() -> AuthorityGiven | None:
    """Return the authority that the environment names, or None. Raises CommandRefused for half of one."""
    url = companion(URL)
    if not url:
        given = [name for name in (ROOTS, POLICY, SECONDS, CA_FILE) if companion(name)]
        if given:
            raise CommandRefused(f"{given[0]} goes with {URL}", 2)
        return None
    if not is_authority_address(url):
        raise CommandRefused(f"{URL}: an https address is wanted (http only on localhost)", 2)
    if not companion(ROOTS):
        raise CommandRefused(f"{ROOTS} is missing: certificates of whose time stamps count", 2)
    return AuthorityGiven(
        url,
        StampTrust.of(_read(ROOTS, read_authorities), _read(POLICY, read_or_empty(read_oid))),
        float(_read(SECONDS, read_positive(int, _EVERY_MAX))) if companion(SECONDS) else EVERY_SECONDS,
        _read(CA_FILE, read_or_empty(read_authorities)),
    )


@contextmanager
def with_timestamps(session: LogSession, sequencer: Sequencer, tell: Tell) -> Iterator[Sequencer]:
    """Give a sequencer whose checkpoints are stamped by the authority that the environment names.

    Raises CommandRefused for one that cannot be used.
    """
    given = read_authority()
    if given is None:
        yield sequencer
        return
    with stamping(session, given, tell) as follower:
        try:
            for head in session.heads.find(sequencer.host):
                follower.published(head)
        except BrokerError:
            # The next growth is stamped; the first round tells what is wrong with the store.
            pass
        yield replace(sequencer, followers=(*sequencer.followers, follower))


@contextmanager
def stamping(session: LogSession, given: AuthorityGiven, tell: Tell) -> Iterator[Stamping]:
    """Give a follower that gets time stamps for what a log publishes, and keeps them beside it."""
    directory = session.settings.log_directory
    follower = Stamping(
        HttpTimestamps(given.url, authorities=given.tls_authorities),
        given.trust,
        lambda origin: TimestampFiles(shard_directory(directory, origin)),
        tell,
        system_clock,
        every_seconds=given.every_seconds,
        asking_seconds=given.asking_seconds,
    )
    try:
        yield follower
    finally:
        follower.close()


def _read(name: str, read: Callable[[str], Any]) -> Any:
    try:
        return read(companion(name) or "")
    except ValueError as fault:
        raise CommandRefused(f"{name} cannot be used: it must be {fault}", 2) from None
