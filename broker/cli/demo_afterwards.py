"""After the story: the server stays, citizens can sign in, and whoever asked them reads what they give."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from dataclasses import asdict, dataclass
from http.client import HTTPException
from pathlib import Path
from time import sleep
from typing import Final

import click
from rich.console import Console

from broker.cli.caller import TokenRefused
from broker.cli.demo_borrowing import ASKED, Borrower
from broker.cli.demo_cast import PARENT
from broker.cli.demo_desk import CHECK
from broker.cli.demo_inbox import HIRING, Asker, Told, recruiter
from broker.cli.demo_lender import open_account
from broker.cli.demo_opening import Opened, Options
from broker.cli.demo_stage import BANK, EMPLOYER, write_private
from broker.cli.demo_words import FAULTS, START
from broker.clock import system_clock
from broker.consent.age import required_roles
from broker.oauth.one_time_codes import enrolment_uri
from connectors.base import SourceAnswerRefused, SourceUnavailable
from connectors.national_insurance.children import InsuranceFamilies
from policies.civil_time import civil_date

PAGES: Final = "/citizen/consents"
CITIZEN_FILE: Final = "citizen.json"
_SOURCE_SECONDS: Final = 2.0


@dataclass(frozen=True, slots=True)
class Afterwards:
    """What can be tried once the story is told. say: prints a sentence of START."""

    options: Options
    ready: Opened
    console: Console
    say: Callable[..., None]

    def run(self) -> None:
        """Say what can be tried, and wait for Ctrl-C. Raises click.ClickException if the server ends."""
        play = self.ready.play
        request = self.options.directory / "request.json"
        document = play.cast.document(play.cast.person("visitor", "valid"))
        write_private(request, json.dumps(document, ensure_ascii=False, indent=1) + "\n")
        self.console.print()
        self.say("left")
        for line in lines_to_paste(self.options.command, self.ready.issuer, self.ready.key_file, request):
            click.echo(f"  {line}")
        self.say("tables")
        for line in table_lines(self.options.command, self.ready.issuer, self.options.directory):
            click.echo(f"  {line}")
        with ExitStack() as stack:
            askers = self._ask_citizens(stack)
            self._tell_how_to_be_asked()
            self.say("end")
            try:
                self._look(askers)
            except KeyboardInterrupt:
                click.echo()
                return
        raise click.ClickException(FAULTS["died"].say(self.options.lang).format(log=self.ready.log))

    def _look(self, askers: Sequence[Asker]) -> None:
        """Let those who asked look whether there is an answer, until the server ends."""
        while self.ready.server.poll() is None:
            for asker in askers:
                # A server that is just ending, or a limit that is reached: the next look is soon.
                with suppress(OSError, HTTPException, TokenRefused):
                    if (told := asker.look()) is not None:
                        self._show(told)
            sleep(0.2)

    def _show(self, told: Told) -> None:
        vi = self.options.lang == "vi"
        organisation = told.organisation.name_vi if vi else told.organisation.name_en
        name = "not_given" if not told.status else "reads" if told.status == 200 else "is_refused"
        self.say(name, organisation=organisation, words=told.words)

    def _ask_citizens(self, stack: ExitStack) -> list[Asker]:
        """Let a bank and an employer ask one citizen, and the bank a child of that citizen too."""
        play, issuer = self.ready.play, self.ready.issuer
        lending, back = play.borrowing.caller, play.borrowing.redirect_uri
        hiring = recruiter(play.stage, issuer, play.cast.run, self.options.directory, back)
        stack.callback(hiring.close)
        # Somebody else than the story's borrower, who has just refused: the same bank may not ask again yet.
        parent = open_account(play.stage, play.cast.person("asked", PARENT).personal_id)
        loan, job = ({"vi": words.vi, "en": words.en} for words in (START["loan"], START["job"]))
        first, second = Asker(BANK, lending), Asker(EMPLOYER, hiring)
        if first.ask(parent.personal_id, ASKED, loan) and second.ask(parent.personal_id, HIRING, job):
            self.say("waiting")
        self.say("pages", address=f"{issuer}{PAGES}")
        self._introduce("account", parent, CITIZEN_FILE)
        askers = [first, second]
        child = self._child_of(parent.personal_id)
        if child is not None:
            account, third = open_account(play.stage, child), Asker(BANK, lending)
            if third.ask(child, ASKED, loan):
                self._introduce("child", account, "child.json")
                askers.append(third)
        return askers

    def _introduce(self, name: str, account: Borrower, file_name: str) -> None:
        """Say how to sign in; keep it in a file, from which a line to paste prints the code of the moment."""
        file = self.options.directory / file_name
        write_private(file, json.dumps(asdict(account), indent=1) + "\n")
        uri = enrolment_uri(account.totp_secret, "demo", self.ready.play.stage.settings.data_owner)
        self.say(name, number=account.personal_id, password=account.password, uri=uri)
        self.say("code")
        print_code = "import json,pyotp,sys;print(pyotp.TOTP(json.load(sys.stdin)['totp_secret']).now())"
        python, path = shlex.quote(sys.executable), shlex.quote(str(file.resolve()))
        click.echo(f"  {python} -c {shlex.quote(print_code)} < {path}")

    def _child_of(self, personal_id: str) -> str | None:
        """Return the number of a child who signs together with this parent, if the records know one."""
        families = InsuranceFamilies(self.ready.play.stage.settings.source_url)
        today = civil_date(system_clock())
        try:
            for child in families.find_children(personal_id, _SOURCE_SECONDS):
                if len(required_roles(child.birth_date, child.birth_precision, today)) > 1:
                    return child.personal_id
        except (SourceUnavailable, SourceAnswerRefused):
            return None
        finally:
            families.close()
        return None

    def _tell_how_to_be_asked(self) -> None:
        """Say how to be asked by redirect, where the example lies beside the program."""
        example = Path(__file__).resolve().parents[2] / "docs/examples/read_by_consent.py"
        if not example.is_file():
            return
        python = shlex.quote(sys.executable)
        key = shlex.quote(str((self.options.directory / "lender.jwk").resolve()))
        back = self.ready.play.borrowing.redirect_uri
        self.say("citizen", path=self.options.directory / CITIZEN_FILE)
        click.echo(f"  {python} {shlex.quote(str(example))} {self.ready.issuer} {key} {back}")


def table_lines(command: str, issuer: str, directory: Path) -> list[str]:
    """Return shell lines that ask for a table as the ministry, with a chart of it.

    What the story had already, or a margin of it: what is told with it tells nothing new.
    """
    place = directory.resolve()
    key, out, chart = (shlex.quote(str(place / name)) for name in ("ministry.jwk", "ages.zip", "ages.svg"))
    asking = f"--issuer {issuer} --key {key}"
    table = f"--by province:region --by age:age_group --out {out} --chart {chart}"
    return [
        f"{command} statistics catalogue {asking}",
        f"{command} statistics export {asking} {table}",
    ]


def lines_to_paste(command: str, issuer: str, key_file: Path, request: Path) -> list[str]:
    """Return shell lines that work from any directory while the demo runs."""
    key, body = (shlex.quote(str(path.resolve())) for path in (key_file, request))
    call = f"{command} call POST {issuer}{CHECK} --key {key} --scope verify_entitlement --json {body}"
    return [
        f"curl -s {issuer}/healthz",
        f"curl -s {issuer}/readyz",
        f"curl -s {issuer}/.well-known/oauth-authorization-server",
        call,
        f"{call} --accept application/jwt",
    ]
