"""Signed notes, keys, checkpoints: vectors that others published, and all that is not of the form."""

from __future__ import annotations

from typing import Final

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from broker.evidence.checkpoint import (
    Checkpoint,
    open_checkpoint,
    parse_checkpoint,
    shard_of,
    shard_origin,
    signed_checkpoint,
)
from broker.evidence.cosignature import (
    check_witnesses,
    cosigned,
    cosigned_at,
    cosigned_message,
    parse_cosignatures,
    witnesses_of,
)
from broker.evidence.merkle import EMPTY_ROOT
from broker.evidence.reasons import EvidenceInvalid
from broker.evidence.signed_note import (
    COSIGNATURE,
    LOG_SIGNATURE,
    Note,
    NoteSignature,
    VerifierKey,
    base64_bytes,
    parse_note,
    parse_vkey,
    signed,
)
from tests.evidence_log import LOG_KEY, LOG_PRIVATE, ORIGIN, WITNESS_KEYS, WITNESSES, key_of, log_of

# The example in the documentation of Go's golang.org/x/mod/sumdb/note.
PETER: Final = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
PETER_PRIVATE: Final = "AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz"
PETER_NOTE: Final = (
    "If you think cryptography is the answer to your problem,\n"
    "then you don't know what your problem is.\n"
    "\n"
    "— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6"
    "KE6RyyBwJnAM=\n"
)
# The example of C2SP signed-note.
FOO: Final = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k"
FOO_NOTE: Final = (
    "This is an example message.\n"
    "\n"
    "— example.com/foo Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuw"
    "HjG1Yu72IneyaQM=\n"
)
# A checkpoint of a public log, signed in two ways and cosigned by four public witnesses.
ARCHE: Final = "arche2025h1.staging.ct.transparency.dev+ba2f06c0+AU0vHmlGCS/PdN8b2OaGmKprLI8HKM+dJ472xgFYh15f"
PUBLIC_WITNESSES: Final = (
    "remora.n621.de+da77ade7+BOvN63jn/bLvkieywe8R6UYAtVtNbZpXh34x7onlmtw2",
    "transparency.dev/DEV:witness-little-garden+d8042a87+BCtusOxINQNUTN5Oj8HObRkh2yHf/MwYaGX4CPdiVEPM",
    "witness.stagemole.eu+67f7aea0+BEqSG3yu9YrmcM3BHvQYTxwFj3uSWakQepafafpUqklv",
    "witness1.smartit.nu/witness1+a48c820f+BPSFWg9G6KPiO7QPryYO5Xq4oYJJ+kAvLKLSimDhoxMO",
)
ARCHE_NOTE: Final = """\
arche2025h1.staging.ct.transparency.dev
1432088532
U7WM79jrzyhGZ5/GUBTpM7NzwdyfFx61t3RovgcC4Ro=

— arche2025h1.staging.ct.transparency.dev zTM8sQAAAZ5W0WdjBAMARjBEAiBjW5IQf9pvsYLfQFX6hoGREPMHbdQ3urbllzalApkptQIgIpwtEroeW2BXaHAI4kJXFbon5Ch9MNL5zRNZ55lvGt0=
— arche2025h1.staging.ct.transparency.dev ui8GwCF1+kWqZrxGdhj4aX3gcw7XUlXQQabg/27lefwhUkzbC3NygNI75MdhL1bfTW9g8Ei59RA23oHP7Ry1k3ZFWwQ=
— transparency.dev/DEV:witness-little-garden 2AQqhwAAAABqEiEgzgFIqqhbUoDwjMWE6UP8nd8/KYTzwZ2rhIgcqoXHAwVkjZr4AscylP3v7sEodkRAErumC2q44vdgJY096st5BQ==
— witness1.smartit.nu/witness1 pIyCDwAAAABqEiEghIp82KWebrw7/oHQwlTAm3g2RKS4+eebl8eO0WH+/iEcxZ75W3u5hNI7TOQtmJbqmNWVuE0tgh0XwzdZsDsUAQ==
— remora.n621.de 2net5wAAAABqEiEgPlfF3V06o0Y+fHM+J5J9s27wgxxcOVSpZ/2g/KSiXCg9DEZI+aVCIobWX9sXTynk5XeU/zZ0WBxtqB0DrAWfBw==
— witness.stagemole.eu Z/euoAAAAABqEiEgw0i+7g2ENfDAWHmtRzCfKTHSDwYDJA2NmKeGi9Y8FtEyOUvVr+AJmIY/2TUFucgKi7lI7cUiOvKFYe/TmN9DAg==
"""  # noqa: E501 - as it was published
ARCHE_AT: Final = 0x6A122120
TEXT: Final = f"{ORIGIN}\n3\n{'A' * 43}=\n"


