"""Hold the tar reader against Go's: `python -m tests.fuzz.go_reader COUNT [FIRST]`.

`tar-split disasm` reads a tar with Go's archive/tar. Damaged layers go through it and through ours; a layer that one
accepts and the other refuses, and members that differ, are printed with what either says, and counted by the reason.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path
from random import Random

from tarlayers.errors import TarlayersError
from tarlayers.formats.assembly import disassemble
from tarlayers.formats.compression import open_plain
from tarlayers.formats.tarsplit import FileRecord, decode_records
from tests.mutations import BASE, BYTES, SPARSE, TOP
from tests.splits import ORDINARY

Members = list[tuple[bytes, int]]


def damaged(number: int) -> tuple[str, bytes]:
    """A layer once or twice damaged."""
    random = Random(number)
    data, kinds = random.choice((BASE, TOP, SPARSE, ORDINARY)), []
    for _ in range(random.choice((1, 1, 2))):
        kinds.append(random.choice(list(BYTES)))
        data = BYTES[kinds[-1]](data, random) or b"\0"
    return " + ".join(kinds), data


def read_ours(data: bytes) -> tuple[Members | None, str]:
    try:
        records = list(disassemble([data]))
    except TarlayersError as error:
        return None, str(error)
    return [(r.name, r.size) for r in records if isinstance(r, FileRecord)], ""


def read_go(data: bytes) -> tuple[Members | None, str]:
    with tempfile.TemporaryDirectory() as work:
        tar, out = Path(work) / "layer.tar", Path(work) / "split.gz"
        tar.write_bytes(data)
        ran = subprocess.run(
            ["tar-split", "disasm", "--no-stdout", "--output", str(out), str(tar)],
            capture_output=True, timeout=60, check=False,
        )  # fmt: skip
        if ran.returncode:
            reason = re.search(r'msg="?([^"\n]*)', ran.stderr.decode("utf-8", "replace"))
            return None, reason[1] if reason else ran.stderr.decode("utf-8", "replace").strip()[-200:]
        records = list(decode_records(open_plain([out.read_bytes()])))
    return [(r.name, r.size) for r in records if isinstance(r, FileRecord)], ""


def explain(ours: Members | None, our_reason: str, go: Members | None, go_reason: str) -> str:
    """In a few words what is different."""
    if ours is None or go is None:
        return f"we refuse: {re.sub('[0-9]+', 'N', our_reason)}" if ours is None else f"Go refuses: {go_reason}"
    if [name for name, _ in ours] == [name for name, _ in go] and all(
        our_size in (0, size) for (_, our_size), (_, size) in zip(ours, go, strict=True)
    ):
        return "a size where there is no content"
    return "other members"


def main() -> int:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 600
    first = int(sys.argv[2]) if len(sys.argv) > 2 else 0
    verdicts: Counter[str] = Counter()
    examples: dict[str, list[int]] = {}
    for number in range(first, first + count):
        ours, go = read_ours(damaged(number)[1]), read_go(damaged(number)[1])
        if (ours[0] is None) == (go[0] is None) and ours[0] == go[0]:
            verdicts["both refuse" if ours[0] is None else "the same members"] += 1
            continue
        why = explain(*ours, *go)
        verdicts[why] += 1
        examples.setdefault(why, []).append(number)
    for why, number in verdicts.most_common():
        shown = f" (as in {examples[why][:3]})" if why in examples else ""
        print(f"{number:6} {why}{shown}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
