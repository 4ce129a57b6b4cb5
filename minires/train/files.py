"""Writing files so that a crash at any moment leaves either the old one or the new one, whole."""

import os


def force_to_disk(path):
    """Return only when a file, or a folder's list of names, is on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_atomically(path, text):
    """Write `text` under another name, force it to the disk, and rename it to `path`."""
    temporary = path.with_name(path.name + ".writing")
    temporary.write_text(text)
    force_to_disk(temporary)
    temporary.replace(path)
    force_to_disk(path.parent)
