"""The columns of printed tables."""

from rich.table import Column


def name_column(header):
    """A column of names or paths. In a narrow table they are broken into lines and not shortened."""
    return Column(header, overflow="fold", min_width=8)


def number_columns(*headers):
    """Columns of numbers, aligned on the right and not broken."""
    return [Column(header, justify="right", no_wrap=True) for header in headers]
