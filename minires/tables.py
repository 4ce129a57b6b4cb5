"""What all printed tables share."""

from rich.table import Column


def named(header):
    """A column of names or paths, which a narrow table breaks, but never leaves out."""
    return Column(header, overflow="fold", min_width=8)


def numeric(*headers):
    """Columns of figures, aligned on the right and not broken."""
    return [Column(header, justify="right", no_wrap=True) for header in headers]
