import hashlib
import logging
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pooch
import pytest

from minires.data.download import CHUNK_BYTES, cache_folder, fetch
from minires.errors import DownloadError

BODY = np.random.default_rng(0).bytes(10 * CHUNK_BYTES + 123)
SHA256 = hashlib.sha256(BODY).hexdigest()


class Handler(BaseHTTPRequestHandler):
    """Serves BODY; appends the Range of each request to server.ranges. server.mode selects a fault."""

    def do_GET(self):
        byte_range = self.headers.get("Range")
        self.server.ranges.append(byte_range)
        mode = self.server.mode
        if mode == "missing":
            self.send_error(404)
            return
        start = 0
        if byte_range and mode != "no ranges":
            start = int(re.fullmatch(r"bytes=(\d+)-", byte_range)[1])
        if start >= len(BODY):
            self.send_error(416)
            return
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(BODY) - start))
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(BODY) - 1}/{len(BODY)}")
        if mode == "gzip-encoded":
            self.send_header("Content-Encoding", "x-gzip")
        self.end_headers()
        self.wfile.write(BODY[start : len(BODY) // 2] if mode == "cut" else BODY[start:])

    def log_message(self, *_):
        pass


@pytest.fixture
def server(monkeypatch, tmp_path):
    monkeypatch.setenv("MINIRES_DATA", str(tmp_path / "cache"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.ranges, server.mode = [], "good"
    server.url = f"http://127.0.0.1:{server.server_port}/some/archive.tar.gz"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def part(folder=None):
    return (folder or cache_folder()) / "archive.tar.gz.part"


def files_in_cache():
    return sorted(path.name for path in cache_folder().iterdir())


def test_downloads_once_and_then_reads_the_cache(server):
    path = fetch(server.url, SHA256)
    assert path == cache_folder() / "archive.tar.gz"
    assert path.read_bytes() == BODY
    assert fetch(server.url, SHA256) == path
    assert server.ranges == [None]
    assert files_in_cache() == ["archive.tar.gz"]


def test_shows_progress_on_stderr(server, capfd):
    fetch(server.url, SHA256)
    out, err = capfd.readouterr()
    assert out == ""
    assert "archive.tar.gz" in err


def test_pooch_stays_silent_and_its_logger_as_it_was(server, monkeypatch):
    records = []
    handler = logging.Handler()
    monkeypatch.setattr(handler, "emit", records.append)
    logger = pooch.get_logger()
    level = logger.level
    logger.addHandler(handler)
    try:
        fetch(server.url, SHA256)
    finally:
        logger.removeHandler(handler)
    assert records == []
    assert logger.level == level


def test_cut_download_goes_on_from_where_it_was(server):
    server.mode = "cut"
    with pytest.raises(DownloadError, match=f"broke after .* of {len(BODY)} bytes, the next try goes on"):
        fetch(server.url, SHA256)
    kept = part().stat().st_size
    assert len(BODY) // 2 - CHUNK_BYTES <= kept <= len(BODY) // 2
    assert files_in_cache() == ["archive.tar.gz.part"]

    server.mode = "good"
    assert fetch(server.url, SHA256).read_bytes() == BODY
    assert server.ranges == [None, f"bytes={kept}-"]
    assert files_in_cache() == ["archive.tar.gz"]


def test_server_without_ranges_starts_over(server):
    server.mode = "no ranges"
    part().parent.mkdir()
    part().write_bytes(BODY[:1000])
    assert fetch(server.url, SHA256).read_bytes() == BODY
    assert server.ranges == ["bytes=1000-"]


def test_complete_part_needs_no_more_bytes(server):
    part().parent.mkdir()
    part().write_bytes(BODY)
    assert fetch(server.url, SHA256).read_bytes() == BODY
    assert server.ranges == [f"bytes={len(BODY)}-"]


def test_part_longer_than_the_file_is_deleted(server):
    part().parent.mkdir()
    part().write_bytes(BODY + b"more")
    with pytest.raises(DownloadError, match="checksum"):
        fetch(server.url, SHA256)
    assert fetch(server.url, SHA256).read_bytes() == BODY


def test_encoding_header_does_not_unpack_the_archive(server):
    server.mode = "gzip-encoded"
    assert fetch(server.url, SHA256).read_bytes() == BODY


def test_wrong_checksum_deletes_the_file_and_starts_over(server):
    with pytest.raises(DownloadError, match=r"checksum is not the official one.*deleted.*starts over"):
        fetch(server.url, "0" * 64)
    assert files_in_cache() == []
    fetch(server.url, SHA256)
    assert server.ranges == [None, None]


def test_spoilt_part_is_found_out(server):
    part().parent.mkdir()
    part().write_bytes(b"x" * 1000)
    with pytest.raises(DownloadError, match="checksum"):
        fetch(server.url, SHA256)
    assert files_in_cache() == []


def assert_says_what_to_do(message, url):
    assert "\n" not in message
    assert url in message
    assert "--data-dir" in message
    assert "data_dir=" in message
    assert str(cache_folder()) in message


def test_http_error(server):
    server.mode = "missing"
    with pytest.raises(DownloadError, match="the server answered 404 Not Found") as caught:
        fetch(server.url, SHA256)
    assert_says_what_to_do(str(caught.value), server.url)


def offline_url(server):
    server.shutdown()
    server.server_close()
    return server.url


def test_no_connection(server):
    url = offline_url(server)
    with pytest.raises(DownloadError, match="the server cannot be reached") as caught:
        fetch(url, SHA256)
    assert_says_what_to_do(str(caught.value), url)


def test_offline_with_a_wrong_file_in_the_cache(server):
    cache_folder().mkdir()
    (cache_folder() / "archive.tar.gz").write_bytes(b"something else")
    with pytest.raises(
        DownloadError, match=r"archive.tar.gz that lies in the cache folder has a wrong checksum"
    ):
        fetch(offline_url(server), SHA256)


def test_offline_with_the_right_file_in_the_cache(server):
    cache_folder().mkdir()
    (cache_folder() / "archive.tar.gz").write_bytes(BODY)
    assert fetch(offline_url(server), SHA256).read_bytes() == BODY


def test_silent_server(server, monkeypatch):
    monkeypatch.setattr("minires.data.download.TIMEOUT_SECONDS", (1, 0.05))
    release = threading.Event()
    monkeypatch.setattr(Handler, "do_GET", lambda self: release.wait(5))
    try:
        with pytest.raises(DownloadError, match="the server did not answer in time"):
            fetch(server.url, SHA256)
    finally:
        release.set()


def test_unwritable_cache_folder(server, monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("MINIRES_DATA", str(tmp_path / "file" / "cache"))
    with pytest.raises(DownloadError, match="cannot write to the cache folder, set MINIRES_DATA") as caught:
        fetch(server.url, SHA256)
    assert_says_what_to_do(str(caught.value), server.url)
    assert server.ranges == []


def test_not_a_url(server):
    with pytest.raises(DownloadError, match="cannot download archive"):
        fetch("archive.tar.gz", SHA256)


def test_cache_folder(monkeypatch, tmp_path):
    monkeypatch.setenv("MINIRES_DATA", str(tmp_path))
    assert cache_folder() == tmp_path
    monkeypatch.delenv("MINIRES_DATA")
    assert cache_folder() == pooch.os_cache("minires")
