"""The `minires` command. Every command hands its options to the library and shows what comes back."""

from minires.cli.app import main

__all__ = ["main"]
