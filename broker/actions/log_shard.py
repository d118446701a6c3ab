"""What lies there of one shard, held against its head: no state that cannot be is built upon."""

from __future__ import annotations

from collections.abc import Sequence

from broker.actions.log_doors import Files
from broker.errors import LogStopped
from broker.evidence.checkpoint import parse_checkpoint
from broker.evidence.reasons import EvidenceInvalid
from broker.evidence.sequencing import LogHead
from broker.evidence.signed_note import parse_note
from broker.evidence.tiles import ENTRIES, TILE_WIDTH, Tile, find_entries
from broker.evidence.tree import LogTiles, RightEdge, read_edge


def checked_edge(files: Files, head: LogHead) -> RightEdge:
    """Return the right edge of the signed tree, read from its tiles.

    Raises LogStopped where they do not give the root that was signed, StoreUnavailable.
    """
    signed = head.checkpoint
    try:
        edge = read_edge(files.read, signed.tree_size)
    except EvidenceInvalid as broken:
        fault = str(broken)
    else:
        if edge.root_hash == signed.root_hash:
            return edge
        fault = "they give another root"
    raise LogStopped(
        f"the tiles of {signed.origin} do not hold the {signed.tree_size} entries that were signed "
        f"({fault}): the published files were restored from an older state, or changed. Bring them back "
        "from a mirror"
    )


def cosigned_note(files: Files, head: LogHead) -> bytes | None:
    """Return the head's checkpoint with cosignatures that were gathered for it and are not published yet.

    None where there are none. Raises StoreUnavailable.
    """
    gathered, published = files.witnessed(), files.checkpoint()
    if gathered is None or published is None:
        return None
    try:
        fuller, shown = parse_note(gathered), parse_note(published)
    except EvidenceInvalid:
        return None
    is_same = fuller.text == shown.text == head.checkpoint.text
    return gathered if is_same and len(fuller.signatures) > len(shown.signatures) else None


def last_entries(files: Files, size: int) -> Sequence[bytes]:
    """Return the entries of the last bundle where it is not full. Raises LogStopped, StoreUnavailable."""
    width = size % TILE_WIDTH
    if not width:
        return ()
    bundle = Tile(ENTRIES, size // TILE_WIDTH, width)
    try:
        entries = find_entries(files.read, bundle)
    except EvidenceInvalid as broken:
        raise LogStopped(f"{broken}: bring the published files back from a mirror") from None
    if entries is None:
        raise LogStopped(f"{bundle.path} is missing: bring the published files back from a mirror")
    return entries


def missed_publication(files: Files, head: LogHead) -> bool:
    """Return whether the head was signed but is not published: the sequencer ended in between.

    Raises LogStopped where something was published that the head store does not know, StoreUnavailable.
    """
    signed, content = head.checkpoint, files.checkpoint()
    if content is None:
        return True
    try:
        published = parse_checkpoint(parse_note(content).text)
        if published == signed:
            return False
        fits = published.origin == signed.origin and published.tree_size <= signed.tree_size
        root_hash = LogTiles(files.read, signed.tree_size).root_hash(published.tree_size) if fits else b""
    except EvidenceInvalid as broken:
        raise LogStopped(
            f"the published checkpoint of {signed.origin} cannot be held against its tiles ({broken})"
        ) from None
    if published.root_hash != root_hash:
        raise LogStopped(
            f"{published.origin} has published a tree of {published.tree_size} entries that its head at "
            f"{signed.tree_size} does not know: the head store was restored from an older state. Give it its "
            "newest backup; never remove what was published"
        )
    return True
