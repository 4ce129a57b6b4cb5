"""The `minires` command. Every command hands its options to the library and shows the result."""

from minires.cli.app import main

__all__ = ["main"]
