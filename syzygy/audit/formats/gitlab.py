"""The report of GitLab's that has the name Code Quality."""

from __future__ import annotations

import json

from syzygy.audit.findings import Audit
from syzygy.audit.formats.common import fingerprints, place, timing
from syzygy.hosting import hosted_path


def render(audit: Audit) -> str:
    """A list of the findings, with a severity of GitLab's each."""
    # https://docs.gitlab.com/ci/testing/code_quality/#code-quality-report-format
    report = []
    for finding, fingerprint in fingerprints(audit.findings):
        where = place(finding)
        about = " ".join(filter(None, [f"{finding.title}.", finding.what]))
        report.append(
            {
                "description": f"{timing(finding)}: {about}",
                "check_name": finding.code,
                "fingerprint": fingerprint,
                "severity": "critical" if finding.is_breaking else "minor",
                "location": {
                    "path": hosted_path(where.path),
                    "lines": {"begin": max(where.line, 1)},
                },
            }
        )
    return json.dumps(report, indent=2)
