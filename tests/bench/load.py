"""A load generator that costs little: pre-rendered requests over keep-alive sockets, one selector loop."""

from __future__ import annotations

import re
import selectors
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from time import perf_counter

_LENGTH = re.compile(rb"\r\ncontent-length: *([0-9]+)\r\n", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class LoadResult:
    """What one burst of requests measured. latencies_ms is sorted."""

    seconds: float
    latencies_ms: tuple[float, ...]
    statuses: dict[int, int]
    first_other: bytes

    def percentile_ms(self, share: float) -> float:
        """Return the latency below which this share of the requests lies."""
        return self.latencies_ms[min(len(self.latencies_ms) - 1, int(len(self.latencies_ms) * share))]

    @property
    def requests_per_second(self) -> float:
        """Requests answered per second."""
        return len(self.latencies_ms) / self.seconds


class _Line:
    """One connection: the request under way and the bytes of its answer so far."""

    def __init__(self, address: tuple[str, int]) -> None:
        self.address = address
        self.socket = socket.create_connection(address)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.begun = 0.0
        self.buffer = b""

    def send(self, request: bytes) -> None:
        self.buffer = b""
        self.begun = perf_counter()
        self.socket.sendall(request)

    def answer(self) -> bytes | None:
        """Return the whole answer once it is there."""
        received = self.socket.recv(65536)
        if not received:
            raise ConnectionError("the server closed a connection in the middle of an answer")
        self.buffer += received
        end = self.buffer.find(b"\r\n\r\n")
        if end < 0:
            return None
        length = _LENGTH.search(self.buffer, 0, end + 2)
        if length is None or len(self.buffer) < end + 4 + int(length[1]):
            return None
        return self.buffer


def run_load(
    address: tuple[str, int],
    requests: Sequence[bytes],
    connections: int,
    pace_per_second: float | None = None,
) -> LoadResult:
    """Send all requests over so many connections, as fast as they are answered or at a pace; measure."""
    selector = selectors.DefaultSelector()
    waiting = iter(requests)
    latencies: list[float] = []
    statuses: dict[int, int] = {}
    first_other = b""
    started = perf_counter()
    sent = opened = 0
    idle: list[_Line] = []
    under_way = 0
    exhausted = False
    while not exhausted or under_way:
        while (idle or opened < connections) and not exhausted:
            if pace_per_second is not None and perf_counter() < started + sent / pace_per_second:
                break
            request = next(waiting, None)
            if request is None:
                exhausted = True
                break
            if not idle:
                # As a proxy does: a connection is opened when there is something to send on it.
                opened += 1
                idle.append(_Line(address))
                selector.register(idle[-1].socket, selectors.EVENT_READ, idle[-1])
            idle.pop().send(request)
            sent += 1
            under_way += 1
        for key, _ in selector.select(0.0005 if pace_per_second or not under_way else 1.0):
            line = key.data
            answer = line.answer()
            if answer is None:
                continue
            latencies.append((perf_counter() - line.begun) * 1000)
            status = int(answer[9:12])
            statuses[status] = statuses.get(status, 0) + 1
            if status != 200 and not first_other:
                first_other = answer
            under_way -= 1
            idle.append(line)
    seconds = perf_counter() - started
    for line in idle:
        line.socket.close()
    selector.close()
    return LoadResult(seconds, tuple(sorted(latencies)), statuses, first_other)


def rendered(path: str, body: bytes, headers: Sequence[tuple[str, str]] = ()) -> bytes:
    """Return the bytes of one POST request with a JSON body."""
    lines = [f"POST {path} HTTP/1.1", "Host: 127.0.0.1", "Content-Type: application/json"]
    lines += [f"{name}: {value}" for name, value in headers]
    lines.append(f"Content-Length: {len(body)}")
    return ("\r\n".join(lines) + "\r\n\r\n").encode("ascii") + body
