"""Recipients are told: notices go from real PostgreSQL to a real HTTPS host, once, again, or to the dead."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import timedelta
from http.server import BaseHTTPRequestHandler
from threading import Barrier, Event

import pytest
from sqlalchemy.exc import DBAPIError

from broker.cli.outbox_job import BATCH, PER_CLIENT
from broker.consent.delivery import TRIES_MAX
from broker.evidence.kinds import check_any
from broker.storage.outbox import LEASE
from connectors.notify import Pushed
from tests.acting import entries, last_reference, without_entries
from tests.doors import at_once
from tests.key_host import HOST, Answer, plain
from tests.oauth_world import Database, World
from tests.outbox_world import ACCEPTED, OutboxWorld, Receiver, in_order, receiver, refusing


@pytest.fixture
def world(database: Database) -> OutboxWorld:
    return OutboxWorld(World(database))


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Receiver]:
    with receiver(tmp_path_factory.mktemp("tls")) as started:
        yield started


@pytest.fixture
def bank(running: Receiver) -> Receiver:
    running.host.posted.clear()
    running.host.asked.clear()
    running.host.answer = ACCEPTED
    return running


class TestDelivery:
    def test_rfc8935_2_a_notice_is_pushed_once_and_verifies(self, world: OutboxWorld, bank: Receiver) -> None:
        world.recipient("bank-a", bank.url)
        notice = world.queue("bank-a")
        job = world.job(bank.pusher())
        assert job.run() == {"taken": 1, "delivered": 1}
        assert job.run() == {"taken": 0}
        [token] = bank.tokens
        claims = world.claims(token, "bank-a")
        assert claims["jti"] == notice.message_id
        assert claims["sub_id"] == {"format": "opaque", "id": "pairwise-bank-a"}
        assert list(claims["events"]) == ["https://broker.example/events/consent-withdrawn"]
        assert bank.host.asked == [("/events", f"{HOST}:{bank.host.port}")]
        row = world.row(notice)
        assert (row["delivered_at"], row["next_try_at"], row["dead_at"]) == (world.world.clock(), None, None)

    def test_a_failure_is_tried_again_when_its_wait_is_over(self, world: OutboxWorld, bank: Receiver) -> None:
        world.recipient("bank-a", bank.url)
        notice = world.queue("bank-a")
        bank.host.answer = in_order([plain(b"", status=503), plain(b"", status=503), ACCEPTED])
        job, clock = world.job(bank.pusher()), world.world.clock
        assert job.run() == {"taken": 1, "failed": 1}
        row = world.row(notice)
        assert row["last_fault"] == "the host answers with another status than 202 or 400"
        assert row["next_try_at"] == clock() + timedelta(seconds=10)
        clock.move(9.9)
        assert job.run() == {"taken": 0}
        clock.move(0.1)
        assert job.run() == {"taken": 1, "failed": 1}
        clock.move(20)
        assert job.run() == {"taken": 1, "delivered": 1}
        assert len(bank.tokens) == 3
        assert len({world.claims(token, "bank-a")["jti"] for token in bank.tokens}) == 1
        assert world.row(notice)["last_fault"] == ""

    def test_after_the_last_try_it_is_dead_and_an_operator_tries_it_again(
        self, database: Database, world: OutboxWorld, bank: Receiver
    ) -> None:
        world.recipient("bank-a", bank.url)
        notice = world.queue("bank-a")
        bank.host.answer = plain(b"", status=500)
        job, clock = world.job(bank.pusher(), share=0.0), world.world.clock
        for _ in range(TRIES_MAX - 1):
            assert job.run() == {"taken": 1, "failed": 1}
            clock.move(1)
        assert world.outbox.list_dead(10) == []
        assert job.run() == {"taken": 1, "dead": 1}
        [dead] = world.outbox.list_dead(10)
        assert (dead.message_id, dead.client_id, dead.kind) == (
            notice.message_id,
            "bank-a",
            "consent_withdrawn",
        )
        assert (dead.try_count, dead.dead_at, dead.told_at) == (TRIES_MAX, clock(), None)
        clock.move(10_000)
        assert job.run() == {"taken": 0}
        bank.host.answer = ACCEPTED
        begun = last_reference(world.world.engine)
        with without_entries(database.owner), pytest.raises(DBAPIError, match="no entry can be written"):
            world.outbox.retry_dead(clock())
        assert [one.message_id for one in world.outbox.list_dead(10)] == [notice.message_id]
        assert world.outbox.retry_dead(clock(), message_id=notice.message_id) == 1
        [act] = entries(world.world.engine, "administration", begun)
        check_any(act)
        assert (act["act"], act["target"]) == ("notice_retried", notice.message_id)
        assert act["data_subject_commit"] is not None, "it is about whose consent it is"
        assert world.outbox.retry_dead(clock(), message_id=notice.message_id) == 0
        assert job.run() == {"taken": 1, "delivered": 1}
        assert world.outbox.list_dead(10) == []

    @pytest.mark.parametrize("code", ["invalid_key", "invalid_audience", "access_denied"])
    def test_rfc8935_2_3_a_refusal_is_final_and_says_why(
        self, world: OutboxWorld, bank: Receiver, code: str
    ) -> None:
        world.recipient("bank-a", bank.url)
        world.queue("bank-a")
        bank.host.answer = refusing(code)
        assert world.job(bank.pusher()).run() == {"taken": 1, "dead": 1}
        [dead] = world.outbox.list_dead(10)
        assert dead.last_fault == f"the recipient refuses it: {code}"

    def test_a_recipients_own_words_are_not_kept(self, world: OutboxWorld, bank: Receiver) -> None:
        world.recipient("bank-a", bank.url)
        world.queue("bank-a")
        bank.host.answer = refusing("<script>Nguyễn Văn A</script>")
        world.job(bank.pusher()).run()
        [dead] = world.outbox.list_dead(10)
        assert dead.last_fault == "the recipient refuses it: a code of its own"

    def test_how_far_a_consents_notices_have_come_is_told(self, world: OutboxWorld, bank: Receiver) -> None:
        world.recipient("bank-a", bank.url)
        consent = world.consent("bank-a")
        world.queue("bank-a", "consent_given", consent)
        world.job(bank.pusher()).run()
        told_at = world.world.clock()
        world.world.clock.move(5)
        world.queue("bank-a", "consent_withdrawn", consent)
        world.queue("bank-a")
        states = world.outbox.list_of_consent(consent.consent_id)
        assert [(one.kind, one.told_at, one.acknowledged_at) for one in states] == [
            ("consent_given", told_at, None),
            ("consent_withdrawn", None, None),
        ]

    def test_a_client_without_an_address_is_not_pushed_to(self, world: OutboxWorld, bank: Receiver) -> None:
        world.recipient("clinic")
        notice = world.queue("clinic")
        assert world.job(bank.pusher()).run() == {"taken": 0}
        assert world.row(notice)["next_try_at"] is None
        assert world.outbox.backlog(world.world.clock()) == {"waiting": 0, "oldest_seconds": 0, "dead": 0}

    def test_a_notice_is_queued_with_the_transaction_that_it_tells_of(self, world: OutboxWorld) -> None:
        world.recipient("bank-a", "https://bank.example/events")
        world.queue("bank-a")
        world.world.clock.move(7)
        assert world.outbox.backlog(world.world.clock()) == {"waiting": 1, "oldest_seconds": 7, "dead": 0}


class TestFairness:
    def test_one_recipient_with_many_notices_leaves_room_for_others(
        self, world: OutboxWorld, bank: Receiver
    ) -> None:
        world.recipient("bank-a", bank.url)
        world.recipient("bank-b", bank.url)
        consent = world.consent("bank-a")
        for _ in range(PER_CLIENT + 2):
            world.queue("bank-a", consent=consent)
        world.world.clock.move(1)
        world.queue("bank-b")
        taken = world.outbox.take_batch(world.world.clock(), most=BATCH, per_client=PER_CLIENT)
        counts = [one.notice.client_id for one in taken]
        assert (counts.count("bank-a"), counts.count("bank-b")) == (PER_CLIENT, 1)

    def test_a_batch_is_bounded_and_the_longest_due_come_first(self, world: OutboxWorld) -> None:
        first = []
        for number in range(4):
            world.recipient(f"bank-{number}", "https://bank.example/events")
            first.append(world.queue(f"bank-{number}").message_id)
            world.world.clock.move(1)
        taken = world.outbox.take_batch(world.world.clock(), most=3, per_client=1)
        assert {one.notice.message_id for one in taken} == set(first[:3])


class TestManyWorkers:
    def test_workers_that_take_at_once_never_take_the_same(self, world: OutboxWorld) -> None:
        world.recipient("bank-a", "https://bank.example/events")
        consent = world.consent("bank-a")
        queued = {world.queue("bank-a", consent=consent).message_id for _ in range(24)}
        now = world.world.clock()

        def take(_: int) -> list[str]:
            batch = world.outbox.take_batch(now, most=5, per_client=5)
            return [one.notice.message_id for one in batch]

        taken = [one for _ in range(3) for batch in at_once(take, range(4)) for one in batch]
        assert len(taken) == len(set(taken))
        assert set(taken) == queued

    def test_two_jobs_at_once_push_each_notice_once(self, world: OutboxWorld, bank: Receiver) -> None:
        world.recipient("bank-a", bank.url)
        consent = world.consent("bank-a")
        queued = {world.queue("bank-a", consent=consent).message_id for _ in range(8)}
        jobs = [world.job(bank.pusher()) for _ in range(2)]
        done = at_once(lambda job: job.run().get("delivered", 0), jobs)
        done.append(jobs[0].run().get("delivered", 0))
        assert sum(done) == 8
        pushed = [world.claims(token, "bank-a")["jti"] for token in bank.tokens]
        assert sorted(pushed) == sorted(queued)

    def test_what_a_worker_took_and_never_settled_is_due_again_after_its_lease(
        self, world: OutboxWorld, bank: Receiver
    ) -> None:
        world.recipient("bank-a", bank.url)
        notice = world.queue("bank-a")
        clock = world.world.clock
        world.outbox.take_batch(clock(), most=BATCH, per_client=PER_CLIENT)  # and then it is gone
        job = world.job(bank.pusher())
        clock.move(LEASE.total_seconds() - 0.1)
        assert job.run() == {"taken": 0}
        clock.move(0.1)
        assert job.run() == {"taken": 1, "delivered": 1}
        assert world.row(notice)["try_count"] == 2

    def test_a_worker_that_comes_too_late_with_a_failure_changes_nothing(self, world: OutboxWorld) -> None:
        world.recipient("bank-a", "https://bank.example/events")
        notice = world.queue("bank-a")
        clock = world.world.clock
        [late] = world.outbox.take_batch(clock(), most=1, per_client=1)
        clock.move(LEASE.total_seconds())
        [other] = world.outbox.take_batch(clock(), most=1, per_client=1)
        assert not world.outbox.mark_failed(late, "x", next_try_at=None, at=clock())
        assert world.row(notice)["dead_at"] is None
        world.outbox.mark_delivered(other, clock())
        assert not world.outbox.mark_failed(other, "x", next_try_at=None, at=clock())
        assert world.row(notice)["delivered_at"] == clock()


class TestThePush:
    """What a push does to a host that is not as it should be. Each leaves the notice to be tried again."""

    def test_a_redirect_is_not_followed(self, bank: Receiver) -> None:
        bank.host.answer = plain(b"", status=307, Location=f"https://{HOST}:{bank.host.port}/elsewhere")
        assert bank.pusher().push(bank.url, "a.b.c") == Pushed(
            "failed", "the host answers with another status than 202 or 400"
        )
        assert [path for path, _ in bank.host.asked] == ["/events"]

    @pytest.mark.parametrize("address", ["10.0.0.1", "127.0.0.1", "169.254.169.254", "::1", "fd00::1"])
    def test_a_private_address_is_not_reached(self, bank: Receiver, address: str) -> None:
        pusher = bank.pusher(private_hosts=(), resolve=lambda _host, _port: [address])
        assert pusher.push(bank.url, "a.b.c") == Pushed(
            "failed", "the host has an address that must not be reached"
        )
        assert bank.host.asked == []

    def test_a_link_local_address_is_not_reached_by_hosts_of_ones_own_either(self, bank: Receiver) -> None:
        pusher = bank.pusher(resolve=lambda _host, _port: ["169.254.169.254"])
        assert pusher.push(bank.url, "a.b.c").fault == "the host has an address that must not be reached"

    def test_plain_http_is_not_spoken(self, bank: Receiver) -> None:
        pushed = bank.pusher().push(bank.url.replace("https", "http"), "a.b.c")
        assert pushed == Pushed("failed", "the URL is not a plain https URL with the name of a host")

    def test_a_certificate_of_an_authority_that_nobody_knows_ends_it(self, bank: Receiver) -> None:
        pushed = bank.pusher(authorities="").push(bank.url, "a.b.c")
        assert pushed == Pushed("failed", "the certificate of the host is not valid for it")
        assert bank.host.posted == []

    @pytest.mark.parametrize("status", [200, 201, 204, 404, 429, 500])
    def test_rfc8935_2_2_nothing_but_202_is_a_success(self, bank: Receiver, status: int) -> None:
        bank.host.answer = plain(b"", status=status)
        assert bank.pusher().push(bank.url, "a.b.c").outcome == "failed"

    @pytest.mark.parametrize(
        "answer",
        [
            plain(b"no", status=400, media_type="text/plain"),
            plain(b"{", status=400, media_type="application/json"),
            plain(["err"], status=400, media_type="application/json"),
            plain({"err": 7}, status=400, media_type="application/json"),
            plain(b"[" * 60_000, status=400, media_type="application/json"),
        ],
    )
    def test_a_400_that_does_not_say_why_is_no_refusal(self, bank: Receiver, answer: Answer) -> None:
        bank.host.answer = answer
        assert bank.pusher().push(bank.url, "a.b.c") == Pushed(
            "failed", "the host answers 400 without saying why"
        )

    def test_a_long_answer_is_not_read_to_its_end(self, bank: Receiver) -> None:
        bank.host.answer = plain(b"x" * 70_000, status=400, media_type="application/json")
        assert bank.pusher().push(bank.url, "a.b.c").fault == "the document is larger than 64 KiB"

    def test_what_follows_a_202_is_not_waited_for(self, bank: Receiver) -> None:
        ended = Event()

        def answer(request: BaseHTTPRequestHandler) -> None:
            request.send_response(202)
            request.send_header("Content-Length", "5")
            request.end_headers()
            ended.wait(60)

        bank.host.answer = answer
        started = time.monotonic()
        assert bank.pusher().push(bank.url, "a.b.c") == Pushed("delivered")
        assert time.monotonic() - started < 30, "it waited for what follows"
        ended.set()

    @pytest.mark.parametrize("drips", [False, True])
    def test_a_slow_host_is_given_up_in_time(self, bank: Receiver, drips: bool) -> None:
        ended = Event()

        def answer(request: BaseHTTPRequestHandler) -> None:
            if drips:
                request.send_response(400)
                request.send_header("Content-Length", "1000")
                request.end_headers()
                while not ended.wait(0.05):
                    request.wfile.write(b"x")
            ended.wait(60)

        bank.host.answer = answer
        started = time.monotonic()
        pushed = bank.pusher(push_seconds=1.0).push(bank.url, "a.b.c")
        assert pushed == Pushed("failed", "the host does not answer in time")
        assert time.monotonic() - started < 30, "it waited for the whole answer"
        ended.set()

    def test_a_resolver_that_hangs_holds_up_nobody(self, bank: Receiver) -> None:
        ended = Event()

        def hang(_host: str, _port: int) -> list[str]:
            ended.wait(60)
            return []

        started = time.monotonic()
        pushed = bank.pusher(resolve=hang, push_seconds=0.3).push(bank.url, "a.b.c")
        assert pushed == Pushed("failed", "the host does not answer in time")
        assert time.monotonic() - started < 30, "it waited for the resolver"
        ended.set()

    def test_one_slow_recipient_does_not_delay_another_of_the_same_batch(
        self, world: OutboxWorld, bank: Receiver
    ) -> None:
        world.recipient("slow", bank.url.replace("/events", "/slow"))
        world.recipient("quick", bank.url)
        slow, quick = world.queue("slow"), world.queue("quick")
        let_go, seen = Event(), Barrier(2)

        def answer(request: BaseHTTPRequestHandler) -> None:
            seen.wait(60)  # both are under way at the same time
            if request.path == "/slow":
                let_go.wait(60)
            ACCEPTED(request)

        bank.host.answer = answer
        done = world.job(bank.pusher(push_seconds=4.0)).run()
        let_go.set()
        assert done == {"taken": 2, "delivered": 1, "failed": 1}
        assert world.row(quick)["delivered_at"] == world.world.clock()
        assert world.row(slow)["delivered_at"] is None
