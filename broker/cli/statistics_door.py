"""Statistical exports as a client asks for them: catalogue, question, job, result, with its own key."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http.client import HTTPException
from time import monotonic, sleep
from typing import Any, Final

from broker.cli.caller import Answer, Caller, TokenRefused
from broker.cli.demo_steps import Lang
from broker.cli.output import CommandRefused

CATALOGUE: Final = "/v1/statistics/catalogue"
EXPORTS: Final = "/v1/statistics/exports"
SCOPE: Final = "export_statistics"
REFUSED, NOT_PERMITTED, SERVER_FAILED, JOB_FAILED, CANCELLED = 3, 4, 5, 6, 130
ENDED: Final = frozenset({"done", "refused", "failed", "cancelled"})
_PAUSES: Final = (0.2, 0.5, 1.0, 2.0)
_AWAY_SECONDS: Final = 60.0
"""How long the server may be away while a job runs, before one gives up."""


@dataclass(frozen=True, slots=True)
class StatisticsDoor:
    """A client before the broker. Every method raises CommandRefused, with an exit code that says why."""

    caller: Caller
    lang: Lang

    def catalogue(self) -> dict[str, Any]:
        """Return what may be asked for."""
        return self._document("GET", CATALOGUE)

    def ask(self, body: bytes) -> dict[str, Any]:
        """Ask a question and return its job."""
        return self._document("POST", EXPORTS, body)

    def wait(self, job: Mapping[str, Any], on_percent: Callable[[int], None]) -> Mapping[str, Any]:
        """Return a job once it has ended, telling its percentage on the way; cancel it on Ctrl-C."""
        job_id = str(job["job_id"])
        try:
            for pause in self._pauses():
                on_percent(int(job["percent"]))
                if job["state"] in ENDED:
                    break
                sleep(pause)
                job = self._look(job_id)
        except KeyboardInterrupt:
            self.cancel(job_id)
            raise
        return job

    def cancel(self, job_id: str) -> str:
        """Cancel a job and return its state then."""
        return str(self._document("DELETE", f"{EXPORTS}/{job_id}")["state"])

    def part(self, href: str, first: int, last: int, etag: str) -> Answer:
        """Return bytes first to last of a result, both counted; 200 where the server gives all of it."""
        # A kept connection that turns out dead would send the same proof again, which is burned by then.
        self.caller.close()
        headers = {
            "Accept": "*/*",
            "Accept-Language": self.lang,
            "Range": f"bytes={first}-{last}",
            "If-Range": etag,
        }
        answer = self._send("GET", href, None, headers)
        if answer.status not in (200, 206):
            raise refusal(answer)
        return answer

    def _pauses(self) -> Any:
        yield from _PAUSES
        while True:
            yield _PAUSES[-1]

    def _look(self, job_id: str) -> dict[str, Any]:
        """Look at a job; a server that is away for a while is waited for."""
        until = monotonic() + _AWAY_SECONDS
        while True:
            try:
                return self._document("GET", f"{EXPORTS}/{job_id}")
            except CommandRefused as refused:
                if refused.exit_code not in (1, SERVER_FAILED) or monotonic() > until:
                    raise
                sleep(_PAUSES[-1])

    def _document(self, method: str, path: str, body: bytes | None = None) -> dict[str, Any]:
        answer = self._send(method, path, body, {"Accept-Language": self.lang})
        if answer.status >= 300:
            raise refusal(answer)
        try:
            document = answer.json()
        except ValueError:
            document = None
        if not isinstance(document, dict):
            raise CommandRefused(f"{path}: the answer is no JSON object", SERVER_FAILED)
        return document

    def _send(self, method: str, path: str, body: bytes | None, headers: Mapping[str, str]) -> Answer:
        try:
            return self.caller.request(method, path, body, headers)
        except TokenRefused as refused:
            code = NOT_PERMITTED if 400 <= refused.status < 500 else 1
            raise CommandRefused(f"no token: {refused}", code) from None
        except (OSError, HTTPException) as fault:
            raise CommandRefused(f"no answer: {type(fault).__name__}: {fault}") from None


def refusal(answer: Answer) -> CommandRefused:
    """Return a refusal in the server's words: what is wrong, what is allowed, and a number for support."""
    try:
        problem = answer.json()
    except ValueError:
        problem = {}
    if not isinstance(problem, dict):
        problem = {}
    lines = [f"HTTP {answer.status}: {problem.get('title', 'the server refuses')}"]
    lines += [
        f"{name}: {_told(problem[name])}" for name in ("reason", "detail", "allowed") if problem.get(name)
    ]
    lines += [f"{fault.get('pointer', '')}: {fault.get('remedy', '')}" for fault in problem.get("errors", ())]
    if "retry-after" in answer.headers:
        lines.append(f"again after {answer.headers['retry-after']} s")
    if problem.get("instance"):
        lines.append(f"reference: {problem['instance']}")
    codes = {422: REFUSED, 4: NOT_PERMITTED, 5: SERVER_FAILED}
    return CommandRefused("\n".join(lines), codes.get(answer.status, codes.get(answer.status // 100, 1)))


def _told(value: object) -> str:
    if isinstance(value, dict):
        return "; ".join(f"{name}: {_told(one)}" for name, one in value.items())
    if isinstance(value, list):
        return ", ".join(map(_told, value))
    return str(value)
