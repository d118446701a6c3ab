"""The named steps of the sequencer (docs/evidence.md, The sequencer), and how to stand in one of them.

What is patched is patched in the process of the driver (`tests.chaos.stepped`) alone: the product has no
switch for it.
"""

from __future__ import annotations

import importlib
import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Engine, event

Act = Callable[[], None]


@dataclass(frozen=True, slots=True)
class Step:
    """Where a process is to end. place: module:attributes of a function; row: of the table of steps.

    when: before it, after it, or before_commit of the transaction in it. nth: its how manieth call counts,
    among those whose first argument (of a function) is a path with this file name, if one is told; other:
    what stands in the names of files that do not count.
    """

    row: str
    place: str
    when: str
    nth: int = 1
    name: str = ""
    other: str = ""


_FILES: Final = "broker.storage.log_files:"
_WHOLE: Final = "broker.storage.whole_files:"
_POSITIONS: Final = "broker.storage.log_positions:PostgresLogPositions."
_HEADS: Final = "broker.storage.log_heads:"
_ROUND: Final = "broker.actions.sequence_log:"

STEPS: Final[dict[str, Step]] = {
    "lease taken": Step("lease", f"{_HEADS}PostgresLease.hold", "after"),
    "states compared": Step("lease", f"{_POSITIONS}place", "before"),
    "positions not committed": Step("positions", f"{_POSITIONS}_move", "after"),
    "positions committed": Step("positions", f"{_POSITIONS}place", "after"),
    "a file beside its place": Step("bundles", f"{_WHOLE}_begun", "after", other=".checkpoint"),
    "some files in place": Step("bundles", f"{_WHOLE}_linked", "after", nth=3),
    "all files in place": Step("bundles", f"{_FILES}LogFiles.write", "after"),
    "read again": Step("read again", f"{_ROUND}check_written", "after"),
    "signed": Step("signed", f"{_ROUND}signed_checkpoint", "after"),
    "head not committed": Step("signed", f"{_HEADS}PostgresLogHeads.swap", "before_commit"),
    "head swapped": Step("signed", f"{_HEADS}PostgresLogHeads.swap", "after"),
    "checkpoint beside its place": Step("checkpoint", f"{_WHOLE}_written", "after", name="checkpoint"),
    "checkpoint replaced": Step("checkpoint", f"{_FILES}LogFiles.publish", "after"),
    "told to who releases": Step("how much", f"{_POSITIONS}note_published", "after"),
    "narrower tiles half deleted": Step("narrower", f"{_FILES}shutil.rmtree", "after"),
    "narrower tiles deleted": Step("narrower", f"{_FILES}LogFiles.drop_partial", "after"),
}


def patched(place: str, around: Callable[[Callable[..., Any]], Callable[..., Any]]) -> None:
    """Put something in the place of a function of this process. around: given the real one."""
    module, _, attributes = place.partition(":")
    owner: Any = importlib.import_module(module)
    *between, last = attributes.split(".")
    for name in between:
        owner = getattr(owner, name)
    setattr(owner, last, around(getattr(owner, last)))


def arrange(step: Step, act: Act) -> None:
    """Let act happen, once, where this process comes to a step."""
    calls = itertools.count(1)

    def is_it(given: tuple[Any, ...]) -> bool:
        name = getattr(given[0], "name", "") if given else ""
        if (step.name and name != step.name) or (step.other and step.other in name):
            return False
        return next(calls) == step.nth

    def around(real: Callable[..., Any]) -> Callable[..., Any]:
        def instead(*given: Any, **options: Any) -> Any:
            counts = is_it(given)
            if counts and step.when == "before":
                act()
            if counts and step.when == "before_commit":
                event.listen(Engine, "commit", lambda _connection: act())
            result = real(*given, **options)
            if counts and step.when == "after":
                act()
            return result

        return instead

    patched(step.place, around)
