"""A time-stamp authority for trying: certificates of its own, and `openssl ts` behind an HTTP address.

Nobody outside trusts it; it shows that what the log keeps is what any authority gives and any verifier takes.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID

from connectors.timestamps import QUERY, REPLY

POLICY: Final = "1.3.6.1.4.1.32473.3161"
"""Below the number for examples (RFC 5612)."""
ROOT_FILE: Final = "root.pem"
_QUERY_BYTES_MAX: Final = 4_096
_SECONDS: Final = 60
_CONFIGURATION: Final = """\
[tsa]
default_tsa = this
[this]
serial = {directory}/serial
signer_cert = {directory}/signer.pem
signer_key = {directory}/signer.key
signer_digest = sha256
default_policy = {policy}
digests = sha256, sha384, sha512
accuracy = secs:1
ordering = no
tsa_name = yes
ess_cert_id_chain = no
ess_cert_id_alg = sha256
"""


def find_openssl() -> str | None:
    """Return where the program openssl is, or None."""
    return shutil.which("openssl")


class Root:
    """A root that issues certificates for time stamps."""

    def __init__(self, name: str, now: datetime, days: int = 3650) -> None:
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.name = x509.Name.from_rfc4514_string(name)
        usage = x509.KeyUsage(**{**dict.fromkeys(_USAGES, False), "key_cert_sign": True, "crl_sign": True})
        self.certificate = (
            _begun(self.name, self.name, self.key, now - timedelta(days=1), days)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(usage, critical=True)
            .sign(self.key, hashes.SHA256())
        )

    @property
    def pem(self) -> bytes:
        """Its certificate."""
        return self.certificate.public_bytes(Encoding.PEM)

    def issue(
        self,
        name: str,
        start: datetime,
        days: int,
        purpose: x509.ObjectIdentifier = ExtendedKeyUsageOID.TIME_STAMPING,
    ) -> tuple[bytes, bytes]:
        """Return a certificate and its key, both in PEM."""
        key = ec.generate_private_key(ec.SECP256R1())
        usage = x509.KeyUsage(**{**dict.fromkeys(_USAGES, False), "digital_signature": True})
        certificate = (
            _begun(x509.Name.from_rfc4514_string(name), self.name, key, start, days)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(usage, critical=True)
            .add_extension(x509.ExtendedKeyUsage([purpose]), critical=True)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key()), critical=False
            )
            .sign(self.key, hashes.SHA256())
        )
        pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        return certificate.public_bytes(Encoding.PEM), pem


class OpensslAuthority:
    """Answers requests with `openssl ts -reply`. directory: where its files lie. Safe for many threads."""

    def __init__(self, openssl: str, directory: Path, certificate: bytes, key: bytes) -> None:
        self._openssl = openssl
        self._directory = directory
        self._one_at_a_time = threading.Lock()
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        (directory / "signer.pem").write_bytes(certificate)
        _write_private(directory / "signer.key", key)
        text = _CONFIGURATION.format(directory=directory.resolve(), policy=POLICY)
        (directory / "authority.cnf").write_text(text, encoding="utf-8")
        serial = directory / "serial"
        if not serial.exists():
            serial.write_text("01\n", encoding="ascii")

    def reply(self, query: bytes) -> bytes:
        """Return the answer to a request, DER. Raises OSError, subprocess.SubprocessError."""
        with self._one_at_a_time, tempfile.TemporaryDirectory(dir=self._directory) as temporary:
            asked, answer = Path(temporary, "query.tsq"), Path(temporary, "answer.tsr")
            asked.write_bytes(query)
            options = ["-config", str(self._directory / "authority.cnf"), "-queryfile", str(asked)]
            subprocess.run(
                [self._openssl, "ts", "-reply", *options, "-out", str(answer)],
                check=True,
                capture_output=True,
                timeout=_SECONDS,
            )
            return answer.read_bytes()


def demo_authority(openssl: str, directory: Path, now: datetime) -> OpensslAuthority:
    """Return the authority whose files lie in a directory; made there the first time."""
    certificate, key, root_file = directory / "signer.pem", directory / "signer.key", directory / ROOT_FILE
    if not root_file.exists():
        root = Root("CN=Demo time-stamp root,C=VN", now)
        made = root.issue("CN=Demo time-stamp authority,C=VN", now - timedelta(days=1), 3000)
        authority = OpensslAuthority(openssl, directory, *made)
        root_file.write_bytes(root.pem)
        return authority
    return OpensslAuthority(openssl, directory, certificate.read_bytes(), key.read_bytes())


@contextmanager
def authority_served(authority: OpensslAuthority) -> Iterator[str]:
    """Serve an authority on a free port of this machine; give its address."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            length = self.headers.get("Content-Length", "")
            is_query = self.headers.get_content_type() == QUERY and length.isdecimal()
            if not is_query or int(length) > _QUERY_BYTES_MAX:
                self.send_error(400)
                return
            try:
                answer = authority.reply(self.rfile.read(int(length)))
            except (OSError, subprocess.SubprocessError):
                self.send_error(500)
                return
            self.send_response(200)
            self.send_header("Content-Type", REPLY)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: object) -> None:
            """Leave it."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, name="authority", daemon=True)
        thread.start()
        try:
            yield f"http://localhost:{server.server_port}/"
        finally:
            server.shutdown()
            thread.join()


_USAGES: Final = (
    "digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement",
    "key_cert_sign", "crl_sign", "encipher_only", "decipher_only",
)  # fmt: skip


def _begun(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey, start: datetime, days: int
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(start.astimezone(UTC))
        .not_valid_after(start.astimezone(UTC) + timedelta(days=days))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )


def _write_private(path: Path, content: bytes) -> None:
    if path.exists() and path.read_bytes() == content:
        return
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(content)
