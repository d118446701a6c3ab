"""`/evidence/<year>/…`: the log as anybody reads it over HTTP, from the files of a real sequencer."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner
from flask import Flask
from sqlalchemy import text
from werkzeug.test import Client, TestResponse

from broker.cli import main
from broker.evidence.checkpoint import Checkpoint, open_checkpoint
from broker.evidence.merkle import check_consistency
from broker.evidence.signed_note import base64_bytes, parse_vkey
from broker.evidence.tiles import ENTRIES, Tile
from broker.evidence.tree import LogTiles
from broker.storage.log_timestamps import TimestampFiles
from connectors.log_files import HttpFiles
from tests.doors import running_app
from tests.log_world import HOST, YEAR, LogDatabases, LogWorld
from tests.serving import serving

ISSUER = f"https://{HOST}"
ROOT = f"/evidence/{YEAR}"
SIZES = (200, 300, 520)
WITNESS_LINE = "— witness.example/w0 ".encode() + base64.b64encode(bytes(76)) + b"\n"


class Published:
    """A log that has grown three times, the checkpoints that somebody kept, and the server in front of it."""

    def __init__(self, log: LogWorld, app: Flask) -> None:
        self.log, self.app = log, app
        log.created()
        self.kept: dict[int, Checkpoint] = {}
        before = 0
        for size in SIZES:
            log.record(range(before, size))
            log.order()
            self.kept[size], before = log.published(), size
        assert {size: one.tree_size for size, one in self.kept.items()} == {size: size for size in SIZES}

    def get(self, path: str, method: str = "GET", **headers: str) -> TestResponse:
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        return Client(self.app).open(path, method=method, base_url=ISSUER, headers=given)

    def file(self, path: str) -> bytes:
        return (self.log.files().directory / path).read_bytes()


@pytest.fixture(scope="module")
def published(databases: LogDatabases, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Published]:
    log = LogWorld(databases, tmp_path_factory.mktemp("log"))
    try:
        with running_app(log.settings) as app:
            yield Published(log, app)
    finally:
        log.close()


def is_nothing(answer: TestResponse, slug: str = "not-found") -> None:
    """Check that there is nothing, in the words of the one error table."""
    assert answer.status_code == 404, answer.text
    assert answer.content_type == "application/problem+json"
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.get_json()["type"] == f"{ISSUER}/problems/{slug}"


class TestCheckpoint:
    def test_it_is_the_file_verbatim_and_is_asked_for_each_time(self, published: Published) -> None:
        answer = published.get(f"{ROOT}/checkpoint")
        assert answer.status_code == 200
        assert answer.data == published.file("checkpoint")
        assert answer.content_type == "text/plain; charset=utf-8"
        assert answer.headers["Cache-Control"] == "no-cache"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        opened = open_checkpoint(answer.data, [published.log.key()])
        assert opened.checkpoint == published.kept[SIZES[-1]]

    def test_who_has_it_is_told_so_without_it(self, published: Published) -> None:
        first = published.get(f"{ROOT}/checkpoint")
        again = published.get(f"{ROOT}/checkpoint", If_None_Match=first.headers["ETag"])
        assert (again.status_code, again.data) == (304, b"")
        other = published.get(f"{ROOT}/checkpoint", If_None_Match='"another"')
        assert (other.status_code, other.data) == (200, first.data)

    def test_the_one_that_witnesses_cosigned_stands_beside_it(self, published: Published) -> None:
        is_nothing(published.get(f"{ROOT}/witnessed-checkpoint"))
        cosigned = published.file("checkpoint") + WITNESS_LINE
        place = published.log.files().directory / "witnessed-checkpoint"
        place.write_bytes(cosigned)
        try:
            answer = published.get(f"{ROOT}/witnessed-checkpoint")
            assert (answer.status_code, answer.data) == (200, cosigned)
            assert answer.headers["Cache-Control"] == "no-cache"
            assert answer.content_type == "text/plain; charset=utf-8"
        finally:
            place.unlink()

    def test_stamped_ones_stand_beside_it_with_their_tokens(self, published: Published) -> None:
        names = ("timestamped-checkpoint", "timestamp/300.checkpoint", "timestamp/300.tsr")
        for name in names:
            is_nothing(published.get(f"{ROOT}/{name}"))
        files = TimestampFiles(published.log.files().directory)
        note = published.file("checkpoint")
        try:
            files.keep(300, note, b"token")
            newest, stamped, token = (published.get(f"{ROOT}/{name}") for name in names)
            assert (newest.data, stamped.data, token.data) == (note, note, b"token")
            assert [one.content_type for one in (newest, stamped, token)] == [
                "text/plain; charset=utf-8",
                "text/plain; charset=utf-8",
                "application/timestamp-reply",
            ]
            for_ever = "public, max-age=31536000, immutable"
            assert [one.headers["Cache-Control"] for one in (newest, stamped, token)] == [
                "no-cache",
                for_ever,
                for_ever,
            ]
            assert newest.headers["ETag"]
            (files.directory / names[2]).unlink()
            # As long as there is no token, what lies there may not be what will be stamped.
            is_nothing(published.get(f"{ROOT}/{names[1]}"))
        finally:
            for name in names:
                (files.directory / name).unlink(missing_ok=True)

    @pytest.mark.parametrize("size", ["0300", "-1", "x", "", "300.0", "9223372036854775808", "../../x", "٣"])
    def test_what_is_no_size_has_no_stamp(self, published: Published, size: str) -> None:
        for suffix in ("tsr", "checkpoint"):
            is_nothing(published.get(f"{ROOT}/timestamp/{size}.{suffix}"))

    def test_its_keys_are_told_and_open_it(self, published: Published) -> None:
        answer = published.get(f"{ROOT}/vkey")
        assert answer.content_type == "text/plain; charset=utf-8"
        keys = [parse_vkey(line) for line in answer.text.splitlines()]
        assert keys == [published.log.key()]
        assert answer.text.endswith("\n")
        open_checkpoint(published.get(f"{ROOT}/checkpoint").data, keys)

    @pytest.mark.parametrize("year", ["2025", "2027", "1999", "02026", "2026.0", "٢٠٢٦", "x", "-2026"])
    @pytest.mark.parametrize("what", ["checkpoint", "vkey", "tile/0/000", "consistency/1/2"])
    def test_of_another_year_there_is_nothing(self, published: Published, year: str, what: str) -> None:
        is_nothing(published.get(f"/evidence/{year}/{what}"))


class TestTiles:
    def test_a_full_tile_never_changes(self, published: Published) -> None:
        for path in ("tile/0/000", "tile/0/001"):
            answer = published.get(f"{ROOT}/{path}")
            assert (answer.status_code, answer.data) == (200, published.file(path))
            assert len(answer.data) == 256 * 32
            assert answer.content_type == "application/octet-stream"
            assert answer.headers["Cache-Control"] == "public, max-age=31536000, immutable"

    def test_a_partial_one_is_kept_for_a_short_while(self, published: Published) -> None:
        for path, width in (("tile/0/002.p/8", 8), ("tile/1/000.p/2", 2)):
            answer = published.get(f"{ROOT}/{path}")
            assert (answer.status_code, answer.data) == (200, published.file(path))
            assert len(answer.data) == width * 32
            assert answer.headers["Cache-Control"] == "public, max-age=60"

    def test_a_partial_one_whose_place_is_full_is_gone(self, published: Published) -> None:
        is_nothing(published.get(f"{ROOT}/tile/0/001.p/44"))

    @pytest.mark.parametrize(
        "path",
        [
            *("0/002", "0/003", "0/002.p/7", "0/002.p/9", "0/002.p/0", "0/002.p/08", "0/002.p/256", "1/000"),
            *("8/000", "00/000", "0/0", "0/000/", "0//000", "/0/000", "0/x000/000", "0/000.p", "0/000.p/"),
            *("0/000 ", "0/٠٠٠", "../checkpoint", "0/../0/000", "0/%2e%2e/0/000", "..%2fcheckpoint"),
            *("0%2f000%00", "-1/000", ".000.1", "%2e%2e/%2e%2e/%2e%2e/etc/passwd", "entries/../0/000"),
        ],
    )
    def test_what_is_spelt_otherwise_or_not_there_is_not_there(self, published: Published, path: str) -> None:
        is_nothing(published.get(f"{ROOT}/tile/{path}"))

    def test_an_encoded_slash_is_a_slash(self, published: Published) -> None:
        assert published.get(f"{ROOT}/tile/0%2f000").data == published.file("tile/0/000")

    def test_what_was_written_beyond_the_published_tree_is_not_served(self, published: Published) -> None:
        """A sequencer that is killed before it signs leaves such tiles."""
        files, beyond = published.log.files(), Tile(0, 2, 9)
        files.write({beyond: bytes(9 * 32)})
        try:
            is_nothing(published.get(f"{ROOT}/{beyond.path}"))
        finally:
            (files.directory / beyond.path).unlink()

    @pytest.mark.parametrize("path", ["entries/000", "entries/002.p/8", "entries/x001/000"])
    def test_bundles_of_entries_are_served_to_nobody(self, published: Published, path: str) -> None:
        answer = published.get(f"{ROOT}/tile/{path}", Accept_Language="en")
        is_nothing(answer, "entries-not-public")
        assert answer.get_json()["title"] == "Entries of evidence are not public"
        assert published.log.files().read(Tile(ENTRIES, 0)) not in (None, answer.data)


class TestMethods:
    @pytest.mark.parametrize("path", ["checkpoint", "vkey", "tile/0/000", "consistency/1/300"])
    def test_head_says_what_get_says_without_it(self, published: Published, path: str) -> None:
        got, head = (published.get(f"{ROOT}/{path}", method) for method in ("GET", "HEAD"))
        assert (head.status_code, head.data) == (200, b"")
        for name in ("Content-Type", "Content-Length", "Cache-Control"):
            assert head.headers[name] == got.headers[name]

    def test_nothing_is_written(self, published: Published) -> None:
        for method in ("POST", "PUT", "DELETE", "PATCH"):
            answer = published.get(f"{ROOT}/checkpoint", method)
            assert answer.status_code == 405
            assert answer.get_json()["type"] == f"{ISSUER}/problems/method-not-allowed"


class TestConsistency:
    def proof(self, published: Published, old: int, new: int) -> tuple[bytes, ...]:
        answer = published.get(f"{ROOT}/consistency/{old}/{new}")
        assert answer.status_code == 200, answer.text
        assert answer.content_type == "text/plain; charset=utf-8"
        assert answer.headers["Cache-Control"] == "public, max-age=31536000, immutable"
        return tuple(base64_bytes(line, "proof_malformed") for line in answer.text.splitlines())

    def test_every_kept_checkpoint_is_shown_to_be_the_beginning_of_every_later_one(
        self, published: Published
    ) -> None:
        for old in SIZES:
            for new in (size for size in SIZES if size >= old):
                roots = published.kept[old].root_hash, published.kept[new].root_hash
                check_consistency(old, new, self.proof(published, old, new), *roots)

    @pytest.mark.parametrize(
        ("old", "new"), [(1, 2), (7, 280), (256, 257), (299, 511), (512, 513), (44, 519)]
    )
    def test_sizes_that_were_never_published_too(self, published: Published, old: int, new: int) -> None:
        whole = LogTiles(published.log.files().read, SIZES[-1])
        check_consistency(
            old, new, self.proof(published, old, new), whole.root_hash(old), whole.root_hash(new)
        )

    def test_nothing_is_needed_from_the_empty_tree_and_to_itself(self, published: Published) -> None:
        for old, new in ((0, 0), (0, 300), (300, 300)):
            assert self.proof(published, old, new) == ()

    @pytest.mark.parametrize(
        "sizes",
        [
            *("300/200", "1/521", "01/2", "1/+2", "1/2.0", "-1/2", "1/", "a/b"),
            *("1/9223372036854775808", "1/" + "9" * 400),
        ],
    )
    def test_other_sizes_are_not_there(self, published: Published, sizes: str) -> None:
        is_nothing(published.get(f"{ROOT}/consistency/{sizes}"))


def test_a_monitor_reads_the_tree_of_hashes_again_over_http(published: Published) -> None:
    """Everything but entries comes over a real connection; the root follows from the tiles alone."""
    with serving(published.app) as place:
        files = HttpFiles(f"http://localhost:{place.port}{ROOT}")
        note = files.find("checkpoint", 10_000)
        assert note is not None
        checkpoint = open_checkpoint(note, [published.log.key()]).checkpoint
        tree = LogTiles(lambda tile: files.find(tile.path, 8_192), checkpoint.tree_size)
        assert tree.root_hash() == checkpoint.root_hash
        assert files.find(Tile(ENTRIES, 0).path, 8_192) is None


def test_an_auditor_replays_the_served_files_from_a_copy_of_the_directory(
    published: Published, tmp_path: Path
) -> None:
    """What the operator hands over is held against what everybody is served."""
    kept = tmp_path / "served.checkpoint"
    kept.write_bytes(published.get(f"{ROOT}/checkpoint").data)
    vkey = published.get(f"{ROOT}/vkey").text.strip()
    directory = str(published.log.files().directory)
    words = ["evidence", "audit", "--vkey", vkey, "--tiles", directory, "--checkpoint", str(kept)]
    done = CliRunner().invoke(main, words, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    with serving(published.app) as place:
        over_http = [*words[:5], f"http://localhost:{place.port}{ROOT}"]
        refused = CliRunner().invoke(main, over_http, catch_exceptions=False)
    assert refused.exit_code != 0
    assert "bundle" in refused.output


def test_where_no_log_is_kept_nothing_is_served(databases: LogDatabases, published: Published) -> None:
    with running_app(replace(published.log.settings, log_directory="")) as app:
        for path in ("checkpoint", "vkey", "tile/0/000", "consistency/1/2"):
            is_nothing(Client(app).get(f"{ROOT}/{path}", base_url=ISSUER))


def test_keys_that_were_exchanged_are_still_told(published: Published) -> None:
    log = published.log
    before = published.get(f"{ROOT}/vkey").text.splitlines()
    kid = log.ring.rotate("log")
    try:
        with running_app(log.settings) as app:
            told = Client(app).get(f"{ROOT}/vkey", base_url=ISSUER).text.splitlines()
        assert told[:-1] == before
        assert parse_vkey(told[-1]).name == log.origin()
        assert len(set(told)) == len(before) + 1
    finally:
        with log.databases.owner.begin() as connection:
            connection.execute(text("DELETE FROM signing_keys WHERE kid = :kid"), {"kid": kid})
            connection.execute(text("UPDATE signing_keys SET signs_until = NULL, published_until = NULL"))