class TestPublishedVectors:
    @pytest.mark.parametrize(("vkey", "content"), [(PETER, PETER_NOTE), (FOO, FOO_NOTE)])
    def test_a_published_note_is_that_key_s(self, vkey: str, content: str) -> None:
        key, note = parse_vkey(vkey), parse_note(content.encode())
        assert key.vkey == vkey
        assert note.content == content.encode()
        [line] = note.by(key)
        assert key.is_signed(line.signature, note.text.encode())
        assert not key.is_signed(line.signature, note.text.encode() + b"\n")

    def test_go_s_private_key_signs_to_the_very_bytes_that_go_publishes(self) -> None:
        private = Ed25519PrivateKey.from_private_bytes(base64_bytes(PETER_PRIVATE, "key_malformed")[1:])
        text = PETER_NOTE.rpartition("\n\n")[0] + "\n"
        assert Note(text, (signed(text, parse_vkey(PETER), private.sign),)).content == PETER_NOTE.encode()

    def test_a_public_log_s_checkpoint_opens_with_its_key(self) -> None:
        opened = open_checkpoint(ARCHE_NOTE.encode(), [parse_vkey(ARCHE), LOG_KEY])
        assert opened.checkpoint.tree_size == 1_432_088_532
        assert opened.checkpoint.text == opened.note.text

    def test_public_witnesses_have_cosigned_it(self) -> None:
        keys = [parse_vkey(one) for one in PUBLIC_WITNESSES]
        found = check_witnesses(parse_note(ARCHE_NOTE.encode()), keys, 4)
        assert [(one.witness, one.at_seconds) for one in found] == [(key, ARCHE_AT) for key in keys]

    def test_one_other_number_and_neither_log_nor_witness_stands_behind_it(self) -> None:
        changed = ARCHE_NOTE.replace("1432088532", "1432088533").encode()
        with pytest.raises(EvidenceInvalid, match="log_signature_invalid"):
            open_checkpoint(changed, [parse_vkey(ARCHE)])
        with pytest.raises(EvidenceInvalid, match="witness_signature_invalid"):
            witnesses_of(parse_note(changed), [parse_vkey(PUBLIC_WITNESSES[0])])


