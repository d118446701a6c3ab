"""nginx with the shipped file that serves the log: bytes and fields as the broker's, never an entry."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from broker.evidence.tiles import ENTRIES, Tile
from tests.evidence_log import log_of, write_log
from tests.nginx import FIRST, NGINX, Nginx, echoing

pytestmark = [
    pytest.mark.skipif(NGINX is None, reason="nginx is not installed and could not be"),
    pytest.mark.xdist_group("nginx"),
]
ROOT = f"https://{FIRST}/evidence/2026"
PLACE = "log/broker.example/2026"


@pytest.fixture(scope="module")
def nginx(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nginx]:
    """nginx beside the files of a log of 300 entries, in front of a server that answers with what it got."""
    directory = tmp_path_factory.mktemp("nginx")
    write_log(log_of(300), directory / PLACE)
    for name in ("witnessed-checkpoint", "timestamped-checkpoint", "timestamp/300.tsr"):
        (directory / PLACE / name).parent.mkdir(exist_ok=True)
        (directory / PLACE / name).write_bytes(name.encode())
    for path in (directory, *directory.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)
    with echoing() as port:
        nginx = Nginx(directory, port, has_log=True)
        nginx.start()
        yield nginx
        nginx.stop()


def test_nginx_accepts_it_without_a_warning(nginx: Nginx) -> None:
    assert nginx.check.returncode == 0, nginx.check.stderr
    assert "[" not in nginx.check.stderr


@pytest.mark.parametrize(
    ("path", "media_type", "kept"),
    [
        ("checkpoint", "text/plain; charset=utf-8", "no-cache"),
        ("witnessed-checkpoint", "text/plain; charset=utf-8", "no-cache"),
        ("timestamped-checkpoint", "text/plain; charset=utf-8", "no-cache"),
        ("timestamp/300.tsr", "application/timestamp-reply", "public, max-age=31536000, immutable"),
        ("tile/0/000", "application/octet-stream", "public, max-age=31536000, immutable"),
        ("tile/0/001.p/44", "application/octet-stream", "public, max-age=60"),
        ("tile/1/000.p/1", "application/octet-stream", "public, max-age=60"),
    ],
)
def test_a_file_is_served_as_the_broker_would(nginx: Nginx, path: str, media_type: str, kept: str) -> None:
    for method in ("GET", "HEAD"):
        answer = nginx.client().request(method, f"{ROOT}/{path}")
        assert answer.status == 200
        assert answer.headers["content-type"] == media_type
        assert answer.headers["cache-control"] == kept
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["strict-transport-security"] == "max-age=31536000"
        if method == "GET":
            assert answer.body == (nginx.directory / PLACE / path).read_bytes()


def test_a_checkpoint_has_no_tag_that_two_of_one_second_could_share(nginx: Nginx) -> None:
    headers = nginx.client().request("GET", f"{ROOT}/checkpoint").headers
    assert not headers.keys() & {"etag", "last-modified"}


@pytest.mark.parametrize(
    "path",
    [
        *("tile/entries/000", "tile/entries/001.p/44", "tile/0/001", "tile/0/001.p/43", "tile/0/x000/000"),
        *("tile/8/000", "tile/0/000.p/0", "vkey", "consistency/1/2", "tile/0/000/", "tile/0/../entries/000"),
        *("tile/0/..%2fentries/000", "tile/%65ntries/000", ".checkpoint.1", "../2026x/checkpoint"),
        *(
            "timestamp/301.tsr",
            "timestamp/300.checkpoint",
            "timestamp/.300.tsr.77",
            "timestamp/",
            "timestamp",
        ),
    ],
)
def test_all_else_is_the_brokers_to_answer(nginx: Nginx, path: str) -> None:
    """The server behind says which fields it got: it was asked, and no file was read."""
    assert nginx.client().request("GET", f"{ROOT}/checkpoint").status == 200
    answer = nginx.client().request("GET", f"{ROOT}/{path}")
    assert answer.status == 200
    assert b"\nX-Forwarded-For: 127.0.0.1" in b"\n" + answer.body
    bundle = (nginx.directory / PLACE / Tile(ENTRIES, 0).path).read_bytes()
    assert bundle not in answer.body


def test_what_would_write_is_the_brokers_to_refuse(nginx: Nginx) -> None:
    answer = nginx.client().request("POST", f"{ROOT}/checkpoint")
    assert b"\nX-Forwarded-For: 127.0.0.1" in b"\n" + answer.body
