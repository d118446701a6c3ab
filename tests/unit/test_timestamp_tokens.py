"""Tokens of a real authority (`openssl ts`): what is taken, and why each of all others is refused."""

from __future__ import annotations

import hashlib
import random
import subprocess
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID
from rfc3161_client import decode_timestamp_response

from broker.cli.demo_authority import POLICY
from broker.evidence.reasons import EvidenceInvalid
from broker.timestamp_tokens import StampTrust, fresh_token, new_request, opened_token
from tests.evidence_log import log_of
from tests.timestamp_place import NAME, OPENSSL, StampPlace, needs_openssl, openssl_verifies

pytestmark = needs_openssl
CONTENT = log_of(9).note().content
OTHER = log_of(10).note().content


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> StampPlace:
    return StampPlace(tmp_path_factory.mktemp("authority"))


def refused(ask: Callable[[], object]) -> str:
    with pytest.raises(EvidenceInvalid) as caught:
        ask()
    return caught.value.reason


def other_nonce(query: bytes) -> bytes:
    """Return a request with the last bits of its nonce turned."""
    found = query.rfind(b"\x02", 0, query.rfind(b"\x01\x01\xff"))
    assert found > 0
    end = found + 2 + query[found + 1]
    return query[: end - 1] + bytes([query[end - 1] ^ 0x0F]) + query[end:]


def other_imprint(query: bytes) -> bytes:
    own, other = (hashlib.sha256(one).digest() for one in (CONTENT, OTHER))
    assert query.count(own) == 1
    return query.replace(own, other)


def test_a_good_one_tells_when_the_bytes_were_there(place: StampPlace) -> None:
    before = datetime.now(UTC).replace(microsecond=0)
    stamped = place.fresh(CONTENT)
    assert before <= stamped.at <= datetime.now(UTC)
    assert (stamped.authority, stamped.policy) == (NAME, POLICY)
    assert stamped.at.tzinfo is UTC


def test_it_is_openssls_to_check_too(place: StampPlace, tmp_path: Path) -> None:
    token = tmp_path / "9.tsr"
    token.write_bytes(place.token(CONTENT))
    assert openssl_verifies(tmp_path, CONTENT, token, place.root_file) == "Verification: OK"
    assert openssl_verifies(tmp_path, OTHER, token, place.root_file) != "Verification: OK"


def test_it_stays_good_without_its_request(place: StampPlace) -> None:
    token = place.token(CONTENT)
    assert opened_token(token, CONTENT, place.trust) == opened_token(token, CONTENT, place.trust)


def test_every_request_has_a_nonce_of_its_own() -> None:
    assert len({new_request(CONTENT).nonce for _ in range(20)}) == 20


def test_one_over_other_bytes_is_refused(place: StampPlace) -> None:
    assert refused(lambda: place.fresh(CONTENT, other_imprint)) == "timestamp_differs"
    assert refused(lambda: opened_token(place.token(CONTENT), OTHER, place.trust)) == "timestamp_differs"
    assert (
        refused(lambda: opened_token(place.token(CONTENT), CONTENT + b"\n", place.trust))
        == "timestamp_differs"
    )


def test_one_that_answers_another_request_is_refused(place: StampPlace) -> None:
    assert refused(lambda: place.fresh(CONTENT, other_nonce)) == "timestamp_nonce"
    earlier = place.token(CONTENT)
    now = datetime.now(UTC)
    assert (
        refused(lambda: fresh_token(earlier, CONTENT, place.trust, new_request(CONTENT), now))
        == "timestamp_nonce"
    )


def test_one_under_another_root_is_refused(place: StampPlace, tmp_path: Path) -> None:
    stranger = StampPlace(tmp_path)
    # The other root has the very same name.
    assert stranger.root.certificate.subject == place.root.certificate.subject
    assert refused(lambda: place.fresh(CONTENT, trust=stranger.trust)) == "timestamp_untrusted"
    both = StampTrust([*stranger.trust.roots, *place.trust.roots])
    assert place.fresh(CONTENT, trust=both).authority == NAME


@pytest.mark.parametrize("days", [-60, 60], ids=["expired", "not-yet-valid"])
def test_one_of_a_certificate_that_was_not_good_then_is_refused(tmp_path: Path, days: int) -> None:
    place = StampPlace(tmp_path, start=datetime.now(UTC) + timedelta(days=days))
    token = tmp_path / "token.tsr"
    token.write_bytes(place.token(CONTENT))
    assert refused(lambda: opened_token(token.read_bytes(), CONTENT, place.trust)) == "timestamp_untrusted"
    assert openssl_verifies(tmp_path, CONTENT, token, place.root_file) != "Verification: OK"


def test_openssl_takes_an_old_one_when_it_is_told_the_time(tmp_path: Path) -> None:
    """As the page on evidence says: of a certificate that has expired since."""
    start = datetime.now(UTC) - timedelta(days=60)
    place = StampPlace(tmp_path, start=start)
    token = tmp_path / "token.tsr"
    token.write_bytes(place.token(CONTENT))
    then = str(int((start + timedelta(days=15)).timestamp()))
    said = openssl_verifies(tmp_path, CONTENT, token, place.root_file, "-attime", then)
    assert said == "Verification: OK"
    assert openssl_verifies(tmp_path, CONTENT, token, place.root_file) != "Verification: OK"


def test_one_under_another_policy_is_refused(place: StampPlace) -> None:
    named = StampTrust(place.trust.roots, POLICY)
    assert place.fresh(CONTENT, trust=named).policy == POLICY
    other = StampTrust(place.trust.roots, "1.3.6.1.4.1.32473.1")
    assert refused(lambda: place.fresh(CONTENT, trust=other)) == "timestamp_policy"


