"""Evidence files good and spoilt, for whoever judges them: two judges must say the same of each."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import product
from typing import Any, Final, get_args

from broker.evidence.administration_entry import ACTS, AdministrationActor, Given, TargetKind
from broker.evidence.consent_entry import CONSENT_ACTORS, CONSENT_EVENTS, CONSENT_STATES
from broker.evidence.entry import Kind, Result
from broker.evidence.erasure_entry import ErasureResult
from broker.evidence.evidence_file import EvidenceFile, Sealed, parse_evidence_file
from broker.evidence.export_entry import ExportStep
from broker.evidence.key_entry import KeyActor, KeyEvent, KeyPurpose
from broker.evidence.log_read_entry import Reader, What
from broker.evidence.policy_entry import PolicyActor, PolicyEvent
from broker.evidence.reasons import EvidenceInvalid
from broker.evidence.signed_note import COSIGNATURE, LOG_SIGNATURE, VerifierKey, base64_text, parse_vkey
from broker.evidence.verifier import Opening, Trust, verified
from tests.evidence_entries import (
    PAYLOAD,
    PAYLOAD_SALT,
    SUBJECT,
    SUBJECT_SALT,
    decoded,
    one_of_each_kind,
    release,
)
from tests.evidence_log import LOG_KEY, ORIGIN, WITNESS_KEYS, MemoryLog, key_of, log_of

INDEX: Final = 7
LOG: Final = log_of(20)
WHOLE: Final = EvidenceFile(
    release(INDEX),
    LOG.proof_file(INDEX, 2),
    Sealed(SUBJECT_SALT, SUBJECT),
    Sealed(PAYLOAD_SALT, PAYLOAD),
    (LOG_KEY,),
    tuple(WITNESS_KEYS),
    2,
)
OTHER_PRIVATE, OTHER_KEY = key_of(2, ORIGIN, LOG_SIGNATURE)
Members = dict[str, Any]


@dataclass(frozen=True)
class Case:
    """A file, and what somebody brings along: keys (text), identifier, payload."""

    content: bytes
    keys: str = ""
    identifier: str = ""
    payload: bytes | None = None


Verdict = Mapping[str, Any]


def verdict(case: Case) -> Verdict:
    """Return what Python says of a file: the reason why it is none, or each check with result and reason."""
    try:
        file = parse_evidence_file(case.content)
        brought = [parse_vkey(line.strip()) for line in case.keys.split("\n") if line.strip()]
        trust = _trust(file, brought)
    except EvidenceInvalid as fault:
        return {"reason": fault.reason}
    except ValueError:
        return {"reason": "key_malformed"}
    typed = case.identifier.encode() or None
    said = verified(
        file.entry,
        file.proof,
        trust,
        data_subject=_opening(file.data_subject, typed),
        payload=_opening(file.payload, case.payload),
    )
    return {"holds": said.holds, "checks": [[one.name, one.result, one.reason] for one in said.checks]}


def _trust(file: EvidenceFile, brought: list[VerifierKey]) -> Trust:
    log_keys = [key for key in brought if key.kind == LOG_SIGNATURE] or file.log_keys
    own = [key for key in brought if key.kind == COSIGNATURE]
    if not log_keys:
        raise EvidenceInvalid("key_malformed", "no key of a log is given")
    return Trust(
        log_keys, own or file.witness_keys, len({key.public_key for key in own}) or file.witnesses_needed
    )


def _opening(sealed: Sealed | None, brought: bytes | None) -> Opening | None:
    content = None if sealed is None else (sealed.content if brought is None else brought)
    return None if sealed is None or content is None else Opening(sealed.salt, content)


def members(file: EvidenceFile = WHOLE) -> Members:
    told: Members = json.loads(file.content)
    return told


def with_members(**changed: Any) -> bytes:
    return json.dumps({**members(), **changed}).encode()


def with_proof(change: Callable[[str], str]) -> bytes:
    """Return the file with another text in the place of its proof."""
    return with_members(proof=change(members()["proof"]))


def with_entry(entry: str) -> bytes:
    return with_members(entry=entry)


def flipped(text: str, at: int) -> str:
    """Return base64 with one bit of the byte at a place turned."""
    content = bytearray(base64.b64decode(text))
    content[at] ^= 1
    return base64_text(bytes(content))


def line_changed(number: int, change: Callable[[str], str]) -> Callable[[str], str]:
    """Return what changes one line of a proof. number: from 0; negative ones count from the end."""

    def changed(proof: str) -> str:
        lines = proof.removesuffix("\n").split("\n")
        lines[number] = change(lines[number])
        return "\n".join(lines) + "\n"

    return changed


def signature_flipped(line: str) -> str:
    start, _, signature = line.rpartition(" ")
    return f"{start} {flipped(signature, 20)}"


def cases() -> Iterator[tuple[str, Case]]:
    """Yield all of them, each with a name of its own."""
    for family in (
        *(_trees, _kinds, _members_of_entries, _members_together, _spellings),
        *(_proofs, _keys, _opened, _files, _bits),
    ):
        for name, one in family():
            yield (
                f"{family.__name__.removeprefix('_')}: {name}",
                (one if isinstance(one, Case) else Case(one)),
            )


def _trees() -> Iterator[tuple[str, bytes]]:
    for size in (*range(1, 10), 17):
        log = log_of(size)
        for index in range(size):
            file = EvidenceFile(release(index), log.proof_file(index), log_keys=(LOG_KEY,))
            yield f"{index} of {size}", file.content
            shifted = file.proof.replace(b"index %d\n" % index, b"index %d\n" % (index + 1))
            yield f"{index} of {size} as the next", replace(file, proof=shifted).content


def _of_entry(entry: bytes) -> bytes:
    """Return the file of an entry that is in a log."""
    log = MemoryLog()
    log.append([release(0), entry])
    return replace(WHOLE, entry=entry, proof=log.proof_file(1, 2)).content


def _kinds() -> Iterator[tuple[str, bytes]]:
    for kind, entry in one_of_each_kind().items():
        yield kind, _of_entry(entry)
    for kind, words in CLOSED.items():
        members_told = decoded(one_of_each_kind()[kind])
        for name, closed in words.items():
            for word in sorted(closed):
                value = [[word, "x"]] if name == "given" else word
                yield f"{kind} {name} {word}", _of_entry(_written({**members_told, name: value}))


CLOSED: Final[Mapping[str, Mapping[str, Collection[str]]]] = {
    "consent": {"event": CONSENT_EVENTS, "state": CONSENT_STATES, "actor": CONSENT_ACTORS},
    "policy_change": {"event": get_args(PolicyEvent), "actor": get_args(PolicyActor)},
    "key_event": {
        "event": get_args(KeyEvent),
        "purpose": get_args(KeyPurpose),
        "actor": get_args(KeyActor),
    },
    "administration": {
        "act": ACTS,
        "given": get_args(Given),
        "actor": get_args(AdministrationActor),
        "target_kind": get_args(TargetKind),
    },
    "export": {"step": get_args(ExportStep)},
    "log_read": {"reader": get_args(Reader), "what": get_args(What)},
    "erasure": {"result": get_args(ErasureResult)},
    "release": {"result": get_args(Result), "kind": get_args(Kind)},
}
"""Closed lists of words, by kind and member."""
HASHES: Final = ("ef" * 32, "cd" * 32)
INSTANTS: Final = ("2026-11-22T00:15:04.123Z", "2026-11-22T00:15:04.124Z")
TOGETHER: Final[Mapping[str, Mapping[str, tuple[Any, ...]]]] = {
    "administration": {
        "act": tuple(ACTS),
        "target_kind": tuple(dict.fromkeys(ACTS.values())),
        "target": ("", "bank-a"),
        "data_subject_commit": (None, HASHES[0]),
        "client": ("", "bank-a"),
        "actor": ("operator", "client"),
    },
    "policy_change": {
        "event": ("published", "registers_changed", "suspended", "resumed"),
        "old_revision": ("", *HASHES),
        "old_registers": ("", *HASHES),
        "new_registers": ("", HASHES[0]),
    },
    "export": {
        "step": get_args(ExportStep),
        "job": (None, "01a200d1-6a6f-713d-b8ef-000000000009"),
        **dict.fromkeys(("release", "plan_hash", "table_hash"), (None, HASHES[0])),
        **dict.fromkeys(("cell_count", "suppressed_permille"), (None, 0)),
        "reason": (None, "plan_malformed"),
    },
    "log_read": {
        "reader": ("own", "operator", "auditor", "portal"),
        "what": ("history", "evidence_file", "entry_count", "decision", "export"),
        "entry": ("", "01a200d1-6a6f-713d-b8ef-000000000002"),
        "period_begin": ("", *INSTANTS),
        "period_end": ("", *INSTANTS),
        "acting_person": (None, HASHES[0]),
        "data_subject_commit": (None, HASHES[0]),
    },
    # The same kind, as a portal's look.
    "log_read ": {
        "reader": ("own", "operator", "portal"),
        "what": ("history", "evidence_file", "entry_count"),
        "acting_person": (None, HASHES[0]),
        "data_subject_commit": (None, HASHES[0]),
        **dict.fromkeys(("client", "recipient", "agreement"), ("", "portal-a")),
        "agreement_revision": ("", HASHES[0]),
    },
    "erasure": {"result": ("erased", "kept"), "kept_until": ("", "2036-12-31")},
}
"""Members that must fit one another, by kind, with what each may be."""


def _members_together() -> Iterator[tuple[str, bytes]]:
    alone = EvidenceFile(b"", b"x", log_keys=(LOG_KEY,))
    for kind, values in TOGETHER.items():
        told = decoded(one_of_each_kind()[kind.strip()])
        for at, chosen in enumerate(product(*values.values())):
            if kind == "administration" and chosen[1] not in (ACTS[chosen[0]], "log", "citizen"):
                continue
            changed = {**told, **dict(zip(values, chosen, strict=True))}
            yield f"{kind} {at}", replace(alone, entry=_written(changed)).content


def _written(entry: Mapping[str, Any]) -> bytes:
    return json.dumps(entry, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode()


VALUES: Final[tuple[Any, ...]] = (
    *(None, "", True, False, 0, 1, 2, -1, 1.5, 2000, 2**31 - 1, 2**31, 2**53 - 1, 2**53, 2**64, 10**9 + 1),
    *("a", "A" * 80, "A" * 81, "é", "a b", "a\n", "\n", "ef" * 32, "EF" * 32, "ef" * 16, "ef" * 33),
    *("2026-11-22T00:15:04.123Z", "2026-02-29T00:00:00.000Z", "2024-02-29T23:59:59.999Z"),
    *("2026-11-22T24:00:01.000Z", "2026-11-22T00:60:00.000Z", "2026-11-22T00:00:60.000Z"),
    *("0000-01-01T00:00:00.000Z", "2026-13-01T00:00:00.000Z", "2026-11-22T00:15:04Z", "2100-02-29"),
    *("2000-02-29", "2026-11-31", "2026-12-31", "２０２６-12-31", "01a200d1-6a6f-713d-b8ef-000000000002"),
    *([], [[]], ["a"], [["a", "b"]], [["a", "b", "c"]], [["a", 1]], [["a", "b"], ["c"]], {}, {"a": 1}),
    *("released", "refused", "given", "active", "own", "operator", "broker", "kept", "erased", "log"),
    *("123456789012", "1234567890123", "a~b", [["scope", "a~b"]], [["until", "123456789012"]]),
    *("suspended", "published", "release", "refusal", "consent", "a/b", "toString", "__proto__", "[[" * 8),
)


def _members_of_entries() -> Iterator[tuple[str, bytes]]:
    """Each member of each kind, with each value: form alone; there is no proof to look at."""
    alone = EvidenceFile(b"", b"x", log_keys=(LOG_KEY,))
    for kind, entry in one_of_each_kind().items():
        told = decoded(entry)
        for name in told:
            for at, value in enumerate(VALUES):
                changed = _written({**told, name: value})
                yield f"{kind} {name} {at}", replace(alone, entry=changed).content
            without = {one: value for one, value in told.items() if one != name}
            yield f"{kind} without {name}", replace(alone, entry=_written(without)).content
        yield f"{kind} with more", replace(alone, entry=_written({**told, "more": 1})).content


def _spellings() -> Iterator[tuple[str, bytes]]:
    """An entry that says the same in other letters, and what is no JSON to one reader or the other."""
    entry = release(INDEX).decode()
    start, rest = entry[0], entry[1:]
    spelt = {
        "space": f"{start} {rest}",
        "space before": f" {entry}",
        "newline behind": f"{entry}\n",
        "no-break space": f"{entry}\u00a0",
        "byte order mark": f"\ufeff{entry}",
        "more behind": f"{entry}{{}}",
        "cut": entry[:-1],
        "comma": f"{entry[:-1]},}}",
        "member twice, alike": f'{entry[:-1]},"kind":"release"}}',
        "member twice, first wrong": f'{start}"kind":"rumour",{rest}',
        "member twice, last wrong": f'{entry[:-1]},"kind":"rumour"}}',
        "member twice, escaped": f'{entry[:-1]},"k\\u0069nd":"release"}}',
        "escaped letter": entry.replace("desk-7", "d\\u0065sk-7"),
        "escaped solidus": entry.replace("check/card", "check\\/card"),
        "upper-case escape": entry.replace("desk-7", "d\\u00E9sk-7"),
        "half a pair": entry.replace("desk-7", "desk-\\ud800"),
        "halves the wrong way": entry.replace("desk-7", "desk-\\ude00\\ud83d"),
        "a whole pair": entry.replace("desk-7", "desk-\\ud83d\\ude00"),
        "half a name": f'{entry[:-1]},"\\udc00":1}}',
        "zero byte": entry.replace("desk-7", "desk-\\u0000"),
        "tab": entry.replace("desk-7", "desk-\t"),
        "delete": entry.replace("desk-7", "desk-\x7f"),
        "bad escape": entry.replace("desk-7", "desk-\\x41"),
        "short escape": entry.replace("desk-7", "desk-\\u00g0"),
        "other order": "{" + ",".join(reversed(_pairs(entry))) + "}",
        "single quotes": entry.replace('"', "'"),
        "a comment": f"{start}/**/{rest}",
        "a list": f"[{entry}]",
        "nothing": "null",
        "a number": "7",
        "prototype": f'{entry[:-1]},"__proto__":{{}}}}',
        "long": json.dumps({"kind": "release", "more": "x" * 65_600}),
        "deep": '{"a":' * 1024 + "1" + "}" * 1024,
        "too deep": '{"a":' * 1025 + "1" + "}" * 1025,
        "far too deep": '{"a":' * 9_000,
    }
    for name, changed in spelt.items():
        yield name, with_entry(changed)
    for number in (
        *(
            "1.0",
            "1e0",
            "1E0",
            "01",
            "+1",
            "-0",
            "-0.0",
            "1.",
            ".1",
            "0x1",
            "1_0",
            "NaN",
            "Infinity",
            "-",
            "١",
        ),
        *("9007199254740991", "9007199254740992", "9007199254740993", "18446744073709551615"),
        *(
            "18446744073709551616",
            "-9223372036854775808",
            "-9223372036854775809",
            "1" * 308,
            "1" * 400,
            "1e400",
        ),
    ):
        for name in ("consent_version", "schema"):
            old = '"consent_version":null' if name == "consent_version" else '"schema":1'
            yield f"{name} {number}", with_entry(entry.replace(old, f'"{name}":{number}'))
    told = members()
    del told["entry"]
    for name, raw in (
        ("bytes", release(INDEX)),
        ("no UTF-8", b"\xff"),
        ("surrogate in UTF-8", release(INDEX).replace(b"desk-7", b"\xed\xa0\x80")),
        ("overlong", release(INDEX).replace(b"desk-7", b"\xc0\xaf")),
    ):
        yield f"as {name}", json.dumps({**told, "entry_base64": base64_text(raw)}).encode()


def _pairs(entry: str) -> list[str]:
    return [f"{json.dumps(name)}:{json.dumps(value)}" for name, value in json.loads(entry).items()]


def _proofs() -> Iterator[tuple[str, bytes]]:
    def replaced(old: str, new: str) -> Callable[[str], str]:
        return lambda proof: proof.replace(old, new, 1)

    unsigned = LOG.note().signatures[0].line
    root = LOG.checkpoint().text.split("\n")[2]
    wide = base64_text(bytes(33))
    for name, change in {
        "no header": replaced("c2sp.org/tlog-proof@v1\n", ""),
        "another header": replaced("proof@v1", "proof@v2"),
        "extra": replaced("index", "extra AA==\nindex"),
        "extra twice": replaced("index", "extra AA==\nextra AA==\nindex"),
        "extra that is none": replaced("index", "extra ?\nindex"),
        "empty extra": replaced("index", "extra \nindex"),
        "long extra": replaced("index", f"extra {base64_text(bytes(65_536))}\nindex"),
        "too long extra": replaced("index", f"extra {base64_text(bytes(65_537))}\nindex"),
        "no index": replaced(f"index {INDEX}\n", ""),
        "another index": replaced(f"index {INDEX}", "index 6"),
        "index beyond": replaced(f"index {INDEX}", "index 20"),
        "index with a zero": replaced(f"index {INDEX}", f"index 0{INDEX}"),
        "index below": replaced(f"index {INDEX}", "index -1"),
        "index of other digits": replaced(f"index {INDEX}", "index ٧"),
        "index of 2^63 - 1": replaced(f"index {INDEX}", "index 9223372036854775807"),
        "index of 2^63": replaced(f"index {INDEX}", "index 9223372036854775808"),
        "index of 2^53 + 7": replaced(f"index {INDEX}", f"index {2**53 + INDEX}"),
        "index of 2^64 + 7": replaced(f"index {INDEX}", f"index {2**64 + INDEX}"),
        "hash turned": line_changed(2, lambda line: flipped(line, 5)),
        "last hash turned": line_changed(6, lambda line: flipped(line, 5)),
        "hash missing": lambda proof: "\n".join([*proof.split("\n")[:2], *proof.split("\n")[3:]]),
        "hash twice": line_changed(2, lambda line: f"{line}\n{line}"),
        "hashes swapped": lambda proof: "\n".join(
            [*proof.split("\n")[:2], *proof.split("\n")[3:1:-1], *proof.split("\n")[4:]]
        ),
        "64 hashes": line_changed(2, lambda line: "\n".join([line] * 64)),
        "63 hashes": line_changed(2, lambda line: "\n".join([line] * 59)),
        "a wide hash": line_changed(2, lambda _: wide),
        "unpadded": line_changed(2, lambda line: line.rstrip("=")),
        "spelt otherwise": line_changed(2, lambda line: line[:-2] + chr(ord(line[-2]) + 1) + "="),
        "url-safe": line_changed(2, lambda _: "-_" * 21 + "A="),
        "white space": line_changed(2, lambda line: f" {line}"),
        "return": line_changed(2, lambda line: f"{line}\r"),
        "no empty line": replaced("\n\n", "\n"),
        "nothing": lambda _: "x",
        "a letter in the head": replaced("index", "ìndex"),
        "root turned": replaced(root, flipped(root, 3)),
        "size": replaced(f"{ORIGIN}\n20\n", f"{ORIGIN}\n21\n"),
        "size with a zero": replaced(f"{ORIGIN}\n20\n", f"{ORIGIN}\n020\n"),
        "size of 2^63": replaced(f"{ORIGIN}\n20\n", f"{ORIGIN}\n9223372036854775808\n"),
        "an empty tree": replaced(f"{ORIGIN}\n20\n{root}", f"{ORIGIN}\n0\n{base64_text(bytes(32))}"),
        "extension line": replaced(f"{root}\n", f"{root}\nmore\n"),
        "another origin": replaced(f"{ORIGIN}\n20", "audit.other.example/2026\n20"),
        "no origin": replaced(f"{ORIGIN}\n20", "\n20"),
        "origin with a space": replaced(f"{ORIGIN}\n20", "audit example\n20"),
        "signature turned": replaced(unsigned, signature_flipped(unsigned.rstrip()) + "\n"),
        "signature short": replaced(unsigned, f"— {ORIGIN} {base64_text(LOG_KEY.key_id + bytes(63))}\n"),
        "signature long": replaced(unsigned, f"— {ORIGIN} {base64_text(LOG_KEY.key_id + bytes(65))}\n"),
        "key id alone": replaced(unsigned, f"— {ORIGIN} {base64_text(LOG_KEY.key_id)}\n"),
        "no signature of the log": replaced(unsigned, ""),
        "no signature at all": lambda proof: proof[: proof.index("— ")],
        "another log's signature": replaced(unsigned, LOG_SIGNED_BY_OTHER),
        "both signatures": replaced(unsigned, unsigned + LOG_SIGNED_BY_OTHER),
        "an unknown line": replaced(unsigned, f"{unsigned}— somebody AAAAAAA=\n"),
        "a hyphen for the dash": replaced("— ", "- "),
        "two spaces": replaced(f"{ORIGIN} ", f"{ORIGIN}  "),
        "a name with a next line": replaced(unsigned, f"{unsigned}— a\u0085b AAAAAAA=\n"),
        "a name with a no-break space": replaced(unsigned, f"{unsigned}— a\u00a0b AAAAAAA=\n"),
        "a name with a zero-width space": replaced(unsigned, f"{unsigned}— a\u200bb AAAAAAA=\n"),
        "a name with a byte order mark": replaced(unsigned, f"{unsigned}— a\ufeffb AAAAAAA=\n"),
        "a name with a line separator": replaced(unsigned, f"{unsigned}— a\u2028b AAAAAAA=\n"),
        "a name with a plus": replaced(unsigned, f"{unsigned}— a+b AAAAAAA=\n"),
        "a name of 255": replaced(unsigned, f"{unsigned}— {'😀' * 255} AAAAAAA=\n"),
        "a name of 256": replaced(unsigned, f"{unsigned}— {'n' * 256} AAAAAAA=\n"),
        "97 more lines": replaced(unsigned, unsigned + "— n AAAAAAA=\n" * 97),
        "98 more lines": replaced(unsigned, unsigned + "— n AAAAAAA=\n" * 98),
        "a tab": replaced(unsigned, f"{unsigned}\t"),
        "no newline at the end": lambda proof: proof.removesuffix("\n"),
        "one more empty line": lambda proof: f"{proof}\n",
        "an empty line between": replaced("— witness.example/w1", "\n— witness.example/w1"),
        "a long note": replaced(unsigned, f"{unsigned}— n {base64_text(bytes(99_000))}\n"),
        "a cosignature turned": line_changed(-1, signature_flipped),
        "one cosignature missing": lambda proof: proof[: proof.rindex("— ")],
        "a cosignature twice": lambda proof: proof + proof[proof.rindex("— ") :],
    }.items():
        yield name, with_proof(change)
    for seconds in (0, 2**53, 2**63 - 1):
        proof = LOG.proof_file(INDEX).decode() + "".join(
            one.line for one in LOG.note(2, seconds).signatures[1:]
        )
        yield f"cosigned at {seconds}", with_members(proof=proof)


LOG_SIGNED_BY_OTHER: Final = (
    "— "
    + ORIGIN
    + " "
    + base64_text(OTHER_KEY.key_id + OTHER_PRIVATE.sign(LOG.checkpoint().text.encode()))
    + "\n"
)


def _keys() -> Iterator[tuple[str, bytes | Case]]:
    told, vkey = members(), LOG_KEY.vkey
    witness = told["witness_keys"][0]
    name, _, rest = vkey.partition("+")
    of_another = base64_text(b"\x02" + LOG_KEY.public_key)
    small = VerifierKey(ORIGIN, LOG_SIGNATURE, bytes([1]) + bytes(31))
    no_point = VerifierKey(ORIGIN, LOG_SIGNATURE, b"\x02" + bytes(31))
    renamed = VerifierKey("witness.example/again", COSIGNATURE, WITNESS_KEYS[0].public_key)
    own = VerifierKey("w", COSIGNATURE, LOG_KEY.public_key)
    for label, log_keys in {
        "of another log": [OTHER_KEY.vkey],
        "both": [OTHER_KEY.vkey, vkey],
        "none": [],
        "a witness's": [witness],
        "of another name": [replace(LOG_KEY, name="audit.other.example/2026").vkey],
        "another id": [f"{name}+00000000+{rest.partition('+')[2]}"],
        "an id in capitals": [vkey.replace(rest[:8], rest[:8].upper())],
        "no base64": [f"{vkey}?"],
        "base64 spelt otherwise": [vkey[:-2] + chr(ord(vkey[-2]) + 1) + "="],
        "a newline": [f"{vkey}\n"],
        "a space": [f" {vkey}"],
        "half a letter": ["\ud800" + vkey],
        "no text": [7],
        "null": None,
        "a text": vkey,
        "too many": [vkey] * 101,
        "many": [vkey] * 100,
        "of small order": [small.vkey],
        "no point": [no_point.vkey],
        "another algorithm": [f"{name}+{rest[:8]}+{of_another}"],
    }.items():
        yield f"log, {label}", with_members(log_keys=log_keys)
    for label, proof_line in (("of small order", small), ("no point", no_point)):
        signed = f"— {ORIGIN} {base64_text(proof_line.key_id + bytes([1]) + bytes(63))}\n"
        changed = members()["proof"].replace(LOG.note().signatures[0].line, signed)
        yield f"signed by a key {label}", with_members(log_keys=[proof_line.vkey], proof=changed)
    for label, witness_keys, needed in (
        ("none, none needed", [], 0),
        ("none, one needed", [], 1),
        ("all needed", told["witness_keys"], 3),
        ("one twice", [witness, renamed.vkey], 2),
        ("the log's", [vkey], 1),
        ("the log's as a witness", [own.vkey], 1),
        ("of nobody here", [told["witness_keys"][2]], 0),
        ("none needed", told["witness_keys"], 0),
        ("needed as text", told["witness_keys"], "2"),
        ("needed as true", told["witness_keys"], True),
        ("needed as a fraction", told["witness_keys"], 2.0),
        ("100 needed", told["witness_keys"], 100),
        ("101 needed", told["witness_keys"], 101),
        ("-1 needed", told["witness_keys"], -1),
    ):
        yield (
            f"witnesses, {label}",
            with_members(witness_keys=witness_keys, witnesses_needed=needed),
        )
    raw = json.dumps(told).replace('"witnesses_needed": 2', '"witnesses_needed": %s')
    for number in ("-0", "0", "2e0", "1e400", "9" * 5000, "NaN", "-Infinity", "02"):
        yield f"needed {number[:9]}", (raw % number).encode()
    content = WHOLE.content
    for label, brought in {
        "the log's": vkey,
        "the log's, with spaces": f"\n  {vkey}\r\n\n",
        "another's": OTHER_KEY.vkey,
        "both": f"{vkey}\n{OTHER_KEY.vkey}",
        "of witnesses": "\n".join(told["witness_keys"][:2]),
        "of all witnesses": "\n".join(told["witness_keys"]),
        "one witness twice": f"{witness}\n{renamed.vkey}",
        "log and witness": f"{vkey}\n{witness}",
        "log and log as witness": f"{vkey}\n{own.vkey}",
        "rubbish": "rubbish",
        "rubbish behind": f"{vkey}\nrubbish",
    }.items():
        yield f"brought, {label}", Case(content, keys=brought)
    yield "brought where the file has none", Case(with_members(log_keys=[]), keys=vkey)
    forged = with_members(log_keys=[OTHER_KEY.vkey], proof=_forged())
    yield "forged, with its own key", forged
    yield "forged, with the log's key", Case(forged, keys=vkey)


def _forged() -> str:
    """Return the proof as somebody else would sign it."""
    return str(members()["proof"]).replace(LOG.note().signatures[0].line, LOG_SIGNED_BY_OTHER)


def _opened() -> Iterator[tuple[str, bytes | Case]]:
    salt, other = base64_text(SUBJECT_SALT), base64_text(PAYLOAD_SALT)
    sealed = {"salt": salt, "identifier": None}
    for label, value in {
        "nobody": None,
        "salt alone": sealed,
        "another person": {"salt": salt, "identifier": "opaque-person-8"},
        "another salt": {"salt": other, "identifier": SUBJECT.decode()},
        "a short salt": {"salt": "AAAA", "identifier": "x"},
        "no salt": {"identifier": "x"},
        "more": {"salt": salt, "identifier": "x", "more": 1},
        "an empty identifier": {"salt": salt, "identifier": ""},
        "a number": {"salt": salt, "identifier": 7},
        "half a letter": {"salt": salt, "identifier": "\ud800"},
        "letters": {"salt": salt, "identifier": "số 7 😀"},
        "a list": [salt, "x"],
        "false": False,
    }.items():
        yield f"person, {label}", with_members(data_subject=value)
    for label, typed in {"right": SUBJECT.decode(), "wrong": "x", "composed": "số 7"}.items():
        yield f"typed {label}", Case(with_members(data_subject=sealed), identifier=typed)
        yield f"typed {label} over the file's", Case(WHOLE.content, identifier=typed)
        yield f"typed {label} without a salt", Case(with_members(data_subject=None), identifier=typed)
    for label, value in {
        "none": None,
        "salt alone": {"salt": other, "content": None},
        "another": {"salt": other, "content": base64_text(b"another")},
        "another salt": {"salt": salt, "content": base64_text(PAYLOAD)},
        "no base64": {"salt": other, "content": "?"},
        "empty": {"salt": other, "content": ""},
    }.items():
        yield f"payload, {label}", with_members(payload=value)
    for label, kept in {"right": PAYLOAD, "one byte more": PAYLOAD + b"\n", "empty": b""}.items():
        salted = with_members(payload={"salt": other, "content": None})
        yield f"kept {label}", Case(salted, payload=kept)
        yield f"kept {label} without a salt", Case(with_members(payload=None), payload=kept)
    for kind in ("refusal", "export"):
        yield f"{kind} about nobody", _of_entry(one_of_each_kind()[kind])


def _files() -> Iterator[tuple[str, bytes]]:
    told = members()
    value: Any
    for name in told:
        yield (
            f"without {name}",
            json.dumps({key: value for key, value in told.items() if key != name}).encode(),
        )
        for at, value in enumerate((None, "", 0, [], {}, True, "x")):
            yield f"{name} {at}", with_members(**{name: value})
    content = WHOLE.content
    compact = json.dumps(told).encode()
    for name, changed in {
        "nothing": b"",
        "compact": compact,
        "unknown member": with_members(comment="trust me"),
        "prototype": with_members(__proto__={}),
        "both entries": with_members(entry_base64="AA=="),
        "another format": with_members(format="broker-evidence@v2"),
        "member twice": compact[:-1] + b',"format":"broker-evidence@v1"}',
        "member twice, escaped": compact[:-1] + b',"f\\u006frmat":"broker-evidence@v1"}',
        "member twice within": compact.replace(b'{"salt"', b'{"salt":"","salt"', 1),
        "byte order mark": b"\xef\xbb\xbf" + content,
        "white space": b" \t\r\n" + content + b" \t\r\n",
        "other white space": b"\x0b" + content,
        "no UTF-8": content.replace(b"desk-7", b"desk-\xff"),
        "UTF-16": content.decode().encode("utf-16"),
        "more behind": content + b"x",
        "a list": b"[" + content + b"]",
        "deep": b"[" * 100_000,
        "deep member": b'{"format":' + b"[" * 65 + b"]" * 65 + b"}",
        "a comma": compact[:-1] + b",}",
        "a comment": b"{/**/" + compact[1:],
        "single quotes": compact.replace(b'"', b"'"),
        "half a name": compact[:-1] + b',"\\ud800":1}',
        "empty entry": with_entry(""),
        "half a letter in the entry": with_entry("\ud800"),
    }.items():
        yield name, changed


def _bits() -> Iterator[tuple[str, bytes]]:
    """One bit of the file turned, all along it; and the file cut, all along it."""
    content = WHOLE.content
    for at in range(0, len(content), 5):
        changed = bytearray(content)
        changed[at] ^= 1 << (at // 5 % 8)
        yield f"bit of {at}", bytes(changed)
    for at in range(0, len(content), 83):
        yield f"cut at {at}", content[:at]
    proof = members()["proof"]
    for at in range(0, len(proof), 41):
        yield f"proof cut at {at}", with_members(proof=proof[:at])
