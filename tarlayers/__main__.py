"""`python -m tarlayers`."""

from tarlayers.cli import main

main()
