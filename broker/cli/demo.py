"""`broker demo`: a hospital's day against the real server, on its own PostgreSQL; then it is yours to try."""

from __future__ import annotations

import json
import shlex
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from types import FrameType
from typing import NoReturn

import click
import psycopg
from rich.console import Console
from sqlalchemy.exc import SQLAlchemyError

from broker.cli.demo_afterwards import Afterwards
from broker.cli.demo_cast import CaseMissing
from broker.cli.demo_log import Shown
from broker.cli.demo_opening import Opened, Options, opened
from broker.cli.demo_show import Screen, plain_console
from broker.cli.demo_stage import write_private
from broker.cli.demo_steps import Lang, Played
from broker.cli.demo_story_guards import STORY
from broker.cli.demo_words import FAULTS, START
from broker.cli.session import state_directory
from broker.errors import BrokerError
from broker.storage.agreements import RevisionNotNewer
from broker.storage.clients import AlreadyRegistered
from broker.storage.log_timestamps import token_path

_INTERRUPTED = 130
EVIDENCE_FILE = "evidence.json"
KEY_FILE = "log.vkey"


@click.command(
    epilog="Exit codes: 0 all scenes as expected, 1 some scene differed or nothing could start, "
    "2 wrong usage, 130 interrupted during the story. Ctrl-C after the story is no failure."
)
@click.option("--once", is_flag=True, help="End after the story; without it the server is left running.")
@click.option("--lang", type=click.Choice(["vi", "en"]), default="vi", show_default=True, help="Language.")
@click.option("--port", type=click.IntRange(1, 65_535), default=8000, show_default=True, help="On 127.0.0.1.")
@click.option("--persons", type=click.IntRange(1000, 10_000_000), default=20_000, hidden=True)
def demo_command(once: bool, lang: Lang, port: int, persons: int) -> None:
    """Play a hospital's day with the real server and synthetic persons.

    Needs no setting and no other program: starts a PostgreSQL of its own under BROKER_STATE_DIRECTORY
    (default .demo), makes a population, registers a hospital, a bank and a ministry, serves on
    127.0.0.1, asks all that a reception desk asks, tries what must be refused, lets the bank ask a citizen
    and the ministry ask for tables, and shows the evidence. Other BROKER_ variables are not read.
    """
    options = Options(state_directory(), own_command(), port, persons, lang)
    _until_signalled()
    try:
        with _faults(options):
            code = _Demo(options, plain_console()).run(once)
    except KeyboardInterrupt:
        code = _INTERRUPTED
    sys.exit(code)