def test_one_of_another_time_is_refused_when_it_comes(place: StampPlace) -> None:
    request = new_request(CONTENT)
    token = place.reply(request.query)
    for days in (-1, 1):
        at = datetime.now(UTC) + timedelta(days=days)

        def ask(at: datetime = at) -> object:
            return fresh_token(token, CONTENT, place.trust, request, at)

        assert refused(ask) == "timestamp_time"


def test_a_refusal_is_no_token(place: StampPlace) -> None:
    sha256 = bytes.fromhex("0609608648016503040201")
    query = new_request(CONTENT).query
    assert sha256 in query
    answer = place.reply(query.replace(sha256, bytes.fromhex("0609608648016503040204")))  # SHA-224, 32 bytes
    assert refused(lambda: opened_token(answer, CONTENT, place.trust)) == "timestamp_refused"


@pytest.mark.parametrize("content", [b"", b"no", b"0" * 70_000, CONTENT])
def test_what_is_no_token_is_refused(place: StampPlace, content: bytes) -> None:
    assert refused(lambda: opened_token(content, CONTENT, place.trust)) == "timestamp_malformed"


def test_of_bent_ones_none_says_anything_else(place: StampPlace) -> None:
    token = place.token(CONTENT)
    said = opened_token(token, CONTENT, place.trust)
    drawn = random.Random(3161)
    outcomes = set()
    for _ in range(1_500):
        bent = bytearray(token)
        for _ in range(drawn.randint(1, 3)):
            bent[drawn.randrange(len(bent))] ^= 1 << drawn.randrange(8)
        try:
            # What nobody signed may differ: nothing of it is told.
            assert opened_token(bytes(bent), CONTENT, place.trust) == said
            outcomes.add("holds")
        except EvidenceInvalid as broken:
            outcomes.add(broken.reason)
    assert {"timestamp_malformed", "timestamp_untrusted", "timestamp_differs"} <= outcomes


class TestWhoMaySign:
    """Tokens that say what an honest one says, signed by another certificate under the trusted root."""

    def test_a_certificate_for_time_stamps_does(self, place: StampPlace, tmp_path: Path) -> None:
        token = signed_by_hand(place, tmp_path, ExtendedKeyUsageOID.TIME_STAMPING)
        assert opened_token(token, CONTENT, place.trust).authority == NAME

    @pytest.mark.parametrize("with_twin", [False, True], ids=["alone", "beside-a-twin"])
    def test_one_of_a_web_server_makes_none(
        self, place: StampPlace, tmp_path: Path, *, with_twin: bool
    ) -> None:
        """Also where a certificate of the same name and number, which nobody issued, is for time stamps."""
        token = signed_by_hand(place, tmp_path, ExtendedKeyUsageOID.SERVER_AUTH, with_twin=with_twin)
        assert len(decode_timestamp_response(token).signed_data.certificates) == 1 + with_twin
        assert refused(lambda: opened_token(token, CONTENT, place.trust)) == "timestamp_untrusted"


def signed_by_hand(
    place: StampPlace, directory: Path, purpose: x509.ObjectIdentifier, *, with_twin: bool = False
) -> bytes:
    """Return an answer with an honest token's content, signed by a certificate for a purpose."""
    start = datetime.now(UTC) - timedelta(days=1)
    certificate, key = place.root.issue(NAME, start, 30, purpose)
    files = {"info": content_of(place.token(CONTENT)), "own.pem": certificate, "own.key": key}
    if with_twin:
        files["twin.pem"] = twin(x509.load_pem_x509_certificate(certificate))
    for name, content in files.items():
        (directory / name).write_bytes(content)
    words = ["cms", "-sign", "-binary", "-nodetach", "-nosmimecap", "-md", "sha256", "-outform", "DER"]
    words += ["-econtent_type", "1.2.840.113549.1.9.16.1.4", "-signer", "own.pem", "-inkey", "own.key"]
    words += ["-in", "info", *(["-certfile", "twin.pem"] if with_twin else [])]
    assert OPENSSL is not None
    token = subprocess.run([OPENSSL, *words], cwd=directory, capture_output=True, check=True).stdout
    return element(0x30, element(0x30, b"\x02\x01\x00") + token)


def content_of(token: bytes) -> bytes:
    """Return the TSTInfo of a token (RFC 3161, 2.4.2): what its signature is over."""
    kind = bytes.fromhex("060b2a864886f70d0109100104")
    rest = token[token.index(kind) + len(kind) :]
    explicit, _ = value_of(rest)
    return value_of(explicit)[0]


def value_of(content: bytes) -> tuple[bytes, bytes]:
    """Return the value of the first element of DER, and what follows it."""
    length, begin = content[1], 2
    if length & 0x80:
        begin += length & 0x7F
        length = int.from_bytes(content[2:begin], "big")
    return content[begin : begin + length], content[begin + length :]


def element(tag: int, content: bytes) -> bytes:
    return (
        bytes([tag, 0x82]) + len(content).to_bytes(2, "big") + content
        if len(content) > 255
        else (bytes([tag, len(content)]) + content)
    )


def twin(certificate: x509.Certificate) -> bytes:
    """Return a certificate of the same issuer and number for time stamps, which its issuer never issued."""
    key = ec.generate_private_key(ec.SECP256R1())
    made = (
        x509.CertificateBuilder()
        .subject_name(certificate.subject)
        .issuer_name(certificate.issuer)
        .public_key(key.public_key())
        .serial_number(certificate.serial_number)
        .not_valid_before(certificate.not_valid_before_utc)
        .not_valid_after(certificate.not_valid_after_utc)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.TIME_STAMPING]), critical=True)
        .sign(key, hashes.SHA256())
    )
    return made.public_bytes(serialization.Encoding.PEM)
