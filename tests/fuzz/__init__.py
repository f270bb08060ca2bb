"""Fuzzing for hours: `python -m tests.fuzz 100000` for damaged archives, `tests.fuzz.coverage` with atheris."""
