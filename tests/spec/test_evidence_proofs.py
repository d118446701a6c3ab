"""`GET /evidence/proof/<reference>`: who was answered proves it; nobody learns anything of anybody else's."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import uuid_utils
from click.testing import CliRunner

from broker.cli import main
from broker.cli.caller import Answer, Caller, ClientKey
from broker.cli.embedded import EmbeddedCluster
from broker.evidence.canonical import canonical_bytes
from broker.evidence.evidence_file import parse_evidence_file
from broker.evidence.proof_file import check_proof_file, parse_proof_file
from broker.storage.clients import ClientRecord
from tests.doors import Server, post
from tests.evidence_entries import decoded, one_of_each_kind
from tests.log_reader import all_faults
from tests.log_world import enter, put_checkpoint
from tests.oauth_world import Party
from tests.release_world import SCOPE, Hospital, World
from tests.served_log import ServedLog, served_log

PLAIN = {"Accept": "text/plain"}


@dataclass(frozen=True)
class Served:
    """A real server beside a log, and two hospitals that call it."""

    server: Server
    log: ServedLog
    own: Hospital
    other: Hospital

    def caller(self, hospital: Hospital | None = None) -> Caller:
        return self.server.caller(hospital or self.own)


@contextmanager
def serving_log(
    cluster: EmbeddedCluster, world: World, environ: dict[str, str], directory: Path
) -> Iterator[Served]:
    """Yield a server that publishes a log; at the end its log of operations is read: it names nobody."""
    server = Server(environ, directory, {"BROKER_LOG_DIRECTORY": str(directory / "log")})
    try:
        log = served_log(cluster, world, directory / "log", server.issuer)
        yield Served(server, log, world.register_hospital(), world.register_hospital())
    finally:
        server.stop()
    assert all_faults(server.log, world) == []


@pytest.fixture(scope="module")
def served(
    cluster: EmbeddedCluster,
    world: World,
    release_environ: dict[str, str],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Served]:
    with serving_log(cluster, world, release_environ, tmp_path_factory.mktemp("served")) as given:
        yield given


def asked(served: Served, world: World, caller: Caller) -> str:
    """Have a card checked; return the reference of the evidence."""
    answer = post(caller, world.document(hospital=served.own))
    assert answer.status == 200, answer.body
    return str(answer.json()["evidence_reference"])


def proof_of(caller: Caller, reference: str, **headers: str) -> Answer:
    return caller.request("GET", f"/evidence/proof/{reference}", headers=headers or PLAIN)


def told(answer: Answer) -> tuple[int, dict[str, Any]]:
    """Return what an answer says, without what is new at each answer."""
    return answer.status, {
        name: value for name, value in answer.json().items() if name not in ("instance", "request_id")
    }


def test_an_answer_is_proven_as_soon_as_it_is_in_the_log(
    served: Served, world: World, tmp_path: Path
) -> None:
    caller = served.caller()
    reference = asked(served, world, caller)
    entry = world.find_evidence(reference)[0].content
    waiting = proof_of(caller, reference)
    assert waiting.status == 409
    assert waiting.json()["type"] == f"{served.server.issuer}/problems/entry-not-merged"
    assert waiting.headers["retry-after"] == "10"
    served.log.order()
    answer = proof_of(caller, reference)
    assert answer.status == 200, answer.body
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    assert answer.headers["cache-control"] == "no-store"
    year = datetime.now(UTC).year
    key = served.log.key(year)
    proven = check_proof_file(parse_proof_file(answer.body), entry, [key])
    assert proven.checkpoint.origin == served.log.origin(year)
    assert served.log.files(year).checkpoint() == parse_proof_file(answer.body).note
    (tmp_path / "entry.json").write_bytes(entry)
    (tmp_path / "answer.tlog-proof").write_bytes(answer.body)
    words = [str(tmp_path / "entry.json"), "--proof", str(tmp_path / "answer.tlog-proof"), "--vkey", key.vkey]
    done = CliRunner().invoke(main, ["evidence", "verify", *words], catch_exceptions=False)
    assert done.exit_code == 0, done.output


def test_with_the_entry_in_an_evidence_file_that_anybody_can_check(
    served: Served, world: World, tmp_path: Path
) -> None:
    caller = served.caller()
    reference = asked(served, world, caller)
    served.log.order()
    answer = proof_of(caller, reference, Accept="application/json")
    assert (answer.status, answer.headers["content-type"]) == (200, "application/json")
    assert answer.headers["cache-control"] == "no-store"
    file = parse_evidence_file(answer.body)
    assert file.entry == world.find_evidence(reference)[0].content
    assert (file.data_subject, file.payload) == (None, None)  # what opens them is the person's
    path = tmp_path / "answer.evidence.json"
    path.write_bytes(answer.body)
    vkey = served.server.get(f"/evidence/{datetime.now(UTC).year}/vkey").body.decode().strip()
    done = CliRunner().invoke(main, ["evidence", "verify", str(path), "--vkey", vkey], catch_exceptions=False)
    assert done.exit_code == 0, done.output


def test_it_is_proven_under_the_checkpoint_that_witnesses_cosigned_where_that_holds_it(
    served: Served, world: World
) -> None:
    caller = served.caller()
    first = asked(served, world, caller)
    served.log.order()
    year = datetime.now(UTC).year
    files = served.log.files(year)
    note = files.checkpoint()
    assert note is not None
    cosigned = note + "— witness.example/w0 ".encode() + base64.b64encode(bytes(76)) + b"\n"
    second = asked(served, world, caller)
    served.log.order()
    place = files.directory / "witnessed-checkpoint"
    place.write_bytes(cosigned)
    try:
        older, newer = (parse_proof_file(proof_of(caller, one).body) for one in (first, second))
        assert older.note == cosigned
        assert newer.note == files.checkpoint()
        for proof, reference in ((older, first), (newer, second)):
            entry = world.find_evidence(reference)[0].content
            check_proof_file(proof, entry, [served.log.key(year)])
    finally:
        place.unlink()


def test_a_refusal_is_proven_too(served: Served, world: World) -> None:
    caller = served.caller()
    staff = {"full_name": "Không Ai", "personal_id": "001190000000"}
    refused = post(caller, world.document(hospital=served.own, acting_person=staff))
    assert refused.status == 403, refused.body
    reference = refused.json()["instance"].removeprefix("urn:uuid:")
    served.log.order()
    file = parse_evidence_file(proof_of(caller, reference, Accept="application/json").body)
    assert json.loads(file.entry)["reason"] == "acting_person_unknown"


def test_another_client_of_the_same_organisation_may_have_it(served: Served, world: World) -> None:
    reference = asked(served, world, served.caller())
    served.log.order()
    party = Party(f"{served.own.client_id}-desk")
    world.clients.register_client(
        ClientRecord(
            client_id=party.client_id,
            organisation_id=served.own.organisation_id,
            name="desk",
            scopes=(SCOPE,),
            agreement_ids=(),
            client_metadata={
                "grant_types": ["client_credentials"],
                "jwks": {"keys": [party.public_jwk]},
            },
            expires_at=datetime.now(UTC) + timedelta(days=1),
        )
    )
    private = json.dumps({**party.key.as_dict(private=True), "kid": party.kid})
    desk = replace(served.own, client_id=party.client_id, key=ClientKey.read(private))
    assert proof_of(served.caller(desk), reference).status == 200


@pytest.mark.parametrize("is_merged", [False, True])
def test_of_anothers_entry_is_said_what_is_said_of_none(
    served: Served, world: World, is_merged: bool
) -> None:
    reference = asked(served, world, served.caller())
    if is_merged:
        served.log.order()
    other = served.caller(served.other)
    answers = [told(proof_of(other, one)) for one in (reference, str(uuid4()))]
    assert answers[0] == answers[1]
    assert answers[0][0] == 404
    assert answers[0][1]["type"] == f"{served.server.issuer}/problems/not-found"


@pytest.mark.parametrize("spelling", ["x", "0", "A" * 36, "not-a-reference"])
def test_what_is_no_reference_is_not_there(served: Served, spelling: str) -> None:
    assert told(proof_of(served.caller(), spelling))[0] == 404


def test_a_reference_has_one_spelling(served: Served, world: World) -> None:
    caller = served.caller()
    reference = asked(served, world, caller)
    assert proof_of(caller, reference.upper()).status == 404
    assert proof_of(caller, reference.replace("-", "")).status == 404


def test_a_consents_entries_are_no_clients(served: Served, world: World) -> None:
    """Their references are told to no client; whoever has come upon one learns nothing."""
    entry = {
        **decoded(one_of_each_kind()["consent"]),
        "client": served.own.client_id,
        "recipient": served.own.organisation_id,
        "reference": str(uuid_utils.uuid7()),
    }
    with world.owner.begin() as connection:
        reference = enter(connection, canonical_bytes(entry))
    answers = [told(proof_of(served.caller(), one)) for one in (reference, str(uuid4()))]
    assert answers[0] == answers[1]
    assert answers[0][0] == 404


def test_without_a_token_nothing_is_said(served: Served, world: World) -> None:
    reference = asked(served, world, served.caller())
    for one in (reference, str(uuid4())):
        answer = served.server.get(f"/evidence/proof/{one}")
        assert answer.status == 401
        assert answer.headers["www-authenticate"].startswith("DPoP ")


def test_a_proof_of_possession_is_good_once(served: Served, world: World) -> None:
    caller = served.caller()
    reference = asked(served, world, caller)
    path = f"/evidence/proof/{reference}"
    assert proof_of(caller, reference).status in (200, 409)
    again = caller.request("GET", path, proof=caller.last_proof)
    assert again.status == 401
    assert again.json()["type"].endswith("/problems/proof-invalid")


def test_what_the_files_do_not_prove_is_not_handed_out(served: Served, world: World) -> None:
    """A disk that turned a bit: the caller gets an error with a number, never a proof that does not hold."""
    caller = served.caller()
    reference = asked(served, world, caller)
    served.log.order()
    files = served.log.files(datetime.now(UTC).year)
    note = files.checkpoint()
    assert note is not None
    put_checkpoint(files, note.replace(b"\n\xe2\x80\x94", b"\nAAAA\n\n\xe2\x80\x94", 1))
    try:
        assert told(proof_of(caller, reference))[0] == 500
    finally:
        put_checkpoint(files, note)
    assert proof_of(caller, reference).status == 200
