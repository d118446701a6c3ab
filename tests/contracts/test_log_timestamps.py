"""The sequencer and its time-stamp authority: what is published is stamped; no entry ever waits for that."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from threading import Event

import pytest
from click.testing import CliRunner

from broker.actions.sequence_log import Sequencer
from broker.cli import log_timestamps, main
from broker.cli.demo_authority import POLICY, authority_served, demo_authority
from broker.cli.log_timestamps import (
    CA_FILE,
    ROOTS,
    SECONDS,
    URL,
    AuthorityGiven,
    read_authority,
    with_timestamps,
)
from broker.cli.log_timestamps import POLICY as POLICY_NAME
from broker.cli.output import CommandRefused
from broker.clock import system_clock
from broker.evidence.reasons import REASONS
from broker.storage.log_timestamps import TimestampFiles, stamped_sizes, token_path
from tests.doors import wait_until
from tests.key_host import Authority
from tests.log_world import LogWorld
from tests.serving import serving
from tests.timestamp_place import (
    OPENSSL,
    StampPlace,
    answering,
    needs_openssl,
    openssl_verifies,
)

LONG = 60.0


@pytest.fixture
def told() -> list[Mapping[str, object]]:
    return []


@pytest.fixture
def roots(tmp_path: Path) -> Path:
    """The certificate of somebody whom nobody asks."""
    path = tmp_path / "roots.pem"
    path.write_text(Authority().pem)
    return path


def stamps(log: LogWorld) -> TimestampFiles:
    return TimestampFiles(log.files().directory)


def is_stamped(log: LogWorld, size: int) -> bool:
    return stamps(log).token(size) is not None


@contextmanager
def at_work(log: LogWorld, told: list[Mapping[str, object]]) -> Iterator[Sequencer]:
    with log.session() as session, with_timestamps(session, session.sequencer, told.append) as sequencer:
        yield sequencer


def merged(log: LogWorld, sequencer: Sequencer, size: int) -> None:
    """Order until so many entries are published."""

    def is_done() -> bool:
        sequencer.run()
        return log.published().tree_size == size

    wait_until(is_done, f"{size} entries are published", LONG)


@needs_openssl
class TestAtWork:
    @pytest.fixture(autouse=True)
    def _patience(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Let the authority take its time: how quickly this machine starts openssl is not asked here."""

        def patient() -> AuthorityGiven | None:
            given = read_authority()
            return None if given is None else replace(given, asking_seconds=LONG)

        monkeypatch.setattr(log_timestamps, "read_authority", patient)

    def test_what_is_published_is_stamped_and_anybody_can_check_it(
        self,
        log: LogWorld,
        tmp_path: Path,
        told: list[Mapping[str, object]],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        place = StampPlace(tmp_path / "authority")
        log.created()
        with answering(place.reply) as (_, url, asked):
            for name, value in {URL: url, ROOTS: str(place.root_file), SECONDS: "1"}.items():
                monkeypatch.setenv(name, value)
            with at_work(log, told) as sequencer:
                wait_until(partial(is_stamped, log, 0), "the empty log is stamped", LONG)
                for size in (300, 310):
                    log.record(range(len(log.recorded()), size))
                    merged(log, sequencer, size)
                    wait_until(partial(is_stamped, log, size), "it is stamped", LONG)
            # Started again it goes on, and asks for nothing that is there.
            count = len(asked)
            with at_work(log, told) as sequencer:
                log.record(range(310, 315))
                merged(log, sequencer, 315)
            assert len(asked) == count + 1
        assert told == []
        log.check()
        directory = log.files().directory
        assert stamped_sizes(directory) == [0, 300, 310, 315]
        assert stamps(log).newest() == stamps(log).note(315)
        # Whoever audits has the files, the keys, and nothing else of ours.
        words = ["evidence", "audit", "--tiles", str(directory), "--vkey", log.key().vkey]
        audited = CliRunner().invoke(main, [*words, "--timestamp-roots", str(place.root_file), "--json"])
        found = json.loads(audited.stdout)
        assert (audited.exit_code, found["findings"], found["timestamps"]["count"]) == (0, [], 4)
        for size in (300, 315):
            note = stamps(log).note(size)
            assert note is not None
            said = openssl_verifies(tmp_path, note, directory / token_path(size), place.root_file)
            assert said == "Verification: OK"

    def test_entries_are_merged_while_the_authority_takes_its_time(
        self,
        log: LogWorld,
        tmp_path: Path,
        told: list[Mapping[str, object]],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        place = StampPlace(tmp_path / "authority")
        begun, let_go = Event(), Event()

        def held(query: bytes) -> bytes:
            begun.set()
            assert let_go.wait(LONG)
            return place.reply(query)

        log.created()
        with answering(held) as (_, url, _):
            for name, value in {URL: url, ROOTS: str(place.root_file), SECONDS: "1"}.items():
                monkeypatch.setenv(name, value)
            with at_work(log, told) as sequencer:
                assert begun.wait(LONG)
                for size in (5, 9, 12):
                    log.record(range(len(log.recorded()), size))
                    merged(log, sequencer, size)
                assert not let_go.is_set()
                assert stamped_sizes(log.files().directory) == []
                let_go.set()
                wait_until(partial(is_stamped, log, 12), "the newest is stamped", LONG)
        log.check()

    def test_the_demos_authority_stays_the_same_when_it_is_started_again(self, tmp_path: Path) -> None:
        assert OPENSSL is not None
        place = tmp_path / "authority"
        first = demo_authority(OPENSSL, place, system_clock())
        root = (place / "root.pem").read_bytes()
        again = demo_authority(OPENSSL, place, system_clock())
        assert (place / "root.pem").read_bytes() == root
        assert (place / "signer.key").stat().st_mode & 0o077 == 0
        assert first is not again
        with authority_served(again) as url, serving() as gone:
            assert url.startswith("http://localhost:")
            assert str(gone.port) not in url


class TestAnAuthorityThatIsGone:
    def test_it_holds_up_nothing_and_somebody_is_told(
        self,
        log: LogWorld,
        roots: Path,
        told: list[Mapping[str, object]],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        with serving() as gone:
            monkeypatch.setenv(URL, f"http://localhost:{gone.port}")
        monkeypatch.setenv(ROOTS, str(roots))
        log.created()
        log.record(range(5))
        with at_work(log, told) as sequencer:
            merged(log, sequencer, 5)
            wait_until(lambda: bool(told), "somebody is told", LONG)
        assert told[0]["event"] == "no time stamp"
        assert told[0]["reason"] == "the authority does not answer in time"
        assert (stamps(log).newest(), stamped_sizes(log.files().directory)) == (None, [])
        log.check()

    def test_what_it_sends_is_not_believed(
        self,
        log: LogWorld,
        roots: Path,
        told: list[Mapping[str, object]],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        log.created()
        with answering(lambda _: b"a time stamp, honestly") as (_, url, _):
            monkeypatch.setenv(URL, url)
            monkeypatch.setenv(ROOTS, str(roots))
            with at_work(log, told):
                wait_until(lambda: bool(told), "somebody is told", LONG)
        assert told[0]["reason"] == REASONS["timestamp_malformed"]
        assert stamps(log).newest() is None


class TestTheEnvironment:
    def test_without_an_address_nobody_is_asked(
        self, log: LogWorld, told: list[Mapping[str, object]], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.delenv(URL, raising=False)
        with at_work(log, told) as sequencer:
            assert sequencer.followers == ()
        assert read_authority() is None

    def test_whole(self, monkeypatch: pytest.MonkeyPatch, roots: Path) -> None:
        given = {URL: "https://tsa.example/tsr", ROOTS: str(roots), POLICY_NAME: POLICY, SECONDS: "3600"}
        for name, value in {**given, CA_FILE: str(roots)}.items():
            monkeypatch.setenv(name, value)
        authority = read_authority()
        assert authority is not None
        assert (authority.url, authority.trust.policy) == ("https://tsa.example/tsr", POLICY)
        assert (authority.every_seconds, len(authority.trust.roots)) == (3600.0, 1)
        assert authority.tls_authorities == roots.read_text()

    def test_a_minute_is_the_usual_pause(self, monkeypatch: pytest.MonkeyPatch, roots: Path) -> None:
        monkeypatch.setenv(URL, "https://tsa.example/tsr")
        monkeypatch.setenv(ROOTS, str(roots))
        authority = read_authority()
        assert authority is not None
        assert (authority.every_seconds, authority.trust.policy, authority.tls_authorities) == (60.0, "", "")

    @pytest.mark.parametrize(
        ("given", "words"),
        [
            ({ROOTS: "{roots}"}, f"{ROOTS} goes with {URL}"),
            ({SECONDS: "60"}, f"{SECONDS} goes with {URL}"),
            ({URL: "https://tsa.example"}, f"{ROOTS} is missing: certificates of whose time stamps count"),
            ({URL: "http://tsa.example", ROOTS: "{roots}"}, f"{URL}: an https address is wanted"),
            ({URL: "https://tsa.example", ROOTS: "/none"}, f"{ROOTS} cannot be used: it must be a readable"),
            (
                {URL: "https://tsa.example", ROOTS: "{roots}", POLICY_NAME: "any"},
                f"{POLICY_NAME} cannot be used: it must be an object identifier",
            ),
            (
                {URL: "https://tsa.example", ROOTS: "{roots}", SECONDS: "0"},
                f"{SECONDS} cannot be used: it must be",
            ),
            (
                {URL: "https://tsa.example", ROOTS: "{roots}", CA_FILE: "/none"},
                f"{CA_FILE} cannot be used: it must be a readable PEM file",
            ),
        ],
    )
    def test_half_of_one_is_refused(
        self, monkeypatch: pytest.MonkeyPatch, roots: Path, given: Mapping[str, str], words: str
    ) -> None:
        for name, value in given.items():
            monkeypatch.setenv(name, value.format(roots=roots))
        with pytest.raises(CommandRefused) as refused:
            read_authority()
        assert (words in refused.value.message, refused.value.exit_code) == (True, 2), refused.value.message
