"""Where reference material lies. What is not there is skipped, with the reason."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TESTDATA = ROOT / "testdata"

# Archives with independently obtained truth, beside the checkout where a developer has them.
SHARED = ROOT.parent / "shared"
CASES = SHARED / "semantics" / "cases" / "public"

# The big measurement images of shared/corpus/make_big.sh, where somebody made them.
BIG = Path(os.environ.get("TARLAYERS_BIG_CORPUS", "/nonexistent"))

needs_shared = pytest.mark.skipif(not SHARED.is_dir(), reason="the reference archives (../shared) are not here")