class TestKeys:
    @given(st.integers(0, len(PETER) - 1), st.integers(0, 7))
    def test_a_key_with_one_turned_bit_is_none_or_another_s_name(self, at: int, bit: int) -> None:
        changed = PETER[:at] + chr(ord(PETER[at]) ^ 1 << bit) + PETER[at + 1 :]
        with pytest.raises(EvidenceInvalid, match="key_malformed"):
            parse_vkey(changed)

    @pytest.mark.parametrize(
        "vkey",
        [
            "",
            "PeterNeumann",
            PETER + " ",
            PETER + "=",
            PETER.upper(),
            "PeterNeumann+cc469956+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TWBADKEY==",
            "PeterNeumann+173116ae+ZRpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
            "Peter Neumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
        ],
    )
    def test_what_is_no_key_of_ours_is_refused(self, vkey: str) -> None:
        with pytest.raises(EvidenceInvalid, match="key_malformed"):
            parse_vkey(vkey)

    @pytest.mark.parametrize("name", ["", "a b", "a+b", "a\u2003b", "a\nb", "a\x7f", "\ud800", "x" * 256])
    def test_no_key_has_such_a_name(self, name: str) -> None:
        with pytest.raises(EvidenceInvalid, match="key_malformed"):
            VerifierKey(name, LOG_SIGNATURE, LOG_KEY.public_key)

    def test_the_longest_name_is_one(self) -> None:
        key = VerifierKey("x" * 255, LOG_SIGNATURE, LOG_KEY.public_key)
        assert parse_vkey(key.vkey) == key

    def test_the_id_depends_on_name_kind_and_key(self) -> None:
        other = VerifierKey(LOG_KEY.name, COSIGNATURE, LOG_KEY.public_key)
        third = VerifierKey(LOG_KEY.name + "x", LOG_SIGNATURE, LOG_KEY.public_key)
        assert len({LOG_KEY.key_id, other.key_id, third.key_id}) == 3
        for key in (LOG_KEY, other, third):
            assert parse_vkey(key.vkey) == key

    def test_nobody_signs_with_another_key_than_was_named(self) -> None:
        stranger = Ed25519PrivateKey.from_private_bytes(bytes(32))
        with pytest.raises(ValueError, match="not this key's"):
            signed(TEXT, LOG_KEY, stranger.sign)
        with pytest.raises(ValueError, match="ends in a newline"):
            signed(TEXT[:-1], LOG_KEY, LOG_PRIVATE.sign)
        with pytest.raises(ValueError, match="a log's key"):
            signed(TEXT, WITNESS_KEYS[0], WITNESSES[0][0].sign)
        checkpoint = log_of(3).checkpoint()
        with pytest.raises(ValueError, match="not this key's"):
            cosigned(checkpoint, WITNESS_KEYS[0], 1, stranger.sign)
        with pytest.raises(ValueError, match="a witness's key"):
            cosigned(checkpoint, LOG_KEY, 1, LOG_PRIVATE.sign)
        with pytest.raises(ValueError, match="at a time"):
            cosigned(checkpoint, WITNESS_KEYS[0], 2**63, WITNESSES[0][0].sign)
        with pytest.raises(ValueError, match="under its origin"):
            signed_checkpoint(
                checkpoint, key_of(1, "audit.other.vn/2026", LOG_SIGNATURE)[1], LOG_PRIVATE.sign
            )


