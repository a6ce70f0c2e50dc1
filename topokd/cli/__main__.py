"""``python -m topokd.cli``."""

from topokd.cli import main

main()
