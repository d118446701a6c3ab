"""A key of the log leaked and was withdrawn: what it signed last is signed anew, and proofs hold again."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import text

from broker.errors import LogStopped
from broker.evidence.checkpoint import Checkpoint, open_checkpoint
from broker.evidence.cosignature import cosigned, witnesses_of
from broker.evidence.reasons import EvidenceInvalid
from broker.evidence.signed_note import VerifierKey, parse_note
from broker.storage.log_heads import create_head_store
from tests.evidence_log import WITNESS_KEYS, WITNESSES
from tests.faults.test_sequencer import Died, dying
from tests.log_world import HOST, YEAR, LogDatabases, LogWorld

ONLY_GROWS = """NEW.tree_size < OLD.tree_size
         OR (NEW.tree_size = OLD.tree_size AND NEW.root_hash <> OLD.root_hash)"""


@pytest.fixture
def log(databases: LogDatabases, tmp_path: Path) -> Iterator[LogWorld]:
    """Give a log of three entries."""
    world = LogWorld(databases, tmp_path / "log")
    try:
        world.created()
        world.record(range(3))
        world.order()
        yield world
    finally:
        world.close()


def exchange_key(log: LogWorld, *, compromised: bool = False) -> None:
    """Exchange the key of a log that does not grow by it: the entries that tell of it are another year's."""
    log.ring.rotate("log", compromised=compromised)
    with log.databases.owner.begin() as connection:
        connection.execute(
            text(
                "DELETE FROM evidence_openings USING evidence_entries"
                " WHERE evidence_openings.reference = evidence_entries.reference AND kind = 'key_event'"
            )
        )
        connection.execute(text("DELETE FROM evidence_entries WHERE kind = 'key_event'"))


def published_under(log: LogWorld, key: VerifierKey, year: int = YEAR) -> Checkpoint:
    """Return the published checkpoint, which this key signed and no other."""
    content = log.files(year).checkpoint()
    assert content is not None
    own = [one for one in parse_note(content).signatures if one.name == log.origin(year)]
    assert [one.key_id for one in own] == [key.key_id]
    return open_checkpoint(content, [key]).checkpoint


def head_note(log: LogWorld) -> bytes:
    with log.session() as session:
        [head] = session.heads.find(HOST)
    return head.note


def test_what_it_signed_last_is_signed_anew_though_nothing_grows(log: LogWorld) -> None:
    before, old_key = log.published(), log.key()
    exchange_key(log, compromised=True)
    assert log.order_what_may_be() == 0
    assert log.key() != old_key
    assert published_under(log, log.key()) == before
    assert head_note(log) == log.files().checkpoint()
    with pytest.raises(EvidenceInvalid, match="checkpoint_unsigned"):
        open_checkpoint(head_note(log), [old_key])
    log.check()
    log.record(range(3, 5))
    log.order()
    log.check()


def test_once_is_enough(log: LogWorld) -> None:
    exchange_key(log, compromised=True)
    log.order_what_may_be()
    content, note = log.files().checkpoint(), head_note(log)
    with log.databases.head_owner.connect() as connection:
        at = connection.execute(text("SELECT signed_at FROM log_heads")).scalar_one()
    log.order_what_may_be()
    assert (log.files().checkpoint(), head_note(log)) == (content, note)
    with log.databases.head_owner.connect() as connection:
        assert connection.execute(text("SELECT signed_at FROM log_heads")).scalar_one() == at


def test_what_an_exchanged_key_signed_stays(log: LogWorld) -> None:
    content = log.files().checkpoint()
    exchange_key(log)
    log.order_what_may_be()
    assert log.files().checkpoint() == content


def test_the_log_of_a_closed_year_is_signed_anew_too(log: LogWorld) -> None:
    log.created(YEAR - 1)
    log.record([10], year=YEAR - 1)
    log.order()
    trees = [log.published(YEAR - 1), log.published()]
    exchange_key(log, compromised=True)
    log.order_what_may_be()
    assert [published_under(log, log.key(year), year) for year in (YEAR - 1, YEAR)] == trees


def test_witnesses_signed_the_tree_and_their_lines_stay(log: LogWorld) -> None:
    files, tree = log.files(), log.published()
    lines = [cosigned(tree, key, 7, private.sign) for private, key in WITNESSES[:2]]
    content = files.checkpoint()
    assert content is not None
    files.publish_witnessed(parse_note(content).with_signatures(lines).content)
    log.order_what_may_be()
    assert files.checkpoint() == files.witnessed()
    exchange_key(log, compromised=True)
    log.order_what_may_be()
    for told in (files.checkpoint(), files.witnessed()):
        assert told is not None
        opened = open_checkpoint(told, [log.key()])
        assert opened.checkpoint == tree
        assert [one.witness for one in witnesses_of(opened.note, WITNESS_KEYS)] == WITNESS_KEYS[:2]
    assert published_under(log, log.key()) == tree


def test_what_is_cosigned_late_under_the_withdrawn_key_is_put_right(log: LogWorld) -> None:
    files, tree = log.files(), log.published()
    old = files.checkpoint()
    assert old is not None
    exchange_key(log, compromised=True)
    log.order_what_may_be()
    lines = [cosigned(tree, key, 7, private.sign) for private, key in WITNESSES[:2]]
    files.publish_witnessed(parse_note(old).with_signatures(lines).content)
    log.order_what_may_be()
    told = files.witnessed()
    assert told == files.checkpoint()
    assert told is not None
    assert len(parse_note(told).signatures) == 3
    assert published_under(log, log.key()) == tree


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize(("door", "step"), [("heads", "swap"), ("files", "publish")])
def test_whatever_step_is_the_last_the_next_start_has_it_published(
    log: LogWorld, door: str, step: str, when: str
) -> None:
    tree = log.published()
    exchange_key(log, compromised=True)
    with log.session() as session:
        sequencer = dying(session, door, step, when)
        assert session.lease.hold()
        with pytest.raises(Died):
            sequencer.run()
    log.order_what_may_be()
    assert published_under(log, log.key()) == tree
    assert head_note(log) == log.files().checkpoint()
    log.check()


def test_another_tree_of_the_same_size_is_never_signed(log: LogWorld) -> None:
    with (
        pytest.raises(Exception, match="a head only ever grows"),
        log.databases.head_owner.begin() as connection,
    ):
        connection.execute(text("UPDATE log_heads SET root_hash = sha256('another')"))


def test_a_head_store_of_an_earlier_release_says_what_is_to_be_done(log: LogWorld) -> None:
    owner_url = log.databases.head_owner.url.render_as_string(hide_password=False)
    with log.databases.head_owner.begin() as connection:
        source: str = connection.execute(
            text("SELECT pg_get_functiondef('keep_heads'::regproc)")
        ).scalar_one()
        assert ONLY_GROWS in source
        earlier = source.replace(ONLY_GROWS, "NEW.tree_size <= OLD.tree_size")
        connection.exec_driver_sql(earlier)
    try:
        exchange_key(log, compromised=True)
        published = log.files().checkpoint()
        with pytest.raises(LogStopped, match="broker prepare brings them up to date"):
            log.order_what_may_be()
        assert log.files().checkpoint() == published
    finally:
        create_head_store(owner_url)
    log.order_what_may_be()
    published_under(log, log.key())