class TestNotes:
    @pytest.mark.parametrize(
        "content",
        [
            b"",
            b"\n\n",
            b"text\n",
            b"text\n\n",
            b"\n\n" + PETER_NOTE.encode().split(b"\n\n")[1],
            PETER_NOTE.encode()[:-1],
            PETER_NOTE.encode() + b"\n",
            PETER_NOTE.encode() + b"more\n",
            PETER_NOTE.encode().replace("—".encode(), b"-"),
            PETER_NOTE.encode().replace(b"PeterNeumann ", b"Peter Neumann "),
            PETER_NOTE.encode().replace(b"PeterNeumann ", b"Peter+Neumann "),
            PETER_NOTE.encode().replace(b"PeterNeumann ", b" "),
            PETER_NOTE.encode().replace(b"PeterNeumann ", b"PeterNeumann  "),
            PETER_NOTE.encode().replace(b"wJnAM=", b"wJnAM"),
            PETER_NOTE.encode().replace(b"wJnAM=", b"wJnAN="),
            PETER_NOTE.encode().replace(b"/", b"_"),
            PETER_NOTE.encode().replace(b"problem is", b"problem\tis"),
            PETER_NOTE.encode().replace(b"\n", b"\r\n"),
            PETER_NOTE.encode().replace(b"problem is", b"problem \xff"),
            PETER_NOTE.encode().replace(b"problem is", b"problem \x00"),
            "text\n\n— name AAAAAA==\n".encode(),
            PETER_NOTE.encode() + PETER_NOTE.encode().split(b"\n\n")[1] * 100,
            b"x" * 131_072 + PETER_NOTE.encode(),
        ],
    )
    def test_what_is_not_of_the_form_is_no_note(self, content: bytes) -> None:
        with pytest.raises(EvidenceInvalid, match="note_malformed"):
            parse_note(content)

    @given(st.binary(max_size=300) | st.text().map(str.encode))
    def test_whatever_comes_only_the_one_error_is_raised(self, content: bytes) -> None:
        with pytest.raises(EvidenceInvalid, match="note_malformed"):
            parse_note(content)

    def test_a_hundred_signatures_are_read(self) -> None:
        lines = [NoteSignature(f"n{at}", b"1234", bytes(64)) for at in range(100)]
        assert parse_note(Note("text\n", tuple(lines)).content).signatures == tuple(lines)

    def test_a_note_of_the_largest_size_is_read_and_no_larger_one(self) -> None:
        line = NoteSignature("n", b"1234", bytes(64))
        room = 131_072 - len(Note("\n", (line,)).content)
        assert parse_note(Note("x" * room + "\n", (line,)).content).signatures == (line,)
        with pytest.raises(EvidenceInvalid, match="note_malformed: the note is longer"):
            parse_note(Note("x" * (room + 1) + "\n", (line,)).content)

    def test_the_text_ends_at_the_last_empty_line(self) -> None:
        line = NoteSignature("n", b"1234", bytes(64))
        for text in ("one\n\ntwo\n", "one\n\n", "\n\none\n"):
            assert parse_note(Note(text, (line,)).content) == Note(text, (line,))

    def test_a_signature_is_added_once(self) -> None:
        note = log_of(3).note(1)
        assert note.with_signatures(note.signatures) == note
        assert len(note.with_signatures(log_of(3).note(3).signatures).signatures) == 4


class TestCheckpoints:
    def test_a_checkpoint_is_three_lines_signed_under_its_origin(self) -> None:
        note = log_of(3).note()
        assert note.text.splitlines()[:2] == [ORIGIN, "3"]
        assert note.content.decode().splitlines()[3:] == ["", note.signatures[0].line.rstrip("\n")]
        opened = open_checkpoint(note.content, [LOG_KEY])
        assert opened.checkpoint == log_of(3).checkpoint()

    @pytest.mark.parametrize(
        "text",
        [
            "",
            f"{ORIGIN}\n3\n",
            TEXT[:-1],
            TEXT + "extension\n",
            TEXT.replace("\n3\n", "\n03\n"),
            TEXT.replace("\n3\n", "\n+3\n"),
            TEXT.replace("\n3\n", "\n-3\n"),
            TEXT.replace("\n3\n", "\n3 \n"),
            TEXT.replace("\n3\n", "\n٣\n"),
            TEXT.replace("\n3\n", "\n3_0\n"),
            TEXT.replace("\n3\n", f"\n{2**63}\n"),
            TEXT.replace("\n3\n", f"\n{'9' * 5000}\n"),
            TEXT.replace("\n3\n", "\n0\n"),
            TEXT.replace(ORIGIN, ""),
            TEXT.replace(ORIGIN, "audit broker/2026"),
            TEXT.replace("A=", "B="),
            TEXT.replace("A=", "A"),
            TEXT.replace("A" * 43 + "=", "A" * 40),
        ],
    )
    def test_what_is_not_of_the_form_is_no_checkpoint(self, text: str) -> None:
        with pytest.raises(EvidenceInvalid, match="checkpoint_malformed"):
            parse_checkpoint(text)

    def test_the_largest_and_the_empty_tree_have_checkpoints(self) -> None:
        for checkpoint in (Checkpoint(ORIGIN, 2**63 - 1, bytes(32)), Checkpoint(ORIGIN, 0, EMPTY_ROOT)):
            assert parse_checkpoint(checkpoint.text) == checkpoint

    def test_signatures_of_strangers_are_ignored(self) -> None:
        note = log_of(3).note(3)
        stranger = NoteSignature(ORIGIN, b"\0\0\0\0", bytes(64))
        same_id = NoteSignature("somebody.else/2026", LOG_KEY.key_id, bytes(64))
        for added in (stranger, same_id, NoteSignature("x", b"abcd", b"post-quantum" * 400)):
            assert open_checkpoint(note.with_signatures([added]).content, [LOG_KEY]).checkpoint.tree_size == 3

    def test_one_false_line_in_the_name_of_the_log_is_too_much(self) -> None:
        false = NoteSignature(ORIGIN, LOG_KEY.key_id, bytes(64))
        with pytest.raises(EvidenceInvalid, match="log_signature_invalid"):
            open_checkpoint(log_of(3).note().with_signatures([false]).content, [LOG_KEY])

    def test_without_the_log_s_own_signature_it_is_worth_nothing(self) -> None:
        note = log_of(3).note(2)
        with pytest.raises(EvidenceInvalid, match="checkpoint_unsigned"):
            open_checkpoint(Note(note.text, note.signatures[1:]).content, [LOG_KEY])
        with pytest.raises(EvidenceInvalid, match="origin_unknown"):
            open_checkpoint(note.content, [parse_vkey(ARCHE)])
        as_witness = VerifierKey(ORIGIN, COSIGNATURE, LOG_KEY.public_key)
        with pytest.raises(EvidenceInvalid, match="origin_unknown"):
            open_checkpoint(note.content, [as_witness])

    def test_a_log_may_exchange_its_key(self) -> None:
        private, new = key_of(2, ORIGIN, LOG_SIGNATURE)
        checkpoint = log_of(3).checkpoint()
        by_new = signed_checkpoint(checkpoint, new, private.sign)
        both = by_new.with_signatures(log_of(3).note().signatures)
        for note in (by_new, both, log_of(3).note()):
            assert open_checkpoint(note.content, [LOG_KEY, new]).checkpoint == checkpoint

    @given(st.data())
    def test_no_byte_of_a_published_checkpoint_can_be_changed(self, data: st.DataObject) -> None:
        content = bytearray(log_of(3).note().content)
        at = data.draw(st.integers(0, len(content) - 1))
        content[at] ^= 1 << data.draw(st.integers(0, 7))
        with pytest.raises(EvidenceInvalid):
            open_checkpoint(bytes(content), [LOG_KEY])


