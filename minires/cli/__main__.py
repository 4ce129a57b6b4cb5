"""`python -m minires.cli` is `minires`."""

from minires.cli import main

main()
