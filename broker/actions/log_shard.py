"""What lies there of one shard, held against its head: no state that cannot be is built upon."""

from __future__ import annotations

from collections.abc import Sequence

from broker.actions.log_doors import Files
from broker.errors import LogStopped
from broker.evidence.checkpoint import parse_checkpoint
from broker.evidence.reasons import EvidenceInvalid
from broker.evidence.sequencing import LogHead
from broker.evidence.signed_note import Note, parse_note
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
    gathered, published = _note_of(files.witnessed()), _note_of(files.checkpoint())
    if gathered is None or published is None:
        return None
    if not gathered.text == published.text == head.checkpoint.text:
        return None
    fuller = _with_cosignatures(head, gathered)
    return fuller.content if set(fuller.signatures) - set(published.signatures) else None


def renewed_note(files: Files, head: LogHead) -> bytes | None:
    """Return the head's checkpoint with its cosignatures where it is published with another key's signature.

    A witness signs the tree, whoever signs it for the log. None where the signature is the head's own, or
    what witnesses cosigned is another tree. Raises StoreUnavailable.
    """
    gathered = _note_of(files.witnessed())
    if gathered is None or gathered.text != head.checkpoint.text or _carries(gathered, head):
        return None
    return _with_cosignatures(head, gathered).content


def _with_cosignatures(head: LogHead, gathered: Note) -> Note:
    """Return the head's note with the lines that others have put under the same tree."""
    origin = head.checkpoint.origin
    return parse_note(head.note).with_signatures(one for one in gathered.signatures if one.name != origin)


def _carries(note: Note, head: LogHead) -> bool:
    """Return whether what the head is signed with stands below a note."""
    return set(parse_note(head.note).signatures) <= set(note.signatures)


def _note_of(content: bytes | None) -> Note | None:
    try:
        return None if content is None else parse_note(content)
    except EvidenceInvalid:
        return None


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
    """Return whether the head was signed but is not published so: the sequencer ended in between.

    Raises LogStopped where something was published that the head store does not know, StoreUnavailable.
    """
    signed, content = head.checkpoint, files.checkpoint()
    if content is None:
        return True
    try:
        note = parse_note(content)
        published = parse_checkpoint(note.text)
        if published == signed:
            return not _carries(note, head)
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
