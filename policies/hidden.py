"""Looks that a person's own history leaves out for a while: who may have them, and which agreements do.

Nobody's look is hidden unless a register names the organisation, the basis and the article that was read.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Final

from policies.reading import Table, read_toml
from policies.registers import HiddenRecipient, Instrument, LegalBasis, RecipientKind

FILE: Final = "hidden_reads.toml"
DAYS_MAXIMUM: Final = 366
"""Most days for which an agreement may hide a look."""
EXTENDED_DAYS_MAXIMUM: Final = 3_653
"""Most days with every extension: in the end a person sees every look."""
_VERIFIED: Final = frozenset({"S", "S-full"})


def read_hidden_reads(
    text: str,
    file: str,
    kinds: Mapping[str, RecipientKind],
    bases: Mapping[str, LegalBasis],
    instruments: Mapping[str, Instrument],
) -> dict[str, HiddenRecipient]:
    """Read hidden_reads.toml: organisation → what it may have. Raises PolicyError.

    Only bodies of the public sector, on a basis with a written procedure that is not itself unverified, and
    by an article that somebody has read.
    """
    top = read_toml(text, file)
    found: dict[str, HiddenRecipient] = {}
    table = top.table("recipients", optional=True)
    public = {code for code, kind in kinds.items() if kind.sector == "public"}
    written = {
        code for code, basis in bases.items() if basis.needs == "procedure" and basis.certainty in _VERIFIED
    }
    for organisation in table.keys:
        entry = table.table(organisation)
        kind = entry.word("kind", public)
        days = entry.integer("days_maximum", minimum=1, maximum=DAYS_MAXIMUM)
        found[organisation] = HiddenRecipient(
            organisation,
            kind,
            entry.word("legal_basis", written & kinds[kind].legal_bases),
            entry.word("instrument", instruments),
            entry.text("article"),
            entry.word("certainty", _VERIFIED),
            days,
            entry.integer("extended_days_maximum", minimum=days, maximum=EXTENDED_DAYS_MAXIMUM),
            entry.text("why"),
        )
        entry.finish()
    top.finish()
    return found


def read_hidden_days(
    top: Table, named: Collection[str], kind: str, basis: str, allowed: Mapping[str, HiddenRecipient]
) -> int:
    """Return for how many days an agreement hides each look from the person, 0 for not at all.

    named: the organisations of the agreement. Raises PolicyError where one of them may not have that.
    """
    if not top.has("hidden_reads"):
        return 0
    entry = top.table("hidden_reads")
    days = entry.integer("days", minimum=1, maximum=DAYS_MAXIMUM)
    if not named:
        raise entry.refusal("", "hides looks: name the organisations; nobody has that by accession")
    for organisation in sorted(named):
        one = allowed.get(organisation)
        if one is None:
            raise entry.refusal(
                "",
                f'hides looks of "{organisation}", which {FILE} does not name: remove it, or enter it there',
            )
        if (one.kind, one.legal_basis) != (kind, basis):
            raise entry.refusal(
                "", f'"{organisation}" may hide looks as {one.kind} on the basis {one.legal_basis} only'
            )
        if days > one.days_maximum:
            raise entry.refusal(
                "days", f'"{organisation}" may hide looks for at most {one.days_maximum} days'
            )
    entry.finish()
    return days


def extended_days_maximum(named: Collection[str], allowed: Mapping[str, HiddenRecipient]) -> int:
    """Return the most days, with every extension, that all organisations of an agreement may have."""
    return min(allowed[organisation].extended_days_maximum for organisation in named)
