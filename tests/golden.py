"""Golden runs of the command line: each file of testdata/golden is one, and `python -m tests.golden` writes them anew.

To add a case, write a file with `args` (and `stdin`, the name of a file, where it has to be one), run this, and read
what it wrote before you commit it. Paths are relative to testdata.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.paths import ROOT, TESTDATA

GOLDEN = TESTDATA / "golden"
ENVIRONMENT = {
    "COLUMNS": "100",
    "TARLAYERS_CACHE": "",
    "GITHUB_WORKSPACE": "",
    "NO_COLOR": "1",
    "PYTHONPATH": str(ROOT),
    "PYTHONWARNINGS": "error",
    "LC_ALL": "C.UTF-8",
}


def run(case: dict[str, Any]) -> dict[str, Any]:
    """The case with what the command line prints today."""
    stdin = (TESTDATA / case["stdin"]).read_bytes() if case.get("stdin") else b""
    done = subprocess.run(
        [sys.executable, "-m", "tarlayers", *case["args"]],
        cwd=TESTDATA,
        env={**os.environ, **ENVIRONMENT},
        input=stdin,
        capture_output=True,
        timeout=60,
        check=False,
    )
    inputs = {key: case[key] for key in ("args", "stdin") if key in case}
    outputs = {"stdout": done.stdout.decode().splitlines(), "stderr": done.stderr.decode().splitlines()}
    return {**inputs, "exit": done.returncode, **outputs}


def dump(case: dict[str, Any]) -> str:
    return json.dumps(case, indent=1, ensure_ascii=False) + "\n"


def main() -> None:
    for path in sorted(GOLDEN.glob("*.json")):
        written = dump(run(json.loads(path.read_text(encoding="utf-8"))))
        if written != path.read_text(encoding="utf-8"):
            path.write_text(written, encoding="utf-8")
            print(f"changed: {path.relative_to(ROOT)}")


def cases() -> list[Path]:
    return sorted(GOLDEN.glob("*.json"))


if __name__ == "__main__":
    main()
