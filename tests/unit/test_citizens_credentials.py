"""Passwords, one-time codes and what is sealed: what is accepted, what is refused, what it costs."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta

import argon2
import pyotp
import pytest

from broker.oauth.citizen_passwords import (
    PasswordRefused,
    Passwords,
    VerificationBusy,
    check_password,
)
from broker.oauth.citizen_secrets import CitizenSecrets, CitizenSecretUnreadable, derived_key
from broker.oauth.citizens import CitizenAccount, SignedIn, SignInAttempt, _network_of
from broker.oauth.one_time_codes import enrolment_uri, matching_step, new_secret

QUICK = {"time_cost": 1, "memory_kib": 8, "lanes": 1}
PERSONAL_ID = "001090123456"
AT = datetime(2026, 11, 22, 3, 0, 10, tzinfo=UTC)


@pytest.mark.parametrize(
    "password",
    [
        "con mèo trèo cây cau",
        "x9!kLm2#qP7w",
        "đường về nhà xa lắm",
        "Ổ" + "bcdefghijkl",
        "ab c" * 60 + "xyz w",
    ],
)
def test_a_good_password_is_accepted(password: str) -> None:
    check_password(password, PERSONAL_ID)


@pytest.mark.parametrize(
    ("password", "why"),
    [
        ("x9!kLm2#qP7", "12 to 256"),
        ("x9!kLm2#qP7w" * 22, "12 to 256"),
        ("aaaaaaaaaaaa", "different"),
        ("abababababab", "different"),
        ("abcdabcdabcd", "different"),
        ("AaAaAaAaAaAa", "different"),
        ("ab001090123456cd", "personal id"),
        ("x 0010 9012 3456 y", "personal id"),
        ("\uff10\uff10\uff11\uff10\uff19\uff10\uff11\uff12\uff13\uff14\uff15\uff16 abc", "personal id"),
        ("123456789012", "run"),
        ("abcdefghijklm", "run"),
        ("210987654321", "run"),
        ("Password2026", "well-known"),
        ("matkhau123456", "well-known"),
        ("Mật khẩu 12345", "well-known"),
        ("good one\x00 and long", "control"),
        ("good one\nand longer", "control"),
    ],
)
def test_a_weak_password_is_refused_and_not_repeated(password: str, why: str) -> None:
    with pytest.raises(PasswordRefused, match=why) as refused:
        check_password(password, PERSONAL_ID)
    assert password not in str(refused.value), "the text must hold nothing of the password"


def test_a_password_that_goes_down_twice_is_no_run() -> None:
    check_password("cba987654321", PERSONAL_ID)


def test_the_parameters_are_those_of_rfc_9106_or_better() -> None:
    parameters = argon2.extract_parameters(Passwords().hash("con mèo trèo cây cau"))
    assert parameters.type is argon2.Type.ID
    assert (parameters.time_cost, parameters.memory_cost, parameters.parallelism) == (3, 65536, 4)
    assert (parameters.salt_len, parameters.hash_len) == (16, 32)


def test_a_password_is_its_characters_however_they_were_composed() -> None:
    passwords = Passwords(**QUICK)
    composed, decomposed = (
        "tr\u00e8o c\u00e2y cau th\u1eadt cao",
        "tre\u0300o ca\u0302y cau tha\u0323\u0302t cao",
    )
    assert composed != decomposed
    assert passwords.verify(passwords.hash(decomposed), composed)
    assert not passwords.verify(passwords.hash(decomposed), composed.upper())


def test_nobodys_password_is_never_right() -> None:
    passwords = Passwords(**QUICK)
    for given in ("", "con mèo trèo cây cau", "x" * 5000, "\ud800"):
        assert not passwords.verify(None, given)
    assert not passwords.verify("not a PHC string", "con mèo trèo cây cau")


def test_what_is_beyond_the_greatest_length_is_never_right() -> None:
    passwords = Passwords(**QUICK)
    kept = passwords.hash("x" * 257)
    assert not passwords.verify(kept, "x" * 257)


def test_a_hash_of_other_parameters_is_made_anew() -> None:
    passwords = Passwords(**QUICK)
    kept = passwords.hash("con mèo trèo cây cau")
    assert passwords.renewed(kept, "con mèo trèo cây cau") is None
    stronger = Passwords(time_cost=2, memory_kib=8, lanes=1)
    renewed = stronger.renewed(kept, "con mèo trèo cây cau")
    assert renewed is not None
    assert argon2.extract_parameters(renewed).time_cost == 2
    assert stronger.verify(renewed, "con mèo trèo cây cau")


def test_no_more_than_so_many_are_verified_at_once_and_nobody_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    passwords = Passwords(**QUICK, at_once=2)
    inside, go_on = threading.Semaphore(0), threading.Event()

    def slow(_self: object, _hash: str, _password: bytes) -> bool:
        inside.release()
        assert go_on.wait(60), "nobody let the verification go on"
        return False

    monkeypatch.setattr(Passwords, "_fits", slow)
    threads = [threading.Thread(target=passwords.verify, args=(None, "x")) for _ in range(2)]
    for thread in threads:
        thread.start()
    for _ in threads:
        assert inside.acquire(timeout=60), "two must come in"
    with pytest.raises(VerificationBusy):
        passwords.verify(None, "x")
    go_on.set()
    for thread in threads:
        thread.join()
    assert passwords.verify(None, "x") is False, "a place that was given back is free"


@pytest.mark.parametrize(
    ("seconds", "is_good"), [(-60, False), (-30, True), (0, True), (30, True), (60, False)]
)
def test_a_code_is_good_one_step_either_way(seconds: int, is_good: bool) -> None:
    secret = new_secret()
    code = pyotp.TOTP(secret).at(AT + timedelta(seconds=seconds))
    step = matching_step(secret, f"{code[:3]} {code[3:]}", AT)
    # One in three hundred thousand codes comes twice within the steps; then it is good for the other.
    assert (step == int((AT + timedelta(seconds=seconds)).timestamp()) // 30) is is_good


@pytest.mark.parametrize(
    "code", ["", "12345", "1234567", "abcdef", "\u0661\u0662\u0663\u0664\u0665\u0666", "\ud800"]
)
def test_what_is_no_code_is_refused(code: str) -> None:
    assert matching_step(new_secret(), code, AT) is None


def test_codes_are_those_of_rfc_6238() -> None:
    """Appendix B, SHA-1: the last six of the eight digits."""
    secret = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"
    for seconds, digits in (
        (59, "287082"),
        (1111111109, "081804"),
        (1234567890, "005924"),
        (20000000000, "353130"),
    ):
        assert matching_step(secret, digits, datetime.fromtimestamp(seconds, UTC)) == seconds // 30


def test_the_enrolment_uri_names_no_person() -> None:
    uri = enrolment_uri("GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ", "c0ffee", "vss")
    assert uri == "otpauth://totp/vss:c0ffee?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ&issuer=vss"


def test_a_secret_has_160_bits_and_is_never_the_same() -> None:
    assert {len(new_secret()) for _ in range(50)} == {32}
    assert len({new_secret() for _ in range(50)}) == 50


class TestSealing:
    secrets = CitizenSecrets(bytes(range(32)))

    def test_what_is_sealed_opens_for_the_same_purpose_and_person_only(self) -> None:
        sealed = self.secrets.seal("personal_id", "a", PERSONAL_ID)
        assert PERSONAL_ID.encode() not in sealed
        assert self.secrets.open("personal_id", "a", sealed) == PERSONAL_ID
        with pytest.raises(CitizenSecretUnreadable):
            self.secrets.open("totp_secret", "a", sealed)
        with pytest.raises(CitizenSecretUnreadable):
            self.secrets.open("personal_id", "b", sealed)
        with pytest.raises(CitizenSecretUnreadable):
            CitizenSecrets(bytes(32)).open("personal_id", "a", sealed)

    @pytest.mark.parametrize("place", [0, 12, -1])
    def test_a_changed_byte_is_found(self, place: int) -> None:
        sealed = bytearray(self.secrets.seal("totp_secret", "a", "GEZDGNBVGY3TQOJQ"))
        sealed[place] ^= 1
        with pytest.raises(CitizenSecretUnreadable):
            self.secrets.open("totp_secret", "a", bytes(sealed))

    def test_too_few_bytes_are_unreadable(self) -> None:
        with pytest.raises(CitizenSecretUnreadable):
            self.secrets.open("totp_secret", "a", b"short")

    def test_no_two_seals_are_alike(self) -> None:
        assert len({self.secrets.seal("personal_id", "a", PERSONAL_ID) for _ in range(20)}) == 20

    def test_every_purpose_has_its_own_key_of_hkdf(self) -> None:
        keys = {derived_key(bytes(32), purpose) for purpose in ("a", "b", "citizen/forms")}
        assert {len(key) for key in keys} == {32}
        assert len(keys) == 3
        assert derived_key(bytes(32), "a") != derived_key(bytes([1]) * 32, "a")
        with pytest.raises(ValueError, match="32 bytes"):
            derived_key(b"short", "a")


def test_nothing_of_an_attempt_stands_in_what_is_printed() -> None:
    attempt = SignInAttempt(
        personal_id=PERSONAL_ID, password="secret word", one_time_code="123456", replaced="v"
    )
    account = CitizenAccount(
        citizen_id="a", is_active=True, password_hash="$argon2", totp_secret_encrypted=b"y"
    )
    printed = f"{attempt!r} {account!r} {SignedIn('cookie-value')!r}"
    for secret in (PERSONAL_ID, "secret word", "123456", "$argon2", "cookie-value"):
        assert secret not in printed


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::9", "2001:db8:1:2::/64"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("", ""),
        ("not an address", ""),
    ],
)
def test_an_address_counts_as_what_one_household_has(address: str, network: str) -> None:
    assert _network_of(address) == network
