"""The log's key leaked and was withdrawn: what is said of proofs until the log is signed anew."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from broker.cli.caller import Answer, Caller
from broker.cli.embedded import EmbeddedCluster
from broker.evidence.evidence_file import parse_evidence_file
from broker.evidence.proof_file import check_proof_file, parse_proof_file
from tests.doors import wait_until
from tests.release_world import World
from tests.spec.test_evidence_proofs import Served, asked, proof_of, serving_log, told


@pytest.fixture
def served(
    cluster: EmbeddedCluster,
    world: World,
    release_environ: dict[str, str],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Served]:
    """A server of this test's own: its workers learn of another key one after the other."""
    with serving_log(cluster, world, release_environ, tmp_path_factory.mktemp("served")) as given:
        yield given


def answered_with(status: int, caller: Caller, reference: str) -> Answer:
    """Return the first answer with a status: each worker looks at the log's keys every half minute."""
    answers: list[Answer] = []

    def is_so() -> bool:
        answers.append(proof_of(caller, reference, Accept="application/json"))
        return answers[-1].status == status

    wait_until(is_so, f"the server answers with {status}", 120)
    return answers[-1]


def test_while_only_a_withdrawn_key_signed_it_the_caller_is_told_to_wait(
    served: Served, world: World
) -> None:
    """The key leaked: until the sequencer signs anew there is no proof, and that is no fault of 500."""
    caller = served.caller()
    reference = asked(served, world, caller)
    served.log.order()
    year = datetime.now(UTC).year
    withdrawn = served.log.key(year)
    served.log.withdraw_key()
    waiting = answered_with(503, caller, reference)
    assert waiting.json()["type"] == f"{served.server.issuer}/problems/checkpoint-withdrawn"
    assert waiting.json()["title"] == "Khóa của nhật ký đã bị thu hồi"
    assert waiting.headers["retry-after"] == "30"
    assert told(proof_of(served.caller(served.other), reference))[0] == 404
    served.log.order()
    file = parse_evidence_file(answered_with(200, caller, reference).body)
    assert withdrawn not in file.log_keys
    assert file.log_keys[-1] == served.log.key(year)
    check_proof_file(parse_proof_file(file.proof), file.entry, [served.log.key(year)])
