"""A time-stamp authority of the tests: `openssl ts` of this machine, and what a bad one would do with it."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

from broker.cli.demo_authority import OpensslAuthority, Root, find_openssl
from broker.evidence.timestamps import Stamped
from broker.timestamp_tokens import StampTrust, fresh_token, new_request
from connectors.timestamps import REPLY
from tests.serving import Place, serving

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

OPENSSL: Final = find_openssl()
needs_openssl = pytest.mark.skipif(OPENSSL is None, reason="openssl is not installed and could not be")
NAME: Final = "CN=Authority of the tests,C=VN"


class StampPlace:
    """An authority under a root of its own. start, days: when its certificate is good."""

    def __init__(self, directory: Path, *, start: datetime | None = None, days: int = 30) -> None:
        assert OPENSSL is not None
        now = datetime.now(UTC)
        self.root = Root("CN=Root of the tests,C=VN", now - timedelta(days=1000))
        self.root_file = directory / "root.pem"
        directory.mkdir(parents=True, exist_ok=True)
        self.root_file.write_bytes(self.root.pem)
        signer = self.root.issue(NAME, start or now - timedelta(days=1), days)
        self._authority = OpensslAuthority(OPENSSL, directory / "authority", *signer)

    @property
    def trust(self) -> StampTrust:
        return StampTrust([self.root.certificate])

    def reply(self, query: bytes) -> bytes:
        return self._authority.reply(query)

    def token(self, content: bytes) -> bytes:
        """Return a good token over bytes."""
        return self.reply(new_request(content).query)

    def fresh(self, content: bytes, bent: Callable[[bytes], bytes] = bytes, **more: StampTrust) -> Stamped:
        """Ask for a token over bytes, the request bent on its way; return what the answer says."""
        request = new_request(content)
        answer = self.reply(bent(request.query))
        return fresh_token(answer, content, more.get("trust", self.trust), request, datetime.now(UTC))


@contextmanager
def answering(reply: Callable[[bytes], bytes]) -> Iterator[tuple[Place, str, list[bytes]]]:
    """Serve an authority that answers so; give its place, its address, and what it was asked."""
    asked: list[bytes] = []

    def application(environ: WSGIEnvironment, start_response: StartResponse) -> list[bytes]:
        query = environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"]))
        assert (environ["REQUEST_METHOD"], environ["CONTENT_TYPE"]) == ("POST", "application/timestamp-query")
        asked.append(query)
        answer = reply(query)
        start_response("200 OK", [("Content-Type", REPLY), ("Content-Length", str(len(answer)))])
        return [answer]

    with serving(application) as place:
        yield place, f"http://localhost:{place.port}/tsa", asked


def openssl_verifies(directory: Path, content: bytes, token: Path, root_file: Path, *more: str) -> str:
    """Return what `openssl ts -verify` says of a token over bytes."""
    assert OPENSSL is not None
    data = directory / "stamped-bytes"
    data.write_bytes(content)
    words = ["ts", "-verify", "-data", str(data), "-in", str(token), "-CAfile", str(root_file), *more]
    done = subprocess.run([OPENSSL, *words], capture_output=True, text=True, check=False)
    assert (done.returncode == 0) is ("Verification: OK" in done.stdout), done
    return done.stdout.strip()
