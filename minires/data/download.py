"""Official archives: fetched once, checked by their checksum, resumed after a cut.

A download grows as NAME.part in the cache folder. It gets its real name only when its checksum is right, so
NAME is always whole, and a NAME.part is what the next call goes on from.
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

TIMEOUT = (10, 60)  # seconds to connect, seconds without a byte
CHUNK = 64 * 1024  # bytes


def cache_folder():
    """Where downloads are kept: $MINIRES_DATA, or the cache folder that the operating system suggests."""
    return Path(os.environ.get("MINIRES_DATA") or pooch.os_cache("minires")).expanduser()


def fetch(url, sha256):
    """Path of the file at `url` in the cache folder, downloaded if it is not there with this SHA-256 yet.

    Raises DownloadError, in one line that says what to do offline, if the server cannot be reached, answers
    with an error or goes silent, if the checksum is wrong, or if the cache folder cannot be written.
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
        why = _reason(error)
    except ValueError:  # pooch's way to say that the checksum differs; it has deleted the file
        why = "its checksum is not the official one; the bad file is deleted and the next try starts over"
    except OSError as error:
        why = f"cannot write to the cache folder, set MINIRES_DATA to another one ({error.strerror or error})"
    if (folder / name).exists():
        why += f"; the {name} that lies in the cache folder has a wrong checksum too"
    raise DownloadError(
        f"cannot download {url}: {why}. Offline: download that file on another machine and pass "
        f"--data-dir FOLDER_OR_ARCHIVE (Python: data_dir=), or put it into the cache folder {folder}"
    )


def _resume(url, output, _pooch, *, part):
    """Complete `part` from `url`, then move it to `output`; a pooch downloader.

    RFC 9110, section 14: 206 continues the part, 200 sends the whole file again, and 416 has nothing to send
    after what the part holds. Then the part is whole or wrong, and the checksum tells which.
    """
    have = part.stat().st_size if part.exists() else 0
    headers = {"Accept-Encoding": "identity"}
    if have:
        headers["Range"] = f"bytes={have}-"
    with requests.get(url, headers=headers, stream=True, timeout=TIMEOUT) as response:
        if not (have and response.status_code == 416):
            response.raise_for_status()
            _receive(response, part, start=have if response.status_code == 206 else 0)
    os.replace(part, output)


def _receive(response, part, start):
    """Write the body of `response` to `part` from byte `start` on, with a progress bar on stderr."""
    length = response.headers.get("Content-Length")
    total = start + int(length) if length else None
    with part.open("ab" if start else "wb") as file, _progress_bar() as progress:
        task = progress.add_task(part.stem, total=total, completed=start)
        try:
            # Undecoded: some servers call a .tar.gz a gzip-encoded .tar, and its checksum is that of the .gz.
            for chunk in response.raw.stream(CHUNK, decode_content=False):
                file.write(chunk)
                progress.advance(task, len(chunk))
            if total is not None and file.tell() < total:  # urllib3 before 2.0 does not notice
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


def _reason(error):
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
    """Only errors from `logger` inside of the block."""
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)