class TestShards:
    def test_each_year_has_an_origin(self) -> None:
        assert shard_origin("broker.example.vn", 2026) == ORIGIN
        assert shard_of(ORIGIN) == ("broker.example.vn", 2026)

    @pytest.mark.parametrize(
        ("host", "year"),
        [
            ("", 2026),
            ("Broker.vn", 2026),
            ("a b", 2026),
            ("a+b", 2026),
            ("a/b", 2026),
            ("a.vn", 1999),
            ("a.", 2026),
        ],
    )
    def test_what_is_no_host_or_year_has_none(self, host: str, year: int) -> None:
        with pytest.raises(EvidenceInvalid, match="origin_malformed"):
            shard_origin(host, year)

    @pytest.mark.parametrize(
        "origin",
        [
            "",
            "example.vn/2026",
            "https://audit.a.vn/2026",
            "audit.a.vn",
            "audit.a.vn/2026/",
            "audit.a.vn/٢٠٢٦",
        ],
    )
    def test_other_logs_are_no_shards(self, origin: str) -> None:
        with pytest.raises(EvidenceInvalid, match="origin_malformed"):
            shard_of(origin)


class TestCosignatures:
    def test_the_specification_says_what_is_signed(self) -> None:
        text = "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n"
        assert cosigned_message(text, 1679315147) == b"cosignature/v1\ntime 1679315147\n" + text.encode()

    def test_a_line_holds_key_id_time_and_signature(self) -> None:
        private, key = WITNESSES[0]
        checkpoint = log_of(3).checkpoint()
        line = cosigned(checkpoint, key, 1_790_000_000, private.sign)
        held = base64_bytes(line.line.split(" ")[2].rstrip("\n"), "note_malformed")
        assert len(held) == 4 + 8 + 64
        assert held[4:12] == (1_790_000_000).to_bytes(8, "big")
        assert cosigned_at(line, key, checkpoint.text) == 1_790_000_000

    def test_the_time_is_signed(self) -> None:
        private, key = WITNESSES[0]
        checkpoint = log_of(3).checkpoint()
        line = cosigned(checkpoint, key, 1_790_000_000, private.sign)
        later = NoteSignature(line.name, line.key_id, (1_790_000_001).to_bytes(8, "big") + line.signature[8:])
        longer = NoteSignature(line.name, line.key_id, line.signature + b"\0")
        for wrong in (later, longer, NoteSignature(line.name, line.key_id, b"")):
            with pytest.raises(EvidenceInvalid, match="witness_signature_invalid"):
                cosigned_at(wrong, key, checkpoint.text)
        with pytest.raises(EvidenceInvalid, match="witness_signature_invalid"):
            cosigned_at(line, WITNESS_KEYS[1], checkpoint.text)

    @pytest.mark.parametrize(("at_seconds", "is_time"), [(0, True), (2**63 - 1, True), (2**63, False)])
    def test_a_time_is_below_two_to_the_sixty_three(self, at_seconds: int, is_time: bool) -> None:
        private, key = WITNESSES[0]
        signature = at_seconds.to_bytes(8, "big") + private.sign(cosigned_message(TEXT, at_seconds))
        line = NoteSignature(key.name, key.key_id, signature)
        if is_time:
            assert cosigned_at(line, key, TEXT) == at_seconds
        else:
            with pytest.raises(EvidenceInvalid, match="witness_signature_invalid"):
                cosigned_at(line, key, TEXT)

    def test_as_many_different_witnesses_as_are_needed(self) -> None:
        note = log_of(3).note(2)
        assert [one.witness for one in check_witnesses(note, WITNESS_KEYS, 2)] == WITNESS_KEYS[:2]
        with pytest.raises(EvidenceInvalid, match=r"witnesses_missing: 2 of 3"):
            check_witnesses(note, WITNESS_KEYS, 3)

    def test_one_key_under_two_names_is_one_witness(self) -> None:
        private, key = WITNESSES[0]
        alias = VerifierKey("witness.example/alias", COSIGNATURE, key.public_key)
        note = log_of(3).note(1)
        again = cosigned(log_of(3).checkpoint(), alias, 1_790_000_500, private.sign)
        [found] = witnesses_of(note.with_signatures([again]), [key, alias])
        assert found.at_seconds == 1_790_000_500
        [found] = witnesses_of(note.with_signatures([again]), [alias, key])
        assert found.at_seconds == 1_790_000_500, "the latest, in whichever order"

    def test_one_false_line_in_the_name_of_a_witness_is_too_much(self) -> None:
        false = NoteSignature(WITNESS_KEYS[2].name, WITNESS_KEYS[2].key_id, bytes(72))
        note = log_of(3).note(2).with_signatures([false])
        with pytest.raises(EvidenceInvalid, match="witness_signature_invalid"):
            check_witnesses(note, WITNESS_KEYS, 2)
        assert len(check_witnesses(note, WITNESS_KEYS[:2], 2)) == 2, "unknown, it would have been ignored"

    def test_of_a_witness_s_answer_the_known_lines_are_taken(self) -> None:
        log = log_of(3)
        mine, theirs = log.note(2).signatures[1:]
        answer = (mine.line + theirs.line).encode()
        assert parse_cosignatures(answer, log.note(), WITNESS_KEYS[:1]) == (mine,)
        for wrong in (b"", b"\n", answer[:-1], answer + b"\n", b"<html>\n", b"\xff\n"):
            with pytest.raises(EvidenceInvalid, match="note_malformed"):
                parse_cosignatures(wrong, log.note(), WITNESS_KEYS)
        with pytest.raises(EvidenceInvalid, match="witness_signature_invalid"):
            parse_cosignatures(answer, log_of(4).note(), WITNESS_KEYS)
