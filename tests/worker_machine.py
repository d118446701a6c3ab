"""A machine of the broker that runs workers, and a recipient's host that it can reach."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

from tests.key_host import Authority, KeyHost
from tests.oauth_world import KEY_ENCRYPTION_KEY, PSEUDONYM_KEY, Database


class Machine:
    """A machine of the broker that runs workers, and a recipient's host that it can reach."""

    def __init__(self, directory: Path, database: Database, host: KeyHost, authority: Authority) -> None:
        self.directory = directory
        self.host = host
        self.url = f"https://localhost:{host.port}/events"
        self.authority = authority
        others = {name: value for name, value in os.environ.items() if not name.startswith("BROKER_")}
        self.environ = {
            **others,
            "BROKER_ISSUER": "https://broker.example",
            "BROKER_DATABASE_URL": database.application_url,
            "BROKER_SOURCE_URL": database.application_url,
            "BROKER_KEY_ENCRYPTION_KEY_FILE": secret(directory / "a", KEY_ENCRYPTION_KEY),
            "BROKER_PSEUDONYM_KEY_FILE": secret(directory / "b", PSEUDONYM_KEY),
            "BROKER_CLIENT_KEYS_CA_FILE": str(directory / "authority.pem"),
            "BROKER_CLIENT_KEYS_PRIVATE_HOSTS": "localhost",
        }
        (directory / "authority.pem").write_text(authority.pem)

    def start(self, opened: ExitStack, *options: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "broker.cli", "worker", "--json", *options]
        process = subprocess.Popen(command, env=self.environ, stdout=subprocess.PIPE, text=True)
        opened.enter_context(process)
        opened.callback(process.kill)
        return process

    def pushed(self) -> list[str]:
        """Return the jti of everything that came, in order."""
        bodies = [body.decode() for _, body in self.host.posted]
        claims = [base64.urlsafe_b64decode(one.split(".")[1] + "==") for one in bodies]
        return [json.loads(one)["jti"] for one in claims]


def secret(path: Path, value: bytes) -> str:
    path.write_bytes(base64.urlsafe_b64encode(value))
    path.chmod(0o600)
    return str(path)
