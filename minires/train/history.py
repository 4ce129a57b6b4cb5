"""History: what a run measured, row by row, in memory and in a file."""

import json
import os
from pathlib import Path

from minires.errors import CheckpointError


class History:
    """Rows of measurements, one dict each, appended to a JSON-lines file as they come.

    A training row has step, epoch, loss, train_error (means since the row before), learning_rate and seconds;
    an evaluation has step, epoch, test_loss and test_error. Errors are percentages.

    path: the file, or None to keep the rows in memory only.
    keep: how many bytes of an existing file to keep; what comes after (rows of steps that a killed run took
        after its last checkpoint) is cut off.
    """

    def __init__(self, path=None, keep=0):
        self.rows, self.file = [], None
        if path is None:
            return
        size = os.path.getsize(path) if os.path.exists(path) else 0
        if size < keep:
            raise CheckpointError(f"{path} has {size} bytes, but had {keep} at the checkpoint")
        try:
            self.file = open(path, "a+b")  # noqa: SIM115, closed by close()
        except OSError as error:
            raise CheckpointError(f"cannot write {path}: {error.strerror}") from error
        self.file.truncate(keep)
        self.file.seek(0)
        self.rows = _parse(self.file.read(), path)

    @classmethod
    def load(cls, path):
        """The history in a file, for reading."""
        history, path = cls(), Path(path)
        try:
            content = path.read_bytes()
        except OSError as error:
            raise CheckpointError(f"no history of a run at {path}: {error.strerror}") from error
        history.rows = _parse(content[: content.rfind(b"\n") + 1], path)
        return history

    def append(self, **row):
        """Add a row; it is in the file when this returns."""
        self.rows.append(row)
        if self.file is not None:
            self.file.write(json.dumps(row, allow_nan=False).encode() + b"\n")
            self.file.flush()

    def sync(self):
        """Force the rows onto the disk. Returns the file's size in bytes, 0 without a file."""
        if self.file is None:
            return 0
        os.fsync(self.file.fileno())
        return self.file.tell()

    def close(self):
        if self.file is not None:
            self.file.close()

    def series(self, column):
        """(steps, values) of the rows that have `column`, as two lists."""
        rows = [row for row in self.rows if column in row]
        return [row["step"] for row in rows], [row[column] for row in rows]

    def last(self, column):
        """The latest value of `column`, None if there is none yet."""
        return next((row[column] for row in reversed(self.rows) if column in row), None)


def _parse(content, path):
    try:
        return [json.loads(line) for line in content.splitlines()]
    except ValueError as error:
        raise CheckpointError(f"{path} is corrupt: {error}") from error
