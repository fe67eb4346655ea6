"""Workflow commands of GitHub, which show the findings at the migrations' lines."""

from __future__ import annotations

from syzygy.audit.findings import Audit
from syzygy.audit.formats.common import place, plain
from syzygy.hosting import github_annotation
from syzygy.management.audit_report import verdict


def render(audit: Audit) -> str:
    """A line for each finding, and the counts."""
    lines = [
        github_annotation(
            "error" if finding.is_breaking else "warning",
            f"{finding.code} {finding.name}",
            plain(finding),
            place(finding),
        )
        for finding in audit.findings
    ]
    return "\n".join([*lines, verdict(audit)])