@dataclass(frozen=True, slots=True)
class _Demo:
    options: Options
    console: Console

    def run(self, once: bool) -> int:
        """Play the story, leave the server running unless once, and return the exit code."""
        started = perf_counter()
        self.console.print(f"[bold]{START['title'].say(self.options.lang)}[/]")
        self._say("synthetic")
        with opened(self.options, self.console, self._say) as ready:
            try:
                self._say("serving", issuer=ready.issuer, seconds=perf_counter() - started)
                wrong = self._tell(ready)
                if not once:
                    Afterwards(self.options, ready, self.console, self._say).run()
            finally:
                _ignore_signals()
        self._say("ended")
        return 1 if wrong else 0

    def _tell(self, ready: Opened) -> list[str]:
        """Play every scene and return the names of those that differed; the transcript is written anyway."""
        screen = Screen(self.options.lang, ready.play.stage.agreement, ready.catalogue, self.console)
        story: list[Played] = []
        transcript = self.options.directory / "transcript.json"
        try:
            for number, step in enumerate(STORY, start=1):
                story.append(ready.play.perform(step))
                screen.scene(number, story[-1])
        finally:
            rows = [played.row() for played in story]
            write_private(transcript, json.dumps(rows, ensure_ascii=False, indent=1) + "\n")
        screen.summary(story)
        wrong = [played.step.name for played in story if played.differences]
        if not self._is_clean(ready, story):
            wrong.append("evidence")
        if not self._is_proven(ready, story):
            wrong.append("log")
        self._say("wrong" if wrong else "right", count=len(story), names=", ".join(wrong))
        self._say("transcript", path=transcript)
        return wrong

    def _is_clean(self, ready: Opened, story: Sequence[Played]) -> bool:
        """Look for every number and name that was used in all evidence that was left."""
        texts = [json.dumps(entry, ensure_ascii=False) for played in story for entry in played.entries]
        numbers = ready.play.cast.numbers()
        is_clean = not any(number in text for number in numbers for text in texts)
        self._say("clean" if is_clean else "unclean", numbers=len(numbers), entries=len(texts))
        return is_clean

    def _is_proven(self, ready: Opened, story: Sequence[Played]) -> bool:
        """Wait for the proof that the story's last entry stands in the log, and keep it in a file."""
        references = [entry["reference"] for played in story for entry in played.entries]
        reference, started = (references or [""])[-1], perf_counter()
        shown = ready.ordered.prove(reference) if reference else None
        if shown is None:
            self._say("unproven", reference=reference)
            return False
        file = self.options.directory / EVIDENCE_FILE
        write_private(file, shown.evidence.content.decode() + "\n")
        (self.options.directory / KEY_FILE).write_text(shown.key.vkey + "\n", encoding="ascii")
        self._say(
            "proven",
            size=shown.tree_size,
            reference=reference,
            index=shown.leaf_index,
            hashes=shown.hash_count,
            seconds=perf_counter() - started,
        )
        authority = ready.ordered.authority
        if shown.stamped is not None:
            at, name = f"{shown.stamped.at:%Y-%m-%dT%H:%M:%SZ}", shown.stamped.authority
            self._say("stamped", size=shown.tree_size, at=at, authority=name)
        else:
            self._say("unstamped" if authority is None else "stamp_late")
        self._say("try_proof")
        roots = None if authority is None else authority.root_file
        for line in proof_lines(self.options.command, file, shown, self.options.lang, roots):
            click.echo(f"  {line}")
        self._say("try_browser", path=file, page=f"{ready.issuer}/citizen/verify?lang={self.options.lang}")
        click.echo(f"  {shown.key.vkey}")
        return True

    def _say(self, name: str, **values: object) -> None:
        text = START[name].say(self.options.lang).format(**values)
        self.console.print(text, markup=False, soft_wrap=True)


def proof_lines(command: str, file: Path, shown: Shown, lang: Lang, roots: Path | None) -> list[str]:
    """Return shell lines that check the entry, and the whole log, with nothing but files.

    roots: certificate of the authority that stamps the log, if one does.
    """
    evidence, tiles = (shlex.quote(str(path.resolve())) for path in (file, shown.directory))
    key = shlex.quote(shown.key.vkey)
    stamp = trusted = ""
    if roots is not None:
        trusted = f" --timestamp-roots {shlex.quote(str(roots.resolve()))}"
    if shown.stamped is not None:
        token = shown.directory / token_path(shown.tree_size)
        stamp = f" --timestamp {shlex.quote(str(token.resolve()))}{trusted}"
    return [
        f"{command} evidence verify {evidence} --vkey {key}{stamp} --lang {lang}",
        f"{command} evidence audit --tiles {tiles} --vkey {key}{trusted} --lang {lang}",
    ]


def own_command() -> str:
    """Return how this program is called, in a form that works from any directory."""
    program = Path(sys.argv[0])
    if program.name == "broker" and program.is_file():
        return shlex.quote(str(program.absolute()))
    return f"{shlex.quote(sys.executable)} -m broker.cli"


@contextmanager
def _faults(options: Options) -> Iterator[None]:
    """Turn what cannot be helped here into one plain sentence with a remedy."""

    def refuse(name: str, fault: object = "") -> NoReturn:
        text = FAULTS[name].say(options.lang).format(directory=options.directory, fault=fault)
        raise click.ClickException(text) from None

    try:
        yield
    except ModuleNotFoundError as fault:
        refuse("extra", fault.name)
    except CaseMissing as fault:
        refuse("few", fault)
    except (RevisionNotNewer, AlreadyRegistered) as fault:
        refuse("other_version", fault)
    except (psycopg.Error, SQLAlchemyError, BrokerError) as fault:
        refuse("directory", type(fault).__name__)
    except OSError as fault:
        refuse("directory", fault.strerror or type(fault).__name__)


def _until_signalled() -> None:
    """Let every wish to end (Ctrl-C, SIGTERM, a closed terminal) end the demo in the same orderly way."""

    def end(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGINT, end)
    signal.signal(signal.SIGTERM, end)
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        signal.signal(signal.SIGHUP, end)


def _ignore_signals() -> None:
    """Clean up undisturbed: whoever asked to end has been heard."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
