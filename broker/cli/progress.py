"""A bar on standard error for what takes long."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn


@contextmanager
def progress_bar(total: int, what: str, is_wanted: bool) -> Iterator[Callable[[int], None]]:
    """Show a bar where somebody watches, or when told to; yield what is told how much is done so far."""
    if not (is_wanted or sys.stderr.isatty()):
        yield lambda _: None
        return
    columns = (
        TextColumn("{task.completed:,.0f} of {task.total:,.0f} " + what),
        BarColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task(what, total=total)
        yield lambda done: bar.update(task, completed=done)
