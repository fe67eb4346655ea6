"""Print the sum of the JUnit reports in a directory, fail if one is missing.

Usage: summary.py DIRECTORY [PREFIX ...]

At least one report is wanted, and one whose name begins with each PREFIX: an
interpreter that is there but was passed over must not go unnoticed.
"""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path
from xml.etree import ElementTree as ET


def summarize(directory: Path, prefixes: list[str]) -> str:
    """Return the summary; raise ``SystemExit`` if a report is missing."""
    reports = sorted(directory.glob("*.xml"))
    for prefix in prefixes or [""]:
        if not any(report.name.startswith(prefix) for report in reports):
            raise SystemExit(f'No report "{prefix}*.xml" in "{directory}".')
    totals: Counter[str] = Counter()
    for report in reports:
        for suite in ET.parse(report).getroot().iter("testsuite"):
            for key in ("tests", "failures", "errors", "skipped"):
                totals[key] += int(suite.attrib[key])
    failed = totals["failures"] + totals["errors"]
    passed = totals["tests"] - failed - totals["skipped"]
    return f"{passed} passed, {failed} failed, {totals['skipped']} skipped"


if __name__ == "__main__":
    sys.stdout.write(summarize(Path(sys.argv[1]), sys.argv[2:]) + "\n")
