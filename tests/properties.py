"""How thoroughly the tests of properties look for a counterexample.

``SYZYGY_TEST_EXAMPLES`` is a percentage: where the same tests run many times, most runs
needn't try everything.
"""

from __future__ import annotations

import os

PERCENT = int(os.environ.get("SYZYGY_TEST_EXAMPLES") or 100)


def examples(count: int) -> int:
    """Return how many examples to try in this run, of ``count`` in a thorough one."""
    return max(1, count * PERCENT // 100)
