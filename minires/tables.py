"""What all printed tables share."""

from rich.table import Column


def numeric(*headers):
    """Columns of figures, aligned on the right."""
    return [Column(header, justify="right", no_wrap=True) for header in headers]
