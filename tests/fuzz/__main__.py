"""Ask every question of many damaged archives: `python -m tests.fuzz COUNT [FIRST]`.

Says how many there were, what the slowest took and how much memory all of them needed, and exits 1 with the number of
each that was neither answered nor refused; `tests.mutations.mutant(NUMBER)` gives it again.
"""

from __future__ import annotations

import faulthandler
import resource
import sys
import time
import traceback
from tempfile import TemporaryDirectory

from tests.mutations import mutant
from tests.questions import ask_everything

STEPS = (1, 3, 16, 17, 100, 512, 4096, 1 << 18)
PATIENCE = 300  # seconds


def main() -> int:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    first = int(sys.argv[2]) if len(sys.argv) > 2 else 1_000_000
    slowest, wrong, asked = (0.0, 0, ""), 0, 0
    begun = time.monotonic()
    with TemporaryDirectory() as inside:
        for number in range(first, first + count):
            seed, kind, data = mutant(number)
            faulthandler.dump_traceback_later(PATIENCE, exit=True)
            start = time.perf_counter()
            try:
                asked += sum(ask_everything(data, STEPS[number % len(STEPS)], inside).values())
            except Exception:  # noqa: BLE001 # which it is, is what is looked for
                wrong += 1
                print(f"mutant {number}: {kind} of {seed}", flush=True)
                traceback.print_exc()
            slowest = max(slowest, (time.perf_counter() - start, number, f"{kind} of {seed}"))
    faulthandler.cancel_dump_traceback_later()
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
    print(
        f"{count} damaged archives, {asked} questions, {time.monotonic() - begun:.0f} s; slowest {slowest[0]:.2f} s "
        f"(mutant {slowest[1]}, {slowest[2]}); peak memory {memory} MiB; {wrong} neither answered nor refused"
    )
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
