"""Official archives: downloaded once, checked by their checksum, resumed after an interruption.

A download is written to NAME.part in the cache folder. It is renamed to NAME only when its checksum is right,
so NAME is always complete. If there is a NAME.part, the next call resumes it.
"""

import logging
import os
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pooch
import requests
import urllib3
from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from minires.errors import DownloadError

TIMEOUT_SECONDS = (10, 60)  # to connect, and between two bytes
CHUNK_BYTES = 64 * 1024


def cache_folder():
    """Where downloads are kept: $MINIRES_DATA, or the cache folder that the operating system suggests."""
    return Path(os.environ.get("MINIRES_DATA") or pooch.os_cache("minires")).expanduser()


def fetch(url, sha256):
    """Path of the file at `url` in the cache folder; downloaded unless a file with this SHA-256 is there.

    Raises DownloadError, in one line that says what to do offline, if the server cannot be reached, answers
    with an error or stops sending, if the checksum is wrong, or if the cache folder cannot be written.
    """
    folder = cache_folder()
    name = url.rsplit("/", 1)[-1]
    downloader = partial(_resume, part=folder / f"{name}.part")
    try:
        with _quiet(pooch.get_logger()):
            return Path(
                pooch.retrieve(url, f"sha256:{sha256}", fname=name, path=folder, downloader=downloader)
            )
    except requests.RequestException as error:
        reason = _describe(error)
    except ValueError:  # from pooch: the checksum differs, and the new file is deleted
        reason = "its checksum is not the official one; the bad file is deleted and the next try starts over"
    except OSError as error:
        cause = error.strerror or error
        reason = f"cannot write to the cache folder, set MINIRES_DATA to another one ({cause})"
    if (folder / name).exists():
        reason += f"; the {name} that lies in the cache folder has a wrong checksum"
    raise DownloadError(
        f"cannot download {url}: {reason}. Offline: download that file on another machine and pass "
        f"--data-dir FOLDER_OR_ARCHIVE (Python: data_dir=), or put it into the cache folder {folder}"
    )


def _resume(url, output, _pooch, *, part):
    """Complete `part` from `url`, then move it to `output`; pooch calls this as its downloader.

    A range request (RFC 9110, section 14) has one of three answers: with status 206 the server sends the rest
    of the file, with 200 the whole file again, and 416 says that the file has no bytes beyond those in the
    part. After 416 the part is either complete or wrong, and the checksum tells which.
    """
    size = part.stat().st_size if part.exists() else 0
    headers = {"Accept-Encoding": "identity"}
    if size:
        headers["Range"] = f"bytes={size}-"
    with requests.get(url, headers=headers, stream=True, timeout=TIMEOUT_SECONDS) as response:
        if not (size and response.status_code == 416):
            response.raise_for_status()
            _receive(response, part, start=size if response.status_code == 206 else 0)
    os.replace(part, output)


def _receive(response, part, start):
    """Write the body of `response` to `part` from byte `start` on, with a progress bar on stderr."""
    length = response.headers.get("Content-Length")
    total = start + int(length) if length else None
    with part.open("ab" if start else "wb") as file, _progress_bar() as progress:
        task = progress.add_task(part.stem, total=total, completed=start)
        try:
            # Not decoded: some servers call a .tar.gz a gzip-encoded .tar, but the checksum is of the .gz.
            for chunk in response.raw.stream(CHUNK_BYTES, decode_content=False):
                file.write(chunk)
                progress.advance(task, len(chunk))
            if total is not None and file.tell() < total:  # urllib3 before 2.0 does not check it
                raise urllib3.exceptions.ProtocolError("short body")
        except urllib3.exceptions.HTTPError as error:
            raise requests.exceptions.ChunkedEncodingError(
                f"the connection broke after {file.tell()} of {total or 'unknown'} bytes, "
                f"the next try goes on from there"
            ) from error


def _progress_bar():
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
    )


def _describe(error):
    """What went wrong, in a few words on one line."""
    if isinstance(error, requests.HTTPError):
        return f"the server answered {error.response.status_code} {error.response.reason}"
    if isinstance(error, requests.Timeout):
        return "the server did not answer in time"
    if isinstance(error, requests.exceptions.SSLError):
        return "the server's certificate was not accepted"
    if isinstance(error, requests.ConnectionError):
        return "the server cannot be reached"
    return " ".join(str(error).split())


@contextmanager
def _quiet(logger):
    """Within the block, `logger` reports only errors."""
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)
