"""CPU time of process trees, from /proc: what the server and the database really spent."""

from __future__ import annotations

import os
from pathlib import Path

_TICK_US = 1_000_000 / os.sysconf("SC_CLK_TCK")


def cpu_us(root_pid: int) -> float:
    """Return the CPU time in µs of a process, its living descendants, and what they have waited for."""
    children: dict[int, list[int]] = {}
    times: dict[int, float] = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            stat = (entry / "stat").read_text()
            precise = _precise_us(entry)
        except OSError:
            continue
        values = stat[stat.rindex(")") + 2 :].split()
        pid, parent = int(entry.name), int(values[1])
        children.setdefault(parent, []).append(pid)
        waited = (int(values[13]) + int(values[14])) * _TICK_US
        times[pid] = precise + waited
    total, queue = 0.0, [root_pid]
    while queue:
        pid = queue.pop()
        total += times.get(pid, 0.0)
        queue += children.get(pid, [])
    return total


def _precise_us(entry: Path) -> float:
    """Nanosecond run time of all threads where the kernel offers it; it is far finer than clock ticks."""
    total = 0
    for task in (entry / "task").iterdir():
        total += int((task / "schedstat").read_text().split()[0])
    return total / 1000
