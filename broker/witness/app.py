"""The witness over HTTP (C2SP tlog-witness): `POST /add-checkpoint`, and `GET /healthz`.

A cosignature leaves only when what it is over is on disk. Of two requests at the same moment, in whichever
processes, the second one is decided anew against what the first one left.
"""

from __future__ import annotations

import logging
import socket
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from threading import Timer
from typing import TYPE_CHECKING, Any, Final

from broker.clock import Clock
from broker.evidence.checkpoint import Checkpoint
from broker.evidence.cosignature import cosigned
from broker.evidence.reasons import REASONS
from broker.evidence.witness import (
    REQUEST_BYTES_MAX,
    SIZE_TYPE,
    WitnessAnswer,
    WitnessState,
    decide_add_checkpoint,
    parse_add_checkpoint,
)
from broker.witness.key import WitnessKey
from broker.witness.store import StateBroken, StateMoved, WitnessStore

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

ADD_CHECKPOINT: Final = "/add-checkpoint"
HEALTH: Final = "/healthz"
BODY_SECONDS: Final = 10.0
"""What a body may take to arrive, whole; a client that drips is cut off."""
DECISIONS_MAX: Final = 10
"""As often a request is decided while others get in before it."""
_TEXT: Final = "text/plain; charset=utf-8"
_log: Final = logging.getLogger("broker.witness")


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer. media_type: of the body."""

    status: int
    body: bytes = b""
    media_type: str = _TEXT
    headers: Mapping[str, str] = field(default_factory=dict)


class Refused(Exception):
    """The request is no request to a witness."""

    def __init__(self, reply: Reply) -> None:
        super().__init__(reply.status)
        self.reply = reply


class WitnessApp:
    """The WSGI application. Safe for many threads and processes over one directory."""

    def __init__(self, store: WitnessStore, key: WitnessKey, clock: Clock) -> None:
        self._store = store
        self._key = key
        self._clock = clock

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer a request."""
        try:
            reply = self._reply(environ)
        except Refused as refused:
            reply = refused.reply
        except (StateBroken, OSError):
            # What is kept cannot be read or written: nothing is cosigned, and the log asks again later.
            _log.exception("the state of this witness cannot be used")
            reply = Reply(503, b"the witness cannot use its state\n", headers={"Retry-After": "60"})
        status = f"{reply.status} {HTTPStatus(reply.status).phrase}"
        fields = {"Content-Type": reply.media_type, "Content-Length": str(len(reply.body)), **reply.headers}
        start_response(status, [*fields.items(), ("Cache-Control", "no-store")])
        return [b""] if environ["REQUEST_METHOD"] == "HEAD" else [reply.body]

    def _reply(self, environ: WSGIEnvironment) -> Reply:
        method, path = environ["REQUEST_METHOD"], environ.get("PATH_INFO", "")
        if path == ADD_CHECKPOINT:
            _check_method(method, ("POST",))
            return self.add_checkpoint(body_of(environ))
        if path == HEALTH:
            _check_method(method, ("GET", "HEAD"))
            count = sum(1 for _ in self._store.watched())
            return Reply(200, f"watching {count} logs\n".encode())
        raise Refused(Reply(404, b"there is nothing here\n"))

    def add_checkpoint(self, content: bytes) -> Reply:
        """Return the answer to a request's body. Raises StateBroken, OSError."""
        origin = _origin_told(content)
        keys = self._store.find_keys(origin)
        for _ in range(DECISIONS_MAX):
            seen: list[WitnessState] = []

            def latest(told: str, seen: list[WitnessState] = seen) -> WitnessState:
                seen.append(self._store.latest(told, keys))
                return seen[0]

            answer = decide_add_checkpoint(content, keys, latest)
            if answer.state is None or answer.checkpoint is None:
                return self._refusal(answer, origin, content)
            note = parse_add_checkpoint(content).note
            try:
                self._store.exchange(origin, keys, seen[0], answer.state, note)
            except StateMoved:
                continue
            return self._cosigned(answer.checkpoint)
        return Reply(503, b"too many at the same moment\n", headers={"Retry-After": "1"})

    def _cosigned(self, checkpoint: Checkpoint) -> Reply:
        at_seconds = int(self._clock().timestamp())
        line = cosigned(checkpoint, self._key.verifier, at_seconds, self._key.sign).line
        facts: dict[str, Any] = {"origin": checkpoint.origin, "tree_size": checkpoint.tree_size}
        _log.info("cosigned", extra={"facts": facts})
        return Reply(200, line.encode())

    def _refusal(self, answer: WitnessAnswer, origin: str, content: bytes) -> Reply:
        reason = answer.reason or "request_malformed"
        # Whoever is unknown here gets no line with a name of their own making.
        facts: dict[str, Any] = {"reason": reason, "status": answer.status}
        if answer.status in (409, 422):
            facts["origin"] = origin
        level = logging.ERROR if reason == "checkpoint_forked" else logging.INFO
        _log.log(level, "not cosigned", extra={"facts": facts})
        if reason == "checkpoint_forked":
            self._store.keep_contradiction(origin, content)
        if answer.status == 409:
            return Reply(409, answer.body, SIZE_TYPE)
        return Reply(answer.status, f"{reason}: {REASONS[reason]}\n".encode())


def body_of(environ: WSGIEnvironment) -> bytes:
    """Return a request's body. Raises Refused: without a length, too long, or broken off."""
    length = environ.get("CONTENT_LENGTH", "")
    if not length.isascii() or not length.isdigit():
        raise Refused(Reply(411, b"say the length of the body\n"))
    if len(length) > 9 or int(length) > REQUEST_BYTES_MAX:
        told = f"a request has at most {REQUEST_BYTES_MAX} bytes\n".encode()
        raise Refused(Reply(413, told))
    late = Timer(BODY_SECONDS, _cut_off, (environ.get("gunicorn.socket"),))
    late.daemon = True
    late.start()
    try:
        content: bytes = environ["wsgi.input"].read(int(length))
    except OSError:
        content = b""
    finally:
        late.cancel()
    if len(content) != int(length):
        raise Refused(Reply(400, b"the body broke off\n"))
    return content


def _cut_off(client: socket.socket | None) -> None:
    if client is not None:
        try:
            client.shutdown(socket.SHUT_RDWR)
        except OSError:
            return


def _check_method(method: str, allowed: tuple[str, ...]) -> None:
    if method not in allowed:
        raise Refused(Reply(405, b"not with this method\n", headers={"Allow": ", ".join(allowed)}))


def _origin_told(content: bytes) -> str:
    """Return the first line of the checkpoint in a request, unverified: whose keys are to be looked up."""
    return content.partition(b"\n\n")[2].partition(b"\n")[0].decode("utf-8", "replace")
