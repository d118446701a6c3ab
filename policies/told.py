"""Reading what an agreement tells citizens before they decide."""

from __future__ import annotations

from policies.model import Told
from policies.reading import Table


def read_told(top: Table, *, needs_consent: bool) -> Told | None:
    """Read what citizens are told: compulsory where they are asked, and out of place where they are not.

    top: the agreement's own table. Raises PolicyError.
    """
    if not needs_consent:
        if top.has("told"):
            raise top.refusal("told", "is for agreements that need consent; nobody is asked under this one")
        return None
    entry = top.table("told")
    afterwards, who_else, harm = (_read_label(entry, key) for key in ("afterwards", "who_else", "harm"))
    entry.finish()
    return Told(afterwards, who_else, harm)


def _read_label(entry: Table, key: str) -> tuple[str, str]:
    words = entry.table(key)
    label = words.text("vi"), words.text("en")
    words.finish()
    return label
